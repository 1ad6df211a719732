"""Data: correct answers in several styles, and mistakes in code unlike the reference.

Answers to 2.3 and 2.4 import TensorFlow inside, as the course has to work without it as well.
"""

from collections import Counter
from dataclasses import replace

import keras
import numpy as np
import pytest
from answers import Answers, fails, gets_both_hints, passes

from labkit.check import data as check


def where_it_can(judge):
    """The same test where TensorFlow is installed, if the task needs it."""

    def judged(task, *answer):
        if task.number in ("2.3", "2.4"):
            pytest.importorskip("tensorflow")
        judge(task, *answer)

    return judged


right, wrong, twice_wrong = map(Answers, map(where_it_can, (passes, fails, gets_both_hints)))
test_a_right_answer_passes = right.test()
test_a_wrong_answer_fails_with_its_hint = wrong.test()
test_two_mistakes_at_once_get_both_hints = twice_wrong.test()


# --- 2.1 label_shares ---


@right(check.label_shares)
def with_bincount(pixels):
    return np.bincount(np.ravel(pixels), minlength=4)[1:] / max(1, np.size(pixels))


@right(check.label_shares)
def mean_for_each_label(pixels):
    pixels = np.asarray(pixels)
    if pixels.size == 0:
        return [0, 0, 0]
    return [np.mean(pixels == label) for label in (1, 2, 3)]


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


@right(check.label_shares)
def with_a_histogram(pixels):
    return np.histogram(pixels, bins=[1, 2, 3, 4])[0] / max(1, np.size(pixels))


@wrong(check.label_shares, "left out")
def only_labels_that_occur(pixels):
    _, counts = np.unique(pixels, return_counts=True)
    return counts / max(1, counts.sum())


@wrong(check.label_shares, "wraps around at 256")
def sums_in_uint8(pixels):
    pixels = np.ravel(pixels)
    counts = [np.sum(pixels == label, dtype="uint8") for label in (1, 2, 3)]
    return np.array(counts) / max(1, pixels.size)


@wrong(check.label_shares, "divisor is 0")
def no_pixels_in_pure_python(pixels):
    values = np.ravel(pixels).tolist()
    return [values.count(label) / len(values) for label in (1, 2, 3)]


@twice_wrong(check.label_shares, ("percentage", "sorted by size"))
def percentages_with_the_largest_first(pixels):
    return sorted((100 * share for share in with_a_counter(pixels)), reverse=True)


# --- 2.2 neighbour_pairs ---


@right(check.neighbour_pairs)
def with_slices_and_add_at(mask):
    counts = np.zeros((4, 4), int)
    for one, other in ((mask[:, :-1], mask[:, 1:]), (mask[:-1], mask[1:])):
        np.add.at(counts, (one, other), 1)
        np.add.at(counts, (other, one), 1)
    return counts[1:, 1:]


@right(check.neighbour_pairs)
def with_loops(mask):
    counts = [[0, 0, 0] for _ in range(3)]
    height, width = mask.shape
    for y in range(height):
        for x in range(width):
            for down, across in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                if 0 <= y + down < height and 0 <= x + across < width:
                    counts[mask[y, x] - 1][mask[y + down, x + across] - 1] += 1
    return counts


@right(check.neighbour_pairs)
def padded_and_compared(mask):
    padded = np.pad(mask, 1)
    sides = [padded[1:-1, :-2], padded[1:-1, 2:], padded[:-2, 1:-1], padded[2:, 1:-1]]
    counts = [
        sum(np.sum((mask == i) & (side == j)) for side in sides)
        for i in (1, 2, 3)
        for j in (1, 2, 3)
    ]
    return np.reshape(counts, (3, 3))


@right(check.neighbour_pairs)
def one_hot_products_in_float(mask):
    one_hot = np.eye(4)[mask][..., 1:]
    across = np.einsum("hwi,hwj->ij", one_hot[:, :-1], one_hot[:, 1:])
    down = np.einsum("hwi,hwj->ij", one_hot[:-1], one_hot[1:])
    return across + across.T + down + down.T


@right(check.neighbour_pairs)
def bincount_of_pairs(mask):
    mask = mask.astype(int)
    codes = [4 * mask[:, :-1] + mask[:, 1:], 4 * mask[:-1] + mask[1:]]
    counts = sum(np.bincount(code.ravel(), minlength=16).reshape(4, 4) for code in codes)
    return (counts + counts.T)[1:, 1:]


@wrong(check.neighbour_pairs, "share only a corner")
def eight_neighbors(mask):
    padded = np.pad(mask, 1)
    counts = np.zeros((4, 4), int)
    height, width = mask.shape
    for down in range(3):
        for across in range(3):
            if (down, across) != (1, 1):
                shifted = padded[down : down + height, across : across + width]
                np.add.at(counts, (mask, shifted), 1)
    return counts[1:, 1:]


@wrong(check.neighbour_pairs, "np.roll wraps around")
def rolled_in_four_directions(mask):
    counts = np.zeros((3, 3), int)
    for axis in (0, 1):
        for step in (1, -1):
            np.add.at(counts, (mask - 1, np.roll(mask, step, axis) - 1), 1)
    return counts


@wrong(check.neighbour_pairs, "within the last row")
def loops_that_end_too_early(mask):
    counts = np.zeros((3, 3), int)
    for y in range(mask.shape[0] - 1):
        for x in range(mask.shape[1] - 1):
            for other in (mask[y, x + 1], mask[y + 1, x]):
                counts[mask[y, x] - 1, other - 1] += 1
                counts[other - 1, mask[y, x] - 1] += 1
    return counts


@twice_wrong(check.neighbour_pairs, ("Only left and right", "equal labels are missing"))
def different_labels_in_rows_only(mask):
    one_hot = np.eye(4)[mask][..., 1:]
    counts = np.einsum("hwi,hwj->ij", one_hot[:, :-1], one_hot[:, 1:])
    counts = counts + counts.T
    np.fill_diagonal(counts, 0)
    return counts


# --- 2.3 normalize ---


def tensorflow():
    import tensorflow as tf

    return tf


@right(check.normalize)
def with_an_assertion(input_image, input_mask):
    tf = tensorflow()
    tf.debugging.assert_greater_equal(input_mask, tf.constant(1, tf.uint8))
    return tf.cast(input_image, tf.float32), input_mask - 1


@right(check.normalize)
def with_an_assertion_about_the_minimum(image, mask):
    tf = tensorflow()
    mask = tf.cast(mask, tf.int64) - 1
    tf.debugging.assert_non_negative(tf.reduce_min(mask))
    return [tf.cast(image, "float64"), mask]


@right(check.normalize)
def with_control_dependencies(image, mask):
    tf = tensorflow()
    positive = tf.debugging.Assert(tf.reduce_all(mask > 0), [mask])
    with tf.control_dependencies([positive] if positive is not None else []):
        return tf.cast(image, tf.float32), tf.subtract(mask, 1)


@right(check.normalize)
def with_augmented_assignment(input_image, input_mask):
    tf = tensorflow()
    tf.debugging.assert_positive(tf.cast(input_mask, tf.int32))
    input_image = 1.0 * tf.cast(input_image, tf.float32)
    input_mask -= 1
    return input_image, input_mask


@wrong(check.normalize, "silently becomes a class")
def clipped(input_image, input_mask):
    tf = tensorflow()
    mask = tf.clip_by_value(tf.cast(input_mask, tf.int32) - 1, 0, 2)
    return tf.cast(input_image, "float32"), tf.cast(mask, tf.uint8)


@wrong(check.normalize, "not in a tf.data pipeline")
def with_a_python_if(input_image, input_mask):
    tf = tensorflow()
    if tf.reduce_min(input_mask) < 1:
        raise ValueError("labels start at 1")
    return tf.cast(input_image, tf.float32), input_mask - 1


@wrong(check.normalize, "not in a tf.data pipeline")
def with_numpy(input_image, input_mask):
    assert (np.asarray(input_mask) > 0).all()
    return np.float32(input_image), np.asarray(input_mask) - 1


@twice_wrong(check.normalize, ("divided by 255", "in uint8, 0 - 1 is 255"))
def as_in_the_tensorflow_tutorial(input_image, input_mask):
    tf = tensorflow()
    input_image = tf.cast(input_image, tf.float32) / 255.0
    input_mask -= 1
    return input_image, input_mask


# --- 2.4 load_image_train ---


@right(check.load_image_train)
def bilinear_and_nearest(datapoint, image_size=128):
    tf = tensorflow()
    size = (image_size, image_size)
    image = tf.image.resize(datapoint["image"], size, antialias=True)
    mask = tf.image.resize(datapoint["segmentation_mask"], size, method="nearest")
    return with_an_assertion(image, mask)


@right(check.load_image_train)
def normalized_first(datapoint, image_size=128):
    tf = tensorflow()
    image, mask = with_an_assertion(datapoint["image"], datapoint["segmentation_mask"])
    near = tf.image.ResizeMethod.NEAREST_NEIGHBOR
    image = tf.image.resize(image, [image_size] * 2, tf.image.ResizeMethod.BILINEAR, False, True)
    return image, tf.image.resize(mask, [image_size] * 2, near)


@right(check.load_image_train)
def as_a_batch_of_one(datapoint, image_size=128):
    tf = tensorflow()
    image, mask = datapoint["image"][tf.newaxis], datapoint["segmentation_mask"][tf.newaxis]
    image = tf.image.resize(tf.cast(image, tf.float32), (image_size, image_size), antialias=True)
    mask = tf.image.resize(tf.cast(mask, tf.int32), (image_size, image_size), method="nearest")
    return with_an_assertion_about_the_minimum(image[0], mask[0])


@wrong(check.load_image_train, "uint8 and float are mixed")
def bilinear_mask_before_an_assertion_in_uint8(datapoint, image_size=128):
    tf = tensorflow()
    size = (image_size, image_size)
    image = tf.image.resize(datapoint["image"], size, antialias=True)
    return with_an_assertion(image, tf.image.resize(datapoint["segmentation_mask"], size))


@wrong(check.load_image_train, "cropped or padded")
def cropped(datapoint, image_size=128):
    tf = tensorflow()
    parts = datapoint["image"], datapoint["segmentation_mask"]
    parts = [tf.image.resize_with_crop_or_pad(part, image_size, image_size) for part in parts]
    return tf.cast(parts[0], tf.float32), parts[1] - 1


@wrong(check.load_image_train, "not in a tf.data pipeline")
def normalized_with_a_python_if(datapoint, image_size=128):
    image, mask = bilinear_and_nearest(datapoint, image_size)
    return with_a_python_if(image, mask + 1)


@twice_wrong(check.load_image_train, ("Casting does not undo interpolation", "not smoothed"))
def bilinear_mask_then_cast(datapoint, image_size=128):
    tf = tensorflow()
    size = (image_size, image_size)
    image = tf.image.resize(datapoint["image"], size)
    mask = tf.cast(tf.image.resize(datapoint["segmentation_mask"], size), tf.uint8)
    return with_an_assertion(image, mask)


# --- 2.5 flip ---


@right(check.flip)
def second_axis_reversed(image, mask):
    return image[:, ::-1], mask[:, ::-1]


@right(check.flip)
def with_fliplr_in_a_list(image, mask):
    return [np.fliplr(part).astype(float) for part in (image, mask)]


@right(check.flip)
def with_tensorflow(image, mask):
    tf = pytest.importorskip("tensorflow")
    return tf.image.flip_left_right(image), tf.image.flip_left_right(mask)


@right(check.flip)
def with_keras(image, mask):
    return keras.ops.flip(image, axis=1), keras.ops.flip(mask, axis=1)


@right(check.flip)
def column_by_column(image, mask):
    new_image, new_mask = np.zeros_like(image), np.zeros_like(mask)
    width = image.shape[1]
    for x in range(width):
        new_image[:, x], new_mask[:, x] = image[:, width - 1 - x], mask[:, width - 1 - x]
    return new_image, new_mask[..., 0]


@wrong(check.flip, "rotated by 180 degrees")
def rotated_twice(image, mask):
    return np.rot90(image, 2), np.rot90(mask, 2)


@wrong(check.flip, "Nothing is flipped")
def result_is_not_used(image, mask):
    np.fliplr(image), np.fliplr(mask)
    return image, mask


@wrong(check.flip, "Work on a copy")
def flipped_in_place(image, mask):
    image[:], mask[:] = image[:, ::-1].copy(), mask[:, ::-1].copy()
    return image, mask


@twice_wrong(check.flip, ("wrong order", "upside down"))
def upside_down_with_the_mask_first(image, mask):
    return np.flipud(mask), np.flipud(image)


# --- 2.6 suspicious ---


@right(check.suspicious)
def with_where(masks, class_id, lowest=0.0, highest=1.0):
    share = (masks == class_id).mean(axis=(1, 2, 3))
    return np.where((share < lowest) | (share > highest))


@right(check.suspicious)
def with_a_loop(masks, class_id, lowest=0.0, highest=1.0):
    indices = []
    for index, mask in enumerate(masks):
        share = np.count_nonzero(mask == class_id) / mask.size
        if not lowest <= share <= highest:
            indices.append(index)
    return indices


@right(check.suspicious)
def flattened(masks, class_id, lowest=0.0, highest=1.0):
    share = np.mean(masks.reshape(len(masks), -1) == class_id, axis=1)
    outside = np.logical_or(share < lowest, share > highest)
    return np.argwhere(outside)


@wrong(check.suspicious, "Only lowest is used")
def too_small_only(masks, class_id, lowest=0.0, highest=1.0):
    return [i for i, mask in enumerate(masks) if np.mean(mask == class_id) < lowest]


@wrong(check.suspicious, "equals a limit is included")
def limits_included(masks, class_id, lowest=0.0, highest=1.0):
    shares = [np.count_nonzero(mask == class_id) / mask.size for mask in masks]
    return [index for index, share in enumerate(shares) if not lowest < share < highest]


@wrong(check.suspicious, "The shape is")
def share_of_all_masks(masks, class_id, lowest=0.0, highest=1.0):
    share = np.mean(masks == class_id)
    return list(range(len(masks))) if share < lowest or share > highest else []


@twice_wrong(check.suspicious, ("class 1, background", "too large by 1"))
def background_counted_from_one(masks, class_id, lowest=0.0, highest=1.0):
    return [index + 1 for index in with_a_loop(masks, 1, lowest, highest)]


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
    assert task(function).state == "incorrect"
    outcomes = task.outcomes(function)
    assert outcomes[0].error is None
    assert any(isinstance(outcome.error, check.NotInPipeline) for outcome in outcomes)
    assert task.verdict(outcomes).state == "incorrect"


def test_a_task_that_needs_an_unsolved_one_is_not_attempted():
    def needs_normalize(datapoint, image_size=128):
        raise check.NotDone("2.3")

    pytest.importorskip("tensorflow")
    assert check.load_image_train(needs_normalize).state == "not attempted"


def test_checks_print_and_log_nothing(capfd, caplog):
    pytest.importorskip("tensorflow")
    check.normalize(with_an_assertion)
    check.load_image_train(bilinear_and_nearest)
    replace(check.normalize)(clipped)  # a copy that has not computed its mistakes yet
    assert capfd.readouterr().out == ""
    assert caplog.text == ""
