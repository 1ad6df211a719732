"""A trained model as one file that needs neither Keras nor TensorFlow: LiteRT or ONNX.

LiteRT (``.tflite``) runs on phones and small computers, ONNX (``.onnx``) in servers and browsers.
Either can be *quantised*: numbers of 32 bits are rounded to 16 or 8, so that the file shrinks and,
where the processor has instructions for them, time does too. ``int8`` rounds what flows through
the network as well as its weights, and has to see some images to learn which range that needs.
Source: Jacob et al. (2018), arXiv:1712.05877.
"""

import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import keras
import numpy as np

from labkit import classes, training
from labkit.analysis import scores

PRECISIONS = {
    ".tflite": ("float32", "float16", "int8 weights", "int8"),
    ".onnx": ("float32", "int8"),
}
ROUNDS = 15  # of measuring times
NAMES = {".tflite": "LiteRT", ".onnx": "ONNX"}


def save(model, path, precision="float32", images=None):
    """Write a model to a file; returns its path.

    Args:
        model: image ``[B, S, S, 3]`` -> logits ``[B, S, S, C]``.
        path: its ending says the format: ``.tflite`` or ``.onnx``.
        precision: one of ``PRECISIONS`` of that format.
        images: for "int8": some dozens of train images, uint8 ``[N, S, S, 3]``.

    Raises:
        ValueError: for an unknown ending or precision, or if images are missing.
        ImportError: for ONNX without its packages.
    """
    path = Path(path)
    check(path, precision)
    if precision == "int8" and (images is None or len(images) == 0):
        raise ValueError("int8 has to see some images: give images=train.images[:64]")
    write = _write_litert if path.suffix == ".tflite" else _write_onnx
    write(model, path, precision, images)
    return path


def check(path, precision="float32"):
    """Raise ValueError unless such a file can be written."""
    if path.suffix not in PRECISIONS:
        raise ValueError(f"{path.name!r} has no known ending: use one of {', '.join(PRECISIONS)}")
    known = PRECISIONS[path.suffix]
    if precision not in known:
        raise ValueError(f"precision is {precision!r}: use one of {', '.join(known)}")


def check_ready(endings=tuple(PRECISIONS)):
    """Raise unless files with these endings can be written here, before anything is trained for it.

    Raises:
        ValueError: for LiteRT on another backend than TensorFlow.
        ImportError: for ONNX without its packages.
    """
    if ".tflite" in endings and keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"LiteRT files come from the TensorFlow backend, and this is {keras.backend.backend()}:"
            " save the weights, and load them where KERAS_BACKEND is tensorflow"
        )
    if ".onnx" in endings:
        _onnx()


def load(path):
    """A written file, ready to predict: raw pixels in, logits out, as every model of this course.

    Returns:
        An object with ``predict_on_batch(images)``, so that ``labkit.analysis.scores`` and
        ``labkit.training.predict_masks`` take it in the place of the model.
    """
    path = Path(path)
    check(path)
    return LiteRT(path) if path.suffix == ".tflite" else ONNX(path)


class LiteRT:
    """A ``.tflite`` file."""

    def __init__(self, path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that TensorFlow's own interpreter will move
            self.interpreter = _interpreter()(model_path=str(path), num_threads=1)
        self.interpreter.allocate_tensors()
        (self.image,) = self.interpreter.get_input_details()
        (self.logits,) = self.interpreter.get_output_details()

    def predict_on_batch(self, images):
        """Logits float32 ``[B, S, S, C]`` of images ``[B, S, S, 3]``, one after the other."""
        found = []
        for image in np.asarray(images, "float32"):
            self.interpreter.set_tensor(self.image["index"], image[np.newaxis])
            self.interpreter.invoke()
            found.append(self.interpreter.get_tensor(self.logits["index"]))
        return np.concatenate(found)


class ONNX:
    """An ``.onnx`` file."""

    def __init__(self, path):
        onnxruntime = _onnx()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def predict_on_batch(self, images):
        """Logits float32 ``[B, S, S, C]`` of images ``[B, S, S, 3]``."""
        (image,) = self.session.get_inputs()
        (logits,) = self.session.run(None, {image.name: np.asarray(images, "float32")})
        return logits


def compare(model, split, images, formats=PRECISIONS):
    """What each format and precision costs and gives, as a pandas table.

    Args:
        model: a trained model.
        split: to score on.
        images: train images for "int8".
        formats: precisions by the ending of the file, such as ``{".tflite": ["float32", "int8"]}``.

    Returns:
        A line for each file, such as "LiteRT, int8": ``MB``, ``ms`` for one image (of the exported
        files on one core), ``mean IoU`` and ``pet IoU`` (pooled), ``same``: share of pixels whose
        class is the model's own. The first line is the model itself, in Keras.
    """
    import pandas as pd

    check_ready(formats)
    pred_masks = training.predict_masks(model, split)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        model.save(file)
        files, loaded = {"Keras, float32": file}, [model]
        for ending, precisions in formats.items():
            for precision in precisions:
                name = f"{NAMES[ending]}, {precision}"
                files[name] = Path(folder) / f"{len(files)}{ending}"
                loaded.append(load(save(model, files[name], precision, images)))
        table = pd.DataFrame([_scores(one, split, pred_masks) for one in loaded], list(files))
        table.insert(0, "MB", [file.stat().st_size / 1e6 for file in files.values()])
        table.insert(1, "ms", milliseconds(loaded, split.images[:1]))
    return table


def _scores(loaded, split, pred_masks):
    """Scores of one line of ``compare``."""
    found = scores.score(loaded, split)
    same = training.predict_masks(loaded, split) == pred_masks
    return {
        "mean IoU": found["mean IoU"],
        "pet IoU": found[f"{classes.NAMES[classes.PET]} IoU pooled"],
        "same": float(same.mean()),
    }


def milliseconds(models, image):
    """How long each of several models takes for one image ``[1, S, S, 3]``: a list."""
    return in_turns([partial(model.predict_on_batch, image) for model in models])


def in_turns(actions):
    """Milliseconds of each action, the middle of ``ROUNDS`` after one that warms up: a list.

    All take part in each round, so that a slow minute of the machine is one for all.
    """
    times = []
    for _ in range(ROUNDS + 1):
        for action in actions:
            start = time.perf_counter()
            action()
            times.append(1000 * (time.perf_counter() - start))
    return np.median(np.reshape(times, (-1, len(actions)))[1:], axis=0).tolist()


def _write_litert(model, path, precision, images):
    check_ready([".tflite"])
    import tensorflow as tf

    call = tf.function(lambda image: model(image, training=False))
    one = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name="image")
    converter = tf.lite.TFLiteConverter.from_concrete_functions([call.get_concrete_function(one)])
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = lambda: (
            [np.asarray(image, "float32")[np.newaxis]] for image in images
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's own, about its defaults
        path.write_bytes(converter.convert())


def _write_onnx(model, path, precision, images):
    _onnx()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # tf2onnx's, about NumPy
        model.export(path, format="onnx", verbose=False)
    if precision == "int8":
        from onnxruntime import quantization

        whole = path.with_suffix(".float32.onnx")
        path.rename(whole)
        quantization.quantize_static(whole, path, _Calibration(whole, images), per_channel=True)
        whole.unlink()


def _onnx():
    """The package onnxruntime; raises ImportError if one of the three is missing."""
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
    """LiteRT's interpreter; later TensorFlow has it in a package of its own."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tensorflow.lite.python.interpreter import Interpreter
    return Interpreter


class _Calibration:
    """Images one by one, as ONNX Runtime asks for them."""

    def __init__(self, path, images):
        session = _onnx().InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.name = session.get_inputs()[0].name
        self.images = iter(images)

    def get_next(self):
        image = next(self.images, None)
        return None if image is None else {self.name: np.asarray(image, "float32")[np.newaxis]}
