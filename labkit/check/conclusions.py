"""Tasks of the lab on conclusions (chapter 7). Classes: 0 pet, 1 background, 2 border."""

import numpy as np
import pandas as pd
from keras import ops

from labkit import classes, metrics
from labkit.check.task import NotDone, Task
from labkit.check.writing import Question
from labkit.experiments.ledger import STUDENT

__all__ = ["NotDone"]

# --- 7.1 decode ---

SIZES = (8, 16, 32, 64)
DRAWS = np.random.default_rng(0)
WEIGHTS = DRAWS.normal(size=(5, 3)).astype("float32")  # of the last layer: channel and class


class Small:
    """Stands for a U-Net: the layers of its decoder by name, with one channel for each tap."""

    def get_layer(self, name):
        part, _, size = name.partition("_")
        layer = {"up": self.up, "skip": self.skip, "logits": self.logits}.get(part)
        if layer is None or size not in ("" if part == "logits" else map(str, SIZES)):
            raise ValueError(f"No such layer: {name}")
        # Arithmetic by NumPy, for speed; tensors come out, as from a layer of Keras.
        return lambda given, training=None: ops.convert_to_tensor(layer(name, given))

    def up(self, name, x):
        x = double(x)
        if name != f"up_{x.shape[1]}":
            raise ValueError(f"{name} can't give maps of {x.shape[1]}x{x.shape[1]}")
        return x

    def skip(self, name, pair):
        x, skip = (ops.convert_to_numpy(one) for one in pair)
        sides = x.shape[1], skip.shape[1]
        if name != f"skip_{sides[0]}" or sides[0] != sides[1]:
            raise ValueError(f"{name} got maps of {sides[0]}x{sides[0]} and {sides[1]}x{sides[1]}")
        return np.concatenate([x, skip], axis=-1)

    def logits(self, name, x):
        return double(x) @ WEIGHTS

    def __repr__(self):
        return "a small model"


class Taps(list):
    """Feature maps, finest first."""

    def __repr__(self):
        return f"{len(self)} feature maps"


def double(x):
    return ops.convert_to_numpy(x).repeat(2, axis=1).repeat(2, axis=2)


SMALL = Small()
TAPS = Taps(DRAWS.normal(size=(1, side, side, 1)).astype("float32") for side in (64, 32, 16, 8, 4))


def decoded(function, model, taps, *options):
    """What comes out of a ``decode``, in few numbers."""
    given = [ops.convert_to_tensor(tap) for tap in taps]
    found = function(model, given, *options)
    if found is None:
        return None
    shape, values = tuple(np.shape(found)), np.atleast_1d(np.asarray(found))
    known = [[np.sum(image == k) for k in range(classes.NUM_CLASSES)] for image in values]
    return {
        "type": type(found).__name__,
        "shape": str(shape),
        "pixels of each class": np.array(known),
        "maps left in taps": len(given),
    }


def decoder(replaced, joined=lambda x, skip: [x, skip], last=lambda x: np.argmax(x, axis=-1)):
    """A ``decode``: what becomes of a skip is ``replaced(skip, size, changed, fill)``."""

    def decode(model, taps, changed=(), fill=ops.zeros_like):
        *skips, x = taps
        for size in SIZES:
            x = model.get_layer(f"up_{size}")(x)
            skip = replaced(skips.pop(), size, changed, fill)
            x = model.get_layer(f"skip_{size}")(joined(x, skip))
        return last(ops.convert_to_numpy(model.get_layer("logits")(x)))

    return decode


def where(test):
    """Skips are replaced whose size passes a test."""
    return lambda skip, size, changed, fill: fill(skip) if test(size, changed) else skip


def times(factor):
    """Skips are multiplied by a number."""
    return lambda skip, size, changed, fill: factor * skip if size in changed else skip


AS_ASKED = where(lambda size, changed: size in changed)
switched_off = decoder(AS_ASKED)


def features_replaced(model, taps, changed=(), fill=ops.zeros_like):
    *skips, x = taps
    for size in SIZES:
        x = model.get_layer(f"up_{size}")(x)
        x = fill(x) if size in changed else x
        x = model.get_layer(f"skip_{size}")([x, skips.pop()])
    return np.argmax(ops.convert_to_numpy(model.get_layer("logits")(x)), axis=-1)


def taps_emptied(model, taps, changed=(), fill=ops.zeros_like):
    found = switched_off(model, taps, changed, fill)
    taps.clear()
    return found


WEAKER = (
    "The skip is made smaller and its detail stays. Zero has to take its place, or what fill gives."
)
EMPTIED = "The list of taps is shorter after the call: the next call would fail. Take from a copy."

decode = Task(
    "7.1",
    "decode",
    """
`decode(model, taps, changed=(), fill=ops.zeros_like)` predicts classes from the five taps, with
the skips of some sizes replaced.

* **in**: the model; its five taps, feature maps from the finest (64x64) to the coarsest (4x4);
  the sizes whose skips are replaced, such as `(8, 32)`; and `fill`, a function that gets a skip
  and gives what takes its place. Left out, it gives zeros.
* **out**: the classes `[B, H, W]`, a NumPy array. The list `taps` stays as it was.
* **how**: begin with the coarsest tap. For each size, 8, 16, 32 and 64, call the layer `up_8`
  (and so on) on the features, then `skip_8` on a list of two: the features, and the skip.
  `model.get_layer(name)` gives a layer. The last one is `logits`; the largest logit is the class.
* **example**: nothing changed, so that it agrees with the whole model: a share of 1.0 equal pixels.
""",
    cases=(
        (SMALL, TAPS),
        (SMALL, TAPS, [8]),
        (SMALL, TAPS, [64]),
        (SMALL, TAPS, [16, 32]),
        (SMALL, TAPS, [8, 16, 32, 64]),
        (SMALL, TAPS, [32], np.negative),
    ),
    right=switched_off,
    use=decoded,
    mistakes=(
        (taps_emptied, EMPTIED),
        (decoder(where(lambda *_: False)), "Whatever changed says, every skip stays as it is."),
        (
            decoder(where(lambda size, changed: len(changed) > 0)),
            "All skips are replaced as soon as one is. Look at the sizes in changed.",
        ),
        (decoder(where(lambda *_: True)), "All skips are replaced, even if changed is empty."),
        (
            decoder(where(lambda size, changed: size not in changed)),
            "The other way round: the skips in changed stay, and all others are replaced.",
        ),
        (
            decoder(where(lambda size, changed: 512 // size in changed)),
            "The wrong level: when 8 is asked for, 64 is replaced. Taps begin with the finest, "
            "the decoder with the coarsest.",
        ),
        (
            decoder(where(lambda size, changed: size // 2 in changed)),
            "One level too fine: when 8 is asked for, 16 is replaced. A skip has the size that the "
            "features have after they were doubled.",
        ),
        (
            decoder(where(lambda size, changed: size in changed[:1])),
            "Only the first size in changed is replaced. There can be several.",
        ),
        (features_replaced, "The decoder's own features are replaced. Replace the skip."),
        *((decoder(times(factor)), WEAKER) for factor in (0.5, 0.1, 0.01, 0.001)),
        (
            decoder(times(0)),
            "The skips become zero, whatever fill is. Another function may be given.",
        ),
        (
            decoder(AS_ASKED, joined=lambda x, skip: [skip, x]),
            "Features and skip have changed places: the features come first in the list.",
        ),
        (
            decoder(AS_ASKED, last=lambda x: x),
            "The logits come out. The class of a pixel is the number of its largest logit.",
        ),
        (
            decoder(AS_ASKED, last=lambda x: np.argmax(x, axis=1)),
            "The largest value is looked for along the wrong axis. The classes are the last one.",
        ),
    ),
)

# --- 7.2 seed_differences ---


def group(seeds, **scores):
    """Rows of a ledger, with these scores on the test images."""
    return [
        {
            "seed": seed,
            "test": {name.replace("_", " "): values[i] for name, values in scores.items()},
        }
        for i, seed in enumerate(seeds)
    ]


WHOLE = group((0, 1, 2), mean_IoU=(0.70, 0.74, 0.72), accuracy=(0.90, 0.92, 0.91))
WITHOUT = group((0, 1, 2), mean_IoU=(0.44, 0.46, 0.45), accuracy=(0.80, 0.81, 0.85))
MIXED = group((2, 0, 1), mean_IoU=(0.71, 0.73, 0.72), accuracy=(0.93, 0.88, 0.92))
MORE = group((1, 2, 3), mean_IoU=(0.60, 0.77, 0.50), accuracy=(0.85, 0.95, 0.70))


def by_seed(rows, score):
    return {row["seed"]: row["test"][score] for row in rows}


def pairs(base, others, score):
    """Seeds that both groups have, and the score of each."""
    first, second = by_seed(base, score), by_seed(others, score)
    return [(seed, first[seed], second[seed]) for seed in sorted(first.keys() & second.keys())]


def each(difference):
    """A ``seed_differences`` from what it does with a pair of scores."""
    return lambda base, others, score: [difference(a, b) for _, a, b in pairs(base, others, score)]


paired_differences = each(lambda a, b: b - a)


def by_place(base, others, score):
    columns = ([row["test"][score] for row in rows] for rows in (base, others))
    return [b - a for a, b in zip(*columns, strict=False)]


def in_order_of_others(base, others, score):
    first = by_seed(base, score)
    seeds = [row["seed"] for row in others if row["seed"] in first]
    return [by_seed(others, score)[seed] - first[seed] for seed in seeds]


def with_missing(base, others, score):
    table = pd.DataFrame([by_seed(base, score), by_seed(others, score)]).sort_index(axis=1)
    return table.loc[1] - table.loc[0]  # NaN where a seed is missing


def of_means(base, others, score):
    first, second = (list(by_seed(rows, score).values()) for rows in (base, others))
    return np.mean(second) - np.mean(first)


ONE_NUMBER = "One number comes out, a mean. The interval needs the differences seed by seed."

seed_differences = Task(
    "7.2",
    "seed_differences",
    """
`seed_differences(base, others, score)` is what the runs `others` have more of a score than the runs
`base`, seed by seed.

* **in**: two lists of rows, in any order, and the name of a score. A row is a dict: its seed is
  `row["seed"]`, its scores on test images are the dict `row["test"]`.
* **out**: a list or an array with one number for each seed that *both* have, in the order of the
  seeds. Negative where `others` score less.
* **example**: scores 0.70, 0.74, 0.72 of `base` and 0.44, 0.46, 0.45 of `others`, for the seeds 0,
  1, 2: `[-0.26, -0.28, -0.27]`.
""",
    cases=(
        (WHOLE, WITHOUT, "mean IoU"),
        (WHOLE, WITHOUT, "accuracy"),
        (WHOLE, MIXED, "mean IoU"),
        (WHOLE, MORE, "accuracy"),
        (MIXED, MORE, "mean IoU"),
    ),
    right=paired_differences,
    mistakes=(
        (each(lambda a, b: a - b), "The sign is turned round: others minus base is asked for."),
        (
            each(lambda a, b: abs(b - a)),
            "All signs are gone. Whether others score more or less has to be seen.",
        ),
        (
            by_place,
            "Rows are paired by their place in the list. Pair those of one seed: a list may be in "
            "another order, or lack a seed.",
        ),
        (
            in_order_of_others,
            "The values are right, their order is that of a list. Put them in order of the seeds.",
        ),
        (with_missing, "A seed that only one list has gives a NaN. Leave it out."),
        (of_means, ONE_NUMBER),
        (lambda *case: np.mean(paired_differences(*case)), ONE_NUMBER),
        (lambda *case: np.mean(np.abs(paired_differences(*case))), ONE_NUMBER),
        (each(lambda a, b: (b - a) / a), "This is a share of base's score. Subtract, and no more."),
        (
            each(lambda a, b: 100 * (b - a)),
            "This is in points of a hundred. Subtract, and no more.",
        ),
        (
            lambda base, others, score: paired_differences(base, others, "mean IoU"),
            "Whatever score says, mean IoU is compared.",
        ),
        (each(lambda a, b: b), "These are the scores of others. What has base in those seeds?"),
        (
            lambda *case: {seed: b - a for seed, a, b in pairs(*case)},
            "A dict comes out. Give its values alone.",
        ),
    ),
)

# --- 7.3 seed_interval ---

ONE_SIDED = {2: 6.314, 3: 2.920, 4: 2.353, 5: 2.132}


def interval(factor=STUDENT.get, spread=lambda v: np.std(v, ddof=1), share=np.sqrt):
    """A ``seed_interval`` from its factor, its spread, and what the spread is divided by."""

    def limits(values):
        count, mean = len(values), np.mean(values)
        reach = factor(count) * spread(values) / share(count)
        return float(mean), float(mean - reach), float(mean + reach)

    return limits


def normal(count):
    return 1.96


def undivided(count):
    return 1


by_student = interval()


def as_list(function, values):
    """Three values as an array are as good as a tuple."""
    found = function(values)
    return found.tolist() if hasattr(found, "tolist") else found


TOO_SURE = "1.96 holds for a spread that is known. From a few values Student's t is larger."

seed_interval = Task(
    "7.3",
    "seed_interval",
    """
`seed_interval(values)` is the mean of some values, and its 95 % interval by Student's t.

* **in**: one value for each seed, two or more, as a list or an array.
* **out**: three numbers, `(mean, low, high)`.
* **factor**: `ledger.STUDENT` is a dict of t by the number of values: 12.706 for 2, 4.303 for 3,
  3.182 for 4, 2.776 for 5.
* **example**: 0.1, 0.2 and 0.3 have the mean 0.2 and the standard deviation 0.1, so the interval
  reaches 4.303 · 0.1 / √3 = 0.2484 to both sides: `(0.2, -0.0484, 0.4484)`.
""",
    cases=(
        ([0.1, 0.2, 0.3],),
        ([-0.1, 0.2, 0.3],),
        (np.array([1.0, 2.0, 4.0, 3.0]),),
        ([-0.3, -0.2, -0.25, -0.4, -0.1],),
    ),
    right=by_student,
    use=as_list,
    tolerance=1e-3,
    mistakes=(
        (interval(normal), TOO_SURE),
        (
            interval(spread=np.std),
            "The spread is that of the values themselves. To estimate it from a sample, divide "
            "the squares by one less than their number.",
        ),
        (
            interval(normal, spread=np.std),
            "Two things: 1.96 is too small for few values, and the spread of a sample divides by "
            "one less than the number of values.",
        ),
        (
            interval(share=undivided),
            "This is how far single values scatter. A mean of n values is surer: by which factor?",
        ),
        (interval(share=lambda n: n), "The spread is divided by n. A mean is surer by its root."),
        (
            interval(share=lambda n: np.sqrt(n - 1)),
            "The one that is subtracted belongs into the standard deviation, not under this root.",
        ),
        (
            interval(ONE_SIDED.get),
            "The factor is one-sided: 5 % lie beyond one limit. Here 2.5 % lie beyond each.",
        ),
        (
            interval(lambda n: STUDENT[n + 1]),
            "The factor is that of one value more. For 3 values t is 4.303.",
        ),
        (
            interval(lambda n: STUDENT[n - 1]),
            "The factor is that of one value fewer. For 3 values t is 4.303.",
        ),
        (interval(lambda n: 4.303), "4.303 is for three values alone. Take t by their number."),
        (
            interval(spread=lambda v: np.var(v, ddof=1)),
            "The variance is used: its root is missing.",
        ),
        (interval(undivided), "This is the mean and its standard error. The factor t is missing."),
        (
            lambda values: [by_student(values)[i] for i in (1, 0, 2)],
            "The values are right, their order is not: mean, low, high.",
        ),
        (lambda values: by_student(values)[1:], "The mean is missing: mean, low, high."),
        (
            lambda values: (by_student(values)[0], by_student(values)[2] - np.mean(values)),
            "The reach comes out. Take it from the mean, and add it: mean, low, high.",
        ),
    ),
)

# --- 7.4 examine ---


def facts(images, masks, num_classes):
    counts = np.bincount(masks.ravel(), minlength=num_classes)
    return {
        "sizes agree": images.shape[:3] == masks.shape[:3],
        "labels are classes": len(counts) == num_classes,
        "smallest share of a class": counts.min() / counts.sum(),
        "masks of one class only": sum(len(np.unique(mask)) == 1 for mask in masks),
    }


def with_part(name, part):
    """``examine`` with another of its four parts."""
    return lambda *case: facts(*case) | {name: part(*case)}


def share_as(part):
    return with_part("smallest share of a class", lambda images, masks, k: part(masks, k))


def one_class_as(part):
    return with_part("masks of one class only", lambda images, masks, k: part(masks))


def counted(test):
    return one_class_as(lambda masks: sum(bool(test(mask)) for mask in masks))


def sizes_as(part):
    return with_part("sizes agree", lambda images, masks, k: part(images.shape, masks.shape))


def labels_as(part):
    return with_part("labels are classes", lambda images, masks, k: part(np.unique(masks), k))


def plain(function, *case):
    """The parts of a student's dict; a comparison of arrays becomes a list of answers."""
    found = function(*case)
    if not isinstance(found, dict):
        return found
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in found.items()}


def shares(masks, num_classes):
    counts = np.bincount(masks.ravel(), minlength=num_classes)
    return counts / counts.sum()


def present(masks, num_classes):
    return np.unique(masks, return_counts=True)[1] / masks.size


def without_minlength(images, masks, num_classes):
    counts = np.bincount(masks.ravel())
    return facts(images, masks, num_classes) | {
        "labels are classes": len(counts) == num_classes,
        "smallest share of a class": counts.min() / counts.sum(),
    }


def pictures(count, side=2):
    return np.zeros((count, side, side, 3), "uint8")


LOOK = np.array([[[0, 1], [1, 2]], [[0, 0], [1, 2]], [[1, 1], [1, 1]], [[0, 1], [1, 1]]], "uint8")
NO_BORDER = np.array([[[0, 0], [0, 0]], [[1, 1], [1, 1]], [[0, 0], [0, 1]]], "uint8")[..., None]
UNSHIFTED = LOOK + 1  # the dataset's own labels 1, 2, 3
STRANGE = np.where(LOOK == 2, 255, LOOK).astype("uint8")
TWO = np.array([[[0, 1], [1, 1]], [[0, 0], [0, 0]]], "uint8")

ABSENT = "A class that occurs nowhere is not counted. Its share is 0, which is the smallest."
OTHER_QUESTION = "with another question. Which masks have one single class, of any kind?"
THREE = "Compare the first three lengths of both shapes."
MAYBE_ONE = "Masks may have a last axis of length 1, or not."

examine = Task(
    "7.4",
    "examine",
    """
`examine(images, masks, num_classes)` gives facts about a dataset.

* **in**: images `[N, H, W, 3]`; masks of whole numbers from 0, `[N, H, W]` or `[N, H, W, 1]`; and
  the number of classes.
* **out**: a dict of four parts.
  * `"sizes agree"`: True if images and masks are equally many, and of one height and width.
  * `"labels are classes"`: True if no label is beyond the classes 0 to `num_classes - 1`.
  * `"smallest share of a class"`: of all pixels of all masks, the share of the rarest class; 0 if
    one of the classes occurs nowhere.
  * `"masks of one class only"`: how many masks have a single label, whichever it is.
* **example**: four masks of 2x2 pixels, `[[0, 1], [1, 2]]`, `[[0, 0], [1, 2]]`, `[[1, 1], [1, 1]]`
  and `[[0, 1], [1, 1]]`, with images of the same size: True, True, 2/16 = 0.125, and 1.
""",
    cases=(
        (pictures(4), LOOK, 3),
        (pictures(3), NO_BORDER, 3),
        (pictures(4), UNSHIFTED, 3),
        (pictures(4, side=4), LOOK, 3),
        (pictures(5), LOOK, 3),
        (pictures(4), STRANGE, 3),
        (pictures(2), TWO, 2),
    ),
    right=facts,
    use=plain,
    mistakes=(
        (without_minlength, ABSENT),
        (share_as(lambda masks, k: present(masks, k).min()), ABSENT),
        (
            share_as(lambda masks, k: shares(masks, k).max()),
            "This is the largest share. The rarest class is asked for.",
        ),
        (
            share_as(lambda masks, k: shares(masks, k).min() * masks.size),
            "This is a number of pixels. Divide it by the number of all pixels.",
        ),
        (
            share_as(lambda masks, k: shares(masks, k).argmin()),
            "This is which class is the rarest. Its share is asked for.",
        ),
        (
            share_as(lambda masks, k: min(shares(mask, k).min() for mask in masks)),
            "This is the smallest share in any one mask. Count the pixels of all masks together.",
        ),
        (
            counted(lambda mask: np.all(mask == 1)),
            f"Masks of background alone are counted, {OTHER_QUESTION}",
        ),
        (
            counted(lambda mask: not np.any(mask == 0)),
            f"Masks without class 0 are counted, {OTHER_QUESTION}",
        ),
        (
            counted(lambda mask: len(np.unique(mask)) > 1),
            "Masks of more than one class are counted. It is the others that are suspicious.",
        ),
        (
            counted(lambda mask: len(np.unique(mask)) < 3),
            "Masks that lack a class are counted too. One class has to be all there is.",
        ),
        (
            one_class_as(lambda masks: np.mean([len(np.unique(mask)) == 1 for mask in masks])),
            "This is the share of such masks. Their number is asked for.",
        ),
        (
            one_class_as(lambda masks: int(len(np.unique(masks)) == 1)),
            "All masks are looked at as one. Ask each mask by itself.",
        ),
        (sizes_as(lambda images, masks: images == masks), f"Colours are compared. {THREE}"),
        (sizes_as(lambda images, masks: images[:-1] == masks), f"{MAYBE_ONE} {THREE}"),
        (sizes_as(lambda images, masks: images[:-1] == masks[:-1]), f"{MAYBE_ONE} {THREE}"),
        (
            sizes_as(lambda images, masks: images[1:3] == masks[1:3]),
            "Height and width are compared. Are there as many images as masks?",
        ),
        (
            sizes_as(lambda images, masks: images[0] == masks[0]),
            "The numbers are compared. Height and width have to agree as well.",
        ),
        (
            labels_as(lambda labels, k: len(labels) == k),
            "The number of labels is compared. Labels 1, 2, 3 are three, and they are not 0, 1, 2.",
        ),
        (
            labels_as(lambda labels, k: set(labels) == set(range(k))),
            "A class that is absent is no wrong label. Is any label beyond the classes?",
        ),
        (
            labels_as(lambda labels, k: labels.max() <= k),
            "Classes begin at 0, so the largest label is one less than their number.",
        ),
    ),
)

# --- 7.5 lazy_baseline ---


def scores_of(guess, named=None):
    """A baseline from what it predicts; ``named`` gives the scores that it reports."""

    def baseline(masks):
        pred_masks = np.full_like(masks, guess(masks))
        return (named or both_scores)(masks, pred_masks)

    return baseline


def both_scores(masks, pred_masks):
    return {
        "accuracy": metrics.accuracy(masks, pred_masks),
        "mean IoU": metrics.mean_iou(masks, pred_masks),
    }


def with_score(name, score):
    """The right baseline with another score under a name."""
    return scores_of(background, lambda *pair: both_scores(*pair) | {name: score(*pair)})


def over_images(masks, pred_masks):
    pairs = zip(masks, pred_masks, strict=True)
    return np.mean([metrics.mean_iou(mask[None], pred[None]) for mask, pred in pairs])


def background(masks):
    return classes.BACKGROUND


MOSTLY_PET = np.array([[[0, 0], [0, 2]], [[1, 0], [0, 2]]], "uint8")[..., None]
ALL_BACKGROUND = np.ones((2, 3, 3), "uint8")
HALF = np.where(np.arange(800).reshape(2, 20, 20) < 500, 1, 0).astype("uint8")  # sums beyond 255

lazy_baseline = Task(
    "7.5",
    "lazy_baseline",
    """
`lazy_baseline(masks)` gives the scores of the answer "everything is background".

* **in**: true masks with the classes 0 pet, 1 background, 2 border: `[N, H, W]` or `[N, H, W, 1]`.
* **out**: a dict with `"accuracy"`, the share of right pixels, and `"mean IoU"`, pooled, of the
  classes that occur in the masks or in the prediction. `metrics.accuracy` and `metrics.mean_iou`
  compute them.
* **example**: of the sixteen pixels of the four tiny masks, ten are background: accuracy
  10/16 = 0.625. The IoU of background is 10/16 too, and that of the two others is 0, so the mean
  IoU is 0.625 / 3 = 0.2083.
""",
    cases=((LOOK,), (MOSTLY_PET,), (ALL_BACKGROUND,), (HALF,)),
    right=scores_of(background),
    mistakes=(
        (scores_of(lambda masks: 0), "Everything is pet here. Background is the class 1."),
        (scores_of(lambda masks: 2), "Everything is border here. Background is the class 1."),
        (
            scores_of(lambda masks: np.bincount(masks.ravel()).argmax()),
            "The most frequent class is predicted. Here it is background, whatever the masks are.",
        ),
        (
            scores_of(background, metrics.accuracy),
            "This is the accuracy alone, which is easy here. Give the mean IoU beside it.",
        ),
        (
            scores_of(background, lambda *pair: tuple(both_scores(*pair).values())),
            "Two numbers come out without names. Put them into a dict.",
        ),
        (
            with_score("mean IoU", lambda *pair: metrics.iou(*pair)[classes.BACKGROUND]),
            "This is the IoU of background alone. Take the mean over the classes.",
        ),
        (
            with_score("mean IoU", lambda *pair: metrics.iou(*pair).mean()),
            "A class that occurs nowhere counts as 1 here. It is to be left out of the mean.",
        ),
        (
            with_score("mean IoU", lambda *pair: metrics.iou(*pair, empty=0.0).mean()),
            "A class that occurs nowhere counts as 0 here. It is to be left out of the mean.",
        ),
        (
            with_score("mean IoU", over_images),
            "This is a mean over images. Pool: count the pixels of all masks together.",
        ),
        (
            with_score("mean IoU", lambda *pair: np.nanmean(metrics.dice(*pair, empty=np.nan))),
            "This is the mean of Dice. Use IoU.",
        ),
        (
            lambda masks: both_scores(masks, masks),
            "The masks are compared with themselves. Compare them with a mask of background alone.",
        ),
        (
            scores_of(background, lambda *p: {k: 100 * v for k, v in both_scores(*p).items()}),
            "This is per cent. A score of this course lies between 0 and 1.",
        ),
    ),
)

# --- 7.6 next_step ---

next_step = Question(
    "7.6",
    "next_step",
    """
Choose one idea that could make this U-Net better: a row of the table of ideas, or one of your own.
Before anything is computed, write down

1. which error it should cure, and where you saw that error;
2. the score that would show it, and on which images;
3. what is compared with what: the same in both, the seeds, a control if one is needed;
4. the result that would change your mind.

Write your answer into `next_step`, six sentences or more.
""",
    words=50,
)
