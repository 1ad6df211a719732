"""Robustness: each kind of image damage, and the table of scores."""

import numpy as np
import pytest

from labkit import data
from labkit.analysis import robustness


@pytest.fixture(scope="module")
def split(_sealed):
    return data.load(data.SYNTHETIC, 64, (1, 6)).test


def mean_change(split, worse):
    return np.abs(worse.images.astype(int) - split.images).mean()


@pytest.mark.parametrize("kind", robustness.LEVELS)
def test_damage_grows_with_level(split, kind):
    levels = robustness.LEVELS[kind]
    changes = [mean_change(split, robustness.worsen(split, kind, level)) for level in levels]
    assert 0 < changes[0] < changes[1]
    # A rotation by 90 degrees may change fewer pixels than one by 45.
    assert changes[1] < changes[2] or kind == "rotation"


@pytest.mark.parametrize("kind", robustness.LEVELS)
def test_worsen_keeps_shapes_dtypes_and_classes(split, kind):
    worse = robustness.worsen(split, kind, robustness.LEVELS[kind][-1])
    assert worse.images.shape == split.images.shape and worse.images.dtype == np.uint8
    assert worse.masks.shape == split.masks.shape and worse.masks.dtype == np.uint8
    assert set(np.unique(worse.masks)) <= {0, 1, 2}
    assert worse.table is split.table


@pytest.mark.parametrize("kind", ["blur", "noise", "JPEG", "darkness"])
def test_pixel_damage_keeps_masks_and_is_reproducible(split, kind):
    worse = robustness.worsen(split, kind, robustness.LEVELS[kind][-1])
    np.testing.assert_array_equal(worse.masks, split.masks)
    repeated = robustness.worsen(split, kind, robustness.LEVELS[kind][-1])
    np.testing.assert_array_equal(worse.images, repeated.images)


@pytest.mark.parametrize(("kind", "level"), [("rotation", 360), ("size", 1)])
def test_identity_transform_changes_nothing(split, kind, level):
    worse = robustness.worsen(split, kind, level)
    np.testing.assert_array_equal(worse.masks, split.masks)
    assert mean_change(split, worse) < 0.5


def test_rotation_by_90_matches_numpy(split):
    worse = robustness.worsen(split, "rotation", 90)
    rotations = [np.rot90(split.masks, k, axes=(1, 2)) for k in (1, 3)]
    agreement = [(worse.masks == rotated).mean() for rotated in rotations]
    assert max(agreement) > 0.98
    best = rotations[int(np.argmax(agreement))]
    rotated_images = np.rot90(split.images, (1, 3)[int(np.argmax(agreement))], axes=(1, 2))
    assert best.shape == worse.masks.shape
    assert np.abs(rotated_images.astype(int) - worse.images).mean() < 1


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
    monkeypatch.setattr(
        robustness.ops, "convert_to_numpy", lambda device_tensor: read(device_tensor.tensor)
    )
    worse = robustness.worsen(split, "rotation", 15)
    np.testing.assert_array_equal(worse.images, expected.images)
    np.testing.assert_array_equal(worse.masks, expected.masks)


def test_size_scales_image_about_center(split):
    worse = robustness.worsen(split, "size", 0.5)
    middle = worse.masks[:, 16:48, 16:48, 0]
    small = split.masks[:, ::2, ::2, 0]
    assert (middle == small).mean() > 0.9


def test_darkness_multiplies_pixels(split):
    worse = robustness.worsen(split, "darkness", 0.5)
    np.testing.assert_allclose(worse.images, split.images / 2, atol=1)


def test_unknown_kind_raises(split):
    with pytest.raises(ValueError, match="kind is 'rain': use one of blur, noise"):
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
