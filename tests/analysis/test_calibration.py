"""Confidence counted by hand, and what it is used for."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit import data
from labkit.analysis import calibration

properties = settings(deadline=None, max_examples=40)


@pytest.fixture(scope="module")
def model():
    """Logits from the picture: channel 0 over 25.5, so 0 to 10, and zero for two classes."""
    kernel = np.zeros((1, 1, 3, 3), "float32")
    kernel[0, 0, 0, 0] = 1 / 25.5
    start = keras.initializers.Constant(kernel)
    layer = keras.layers.Conv2D(3, 1, use_bias=False, kernel_initializer=start)
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Rescaling(1.0), layer])
    model.compile()
    return model


def split_of(reds, masks):
    images = np.zeros((len(reds), 4, 4, 3), np.uint8)
    images[..., 0] = np.reshape(reds, (-1, 1, 1))
    masks = np.broadcast_to(np.reshape(masks, (-1, 1, 1, 1)), (len(reds), 4, 4, 1))
    return data.Split(images, masks.astype(np.uint8), {"name": np.arange(len(reds)).astype(str)})


def test_pixels_are_counted_by_confidence_and_truth(model):
    split = split_of([51, 51, 255], [0, 1, 0])  # confidence 0.787, 0.787, 0.9999
    found = calibration.confidence_histogram(model, split)
    assert found.counts.sum() == 48
    assert found.counts[786].tolist() == [16, 16]  # e^2 / (e^2 + 2) = 0.7870
    assert found.counts[999].tolist() == [0, 16]
    assert found.suspect_fraction.tolist() == [0, 0, 0]


def test_a_sure_contradiction_is_doubt(model):
    found = calibration.confidence_histogram(model, split_of([255, 255, 51], [1, 0, 1]))
    assert found.suspect_fraction.tolist() == [1, 0, 0]
    less = calibration.confidence_histogram(model, split_of([51], [1]), sure=0.7)
    assert less.suspect_fraction.tolist() == [1]


def counts_of(lines):
    counts = np.zeros((1000, 2), int)
    for confidence, wrong, right in lines:
        counts[round(confidence * 1000)] += (wrong, right)
    return counts


def test_reliability_and_ece_by_hand():
    counts = counts_of([(0.5, 10, 10), (0.95, 30, 30)])
    lines = calibration.reliability(counts)
    assert lines["accuracy"].tolist() == [0.5, 0.5]
    np.testing.assert_allclose(lines["confidence"], [0.5005, 0.9505])
    assert lines["share"].tolist() == [0.25, 0.75]
    assert calibration.ece(counts) == pytest.approx(0.25 * 0.0005 + 0.75 * 0.4505)


@properties
@given(st.integers(1, 999), st.integers(1, 500))
def test_a_calibrated_model_has_no_error(step, pixels):
    """Of the pixels with confidence p, a part p is right."""
    counts = np.zeros((1000, 2))
    p = (step + 0.5) / 1000
    counts[step] = pixels * (1 - p), pixels * p
    assert calibration.ece(counts, bins=1000) == pytest.approx(0, abs=1e-9)


@properties
@given(st.integers(0, 1000))
def test_ece_is_between_0_and_1_and_finer_bins_never_lower_it(seed):
    counts = np.random.default_rng(seed).integers(0, 20, (1000, 2))
    coarse, fine = calibration.ece(counts, 10), calibration.ece(counts, 100)
    assert 0 <= coarse <= fine + 1e-12 <= 1


@pytest.mark.parametrize("bins", [0, -1, 7])
def test_bins_that_do_not_fit_are_refused(bins):
    with pytest.raises(ValueError, match=f"bins is {bins}: use a divisor of 1000"):
        calibration.reliability(np.ones((1000, 2)), bins)


def test_errors_are_found_among_the_least_sure():
    counts = counts_of([(0.4, 8, 2), (0.99, 2, 88)])
    found = calibration.errors_found(counts, (0.1, 1.0))
    assert found.tolist() == pytest.approx([0.8, 1.0])


def test_confidence_that_says_nothing_finds_as_many_as_it_looks_at():
    counts = np.tile([1, 9], (1000, 1))
    found = calibration.errors_found(counts)
    assert found.tolist() == pytest.approx(list(found.index))


def test_without_errors_none_can_be_found():
    assert calibration.errors_found(counts_of([(0.9, 0, 5)])).isna().all()
