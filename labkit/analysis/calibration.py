"""Does a model know when it is wrong? Confidence held against truth, pixel by pixel.

The confidence of a pixel is the probability of the class that is predicted there.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from keras import ops

from labkit import training

FINE = 1000  # bins of confidence that are counted; figures have fewer


class Confidence(NamedTuple):
    """What ``confidence_histogram`` counts.

    Attributes:
        counts: int64 ``[1000, 2]``: pixels by confidence (0 to 1 in equal steps), wrong and right.
        suspect_fraction: float64 ``[N]``: the share of each image's pixels where the model is
            sure of another class than the mask has.
    """

    counts: np.ndarray
    suspect_fraction: np.ndarray


def confidence_histogram(model, split, sure=0.95):
    """Confidence of a model on a split, in one pass; shows how far it is.

    Args:
        model: image ``[B, H, W, 3]`` -> logits ``[B, H, W, C]``.
        split: a ``labkit.data.Split``.
        sure: confidence from which on a prediction that the mask contradicts makes us doubt the
            mask.
    """
    counts, suspect_fraction = np.zeros((FINE, 2), np.int64), []
    for part, logits in training.predict_logits(model, split):
        probabilities = ops.convert_to_numpy(ops.softmax(logits))
        confidence, predicted = probabilities.max(-1), probabilities.argmax(-1)  # [B, H, W]
        right = predicted == split.masks[part][..., 0]
        steps = np.minimum((confidence * FINE).astype(int), FINE - 1)
        for column, chosen in enumerate((~right, right)):
            counts[:, column] += np.bincount(steps[chosen], minlength=FINE)
        suspect_fraction.append((~right & (confidence >= sure)).mean((1, 2)))
    return Confidence(counts, np.concatenate(suspect_fraction))


def reliability(counts, bins=10):
    """Confidence and accuracy of the pixels in each bin of confidence, a pandas table.

    Args:
        counts: of ``Confidence``.
        bins: how many, a divisor of 1000.

    Returns:
        ``confidence`` (mean), ``accuracy`` and ``share`` of all pixels; bins without pixels are
        left out. A calibrated model has accuracy = confidence in every line.
    """
    if bins < 1 or FINE % bins:
        raise ValueError(f"bins is {bins}: use a divisor of {FINE}, such as 10")
    middle = (np.arange(FINE) + 0.5) / FINE
    pixels = counts.sum(1).reshape(bins, -1)
    sums = (counts.sum(1) * middle).reshape(bins, -1).sum(1)
    right = counts[:, 1].reshape(bins, -1).sum(1)
    total = pixels.sum(1)
    there = total > 0
    columns = {
        "confidence": sums[there] / total[there],
        "accuracy": right[there] / total[there],
        "share": total[there] / total.sum(),
    }
    return pd.DataFrame(columns)


def ece(counts, bins=10):
    """Expected calibration error: mean distance of accuracy and confidence over pixels, 0 to 1.

    Source: Guo et al. (2017), arXiv:1706.04599, equation 3, with confidence to 0.001.
    """
    lines = reliability(counts, bins)
    return float((lines["share"] * (lines["accuracy"] - lines["confidence"]).abs()).sum())


def errors_found(counts, shares=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5)):
    """Which part of all errors lies among the pixels that the model is least sure of.

    Args:
        counts: of ``Confidence``.
        shares: of all pixels that are looked at, least sure first.

    Returns:
        A pandas series, index ``shares``: the share of all errors that is found. Blind checking
        would find as many as it looks at. NaN if there is no error.
    """
    looked = np.concatenate([[0], counts.sum(1).cumsum() / counts.sum()])
    errors = counts[:, 0]
    if errors.sum() == 0:
        return pd.Series(np.nan, index=list(shares))
    found = np.concatenate([[0], errors.cumsum() / errors.sum()])
    return pd.Series(np.interp(shares, looked, found), index=list(shares))
