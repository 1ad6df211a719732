"""Tasks of the lab on error analysis (chapter 6). Classes: 0 pet, 1 background, 2 border."""

import numpy as np
import pandas as pd

from labkit.check.task import NotDone, Task
from labkit.check.writing import Question

__all__ = ["NotDone"]


def batch(*masks):
    """Small masks [H, W] as a batch [N, H, W, 1], as the course has them."""
    return np.array(masks, "uint8")[..., np.newaxis]


def filled(*counts):
    """Masks of 20 x 20 whose first pixels are pet, the others background."""
    return batch(*(np.where(np.arange(400) < n, 0, 1).reshape(20, 20) for n in counts))


HALF = batch([[0, 0], [1, 1]], [[0, 0], [0, 1]], [[1, 1], [2, 2]])
HALF_PRED = batch([[0, 1], [1, 1]], [[0, 0], [0, 1]], [[1, 1], [1, 2]])
MIXED = batch(
    [[0, 0, 2, 1, 1], [0, 0, 2, 1, 1], [2, 2, 2, 1, 1]],
    [[1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1]],
    [[0, 0, 0, 0, 0], [0, 0, 0, 0, 2], [0, 0, 2, 2, 1]],
    [[1, 1, 2, 0, 0], [1, 1, 2, 0, 0], [1, 1, 2, 2, 2]],
)
MIXED_PRED = batch(
    [[0, 2, 2, 1, 1], [0, 0, 0, 1, 1], [0, 0, 1, 1, 2]],
    [[1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 1, 1, 1]],
    [[1, 1, 1, 0, 0], [1, 1, 1, 0, 2], [2, 2, 2, 1, 1]],
    [[1, 1, 1, 1, 1], [1, 2, 1, 1, 1], [1, 2, 2, 2, 1]],
)
BATCHES = ((HALF, HALF_PRED), (MIXED, MIXED_PRED), (filled(400, 280), filled(300, 300)))


def is_pet(mask):
    return np.asarray(mask) == 0


def unpacked(found):
    """An array, a list or a tensor as the tuple that it stands for."""
    return tuple(found) if np.ndim(found) else found


# --- 6.1 pet_iou_per_image ----------------------------------------------------------------------

EACH = (1, 2, 3)  # the axes of one image


def areas(masks, pred_masks, axis=EACH, belongs=is_pet):
    """Pixels in both masks, in the true one, and in the predicted one."""
    true, predicted = belongs(masks), belongs(pred_masks)
    return [np.sum(area, axis) for area in (true & predicted, true, predicted)]


def iou(masks, pred_masks, axis=EACH, belongs=is_pet, empty=1.0):
    both, true, predicted = areas(masks, pred_masks, axis, belongs)
    return divided(both, true + predicted - both, empty)


def divided(part, whole, empty=1.0):
    return np.where(whole > 0, part / np.maximum(whole, 1), empty)


def share(score):
    """A score per image from the areas of the pet: of both, true, predicted."""
    return lambda masks, pred_masks: score(*areas(masks, pred_masks))


def of_class(class_id):
    return lambda masks, pred_masks: iou(masks, pred_masks, belongs=lambda m: m == class_id)


def in_bytes(both, true, predicted):
    """Areas summed up in uint8: 256 pixels are none."""
    return divided(np.uint8(both % 256), np.uint8((true + predicted - both) % 256))


pet_iou_per_image = Task(
    "6.1",
    "pet_iou_per_image",
    """
`pet_iou_per_image(masks, pred_masks)` is the IoU of the pet class, one number for each image.

* **in**: true and predicted masks, both `[N, H, W, 1]`, with the classes 0 pet, 1 background,
  2 border.
* **out**: N numbers from 0 to 1, shape `[N]`. An image whose pet is neither in the mask nor in the
  prediction gets 1.
* **example**: three images of 2 x 2 pixels. In the first, one of two pet pixels is found, in the
  second all; the third has no pet, and none is predicted: `[0.5, 1.0, 1.0]`.
""",
    cases=BATCHES,
    right=iou,
    strict=True,
    mistakes=(
        (
            lambda m, p: iou(m, p).mean(),
            "The images are averaged. Each image keeps a number of its own.",
        ),
        (
            lambda m, p: iou(m, p, axis=None),
            "The pixels of all images are counted together. The first axis is that of the images.",
        ),
        (
            lambda m, p: iou(m, p, axis=(0, 1, 2)),
            "The sums run over the first axis, so the images are counted together.",
        ),
        (
            lambda m, p: iou(m, p, axis=0),
            "The sums run over the images, and leave the pixels. It has to be the other way.",
        ),
        (
            lambda m, p: iou(m, p, axis=(1, 2)),
            "An axis of length 1 is left over at the end. The shape has to be [N].",
        ),
        (
            lambda m, p: iou(m, p, axis=2),
            "These are scores of single rows. The sums go over height and width.",
        ),
        (of_class(1), "This is the score of class 1, background. The pet is class 0."),
        (of_class(2), "This is the score of class 2, border. The pet is class 0."),
        (
            lambda m, p: iou(m, p, belongs=lambda mask: mask != 1),
            "The border counts as pet here. Class 0 alone is asked for.",
        ),
        (
            lambda m, p: np.mean(m == p, EACH),
            "This is pixel accuracy: the share of equal pixels. Look at the pet alone.",
        ),
        (
            share(lambda b, t, p: divided(2 * b, t + p)),
            "This is Dice. Look at the line below the fraction bar, and at the factor 2.",
        ),
        (
            share(lambda b, t, p: divided(b, t + p)),
            "Pixels that are in both masks are counted twice below the line. Count them once.",
        ),
        (
            share(lambda b, t, p: divided(b, t)),
            "This is recall: it divides by the true pet alone, and false alarms are free.",
        ),
        (
            share(lambda b, t, p: divided(b, p)),
            "This is precision: it divides by the predicted pet alone, and misses are free.",
        ),
        (
            lambda m, p: iou(m, p, empty=0.0),
            "Where neither mask has a pet, 0 comes out. What does the task ask for?",
        ),
        (
            lambda m, p: iou(m, p, empty=np.nan),
            "Where neither mask has a pet, 0 / 0 gives NaN. Ask for that case.",
        ),
        (
            share(lambda b, t, p: np.where(t > 0, b / np.maximum(t + p - b, 1), 1.0)),
            "A mask without a pet always gives 1 here, so that false alarms go unpunished.",
        ),
        (
            share(lambda b, t, p: np.where(p > 0, b / np.maximum(t + p - b, 1), 1.0)),
            "A prediction without a pet always gives 1 here, so that a missed pet is forgiven.",
        ),
        (
            share(lambda b, t, p: (b + 1.0) / (t + p - b + 1.0)),
            "The number that is added changes every score, not only 0 / 0.",
        ),
        (
            share(in_bytes),
            "Somewhere a sum is kept in uint8, which starts anew at 256. Sum in whole numbers.",
        ),
        (
            share(lambda b, t, p: divided(b, t + p - b) // 1),
            "A // divides without remainder. A share needs a / for division.",
        ),
        (lambda m, p: 1 - iou(m, p), "This is 1 - IoU: the best prediction gives 0."),
        (lambda m, p: 100 * iou(m, p), "This is per cent. A score lies between 0 and 1."),
        (
            share(lambda b, t, p: b),
            "This is the number of shared pixels. What is it to be divided by?",
        ),
    ),
)

# --- 6.2 missed_and_false -----------------------------------------------------------------------

SIX = (np.array([0, 0, 0, 0, 1, 1]), np.array([1, 1, 0, 0, 0, 1]))


def two_errors(mask, pred_mask, true=is_pet, other=lambda mask: np.asarray(mask) != 0):
    """Pixels that are ``true`` in the first mask and ``other`` in the second, and vice versa."""
    missed, false = true(mask) & other(pred_mask), other(mask) & true(pred_mask)
    return int(missed.sum()), int(false.sum())


def two_errors_of(class_id):
    return lambda m, p: two_errors(m, p, lambda x: x == class_id, lambda x: x != class_id)


def counted(score):
    """A score from three numbers of pixels: found, missed, false alarm."""
    return lambda m, p: score(int(np.sum(is_pet(m) & is_pet(p))), *two_errors(m, p))


missed_and_false = Task(
    "6.2",
    "missed_and_false",
    """
`missed_and_false(mask, pred_mask)` counts the two kinds of errors of the pet class.

* **in**: two masks of one shape, with the classes 0 pet, 1 background, 2 border. Of several images
  all pixels count together.
* **out**: two whole numbers. First the *missed* pixels: pet in the true mask, and anything else in
  the prediction. Then the *false alarms*: pet in the prediction, and anything else in the true
  mask.
* **example**: mask `[0, 0, 0, 0, 1, 1]`, prediction `[1, 1, 0, 0, 0, 1]`: `(2, 1)`.
""",
    cases=(
        SIX,
        (MIXED[0, ..., 0], MIXED_PRED[0, ..., 0]),
        (MIXED, MIXED_PRED),
        (MIXED[1], MIXED[1]),
        (filled(400, 280), filled(100, 299)),
    ),
    right=two_errors,
    use=lambda function, *case: unpacked(function(*case)),
    mistakes=(
        (
            lambda m, p: two_errors(p, m),
            "The two numbers have changed places. What was missed comes first.",
        ),
        (two_errors_of(1), "These are the errors of class 1, background. The pet is class 0."),
        (two_errors_of(2), "These are the errors of class 2, border. The pet is class 0."),
        (
            lambda m, p: two_errors(m, p, other=lambda mask: mask == 1),
            "Pet taken for border is an error as well, and so is border taken for pet.",
        ),
        (
            lambda m, p: two_errors(m, p, lambda mask: mask != 1, lambda mask: mask == 1),
            "The border counts as pet here. Class 0 alone is asked for.",
        ),
        (
            counted(lambda found, missed, false: (found, false)),
            "The first number is that of the pixels found. Which were not found?",
        ),
        (
            counted(lambda found, missed, false: (missed, found)),
            "The second number is that of the pixels found. Which are predicted by mistake?",
        ),
        (
            counted(lambda found, missed, false: (found + missed, found + false)),
            "These are the sizes of the two regions. Leave out what they share.",
        ),
        (
            lambda m, p: (two_errors(m, p)[0], int(np.sum(m != p))),
            "The second number counts all wrong pixels. Count those that are predicted as pet.",
        ),
        (
            lambda m, p: (int(np.sum(m != p)), two_errors(m, p)[1]),
            "The first number counts all wrong pixels. Count those whose true class is pet.",
        ),
        (
            lambda m, p: (int(np.sum(m < p)), int(np.sum(m > p))),
            "Class numbers are compared by size, and so border and background count as well.",
        ),
        (
            counted(lambda found, missed, false: (max(missed - false, 0), max(false - missed, 0))),
            "Areas are subtracted, so that misses and false alarms cancel. Compare pixel by pixel.",
        ),
        (
            counted(lambda found, missed, false: (missed + false, 0)),
            "In an unsigned type, 0 - 1 is a large number and not -1. Subtract signed integers.",
        ),
        (
            counted(lambda found, missed, false: missed + false),
            "Both kinds are added up. Give them apart: two numbers with a comma between them.",
        ),
        (
            counted(lambda found, missed, false: (missed % 256, false % 256)),
            "Somewhere a sum is kept in uint8, which starts anew at 256. Sum in whole numbers.",
        ),
        (
            counted(
                lambda found, missed, false: (
                    missed / max(found + missed, 1),
                    false / max(found + false, 1),
                )
            ),
            "These are shares of a region. Counts of pixels are asked for.",
        ),
        (
            counted(
                lambda found, missed, false: (
                    missed / max(found + missed, 1),
                    false / max(found + missed, 1),
                )
            ),
            "These are shares of the true pet. Counts of pixels are asked for.",
        ),
        (
            lambda m, p: tuple(number / m.size for number in two_errors(m, p)),
            "These are shares of all pixels. Counts of pixels are asked for.",
        ),
    ),
)

# --- 6.3 interval -------------------------------------------------------------------------------

ANY_SEED = "the same interval for every seed"
NO_DRAWS = "the same interval for every seed and number of draws"
ANY_DRAWS = "limits that do not depend on the number of draws"
NO_SEED = "another interval each time, with one and the same seed"

SCORES = np.array([0.91, 0.17, 0.84, 0.62, 0.95, 0.33, 0.78, 0.88, 0.05])
HOLED = np.array([0.21, np.nan, 0.83, 0.97, 0.4, np.nan, 0.12, 0.74, np.nan, 0.66, 0.9])
CHANGES = np.random.default_rng(0).normal(0.2, 0.7, 25).round(2)


def present(values):
    values = np.asarray(values, float)
    return values[~np.isnan(values)]


def resampled(values, seed, draws, size=None, replace=True):
    """Means of samples [draws], each of ``size`` values, by default of as many as there are."""
    rng = np.random.default_rng(seed)
    if not replace:
        return np.full(draws, values.mean())
    return rng.choice(values, (draws, size or len(values))).mean(axis=1)


def from_means(limits):
    """A function like ``interval`` whose two limits are ``limits(means)``."""

    def found(values, seed=0, draws=1000):
        values = present(values)
        return (values.mean(), *limits(resampled(values, seed, draws)))

    return found


def from_values(limits):
    """A function like ``interval`` that draws nothing."""

    def found(values, seed=0, draws=1000):
        values = present(values)
        return (values.mean(), *limits(values))

    return found


def of_samples(size):
    """A function like ``interval`` with samples of another size."""

    def found(values, seed=0, draws=1000):
        values = present(values)
        means = resampled(values, seed, draws, size(len(values)))
        return (values.mean(), *middle(means))

    return found


def middle(means, share=0.95, method="linear"):
    return np.quantile(means, [0.5 - share / 2, 0.5 + share / 2], method=method)


def around(values, width):
    return values.mean() - width, values.mean() + width


bootstrap = from_means(middle)


def reordered(*order):
    return lambda *case: tuple(np.array(bootstrap(*case))[list(order)])


def drawn(interval, values, seed, draws):
    """What an interval is judged by: words on how it is drawn, if that is wrong, or its numbers."""
    found = unpacked(interval(values, seed, draws))
    if np.shape(found) != (3,):
        return found
    few = np.array([interval(values, number, 3) for number in [1, *range(1, 21)]], float)
    error = np.nanstd(values) / np.sqrt(len(present(values)))
    near = np.allclose(found, bootstrap(values, seed, draws), rtol=0, atol=error)
    if np.allclose(few, few[0], rtol=0, atol=1e-9):  # other seeds have no effect
        if not np.allclose(few[0], found, rtol=0, atol=1e-9):
            return ANY_SEED
        return NO_DRAWS if near else found
    if not np.array_equal(few[0], few[1], equal_nan=True):
        return NO_SEED
    # From seed to seed the limits of 3 draws move by about 0.75 errors, those of 1000 by 0.1.
    return ANY_DRAWS if near and np.std(few, axis=0).max() < 0.35 * error else found


interval = Task(
    "6.3",
    "interval",
    """
`interval(values, seed=0, draws=1000)` is the mean of some values and its bootstrap 95 % interval.

* **in**: an array of numbers, a seed for the random numbers, and how many times to draw. Values
  that are NaN are left out first.
* **out**: three numbers: the mean of the values, and the two limits between which the middle 95 %
  of the means of all draws lie. The same seed gives the same limits.
* **example**: for `np.arange(1, 9) / 10` about `(0.45, 0.29, 0.61)`. Limits move a little with the
  seed; the check allows for it.
""",
    cases=((SCORES, 0, 6_000), (HOLED, 1, 6_000), (CHANGES, 2, 6_000)),
    right=bootstrap,
    use=drawn,
    tolerance=0.015,
    mistakes=(
        (
            lambda *case: NO_DRAWS,
            "Seed and number of draws change nothing. Limits from a formula are not asked for.",
        ),
        (
            lambda *case: ANY_SEED,
            "Every seed gives the same interval. Hand the seed on to the random numbers.",
        ),
        (
            lambda *case: NO_SEED,
            "Two calls with one seed give two intervals. Hand the seed on to the random numbers.",
        ),
        (lambda *case: ANY_DRAWS, "Is the number of draws used? Twice as many change nothing."),
        (
            from_values(lambda values: around(values, 0)),
            "The interval has no width. Can a value come again? Is it the mean of each draw?",
        ),
        (
            from_values(middle),
            "This is an interval of the values. Where do the means of the draws lie?",
        ),
        (
            from_values(lambda values: middle(values, method="inverted_cdf")),
            "This is an interval of the values. Take the mean of each draw first.",
        ),
        (
            from_values(lambda values: around(values, 1.96 * values.std())),
            "This is an interval of the values. Where do the means of the draws lie?",
        ),
        (
            lambda values, seed, draws: (
                np.nanmean(values) + np.array([0, -1, 1]) * np.nanstd(values)
            ),
            "This is the spread of the values. Where do the means of the draws lie?",
        ),
        (
            of_samples(lambda n: n // 2),
            "The interval is too wide: a draw is too small. It has as many values as given.",
        ),
        (
            of_samples(lambda n: 10),
            "Each draw has ten values, however many there are. It has as many as there are.",
        ),
        (
            from_means(lambda means: middle(means, 0.9)),
            "These limits hold the middle 90 %. For 95 %, 2.5 % lie outside on each side.",
        ),
        (
            from_means(lambda means: middle(means, 0.99)),
            "These limits hold the middle 99 %. For 95 %, 2.5 % lie outside on each side.",
        ),
        (
            from_means(lambda means: np.quantile(means, [0, 0.95])),
            "All 5 % are left out above. 2.5 % lie outside on each side.",
        ),
        (
            from_means(lambda means: np.quantile(means, [0.05, 1])),
            "All 5 % are left out below. 2.5 % lie outside on each side.",
        ),
        (
            from_means(lambda means: np.quantile(means, [0.00025, 0.00975])),
            "percentile counts from 0 to 100, quantile from 0 to 1. Both limits are far below.",
        ),
        (
            from_means(lambda means: (means.min(), means.max())),
            "These are the smallest and the largest mean. 2.5 % of them lie outside on each side.",
        ),
        (
            from_means(lambda means: around(means, means.std())),
            "One standard deviation to each side holds about 68 % of the means.",
        ),
        (reordered(1, 0, 2), "The three numbers are there, in another order: the mean is first."),
        (reordered(1, 2, 0), "The three numbers are there, in another order: the mean is first."),
        (
            reordered(0, 2, 1),
            "The three numbers are there, in another order: the lower limit is second.",
        ),
        (
            lambda values, seed, draws: (
                np.median(present(values)),
                *bootstrap(values, seed, draws)[1:],
            ),
            "The first number is the median. The mean is asked for.",
        ),
        (
            lambda values, *case: bootstrap(np.nan_to_num(values), *case),
            "A NaN counts as 0 here. Leave it out.",
        ),
        (
            lambda values, *case: (
                (np.nan,) * 3 if np.isnan(values).any() else bootstrap(values, *case)
            ),
            "A NaN among the values makes all NaN. Leave it out first.",
        ),
    ),
)

# --- 6.4 without_pet ----------------------------------------------------------------------------

SOME_EMPTY = batch([[1, 1], [1, 1]], [[0, 2], [1, 1]], [[2, 2], [1, 2]], [[0, 0], [0, 0]])
PETS = batch([[0, 1], [1, 1]], [[0, 0], [0, 0]], [[0, 2], [0, 0]], [[0, 1], [0, 1]])


def places(found):
    """Masks by what is asked of each mask [H, W, 1]."""
    return lambda masks: np.flatnonzero([found(mask) for mask in masks])


no_pet = places(lambda mask: not is_pet(mask).any())


without_pet = Task(
    "6.4",
    "without_pet",
    """
`without_pet(masks)` finds the masks in which no pixel is pet.

* **in**: masks `[N, H, W, 1]` with the classes 0 pet, 1 background, 2 border.
* **out**: the indexes of those masks, counted from 0, in rising order, as an array or a list. None
  are found in most data: then it is empty.
* **example**: of four masks, the first is all background, and the third has border and
  background: `[0, 2]`.
""",
    cases=((SOME_EMPTY,), (PETS,), (MIXED,), (SOME_EMPTY[::-1],)),
    right=no_pet,
    strict=True,
    mistakes=(
        (
            places(lambda mask: is_pet(mask).any()),
            "These are the masks with a pet. The others are asked for.",
        ),
        (
            places(lambda mask: not mask.any()),
            "These masks are pet everywhere: class 0 is the pet, not nothing.",
        ),
        (
            places(lambda mask: (mask == 1).all()),
            "A mask of border and background has no pet either.",
        ),
        (
            places(lambda mask: not (mask == 1).any()),
            "These are the masks without background. The pet is class 0.",
        ),
        (
            places(lambda mask: not (mask == 2).any()),
            "These are the masks without border. The pet is class 0.",
        ),
        (lambda masks: no_pet(masks) + 1, "The indexes are too large by one. Count from 0."),
        (
            lambda masks: np.array([not is_pet(mask).any() for mask in masks]),
            "These are True and False, one for each mask. At which indexes is it True?",
        ),
        (
            lambda masks: np.flatnonzero(~is_pet(masks).any()),
            "All masks are looked at together. Ask each one.",
        ),
        (
            lambda masks: np.unique(np.where(~is_pet(masks))[0]),
            "One pixel that is no pet is enough here. All of them have to be no pet.",
        ),
        (
            lambda masks: np.where(~is_pet(masks))[0],
            "These are pixels. One index for each mask without a pet is asked for.",
        ),
        (
            lambda masks: len(no_pet(masks)),
            "This is how many there are. Which ones are they?",
        ),
        (lambda masks: masks[no_pet(masks)], "These are the masks themselves, not their indexes."),
        (
            lambda masks: no_pet(masks)[:1],
            "This is the first one alone. There may be several, or none.",
        ),
        (
            lambda masks: no_pet(masks)[np.newaxis],
            "The shape is [1, n]. np.where gives a tuple with an array for each axis.",
        ),
        (
            lambda masks: no_pet(masks)[:, np.newaxis],
            "The shape is [n, 1]. A flat array is asked for.",
        ),
    ),
)

# --- 6.5 spearman -------------------------------------------------------------------------------

SQUARES = np.array([[1, 1], [2, 4], [3, 9], [4, 16]])
BY_HAND = np.array([[1, 4], [2, 3], [3, 1], [4, 2]])
SHUFFLED = np.array([[30, 0.7], [10, 0.9], [50, 0.1], [20, 0.8], [40, 0.75], [900, 0.3]])
TIED = np.array([[3, 0.5], [1, 0.9], [1, 0.2], [2, 0.6], [3, 0.1], [1, 0.4], [2, 0.6]])
CONSTANT = np.array([[1, 0.3], [1, 0.8], [1, 0.5]])


def ranked(how="average", correlate="pearson"):
    """A rank correlation with ties broken in some way."""
    return lambda pairs: float(pd.DataFrame(pairs).rank(method=how).corr(correlate).iloc[0, 1])


def pearson(x, y):
    return float(pd.Series(x).corr(pd.Series(y)))


def orders(pairs):
    """Which value is the first, the second, ...: what argsort gives."""
    return np.argsort(pairs, axis=0, kind="stable").T


def covariance(pairs, ddof):
    return float(pd.DataFrame(pairs).rank().cov(ddof=ddof).iloc[0, 1])


def without_ties(pairs):
    """The short formula, which holds only if no value occurs twice."""
    ranks, n = pd.DataFrame(pairs).rank().to_numpy(), len(pairs)
    return float(1 - 6 * np.sum((ranks[:, 0] - ranks[:, 1]) ** 2) / (n * (n**2 - 1)))


right_spearman = ranked()

spearman = Task(
    "6.5",
    "spearman",
    """
`spearman(pairs)` is Spearman's rank correlation of two columns.

* **in**: an array of pairs, `[N, 2]`.
* **out**: a number from -1 to 1: the ordinary correlation of the ranks of both columns. Equal
  values share the mean of their ranks: `[5, 7, 7]` has the ranks 1, 2.5, 2.5. NaN if a column is
  constant.
* **example**: `[[1, 4], [2, 3], [3, 1], [4, 2]]` gives -0.8, as worked out above.
""",
    cases=((BY_HAND,), (SQUARES,), (SHUFFLED,), (TIED,), (CONSTANT,)),
    right=right_spearman,
    mistakes=(
        (
            lambda pairs: pearson(*np.transpose(pairs)),
            "This is the correlation of the values. Replace them by their ranks first.",
        ),
        (
            lambda pairs: pearson(*np.argsort(np.argsort(pairs, axis=0), axis=0).T),
            "Equal values get different ranks here. They share the mean of their ranks.",
        ),
        (
            ranked("first"),
            "Equal values get different ranks here. They share the mean of their ranks.",
        ),
        (
            lambda pairs: pearson(*orders(pairs)),
            "argsort gives the places of the sorted values. These are not yet their ranks.",
        ),
        (ranked("min"), "Equal values get the lowest of their ranks here. They share the mean."),
        (ranked("max"), "Equal values get the highest of their ranks here. They share the mean."),
        (
            ranked("dense"),
            "After equal values the ranks go on without a gap. [5, 7, 7, 9] is 1, 2.5, 2.5, 4.",
        ),
        (
            lambda pairs: -right_spearman(pairs),
            "The sign is the other way round. Both columns are ranked in the same direction.",
        ),
        (lambda pairs: abs(right_spearman(pairs)), "The sign is lost. A falling curve gives -1."),
        (
            lambda pairs: right_spearman(pairs) ** 2,
            "This is the square. The correlation itself has a sign.",
        ),
        (
            without_ties,
            "The short formula holds only without equal values. Take the correlation of the ranks.",
        ),
        (ranked(correlate="kendall"), "This is Kendall's tau, another rank correlation."),
        (
            lambda pairs: np.nan_to_num(right_spearman(pairs)),
            "A constant column goes neither up nor down: NaN is asked for, not 0.",
        ),
        (
            lambda pairs: np.array(pd.DataFrame(pairs).rank().corr()),
            "This is the table of all correlations. Which entry is that of the two columns?",
        ),
        *(
            (
                lambda pairs, k=k: float(pd.DataFrame(pairs).rank().corr().iloc[k, k]),
                "This is the correlation of a column with itself.",
            )
            for k in (0, 1)
        ),
        (
            lambda pairs: float(pd.DataFrame(pairs).rank(axis=1).corr().iloc[0, 1]),
            "The ranks are taken within each pair. Rank each column.",
        ),
        *(
            (
                lambda pairs, ddof=ddof: covariance(pairs, ddof),
                "This is the covariance of the ranks. A correlation is divided by both spreads.",
            )
            for ddof in (0, 1)
        ),
        (
            lambda pairs: np.array(pd.DataFrame(pairs).rank()),
            "These are the ranks. What is their correlation?",
        ),
    ),
)

# --- 6.6 verdict --------------------------------------------------------------------------------

NONE, HIGHER, LOWER = (
    "no direction is shown",
    "more goes with higher IoU",
    "more goes with lower IoU",
)
LIMITS = ((0.1, 0.3), (-0.3, -0.1), (-0.1, 0.3), (-0.3, 0.1), (0.0, 0.2), (-0.2, 0.0), (0.0, 0.0))
AT_LIMIT = "An interval that begins or ends at 0 holds 0, and so no direction is shown."


def by_rule(low, high):
    if low <= 0 <= high:
        return NONE
    return HIGHER if low > 0 else LOWER


def judged(verdict, low, high):
    """Words without what does not matter: capitals, spaces, a full stop."""
    found = verdict(low, high)
    return found if found is None else " ".join(str(found).lower().split()).rstrip(".")


verdict = Task(
    "6.6",
    "verdict",
    """
`verdict(low, high)` says what an interval of a correlation, or of a difference in IoU, allows us
to say.

* **in**: the two limits.
* **out**: one of three texts: `"no direction is shown"` if the interval holds 0, and 0 at a limit
  is held as well; `"more goes with higher IoU"` if all of it lies above 0;
  `"more goes with lower IoU"` if all of it lies below.
* **example**: from -0.1 to 0.3, no direction is shown.
""",
    cases=LIMITS,
    right=by_rule,
    use=judged,
    mistakes=(
        (
            lambda low, high: {HIGHER: LOWER, LOWER: HIGHER}.get(by_rule(low, high), NONE),
            "Higher and lower have changed places. Above 0, more goes with higher IoU.",
        ),
        (
            lambda low, high: HIGHER if low > 0 else LOWER,
            "The lower limit alone decides here. Below 0, it leaves two cases: look at high.",
        ),
        (
            lambda low, high: HIGHER if low >= 0 else LOWER,
            "The lower limit alone decides here. Below 0, it leaves two cases: look at high.",
        ),
        (
            lambda low, high: LOWER if high < 0 else HIGHER,
            "The upper limit alone decides here. Above 0, it leaves two cases: look at low.",
        ),
        (
            lambda low, high: LOWER if high <= 0 else HIGHER,
            "The upper limit alone decides here. Above 0, it leaves two cases: look at low.",
        ),
        (
            lambda low, high: HIGHER if high > 0 else LOWER,
            "The upper limit alone decides here. Above 0, it leaves two cases: look at low.",
        ),
        (
            lambda low, high: HIGHER if low > 0 else NONE,
            "An interval that lies below 0 shows a direction too.",
        ),
        (
            lambda low, high: LOWER if high < 0 else NONE,
            "An interval that lies above 0 shows a direction too.",
        ),
        *(
            (
                lambda low, high, none=none: (
                    none if low + high == 0 else HIGHER if low + high > 0 else LOWER
                ),
                "The middle of the interval decides here. It says nothing of its width.",
            )
            for none in (NONE, HIGHER, LOWER)
        ),
        (lambda low, high: HIGHER if low >= 0 else LOWER if high <= 0 else NONE, AT_LIMIT),
        (lambda low, high: LOWER if high <= 0 else HIGHER if low >= 0 else NONE, AT_LIMIT),
        (lambda low, high: NONE if low < 0 < high else HIGHER if low > 0 else LOWER, AT_LIMIT),
        (lambda low, high: NONE if low < 0 < high else LOWER if high < 0 else HIGHER, AT_LIMIT),
        (lambda low, high: HIGHER if low >= 0 else LOWER if high < 0 else NONE, AT_LIMIT),
        (lambda low, high: HIGHER if low > 0 else LOWER if high <= 0 else NONE, AT_LIMIT),
        (
            lambda low, high: NONE,
            "No direction is shown here, wherever the interval lies. Look at both limits.",
        ),
    ),
)

# --- 6.7 worst_images ---------------------------------------------------------------------------

worst_images = Question(
    "6.7",
    "worst_images",
    """
Go through the list above, row by row. Which of the images at its end does the *model* get wrong,
and where is the *true mask* at fault? Three rows have a pattern of their own: pet and background
near 0, and a border that was found. Which mistake in a mask makes such a row? By how much does the
mean pet IoU change without the masks that are at fault, and should they be left out?

Work it out in cells of your own. Then write your answer into `worst_images`, four sentences or
more: what you did, what you counted, what follows.
""",
    words=40,
)
