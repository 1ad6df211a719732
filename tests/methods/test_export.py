"""Export: exported files predict like the model, and quantized ones nearly so."""

import importlib.util
import sys

import keras
import numpy as np
import pytest
from keras import layers

from labkit import data, losses
from labkit.analysis import scores
from labkit.methods import export
from labkit.models.unet import unet_model

needs_onnx = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "tf2onnx")),
    reason="onnx, onnxruntime and tf2onnx are not installed",
)
QUICK = (".tflite", "float32"), (".tflite", "int8")
LIMITS = {  # error in standard deviations, smallest and largest share of the float32 file's size
    "float32": (1e-3, 1, 1),
    "float16": (0.05, 0.45, 0.65),
    "int8 weights": (0.5, 0.2, 0.5),
    "int8": (1.0, 0.2, 0.5),
}


def marks(*file):
    needed = [needs_onnx] if file[0] == ".onnx" else []
    return needed if file in QUICK else [*needed, pytest.mark.slow]


@pytest.fixture(scope="module")
def split(_sealed):
    return data.load(data.SYNTHETIC, 32, (12, 6)).test


@pytest.fixture(scope="module")
def model(either_encoder):
    """A U-Net with logits scaled up by 5."""
    model = unet_model(image_size=32, weights=None, filters=(8, 8, 8))
    last = model.get_layer("logits")
    kernel, bias = last.get_weights()
    last.set_weights([5 * kernel, bias])
    return model


@pytest.fixture(scope="module")
def exported(model, split, tmp_path_factory):
    """A function that exports the model once per ending and precision, and returns the path."""
    folder, paths = tmp_path_factory.mktemp("files"), {}

    def export_once(ending, precision):
        if (ending, precision) not in paths:
            path = folder / f"{precision.replace(' ', '-')}{ending}"
            paths[ending, precision] = export.save(model, path, precision, split.images)
        return paths[ending, precision]

    return export_once


@pytest.mark.parametrize(
    ("ending", "precision"),
    [
        pytest.param(ending, precision, marks=marks(ending, precision))
        for ending, precisions in export.PRECISIONS.items()
        for precision in precisions
    ],
)
def test_exported_file_predicts_like_model(exported, model, split, ending, precision):
    path, unquantized = exported(ending, precision), exported(ending, "float32")
    expected = model.predict_on_batch(split.images)
    logits = export.load(path).predict_on_batch(split.images)
    assert logits.dtype == np.float32 and logits.shape == expected.shape
    error = abs(logits - expected).mean()
    tolerance, low, high = LIMITS[precision]
    assert error < tolerance * expected.std()
    assert error < abs(logits - np.roll(expected, 1, axis=0)).mean()  # of another image
    assert low <= path.stat().st_size / unquantized.stat().st_size <= high
    assert not list(path.parent.glob("*.float32.onnx"))  # a temporary file


class Subclassed(keras.Model):
    """A model without declared shapes."""

    def __init__(self):
        super().__init__()
        self.last = layers.Conv2D(3, 1)

    def call(self, images):
        return self.last(keras.ops.cast(images, "float32"))


def sequential(*shape, dtype="float32", policy="float32", extra=()):
    policy = {"dtype": policy}
    last = layers.Conv2D(3, 1, **policy)
    first = [keras.Input(shape, dtype=dtype)] if shape else []
    return keras.Sequential([*first, layers.Rescaling(1 / 255, **policy), *extra, last])


def called(model):
    model.predict_on_batch(np.zeros((1, 32, 32, 3), "float32"))
    return model


def trained(model, folder):
    optimizer = keras.optimizers.Adam(use_ema=True)
    model.compile(optimizer, losses.CrossEntropy(), run_eagerly=True)
    model.fit(np.zeros((2, 32, 32, 3)), np.zeros((2, 32, 32, 1)), verbose=0)
    return model


def nested():
    image = keras.Input((32, 32, 3))
    inner = sequential(32, 32, 3, policy="mixed_bfloat16")
    return keras.Model(image, layers.Conv2D(3, 1, dtype="mixed_bfloat16")(inner(image)))


def loaded(model, folder):
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras")


def quantized(model):
    model.quantize("int8")
    return model


def unet_in(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return unet_model(image_size=32, weights=None, filters=(8, 8, 8))
    finally:
        keras.config.set_dtype_policy(before)


STATES = {
    "mixed_float16": lambda folder: unet_in("mixed_float16"),
    "mixed_bfloat16": lambda folder: unet_in("mixed_bfloat16"),
    "float16": lambda folder: sequential(32, 32, 3, policy="float16"),
    "float64": lambda folder: sequential(32, 32, 3, policy="float64"),
    "nested, mixed": lambda folder: nested(),
    "trained, mixed": lambda folder: trained(unet_in("mixed_float16"), folder),
    "loaded, mixed": lambda folder: loaded(unet_in("mixed_float16"), folder),
    "trained": lambda folder: trained(sequential(32, 32, 3), folder),
    "built by a call": lambda folder: called(sequential()),
    "subclassed": lambda folder: called(Subclassed()),
    "any size": lambda folder: sequential(None, None, 3),
    "uint8 images": lambda folder: sequential(32, 32, 3, dtype="uint8"),
    "random layers": lambda folder: sequential(32, 32, 3, extra=[layers.Dropout(0.5)]),
    "quantized": lambda folder: quantized(sequential(32, 32, 3)),
}


def states_and_endings():
    """Every state with either ending; two of them run by default."""
    for state in STATES:
        for ending in (".tflite", ".onnx"):
            default = (state, ending) in (("nested, mixed", ".tflite"), ("any size", ".onnx"))
            marks = [] if default else [pytest.mark.slow]
            yield pytest.param(state, ending, marks=marks + [needs_onnx] * (ending == ".onnx"))


@pytest.mark.parametrize(("state", "ending"), [*states_and_endings()])
def test_model_in_any_state_is_exported(state, ending, split, tmp_path, short_encoder_here):
    model = STATES[state](tmp_path)
    path = export.save(model, tmp_path / f"model{ending}")
    expected = np.asarray(model.predict_on_batch(split.images), "float64")
    logits = export.load(path).predict_on_batch(split.images)
    assert logits.dtype == np.float32
    precise = "16" not in state and "mixed" not in state
    assert abs(logits - expected).max() < (1e-3 if precise else 0.1) * max(expected.std(), 1e-3)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (sequential, "no shape yet: call it once"),
        (Subclassed, "no shape yet: call it once"),
        (
            lambda: keras.Model(
                x := keras.Input((32, 32, 3)), [layers.ReLU()(x), layers.ReLU()(x)]
            ),
            "1 inputs and 2 outputs: make a keras.Model",
        ),
    ],
)
def test_model_that_cannot_be_exported_raises(make, match, tmp_path):
    with pytest.raises(ValueError, match=match):
        export.save(make(), tmp_path / "model.tflite")


def test_compare_has_row_per_file(model, split):
    table = export.compare(model, split, split.images, {".tflite": ["float32", "int8"]})
    assert list(table.index) == ["Keras, float32", "LiteRT, float32", "LiteRT, int8"]
    keras_model, litert, int8 = table["same"]
    assert keras_model == 1 and litert > 0.999 and 0.5 < int8 < 1
    assert table.loc["LiteRT, int8", "MB"] < 0.5 * table.loc["LiteRT, float32", "MB"]
    assert (table["ms"] > 0).all()
    expected = scores.score(model, split)
    for column, name in (("mean IoU", "mean IoU"), ("pet IoU", "pet IoU pooled")):
        assert table[column].iloc[0] == pytest.approx(expected[name])
        assert table[column].iloc[1] == pytest.approx(expected[name], abs=1e-3)


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("model", {}, "'model': use one of .tflite, .onnx"),
        ("model.h5", {}, "'model.h5'"),
        ("model.TFLITE", {}, "'model.TFLITE'"),
        ("model.onnx", {"precision": "int4"}, "precision is 'int4': use one of float32, int8"),
        ("model.tflite", {"precision": "int8"}, "int8 needs images"),
        ("model.tflite", {"precision": "int8", "images": np.zeros((0, 32, 32, 3))}, "int8 needs"),
    ],
)
def test_invalid_file_raises(name, options, match):
    with pytest.raises(ValueError, match=match):
        export.save(None, name, **options)
    if not options:
        with pytest.raises(ValueError, match=match):
            export.load(name)


def test_missing_requirements_raise(monkeypatch, tmp_path):
    monkeypatch.setattr("keras.backend.backend", lambda: "torch")
    with pytest.raises(ValueError, match="torch: .* KERAS_BACKEND=tensorflow"):
        export.save(None, tmp_path / "model.tflite")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match="pip install onnx onnxruntime tf2onnx"):
        export.save(None, tmp_path / "model.onnx")


def test_times_alternate_and_skip_first_round(monkeypatch):
    clock, calls = [0.0], []
    monkeypatch.setattr(export.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(export, "ROUNDS", 3)

    def action(name, *seconds):
        remaining = iter(seconds)

        def run():
            calls.append(name)
            clock[0] += next(remaining)

        return run

    actions = [action("a", 9.0, 0.5, 4.0, 1.0), action("b", 0.0, 3.0, 2.0, 2.5)]
    assert export.median_milliseconds(actions) == pytest.approx([1000.0, 2500.0])
    assert calls == ["a", "b"] * 4
