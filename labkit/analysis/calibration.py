"""Calibration: does the confidence of a model match its accuracy, pixel by pixel?

The confidence of a pixel is the probability of its predicted class.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from keras import ops

from labkit import training

FINE_BINS = 1000  # bins of the histogram; tables and figures have fewer


class Confidence(NamedTuple):
    """The result of ``confidence_histogram``.

    Attributes:
        counts: int64 ``[1000, 2]``: wrong and right pixels by confidence, 0 to 1 in equal steps.
        suspect_fraction: float64 ``[N]``: share of each image's pixels where the model is sure of
            a class that the mask contradicts.
    """

    counts: np.ndarray
    suspect_fraction: np.ndarray


def confidence_histogram(model, split, sure=0.95):
    """The ``Confidence`` of a model on a split, in one pass; shows a progress bar.

    Args:
        model: image ``[B, H, W, 3]`` -> logits ``[B, H, W, C]``.
        split: a ``labkit.data.Split``.
        sure: lowest confidence of a wrong prediction that makes its pixel suspect.
    """
    counts, suspect_fraction = np.zeros((FINE_BINS, 2), np.int64), []
    for part, logits in training.predict_logits(model, split):
        probabilities = ops.convert_to_numpy(ops.softmax(logits))
        confidence, predicted = probabilities.max(-1), probabilities.argmax(-1)  # [B, H, W]
        masks = split.masks[part][..., 0]
        right, wrong = predicted == masks, (predicted != masks) & (masks < probabilities.shape[-1])
        bins = np.minimum((confidence * FINE_BINS).astype(int), FINE_BINS - 1)
        for column, pixels in enumerate((wrong, right)):  # ignored ones, 255, are neither
            counts[:, column] += np.bincount(bins[pixels], minlength=FINE_BINS)
        suspect_fraction.append((wrong & (confidence >= sure)).mean((1, 2)))
    return Confidence(counts, np.concatenate(suspect_fraction))


def reliability(counts, bins=10):
    """Mean confidence and accuracy by bin of confidence (reliability diagram), a pandas table.

    Args:
        counts: of ``Confidence``.
        bins: number of bins, a divisor of 1000.

    Returns:
        ``confidence`` (mean), ``accuracy``, and ``share`` of all pixels, without empty bins. A
        calibrated model has accuracy = confidence in every row.
    """
    if bins < 1 or FINE_BINS % bins:
        raise ValueError(f"bins is {bins}: use a divisor of {FINE_BINS}, such as 10")
    bin_centers = (np.arange(FINE_BINS) + 0.5) / FINE_BINS
    confidence_sums = (counts.sum(1) * bin_centers).reshape(bins, -1).sum(1)
    right = counts[:, 1].reshape(bins, -1).sum(1)
    total = counts.sum(1).reshape(bins, -1).sum(1)
    filled = total > 0
    columns = {
        "confidence": confidence_sums[filled] / total[filled],
        "accuracy": right[filled] / total[filled],
        "share": total[filled] / total.sum(),
    }
    return pd.DataFrame(columns)


def ece(counts, bins=10):
    """Expected calibration error: mean ``|accuracy - confidence|`` of bins weighted by pixels.

    Source: Guo et al. (2017), arXiv:1706.04599, equation 3, with confidence rounded to 0.001.
    """
    table = reliability(counts, bins)
    return float((table["share"] * (table["accuracy"] - table["confidence"]).abs()).sum())


def errors_found(counts, shares=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5)):
    """Share of all errors among the pixels with the lowest confidence.

    Args:
        counts: of ``Confidence``.
        shares: of all pixels that are inspected, lowest confidence first.

    Returns:
        A pandas series, index ``shares``: the share of all errors in them. Inspecting pixels at
        random would give ``shares`` itself. NaN if there are no errors.
    """
    inspected = np.concatenate([[0], counts.sum(1).cumsum() / counts.sum()])
    errors = counts[:, 0]
    if errors.sum() == 0:
        return pd.Series(np.nan, index=list(shares))
    errors_share = np.concatenate([[0], errors.cumsum() / errors.sum()])
    return pd.Series(np.interp(shares, inspected, errors_share), index=list(shares))
