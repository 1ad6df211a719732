"""Chapter 6: answers that have to pass, and plausible ones that must not."""

import random
import statistics

import keras
import numpy as np
import pandas as pd
import pytest
from answers import Answers, fails, passes
from scipy import stats

from labkit.check import errors as check

right, wrong = Answers(passes), Answers(fails)
test_a_right_answer_passes = right.test()
test_a_wrong_answer_fails_with_its_hint = wrong.test()


# --- 6.1 pet_iou_per_image ---


@right(check.pet_iou_per_image)
def sums_over_three_axes(masks, pred_masks):
    true, predicted = masks == 0, pred_masks == 0
    both = np.sum(true & predicted, axis=(1, 2, 3))
    either = np.sum(true | predicted, axis=(1, 2, 3))
    scores = np.ones(len(masks))
    scores[either > 0] = both[either > 0] / either[either > 0]
    return scores


@right(check.pet_iou_per_image)
def image_by_image(masks, pred_masks):
    scores = []
    for mask, pred_mask in zip(masks, pred_masks, strict=True):
        true, predicted = mask == 0, pred_mask == 0
        either = np.sum(true | predicted)
        scores.append(np.sum(true & predicted) / either if either else 1.0)
    return scores


@right(check.pet_iou_per_image)
def with_a_tiny_number(masks, pred_masks):
    true = (masks == 0).reshape(len(masks), -1).astype("float32")
    predicted = (pred_masks == 0).reshape(len(masks), -1).astype("float32")
    both = (true * predicted).sum(1)
    return (both + 1e-7) / (true.sum(1) + predicted.sum(1) - both + 1e-7)


@right(check.pet_iou_per_image)
def by_keras_ops(masks, pred_masks):
    true = keras.ops.cast(keras.ops.equal(masks, 0), "float32")
    predicted = keras.ops.cast(keras.ops.equal(pred_masks, 0), "float32")
    both = keras.ops.sum(true * predicted, axis=(1, 2, 3))
    either = keras.ops.sum(keras.ops.maximum(true, predicted), axis=(1, 2, 3))
    return keras.ops.where(either > 0, both / keras.ops.maximum(either, 1), 1.0)


@right(check.pet_iou_per_image)
def by_tensorflow(masks, pred_masks):
    tf = pytest.importorskip("tensorflow")
    true, predicted = tf.equal(masks, 0), tf.equal(pred_masks, 0)
    both = tf.math.count_nonzero(tf.logical_and(true, predicted), axis=[1, 2, 3])
    either = tf.math.count_nonzero(tf.logical_or(true, predicted), axis=[1, 2, 3])
    return tf.where(either == 0, tf.ones_like(both, tf.float64), both / either)


@wrong(check.pet_iou_per_image, "averaged")
def mean_over_the_images(masks, pred_masks):
    return np.mean(image_by_image(masks, pred_masks))


@wrong(check.pet_iou_per_image, "all images are counted together")
def pooled(masks, pred_masks):
    true, predicted = masks == 0, pred_masks == 0
    return np.sum(true & predicted) / np.sum(true | predicted)


@wrong(check.pet_iou_per_image, "The sums run over the first axis")
def axes_counted_from_one_too_low(masks, pred_masks):
    true, predicted = masks == 0, pred_masks == 0
    return np.sum(true & predicted, axis=(0, 1, 2)) / np.sum(true | predicted, axis=(0, 1, 2))


@wrong(check.pet_iou_per_image, "length 1 is left over")
def the_last_axis_stays(masks, pred_masks):
    true, predicted = masks == 0, pred_masks == 0
    both, either = np.sum(true & predicted, (1, 2)), np.sum(true | predicted, (1, 2))
    return np.where(either == 0, 1, both / either)


@wrong(check.pet_iou_per_image, "leave the pixels")
def over_the_images(masks, pred_masks):
    true, predicted = masks == 0, pred_masks == 0
    both, either = np.sum(true & predicted, 0), np.sum(true | predicted, 0)
    return np.where(either == 0, 1, both / either)


@wrong(check.pet_iou_per_image, "class 1, background")
def class_one_is_taken_for_the_pet(masks, pred_masks):
    return image_by_image(masks - 1, pred_masks - 1)


@wrong(check.pet_iou_per_image, "class 2, border")
def class_two(masks, pred_masks):
    return image_by_image((masks != 2).astype(int), (pred_masks != 2).astype(int))


@wrong(check.pet_iou_per_image, "The border counts as pet")
def everything_that_is_not_background(masks, pred_masks):
    return image_by_image((masks == 1).astype(int), (pred_masks == 1).astype(int))


@wrong(check.pet_iou_per_image, "pixel accuracy")
def equal_pixels(masks, pred_masks):
    return (masks == pred_masks).mean(axis=(1, 2, 3))


@wrong(check.pet_iou_per_image, "This is Dice")
def dice(masks, pred_masks):
    iou = sums_over_three_axes(masks, pred_masks)
    return 2 * iou / (1 + iou)


@wrong(check.pet_iou_per_image, "NaN")
def zero_by_zero(masks, pred_masks):
    true, predicted = masks == 0, pred_masks == 0
    both = np.sum(true & predicted, axis=(1, 2, 3))
    return both / np.sum(true | predicted, axis=(1, 2, 3))


@wrong(check.pet_iou_per_image, "0 comes out")
def nan_replaced_by_zero(masks, pred_masks):
    return np.nan_to_num(zero_by_zero(masks, pred_masks))


@wrong(check.pet_iou_per_image, "false alarms go unpunished")
def an_empty_mask_is_always_right(masks, pred_masks):
    scores = sums_over_three_axes(masks, pred_masks)
    scores[~(masks == 0).any(axis=(1, 2, 3))] = 1
    return scores


@wrong(check.pet_iou_per_image, "changes every score")
def one_above_and_below(masks, pred_masks):
    true, predicted = masks == 0, pred_masks == 0
    both = np.sum(true & predicted, axis=(1, 2, 3))
    return (both + 1) / (np.sum(true | predicted, axis=(1, 2, 3)) + 1)


@wrong(check.pet_iou_per_image, "uint8")
def sums_in_uint8(masks, pred_masks):
    tf = pytest.importorskip("tensorflow")
    true, predicted = tf.cast(masks == 0, tf.uint8), tf.cast(pred_masks == 0, tf.uint8)
    both = tf.reduce_sum(true * predicted, [1, 2, 3])
    either = tf.reduce_sum(tf.maximum(true, predicted), [1, 2, 3])
    return np.where(either == 0, 1, both / np.maximum(either, 1))


@wrong(check.pet_iou_per_image, "end with a return")
def no_return(masks, pred_masks):
    image_by_image(masks, pred_masks)


@wrong(check.pet_iou_per_image, "Work on a copy")
def the_masks_are_changed(masks, pred_masks):
    masks[masks == 2] = 1
    pred_masks[pred_masks == 2] = 1
    return image_by_image(masks, pred_masks)


# --- 6.2 missed_and_false ---


@right(check.missed_and_false)
def by_booleans(mask, pred_mask):
    true, predicted = mask == 0, pred_mask == 0
    return np.sum(true & ~predicted), np.sum(~true & predicted)


@right(check.missed_and_false)
def pixel_by_pixel(mask, pred_mask):
    missed = false = 0
    for true, predicted in zip(mask.ravel(), pred_mask.ravel(), strict=True):
        missed += true == 0 and predicted != 0
        false += predicted == 0 and true != 0
    return [missed, false]


@right(check.missed_and_false)
def sizes_less_what_is_shared(mask, pred_mask):
    both = np.count_nonzero((mask == 0) & (pred_mask == 0))
    true, predicted = np.count_nonzero(mask == 0), np.count_nonzero(pred_mask == 0)
    return np.array([true - both, predicted - both])


@right(check.missed_and_false)
def wrong_pixels_by_their_class(mask, pred_mask):
    errors = mask != pred_mask
    return float((mask[errors] == 0).sum()), float((pred_mask[errors] == 0).sum())


@wrong(check.missed_and_false, "changed places")
def the_other_order(mask, pred_mask):
    return by_booleans(mask, pred_mask)[::-1]


@wrong(check.missed_and_false, "class 1, background")
def errors_of_class_one(mask, pred_mask):
    true, predicted = mask == 1, pred_mask == 1
    return np.sum(true & ~predicted), np.sum(~true & predicted)


@wrong(check.missed_and_false, "Pet taken for border")
def background_alone(mask, pred_mask):
    missed = np.sum((mask == 0) & (pred_mask == 1))
    return missed, np.sum((mask == 1) & (pred_mask == 0))


@wrong(check.missed_and_false, "The border counts as pet")
def border_as_pet(mask, pred_mask):
    true, predicted = mask != 1, pred_mask != 1
    return np.sum(true & ~predicted), np.sum(~true & predicted)


@wrong(check.missed_and_false, "number is that of the pixels found")
def found_and_false(mask, pred_mask):
    true, predicted = mask == 0, pred_mask == 0
    return np.sum(true & predicted), np.sum(~true & predicted)


@wrong(check.missed_and_false, "cancel")
def areas_subtracted(mask, pred_mask):
    difference = int((mask == 0).sum()) - int((pred_mask == 0).sum())
    return max(difference, 0), max(-difference, 0)


@wrong(check.missed_and_false, "unsigned")
def difference_in_uint8(mask, pred_mask):
    difference = (mask == 0).astype("uint8") - (pred_mask == 0).astype("uint8")
    return np.sum(difference > 0), np.sum(difference < 0)


@wrong(check.missed_and_false, "added up")
def one_number(mask, pred_mask):
    return np.sum((mask == 0) ^ (pred_mask == 0))


@wrong(check.missed_and_false, "Counts of pixels")
def parts_of_the_regions(mask, pred_mask):
    true, predicted = mask == 0, pred_mask == 0
    missed, false = by_booleans(mask, pred_mask)
    return missed / max(true.sum(), 1), false / max(predicted.sum(), 1)


@wrong(check.missed_and_false, "Counts of pixels")
def means_instead_of_sums(mask, pred_mask):
    true, predicted = mask == 0, pred_mask == 0
    return np.mean(true & ~predicted), np.mean(~true & predicted)


@wrong(check.missed_and_false, "uint8, which starts anew")
def counted_in_uint8(mask, pred_mask):
    true, predicted = mask == 0, pred_mask == 0
    return (true & ~predicted).sum(dtype="uint8"), (~true & predicted).sum(dtype="uint8")


@wrong(check.missed_and_false, "The shape is")
def areas_that_nobody_counted(mask, pred_mask):
    true, predicted = mask == 0, pred_mask == 0
    return true & ~predicted, ~true & predicted


@wrong(check.missed_and_false, "two numbers")
def one_plus_the_other(mask, pred_mask):
    return int(sum(by_booleans(mask, pred_mask)))


# --- 6.3 interval ---


@right(check.interval)
def numpy_bootstrap(values, seed=0, draws=1000):
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    rng = np.random.default_rng(seed + 100)
    means = rng.choice(values, (draws, len(values))).mean(axis=1)
    return (values.mean(), *np.percentile(means, [2.5, 97.5]))


@right(check.interval)
def one_draw_after_another(values, seed=0, draws=1000):
    np.random.seed(seed)
    values = values[np.isfinite(values)]
    means = [np.mean(np.random.choice(values, len(values))) for _ in range(draws)]
    return [np.mean(means), np.quantile(means, 0.025), np.quantile(means, 0.975)]


@right(check.interval)
def python_alone(values, seed=0, draws=1000):
    rng = random.Random(seed)
    values = [float(value) for value in values if value == value]
    means = [statistics.fmean(rng.choices(values, k=len(values))) for _ in range(draws)]
    limits = statistics.quantiles(means, n=40)
    return statistics.fmean(values), limits[0], limits[-1]


@right(check.interval)
def sorted_means_of_drawn_places(values, seed=0, draws=1000):
    values = pd.Series(values).dropna().to_numpy()
    places = np.random.RandomState(seed).randint(0, len(values), (draws, len(values)))
    means = np.sort(values[places].mean(1))
    return np.array([values.mean(), means[int(0.025 * draws)], means[int(0.975 * draws)]])


@wrong(check.interval, "another order")
def low_mean_high(values, seed=0, draws=1000):
    mean, low, high = numpy_bootstrap(values, seed, draws)
    return low, mean, high


@wrong(check.interval, "3 values have to come out")
def limits_alone(values, seed=0, draws=1000):
    return numpy_bootstrap(values, seed, draws)[1:]


@wrong(check.interval, "no width")
def without_repetition(values, seed=0, draws=1000):
    values, rng = values[~np.isnan(values)], np.random.default_rng(seed)
    means = [rng.permutation(values).mean() for _ in range(draws)]
    return (values.mean(), *np.quantile(means, [0.025, 0.975]))


@wrong(check.interval, "no width")
def mean_along_the_wrong_axis(values, seed=0, draws=1000):
    values = values[~np.isnan(values)]
    drawn = np.random.default_rng(seed).choice(values, (draws, len(values)))
    return (values.mean(), *np.quantile(drawn.mean(axis=0), [0.025, 0.975]))


@wrong(check.interval, "an interval of the values")
def quantiles_of_the_values(values, seed=0, draws=1000):
    return np.nanmean(values), *np.nanquantile(values, [0.025, 0.975])


@wrong(check.interval, "Take the mean of each draw")
def drawn_but_not_averaged(values, seed=0, draws=1000):
    values = values[~np.isnan(values)]
    drawn = np.random.default_rng(seed).choice(values, (draws, len(values)))
    return (values.mean(), *np.quantile(drawn, [0.025, 0.975]))


@wrong(check.interval, "too wide")
def half_of_the_values(values, seed=0, draws=1000):
    values = values[~np.isnan(values)]
    means = np.random.default_rng(seed).choice(values, (draws, len(values) // 2)).mean(1)
    return (values.mean(), *np.quantile(means, [0.025, 0.975]))


@wrong(check.interval, "ten values")
def ten_values_always(values, seed=0, draws=1000):
    values = values[~np.isnan(values)]
    means = np.random.default_rng(seed).choice(values, (draws, 10)).mean(1)
    return (values.mean(), *np.quantile(means, [0.025, 0.975]))


@wrong(check.interval, "one seed")
def seed_not_used(values, seed=0, draws=1000):
    return numpy_bootstrap(values, np.random.randint(1_000_000), draws)


@wrong(check.interval, "Every seed")
def seed_always_zero(values, seed=0, draws=1000):
    return numpy_bootstrap(values, 0, draws)


@wrong(check.interval, "number of draws used")
def always_a_thousand_draws(values, seed=0, draws=1000):
    return numpy_bootstrap(values, seed)


@wrong(check.interval, "a formula")
def normal_approximation(values, seed=0, draws=1000):
    values = values[~np.isnan(values)]
    half = 1.96 * values.std() / np.sqrt(len(values))
    return values.mean(), values.mean() - half, values.mean() + half


@wrong(check.interval, "middle 90 %")
def five_per_cent_on_each_side(values, seed=0, draws=1000):
    values = values[~np.isnan(values)]
    means = np.random.default_rng(seed).choice(values, (draws, len(values))).mean(1)
    return (values.mean(), *np.quantile(means, [0.05, 0.95]))


@wrong(check.interval, "from 0 to 100")
def percentile_for_quantile(values, seed=0, draws=1000):
    values = values[~np.isnan(values)]
    means = np.random.default_rng(seed).choice(values, (draws, len(values))).mean(1)
    return (values.mean(), *np.percentile(means, [0.025, 0.975]))


@wrong(check.interval, "makes all NaN")
def nan_is_kept(values, seed=0, draws=1000):
    means = np.random.default_rng(seed).choice(values, (draws, len(values))).mean(1)
    return (np.mean(values), *np.quantile(means, [0.025, 0.975]))


@wrong(check.interval, "counts as 0")
def nan_is_zero(values, seed=0, draws=1000):
    return numpy_bootstrap(np.nan_to_num(values), seed, draws)


@wrong(check.interval, "arguments")
def seed_and_draws_are_missing(values):
    return numpy_bootstrap(values)


# --- 6.4 without_pet ---


@right(check.without_pet)
def any_pet(masks):
    return np.flatnonzero(~(masks == 0).any(axis=(1, 2, 3)))


@right(check.without_pet)
def a_list_of_indexes(masks):
    return [index for index, mask in enumerate(masks) if 0 not in mask]


@right(check.without_pet)
def all_other_than_zero(masks):
    return np.where(masks.all(axis=(1, 2, 3)))[0]


@right(check.without_pet)
def smallest_class(masks):
    return tuple(np.nonzero(masks.reshape(len(masks), -1).min(1) > 0)[0])


@wrong(check.without_pet, "These are the masks with a pet")
def with_pet(masks):
    return np.flatnonzero((masks == 0).any(axis=(1, 2, 3)))


@wrong(check.without_pet, "True and False")
def booleans(masks):
    return ~(masks == 0).any(axis=(1, 2, 3))


@wrong(check.without_pet, "border and background")
def background_everywhere(masks):
    return np.flatnonzero((masks == 1).all(axis=(1, 2, 3)))


@wrong(check.without_pet, "pet everywhere")
def nothing_in_it(masks):
    return [index for index, mask in enumerate(masks) if not mask.any()]


@wrong(check.without_pet, "without background")
def class_one_for_the_pet(masks):
    return [index for index, mask in enumerate(masks) if 1 not in mask]


@wrong(check.without_pet, "by one")
def counted_from_one(masks):
    return any_pet(masks) + 1


@wrong(check.without_pet, "One pixel")
def any_pixel_without_pet(masks):
    return np.unique(np.where(masks != 0)[0])


@wrong(check.without_pet, "tuple")
def where_as_it_comes(masks):
    return np.where(~(masks == 0).any(axis=(1, 2, 3)))


@wrong(check.without_pet, "how many")
def their_number(masks):
    return len(any_pet(masks))


# --- 6.5 spearman ---


@right(check.spearman)
def pandas_ranks(pairs):
    return pd.DataFrame(pairs).rank().corr().iloc[0, 1]


@right(check.spearman)
def pandas_method(pairs):
    return pd.DataFrame(pairs).corr(method="spearman").to_numpy()[0, 1]


@right(check.spearman)
def scipy_ranks(pairs):
    x, y = stats.rankdata(pairs, axis=0).T
    return np.corrcoef(x, y)[0, 1]


@right(check.spearman)
def ranks_by_comparison(pairs):
    pairs = np.asarray(pairs, float)
    below = (pairs[:, None] > pairs[None]).sum(1)
    ranks = below + ((pairs[:, None] == pairs[None]).sum(1) + 1) / 2
    centred = ranks - ranks.mean(0)
    spread = np.sqrt((centred**2).sum(0))
    return [centred[:, 0] @ centred[:, 1] / spread.prod()]


@wrong(check.spearman, "correlation of the values")
def pearson(pairs):
    return pd.DataFrame(pairs).corr().iloc[0, 1]


@wrong(check.spearman, "different ranks")
def argsort_twice(pairs):
    ranks = np.argsort(np.argsort(np.asarray(pairs), axis=0), axis=0)
    return pearson(ranks)


@wrong(check.spearman, "not yet their ranks")
def argsort_once(pairs):
    return pearson(np.argsort(np.asarray(pairs), axis=0, kind="stable"))


@wrong(check.spearman, "sign is the other way")
def one_column_descending(pairs):
    table = pd.DataFrame(pairs)
    return table[0].rank().corr(table[1].rank(ascending=False))


@wrong(check.spearman, "sign is lost")
def without_sign(pairs):
    return abs(pandas_ranks(pairs))


@wrong(check.spearman, "short formula")
def short_formula(pairs):
    n, ranks = len(pairs), pd.DataFrame(pairs).rank()
    return 1 - 6 * ((ranks[0] - ranks[1]) ** 2).sum() / (n * (n**2 - 1))


@wrong(check.spearman, "lowest of their ranks")
def lowest_rank(pairs):
    return pearson(stats.rankdata(pairs, method="min", axis=0))


@wrong(check.spearman, "without a gap")
def numbers_of_different_values(pairs):
    columns = [np.unique(column, return_inverse=True)[1] for column in np.transpose(pairs)]
    return pearson(np.transpose(columns))


@wrong(check.spearman, "table of all correlations")
def the_whole_table(pairs):
    return pd.DataFrame(pairs).rank().corr()


@wrong(check.spearman, "with itself")
def on_the_diagonal(pairs):
    return pd.DataFrame(pairs).rank().corr().iloc[1, 1]


@wrong(check.spearman, "not 0")
def zero_for_a_constant(pairs):
    found = pandas_ranks(pairs)
    return 0.0 if np.isnan(found) else found


@wrong(check.spearman, "divided by both spreads")
def covariance_of_the_ranks(pairs):
    return pd.DataFrame(pairs).rank().cov().iloc[0, 1]


@wrong(check.spearman, "Kendall")
def kendall(pairs):
    return stats.kendalltau(*np.transpose(pairs)).statistic


@wrong(check.spearman, "divisor is 0")
def python_division(pairs):
    ranks = pd.DataFrame(pairs).rank()
    both = float(ranks.cov().iloc[0, 1])
    return both / (float(ranks[0].std()) * float(ranks[1].std()))


# --- 6.6 verdict ---


@right(check.verdict)
def zero_first(low, high):
    if low <= 0 and high >= 0:
        return "no direction is shown"
    return "more goes with higher IoU" if low > 0 else "more goes with lower IoU"


@right(check.verdict)
def one_side_after_the_other(low, high):
    if low > 0:
        return "More goes with higher IoU."
    if high < 0:
        return "More goes with lower IoU."
    return "No direction is shown."


@right(check.verdict)
def by_the_product(low, high):
    if low * high <= 0:
        return "no direction is shown"
    return f"more goes with {'higher' if high > 0 else 'lower'} IoU"


@wrong(check.verdict, "lower limit alone")
def low_alone(low, high):
    return "more goes with higher IoU" if low > 0 else "more goes with lower IoU"


@wrong(check.verdict, "upper limit alone")
def high_alone(low, high):
    return "more goes with lower IoU" if high < 0 else "more goes with higher IoU"


@wrong(check.verdict, "lies below 0 shows a direction")
def never_lower(low, high):
    return "more goes with higher IoU" if low > 0 else "no direction is shown"


@wrong(check.verdict, "The middle of the interval")
def sign_of_the_middle(low, high):
    return "more goes with higher IoU" if (low + high) / 2 > 0 else "more goes with lower IoU"


@wrong(check.verdict, "begins or ends at 0")
def zero_at_a_limit(low, high):
    if low < 0 < high:
        return "no direction is shown"
    return "more goes with higher IoU" if low >= 0 else "more goes with lower IoU"


@wrong(check.verdict, "begins or ends at 0")
def zero_at_a_limit_counts_as_a_side(low, high):
    if low >= 0:
        return "more goes with higher IoU"
    return "more goes with lower IoU" if high <= 0 else "no direction is shown"


@wrong(check.verdict, "changed places")
def signs_swapped(low, high):
    if low <= 0 <= high:
        return "no direction is shown"
    return "more goes with lower IoU" if low > 0 else "more goes with higher IoU"


@wrong(check.verdict, "is not")
def other_words(low, high):
    return {zero_first(low, high): "unclear"}.get("no direction is shown", zero_first(low, high))


# --- chance ---


@pytest.mark.parametrize("salt", range(20))
def test_a_right_bootstrap_passes_whatever_its_random_numbers(salt):
    def other_numbers(values, seed=0, draws=1000):
        return numpy_bootstrap(values, seed + 1000 * salt, draws)

    passes(check.interval, other_numbers)
