"""Scores of a model on a split, and how sure they are."""

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
    """A model of one convolution, whose kernel knows left from right."""
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


def test_scores_are_those_of_the_predicted_masks(model, split):
    found = scores.score(model, split)
    assert set(found) == NAMES
    logits = model.predict_on_batch(np.asarray(split.images))
    pred_masks = logits.argmax(-1)[..., np.newaxis]
    loss = float(losses.CrossEntropy()(np.asarray(split.masks), logits))
    assert found["loss"] == pytest.approx(loss, rel=1e-5)
    assert found["accuracy"] == pytest.approx(metrics.accuracy(split.masks, pred_masks))
    assert found["mean IoU"] == pytest.approx(metrics.mean_iou(split.masks, pred_masks))
    pooled, by_image = (metrics.iou(split.masks, pred_masks, how) for how in metrics.AVERAGES)
    assert [found[f"{name} IoU pooled"] for name in classes.NAMES] == pytest.approx(pooled)
    assert [found[f"{name} IoU per image"] for name in classes.NAMES] == pytest.approx(by_image)
    dice = metrics.dice(split.masks, pred_masks, "image")
    assert found["border Dice per image"] == pytest.approx(dice[classes.BORDER])
    both, either = metrics.boundary_areas(split.masks, pred_masks).sum(0)[classes.PET]
    assert found["pet boundary IoU"] == pytest.approx(both / either)


def test_scores_are_plain_floats_where_scores_can_be(model, split):
    for name, value in scores.score(model, split).items():
        assert type(value) is float and value >= 0, name
        assert value <= 1 or name == "loss", name


def test_flips_score_the_mean_of_both_views(model, split):
    logits, mirrored = (
        model.predict_on_batch(np.asarray(images))
        for images in (split.images, split.images[:, :, ::-1])
    )
    both = keras.ops.softmax(logits) + keras.ops.softmax(mirrored[:, :, ::-1])
    pred_masks = np.argmax(both, axis=-1)
    found = scores.score(model, split, flips=True)
    assert found["accuracy"] == pytest.approx(metrics.accuracy(split.masks, pred_masks))
    assert found["accuracy"] != pytest.approx(scores.score(model, split)["accuracy"])


def test_flips_change_nothing_where_both_views_agree(split):
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(3, 1)]
    blind = keras.Sequential([keras.Input((32, 32, 3)), *layers])
    blind.compile()  # a 1x1 convolution can't tell left from right
    plain, flipped = scores.score(blind, split), scores.score(blind, split, flips=True)
    assert flipped == pytest.approx(plain, abs=1e-3)


# --- intervals -----------------------------------------------------------------------------------


def tally(right):
    """Images of 10 pixels, of which so many are right; the others are background for pet."""
    matrix = np.zeros((len(right), 3, 3), int)
    matrix[:, 0, 0], matrix[:, 0, 1] = right, 10 - np.asarray(right)
    near = np.repeat(matrix[:, None], len(scores.BANDS), axis=1)
    return Tally(np.ones(len(right)), matrix, np.ones((len(right), 3, 2), int), near)


def test_pixels_are_counted_by_their_steps_from_the_edge():
    masks = np.array([[[0, 0, 0, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]]], np.uint8)
    predicted = np.where(masks == 2, 1, masks)  # the one pixel of border is missed
    near = scores.confusion_by_distance(masks, predicted)[0]
    assert near.sum((1, 2)).tolist() == [3, 2, 3, 4, 3]  # in all: 15 pixels
    assert near[0].tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert all(np.trace(matrix) == matrix.sum() for matrix in near[1:])


def test_a_score_that_is_the_same_in_all_images_is_sure():
    found = scores.intervals(tally([7] * 30), draws=50)
    assert found["accuracy"] == [0.7, 0.7]
    assert found["loss"] == [1.0, 1.0]


def test_an_interval_is_that_of_the_mean():
    """Half the images all right, half all wrong: the mean of n has a deviation of 1/2 sqrt(n)."""
    low, high = scores.intervals(tally([0, 10] * 200), draws=2000)["accuracy"]
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.025, 0.5 + 1.96 * 0.025), abs=0.01)


def test_more_images_make_an_interval_narrower():
    widths = [
        np.diff(scores.intervals(tally([0, 10] * count), draws=400)["accuracy"])[0]
        for count in (10, 160)
    ]
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.3)  # sixteen times the images


def test_an_interval_holds_the_score_and_is_the_same_again(model, split):
    counts = scores.tally(model, split)
    found = scores.intervals(counts, draws=200)
    for name, value in scores.summarize(counts).items():
        low, high = found[name]
        assert low <= value <= high, name
    assert scores.intervals(counts, draws=200) == found
