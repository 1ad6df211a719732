"""Tasks of the lab on skip connections. Classes: 0 pet, 1 background, 2 border."""

import numpy as np
import pandas as pd  # noqa: F401 - in an edit
from keras import ops
from scipy import stats

from labkit import classes, metrics
from labkit.check.answer import NotDone
from labkit.check.engine import task
from labkit.check.mistakes import PERCENT, Edit, arguments, edits, result
from labkit.check.question import Question

__all__ = ["NotDone"]

RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.normal(size=(5, classes.NUM_CLASSES)).astype("float32")
SIZES = (8, 16, 32, 64)


def doubled(x):
    return ops.convert_to_numpy(x).repeat(2, axis=1).repeat(2, axis=2)


LAYERS = {"logits": lambda x: doubled(x) @ WEIGHTS}
for size in SIZES:
    LAYERS[f"up_{size}"] = doubled
    LAYERS[f"skip_{size}"] = lambda pair: np.concatenate([*map(ops.convert_to_numpy, pair)], -1)


class SmallModel:
    """Stands in for a U-Net: its decoder's layers, in NumPy for speed, with one channel a tap."""

    def __init__(self, factor=1):
        self.factor = factor

    def get_layer(self, name):
        def layer(inputs, training=None):
            x = LAYERS[name](inputs)
            if not name.startswith("skip"):
                x = (-self.factor if training else self.factor) * x
            if name != "logits" and not name.endswith(f"_{x.shape[1]}"):
                raise ValueError(f"{name} can't return maps of {x.shape[1]}x{x.shape[1]}")
            return ops.convert_to_tensor(x)

        if name not in LAYERS:
            raise ValueError(f"No such layer: {name}")
        return layer

    def __repr__(self):
        return "a small model"


class Taps(list):
    """Feature maps, finest first."""

    def __repr__(self):
        return f"{len(self)} feature maps"


MODEL, OTHER_MODEL = SmallModel(), SmallModel(-1)
TAPS = Taps(RANDOM.normal(size=(1, side, side, 1)).astype("float32") for side in (64, 32, 16, 8, 4))


def summary(function, model, taps, *options):
    """What ``decode`` returns, as a few numbers, and the length of its list after the call."""
    tensors = [ops.convert_to_tensor(tap) for tap in taps]
    pred_masks = function(model, tensors, *options)
    if pred_masks is None:
        return None
    images = np.atleast_1d(np.asarray(pred_masks))
    counts = [[np.sum(image == k) for k in range(classes.NUM_CLASSES)] for image in images]
    return {
        "type": type(pred_masks).__name__,
        "shape": str(tuple(np.shape(pred_masks))),
        "pixels of each class": np.array(counts),
        "length of taps": len(tensors),
    }


@task(
    "10.1",
    cases=(
        (MODEL, TAPS),
        (MODEL, TAPS, [8]),
        (MODEL, TAPS, [64]),
        (MODEL, TAPS, [16, 32]),
        (MODEL, TAPS, [8, 16, 32, 64]),
        (OTHER_MODEL, TAPS, [16]),
        (MODEL, TAPS, [32], np.negative),
    ),
    adapter=summary,
    mistakes=(
        *edits("""
            _{size}")(x) => _{size}")(x, training=True)
                The layers are called in training mode, so they normalize by this batch.
            *skips, x = taps => skips, x = taps, taps.pop()
                The list taps is changed by the call, so a second call would fail. Copy it first.
            size in changed => False
                No skip is replaced, whatever changed is.
            size in changed => changed
                If changed is not empty, all skips are replaced. Replace only those sizes.
            size in changed => True
                All skips are replaced, even if changed is empty.
            size in changed => size not in changed
                The condition is inverted: the skips in changed are kept, the others are replaced.
            size in changed => 512 // size in changed
                For size 8, the skip of 64x64 is replaced. Taps start with the finest, the decoder
                with the coarsest.
            size in changed => size // 2 in changed
                For size 8, the skip of 16x16 is replaced. A skip has the size of the features
                after upsampling.
            size in changed => size in changed[:1]
                Only the first size in changed is replaced. There can be several.
            skip = fill(skip) => x = fill(x)
                The decoder's own features are replaced. Replace the skip.
            fill(skip) => ops.zeros_like(skip)
                The skips become zero, whatever fill is. The argument fill is ignored.
            [x, skip] => [skip, x]
                The features and the skip are swapped in the concatenation.
            np.argmax(logits, axis=-1) => logits
                These are the logits. Return the class of each pixel.
            axis=-1 => axis=1
                The argmax is over the wrong axis. The classes are the last axis.
        """),
        *(
            Edit(
                "fill(skip)",
                f"{factor} * skip",
                "The skip is only scaled down: its detail is still there. Replace it.",
            )
            for factor in (0.5, 0.1, 0.01, 0.001)
        ),
    ),
)
def decode(model, taps, changed=(), fill=ops.zeros_like):
    *skips, x = taps
    for size in SIZES:
        skip = skips.pop()
        x = model.get_layer(f"up_{size}")(x)
        if size in changed:
            skip = fill(skip)
        x = model.get_layer(f"skip_{size}")([x, skip])
    logits = ops.convert_to_numpy(model.get_layer("logits")(x))
    return np.argmax(logits, axis=-1)


def runs(seeds, mean_iou, accuracy):
    """Rows of a ledger with these scores on the test images."""
    scores = ({"mean IoU": m, "accuracy": a} for m, a in zip(mean_iou, accuracy, strict=True))
    return [{"seed": seed, "test": test} for seed, test in zip(seeds, scores, strict=True)]


def numbered(rows):
    """Rows whose seed is their position in the list."""
    return [row | {"seed": position} for position, row in enumerate(rows)]


WHOLE = runs((0, 1, 2), (0.70, 0.74, 0.72), (0.90, 0.92, 0.91))
WITHOUT = runs((0, 1, 2), (0.44, 0.46, 0.45), (0.80, 0.81, 0.85))
UNSORTED = runs((2, 0, 1), (0.71, 0.73, 0.72), (0.93, 0.88, 0.92))
OTHER_SEEDS = runs((1, 2, 3), (0.60, 0.77, 0.50), (0.85, 0.95, 0.70))
LATE_SEEDS = runs((8, 1, 16), (0.60, 0.77, 0.50), (0.85, 0.95, 0.70))  # a set has no order


@task(
    "10.2",
    cases=(
        (WHOLE, WITHOUT, "mean IoU"),
        (WHOLE, WITHOUT, "accuracy"),
        (WHOLE, UNSORTED, "mean IoU"),
        (WHOLE, OTHER_SEEDS, "accuracy"),
        (UNSORTED, OTHER_SEEDS, "mean IoU"),
        (LATE_SEEDS, runs((16, 1, 8), (0.65, 0.75, 0.5), (0.9, 0.9, 0.8)), "mean IoU"),
    ),
    mistakes=(
        *edits("""
            after[seed] - before[seed] => before[seed] - after[seed]
                The sign is reversed. A difference is negative where others score less.
            after[seed] - before[seed] => abs(after[seed] - before[seed])
                These are absolute values. The sign says which of the two scores more.
            after[seed] - before[seed] => after[seed] / before[seed] - 1
                These are relative differences. Do not divide by the score of base.
            after[seed] - before[seed] => 100 * (after[seed] - before[seed])
                The differences are multiplied by 100. Return them in the unit of the scores.
            after[seed] - before[seed] => after[seed]
                These are the scores of others. The scores of base are not used.
            sorted(before.keys() & after.keys()) => before.keys() & after.keys()
                A set of seeds has no order. Sort them.
            sorted(before.keys() & after.keys()) => [seed for seed in after if seed in before]
                The values are right, but in the order of the list. Sort them by seed.
            sorted(before.keys() & after.keys()) => [seed for seed in before if seed in after]
                The values are right, but in the order of the list. Sort them by seed.
            before.keys() & after.keys() => before.keys() | after.keys()
                A seed that only one list has raises a KeyError. Leave it out.
            np.array(differences) => (pd.Series(after) - pd.Series(before)).sort_index()
                A seed that only one list has gives NaN. Leave it out.
            np.array(differences) => np.mean([*after.values()]) - np.mean([*before.values()])
                This is one number, a difference of means. Return a difference for each seed.
            np.array(differences) => np.mean(differences)
                This is one number, a mean. Return a difference for each seed.
            np.array(differences) => dict(zip(seeds, differences))
                This is a dict. Return a list or an array of its values.
            [score] => ["mean IoU"]
                This is the difference in mean IoU, whatever score is.
        """),
        arguments(
            lambda base, others, score: (numbered(base), numbered(others), score),
            "Rows are paired by their position in the list. Pair them by seed: the lists may be in "
            "another order, or lack a seed.",
        ),
    ),
)
def seed_differences(base, others, score):
    before = {row["seed"]: row["test"][score] for row in base}
    after = {row["seed"]: row["test"][score] for row in others}
    seeds = sorted(before.keys() & after.keys())
    differences = [after[seed] - before[seed] for seed in seeds]
    return np.array(differences)


def as_list(function, values):
    """An array of three values is as good as a tuple."""
    interval = function(values)
    return interval.tolist() if hasattr(interval, "tolist") else interval


@task(
    "10.3",
    cases=(
        ([0.1, 0.2, 0.3],),
        ([-0.1, 0.2, 0.3],),
        (np.array([1.0, 2.0, 4.0, 3.0]),),
        ([-0.3, -0.2, -0.25, -0.4, -0.1],),
    ),
    adapter=as_list,
    tolerance=2e-3,  # t may be rounded to two decimals
    mistakes=edits("""
        stats.t.ppf(0.975, count - 1) => 1.96
            1.96 is the factor for a known standard deviation. For a few values t is larger.
        ddof=1 => ddof=0
            This is the standard deviation of a population. Use that of a sample, with n - 1.
        / np.sqrt(count) =>
            This is the spread of single values. Use the standard error of their mean.
        np.sqrt(count) => count
            The standard deviation is divided by n. The standard error has another denominator.
        np.sqrt(count) => np.sqrt(count - 1)
            The root is of n - 1. That number belongs to the standard deviation, not here.
        0.975 => 0.95
            The factor t is one-sided: 5% lie beyond one limit. Use 2.5% beyond each limit.
        stats.t.ppf(0.975, count - 1) => stats.t.ppf(0.975, count)
            The factor t is that of one value more. For 3 values it is 4.303.
        stats.t.ppf(0.975, count - 1) => stats.t.ppf(0.975, count - 2)
            The factor t is that of one value fewer. For 3 values it is 4.303.
        stats.t.ppf(0.975, count - 1) => 4.303
            4.303 is the factor t of three values. It depends on the number of values.
        np.std(values, ddof=1) => np.var(values, ddof=1)
            This uses the variance. Use the standard deviation, which is its root.
        stats.t.ppf(0.975, count - 1) * =>
            The limits are one standard error away from the mean. The factor t is missing.
        mean, mean - reach, mean + reach => mean - reach, mean, mean + reach
            The values are right, but in another order. Return (mean, low, high).
        mean, mean - reach, mean + reach => mean - reach, mean + reach
            The mean is missing. Return (mean, low, high).
        mean - reach, mean + reach => reach
            This is the mean and half the width of the interval. Return (mean, low, high).
    """),
)
def seed_interval(values):
    count, mean = len(values), np.mean(values)
    deviation = np.std(values, ddof=1)
    reach = stats.t.ppf(0.975, count - 1) * deviation / np.sqrt(count)
    return mean, mean - reach, mean + reach


def blank(count, side=2):
    return np.zeros((count, side, side, 3), "uint8")


TINY = np.array([[[0, 1], [1, 2]], [[0, 0], [1, 2]], [[1, 1], [1, 1]], [[0, 1], [1, 1]]], "uint8")
NO_BORDER = np.array([[[0, 0], [0, 0]], [[1, 1], [1, 1]], [[0, 0], [0, 1]]], "uint8")[..., None]
FROM_ONE = TINY + 1  # the dataset's own labels 1, 2, 3
BORDER_255 = np.where(TINY == 2, 255, TINY).astype("uint8")
TWO_CLASSES = np.array([[[0, 1], [1, 1]], [[0, 0], [0, 0]]], "uint8")


@task(
    "10.4",
    cases=(
        (blank(4), TINY, 3),
        (blank(3), NO_BORDER, 3),
        (blank(4), FROM_ONE, 3),
        (blank(4, side=4), TINY, 3),
        (blank(5), TINY, 3),
        (np.zeros((4, 2, 3, 3), "uint8"), TINY, 3),
        (np.zeros((4, 3, 2, 3), "uint8"), TINY, 3),
        (blank(4), BORDER_255, 3),
        (blank(2), TWO_CLASSES, 2),
    ),
    mistakes=edits("""
        , minlength=num_classes =>
            A class that does not occur is not counted. Its share is 0, the smallest.
        shares.min() => shares[shares > 0].min()
            A class that does not occur is not counted. Its share is 0, the smallest.
        shares.min() => shares.max()
            This is the largest share. Return that of the rarest class.
        / masks.size =>
            This is a number of pixels. Divide it by the number of all pixels.
        shares.min() => shares.argmin()
            This is the index of the rarest class. Return its share.
        shares.min() => min(np.mean(mask == k) for mask in masks for k in range(num_classes))
            This is the smallest share in any one mask. Count the pixels of all masks together.
        kinds.count(1) => sum(np.all(mask == 1) for mask in masks)
            Only masks of background are counted. The single class may be any.
        kinds.count(1) => sum(0 not in mask for mask in masks)
            Masks without class 0 are counted. Count masks with a single class, whichever it is.
        kinds.count(1) => len(kinds) - kinds.count(1)
            Masks of several classes are counted. Count those of a single class.
        kinds.count(1) => kinds.count(1) + kinds.count(2)
            Masks of two classes are counted too. Count those of a single class.
        kinds.count(1) => kinds.count(1) / len(masks)
            This is the share of such masks. Return their number.
        for mask in masks] => for mask in [masks]]
            np.unique is applied to all masks at once. Examine each mask separately.
        .shape[:3] => .shape
            The channels are compared as well. Compare the number, height and width.
        masks.shape[:3] => masks.shape
            The masks' last axis, of length 1, is optional. Compare the first three axes.
        .shape[:3] => .shape[:-1]
            The masks' last axis, of length 1, is optional. Compare the first three axes.
        .shape[:3] => .shape[1:3]
            Only height and width are compared. Compare the number of images and masks as well.
        .shape[:3] => .shape[0]
            Only the number of images and masks is compared. Compare height and width as well.
        .shape[:3] => .shape[:2]
            The widths are not compared. Compare the number, height and width.
        len(shares) == num_classes => len(np.unique(masks)) == num_classes
            The number of different labels is compared. Labels 1, 2, 3 are three, but not 0, 1, 2.
        len(shares) == num_classes => set(np.unique(masks)) == set(range(num_classes))
            Not every class has to occur. Look for labels that are not a class.
        len(shares) == num_classes => masks.max() <= num_classes
            Classes start at 0, so the number of classes is not a class itself.
    """),
)
def examine(images, masks, num_classes):
    shares = np.bincount(masks.ravel(), minlength=num_classes) / masks.size
    kinds = [len(np.unique(mask)) for mask in masks]
    return {
        "sizes agree": images.shape[:3] == masks.shape[:3],
        "labels are classes": len(shares) == num_classes,
        "smallest share of a class": shares.min(),
        "masks of one class only": kinds.count(1),
    }


MOSTLY_PET = np.array([[[0, 0], [0, 2]], [[1, 0], [0, 2]]], "uint8")[..., None]
BACKGROUND = np.ones((2, 3, 3), "uint8")
WIDE = np.where(np.arange(800).reshape(2, 20, 20) < 500, 1, 0).astype("uint8")  # sums above 255


@task(
    "10.5",
    cases=((TINY,), (MOSTLY_PET,), (BACKGROUND,), (WIDE,)),
    given=("labkit.metrics.accuracy", "labkit.metrics.mean_iou"),
    mistakes=(
        *edits("""
            (masks, 1) => (masks, 0)
                The prediction is pet everywhere. Background is class 1.
            (masks, 1) => (masks, 2)
                The prediction is border everywhere. Background is class 1.
            (masks, 1) => (masks, np.bincount(masks.ravel()).argmax())
                The prediction is the most frequent class. Predict background for any masks.
            {"accuracy": accuracy, "mean IoU": mean_iou} => accuracy
                This is the accuracy alone. Return a dict that has the mean IoU as well.
            {"accuracy": accuracy, "mean IoU": mean_iou} => accuracy, mean_iou
                The two scores have no names. Return a dict.
            metrics.mean_iou(masks, pred) => metrics.iou(masks, pred)[1]
                This is the IoU of background alone. Take the mean over the classes.
            metrics.mean_iou(masks, pred) => metrics.iou(masks, pred).mean()
                A class that does not occur counts as 1. Leave it out of the mean.
            metrics.mean_iou(masks, pred) => metrics.iou(masks, pred, empty=0.0).mean()
                A class that does not occur counts as 0. Leave it out of the mean.
            metrics.mean_iou(masks, pred) => np.nanmean(metrics.dice(masks, pred, empty=np.nan))
                This is the mean of Dice. Use IoU.
            np.full_like(masks, 1) => masks
                The masks are compared with themselves. Compare them with a mask of background.
        """),
        Edit(
            "metrics.mean_iou(masks, pred)",
            "np.mean([metrics.mean_iou(m[None], p[None]) for m, p in zip(masks, pred)])",
            "This is a mean over images. Pool: count the pixels of all masks together.",
        ),
        result(lambda scores: {k: 100 * score for k, score in scores.items()}, PERCENT.hint),
    ),
)
def lazy_baseline(masks):
    pred = np.full_like(masks, 1)
    accuracy = metrics.accuracy(masks, pred)
    mean_iou = metrics.mean_iou(masks, pred)
    return {"accuracy": accuracy, "mean IoU": mean_iou}


next_step = Question("10.6", "next_step", words=50)
