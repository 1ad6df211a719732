"""Lab 9: correct answers in several styles, and mistakes in code unlike the reference."""

import statistics

import keras
import numpy as np
import pandas as pd
from answers import Answers, fails, passes, tf
from keras import ops
from scipy import stats
from sklearn.metrics import accuracy_score, jaccard_score

from labkit import metrics
from labkit.check import skips as check
from labkit.experiments import ledger

right, wrong = Answers(passes), Answers(fails)
test_a_right_answer_passes = right.test()
test_a_wrong_answer_fails_with_its_hint = wrong.test()


SIZES = (8, 16, 32, 64)


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
def with_tensorflow(model, taps, changed=(), fill=None):
    x = tf.convert_to_tensor(ops.convert_to_numpy(taps[4]))
    for number, size in enumerate(SIZES):
        skip = tf.convert_to_tensor(ops.convert_to_numpy(taps[3 - number]))
        if size in changed:
            skip = (fill or tf.zeros_like)(skip)
        x = model.get_layer(f"skip_{size}")([model.get_layer(f"up_{size}")(x), skip])
    return tf.argmax(model.get_layer("logits")(x), axis=-1).numpy()


@wrong(check.decode, ("swapped", "argument fill is ignored"))
def skip_first_and_fill_ignored(model, taps, changed=(), fill=ops.zeros_like):
    x = taps[4]
    for skip, size in zip(taps[3::-1], SIZES, strict=True):
        x = model.get_layer(f"up_{size}")(x)
        x = model.get_layer(f"skip_{size}")([skip * (size not in changed), x])
    return ops.convert_to_numpy(ops.argmax(model.get_layer("logits")(x), axis=-1))


def test_a_wrong_wiring_is_an_error_that_names_both_sizes():
    def finest_skip_first(model, taps, *options):
        return check.decode.reference(model, [*taps[3::-1], taps[4]], *options)

    got = check.decode(finest_skip_first).got
    assert got.startswith("ValueError") and "size 8 " in got and "size 64" in got


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


@wrong(check.seed_differences, ("absolute values", "one number"))
def mean_of_absolute_values(base, others, score):
    return statistics.mean(map(abs, with_loops(base, others, score)))


T = {3: 4.303, 4: 3.18, 5: 2.78}


@right(check.seed_interval)
def with_the_standard_library_and_rounded_t(values):
    values = [float(value) for value in values]
    reach = T[len(values)] * statistics.stdev(values) / len(values) ** 0.5
    mean = statistics.fmean(values)
    return [mean, mean - reach, mean + reach]


@right(check.seed_interval)
def with_scipy(values):
    limits = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    return np.array([np.mean(values), *limits])


right(check.seed_interval, with_the_package=ledger.seed_interval)


@wrong(check.seed_interval, ("1.96", "of a population"))
def normal_and_population(values):
    mean, reach = np.mean(values), 1.96 * statistics.pstdev(values) / len(values) ** 0.5
    return mean, mean - reach, mean + reach


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
def minimum_equals_maximum_and_an_extra_key(images, masks, num_classes):
    flat = masks.reshape(len(masks), -1)
    single = np.sum(flat.min(axis=1) == flat.max(axis=1))
    known = np.isin(masks, np.arange(num_classes)).all()
    parts = report(images, masks, num_classes, single=single, labels=known)
    return parts | {"images": len(images)}


@right(check.examine)
def with_tensorflow_bincount(images, masks, num_classes):
    flat = tf.reshape(tf.cast(masks, "int32"), [-1])
    counts = tf.math.bincount(flat, minlength=num_classes, maxlength=num_classes)
    return report(images, masks, num_classes, share=tf.reduce_min(counts) / len(flat))


@wrong(check.examine, ("largest share", "channels"))
def largest_share_and_all_axes(images, masks, num_classes):
    share = max(np.mean(masks == k) for k in range(num_classes))
    return report(images, masks, num_classes, share=share, sizes=images.shape == masks.shape)


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


@wrong(check.lazy_baseline, ("pet everywhere", "percentage"))
def all_pet_in_percent(masks):
    pet = np.zeros_like(masks)
    scores = {"accuracy": metrics.accuracy, "mean IoU": metrics.mean_iou}
    return {name: 100 * score(masks, pet) for name, score in scores.items()}
