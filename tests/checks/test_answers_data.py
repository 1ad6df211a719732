"""Data: correct answers in several styles, and mistakes in code unlike the reference."""

from collections import Counter
from dataclasses import replace

import keras
import numpy as np
import pytest
from answers import Answers, fails, passes, tf

from labkit.check import data as check

right, wrong = Answers(passes), Answers(fails)
test_a_right_answer_passes = right.test()
test_a_wrong_answer_fails_with_its_hint = wrong.test()


@right(check.label_shares)
def with_a_counter(pixels):
    counts = Counter(np.ravel(pixels).tolist())
    total = sum(counts.values()) or 1
    return tuple(counts[label] / total for label in range(1, 4))


@right(check.label_shares)
def with_keras_ops(pixels):
    pixels = keras.ops.reshape(keras.ops.convert_to_tensor(pixels, "int32"), (-1,))
    equal = keras.ops.cast(keras.ops.equal(pixels[:, None], [1, 2, 3]), "float32")
    return keras.ops.sum(equal, axis=0) / max(1, pixels.shape[0])


right(
    check.label_shares,
    with_a_histogram=lambda pixels: np.histogram(pixels, [1, 2, 3, 4])[0] / max(1, np.size(pixels)),
)


@wrong(check.label_shares, "divisor is 0")
def no_pixels_in_pure_python(pixels):
    values = np.ravel(pixels).tolist()
    return [values.count(label) / len(values) for label in (1, 2, 3)]


@wrong(check.label_shares, ("percentage", "sorted by size"))
def percentages_with_the_largest_first(pixels):
    return sorted((100 * share for share in with_a_counter(pixels)), reverse=True)


@right(check.neighbor_pairs)
def with_loops(mask):
    counts = [[0, 0, 0] for _ in range(3)]
    height, width = mask.shape
    for y in range(height):
        for x in range(width):
            for down, across in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                if 0 <= y + down < height and 0 <= x + across < width:
                    counts[mask[y, x] - 1][mask[y + down, x + across] - 1] += 1
    return counts


@right(check.neighbor_pairs)
def one_hot_products_in_float(mask):
    one_hot = np.eye(4)[mask][..., 1:]
    across = np.einsum("hwi,hwj->ij", one_hot[:, :-1], one_hot[:, 1:])
    down = np.einsum("hwi,hwj->ij", one_hot[:-1], one_hot[1:])
    return across + across.T + down + down.T


@wrong(check.neighbor_pairs, ("Only left and right", "equal labels are missing"))
def different_labels_in_rows_only(mask):
    one_hot = np.eye(4)[mask][..., 1:]
    counts = np.einsum("hwi,hwj->ij", one_hot[:, :-1], one_hot[:, 1:])
    counts = counts + counts.T
    np.fill_diagonal(counts, 0)
    return counts


@right(check.normalize)
def with_an_assertion_about_the_minimum(image, mask):
    mask = tf.cast(mask, tf.int64) - 1
    tf.debugging.assert_non_negative(tf.reduce_min(mask))
    return [tf.cast(image, "float64"), mask]


@right(check.normalize)
def with_control_dependencies(image, mask):
    positive = tf.debugging.Assert(tf.reduce_all(mask > 0), [mask])
    with tf.control_dependencies([positive] if positive is not None else []):
        mask -= 1
    return tf.cast(image, tf.float32), mask


@wrong(check.normalize, ("divided by 255", "in uint8, 0 - 1 is 255"))
def as_in_the_tensorflow_tutorial(input_image, input_mask):
    input_image = tf.cast(input_image, tf.float32) / 255.0
    input_mask -= 1
    return input_image, input_mask


def with_an_assertion(image, mask):
    tf.debugging.assert_greater_equal(mask, tf.constant(1, tf.uint8))
    return tf.cast(image, tf.float32), mask - 1


@right(check.load_image_train)
def normalized_first(datapoint, image_size=128):
    image, mask = with_an_assertion(datapoint["image"], datapoint["segmentation_mask"])
    near = tf.image.ResizeMethod.NEAREST_NEIGHBOR
    image = tf.image.resize(image, [image_size] * 2, tf.image.ResizeMethod.BILINEAR, False, True)
    return image, tf.image.resize(mask, [image_size] * 2, near)


@right(check.load_image_train)
def as_a_batch_of_one(datapoint, image_size=128):
    image, mask = datapoint["image"][tf.newaxis], datapoint["segmentation_mask"][tf.newaxis]
    image = tf.image.resize(tf.cast(image, tf.float32), (image_size, image_size), antialias=True)
    mask = tf.image.resize(tf.cast(mask, tf.int32), (image_size, image_size), method="nearest")
    return with_an_assertion_about_the_minimum(image[0], mask[0])


@wrong(check.load_image_train, "uint8 and float are mixed")
def bilinear_mask_before_an_assertion_in_uint8(datapoint, image_size=128):
    size = (image_size, image_size)
    image = tf.image.resize(datapoint["image"], size, antialias=True)
    return with_an_assertion(image, tf.image.resize(datapoint["segmentation_mask"], size))


right(
    check.flip,
    with_fliplr_in_a_list=lambda *pair: [np.fliplr(part).astype(float) for part in pair],
    with_tensorflow=lambda *pair: tuple(map(tf.image.flip_left_right, pair)),
    with_keras=lambda *pair: tuple(keras.ops.flip(part, axis=1) for part in pair),
)


@right(check.flip)
def column_by_column(image, mask):
    order = range(image.shape[1])[::-1]
    return np.stack([image[:, x] for x in order], 1), np.stack([mask[:, x, 0] for x in order], 1)


wrong(
    check.flip,
    ("wrong order", "upside down"),
    upside_down_with_the_mask_first=lambda image, mask: (np.flipud(mask), np.flipud(image)),
)


@right(check.suspicious)
def with_where(masks, class_id, lowest=0.0, highest=1.0):
    share = (masks == class_id).mean(axis=(1, 2, 3))
    return np.where((share < lowest) | (share > highest))[0]


wrong(
    check.suspicious,
    "np.where returns a tuple",
    a_tuple_of_one_array=lambda *case: np.where(np.isin(np.arange(9), with_where(*case))),
)


@right(check.suspicious)
def with_a_loop(masks, class_id, lowest=0.0, highest=1.0):
    indices = []
    for index, mask in enumerate(masks):
        share = np.count_nonzero(mask == class_id) / mask.size
        if not lowest <= share <= highest:
            indices.append(index)
    return indices


@wrong(check.suspicious, "The shape is")
def share_of_all_masks(masks, class_id, lowest=0.0, highest=1.0):
    share = np.mean(masks == class_id)
    return list(range(len(masks))) if share < lowest or share > highest else []


@wrong(check.suspicious, ("class 1, background", "too large by 1"))
def background_counted_from_one(masks, class_id, lowest=0.0, highest=1.0):
    return [index + 1 for index in with_a_loop(masks, 1, lowest, highest)]


# --- code that works only eagerly ---


def with_a_python_if(image, mask):
    if tf.reduce_min(mask) < 1:
        raise ValueError("labels start at 1")
    return tf.cast(image, tf.float32), mask - 1


def with_numpy(image, mask):
    assert (np.asarray(mask) > 0).all()
    return np.float32(image), np.asarray(mask) - 1


def normalized_with_a_python_if(datapoint, image_size=128):
    image, mask = normalized_first(datapoint, image_size)
    return with_a_python_if(image, mask + 1)


@pytest.mark.parametrize(
    ("task", "function"),
    [
        (check.normalize, with_a_python_if),
        (check.normalize, with_numpy),
        (check.load_image_train, normalized_with_a_python_if),
    ],
)
def test_an_answer_that_works_only_eagerly_is_incorrect(task, function):
    """In the notebook, and where the outcomes are computed elsewhere, as for ``labkit grade``."""
    pytest.importorskip("tensorflow")
    fails(task, function, "not in a tf.data pipeline")
    outcomes = task.outcomes(function)
    assert outcomes[0].error is None
    assert any(isinstance(outcome.error, check.NotInPipeline) for outcome in outcomes)
    assert task.verdict(outcomes).state == "incorrect"


def test_checks_print_and_log_nothing(capfd, caplog):
    pytest.importorskip("tensorflow")
    check.normalize(with_an_assertion)
    check.load_image_train(normalized_first)
    replace(check.normalize)(with_numpy)  # a copy that has not computed its mistakes yet
    assert capfd.readouterr().out == ""
    assert caplog.text == ""
