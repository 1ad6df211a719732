"""Chapter 6: answers in several styles, right ones and wrong ones."""

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
def with_a_small_constant(masks, pred_masks):
    true = (masks == 0).reshape(len(masks), -1).astype("float32")
    predicted = (pred_masks == 0).reshape(len(masks), -1).astype("float32")
    both = (true * predicted).sum(1)
    return (both + 1e-7) / (true.sum(1) + predicted.sum(1) - both + 1e-7)


@right(check.pet_iou_per_image)
def with_keras_ops(masks, pred_masks):
    true = keras.ops.cast(keras.ops.equal(masks, 0), "float32")
    predicted = keras.ops.cast(keras.ops.equal(pred_masks, 0), "float32")
    both = keras.ops.sum(true * predicted, axis=(1, 2, 3))
    either = keras.ops.sum(keras.ops.maximum(true, predicted), axis=(1, 2, 3))
    return keras.ops.where(either > 0, both / keras.ops.maximum(either, 1), 1.0)


@right(check.pet_iou_per_image)
def with_tensorflow(masks, pred_masks):
    tf = pytest.importorskip("tensorflow")
    true, predicted = tf.equal(masks, 0), tf.equal(pred_masks, 0)
    both = tf.math.count_nonzero(tf.logical_and(true, predicted), axis=[1, 2, 3])
    either = tf.math.count_nonzero(tf.logical_or(true, predicted), axis=[1, 2, 3])
    return tf.where(either == 0, tf.ones_like(both, tf.float64), both / either)


@wrong(check.pet_iou_per_image, "This is Dice")
def dice_from_iou(masks, pred_masks):
    iou = sums_over_three_axes(masks, pred_masks)
    return 2 * iou / (1 + iou)


@wrong(check.pet_iou_per_image, "false alarms cost nothing")
def empty_true_mask_is_always_right(masks, pred_masks):
    scores = sums_over_three_axes(masks, pred_masks)
    scores[~(masks == 0).any(axis=(1, 2, 3))] = 1
    return scores


@wrong(check.pet_iou_per_image, "uint8")
def sums_in_uint8(masks, pred_masks):
    tf = pytest.importorskip("tensorflow")
    true, predicted = tf.cast(masks == 0, tf.uint8), tf.cast(pred_masks == 0, tf.uint8)
    both = tf.reduce_sum(true * predicted, [1, 2, 3])
    either = tf.reduce_sum(tf.maximum(true, predicted), [1, 2, 3])
    return np.where(either == 0, 1, both / np.maximum(either, 1))


# --- 6.2 missed_and_false ---


@right(check.missed_and_false)
def with_boolean_masks(mask, pred_mask):
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
def region_sizes_minus_shared_pixels(mask, pred_mask):
    both = np.count_nonzero((mask == 0) & (pred_mask == 0))
    true, predicted = np.count_nonzero(mask == 0), np.count_nonzero(pred_mask == 0)
    return np.array([true - both, predicted - both])


@right(check.missed_and_false)
def wrong_pixels_by_class(mask, pred_mask):
    errors = mask != pred_mask
    return float((mask[errors] == 0).sum()), float((pred_mask[errors] == 0).sum())


@wrong(check.missed_and_false, "cancel")
def difference_of_areas(mask, pred_mask):
    difference = int((mask == 0).sum()) - int((pred_mask == 0).sum())
    return max(difference, 0), max(-difference, 0)


@wrong(check.missed_and_false, "unsigned")
def difference_in_uint8(mask, pred_mask):
    difference = (mask == 0).astype("uint8") - (pred_mask == 0).astype("uint8")
    return np.sum(difference > 0), np.sum(difference < 0)


@wrong(check.missed_and_false, "Both kinds of errors are added")
def exclusive_or(mask, pred_mask):
    return np.sum((mask == 0) ^ (pred_mask == 0))


# --- 6.3 interval ---


@right(check.interval)
def numpy_bootstrap(values, seed=0, draws=1000):
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    rng = np.random.default_rng(seed + 100)
    means = rng.choice(values, (draws, len(values))).mean(axis=1)
    return (values.mean(), *np.percentile(means, [2.5, 97.5]))


@right(check.interval)
def one_draw_at_a_time_with_the_legacy_generator(values, seed=0, draws=1000):
    np.random.seed(seed)
    values = values[np.isfinite(values)]
    means = [np.mean(np.random.choice(values, len(values))) for _ in range(draws)]
    return [np.mean(means), np.quantile(means, 0.025), np.quantile(means, 0.975)]


@right(check.interval)
def python_without_numpy(values, seed=0, draws=1000):
    rng = random.Random(seed)
    values = [float(value) for value in values if value == value]
    means = [statistics.fmean(rng.choices(values, k=len(values))) for _ in range(draws)]
    limits = statistics.quantiles(means, n=40)
    return statistics.fmean(values), limits[0], limits[-1]


@right(check.interval)
def sorted_means_of_random_indexes(values, seed=0, draws=1000):
    values = pd.Series(values).dropna().to_numpy()
    indexes = np.random.RandomState(seed).randint(0, len(values), (draws, len(values)))
    means = np.sort(values[indexes].mean(1))
    return np.array([values.mean(), means[int(0.025 * draws)], means[int(0.975 * draws)]])


@wrong(check.interval, "almost no width")
def without_replacement(values, seed=0, draws=1000):
    values, rng = values[~np.isnan(values)], np.random.default_rng(seed)
    means = [rng.permutation(values).mean() for _ in range(draws)]
    return (values.mean(), *np.quantile(means, [0.025, 0.975]))


@wrong(check.interval, "Two calls with the same seed differ")
def random_seed(values, seed=0, draws=1000):
    return numpy_bootstrap(values, np.random.randint(1_000_000), draws)


@wrong(check.interval, "not a formula")
def normal_approximation(values, seed=0, draws=1000):
    values = values[~np.isnan(values)]
    half = 1.96 * values.std() / np.sqrt(len(values))
    return values.mean(), values.mean() - half, values.mean() + half


# --- 6.4 without_pet ---


@right(check.without_pet)
def flatnonzero_of_no_pet(masks):
    return np.flatnonzero(~(masks == 0).any(axis=(1, 2, 3)))


@right(check.without_pet)
def a_list_of_indexes(masks):
    return [index for index, mask in enumerate(masks) if 0 not in mask]


@right(check.without_pet)
def all_pixels_nonzero(masks):
    return np.where(masks.all(axis=(1, 2, 3)))[0]


@right(check.without_pet)
def smallest_class_id(masks):
    return tuple(np.nonzero(masks.reshape(len(masks), -1).min(1) > 0)[0])


@wrong(check.without_pet, "pet everywhere")
def masks_without_nonzero_pixels(masks):
    return [index for index, mask in enumerate(masks) if not mask.any()]


@wrong(check.without_pet, "One pixel")
def any_pixel_that_is_not_pet(masks):
    return np.unique(np.where(masks != 0)[0])


@wrong(check.without_pet, "np.where returns a tuple")
def tuple_of_where(masks):
    return np.where(~(masks == 0).any(axis=(1, 2, 3)))


# --- 6.5 spearman ---


@right(check.spearman)
def pandas_ranks(pairs):
    return pd.DataFrame(pairs).rank().corr().iloc[0, 1]


@right(check.spearman)
def pandas_spearman(pairs):
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
    centered = ranks - ranks.mean(0)
    spread = np.sqrt((centered**2).sum(0))
    return [centered[:, 0] @ centered[:, 1] / spread.prod()]


@wrong(check.spearman, "The sign is reversed")
def one_column_descending(pairs):
    table = pd.DataFrame(pairs)
    return table[0].rank().corr(table[1].rank(ascending=False))


@wrong(check.spearman, "No rank is skipped")
def dense_ranks(pairs):
    columns = [np.unique(column, return_inverse=True)[1] for column in np.transpose(pairs)]
    return np.corrcoef(*columns)[0, 1]


@wrong(check.spearman, "Kendall")
def scipy_kendall(pairs):
    return stats.kendalltau(*np.transpose(pairs)).statistic


# --- 6.6 verdict ---


@right(check.verdict)
def zero_inside_first(low, high):
    if low <= 0 and high >= 0:
        return "no direction is shown"
    return "more goes with higher IoU" if low > 0 else "more goes with lower IoU"


@right(check.verdict)
def one_side_at_a_time_with_a_full_stop(low, high):
    if low > 0:
        return "More goes with higher IoU."
    if high < 0:
        return "More goes with lower IoU."
    return "No direction is shown."


@right(check.verdict)
def sign_of_the_product(low, high):
    if low * high <= 0:
        return "no direction is shown"
    return f"more goes with {'higher' if high > 0 else 'lower'} IoU"


@wrong(check.verdict, "The middle of the interval")
def sign_of_the_middle(low, high):
    return "more goes with higher IoU" if (low + high) / 2 > 0 else "more goes with lower IoU"


@wrong(check.verdict, "a limit at 0")
def strict_comparison_with_zero(low, high):
    if low < 0 < high:
        return "no direction is shown"
    return "more goes with higher IoU" if low >= 0 else "more goes with lower IoU"


@wrong(check.verdict, "is not 'no direction is shown'")
def other_words(low, high):
    text = zero_inside_first(low, high)
    return "unclear" if text == "no direction is shown" else text


def test_two_mistakes_at_once_get_both_hints():
    def percentages_with_the_border_as_pet(masks, pred_masks):
        not_background = [(m == 1).astype(int) for m in (masks, pred_masks)]
        return 100 * sums_over_three_axes(*not_background)

    hint = check.pet_iou_per_image(percentages_with_the_border_as_pet).hint
    assert "border counts as pet" in hint and "percentage" in hint


@pytest.mark.parametrize("salt", range(20))
def test_a_right_bootstrap_passes_whatever_its_random_numbers(salt):
    def other_numbers(values, seed=0, draws=1000):
        return numpy_bootstrap(values, seed + 1000 * salt, draws)

    passes(check.interval, other_numbers)
