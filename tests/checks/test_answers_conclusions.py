"""Chapter 7: answers that have to pass, and plausible ones that must not."""

import statistics

import keras
import numpy as np
import pandas as pd
import pytest
from answers import Answers, fails, passes
from keras import ops
from sklearn.metrics import accuracy_score, jaccard_score

from labkit import metrics
from labkit.check import conclusions as check
from labkit.experiments import ledger

right, wrong = Answers(passes), Answers(fails)
test_a_right_answer_passes = right.test()
test_a_wrong_answer_fails_with_its_hint = wrong.test()


# --- 7.1 decode ---

SIZES = (8, 16, 32, 64)


def largest(model, x):
    return ops.convert_to_numpy(ops.argmax(model.get_layer("logits")(x), axis=-1))


@right(check.decode)
def as_the_chapter(model, taps, changed=(), fill=ops.zeros_like):
    *skips, x = taps
    for size in SIZES:
        skip = skips.pop()
        if size in changed:
            skip = fill(skip)
        x = model.get_layer(f"up_{size}")(x, training=False)
        x = model.get_layer(f"skip_{size}")([x, skip])
    logits = model.get_layer("logits")(x)
    return ops.convert_to_numpy(ops.argmax(logits, axis=-1)).astype("uint8")


@right(check.decode)
def sizes_from_shapes(model, taps, changed=(), fill=None):
    features = taps[-1]
    for skip in reversed(taps[:-1]):
        size = skip.shape[1]
        replaced = skip * 0 if fill is None else fill(skip)
        features = model.get_layer(f"up_{size}")(features)
        pair = [features, replaced if size in changed else skip]
        features = ops.concatenate(pair, axis=-1)
    return np.argmax(ops.convert_to_numpy(model.get_layer("logits")(features)), -1)


@right(check.decode)
def replaced_before_the_loop(model, taps, changed=(), fill=ops.zeros_like):
    skips = dict(zip((64, 32, 16, 8), taps, strict=False))
    for size in changed:
        skips[size] = fill(skips[size])
    x = taps[4]
    for size in sorted(skips):
        x = model.get_layer(f"skip_{size}")((model.get_layer(f"up_{size}")(x), skips[size]))
    return largest(model, x)


@right(check.decode)
def by_tensorflow(model, taps, changed=(), fill=None):
    tf = pytest.importorskip("tensorflow")
    x = tf.convert_to_tensor(ops.convert_to_numpy(taps[4]))
    for number, size in enumerate(SIZES):
        skip = tf.convert_to_tensor(ops.convert_to_numpy(taps[3 - number]))
        if size in changed:
            skip = (fill or tf.zeros_like)(skip)
        x = model.get_layer(f"skip_{size}")([model.get_layer(f"up_{size}")(x), skip])
    return tf.argmax(model.get_layer("logits")(x), axis=-1).numpy()


def rewired(replace, pair=lambda x, skip: [x, skip], end=largest):
    """A student's loop with another rule for the skips."""

    def decode(model, taps, changed=(), fill=ops.zeros_like):
        x = taps[-1]
        for skip, size in zip(taps[-2::-1], SIZES, strict=True):
            skip = replace(skip, size, changed, fill)
            x = model.get_layer(f"up_{size}")(x)
            x = model.get_layer(f"skip_{size}")(pair(x, skip))
        return end(model, x)

    return decode


def kept(skip, size, changed, fill):
    return fill(skip) if size in changed else skip


@wrong(check.decode, "every skip stays")
def the_size_is_compared_with_a_list(*case):
    return rewired(lambda s, size, changed, fill: fill(s) if size == changed else s)(*case)


@wrong(check.decode, "every skip stays")
def what_fill_gives_is_dropped(model, taps, changed=(), fill=ops.zeros_like):
    for skip, size in zip(taps[-2::-1], SIZES, strict=True):
        if size in changed:
            fill(skip)
    return as_the_chapter(model, taps)


@wrong(check.decode, "All skips are replaced as soon as one is")
def all_skips_at_once(*case):
    return rewired(lambda s, size, changed, fill: fill(s) if changed else s)(*case)


@wrong(check.decode, "even if changed is empty")
def always_zero(*case):
    return rewired(lambda s, size, changed, fill: fill(s))(*case)


@wrong(check.decode, "other way round")
def not_in_changed(*case):
    return rewired(lambda s, size, changed, fill: s if size in changed else fill(s))(*case)


@wrong(check.decode, "when 8 is asked for, 64 is replaced")
def counted_from_the_finest(model, taps, changed=(), fill=ops.zeros_like):
    taps = list(taps)
    for place, size in enumerate((8, 16, 32, 64)):
        if size in changed:
            taps[place] = fill(taps[place])
    return as_the_chapter(model, taps)


@wrong(check.decode, "One level too fine")
def size_before_it_is_doubled(model, taps, changed=(), fill=ops.zeros_like):
    *skips, x = taps
    for size in SIZES:
        skip = skips.pop()
        skip = fill(skip) if x.shape[1] in changed else skip
        x = model.get_layer(f"up_{size}")(x)
        x = model.get_layer(f"skip_{size}")([x, skip])
    return largest(model, x)


@wrong(check.decode, "Only the first size")
def the_first_of_several(model, taps, changed=(), fill=ops.zeros_like):
    return as_the_chapter(model, taps, list(changed)[:1], fill)


@wrong(check.decode, "own features")
def features_of_the_decoder(model, taps, changed=(), fill=ops.zeros_like):
    *skips, x = taps
    for size in SIZES:
        x = model.get_layer(f"up_{size}")(x)
        if size in changed:
            x = fill(x)
        x = model.get_layer(f"skip_{size}")([x, skips.pop()])
    return largest(model, x)


@wrong(check.decode, "made smaller")
def a_tenth(*case):
    return rewired(lambda s, size, changed, fill: 0.1 * s if size in changed else s)(*case)


@wrong(check.decode, "made smaller")
def a_small_number(*case):
    return rewired(lambda s, size, changed, fill: s / 1000 if size in changed else s)(*case)


@wrong(check.decode, "whatever fill is")
def fill_is_ignored(model, taps, changed=(), fill=ops.zeros_like):
    return as_the_chapter(model, taps, changed)


@wrong(check.decode, "changed places")
def skip_first(*case):
    return rewired(kept, pair=lambda x, skip: [skip, x])(*case)


@wrong(check.decode, "The logits come out")
def logits_for_classes(*case):
    end = lambda model, x: ops.convert_to_numpy(model.get_layer("logits")(x))  # noqa: E731
    return rewired(kept, end=end)(*case)


@wrong(check.decode, "wrong axis")
def argmax_over_rows(*case):
    end = lambda model, x: np.argmax(np.array(model.get_layer("logits")(x)), axis=1)  # noqa: E731
    return rewired(kept, end=end)(*case)


@wrong(check.decode, "list of taps")
def taps_are_popped(model, taps, changed=(), fill=ops.zeros_like):
    x = taps.pop()
    for size in SIZES:
        skip = kept(taps.pop(), size, changed, fill)
        x = model.get_layer(f"skip_{size}")([model.get_layer(f"up_{size}")(x), skip])
    return largest(model, x)


@wrong(check.decode, "type")
def a_list_of_lists(*case):
    return as_the_chapter(*case).tolist()


@wrong(check.decode, "ends with an error")
def finest_skip_first(model, taps, changed=(), fill=ops.zeros_like):
    *skips, x = taps
    for size in SIZES:
        skip = kept(skips.pop(0), size, changed, fill)
        x = model.get_layer(f"skip_{size}")([model.get_layer(f"up_{size}")(x), skip])
    return largest(model, x)


@wrong(check.decode, "end with a return")
def decode_without_return(*case):
    as_the_chapter(*case)


def test_a_wrong_wiring_is_named():
    assert "skip_8 got maps of 8x8 and 64x64" in check.decode(finest_skip_first).got


# --- 7.2 seed_differences ---


@right(check.seed_differences)
def by_dicts(base, others, score):
    first = {row["seed"]: row["test"][score] for row in base}
    second = {row["seed"]: row["test"][score] for row in others}
    return [second[seed] - first[seed] for seed in sorted(set(first) & set(second))]


@right(check.seed_differences)
def by_loops(base, others, score):
    found = []
    for row in sorted(base, key=lambda row: row["seed"]):
        for other in others:
            if other["seed"] == row["seed"]:
                found.append(np.float32(other["test"][score]) - np.float32(row["test"][score]))
    return np.array(found)


@right(check.seed_differences)
def by_pandas(base, others, score):
    columns = [
        pd.Series({row["seed"]: row["test"][score] for row in rows}) for rows in (base, others)
    ]
    return (columns[1] - columns[0]).dropna().sort_index()


@right(check.seed_differences)
def by_the_ledger(base, others, score):
    return ledger.paired(base, others, [score]).drop(columns="mean").to_numpy()[0]


@wrong(check.seed_differences, "turned round")
def base_minus_others(base, others, score):
    return by_dicts(others, base, score)


@wrong(check.seed_differences, "signs are gone")
def absolute_values(base, others, score):
    return np.abs(by_dicts(base, others, score))


@wrong(check.seed_differences, "place in the list")
def unpaired(base, others, score):
    pairs = zip(base, others, strict=False)
    return [other["test"][score] - row["test"][score] for row, other in pairs]


@wrong(check.seed_differences, "order of the seeds")
def in_the_order_of_the_list(base, others, score):
    before = {row["seed"]: row["test"][score] for row in base}
    return [r["test"][score] - before[r["seed"]] for r in others if r["seed"] in before]


@wrong(check.seed_differences, "NaN")
def a_missing_seed_is_nan(base, others, score):
    columns = [
        pd.Series({row["seed"]: row["test"][score] for row in rows}) for rows in (base, others)
    ]
    return columns[1] - columns[0]


@wrong(check.seed_differences, "One number")
def difference_of_the_means(base, others, score):
    means = [statistics.mean(row["test"][score] for row in rows) for rows in (base, others)]
    return means[1] - means[0]


@wrong(check.seed_differences, "One number")
def mean_of_the_differences(base, others, score):
    return float(np.mean(by_dicts(base, others, score)))


@wrong(check.seed_differences, "One number")
def mean_of_absolute_values(base, others, score):
    return sum(abs(value) for value in by_dicts(base, others, score)) / len(
        by_dicts(base, others, score)
    )


@wrong(check.seed_differences, "share of base")
def relative(base, others, score):
    first = {row["seed"]: row["test"][score] for row in base}
    second = {row["seed"]: row["test"][score] for row in others}
    return [second[s] / first[s] - 1 for s in sorted(first) if s in second]


@wrong(check.seed_differences, "mean IoU is compared")
def one_score_alone(base, others, score):
    return by_dicts(base, others, "mean IoU")


@wrong(check.seed_differences, "A dict comes out")
def by_seed(base, others, score):
    first = {row["seed"]: row["test"][score] for row in base}
    return {
        r["seed"]: r["test"][score] - first[r["seed"]]
        for r in sorted(others, key=lambda r: r["seed"])
        if r["seed"] in first
    }


@wrong(check.seed_differences, "ends with an error")
def a_seed_is_taken_for_granted(base, others, score):
    second = {row["seed"]: row["test"][score] for row in others}
    return [second[row["seed"]] - row["test"][score] for row in base]


# --- 7.3 seed_interval ---

T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}


@right(check.seed_interval)
def by_numpy(values):
    mean, error = np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values))
    return mean, mean - T[len(values)] * error, mean + T[len(values)] * error


@right(check.seed_interval)
def by_the_standard_library(values):
    values = [float(value) for value in values]
    reach = T[len(values)] * statistics.stdev(values) / len(values) ** 0.5
    mean = statistics.fmean(values)
    return [mean, mean - reach, mean + reach]


@right(check.seed_interval)
def by_scipy(values):
    stats = pytest.importorskip("scipy.stats")
    limits = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    return np.array([np.mean(values), *limits])


@right(check.seed_interval)
def by_pandas_and_two_digits_of_t(values):
    values = pd.Series(values)
    reach = {3: 4.303, 4: 3.18, 5: 2.78}[len(values)] * values.sem()
    return values.mean(), values.mean() - reach, values.mean() + reach


@right(check.seed_interval)
def by_the_package(values):
    return ledger.seed_interval(values)


def around(values, reach):
    return np.mean(values), np.mean(values) - reach, np.mean(values) + reach


@wrong(check.seed_interval, "1.96 holds for a spread that is known")
def by_the_normal_distribution(values):
    return around(values, 1.96 * np.std(values, ddof=1) / np.sqrt(len(values)))


@wrong(check.seed_interval, "one less than their number")
def population(values):
    return around(values, T[len(values)] * np.std(values) / np.sqrt(len(values)))


@wrong(check.seed_interval, "Two things")
def normal_and_population(values):
    return around(values, 1.96 * statistics.pstdev(values) / len(values) ** 0.5)


@wrong(check.seed_interval, "single values scatter")
def not_divided(values):
    return around(values, T[len(values)] * np.std(values, ddof=1))


@wrong(check.seed_interval, "divided by n")
def divided_without_root(values):
    return around(values, T[len(values)] * np.std(values, ddof=1) / len(values))


@wrong(check.seed_interval, "one-sided")
def one_sided(values):
    stats = pytest.importorskip("scipy.stats")
    factor = stats.t.ppf(0.95, len(values) - 1)
    return around(values, factor * np.std(values, ddof=1) / np.sqrt(len(values)))


@wrong(check.seed_interval, "one value more")
def too_many_degrees_of_freedom(values):
    stats = pytest.importorskip("scipy.stats")
    factor = stats.t.ppf(0.975, len(values))
    return around(values, factor * np.std(values, ddof=1) / np.sqrt(len(values)))


@wrong(check.seed_interval, "one value fewer")
def too_few_degrees_of_freedom(values):
    return around(values, T[len(values) - 1] * np.std(values, ddof=1) / np.sqrt(len(values)))


@wrong(check.seed_interval, "three values alone")
def always_the_same_factor(values):
    return around(values, 4.303 * np.std(values, ddof=1) / np.sqrt(len(values)))


@wrong(check.seed_interval, "variance")
def variance(values):
    return around(values, T[len(values)] * np.var(values, ddof=1) / np.sqrt(len(values)))


@wrong(check.seed_interval, "factor t is missing")
def standard_error(values):
    return around(values, np.std(values, ddof=1) / np.sqrt(len(values)))


@wrong(check.seed_interval, "their order is not")
def low_mean_high(values):
    mean, low, high = by_numpy(values)
    return low, mean, high


@wrong(check.seed_interval, "The mean is missing")
def limits_alone(values):
    return by_numpy(values)[1:]


@wrong(check.seed_interval, "The reach comes out")
def mean_and_reach(values):
    return np.mean(values), T[len(values)] * np.std(values, ddof=1) / np.sqrt(len(values))


@wrong(check.seed_interval, "values are not")
def root_of_one_less_twice(values):
    return around(values, T[len(values)] * np.std(values, ddof=1) / (len(values) - 1))


# --- 7.4 examine ---


def report(images, masks, num_classes, **other):
    """A student's dict, with some of its parts replaced."""
    shares = [np.mean(masks == k) for k in range(num_classes)]
    parts = {
        "sizes": images.shape[:3] == masks.shape[:3],
        "labels": bool(masks.max() < num_classes),
        "share": min(shares),
        "single": sum(len(set(mask.ravel().tolist())) == 1 for mask in masks),
    } | other
    names = ("sizes agree", "labels are classes", "smallest share of a class")
    return dict(zip((*names, "masks of one class only"), parts.values(), strict=True))


@right(check.examine)
def by_bincount(images, masks, num_classes):
    counts = np.bincount(masks.ravel(), minlength=num_classes)
    return {
        "sizes agree": images.shape[:3] == masks.shape[:3],
        "labels are classes": len(counts) == num_classes,
        "smallest share of a class": float(counts.min() / counts.sum()),
        "masks of one class only": [len(np.unique(mask)) for mask in masks].count(1),
    }


@right(check.examine)
def by_means(images, masks, num_classes):
    return report(images, masks, num_classes)


@right(check.examine)
def smallest_is_largest(images, masks, num_classes):
    flat = masks.reshape(len(masks), -1)
    single = np.sum(flat.min(axis=1) == flat.max(axis=1))
    known = np.isin(masks, np.arange(num_classes)).all()
    return report(images, masks, num_classes, single=single, labels=known)


@right(check.examine)
def sets_and_more_parts(images, masks, num_classes):
    labels = set(np.unique(masks).tolist()) <= set(range(num_classes))
    sizes = len(images) == len(masks) and images.shape[1:3] == masks.shape[1:3]
    return report(images, masks, num_classes, labels=labels, sizes=sizes) | {"images": len(images)}


@right(check.examine)
def in_tensorflow(images, masks, num_classes):
    tf = pytest.importorskip("tensorflow")
    flat = tf.reshape(tf.cast(masks, "int32"), [-1])
    counts = tf.math.bincount(flat, minlength=num_classes, maxlength=num_classes)
    return report(images, masks, num_classes, share=tf.reduce_min(counts) / len(flat))


@wrong(check.examine, "occurs nowhere is not counted")
def no_minlength(images, masks, num_classes):
    counts = np.bincount(masks.ravel())
    share, labels = counts.min() / counts.sum(), len(counts) == num_classes
    return report(images, masks, num_classes, share=share, labels=labels)


@wrong(check.examine, "occurs nowhere is not counted")
def classes_that_occur(images, masks, num_classes):
    share = min(np.mean(masks == label) for label in np.unique(masks))
    return report(images, masks, num_classes, share=share)


@wrong(check.examine, "largest share")
def the_largest_class(images, masks, num_classes):
    counts = np.bincount(masks.ravel(), minlength=num_classes)
    return report(images, masks, num_classes, share=counts.max() / masks.size)


@wrong(check.examine, "number of pixels")
def counts_for_shares(images, masks, num_classes):
    share = int(np.bincount(masks.ravel(), minlength=num_classes).min())
    return report(images, masks, num_classes, share=share)


@wrong(check.examine, "which class is the rarest")
def the_rarest_class_itself(images, masks, num_classes):
    share = np.argmin([np.sum(masks == k) for k in range(num_classes)])
    return report(images, masks, num_classes, share=share)


@wrong(check.examine, "any one mask")
def smallest_in_a_mask(images, masks, num_classes):
    share = min(np.mean(mask == k) for mask in masks for k in range(num_classes))
    return report(images, masks, num_classes, share=share)


@wrong(check.examine, "Masks of background alone")
def background_alone(images, masks, num_classes):
    single = sum((mask == 1).all() for mask in masks)
    return report(images, masks, num_classes, single=single)


@wrong(check.examine, "Masks without class 0")
def masks_without_pet(images, masks, num_classes):
    single = sum(0 not in mask for mask in masks)
    return report(images, masks, num_classes, single=single)


@wrong(check.examine, "more than one class")
def masks_of_several_classes(images, masks, num_classes):
    single = sum(len(np.unique(mask)) > 1 for mask in masks)
    return report(images, masks, num_classes, single=single)


@wrong(check.examine, "lack a class")
def masks_of_two_classes_too(images, masks, num_classes):
    single = sum(len(np.unique(mask)) < 3 for mask in masks)
    return report(images, masks, num_classes, single=single)


@wrong(check.examine, "Ask each mask")
def all_masks_as_one(images, masks, num_classes):
    return report(images, masks, num_classes, single=int(np.unique(masks).size == 1))


@wrong(check.examine, "share of such masks")
def share_of_masks(images, masks, num_classes):
    single = sum(len(np.unique(mask)) == 1 for mask in masks) / len(masks)
    return report(images, masks, num_classes, single=single)


@wrong(check.examine, "Colours are compared")
def whole_shapes(images, masks, num_classes):
    return report(images, masks, num_classes, sizes=images.shape == masks.shape)


@wrong(check.examine, "last axis of length 1")
def masks_without_channel(images, masks, num_classes):
    return report(images, masks, num_classes, sizes=images.shape[:-1] == masks.shape)


@wrong(check.examine, "as many images as masks")
def height_and_width_alone(images, masks, num_classes):
    return report(images, masks, num_classes, sizes=images.shape[1:3] == masks.shape[1:3])


@wrong(check.examine, "Height and width have to agree")
def numbers_alone(images, masks, num_classes):
    return report(images, masks, num_classes, sizes=len(images) == len(masks))


@wrong(check.examine, "sizes agree")
def one_answer_for_each_axis(images, masks, num_classes):
    sizes = np.array(images.shape[:3]) == np.array(masks.shape[:3])
    return report(images, masks, num_classes, sizes=sizes)


@wrong(check.examine, "The number of labels")
def labels_are_counted(images, masks, num_classes):
    return report(images, masks, num_classes, labels=np.unique(masks).size == num_classes)


@wrong(check.examine, "absent is no wrong label")
def exactly_these_labels(images, masks, num_classes):
    labels = set(np.unique(masks)) == set(range(num_classes))
    return report(images, masks, num_classes, labels=labels)


@wrong(check.examine, "Classes begin at 0")
def off_by_one(images, masks, num_classes):
    return report(images, masks, num_classes, labels=masks.max() <= num_classes)


@wrong(check.examine, "A dict with")
def a_tuple_of_facts(images, masks, num_classes):
    return tuple(report(images, masks, num_classes).values())


# --- 7.5 lazy_baseline ---


@right(check.lazy_baseline)
def by_the_course_s_metrics(masks):
    nothing = np.ones_like(masks)
    scores = metrics.accuracy(masks, nothing), metrics.mean_iou(masks, nothing)
    return {"accuracy": scores[0], "mean IoU": scores[1]}


@right(check.lazy_baseline)
def without_a_prediction(masks):
    share = np.mean(masks == 1)
    return {"accuracy": share, "mean IoU": share / len(np.union1d(masks, [1]))}


@right(check.lazy_baseline)
def by_keras(masks):
    guess = np.full(masks.shape, 1)
    found = keras.metrics.MeanIoU(num_classes=3)
    found.update_state(masks, guess)
    return {"accuracy": (masks == guess).mean(), "mean IoU": float(found.result())}


@right(check.lazy_baseline)
def by_scikit_learn(masks):
    true = masks.ravel()
    guess = np.ones(true.size, int)
    iou = jaccard_score(true, guess, average="macro")  # over the labels that occur
    return {"mean IoU": iou, "accuracy": accuracy_score(true, guess)}


def scored(masks, guess):
    return {"accuracy": metrics.accuracy(masks, guess), "mean IoU": metrics.mean_iou(masks, guess)}


@wrong(check.lazy_baseline, "Everything is pet")
def all_pet(masks):
    return scored(masks, np.zeros_like(masks))


@wrong(check.lazy_baseline, "Everything is border")
def all_border(masks):
    return scored(masks, np.full_like(masks, 2))


@wrong(check.lazy_baseline, "most frequent class")
def most_frequent(masks):
    labels, counts = np.unique(masks, return_counts=True)
    return scored(masks, np.full_like(masks, labels[np.argmax(counts)]))


@wrong(check.lazy_baseline, "accuracy alone")
def accuracy_alone(masks):
    return float(np.mean(masks == 1))


@wrong(check.lazy_baseline, "A dict with")
def accuracy_in_a_dict(masks):
    return {"accuracy": float(np.mean(masks == 1))}


@wrong(check.lazy_baseline, "without names")
def two_numbers(masks):
    return metrics.accuracy(masks, np.ones_like(masks)), metrics.mean_iou(masks, masks * 0 + 1)


@wrong(check.lazy_baseline, "IoU of background alone")
def background_iou(masks):
    iou = metrics.iou(masks, np.ones_like(masks))[1]
    return {"accuracy": np.mean(masks == 1), "mean IoU": iou}


@wrong(check.lazy_baseline, "counts as 1")
def absent_class_is_one(masks):
    iou = np.mean(metrics.iou(masks, np.ones_like(masks)))
    return {"accuracy": np.mean(masks == 1), "mean IoU": iou}


@wrong(check.lazy_baseline, "counts as 0")
def always_a_third(masks):
    return {"accuracy": np.mean(masks == 1), "mean IoU": np.mean(masks == 1) / 3}


@wrong(check.lazy_baseline, "mean over images")
def image_by_image(masks):
    each = [by_the_course_s_metrics(mask[None])["mean IoU"] for mask in masks]
    return {"accuracy": np.mean(masks == 1), "mean IoU": np.mean(each)}


@wrong(check.lazy_baseline, "mean of Dice")
def dice_for_iou(masks):
    there = [k for k in range(3) if k == 1 or np.any(masks == k)]
    dice = np.mean(metrics.dice(masks, np.ones_like(masks))[there])
    return {"accuracy": np.mean(masks == 1), "mean IoU": dice}


@wrong(check.lazy_baseline, "compared with themselves")
def masks_for_both(masks):
    return scored(masks, masks)


@wrong(check.lazy_baseline, "per cent")
def in_per_cent(masks):
    return {name: 100 * value for name, value in by_the_course_s_metrics(masks).items()}


@wrong(check.lazy_baseline, "Work on a copy")
def masks_are_overwritten(masks):
    scores = by_the_course_s_metrics(masks)
    masks[:] = 1
    return scores
