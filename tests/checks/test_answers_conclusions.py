"""Conclusions: correct answers in several styles, and mistakes in code unlike the reference."""

import statistics

import keras
import numpy as np
import pandas as pd
import pytest
from answers import Answers, fails, gets_both_hints, passes
from keras import ops
from sklearn.metrics import accuracy_score, jaccard_score

from labkit import metrics
from labkit.check import conclusions as check
from labkit.experiments import ledger

right, wrong, twice_wrong = Answers(passes), Answers(fails), Answers(gets_both_hints)
test_a_right_answer_passes = right.test()
test_a_wrong_answer_fails_with_its_hint = wrong.test()
test_two_mistakes_at_once_get_both_hints = twice_wrong.test()


# --- 7.1 decode ---

SIZES = (8, 16, 32, 64)


def largest(model, x):
    return ops.convert_to_numpy(ops.argmax(model.get_layer("logits")(x), axis=-1))


@right(check.decode)
def as_in_the_chapter(model, taps, changed=(), fill=ops.zeros_like):
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
def with_tensorflow(model, taps, changed=(), fill=None):
    tf = pytest.importorskip("tensorflow")
    x = tf.convert_to_tensor(ops.convert_to_numpy(taps[4]))
    for number, size in enumerate(SIZES):
        skip = tf.convert_to_tensor(ops.convert_to_numpy(taps[3 - number]))
        if size in changed:
            skip = (fill or tf.zeros_like)(skip)
        x = model.get_layer(f"skip_{size}")([model.get_layer(f"up_{size}")(x), skip])
    return tf.argmax(model.get_layer("logits")(x), axis=-1).numpy()


@wrong(check.decode, "No skip is replaced")
def result_of_fill_is_discarded(model, taps, changed=(), fill=ops.zeros_like):
    for skip, size in zip(taps[-2::-1], SIZES, strict=True):
        if size in changed:
            fill(skip)
    return as_in_the_chapter(model, taps)


@wrong(check.decode, "64x64 is replaced")
def counted_from_the_finest(model, taps, changed=(), fill=ops.zeros_like):
    taps = list(taps)
    for place, size in enumerate((8, 16, 32, 64)):
        if size in changed:
            taps[place] = fill(taps[place])
    return as_in_the_chapter(model, taps)


@wrong(check.decode, "16x16 is replaced")
def size_before_upsampling(model, taps, changed=(), fill=ops.zeros_like):
    *skips, x = taps
    for size in SIZES:
        skip = skips.pop()
        skip = fill(skip) if x.shape[1] in changed else skip
        x = model.get_layer(f"up_{size}")(x)
        x = model.get_layer(f"skip_{size}")([x, skip])
    return largest(model, x)


def finest_skip_first(model, taps, changed=(), fill=ops.zeros_like):
    return as_in_the_chapter(model, [*taps[3::-1], taps[4]], changed, fill)


def test_a_wrong_wiring_is_an_error_that_names_both_sizes():
    got = check.decode(finest_skip_first).got
    assert got.startswith("ValueError") and "size 8 " in got and "size 64" in got


@twice_wrong(check.decode, ("swapped", "argument fill is ignored"))
def skip_first_and_fill_ignored(model, taps, changed=(), fill=ops.zeros_like):
    x = taps[4]
    for skip, size in zip(taps[3::-1], SIZES, strict=True):
        x = model.get_layer(f"up_{size}")(x)
        x = model.get_layer(f"skip_{size}")([skip * (size not in changed), x])
    return largest(model, x)


# --- 7.2 seed_differences ---


@right(check.seed_differences)
def with_dicts(base, others, score):
    first = {row["seed"]: row["test"][score] for row in base}
    second = {row["seed"]: row["test"][score] for row in others}
    return [second[seed] - first[seed] for seed in sorted(set(first) & set(second))]


@right(check.seed_differences)
def with_loops(base, others, score):
    found = []
    for row in sorted(base, key=lambda row: row["seed"]):
        for other in others:
            if other["seed"] == row["seed"]:
                found.append(np.float32(other["test"][score]) - np.float32(row["test"][score]))
    return np.array(found)


@right(check.seed_differences)
def with_pandas(base, others, score):
    columns = [
        pd.Series({row["seed"]: row["test"][score] for row in rows}) for rows in (base, others)
    ]
    return (columns[1] - columns[0]).dropna().sort_index()


@right(check.seed_differences)
def with_the_ledger(base, others, score):
    return ledger.paired(base, others, [score]).drop(columns="mean").to_numpy()[0]


@wrong(check.seed_differences, "position in the list")
def paired_by_position(base, others, score):
    pairs = zip(base, others, strict=False)
    return [other["test"][score] - row["test"][score] for row, other in pairs]


@wrong(check.seed_differences, "gives NaN")
def missing_seed_is_nan(base, others, score):
    columns = [
        pd.Series({row["seed"]: row["test"][score] for row in rows}) for rows in (base, others)
    ]
    return columns[1] - columns[0]


@wrong(check.seed_differences, "raises a KeyError")
def missing_seed_raises(base, others, score):
    second = {row["seed"]: row["test"][score] for row in others}
    return [second[row["seed"]] - row["test"][score] for row in base]


@twice_wrong(check.seed_differences, ("absolute values", "one number"))
def mean_of_absolute_values(base, others, score):
    return statistics.mean(map(abs, with_dicts(base, others, score)))


# --- 7.3 seed_interval ---

T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}


@right(check.seed_interval)
def with_numpy(values):
    mean, error = np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values))
    return mean, mean - T[len(values)] * error, mean + T[len(values)] * error


@right(check.seed_interval)
def with_the_standard_library(values):
    values = [float(value) for value in values]
    reach = T[len(values)] * statistics.stdev(values) / len(values) ** 0.5
    mean = statistics.fmean(values)
    return [mean, mean - reach, mean + reach]


@right(check.seed_interval)
def with_scipy(values):
    stats = pytest.importorskip("scipy.stats")
    limits = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    return np.array([np.mean(values), *limits])


@right(check.seed_interval)
def with_pandas_and_rounded_t(values):
    values = pd.Series(values)
    reach = {3: 4.303, 4: 3.18, 5: 2.78}[len(values)] * values.sem()
    return values.mean(), values.mean() - reach, values.mean() + reach


@right(check.seed_interval)
def with_the_package(values):
    return ledger.seed_interval(values)


def around(values, reach):
    return np.mean(values), np.mean(values) - reach, np.mean(values) + reach


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


@wrong(check.seed_interval, "half the width")
def mean_and_half_width(values):
    return np.mean(values), T[len(values)] * np.std(values, ddof=1) / np.sqrt(len(values))


@twice_wrong(check.seed_interval, ("1.96", "of a population"))
def normal_and_population(values):
    return around(values, 1.96 * statistics.pstdev(values) / len(values) ** 0.5)


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
def with_bincount(images, masks, num_classes):
    counts = np.bincount(masks.ravel(), minlength=num_classes)
    return {
        "sizes agree": images.shape[:3] == masks.shape[:3],
        "labels are classes": len(counts) == num_classes,
        "smallest share of a class": float(counts.min() / counts.sum()),
        "masks of one class only": [len(np.unique(mask)) for mask in masks].count(1),
    }


@right(check.examine)
def with_means(images, masks, num_classes):
    return report(images, masks, num_classes)


@right(check.examine)
def minimum_equals_maximum(images, masks, num_classes):
    flat = masks.reshape(len(masks), -1)
    single = np.sum(flat.min(axis=1) == flat.max(axis=1))
    known = np.isin(masks, np.arange(num_classes)).all()
    return report(images, masks, num_classes, single=single, labels=known)


@right(check.examine)
def sets_and_extra_keys(images, masks, num_classes):
    labels = set(np.unique(masks).tolist()) <= set(range(num_classes))
    sizes = len(images) == len(masks) and images.shape[1:3] == masks.shape[1:3]
    return report(images, masks, num_classes, labels=labels, sizes=sizes) | {"images": len(images)}


@right(check.examine)
def with_tensorflow_bincount(images, masks, num_classes):
    tf = pytest.importorskip("tensorflow")
    flat = tf.reshape(tf.cast(masks, "int32"), [-1])
    counts = tf.math.bincount(flat, minlength=num_classes, maxlength=num_classes)
    return report(images, masks, num_classes, share=tf.reduce_min(counts) / len(flat))


@wrong(check.examine, "does not occur is not counted")
def classes_that_occur(images, masks, num_classes):
    share = min(np.mean(masks == label) for label in np.unique(masks))
    return report(images, masks, num_classes, share=share)


@wrong(check.examine, "Masks of several classes")
def masks_of_several_classes(images, masks, num_classes):
    single = sum(len(np.unique(mask)) > 1 for mask in masks)
    return report(images, masks, num_classes, single=single)


@wrong(check.examine, "sizes agree")
def comparison_per_axis(images, masks, num_classes):
    sizes = np.array(images.shape[:3]) == np.array(masks.shape[:3])
    return report(images, masks, num_classes, sizes=sizes)


@twice_wrong(check.examine, ("largest share", "channels"))
def largest_share_and_all_axes(images, masks, num_classes):
    share = max(np.mean(masks == k) for k in range(num_classes))
    return report(images, masks, num_classes, share=share, sizes=images.shape == masks.shape)


# --- 7.5 lazy_baseline ---


@right(check.lazy_baseline)
def with_course_metrics(masks):
    nothing = np.ones_like(masks)
    scores = metrics.accuracy(masks, nothing), metrics.mean_iou(masks, nothing)
    return {"accuracy": scores[0], "mean IoU": scores[1]}


@right(check.lazy_baseline)
def without_a_prediction(masks):
    share = np.mean(masks == 1)
    return {"accuracy": share, "mean IoU": share / len(np.union1d(masks, [1]))}


@right(check.lazy_baseline)
def with_keras(masks):
    guess = np.full(masks.shape, 1)
    found = keras.metrics.MeanIoU(num_classes=3)
    found.update_state(masks, guess)
    return {"accuracy": (masks == guess).mean(), "mean IoU": float(found.result())}


@right(check.lazy_baseline)
def with_scikit_learn(masks):
    true = masks.ravel()
    guess = np.ones(true.size, int)
    iou = jaccard_score(true, guess, average="macro")  # over the labels that occur
    return {"mean IoU": iou, "accuracy": accuracy_score(true, guess)}


def scored(masks, guess):
    return {"accuracy": metrics.accuracy(masks, guess), "mean IoU": metrics.mean_iou(masks, guess)}


@wrong(check.lazy_baseline, "most frequent class")
def most_frequent(masks):
    labels, counts = np.unique(masks, return_counts=True)
    return scored(masks, np.full_like(masks, labels[np.argmax(counts)]))


@wrong(check.lazy_baseline, "counts as 0")
def always_a_third(masks):
    return {"accuracy": np.mean(masks == 1), "mean IoU": np.mean(masks == 1) / 3}


@wrong(check.lazy_baseline, "mean over images")
def mean_over_images(masks):
    each = [with_course_metrics(mask[None])["mean IoU"] for mask in masks]
    return {"accuracy": np.mean(masks == 1), "mean IoU": np.mean(each)}


@twice_wrong(check.lazy_baseline, ("pet everywhere", "percentage"))
def all_pet_in_percent(masks):
    scores = scored(masks, np.zeros_like(masks))
    return {name: 100 * score for name, score in scores.items()}
