"""Every score of a model on a split, in one pass, each with its bootstrap interval.

The model predicts once. What is kept of each image are counts of pixels; any score is made from
the counts of a set of images, so that an interval is the same sum over images drawn again.
"""

from typing import NamedTuple

import numpy as np
from keras import ops

from labkit import classes, losses, metrics, training

# Steps from the true edge between two classes, first and last of each band.
BANDS = {"0": (0, 0), "1": (1, 1), "2-3": (2, 3), "4-7": (4, 7), "8 or more": (8, 8)}


class Tally(NamedTuple):
    """What the scores are made from, one entry an image.

    Attributes:
        loss: mean cross-entropy of the pixels, float64 ``[N]``.
        matrix: confusion matrices, int64 ``[N, C, C]``.
        band: for each class, pixels in both boundary bands and in either, int64 ``[N, C, 2]``.
        near: confusion matrices of the pixels in each of ``BANDS``, int64 ``[N, D, C, C]``.
    """

    loss: np.ndarray
    matrix: np.ndarray
    band: np.ndarray
    near: np.ndarray

    def select(self, indices):
        """The tally of these images."""
        return Tally(*(column[indices] for column in self))


def score(model, split, flips=False):
    """Scores of a model on a split: a flat dict of floats.

    ``loss`` (cross-entropy, the mean over all pixels), ``accuracy`` and ``mean IoU`` (pooled); IoU
    and Dice of each class, "pooled" and "per image"; "boundary IoU" of each class (pooled);
    "accuracy" and "pet IoU" by steps from the true edge (pooled).
    ``flips`` predicts each image and its mirror image and takes the mean.
    """
    return summarise(tally(model, split, flips))


def tally(model, split, flips=False):
    """The ``Tally`` of a model on a split; shows how far it is."""
    parts = []
    for part, logits in training.predict_logits(model, split, flips=flips):
        masks, pred_masks = split.masks[part][..., 0], np.argmax(logits, axis=-1)
        entropy = losses.CrossEntropy(reduction=None)(split.masks[part], logits)  # [B, H, W]
        loss = np.mean(ops.convert_to_numpy(entropy), axis=(1, 2), dtype="float64")
        matrix = metrics.confusion(masks, pred_masks)
        band = metrics.boundary_areas(masks, pred_masks)
        parts.append((loss, matrix, band, matrices_near(masks, pred_masks)))
    return Tally(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def matrices_near(masks, pred_masks):
    """Confusion matrices by distance from the true edge, int64 ``[N, D, C, C]``; see ``BANDS``."""
    steps = metrics.distance_to_boundary(masks, most=8)
    number = classes.NUM_CLASSES
    cells = number * masks.astype(int) + pred_masks  # [N, H, W], which entry of the matrix
    found = []
    for first, last in BANDS.values():
        inside = (first <= steps) & (steps <= last)
        counted = [
            np.bincount(c[i], minlength=number**2) for c, i in zip(cells, inside, strict=True)
        ]
        found.append(np.reshape(counted, (-1, number, number)))
    return np.stack(found, axis=1)


def summarise(counts):
    """The scores that belong to a ``Tally``."""
    pooled = counts.matrix.sum(0)
    scores = {
        "loss": counts.loss.mean(),
        "accuracy": metrics.accuracy_from(pooled),
        "mean IoU": np.nanmean(metrics.iou_from(pooled, empty=np.nan)),
    }
    for kind, score_from in (("IoU", metrics.iou_from), ("Dice", metrics.dice_from)):
        for words, values in (
            ("pooled", score_from(pooled)),
            ("per image", score_from(counts.matrix).mean(0)),
        ):
            for name, value in zip(classes.NAMES, values, strict=True):
                scores[f"{name} {kind} {words}"] = value
    both, either = counts.band.sum(0).T
    for name, value in zip(classes.NAMES, both / np.maximum(either, 1), strict=True):
        scores[f"{name} boundary IoU"] = value
    for name, matrix in zip(BANDS, counts.near.sum(0), strict=True):
        scores[f"accuracy {name} steps from the edge"] = metrics.accuracy_from(matrix)
        scores[f"pet IoU {name} steps from the edge"] = metrics.iou_from(matrix)[classes.PET]
    return {name: float(value) for name, value in scores.items()}


def intervals(counts, draws=1000, seed=0):
    """Bootstrap 95 % interval of every score: ``{name: [low, high]}``.

    As many images as there are, drawn with replacement, ``draws`` times: how far a score would
    move with other images of the same kind. It says nothing of other trainings: that is what
    seeds are for. Source: Efron (1979).
    """
    rng = np.random.default_rng(seed)
    count = len(counts.loss)
    drawn = [summarise(counts.select(rng.integers(count, size=count))) for _ in range(draws)]
    limits = {
        name: np.quantile([scores[name] for scores in drawn], [0.025, 0.975]) for name in drawn[0]
    }
    return {name: [float(low), float(high)] for name, (low, high) in limits.items()}
