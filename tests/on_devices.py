"""What tests of several devices compare, from a process with as many as it is told.

``python tests/on_devices.py BACKEND DEVICES``: virtual ones, of one processor.
``python tests/on_devices.py jax 2 PORT PROCESS``: one of two processes, a device each.

Prints one line of JSON: for each training its losses and a sum over the weights.
"""

import json
import os
import sys
import tempfile

backend, count = sys.argv[1], int(sys.argv[2])
os.environ |= {"KERAS_BACKEND": backend, "LABKIT_PROFILE": "quick"}
if backend == "jax" and len(sys.argv) == 3:
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={count}"
if backend == "tensorflow":
    import tensorflow as tf

    processor = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * count
    tf.config.set_logical_device_configuration(processor, parts)

import keras  # noqa: E402
import numpy as np  # noqa: E402

if len(sys.argv) > 3:
    keras.distribution.initialize(f"127.0.0.1:{sys.argv[3]}", 2, int(sys.argv[4]))

from labkit import adaptive, data, losses, training  # noqa: E402
from labkit.batches import Batches  # noqa: E402


def split(images):
    """Random colours; the mask follows from the red."""
    colours = np.random.default_rng(0).integers(0, 256, (images, 16, 16, 3), np.uint8)
    return data.Split(colours, colours[..., :1] // 86, {"name": np.arange(images).astype(str)})


def tiny_model():
    start = keras.initializers.GlorotUniform(0)
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Rescaling(1 / 127.5, -1),
            keras.layers.Conv2D(4, 3, use_bias=False, kernel_initializer=start, name="encoder"),
            keras.layers.BatchNormalization(),
            keras.layers.ZeroPadding2D(1),
            keras.layers.Conv2D(3, 1, kernel_initializer=start),
        ]
    )


class Break(keras.callbacks.Callback):
    """Stops a training in its second epoch, as the stop button does."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


IMAGES = {"tensorflow": 12, "jax": 11}[backend]  # images; 11 leave a last batch of 3


def train(devices, images=IMAGES, stop=False):
    """Everything that has to work at once: two rates, averaged weights, a sum of losses, batches of
    8 and a smaller last one; moved images and a callback that predicts, where that is quick."""
    model = tiny_model()
    train_ds = Batches(split(images), 8, seed=0, augmented=backend == "tensorflow")
    loss = losses.Sum([losses.CrossEntropy(), losses.Dice()], [1.0, 0.5])
    seen = []
    if backend == "tensorflow":
        seen = [adaptive.Adaptive(train_ds, split(4).images, split(4).masks, loss)]
    slow = [variable.path for variable in model.get_layer("encoder").trainable_variables]
    optimizer = training.TwoRates(1e-2, slow, 0.3, use_ema=True, ema_momentum=0.9)
    try:
        run = training.train(
            model,
            train_ds,
            Batches(split(8), 4),
            epochs=2,
            name="tiny",
            optimizer=optimizer,
            loss=loss,
            callbacks=[*seen, Break()] if stop else seen,
            devices=devices,
        )
    except KeyboardInterrupt:
        return None
    history = {key: values for key, values in run.history.items() if key != "seconds"}
    weights = [float(np.abs(weight).sum()) for weight in model.get_weights()]
    return {"history": history, "weights": weights}


def in_new_folder(*arguments, **options):
    os.environ["LABKIT_RUNS"] = tempfile.mkdtemp()
    return train(*arguments, **options)


def refusal(*arguments):
    try:
        in_new_folder(*arguments)
    except ValueError as error:
        return str(error)


if len(sys.argv) > 3:
    answers = {"two processes": in_new_folder("all")}
else:
    answers = {"one": in_new_folder(None), "all": in_new_folder("all")}
    answers["too many"] = refusal(count + 1)
    if backend == "tensorflow":
        answers["uneven"] = refusal("all", 11)
    in_new_folder("all", stop=True)  # goes on with one device
    answers["resumed"] = train(1)
print(json.dumps(answers))
