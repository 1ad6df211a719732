"""Export of a trained model to one file that needs neither Keras nor TensorFlow: LiteRT or ONNX.

LiteRT (``.tflite``) runs on phones and small computers, ONNX (``.onnx``) on servers and in
browsers. Both can be *quantized*: 32-bit numbers are rounded to 16 or 8 bits, which shrinks the
file and, on processors with matching instructions, saves time. ``int8`` quantizes the activations
as well as the weights, and needs sample images to calibrate their range.
Source: Jacob et al. (2018), arXiv:1712.05877.
"""

import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import keras
import numpy as np

from labkit import training
from labkit.analysis import scores

PRECISIONS = {
    ".tflite": ("float32", "float16", "int8 weights", "int8"),
    ".onnx": ("float32", "int8"),
}
ROUNDS = 15  # timing repetitions; the median counts
FORMAT_NAMES = {".tflite": "LiteRT", ".onnx": "ONNX"}


def save(model, path, precision="float32", images=None):
    """Write a model to a file and return its path.

    Args:
        model: image ``[B, S, S, 3]`` -> logits ``[B, S, S, C]``. One in mixed precision is copied
            to float32.
        path: ends in ``.tflite`` or ``.onnx``, which chooses the format.
        precision: one of that format's ``PRECISIONS``.
        images: a few dozen train images for "int8", uint8 ``[N, S, S, 3]``.

    Raises:
        ValueError: for an unknown file extension or precision, if "int8" has no images, or for a
            model without a shape or with several inputs or outputs.
        ImportError: if a package that ONNX needs is not installed.
    """
    path = Path(path)
    check_format(path, precision)
    if precision == "int8" and (images is None or len(images) == 0):
        raise ValueError("int8 needs images to calibrate: pass images=train.images[:64]")
    check_ready([path.suffix])
    check_model(model)
    write = _write_litert if path.suffix == ".tflite" else _write_onnx
    write(_in_float32(model), path, precision, images)
    return path


def check_model(model):
    """Raise ValueError unless a model is built and maps one tensor to one tensor."""
    if not model.built:
        raise ValueError("the model has no shape yet: call it once, as in model(images[:1])")
    inputs, outputs = getattr(model, "inputs", [0]), getattr(model, "outputs", [0])
    if len(inputs) != 1 or len(outputs) != 1:
        raise ValueError(
            f"the model has {len(inputs)} inputs and {len(outputs)} outputs: make a keras.Model of "
            "one image and its logits"
        )


def _in_float32(model):
    """The model, or a copy in float32 of one that computes in another precision."""
    other = {"float16", "bfloat16", "float64"}
    layers = [layer for layer in model._flatten_layers() if layer is not model]
    if other.isdisjoint(layer.compute_dtype for layer in layers):
        return model
    if not hasattr(model, "outputs"):
        raise ValueError(
            f"{type(model).__name__} computes in {layers[0].compute_dtype}, and a subclassed model "
            "can't be copied to float32: make it again in float32, and set its weights"
        )
    copy = keras.models.clone_model(model, clone_function=_layer_in_float32, recursive=True)
    copy.set_weights(model.get_weights())
    return copy


def _layer_in_float32(layer):
    return type(layer).from_config(layer.get_config() | {"dtype": "float32"})


def _input_shape(model):
    """The shape of the images, with None for a free size: ``[B, H, W, 3]``."""
    if hasattr(model, "input_shape"):
        return model.input_shape
    return next(iter(model._build_shapes_dict.values()))  # of a subclassed model


def check_format(path, precision="float32"):
    """Raise ValueError unless the format of the file exists in this precision."""
    if path.suffix not in PRECISIONS:
        raise ValueError(
            f"unknown file extension in {path.name!r}: use one of {', '.join(PRECISIONS)}"
        )
    precisions = PRECISIONS[path.suffix]
    if precision not in precisions:
        raise ValueError(f"precision is {precision!r}: use one of {', '.join(precisions)}")


def check_ready(extensions=tuple(PRECISIONS)):
    """Check that files with these extensions can be written, before anything is trained for them.

    Raises:
        ValueError: for LiteRT on a backend other than TensorFlow.
        ImportError: if a package that ONNX needs is not installed.
    """
    if ".tflite" in extensions and keras.backend.backend() != "tensorflow":
        raise ValueError(
            "LiteRT files need the TensorFlow backend, and the backend is "
            f"{keras.backend.backend()}: save the weights, set KERAS_BACKEND=tensorflow, load them"
        )
    if ".onnx" in extensions:
        _onnx()


def load(path):
    """Load an exported file, which maps raw pixels to logits like every model of this course.

    Returns:
        An object with ``predict_on_batch(images)``, which ``labkit.analysis.scores``,
        ``labkit.training.predict_masks`` and ``labkit.photos`` accept like a Keras model.
    """
    path = Path(path)
    check_format(path)
    return LiteRT(path) if path.suffix == ".tflite" else ONNX(path)


class LiteRT:
    """A model loaded from a ``.tflite`` file."""

    def __init__(self, path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TensorFlow's interpreter is deprecated
            self.interpreter = _interpreter()(model_path=str(path), num_threads=1)
        self.interpreter.allocate_tensors()
        (self.image,) = self.interpreter.get_input_details()
        (self.logits,) = self.interpreter.get_output_details()
        self.input_shape, self.output_shape = (
            (None, *details["shape"][1:].tolist()) for details in (self.image, self.logits)
        )

    def predict_on_batch(self, images):
        """Logits float32 ``[B, S, S, C]`` of images ``[B, S, S, 3]``, predicted one at a time."""
        logits = []
        for image in np.asarray(images, "float32"):
            if tuple(self.image["shape"][1:]) != image.shape:  # of a model for any size
                self.interpreter.resize_tensor_input(self.image["index"], [1, *image.shape])
                self.interpreter.allocate_tensors()
                (self.image,) = self.interpreter.get_input_details()
            self.interpreter.set_tensor(self.image["index"], image[np.newaxis])
            self.interpreter.invoke()
            logits.append(self.interpreter.get_tensor(self.logits["index"]))
        return np.concatenate(logits)


class ONNX:
    """A model loaded from an ``.onnx`` file."""

    def __init__(self, path):
        onnxruntime = _onnx()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        (image,), (logits,) = self.session.get_inputs(), self.session.get_outputs()
        self.input_shape, self.output_shape = (
            (None, *details.shape[1:]) for details in (image, logits)
        )

    def predict_on_batch(self, images):
        """Logits float32 ``[B, S, S, C]`` of images ``[B, S, S, 3]``."""
        return self.session.run(None, _named(self.session, images))[0]


def compare(model, split, images, formats=PRECISIONS):
    """Size, time and scores of each format and precision, as a pandas table.

    Args:
        model: a trained model.
        split: to score on.
        images: train images for "int8".
        formats: precisions by file extension, such as ``{".tflite": ["float32", "int8"]}``.

    Returns:
        One row per file, such as "LiteRT, int8": ``MB``; ``ms`` for one image (exported files use
        one core); ``mean IoU`` and ``pet IoU`` (pooled); ``same``: share of pixels with the same
        predicted class as the Keras model. The first row is the Keras model itself.
    """
    import pandas as pd

    check_ready(formats)
    pred_masks = training.predict_masks(model, split)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        model.save(file)
        files, models = {"Keras, float32": file}, [model]
        for extension, precisions in formats.items():
            for precision in precisions:
                name = f"{FORMAT_NAMES[extension]}, {precision}"
                files[name] = Path(folder) / f"{len(files)}{extension}"
                models.append(load(save(model, files[name], precision, images)))
        table = pd.DataFrame([_scores(m, split, pred_masks) for m in models], list(files))
        table.insert(0, "MB", [file.stat().st_size / 1e6 for file in files.values()])
        table.insert(1, "ms", milliseconds(models, split.images[:1]))
    return table


def _scores(model, split, pred_masks):
    """The scores in one row of ``compare``."""
    values, main = scores.score(model, split), split.classes.main
    same = training.predict_masks(model, split) == pred_masks
    return {
        "mean IoU": values["mean IoU"],
        f"{main} IoU": values[f"{main} IoU pooled"],
        "same": float(same.mean()),
    }


def milliseconds(models, image):
    """Milliseconds that each model needs for one image ``[1, S, S, 3]``, as a list."""
    return median_milliseconds([partial(model.predict_on_batch, image) for model in models])


def median_milliseconds(actions):
    """Median milliseconds of each action over ``ROUNDS`` rounds, after one warm-up, as a list.

    Each round runs all actions, so that a slow phase of the machine affects all of them.
    """
    times = []
    for _ in range(ROUNDS + 1):
        for action in actions:
            start = time.perf_counter()
            action()
            times.append(1000 * (time.perf_counter() - start))
    return np.median(np.reshape(times, (-1, len(actions)))[1:], axis=0).tolist()


def _write_litert(model, path, precision, images):
    import tensorflow as tf

    call = tf.function(lambda image: model(image, training=False))
    spec = tf.TensorSpec((1, *_input_shape(model)[1:]), tf.float32, name="image")
    converter = tf.lite.TFLiteConverter.from_concrete_functions([call.get_concrete_function(spec)])
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = lambda: (
            [np.asarray(image, "float32")[np.newaxis]] for image in images
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter warns about its defaults
        path.write_bytes(converter.convert())


def _write_onnx(model, path, precision, images):
    batch, *sides, channels = _input_shape(model)
    shape = batch or 1, *(side or 32 for side in sides), channels
    model(np.zeros(shape, "float32"))  # Keras exports only a model that was called
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # from tf2onnx, about NumPy
        model.export(path, format="onnx", verbose=False)
    if precision == "int8":
        from onnxruntime import quantization

        unquantized = path.with_suffix(".float32.onnx")
        path.rename(unquantized)
        quantization.quantize_static(
            unquantized, path, _Calibration(unquantized, images), per_channel=True
        )
        unquantized.unlink()


def _onnx():
    """The module onnxruntime; raises ImportError if a package that ONNX files need is missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{error}: ONNX files need three packages: pip install onnx onnxruntime tf2onnx"
        ) from error
    return onnxruntime


def _interpreter():
    """LiteRT's interpreter class, which newer TensorFlow keeps in a separate package."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tensorflow.lite.python.interpreter import Interpreter
    return Interpreter


def _named(session, images):
    """Images as the input of a session, in the type that it wants."""
    (image,) = session.get_inputs()
    dtype = "uint8" if image.type == "tensor(uint8)" else "float32"
    return {image.name: np.asarray(images).astype(dtype)}


class _Calibration:
    """Feeds images one at a time to ONNX Runtime's quantization."""

    def __init__(self, path, images):
        self.session = _onnx().InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.images = iter(images)

    def get_next(self):
        image = next(self.images, None)
        return None if image is None else _named(self.session, np.asarray(image)[np.newaxis])
