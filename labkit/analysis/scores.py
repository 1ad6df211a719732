"""All scores of a model on a split in one pass, with bootstrap intervals.

The model predicts once and pixels are counted for each image. Every score follows from the summed
counts of a set of images, so bootstrap intervals only resample the counts.
"""

from typing import NamedTuple

import keras
import numpy as np
import pandas as pd
from keras import ops

from labkit import metrics, training
from labkit.classes import IGNORE, NUM_CLASSES, Classes

# Bands of distance, in pixel steps, from the true edge between two classes: (first, last).
BANDS = {"0": (0, 0), "1": (1, 1), "2-3": (2, 3), "4-7": (4, 7), "8 or more": (8, 8)}


class Tally(NamedTuple):
    """The counts that scores are computed from, one entry per image.

    Attributes:
        loss: sum of the cross-entropy of the pixels that count, float64 ``[N]``.
        matrix: confusion matrices, int64 ``[N, C, C]``.
        band: intersection and union of each class's boundary bands, int64 ``[N, C, 2]``.
        near: confusion matrices of the pixels in each of ``BANDS``, int64 ``[N, D, C, C]``.
        classes: what the C numbers mean.
    """

    loss: np.ndarray
    matrix: np.ndarray
    band: np.ndarray
    near: np.ndarray
    classes: Classes

    def select(self, indices):
        """The tally of these images."""
        return Tally(*(column[indices] for column in self[:-1]), self.classes)


def score(model, split, flips=False):
    """Scores of a model on a split: a flat dict of floats.

    ``loss`` (mean cross-entropy), ``accuracy`` and ``mean IoU`` (pooled); IoU and Dice of each
    class, "pooled" and "per image"; "boundary IoU" of each class (pooled); "accuracy" and the IoU
    of the main class, such as "pet IoU", by steps from the true edge (pooled). Pixels and images in
    which a class is in neither mask do not count for it; its score is NaN if that leaves nothing.
    ``flips`` averages the predictions of each image and its mirror image.
    """
    return summarize(tally(model, split, flips))


def tally(model, split, flips=False):
    """The ``Tally`` of a model on a split; shows a progress bar."""
    options = {"num_classes": len(split.classes), "ignore": split.classes.ignored}
    batches = []
    for batch, logits in training.predict_logits(model, split, flips=flips):
        if not batches:
            training.check_split(split, logits.shape[-1])
        masks, pred_masks = split.masks[batch][..., 0], np.argmax(logits, axis=-1)
        loss = cross_entropy(masks, logits).sum((1, 2), dtype="float64")
        matrix = metrics.confusion(masks, pred_masks, **options)
        band = metrics.boundary_areas(masks, pred_masks, **options)
        near = confusion_by_distance(masks, pred_masks, options["num_classes"])
        batches.append((loss, matrix, band, near))
    columns = (np.concatenate(column) for column in zip(*batches, strict=True))
    return Tally(*columns, split.classes)


def cross_entropy(masks, logits):
    """Cross-entropy of each pixel, float32 ``[N, H, W]``; 0 where the mask is ignored.

    ``losses.CrossEntropy`` divides by the pixels that count in the whole batch; scores divide by
    those of the images that they are of.
    """
    counted = masks != IGNORE
    entropy = keras.losses.sparse_categorical_crossentropy(
        np.where(counted, masks, 0), logits, from_logits=True
    )
    return ops.convert_to_numpy(entropy) * counted


def confusion_by_distance(masks, pred_masks, num_classes=NUM_CLASSES):
    """Confusion matrices of the pixels in each of ``BANDS``, int64 ``[N, D, C, C]``."""
    steps = metrics.distance_to_boundary(masks, max(last for _, last in BANDS.values()))
    matrices = []
    for first, last in BANDS.values():
        inside = np.where((first <= steps) & (steps <= last), masks, IGNORE)
        matrices.append(metrics.confusion(inside, pred_masks, num_classes, IGNORE))
    return np.stack(matrices, axis=1)


def summarize(counts):
    """The scores of a ``Tally``, as ``score`` returns them."""
    pooled, names = counts.matrix.sum(0), counts.classes.names
    scores = {
        "loss": counts.loss.sum() / pooled.sum(),
        "accuracy": metrics.accuracy_from(pooled),
        "mean IoU": np.nanmean(metrics.iou_from(pooled, empty=np.nan)),
    }
    for kind, score_from in (("IoU", metrics.iou_from), ("Dice", metrics.dice_from)):
        for average, title in (("pooled", "pooled"), ("image", "per image")):
            values = metrics.averaged(score_from, counts.matrix, average, empty=np.nan)
            for name, value in zip(names, values, strict=True):
                scores[f"{name} {kind} {title}"] = value
    intersection, union = counts.band.sum(0).T
    bands = np.where(union > 0, intersection / np.maximum(union, 1), np.nan)
    for name, value in zip(names, bands, strict=True):
        scores[f"{name} boundary IoU"] = value
    main = counts.classes.main
    for name, matrix in zip(BANDS, counts.near.sum(0), strict=True):
        iou = metrics.iou_from(matrix, empty=np.nan)[counts.classes.number(main)]
        scores[f"accuracy {name} steps from the edge"] = metrics.accuracy_from(matrix)
        scores[f"{main} IoU {name} steps from the edge"] = iou
    return {name: float(value) for name, value in scores.items()}


def intervals(counts, draws=1000, seed=0):
    """Bootstrap 95 % interval of every score: ``{name: [low, high]}``.

    Resamples the images with replacement ``draws`` times, and leaves out samples without the class.
    The interval shows how a score varies with other images of the same kind, not with other
    trainings, for which there are seeds. Source: Efron (1979).
    """
    rng = np.random.default_rng(seed)
    count = len(counts.loss)
    samples = [summarize(counts.select(rng.integers(count, size=count))) for _ in range(draws)]
    limits = pd.DataFrame(samples).quantile([0.025, 0.975])  # NaN does not count
    return {name: limits[name].to_list() for name in limits}
