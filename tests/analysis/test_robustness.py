"""Each kind of damage does what it says, and nothing else."""

import numpy as np
import pytest

from labkit import data
from labkit.analysis import robustness


@pytest.fixture(scope="module")
def split(_sealed):
    return data.load(data.SYNTHETIC, 64, (1, 6)).test


def strength(split, worse):
    return np.abs(worse.images.astype(int) - split.images).mean()


@pytest.mark.parametrize("kind", robustness.LEVELS)
def test_stronger_is_farther_from_the_picture(split, kind):
    levels = robustness.LEVELS[kind]
    found = [strength(split, robustness.worsen(split, kind, level)) for level in levels]
    assert 0 < found[0] < found[1]
    # A quarter turn may happen to be nearer than half of one.
    assert found[1] < found[2] or kind == "rotation"


@pytest.mark.parametrize("kind", robustness.LEVELS)
def test_pictures_keep_their_form_and_masks_their_classes(split, kind):
    worse = robustness.worsen(split, kind, robustness.LEVELS[kind][-1])
    assert worse.images.shape == split.images.shape and worse.images.dtype == np.uint8
    assert worse.masks.shape == split.masks.shape and worse.masks.dtype == np.uint8
    assert set(np.unique(worse.masks)) <= {0, 1, 2}
    assert worse.table is split.table


@pytest.mark.parametrize("kind", ["blur", "noise", "JPEG", "darkness"])
def test_what_does_not_move_leaves_the_mask_alone(split, kind):
    worse = robustness.worsen(split, kind, robustness.LEVELS[kind][-1])
    np.testing.assert_array_equal(worse.masks, split.masks)
    again = robustness.worsen(split, kind, robustness.LEVELS[kind][-1])
    np.testing.assert_array_equal(worse.images, again.images)


@pytest.mark.parametrize(("kind", "level"), [("rotation", 360), ("size", 1)])
def test_image_and_mask_move_together_and_no_movement_is_none(split, kind, level):
    worse = robustness.worsen(split, kind, level)
    np.testing.assert_array_equal(worse.masks, split.masks)
    assert strength(split, worse) < 0.5


def test_a_quarter_turn_is_that_of_numpy(split):
    worse = robustness.worsen(split, "rotation", 90)
    turns = [np.rot90(split.masks, k, axes=(1, 2)) for k in (1, 3)]
    agree = [(worse.masks == turned).mean() for turned in turns]
    assert max(agree) > 0.98
    right = turns[int(np.argmax(agree))]
    turned_images = np.rot90(split.images, (1, 3)[int(np.argmax(agree))], axes=(1, 2))
    assert right.shape == worse.masks.shape
    assert np.abs(turned_images.astype(int) - worse.images).mean() < 1


class OnDevice:
    """As a tensor of PyTorch's on a GPU, which NumPy can't read."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __array__(self, *_, **__):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


def test_what_was_moved_may_lie_on_a_gpu(split, monkeypatch):
    expected = robustness.worsen(split, "rotation", 15)
    move, read = robustness.move, robustness.ops.convert_to_numpy
    monkeypatch.setattr(robustness, "move", lambda *given: OnDevice(move(*given)))
    monkeypatch.setattr(robustness.ops, "convert_to_numpy", lambda found: read(found.tensor))
    found = robustness.worsen(split, "rotation", 15)
    np.testing.assert_array_equal(found.images, expected.images)
    np.testing.assert_array_equal(found.masks, expected.masks)


def test_half_the_size_has_the_picture_in_its_middle(split):
    worse = robustness.worsen(split, "size", 0.5)
    middle = worse.masks[:, 16:48, 16:48, 0]
    small = split.masks[:, ::2, ::2, 0]
    assert (middle == small).mean() > 0.9


def test_darkness_multiplies(split):
    worse = robustness.worsen(split, "darkness", 0.5)
    np.testing.assert_allclose(worse.images, split.images / 2, atol=1)


def test_an_unknown_kind_is_named(split):
    with pytest.raises(ValueError, match="kind is 'rain': use one of blur, noise"):
        robustness.worsen(split, "rain", 1)


def test_the_table_scores_each_kind_and_strength(split, monkeypatch):
    """A perfect model of the picture at hand: it fails as soon as masks were not moved along."""
    asked = []

    def predict_masks(model, worse):
        asked.append(worse)
        return worse.masks

    monkeypatch.setattr(robustness.training, "predict_masks", predict_masks)
    found = robustness.table(None, split, ("blur", "rotation"))
    assert list(found.index) == ["blur", "rotation"]
    assert list(found.columns) == ["unchanged", "mild", "medium", "strong"]
    assert (found == 1).all(axis=None) and len(asked) == 7
