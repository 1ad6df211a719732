"""Lab 7: answers in several styles, right ones and wrong ones."""

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


@wrong(check.pet_iou_per_image, ("border counts as pet", "percentage"))
def percentages_with_the_border_as_pet(masks, pred_masks):
    return 100 * np.array(image_by_image(masks == 1, pred_masks == 1))


@right(check.missed_and_false)
def pixel_by_pixel(mask, pred_mask):
    missed = false = 0
    for true, predicted in zip(mask.ravel(), pred_mask.ravel(), strict=True):
        missed += true == 0 and predicted != 0
        false += predicted == 0 and true != 0
    return [missed, false]


@right(check.missed_and_false)
def region_sizes_minus_shared_pixels_in_float(mask, pred_mask):
    both = np.count_nonzero((mask == 0) & (pred_mask == 0))
    true, predicted = np.count_nonzero(mask == 0), np.count_nonzero(pred_mask == 0)
    return np.array([true - both, predicted - both], float)


@wrong(check.missed_and_false, "unsigned")
def difference_in_uint8(mask, pred_mask):
    difference = (mask == 0).astype("uint8") - (pred_mask == 0).astype("uint8")
    return np.sum(difference > 0), np.sum(difference < 0)


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


@wrong(check.interval, "almost no width")
def without_replacement(values, seed=0, draws=1000):
    values, rng = values[~np.isnan(values)], np.random.default_rng(seed)
    means = [rng.permutation(values).mean() for _ in range(draws)]
    return (values.mean(), *np.quantile(means, [0.025, 0.975]))


@wrong(check.interval, "once, before the loop")
def a_new_generator_for_each_draw(values, seed=0, draws=1000):
    values = values[~np.isnan(values)]
    means = [np.random.default_rng(seed).choice(values, len(values)).mean() for _ in range(draws)]
    return (values.mean(), *np.quantile(means, [0.025, 0.975]))


@wrong(check.interval, "Leave them out first")
def nan_is_drawn(values, seed=0, draws=1000):
    np.random.seed(seed)
    means = [np.nanmean(np.random.choice(values, len(values))) for _ in range(draws)]
    return (np.nanmean(values), *np.nanpercentile(means, [2.5, 97.5]))


@pytest.mark.parametrize("salt", range(20))
def test_a_right_bootstrap_passes_whatever_its_random_numbers(salt):
    def numpy_bootstrap(values, seed=0, draws=1000):
        values = values[~np.isnan(values)]
        rng = np.random.default_rng(seed + 100 + 1000 * salt)
        means = rng.choice(values, (draws, len(values))).mean(axis=1)
        return (values.mean(), *np.percentile(means, [2.5, 97.5]))

    passes(check.interval, numpy_bootstrap)


right(
    check.without_pet,
    a_list_of_indexes=lambda masks: [index for index, mask in enumerate(masks) if 0 not in mask],
    all_pixels_nonzero=lambda masks: np.where(masks.all(axis=(1, 2, 3)))[0],
)
wrong(
    check.without_pet,
    "One pixel",
    any_pixel_that_is_not_pet=lambda masks: np.unique(np.where(masks != 0)[0]),
)


right(
    check.spearman,
    pandas_spearman=lambda pairs: pd.DataFrame(pairs).corr(method="spearman").to_numpy()[0, 1],
    scipy_ranks=lambda pairs: np.corrcoef(stats.rankdata(pairs, axis=0).T)[0, 1],
)


@right(check.spearman)
def ranks_by_comparison(pairs):
    pairs = np.asarray(pairs, float)
    below = (pairs[:, None] > pairs[None]).sum(1)
    ranks = below + ((pairs[:, None] == pairs[None]).sum(1) + 1) / 2
    centered = ranks - ranks.mean(0)
    spread = np.sqrt((centered**2).sum(0))
    return [centered[:, 0] @ centered[:, 1] / spread.prod()]  # a list of one number


wrong(
    check.spearman,
    "not yet the ranks",
    one_argsort=lambda pairs: np.corrcoef(np.argsort(pairs, axis=0).T)[0, 1],
    one_argsort_each=lambda pairs: np.corrcoef(*map(np.argsort, np.transpose(pairs)))[0, 1],
)
wrong(
    check.spearman,
    "Kendall",
    scipy_kendall=lambda pairs: stats.kendalltau(*np.transpose(pairs)).statistic,
)


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
