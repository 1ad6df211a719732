"""Measurements of one process: ``python -m benchmarks.workers NAME`` prints JSON.

Each worker is a new process, because TensorFlow, PyTorch and ONNX Runtime compete for threads.
Images are random: the time does not depend on them, and no dataset is needed.
"""

import contextlib
import importlib.util
import json
import sys
import time

import numpy as np

SIZE, BATCH, SECONDS = 128, 32, 8.0


def rate(step, images, seconds=SECONDS):
    """Return the images per second of a step that handles ``images``, after two warm-up calls."""
    step()
    step()
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        step()
        calls += 1
    return calls * images / (time.perf_counter() - start)


def batch(count, size=SIZE):
    """Return ``count`` random images and masks."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, size, size, 3), np.uint8)
    return images, rng.integers(0, 3, (count, size, size, 1), np.uint8)


# --- labkit, TensorFlow --------------------------------------------------------------------------


def build(recipe):
    """Return a recipe's untrained model; without ImageNet weights, which change what is trained,
    raises ConnectionError."""
    from labkit.experiments import recipes
    from labkit.models.encoder import imagenet_weights

    imagenet_weights("imagenet")
    return recipes.build(recipe, seed=0)


def training(recipe_name):
    """Measure training steps of a recipe, in images per second."""
    from labkit.experiments import recipes

    recipe = recipes.find(recipe_name)
    model = build(recipe)
    optimizer = recipes.optimizer(recipe, model, train_ds=range(100))
    model.compile(optimizer, recipes.loss(recipe), jit_compile=False)
    data = batch(recipe.batch_size)
    return {"train": rate(lambda: model.train_on_batch(*data), recipe.batch_size)}


def laboratory():
    return training("laboratory")


def standard():
    return training("standard")


def fast():
    return training("fast")


def unet_128():
    """Measure the plain U-Net, whose encoder sees images of 128 pixels."""
    from labkit.models.unet import PLAIN

    return unet(**PLAIN)


def unet_256():
    """Measure the course's U-Net, which enlarges them to 256."""
    return unet()


def unet(**options):
    """Measure a U-Net as the peer: training of all weights with AdamW in batches of 32, and
    prediction by Keras in float32 and bfloat16 and by ONNX Runtime."""
    import keras

    from labkit import losses
    from labkit.models.unet import unet_model

    found = {}
    for policy, name in (("mixed_bfloat16", "bfloat16"), ("float32", "float32")):
        keras.mixed_precision.set_global_policy(policy)
        model = unet_model(weights=None, fine_tune=True, **options)
        model.compile(keras.optimizers.AdamW(1e-3), losses.CrossEntropy(), jit_compile=False)
        data = batch(BATCH)
        found[f"Keras {name}, train"] = rate(
            lambda model=model, data=data: model.train_on_batch(*data), BATCH
        )
        for count in (1, BATCH):
            images = batch(count)[0]
            found[f"Keras {name}, batch {count}"] = rate(
                lambda model=model, images=images: model.predict_on_batch(images), count
            )
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("tf2onnx"):
        found |= predict_onnx(model)
    return found


def predict_onnx(model):
    """Measure prediction of an exported model with ONNX Runtime."""
    import tempfile
    from pathlib import Path

    import onnxruntime

    model.predict_on_batch(batch(1)[0])  # Keras exports only models that were called
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "unet.onnx"
        model.export(path, format="onnx", verbose=False)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name, found = session.get_inputs()[0].name, {}
    for count in (1, BATCH):
        images = batch(count)[0].astype("float32")
        found[f"ONNX Runtime float32, batch {count}"] = rate(
            lambda images=images: session.run(None, {name: images}), count
        )
    return found


# --- the peer: segmentation_models.pytorch -------------------------------------------------------


def smp_128():
    return smp(128)


def smp_256():
    return smp(256)


def smp(size):
    """Measure training and prediction of ``Unet("mobilenet_v2")`` in float32 and bfloat16."""
    import torch

    model = smp_unet()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    loss = torch.nn.CrossEntropyLoss()
    found = {"million multiply-adds": torch_multiply_adds(model, size) / 1e6}
    for name, enabled in (("float32", False), ("bfloat16", True)):
        lower = torch.autocast("cpu", torch.bfloat16, enabled=enabled)
        images, masks = torch_batch(BATCH, size)

        def step(lower=lower, images=images, masks=masks):
            with lower:
                value = loss(model(images), masks)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()

        model.train()
        found[f"{name}, train"] = rate(step, BATCH)
        model.eval()
        with torch.inference_mode(), lower:
            for count in (1, BATCH):
                images, _ = torch_batch(count, size)
                found[f"{name}, batch {count}"] = rate(lambda x=images: model(x), count)
    return found


def smp_unet():
    """Return the peer's model in the layout that is faster on a CPU, channels last."""
    import torch

    # PyPI's torchvision is built for CUDA, so its operators are missing with PyTorch's CPU build.
    # The encoder uses none of them, but importing it needs these two.
    with contextlib.suppress(RuntimeError):
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
    import segmentation_models_pytorch

    model = segmentation_models_pytorch.Unet("mobilenet_v2", encoder_weights=None, classes=3)
    return model.to(memory_format=torch.channels_last)


def torch_multiply_adds(model, size):
    """Count the multiplications of a model's convolutions for one image."""
    import torch

    counts = []

    def count(layer, inputs, output):
        counts.append(output.numel() * layer.weight[0].numel())

    layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.Conv2d)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.inference_mode():
        model.eval()(torch_batch(1, size)[0])
    for hook in hooks:
        hook.remove()
    return sum(counts)


def torch_batch(count, size):
    """Return ``batch`` as tensors: float images and integer masks."""
    import torch

    images, masks = batch(count, size)
    images = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    masks = torch.from_numpy(masks[..., 0]).long()
    return images.contiguous(memory_format=torch.channels_last), masks


# --- the floor -----------------------------------------------------------------------------------


def floor():
    """Measure the GFLOP/s of a large matrix product, and count those that a step needs."""
    import tensorflow as tf

    from labkit.experiments import recipes

    found = {}
    for kind in (tf.float32, tf.bfloat16):
        square = tf.cast(tf.random.uniform((4096, 4096)), kind)
        products = rate(lambda square=square: tf.matmul(square, square).numpy(), 1, 4.0)
        found[f"{kind.name} GFLOP/s"] = 2 * 4096**3 * products / 1e9
    for name in ("laboratory", "standard", "fast"):
        model = build(recipes.find(name))
        found[f"{name} GFLOP an image"] = training_flops(model) / 1e9
    return found


def training_flops(model):
    """Return the floating-point operations of the convolutions per image of a training step.

    One forward pass; where the layer is trained, also two backward passes as large (gradients of
    the kernel and of the input).
    """
    from labkit.analysis.probes import layer_multiply_adds

    return 2 * sum(
        layer_multiply_adds(layer) * (3 if layer.trainable else 1) for layer in all_layers(model)
    )


def all_layers(model):
    """Yield the layers of a model, including those of nested models."""
    for layer in model.layers:
        yield from all_layers(layer) if hasattr(layer, "layers") else [layer]


NAMED = (laboratory, standard, fast, unet_128, smp_128, unet_256, smp_256, floor)
WORKERS = {function.__name__: function for function in NAMED}

if __name__ == "__main__":
    print(json.dumps(WORKERS[sys.argv[1]]()))
