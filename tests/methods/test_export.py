"""Export: exported files predict like the model, and quantized ones nearly so."""

import importlib.util
import sys

import keras
import numpy as np
import pytest

from labkit import data, training
from labkit.analysis import scores
from labkit.methods import export
from labkit.models.unet import unet_model

needs_onnx = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "tf2onnx")),
    reason="onnx, onnxruntime and tf2onnx are not installed",
)
FILES = [(ending, name) for ending, names in export.PRECISIONS.items() for name in names]
QUICK = (".tflite", "float32"), (".tflite", "int8"), (".onnx", "int8")
ALL_FORMATS = [
    pytest.param(
        *file,
        marks=[
            *([needs_onnx] if file[0] == ".onnx" else []),
            *([] if file in QUICK else [pytest.mark.slow]),
        ],
    )
    for file in FILES
]
TOLERANCES = {"float32": 1e-3, "float16": 0.05, "int8 weights": 0.5, "int8": 1.0}


@pytest.fixture(scope="module")
def split(_sealed):
    return data.load(data.SYNTHETIC, 32, (12, 6)).test


@pytest.fixture(scope="module")
def model(either_encoder):
    """A U-Net with logits scaled up by 5."""
    model = unet_model(image_size=32, weights=None, filters=(8, 8, 8, 8))
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


@pytest.mark.parametrize(("ending", "precision"), ALL_FORMATS)
def test_exported_file_predicts_like_model(exported, model, split, ending, precision):
    loaded = export.load(exported(ending, precision))
    expected = model.predict_on_batch(split.images)
    logits = loaded.predict_on_batch(split.images)
    assert logits.dtype == np.float32 and logits.shape == expected.shape
    deviation = expected.std()
    assert abs(logits - expected).mean() < TOLERANCES[precision] * deviation
    shuffled = np.roll(expected, 1, axis=0)
    assert abs(logits - expected).mean() < abs(logits - shuffled).mean()


@pytest.mark.parametrize(("ending", "precision"), ALL_FORMATS)
def test_quantized_files_are_smaller(exported, ending, precision):
    share = exported(ending, precision).stat().st_size / exported(ending, "float32").stat().st_size
    low, high = {"float32": (1, 1), "float16": (0.45, 0.65)}.get(precision, (0.2, 0.5))
    assert low <= share <= high


def test_loaded_file_works_as_model(exported, model, split):
    loaded = export.load(exported(".tflite", "float32"))
    np.testing.assert_array_equal(
        training.predict_masks(loaded, split), training.predict_masks(model, split)
    )
    assert scores.score(loaded, split) == pytest.approx(scores.score(model, split), abs=1e-4)


def test_compare_has_row_per_file(model, split):
    table = export.compare(model, split, split.images, {".tflite": ["float32", "int8"]})
    assert list(table.index) == ["Keras, float32", "LiteRT, float32", "LiteRT, int8"]
    assert table["same"].iloc[0] == 1 and table["same"].iloc[1] > 0.999
    assert table.loc["LiteRT, int8", "MB"] < 0.5 * table.loc["LiteRT, float32", "MB"]
    assert (table["ms"] > 0).all()
    assert table["mean IoU"].iloc[0] == pytest.approx(scores.score(model, split)["mean IoU"])


def test_export_leaves_no_temporary_files(exported):
    folder = exported(".tflite", "float32").parent
    assert {path.suffix for path in folder.iterdir()} <= {".tflite", ".onnx"}
    assert not list(folder.glob("*.float32.onnx"))


@pytest.mark.parametrize("name", ["model", "model.h5", "model.TFLITE"])
def test_unknown_extension_raises(name):
    with pytest.raises(ValueError, match="use one of .tflite, .onnx"):
        export.save(None, name)
    with pytest.raises(ValueError, match="unknown file extension"):
        export.load(name)


def test_unknown_precision_raises():
    with pytest.raises(ValueError, match="precision is 'int4': use one of float32, int8"):
        export.save(None, "model.onnx", "int4")


@pytest.mark.parametrize("images", [None, np.zeros((0, 32, 32, 3))])
def test_int8_without_images_raises(images):
    with pytest.raises(ValueError, match="int8 needs images to calibrate"):
        export.save(None, "model.tflite", "int8", images)


def test_litert_requires_tensorflow_backend(monkeypatch, tmp_path):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ValueError, match="the backend is torch: .* KERAS_BACKEND=tensorflow"):
        export.save(None, tmp_path / "model.tflite")


def test_onnx_without_packages_raises(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match="pip install onnx onnxruntime tf2onnx"):
        export.save(None, tmp_path / "model.onnx")


def test_in_turns_alternates_and_skips_first_round(monkeypatch):
    clock, calls = [0.0], []
    monkeypatch.setattr(export.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(export, "ROUNDS", 3)

    def action(name, *seconds):
        remaining = iter(seconds)

        def run():
            calls.append(name)
            clock[0] += next(remaining)

        return run

    times = export.median_milliseconds(
        [action("a", 9.0, 0.5, 4.0, 1.0), action("b", 0.0, 3.0, 2.0, 2.5)]
    )
    assert calls == ["a", "b"] * 4
    assert times == pytest.approx([1000.0, 2500.0])
