"""Tasks of the lab on error analysis. Classes: 0 pet, 1 background, 2 border."""

import numpy as np
import pandas as pd

from labkit.check.answer import NotDone
from labkit.check.engine import task
from labkit.check.mistakes import (
    FLOOR_DIVISION,
    NEGATED,
    ONE_MINUS,
    PERCENT,
    SWAPPED_PAIR,
    TOO_LARGE_BY_ONE,
    edits,
    instead,
    result,
)
from labkit.check.question import Question

__all__ = ["NotDone"]


def batch(*masks):
    """Masks [H, W] as a batch [N, H, W, 1]."""
    return np.array(masks, "uint8")[..., np.newaxis]


def filled(*counts):
    """Masks of 20 x 20 whose first pixels are pet, the others background."""
    return batch(*(np.where(np.arange(400) < n, 0, 1).reshape(20, 20) for n in counts))


def as_tuple(value):
    """An array, a list or a tensor as a tuple, which is compared part by part."""
    return tuple(value) if np.ndim(value) else value


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

UINT8 = "A sum is kept in uint8, which wraps around at 256. Sum in a larger integer type."
BORDER_AS_PET = "The border counts as pet here. Only class 0 is the pet."


@task(
    "7.1",
    cases=(
        (HALF, HALF_PRED),
        (MIXED, MIXED_PRED),
        (filled(400, 280), filled(300, 300)),
        (filled(1, 1, 0), filled(1, 0, 1)),
    ),
    strict=True,
    mistakes=(
        *edits(f"""
            axis = (1, 2, 3) => axis = None
                The pixels of all images are pooled. The first axis is that of the images.
            axis = (1, 2, 3) => axis = (0, 1, 2)
                The sums include the first axis, so the images are pooled.
            axis = (1, 2, 3) => axis = 0
                The sums run over the images and keep the pixels. It has to be the opposite.
            axis = (1, 2, 3) => axis = (1, 2)
                An axis of length 1 is left at the end. The shape has to be [N].
            axis = (1, 2, 3) => axis = 2
                Each row of pixels gets a score. Sum over height and width.
            == 0 => == 1
                This is the score of class 1, background. The pet is class 0.
            == 0 => == 2
                This is the score of class 2, border. The pet is class 0.
            == 0 => != 1
                {BORDER_AS_PET}
            np.where(either > 0, score, 1.0) => np.mean(masks == pred_masks, axis)
                This is pixel accuracy: the share of equal pixels. Look at the pet alone.
            both / np.maximum(either, 1) => 2 * both / np.maximum(both + either, 1)
                This is Dice. Look at the denominator, and at the factor 2.
            np.maximum(either, 1) => np.maximum(both + either, 1)
                Shared pixels count twice in the denominator. Count them once.
            (true | predicted) => true
                This is recall: it divides by the true pet alone; false alarms cost nothing.
            (true | predicted) => predicted
                This is precision: it divides by the predicted pet alone; misses cost nothing.
            score, 1.0 => score, 0.0
                An image without a pet in either mask gets 0 here. Look up its score in the task.
            score, 1.0 => score, np.nan
                Without a pet in either mask, 0/0 gives NaN. Handle that case.
            either > 0 => true.any(axis)
                An image with no pet in the true mask always gets 1: false alarms cost nothing.
            either > 0 => predicted.any(axis)
                An image with no pet in the prediction always gets 1: misses cost nothing.
            both / np.maximum(either, 1) => (both + 1) / (either + 1)
                The constant that is added changes every score, not only 0/0.
            .sum(axis) => .sum(axis, dtype="uint8")
                {UINT8}
            .sum(axis) => .sum(axis) % 256
                {UINT8}
            np.where(either > 0, score, 1.0) => both
                This is the number of shared pixels. Divide it.
        """),
        result(np.mean, "The images are averaged. Return one score for each image."),
        FLOOR_DIVISION,
        ONE_MINUS,
        PERCENT,
    ),
)
def pet_iou_per_image(masks, pred_masks):
    true, predicted = masks == 0, pred_masks == 0
    axis = (1, 2, 3)
    both = (true & predicted).sum(axis)
    either = (true | predicted).sum(axis)
    score = both / np.maximum(either, 1)
    return np.where(either > 0, score, 1.0)


BORDER_LEFT_OUT = "A pet pixel mistaken for border is an error too, and so is the reverse."
REGION_SIZE = "This is the size of a region. Leave out the pixels that the two regions share."
ORDER_OF_IDS = "Class ids are compared by size, so errors between background and border count."
RATIO = "This is a ratio. Return the number of pixels."


@task(
    "7.2",
    cases=(
        (np.array([0, 0, 0, 0, 1, 1]), np.array([1, 1, 0, 0, 0, 1])),
        (MIXED[0, ..., 0], MIXED_PRED[0, ..., 0]),
        (MIXED, MIXED_PRED),
        (MIXED[1], MIXED[1]),
        (filled(400, 280), filled(100, 299)),
    ),
    adapter=lambda function, *case: as_tuple(function(*case)),
    mistakes=(
        SWAPPED_PAIR,
        *edits(f"""
            == 0 => == 1
                These are the errors of class 1, background. The pet is class 0.
            == 0 => == 2
                These are the errors of class 2, border. The pet is class 0.
            == 0 => != 1
                {BORDER_AS_PET}
            ~predicted => (pred_mask == 1)
                {BORDER_LEFT_OUT}
            ~true => (mask == 1)
                {BORDER_LEFT_OUT}
            true & ~predicted => true & predicted
                The first number counts the pet pixels that are found. Count those that are not.
            predicted & ~true => predicted & true
                The second number counts the pet pixels that are found. Count the false alarms.
            true & ~predicted => true
                {REGION_SIZE}
            predicted & ~true => predicted
                {REGION_SIZE}
            predicted & ~true => mask != pred_mask
                The second number counts all wrong pixels. Count those that are predicted as pet.
            true & ~predicted => mask != pred_mask
                The first number counts all wrong pixels. Count those whose true class is pet.
            true & ~predicted => mask < pred_mask
                {ORDER_OF_IDS}
            predicted & ~true => mask > pred_mask
                {ORDER_OF_IDS}
            missed, false => max(missed - false, 0), max(false - missed, 0)
                Areas are subtracted, so misses and false alarms cancel. Compare pixel by pixel.
            missed, false => missed + false, 0
                In an unsigned type, 0 - 1 wraps around to a large number. Use a signed type.
            missed, false => missed + false
                Both kinds of errors are added. Return two numbers.
            missed, false => missed % 256, false % 256
                {UINT8}
            missed, false => missed / max(true.sum(), 1), false / max(predicted.sum(), 1)
                {RATIO}
            missed, false => missed / max(true.sum(), 1), false / max(true.sum(), 1)
                {RATIO}
            missed, false => missed / mask.size, false / mask.size
                {RATIO}
        """),
    ),
)
def missed_and_false(mask, pred_mask):
    true, predicted = mask == 0, pred_mask == 0
    missed = np.sum(true & ~predicted)
    false = np.sum(predicted & ~true)
    return missed, false


SCORES = np.array([0.91, 0.17, 0.84, 0.62, 0.95, 0.33, 0.78, 0.88, 0.05])
WITH_NAN = np.array([0.21, np.nan, 0.83, 0.97, 0.4, np.nan, 0.12, 0.74, np.nan, 0.66, 0.9])
CHANGES = np.random.default_rng(0).normal(0.2, 0.7, 25).round(2)
SIGNS = np.array([-1, 1])

IGNORES_SEED = "the same interval for every seed"
IGNORES_BOTH = "the same interval for every seed and number of draws"
IGNORES_DRAWS = "limits that do not depend on the number of draws"
RANDOM_SEED = "a different interval each time, with the same seed"
ONE_SAMPLE = "two equal limits, which are not the mean"
DRAWS_NAN = "other limits without the NaN values"


def numbers_or_fault(function, values, seed, draws):
    """The three numbers of an interval, or what is wrong with how it is drawn."""
    numbers = as_tuple(function(values, seed, draws))
    if np.shape(numbers) != (3,):
        return numbers
    mean, low, high = np.asarray(numbers, float)
    few = np.array([function(values, number, 3) for number in [1, *range(1, 21)]], float)
    error = np.nanstd(values) / np.sqrt(np.sum(~np.isnan(values)))
    near = np.allclose(numbers, interval.reference(values, seed, draws), rtol=0, atol=error)
    if np.allclose(few, few[0], rtol=0, atol=1e-9):  # the seed has no effect
        if not np.allclose(few[0], numbers, rtol=0, atol=1e-9):
            return IGNORES_SEED
        return IGNORES_BOTH if near else numbers
    if not np.array_equal(few[0], few[1], equal_nan=True):
        return RANDOM_SEED
    if low == high and not np.isclose(low, mean):
        return ONE_SAMPLE
    kept = values[~np.isnan(values)]
    if near and not np.allclose(function(kept, seed, 3), function(values, seed, 3), atol=1e-9):
        return DRAWS_NAN
    # The limits vary with the seed: for 3 draws by about 0.75 errors, for 1000 by 0.1.
    return IGNORES_DRAWS if near and np.std(few, axis=0).max() < 0.35 * error else numbers


def nan_drawn(values, seed=0, draws=1000):
    means = np.nanmean(np.random.default_rng(seed).choice(values, (draws, len(values))), axis=1)
    return np.nanmean(values), *np.nanquantile(means, [0.025, 0.975])


OF_VALUES = "This interval describes the values. It has to describe their mean."
NOT_95 = "2.5 % of the means have to lie outside on each side."
WRONG_ORDER = "The three numbers are in the wrong order."


@task(
    "7.3",
    cases=((SCORES, 0, 6_000), (WITH_NAN, 1, 6_000), (CHANGES, 2, 6_000)),
    adapter=numbers_or_fault,
    tolerance=0.015,
    mistakes=edits(f"""
        np.quantile(means, levels) => values.mean() + SIGNS * 1.96 * values.std() / len(values)**0.5
            Seed and number of draws have no effect. Use a bootstrap, not a formula.
        rng(seed) => rng(0)
            Every seed gives the same interval. Pass the seed on to the random generator.
        rng(seed) => rng()
            Two calls with the same seed differ. Pass the seed on to the random generator.
        (draws, len(values)) => (1000, len(values))
            The number of draws has no effect.
        axis=1 => axis=0
            The interval has almost no width. Is each mean that of one draw, and can values repeat?
        samples.mean(axis=1) => samples
            This interval describes the values. Take the mean of each draw first.
        np.quantile(means => np.quantile(values
            {OF_VALUES}
        np.quantile(means, levels) => values.mean() + SIGNS * 1.96 * values.std()
            {OF_VALUES}
        np.quantile(means, levels) => values.mean() + SIGNS * values.std()
            {OF_VALUES}
        (draws, len(values)) => (draws, len(values) // 2)
            The interval is too wide: each draw has too few values.
        (draws, len(values)) => (draws, 10)
            Each draw has ten values, however many are given.
        (values, (draws, len(values))) => (values, len(values))[np.newaxis].repeat(draws, 0)
            All draws are the same. Is the random generator created again for each draw? Create it
            once, before the loop.
        [0.025, 0.975] => [0.05, 0.95]
            These limits contain the middle 90 %. {NOT_95}
        [0.025, 0.975] => [0.005, 0.995]
            These limits contain the middle 99 %. {NOT_95}
        [0.025, 0.975] => [0, 0.95]
            All 5 % lie above the upper limit. {NOT_95}
        [0.025, 0.975] => [0.05, 1]
            All 5 % lie below the lower limit. {NOT_95}
        [0.025, 0.975] => [0.00025, 0.00975]
            Both limits are far too low. percentile expects 0 to 100, quantile 0 to 1.
        np.quantile(means, levels) => means.min(), means.max()
            These are the smallest and the largest mean. {NOT_95}
        np.quantile(means, levels) => means.mean() + SIGNS * means.std()
            One standard deviation on each side contains about 68 % of the means.
        values.mean(), low, high => low, values.mean(), high
            {WRONG_ORDER}
        values.mean(), low, high => low, high, values.mean()
            {WRONG_ORDER}
        values.mean(), low, high => values.mean(), high, low
            {WRONG_ORDER}
        return values.mean() => return np.median(values)
            The first number is the median. Return the mean.
        values[~np.isnan(values)] => np.nan_to_num(values)
            A NaN counts as 0. Leave it out.
        values[~np.isnan(values)] => values
            A NaN among the values makes all three numbers NaN. Leave it out first.
    """)
    + (
        instead(
            nan_drawn,
            "NaN values are drawn and then ignored, so draws differ in size. Leave them out first.",
        ),
    ),
)
def interval(values, seed=0, draws=1000):
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    rng = np.random.default_rng(seed)
    samples = rng.choice(values, (draws, len(values)))
    means = samples.mean(axis=1)
    levels = [0.025, 0.975]
    low, high = np.quantile(means, levels)
    return values.mean(), low, high


SOME_EMPTY = batch([[1, 1], [1, 1]], [[0, 2], [1, 1]], [[2, 2], [1, 2]], [[0, 0], [0, 0]])
PETS = batch([[0, 1], [1, 1]], [[0, 0], [0, 0]], [[0, 2], [0, 0]], [[0, 1], [0, 1]])


@task(
    "7.4",
    cases=((SOME_EMPTY,), (PETS,), (MIXED,), (SOME_EMPTY[::-1],)),
    strict=True,
    mistakes=(
        *edits("""
            ~has_pet => has_pet
                These are the masks with a pet. Find the others.
            == 0 => != 0
                These masks are pet everywhere. Class 0 is the pet, not an empty pixel.
            == 0 => != 1
                A mask of border and background has no pet either.
            == 0 => == 1
                These are the masks without background. The pet is class 0.
            == 0 => == 2
                These are the masks without border. The pet is class 0.
            axis=(1, 2, 3) => axis=None
                All masks are tested together. Test each mask.
            np.any => np.all
                One pixel that is not pet is enough here. All pixels have to be something else.
            np.flatnonzero(~has_pet) => ~has_pet
                This is True or False for each mask. Return the indexes where it is True.
            np.flatnonzero(~has_pet) => np.where(masks != 0)[0]
                This is an index for each pixel. Return one for each mask without a pet.
            np.flatnonzero(~has_pet) => masks[~has_pet]
                These are the masks themselves. Return their indexes.
            np.flatnonzero(~has_pet) => np.flatnonzero(~has_pet)[np.newaxis]
                The shape is [1, n]. np.where returns a tuple with one array for each axis.
            np.flatnonzero => np.argwhere
                The shape is [n, 1]. Return a one-dimensional array.
        """),
        TOO_LARGE_BY_ONE,
        result(len, "This is the number of masks without a pet. Return their indexes."),
        result(lambda indexes: indexes[:1], "This is only the first index. There may be several."),
    ),
)
def without_pet(masks):
    has_pet = np.any(masks == 0, axis=(1, 2, 3))
    return np.flatnonzero(~has_pet)


SQUARES = np.array([[1, 1], [2, 4], [3, 9], [4, 16]])
BY_HAND = np.array([[1, 4], [2, 3], [3, 1], [4, 2]])
SHUFFLED = np.array([[30, 0.7], [10, 0.9], [50, 0.1], [20, 0.8], [40, 0.75], [900, 0.3]])
TIED = np.array([[3, 0.5], [1, 0.9], [1, 0.2], [2, 0.6], [3, 0.1], [1, 0.4], [2, 0.6]])
CONSTANT = np.array([[1, 0.3], [1, 0.8], [1, 0.5]])

TIES = "Equal values get different ranks here. They share the mean of their ranks."
COVARIANCE = "This is the covariance of the ranks. Divide it by both standard deviations."
ARGSORT = "argsort returns the indexes that sort the values. These are not yet the ranks."
ONE_COLUMN = "This is the correlation of a column with itself."


@task(
    "7.5",
    cases=((BY_HAND,), (SQUARES,), (SHUFFLED,), (TIED,), (CONSTANT,)),
    mistakes=(
        *edits(f"""
            .rank(method="average") =>
                This is the correlation of the values. Replace them by their ranks first.
            pairs).rank(method="average") => np.argsort(np.argsort(pairs, 0), 0))
                {TIES}
            average => first
                {TIES}
            pairs).rank(method="average") => np.argsort(pairs, 0, kind="stable"))
                {ARGSORT}
            pairs).rank(method="average") => np.argsort(pairs, 0))
                {ARGSORT}
            average => min
                Equal values get the lowest of their ranks here. They share the mean.
            average => max
                Equal values get the highest of their ranks here. They share the mean.
            average => dense
                No rank is skipped after ties here. [5, 7, 7, 9] has the ranks 1, 2.5, 2.5, 4.
            method="average" => axis=1
                The ranks are computed within each pair. Rank each column.
            ranks.corr() => ranks.corr("kendall")
                This is Kendall's tau, another rank correlation.
            ranks.corr() => ranks.cov()
                {COVARIANCE}
            ranks.corr() => ranks.cov(ddof=0)
                {COVARIANCE}
            table.iloc[0, 1] => 1 - 6 * np.sum(np.diff(ranks) ** 2) / (len(pairs) ** 3 - len(pairs))
                The short formula is only valid without ties. Use the correlation of the ranks.
            table.iloc[0, 1] => table
                This is the table of all correlations. Return the entry for the two columns.
            [0, 1] => [0, 0]
                {ONE_COLUMN}
            [0, 1] => [1, 1]
                {ONE_COLUMN}
            table.iloc[0, 1] => ranks
                These are the ranks. Return their correlation.
        """),
        NEGATED,
        result(abs, "The sign is lost. A falling curve gives -1."),
        result(np.square, "This is the square of the correlation, which has no sign."),
        result(np.nan_to_num, "For a constant column, the result has to be NaN, not 0."),
    ),
)
def spearman(pairs):
    ranks = pd.DataFrame(pairs).rank(method="average")
    table = ranks.corr()
    return table.iloc[0, 1]


NONE = "no direction is shown"
HIGHER, LOWER = "more goes with higher IoU", "more goes with lower IoU"
LIMITS = ((0.1, 0.3), (-0.3, -0.1), (-0.1, 0.3), (-0.3, 0.1), (0.0, 0.2), (-0.2, 0.0), (0.0, 0.0))

AT_LIMIT = "An interval with a limit at 0 contains 0, so it shows no direction."
MIDDLE = "The middle of the interval decides here. It ignores how wide the interval is."


@task(
    "7.6",
    cases=LIMITS,
    mistakes=(
        result(
            lambda text: {HIGHER: LOWER, LOWER: HIGHER}.get(text, text),
            "Higher and lower are swapped.",
        ),
        *edits(f"""
            return NONE => return LOWER
                The lower limit alone decides here. If it is below 0, the upper one matters too.
            return NONE => return HIGHER
                The upper limit alone decides here. If it is above 0, the lower one matters too.
            return LOWER => return NONE
                An interval that lies below 0 shows a direction too.
            return HIGHER => return NONE
                An interval that lies above 0 shows a direction too.
            return NONE => return (NONE, HIGHER, LOWER)[int(np.sign(low + high))]
                {MIDDLE}
            return NONE => return HIGHER if low + high >= 0 else LOWER
                {MIDDLE}
            return NONE => return HIGHER if low + high > 0 else LOWER
                {MIDDLE}
            low > 0 => low >= 0
                {AT_LIMIT}
            low > 0 => low >= 0 < high
                {AT_LIMIT}
            high < 0 => high <= 0
                {AT_LIMIT}
            return NONE => return NONE if low < 0 < high else LOWER
                {AT_LIMIT}
            return NONE => return NONE if low < 0 < high else HIGHER
                {AT_LIMIT}
        """),
    ),
)
def verdict(low, high):
    if low > 0:
        return HIGHER
    if high < 0:
        return LOWER
    return NONE


worst_images = Question("7.7", "worst_images", words=40)
