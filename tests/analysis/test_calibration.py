"""Confidence histograms, reliability, calibration error and error detection."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import data
from labkit.analysis import calibration


class RedModel:
    """Class 0 has the logit red / 25.5, from 0 to 10; the other logits are 0."""

    def predict_on_batch(self, images):
        return np.asarray(images) * np.array([1 / 25.5, 0, 0], "float32")


def histogram(reds, labels, **options):
    """The histogram of images of 4x4 pixels, each of one color and one class."""
    images = np.zeros((len(reds), 4, 4, 3), np.uint8)
    images[..., 0] = np.reshape(reds, (-1, 1, 1))
    masks = 0 * images[..., :1] + np.array(labels, np.uint8).reshape(-1, 1, 1, 1)
    return calibration.confidence_histogram(RedModel(), data.Split(images, masks, {}), **options)


def test_histogram_counts_by_confidence_and_confident_errors_are_suspect():
    counts, suspect_fraction = histogram([51, 51, 255], [0, 1, 0])
    assert counts.sum() == 48
    assert counts[786].tolist() == [16, 16]  # e^2 / (e^2 + 2) = 0.7870
    assert counts[999].tolist() == [0, 16]
    assert suspect_fraction.tolist() == [0, 0, 0]  # no wrong pixel with confidence
    assert histogram([255, 255, 51], [1, 0, 1]).suspect_fraction.tolist() == [1, 0, 0]
    assert histogram([51], [1], sure=0.7).suspect_fraction.tolist() == [1]


def make_counts(*rows):
    counts = np.zeros((1000, 2), int)
    for confidence, wrong, right in rows:
        counts[round(confidence * 1000)] += (wrong, right)
    return counts


def test_reliability_and_ece_known_values():
    counts = make_counts((0.5, 10, 10), (0.95, 30, 30))
    table = calibration.reliability(counts)
    assert table["accuracy"].tolist() == [0.5, 0.5]
    np.testing.assert_allclose(table["confidence"], [0.5005, 0.9505])
    assert table["share"].tolist() == [0.25, 0.75]
    assert calibration.ece(counts) == pytest.approx(0.25 * 0.0005 + 0.75 * 0.4505)


@given(st.integers(1, 999), st.integers(1, 500))
def test_ece_of_calibrated_model_is_zero(step, pixels):
    """A fraction p of the pixels with confidence p is correct."""
    counts = np.zeros((1000, 2))
    p = (step + 0.5) / 1000
    counts[step] = pixels * (1 - p), pixels * p
    assert calibration.ece(counts, bins=1000) == pytest.approx(0, abs=1e-9)


@given(st.integers(0, 1000))
def test_ece_is_bounded_and_not_lowered_by_finer_bins(seed):
    counts = np.random.default_rng(seed).integers(0, 20, (1000, 2))
    coarse, fine = calibration.ece(counts, 10), calibration.ece(counts, 100)
    assert 0 <= coarse <= fine + 1e-12 <= 1


@pytest.mark.parametrize("bins", [0, -1, 7])
def test_invalid_bins_raise(bins):
    with pytest.raises(ValueError, match=f"bins is {bins}:.* 1000"):
        calibration.reliability(np.ones((1000, 2)), bins)


def test_errors_found_among_least_confident_pixels():
    counts = make_counts((0.4, 8, 2), (0.99, 2, 88))
    assert calibration.errors_found(counts, (0.1, 1.0)).tolist() == pytest.approx([0.8, 1.0])
    uninformative = calibration.errors_found(np.tile([1, 9], (1000, 1)))
    assert uninformative.tolist() == pytest.approx(list(uninformative.index))
    assert calibration.errors_found(make_counts((0.9, 0, 5))).isna().all()  # no errors
