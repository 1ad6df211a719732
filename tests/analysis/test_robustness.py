"""Robustness: each kind of image damage, and the table of scores."""

from dataclasses import replace

import numpy as np
import pytest

from labkit import data
from labkit.analysis import robustness

PIXEL_DAMAGE = ("blur", "noise", "JPEG", "darkness")


@pytest.fixture(scope="module")
def split(_sealed):
    """With the labels 0 and 2, whose mean would be 1."""
    split = data.load(data.SYNTHETIC, 64, (1, 6)).test
    return replace(split, masks=np.where(split.masks == 1, 2, split.masks))


def mean_change(split, worse):
    return np.abs(worse.images.astype(int) - split.images).mean()


@pytest.mark.parametrize("kind", robustness.LEVELS)
def test_damage_grows_with_level_and_keeps_form(split, kind):
    levels = robustness.LEVELS[kind]
    mild, medium, strong = (robustness.worsen(split, kind, level) for level in levels)
    assert 0 < mean_change(split, mild) < mean_change(split, medium)
    if kind != "rotation":  # by 90 degrees, which may change fewer pixels than 45
        assert mean_change(split, medium) < mean_change(split, strong)
    for part in ("images", "masks"):
        before, after = getattr(split, part), getattr(strong, part)
        assert after.shape == before.shape and after.dtype == np.uint8
    assert set(np.unique(strong.masks)) <= {0, 2}
    assert strong.table is split.table
    if kind in PIXEL_DAMAGE:
        np.testing.assert_array_equal(strong.masks, split.masks)
        repeated = robustness.worsen(split, kind, levels[-1])
        np.testing.assert_array_equal(strong.images, repeated.images)


@pytest.mark.parametrize(("kind", "level"), [("rotation", 360), ("size", 1)])
def test_identity_transform_changes_nothing(split, kind, level):
    worse = robustness.worsen(split, kind, level)
    np.testing.assert_array_equal(worse.masks, split.masks)
    assert mean_change(split, worse) < 0.5


def test_rotation_by_90_matches_numpy(split):
    worse = robustness.worsen(split, "rotation", 90)
    masks, images = (np.rot90(part, axes=(1, 2)) for part in (split.masks, split.images))
    assert (worse.masks == masks).mean() > 0.98
    assert np.abs(images.astype(int) - worse.images).mean() < 1


class DeviceTensor:
    """Like a PyTorch tensor on a GPU, which NumPy can't read."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __array__(self, *_, **__):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


def test_worsen_converts_device_tensors(split, monkeypatch):
    expected = robustness.worsen(split, "rotation", 15)
    move, read = robustness.move, robustness.ops.convert_to_numpy
    monkeypatch.setattr(robustness, "move", lambda *args: DeviceTensor(move(*args)))
    monkeypatch.setattr(robustness.ops, "convert_to_numpy", lambda on_gpu: read(on_gpu.tensor))
    worse = robustness.worsen(split, "rotation", 15)
    np.testing.assert_array_equal(worse.images, expected.images)
    np.testing.assert_array_equal(worse.masks, expected.masks)


def test_size_scales_about_center_and_darkness_multiplies(split):
    worse = robustness.worsen(split, "size", 0.5)
    assert (worse.masks[:, 16:48, 16:48] == split.masks[:, ::2, ::2]).mean() > 0.9
    worse = robustness.worsen(split, "darkness", 0.5)
    np.testing.assert_allclose(worse.images, split.images / 2, atol=1)


def test_unknown_kind_raises(split):
    with pytest.raises(ValueError, match="kind is 'rain': .*blur, noise"):
        robustness.worsen(split, "rain", 1)


def test_table_scores_each_kind_and_level(split, monkeypatch):
    """The model is perfect, so scores below 1 mean that a mask was not moved with its image."""
    predicted = []

    def predict_masks(model, worse):
        predicted.append(worse)
        return worse.masks

    monkeypatch.setattr(robustness.training, "predict_masks", predict_masks)
    table = robustness.table(None, split, ("blur", "rotation"))
    assert list(table.index) == ["blur", "rotation"]
    assert list(table.columns) == ["unchanged", "mild", "medium", "strong"]
    assert (table == 1).all(axis=None) and len(predicted) == 7
