"""Scores of a model on a split, and their confidence intervals."""

import keras
import numpy as np
import pytest

from labkit import classes, data, losses, metrics
from labkit.analysis import scores
from labkit.analysis.scores import Tally
from labkit.classes import IGNORE, PETS, Classes

NAMES = {
    *("loss", "accuracy", "mean IoU"),
    *(f"{name} boundary IoU" for name in classes.NAMES),
    *(f"{kind} {b} steps from the edge" for kind in ("accuracy", "pet IoU") for b in scores.BANDS),
    *(f"{name} {kind} pooled" for name in classes.NAMES for kind in ("IoU", "Dice")),
    *(f"{name} {kind} per image" for name in classes.NAMES for kind in ("IoU", "Dice")),
}


@pytest.fixture(scope="module")
def model():
    """A single convolution with an asymmetric kernel."""
    start = keras.initializers.RandomNormal(0.0, 1 / 255, seed=3)
    convolution = keras.layers.Conv2D(3, 5, padding="same", kernel_initializer=start)
    return keras.Sequential([keras.Input((32, 32, 3)), convolution])


@pytest.fixture(scope="module")
def split(_sealed):
    return data.load(data.SYNTHETIC, 32, (1, 40)).test


def test_score_matches_metrics_of_predicted_masks(model, split):
    values = scores.score(model, split)
    assert set(values) == NAMES
    assert all(type(value) is float and value >= 0 for value in values.values())
    logits = model.predict_on_batch(np.asarray(split.images))
    pred_masks = logits.argmax(-1)[..., np.newaxis]
    loss = float(losses.CrossEntropy()(np.asarray(split.masks), logits))
    assert values.pop("loss") == pytest.approx(loss, rel=1e-5)
    assert max(values.values()) <= 1
    assert values["accuracy"] == pytest.approx(metrics.accuracy(split.masks, pred_masks))
    assert values["mean IoU"] == pytest.approx(metrics.mean_iou(split.masks, pred_masks))
    for kind, score in (("IoU", metrics.iou), ("Dice", metrics.dice)):
        for how, average in (("pooled", "pooled"), ("per image", "image")):
            expected = score(split.masks, pred_masks, average)
            actual = [values[f"{name} {kind} {how}"] for name in classes.NAMES]
            assert actual == pytest.approx(expected)
    both, either = metrics.boundary_areas(split.masks, pred_masks).sum(0)[classes.PET]
    assert values["pet boundary IoU"] == pytest.approx(both / either)


def test_loss_of_an_image_is_the_mean_of_its_pixels_that_count(model, split):
    """One image without ignored pixels, one with few others, in one batch."""
    masks = np.array(split.masks[:2])
    masks[1, :30] = IGNORE
    both = data.Split(split.images[:2], masks, {}, Classes(PETS.names, ignore=True))
    counts = scores.tally(model, both)
    for index, rows in ((0, slice(None)), (1, slice(30, None))):
        logits = model.predict_on_batch(np.asarray(both.images))[[index], rows]
        expected = float(losses.CrossEntropy()(masks[[index], rows], logits))
        loss = scores.summarize(counts.select([index]))["loss"]
        assert loss == pytest.approx(expected, rel=1e-5)


def test_flips_average_both_views(model, split):
    images = np.asarray(split.images)
    logits, mirrored = (model.predict_on_batch(x) for x in (images, images[:, :, ::-1]))
    both = keras.ops.softmax(logits) + keras.ops.softmax(mirrored[:, :, ::-1])
    expected = metrics.accuracy(split.masks, np.argmax(both, axis=-1))
    assert expected != pytest.approx(scores.score(model, split)["accuracy"])
    assert scores.score(model, split, flips=True)["accuracy"] == pytest.approx(expected)


def test_confusion_by_distance_counts_pixels_by_edge_distance():
    masks = np.array([[[0] * 3 + [2] + [1] * 11]], np.uint8)
    predicted = np.where(masks == 2, 1, masks)  # the only border pixel is missed
    near = scores.confusion_by_distance(masks, predicted)[0]
    assert near.sum((1, 2)).tolist() == [3, 2, 3, 4, 3]  # 15 in total
    assert near[0].tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert all(np.trace(matrix) == matrix.sum() for matrix in near[1:])


# --- intervals -----------------------------------------------------------------------------------


def make_tally(correct):
    """Images of 10 pet pixels; the wrong ones are predicted as background."""
    matrix = np.zeros((len(correct), 3, 3), int)
    matrix[:, 0, 0], matrix[:, 0, 1] = correct, 10 - np.asarray(correct)
    near = np.repeat(matrix[:, None], len(scores.BANDS), axis=1)
    return Tally(np.ones(len(correct)), matrix, np.ones((len(correct), 3, 2), int), near, PETS)


@pytest.mark.parametrize("count", [10, 400])
def test_interval_matches_standard_error_of_mean(count):
    """Half of the n images score 1 and half 0, so the standard error is 1 / (2 sqrt(n))."""
    counts = make_tally([0, 10] * (count // 2))
    low, high = scores.intervals(counts, draws=1000)["accuracy"]
    reach = 1.96 / (2 * count**0.5)
    assert (0.5 - low, high - 0.5) == pytest.approx((reach, reach), rel=0.15)


def test_intervals_contain_score_and_are_reproducible(model, split):
    counts = scores.tally(model, split)
    intervals = scores.intervals(counts, draws=200)
    for name, value in scores.summarize(counts).items():
        low, high = intervals[name]
        assert low <= value <= high, name
    assert scores.intervals(counts, draws=200) == intervals
