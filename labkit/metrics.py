"""Pixel accuracy, IoU and Dice: for each class, pooled over pixels or averaged over images.

They are computed from confusion matrices: the number of pixels of class i predicted as class j.

* **pooled** scores the sum of all images' matrices: every pixel has the same weight.
* **image** averages the scores of the images: every image has the same weight.

Functions of arrays refuse a value that is no class, except the one named as ``ignore``. Keras
metrics leave out pixels whose mask is 255 (``classes.IGNORE``).

The IoU of a class absent from both mask and prediction is undefined (0 / 0). It scores ``empty``,
by default 1.0: the prediction is right.
"""

import keras
import numpy as np
from keras import ops
from scipy import ndimage

from labkit import classes
from labkit.losses import class_numbers

AVERAGES = ("pooled", "image")


def confusion(mask, pred_mask, num_classes=classes.NUM_CLASSES, ignore=None):
    """The confusion matrix of each image.

    Args:
        mask: true classes, integers ``[N, H, W]`` or ``[N, H, W, 1]``.
        pred_mask: predicted classes, same shape.
        num_classes: C, the number of classes.
        ignore: a value of ``mask`` whose pixels are not counted, such as 255.

    Returns:
        int64 ``[N, C, C]``; entry ``[n, i, j]`` counts the pixels of image n whose true class
        is i and whose predicted class is j.

    Raises:
        ValueError: for other shapes, or a value outside 0 to C - 1.
    """
    mask, pred_mask, counted = _pair(mask, pred_mask, num_classes, ignore)
    cells = mask * num_classes + pred_mask  # index into the flat matrix
    counts = [
        np.bincount(image[inside], minlength=num_classes**2)
        for image, inside in zip(cells, counted, strict=True)
    ]
    return np.array(counts, np.int64).reshape(len(mask), num_classes, num_classes)


def _pair(mask, pred_mask, num_classes, ignore):
    """Both as ``_labels`` returns them, of one shape, and whether each pixel counts."""
    mask, counted = _labels(mask, "mask", num_classes, ignore)
    pred_mask, _ = _labels(pred_mask, "pred_mask", num_classes)
    if mask.shape != pred_mask.shape:
        shapes = f"mask has shape {mask.shape}, pred_mask {pred_mask.shape}"
        raise ValueError(f"{shapes}: use equal shapes")
    return mask, pred_mask, counted


def _labels(values, name, num_classes, ignore=None):
    """Check labels: (int64 ``[N, H, W]``, 0 where ignored; bool, whether each pixel counts)."""
    values = np.asarray(values)
    if values.ndim == 4 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 3:
        hint = "; take the argmax of logits over the last axis" if values.ndim == 4 else ""
        raise ValueError(f"{name} needs shape [N, H, W] or [N, H, W, 1], got {values.shape}{hint}")
    if len(values) == 0:
        raise ValueError(f"{name} holds no image: use at least one")
    if not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"{name} needs whole numbers, got {values.dtype}: take argmax or cast it")
    counted = np.ones(values.shape, bool) if ignore is None else values != ignore
    values = np.where(counted, values.astype(np.int64), 0)
    if values.min() < 0 or values.max() >= num_classes:
        raise ValueError(
            f"{name} holds {values.min()} to {values.max()}, but classes are 0 to {num_classes - 1}"
        )
    return values, counted


def iou_from(matrix, empty=1.0):
    """IoU of each class from confusion matrices ``[..., C, C]``: float64 ``[..., C]``.

    IoU = both / (true + predicted - both), the Jaccard index.
    """
    both, true, predicted = _areas(matrix)
    return _ratio(both, true + predicted - both, empty)


def dice_from(matrix, empty=1.0):
    """Dice of each class from confusion matrices ``[..., C, C]``: float64 ``[..., C]``.

    Dice = 2 both / (true + predicted), which is the F1 score of the pixels.
    """
    both, true, predicted = _areas(matrix)
    return _ratio(2 * both, true + predicted, empty)


def accuracy_from(matrix):
    """Pixel accuracy from confusion matrices ``[..., C, C]``: float64 ``[...]``.

    NaN for a matrix without pixels.
    """
    matrix = np.asarray(matrix)
    return _ratio(np.trace(matrix, axis1=-2, axis2=-1), matrix.sum((-2, -1)), np.nan)


def _areas(matrix):
    """Pixels in both regions, in the true and in the predicted region: each ``[..., C]``."""
    matrix = np.asarray(matrix)
    return np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-1), matrix.sum(-2)


def _ratio(numerator, denominator, empty):
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), empty)


def iou(mask, pred_mask, average="pooled", num_classes=classes.NUM_CLASSES, empty=1.0, ignore=None):
    """IoU of each class, float64 ``[C]``; ``average`` is "pooled" or "image".

    ``ignore`` is that of ``confusion``.
    """
    counts = confusion(mask, pred_mask, num_classes, ignore)
    return averaged(iou_from, counts, average, empty=empty)


def dice(
    mask, pred_mask, average="pooled", num_classes=classes.NUM_CLASSES, empty=1.0, ignore=None
):
    """Dice of each class, float64 ``[C]``; ``average`` is "pooled" or "image".

    ``ignore`` is that of ``confusion``.
    """
    counts = confusion(mask, pred_mask, num_classes, ignore)
    return averaged(dice_from, counts, average, empty=empty)


def accuracy(mask, pred_mask, num_classes=classes.NUM_CLASSES, ignore=None):
    """Share of pixels with the right class, a float; ``ignore`` is that of ``confusion``.

    Images have the same size, so that pooling pixels and averaging over images give the same.
    """
    return float(accuracy_from(confusion(mask, pred_mask, num_classes, ignore).sum(0)))


def mean_iou(mask, pred_mask, num_classes=classes.NUM_CLASSES, ignore=None):
    """Pooled IoU averaged over the classes that occur in the mask or the prediction, a float.

    Most papers and ``keras.metrics.MeanIoU`` define mean IoU in this way. ``ignore`` is that of
    ``confusion``.
    """
    return float(np.nanmean(iou(mask, pred_mask, "pooled", num_classes, np.nan, ignore)))


def averaged(score_from, matrices, average, **options):
    """Scores of each class, float64 ``[C]``, from confusion matrices ``[N, C, C]``.

    Args:
        score_from: ``iou_from`` or ``dice_from``.
        matrices: of N images.
        average: "pooled", or "image", where a NaN leaves its image out.
        options: of ``score_from``.
    """
    _check_average(average)
    if average == "pooled":
        return score_from(matrices.sum(0), **options)
    scores = score_from(matrices, **options)  # [N, C]
    is_valid = ~np.isnan(scores)
    mean = np.nansum(scores, axis=0) / np.maximum(is_valid.sum(0), 1)
    return np.where(is_valid.any(0), mean, np.nan)


def _check_average(average):
    if average not in AVERAGES:
        raise ValueError(f"average is {average!r}: use one of {', '.join(AVERAGES)}")


def boundary_areas(mask, pred_mask, num_classes=classes.NUM_CLASSES, distance=None, ignore=None):
    """Numerator and denominator of boundary IoU for each image and class.

    The band of a region is its pixels within ``distance`` of its outline; the image's sides count
    as outline too. Boundary IoU = pixels in both bands / pixels in either band. For large regions
    it is more sensitive to the outline than IoU.
    Source: Cheng et al. (2021), arXiv:2103.16562.

    Args:
        mask, pred_mask: integers ``[N, H, W]`` or ``[N, H, W, 1]``.
        num_classes: C, the number of classes.
        distance: in pixels; None for 2 % of the image's diagonal, as in the paper (4 at 128x128).
        ignore: a value of ``mask`` whose pixels are in no band, such as 255.

    Returns:
        int64 ``[N, C, 2]``: pixels in both bands, pixels in either.

    Raises:
        ValueError: as ``confusion``, or for a distance below 1.
    """
    mask, pred_mask, counted = _pair(mask, pred_mask, num_classes, ignore)
    if distance is None:
        distance = max(1, round(0.02 * float(np.hypot(*mask.shape[1:]))))
    areas = []
    for k in range(num_classes):
        true, predicted = (
            inner_band((values == k) & counted, distance) for values in (mask, pred_mask)
        )
        areas.append([(true & predicted).sum((1, 2)), (true | predicted).sum((1, 2))])
    return np.array(areas).transpose(2, 0, 1)


def inner_band(region, distance):
    """The pixels of regions within ``distance`` pixels of their outline, bool ``[N, H, W]``.

    A pixel is not in the band if the square of ``2 distance + 1`` pixels around it lies within the
    region.
    """
    if distance < 1:
        raise ValueError(f"distance is {distance}: use at least 1 pixel")
    side = 2 * distance + 1
    return region & ~ndimage.binary_erosion(region, np.ones((1, side, side)))


def distance_to_boundary(mask, max_distance=15):
    """Steps from each pixel to the nearest boundary between two classes, uint8 ``[N, H, W]``.

    A pixel with a neighbor (up, down, left or right) of another class has 0, its other neighbors
    1, and so on, up to ``max_distance``.

    Args:
        mask: integers ``[N, H, W]`` or ``[N, H, W, 1]``.
    """
    mask = np.asarray(mask)
    mask = mask[..., 0] if mask.ndim == 4 else mask
    cross = ndimage.generate_binary_structure(2, 1)
    neighbors = {"footprint": cross[None], "mode": "nearest"}
    inside = ndimage.maximum_filter(mask, **neighbors) == ndimage.minimum_filter(mask, **neighbors)
    distances = np.full(mask.shape, max_distance, "uint8")
    for image, distance in zip(inside, distances, strict=True):
        if not image.all():  # an image without a boundary keeps the maximum
            steps = ndimage.distance_transform_cdt(image, "taxicab")
            np.minimum(steps, max_distance, out=distance, casting="unsafe")
    return distances


def batch_confusion(y_true, logits):
    """The confusion matrix of each image of a batch, by ``keras.ops``.

    Args:
        y_true: masks ``[B, H, W, 1]`` or ``[B, H, W]``.
        logits: float ``[B, H, W, C]``, or probabilities; the prediction is the argmax.

    Returns:
        float32 tensor ``[B, C, C]``, as ``confusion`` with ``ignore=255``.

    Raises:
        ValueError: if the shapes do not match.
    """
    labels = class_numbers(y_true, logits)
    pixels, num_classes = logits.shape[1] * logits.shape[2], logits.shape[-1]
    y_true = ops.reshape(labels, (-1, pixels))
    y_pred = ops.reshape(ops.argmax(logits, axis=-1), (-1, pixels))
    # By comparison, because ``ops.one_hot`` fails at 255 on some backends.
    numbers = ops.arange(num_classes, dtype="int32")
    true_one_hot = ops.cast(ops.equal(y_true[..., None], numbers), "float32")  # [B, P, C]
    pred_one_hot = ops.one_hot(y_pred, num_classes, dtype="float32")  # [B, P, C]
    return ops.matmul(ops.transpose(true_one_hot, (0, 2, 1)), pred_one_hot)  # [B, C, C]


class _Score(keras.metrics.Metric):
    """A score of one class, accumulated over batches; subclasses define ``score``.

    ``class_name`` is one of the pets' classes or a number; ``num_classes`` is C, the number of
    channels of the logits.
    """

    def __init__(
        self, class_name, average="pooled", name=None, num_classes=classes.NUM_CLASSES, **options
    ):
        _check_average(average)
        among = (
            classes.PETS if num_classes == classes.NUM_CLASSES else classes.numbered(num_classes)
        )
        if class_name in classes.NAMES[:num_classes]:
            class_name = classes.PETS.number(class_name)
        self.class_id = among.number(class_name)
        self.average, self.num_classes = average, num_classes
        kind = type(self).__name__.lower()
        label = among.names[self.class_id].replace(" ", "_")
        super().__init__(name=name or f"{label}_{kind}", **options)
        shape = (num_classes, num_classes)
        self.matrix = self.add_weight(name="matrix", shape=shape, initializer="zeros")
        self.total = self.add_weight(name="total", shape=(), initializer="zeros")
        self.images = self.add_weight(name="images", shape=(), initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch: masks ``[B, H, W, 1]``, logits ``[B, H, W, C]``; ignores sample weights."""
        matrices = batch_confusion(y_true, y_pred)
        self.matrix.assign_add(ops.sum(matrices, axis=0))
        self.total.assign_add(ops.sum(self.score(matrices)))
        self.images.assign_add(ops.cast(ops.shape(matrices)[0], "float32"))

    def result(self):
        """The score so far, a scalar tensor."""
        if self.average == "pooled":
            return self.score(self.matrix)
        return ops.divide_no_nan(self.total, self.images)

    def score(self, matrix):
        """The class's score ``[...]`` from confusion matrices ``[..., C, C]``."""
        raise NotImplementedError

    def areas(self, matrix):
        """Pixels in both regions, in the true and in the predicted region: each ``[...]``."""
        k = self.class_id
        return matrix[..., k, k], ops.sum(matrix[..., k, :], -1), ops.sum(matrix[..., :, k], -1)

    def get_config(self):
        config = {"class_name": self.class_id, "average": self.average}
        return {**super().get_config(), **config, "num_classes": self.num_classes}


@keras.saving.register_keras_serializable("labkit.metrics")
class IoU(_Score):
    """IoU of one class over batches of masks and logits, as ``iou`` with ``empty=1``.

    ``IoU("pet")`` pools the pixels; ``IoU("pet", average="image")`` averages over images.
    """

    def score(self, matrix):
        both, true, predicted = self.areas(matrix)
        union = true + predicted - both
        return ops.where(union > 0, both / ops.maximum(union, 1.0), 1.0)


@keras.saving.register_keras_serializable("labkit.metrics")
class Dice(_Score):
    """Dice of one class over batches of masks and logits, as ``dice`` with ``empty=1``."""

    def score(self, matrix):
        both, true, predicted = self.areas(matrix)
        return ops.where(true + predicted > 0, 2 * both / ops.maximum(true + predicted, 1.0), 1.0)


@keras.saving.register_keras_serializable("labkit.metrics")
class MeanIoU(keras.metrics.MeanIoU):
    """Keras's pooled mean IoU for masks ``[B, H, W, 1]`` and logits ``[B, H, W, C]``.

    Keras's own defaults expect class numbers as predictions and fail on logits.
    """

    def __init__(self, num_classes=classes.NUM_CLASSES, name="mean_iou", **options):
        options.update(sparse_y_true=True, sparse_y_pred=False, ignore_class=classes.IGNORE)
        super().__init__(num_classes=num_classes, name=name, **options)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch; Keras expects labels without the last axis of one."""
        y_true = ops.squeeze(y_true, -1) if len(y_true.shape) == len(y_pred.shape) else y_true
        return super().update_state(y_true, y_pred, sample_weight)

    def get_config(self):
        base = super().get_config()
        return {key: base[key] for key in ("num_classes", "name", "dtype")}


@keras.saving.register_keras_serializable("labkit.metrics")
class Accuracy(keras.metrics.Mean):
    """Share of pixels with the right class, from masks ``[B, H, W, 1]`` and logits."""

    def __init__(self, name="accuracy", **options):
        super().__init__(name=name, **options)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch; ignores sample weights."""
        matrix = ops.sum(batch_confusion(y_true, y_pred), axis=0)
        right, counted = ops.trace(matrix), ops.sum(matrix)
        return super().update_state(ops.divide_no_nan(right, counted), sample_weight=counted)
