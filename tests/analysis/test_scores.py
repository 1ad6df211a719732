"""Scores of a model on a split, and their confidence intervals."""

import keras
import numpy as np
import pytest

from labkit import classes, data, losses, metrics
from labkit.analysis import scores
from labkit.analysis.scores import Tally

KINDS = ("accuracy", "pet IoU")
NAMES = {
    *("loss", "accuracy", "mean IoU"),
    *(f"{name} boundary IoU" for name in classes.NAMES),
    *(f"{name} {band} steps from the edge" for name in KINDS for band in scores.BANDS),
    *(
        f"{name} {kind} {how}"
        for name in classes.NAMES
        for kind in ("IoU", "Dice")
        for how in ("pooled", "per image")
    ),
}


@pytest.fixture(scope="module")
def model():
    """A single convolution with an asymmetric kernel."""
    start = keras.initializers.RandomNormal(0.0, 1.0, seed=3)
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(3, 5, padding="same", kernel_initializer=start),
        ]
    )
    model.compile()
    return model


@pytest.fixture(scope="module")
def split(_sealed):
    return data.load(data.SYNTHETIC, 32, (1, 40)).test


def test_score_matches_metrics_of_predicted_masks(model, split):
    values = scores.score(model, split)
    assert set(values) == NAMES
    logits = model.predict_on_batch(np.asarray(split.images))
    pred_masks = logits.argmax(-1)[..., np.newaxis]
    loss = float(losses.CrossEntropy()(np.asarray(split.masks), logits))
    assert values["loss"] == pytest.approx(loss, rel=1e-5)
    assert values["accuracy"] == pytest.approx(metrics.accuracy(split.masks, pred_masks))
    assert values["mean IoU"] == pytest.approx(metrics.mean_iou(split.masks, pred_masks))
    pooled, by_image = (metrics.iou(split.masks, pred_masks, how) for how in metrics.AVERAGES)
    assert [values[f"{name} IoU pooled"] for name in classes.NAMES] == pytest.approx(pooled)
    assert [values[f"{name} IoU per image"] for name in classes.NAMES] == pytest.approx(by_image)
    dice = metrics.dice(split.masks, pred_masks, "image")
    assert values["border Dice per image"] == pytest.approx(dice[classes.BORDER])
    both, either = metrics.boundary_areas(split.masks, pred_masks).sum(0)[classes.PET]
    assert values["pet boundary IoU"] == pytest.approx(both / either)


def test_scores_are_floats_in_range(model, split):
    for name, value in scores.score(model, split).items():
        assert type(value) is float and value >= 0, name
        assert value <= 1 or name == "loss", name


def test_flips_average_both_views(model, split):
    logits, mirrored = (
        model.predict_on_batch(np.asarray(images))
        for images in (split.images, split.images[:, :, ::-1])
    )
    both = keras.ops.softmax(logits) + keras.ops.softmax(mirrored[:, :, ::-1])
    pred_masks = np.argmax(both, axis=-1)
    flipped = scores.score(model, split, flips=True)
    assert flipped["accuracy"] == pytest.approx(metrics.accuracy(split.masks, pred_masks))
    assert flipped["accuracy"] != pytest.approx(scores.score(model, split)["accuracy"])


def test_flips_do_not_change_symmetric_model(split):
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(3, 1)]
    pointwise = keras.Sequential([keras.Input((32, 32, 3)), *layers])
    pointwise.compile()  # a 1x1 convolution is symmetric under flips
    plain, flipped = scores.score(pointwise, split), scores.score(pointwise, split, flips=True)
    assert flipped == pytest.approx(plain, abs=1e-3)


# --- intervals -----------------------------------------------------------------------------------


def make_tally(correct):
    """Images of 10 pet pixels; the wrong ones are predicted as background."""
    matrix = np.zeros((len(correct), 3, 3), int)
    matrix[:, 0, 0], matrix[:, 0, 1] = correct, 10 - np.asarray(correct)
    near = np.repeat(matrix[:, None], len(scores.BANDS), axis=1)
    return Tally(np.ones(len(correct)), matrix, np.ones((len(correct), 3, 2), int), near)


def test_matrices_near_counts_pixels_by_edge_distance():
    masks = np.array([[[0, 0, 0, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]]], np.uint8)
    predicted = np.where(masks == 2, 1, masks)  # the only border pixel is missed
    near = scores.confusion_by_distance(masks, predicted)[0]
    assert near.sum((1, 2)).tolist() == [3, 2, 3, 4, 3]  # 15 in total
    assert near[0].tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert all(np.trace(matrix) == matrix.sum() for matrix in near[1:])


def test_intervals_of_constant_scores_have_zero_width():
    intervals = scores.intervals(make_tally([7] * 30), draws=50)
    assert intervals["accuracy"] == [0.7, 0.7]
    assert intervals["loss"] == [1.0, 1.0]


def test_interval_matches_standard_error_of_mean():
    """Half of the n images score 1 and half 0, so the standard error is 1 / (2 sqrt(n))."""
    low, high = scores.intervals(make_tally([0, 10] * 200), draws=2000)["accuracy"]
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.025, 0.5 + 1.96 * 0.025), abs=0.01)


def test_more_images_narrow_interval():
    widths = [
        np.diff(scores.intervals(make_tally([0, 10] * count), draws=400)["accuracy"])[0]
        for count in (10, 160)
    ]
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.3)  # sixteen times the images


def test_intervals_contain_score_and_are_reproducible(model, split):
    counts = scores.tally(model, split)
    intervals = scores.intervals(counts, draws=200)
    for name, value in scores.summarize(counts).items():
        low, high = intervals[name]
        assert low <= value <= high, name
    assert scores.intervals(counts, draws=200) == intervals
