"""Exported files: they predict what the model predicts, and quantised ones nearly so."""

import importlib.util
import sys

import keras
import numpy as np
import pytest

from labkit import data, training
from labkit.analysis import scores
from labkit.methods import export
from labkit.models.unet import unet_model

onnx = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "tf2onnx")),
    reason="onnx, onnxruntime and tf2onnx are not installed",
)
FILES = [(ending, one) for ending, many in export.PRECISIONS.items() for one in many]
KEPT = (".tflite", "float32"), (".tflite", "int8"), (".onnx", "int8")
EACH = [
    pytest.param(
        *file,
        marks=[
            *([onnx] if file[0] == ".onnx" else []),
            *([] if file in KEPT else [pytest.mark.slow]),
        ],
    )
    for file in FILES
]
NEAR = {"float32": 1e-3, "float16": 0.05, "int8 weights": 0.5, "int8": 1.0}


@pytest.fixture(scope="module")
def split(_sealed):
    return data.load(data.SYNTHETIC, 32, (12, 6)).test


@pytest.fixture(scope="module")
def model(either_encoder):
    """A U-Net whose logits are some units wide."""
    model = unet_model(image_size=32, weights=None, filters=(8, 8, 8, 8))
    last = model.get_layer("logits")
    kernel, bias = last.get_weights()
    last.set_weights([5 * kernel, bias])
    return model


@pytest.fixture(scope="module")
def files(model, split, tmp_path_factory):
    """A function that gives the written file of an ending and a precision, each written once."""
    folder, made = tmp_path_factory.mktemp("files"), {}

    def file(ending, precision):
        if (ending, precision) not in made:
            path = folder / f"{precision.replace(' ', '-')}{ending}"
            made[ending, precision] = export.save(model, path, precision, split.images)
        return made[ending, precision]

    return file


@pytest.mark.parametrize(("ending", "precision"), EACH)
def test_a_file_predicts_what_the_model_predicts(files, model, split, ending, precision):
    loaded = export.load(files(ending, precision))
    wanted = model.predict_on_batch(split.images)
    found = loaded.predict_on_batch(split.images)
    assert found.dtype == np.float32 and found.shape == wanted.shape
    wide = wanted.std()
    assert abs(found - wanted).mean() < NEAR[precision] * wide
    other = np.roll(wanted, 1, axis=0)
    assert abs(found - wanted).mean() < abs(found - other).mean()


@pytest.mark.parametrize(("ending", "precision"), EACH)
def test_quantised_files_are_smaller(files, ending, precision):
    share = files(ending, precision).stat().st_size / files(ending, "float32").stat().st_size
    low, high = {"float32": (1, 1), "float16": (0.45, 0.65)}.get(precision, (0.2, 0.5))
    assert low <= share <= high


def test_a_loaded_file_takes_the_place_of_a_model(files, model, split):
    loaded = export.load(files(".tflite", "float32"))
    np.testing.assert_array_equal(
        training.predict_masks(loaded, split), training.predict_masks(model, split)
    )
    assert scores.score(loaded, split) == pytest.approx(scores.score(model, split), abs=1e-4)


def test_the_comparison_has_a_line_for_each_file(model, split):
    table = export.compare(model, split, split.images, {".tflite": ["float32", "int8"]})
    assert list(table.index) == ["Keras, float32", "LiteRT, float32", "LiteRT, int8"]
    assert table["same"].iloc[0] == 1 and table["same"].iloc[1] > 0.999
    assert table.loc["LiteRT, int8", "MB"] < 0.5 * table.loc["LiteRT, float32", "MB"]
    assert (table["ms"] > 0).all()
    assert table["mean IoU"].iloc[0] == pytest.approx(scores.score(model, split)["mean IoU"])


def test_no_file_is_left_beside_the_quantised_one(files):
    folder = files(".tflite", "float32").parent
    assert {path.suffix for path in folder.iterdir()} <= {".tflite", ".onnx"}
    assert not list(folder.glob("*.float32.onnx"))


@pytest.mark.parametrize("name", ["model", "model.h5", "model.TFLITE"])
def test_an_unknown_ending_is_refused(name):
    with pytest.raises(ValueError, match="unknown file extension in .*: use one of .tflite, .onnx"):
        export.save(None, name)
    with pytest.raises(ValueError, match="unknown file extension"):
        export.load(name)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="precision is 'int4': use one of float32, int8"):
        export.save(None, "model.onnx", "int4")


@pytest.mark.parametrize("images", [None, np.zeros((0, 32, 32, 3))])
def test_int8_without_images_is_refused(images):
    with pytest.raises(ValueError, match="int8 needs images to calibrate"):
        export.save(None, "model.tflite", "int8", images)


def test_litert_asks_for_the_tensorflow_backend(monkeypatch, tmp_path):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ValueError, match="the backend is torch: .* KERAS_BACKEND=tensorflow"):
        export.save(None, tmp_path / "model.tflite")


def test_onnx_without_its_packages_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match="pip install onnx onnxruntime tf2onnx"):
        export.save(None, tmp_path / "model.onnx")


def test_times_are_taken_in_turns_and_the_first_round_does_not_count(monkeypatch):
    clock, called = [0.0], []
    monkeypatch.setattr(export.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(export, "ROUNDS", 3)

    def action(name, *seconds):
        left = iter(seconds)

        def act():
            called.append(name)
            clock[0] += next(left)

        return act

    found = export.median_milliseconds(
        [action("a", 9.0, 0.5, 4.0, 1.0), action("b", 0.0, 3.0, 2.0, 2.5)]
    )
    assert called == ["a", "b"] * 4
    assert found == pytest.approx([1000.0, 2500.0])
