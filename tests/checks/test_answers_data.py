"""Chapter 2: answers that have to pass, and plausible ones that must not.

Answers to 2.3 and 2.4 import TensorFlow inside, as the course has to work without it as well.
"""

from collections import Counter

import keras
import numpy as np
import pytest
from answers import Answers, fails, passes

from labkit.check import data as check


def where_it_can(judge):
    """The same where TensorFlow is, which 2.3 and 2.4 are about."""

    def judged(task, *answer):
        if task.number in ("2.3", "2.4"):
            pytest.importorskip("tensorflow")
        judge(task, *answer)

    return judged


right, wrong = Answers(where_it_can(passes)), Answers(where_it_can(fails))
test_a_right_answer_passes = right.test()
test_a_wrong_answer_fails_with_its_hint = wrong.test()


# --- 2.1 label_shares ---


@right(check.label_shares)
def bins_of_labels(pixels):
    return np.bincount(np.ravel(pixels), minlength=4)[1:] / max(1, np.size(pixels))


@right(check.label_shares)
def a_count_for_each_label(pixels):
    pixels = np.asarray(pixels)
    if pixels.size == 0:
        return [0, 0, 0]
    return [np.mean(pixels == label) for label in (1, 2, 3)]


@right(check.label_shares)
def by_a_counter(pixels):
    counted = Counter(np.ravel(pixels).tolist())
    total = sum(counted.values()) or 1
    return tuple(counted[label] / total for label in range(1, 4))


@right(check.label_shares)
def by_keras_ops(pixels):
    pixels = keras.ops.reshape(keras.ops.convert_to_tensor(pixels, "int32"), (-1,))
    found = keras.ops.cast(keras.ops.equal(pixels[:, None], [1, 2, 3]), "float32")
    return keras.ops.sum(found, axis=0) / max(1, pixels.shape[0])


@right(check.label_shares)
def by_a_histogram(pixels):
    return np.histogram(pixels, bins=[1, 2, 3, 4])[0] / max(1, np.size(pixels))


@wrong(check.label_shares, "These are counts")
def counts_only(pixels):
    return [int(np.sum(np.equal(pixels, label))) for label in (1, 2, 3)]


@wrong(check.label_shares, "shares of 0, 1 and 2")
def labels_from_zero(pixels):
    return [np.sum(np.equal(pixels, label)) / max(1, np.size(pixels)) for label in range(3)]


@wrong(check.label_shares, "Four numbers")
def label_zero_is_kept(pixels):
    return np.bincount(np.ravel(pixels), minlength=4) / max(1, np.size(pixels))


@wrong(check.label_shares, "left out")
def labels_that_occur(pixels):
    _, found = np.unique(pixels, return_counts=True)
    return found / max(1, found.sum())


@wrong(check.label_shares, "sorted by size")
def most_common_first(pixels):
    found = sorted((np.sum(np.equal(pixels, label)) for label in (1, 2, 3)), reverse=True)
    return np.array(found) / max(1, np.size(pixels))


@wrong(check.label_shares, "divides 0 by 0")
def mean_of_nothing(pixels):
    return np.array([np.sum(np.equal(pixels, k)) for k in (1, 2, 3)]) / np.size(pixels)


@wrong(check.label_shares, "number of its rows")
def divided_by_the_rows(pixels):
    return np.bincount(np.ravel(pixels), minlength=4)[1:] / np.int64(len(pixels))


@wrong(check.label_shares, "per cent")
def shares_in_per_cent(pixels):
    return [100 * share for share in by_a_counter(pixels)]


@wrong(check.label_shares, "without remainder")
def shares_in_integers(pixels):
    return np.bincount(np.ravel(pixels), minlength=4)[1:] // max(1, np.size(pixels))


@wrong(check.label_shares, "uint8")
def counted_in_uint8(pixels):
    pixels = np.ravel(pixels)
    counted = [np.sum(pixels == label, dtype="uint8") for label in (1, 2, 3)]
    return np.array(counted) / max(1, pixels.size)


@wrong(check.label_shares, "Tell it where")
def three_bins_of_a_histogram(pixels):
    found, _ = np.histogram(pixels, bins=3)
    return found / max(1, found.sum())


@wrong(check.label_shares, "divisor is 0")
def zero_is_not_thought_of(pixels):
    values = np.ravel(pixels).tolist()
    return [values.count(label) / len(values) for label in (1, 2, 3)]


@wrong(check.label_shares, "end with a return")
def no_return(pixels):
    bins_of_labels(pixels)


# --- 2.2 neighbour_pairs ---


@right(check.neighbour_pairs)
def slices_and_add_at(mask):
    found = np.zeros((4, 4), int)
    for one, other in ((mask[:, :-1], mask[:, 1:]), (mask[:-1], mask[1:])):
        np.add.at(found, (one, other), 1)
        np.add.at(found, (other, one), 1)
    return found[1:, 1:]


@right(check.neighbour_pairs)
def four_loops(mask):
    found = [[0, 0, 0] for _ in range(3)]
    height, width = mask.shape
    for y in range(height):
        for x in range(width):
            for down, across in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                if 0 <= y + down < height and 0 <= x + across < width:
                    found[mask[y, x] - 1][mask[y + down, x + across] - 1] += 1
    return found


@right(check.neighbour_pairs)
def padded_and_compared(mask):
    around = np.pad(mask, 1)
    sides = [around[1:-1, :-2], around[1:-1, 2:], around[:-2, 1:-1], around[2:, 1:-1]]
    counts = [
        sum(np.sum((mask == i) & (side == j)) for side in sides)
        for i in (1, 2, 3)
        for j in (1, 2, 3)
    ]
    return np.reshape(counts, (3, 3))


@right(check.neighbour_pairs)
def one_hot_products_in_float(mask):
    hot = np.eye(4)[mask][..., 1:]
    across = np.einsum("hwi,hwj->ij", hot[:, :-1], hot[:, 1:])
    down = np.einsum("hwi,hwj->ij", hot[:-1], hot[1:])
    return across + across.T + down + down.T


@right(check.neighbour_pairs)
def bins_of_pairs(mask):
    mask = mask.astype(int)
    codes = [4 * mask[:, :-1] + mask[:, 1:], 4 * mask[:-1] + mask[1:]]
    found = sum(np.bincount(code.ravel(), minlength=16).reshape(4, 4) for code in codes)
    return (found + found.T)[1:, 1:]


@wrong(check.neighbour_pairs, "from one side only")
def from_the_left_and_from_above(mask):
    found = np.zeros((4, 4), int)
    np.add.at(found, (mask[:, :-1], mask[:, 1:]), 1)
    np.add.at(found, (mask[:-1], mask[1:]), 1)
    return found[1:, 1:]


@wrong(check.neighbour_pairs, "from one side only")
def from_the_right_and_from_below(mask):
    return np.transpose(from_the_left_and_from_above(mask))


@wrong(check.neighbour_pairs, "Only left and right")
def rows_only(mask):
    hot = np.eye(4)[mask][..., 1:]
    across = np.einsum("hwi,hwj->ij", hot[:, :-1], hot[:, 1:])
    return across + across.T


@wrong(check.neighbour_pairs, "Only above and below")
def columns_only(mask):
    return rows_only(mask.T)


@wrong(check.neighbour_pairs, "touch at a corner")
def eight_neighbours(mask):
    around = np.pad(mask, 1)
    found = np.zeros((4, 4), int)
    height, width = mask.shape
    for down in range(3):
        for across in range(3):
            if (down, across) != (1, 1):
                np.add.at(found, (mask, around[down : down + height, across : across + width]), 1)
    return found[1:, 1:]


@wrong(check.neighbour_pairs, "np.roll")
def rolled(mask):
    found = np.zeros((3, 3), int)
    for axis in (0, 1):
        for step in (1, -1):
            np.add.at(found, (mask - 1, np.roll(mask, step, axis) - 1), 1)
    return found


@wrong(check.neighbour_pairs, "last row has neighbours")
def loops_end_too_early(mask):
    found = np.zeros((3, 3), int)
    for y in range(mask.shape[0] - 1):
        for x in range(mask.shape[1] - 1):
            for other in (mask[y, x + 1], mask[y + 1, x]):
                found[mask[y, x] - 1, other - 1] += 1
                found[other - 1, mask[y, x] - 1] += 1
    return found


@wrong(check.neighbour_pairs, "however often the place is named")
def added_by_an_index(mask):
    found = np.zeros((4, 4), int)
    for one, other in ((mask[:, :-1], mask[:, 1:]), (mask[:-1], mask[1:])):
        found[one, other] += 1
    return (found + found.T)[1:, 1:]


@wrong(check.neighbour_pairs, "Equal neighbours are left out")
def different_labels_only(mask):
    found = slices_and_add_at(mask)
    np.fill_diagonal(found, 0)
    return found


@wrong(check.neighbour_pairs, "count once here")
def equal_labels_once(mask):
    found = np.zeros((4, 4), int)
    for one, other in ((mask[:, :-1], mask[:, 1:]), (mask[:-1], mask[1:])):
        for a, b in zip(one.ravel(), other.ravel(), strict=True):
            found[a, b] += 1
            if a != b:
                found[b, a] += 1
    return found[1:, 1:]


@wrong(check.neighbour_pairs, "a label 0")
def with_label_zero(mask):
    return np.pad(slices_and_add_at(mask), ((1, 0), (1, 0)))


@wrong(check.neighbour_pairs, "those of 0, 1 and 2")
def cut_at_the_wrong_end(mask):
    return with_label_zero(mask)[:3, :3]


@wrong(check.neighbour_pairs, "uint8")
def pairs_in_uint8(mask):
    return slices_and_add_at(mask).astype("uint8")


@wrong(check.neighbour_pairs, "does not have")
def labels_used_as_places(mask):
    found = np.zeros((3, 3), int)
    np.add.at(found, (mask[:, :-1], mask[:, 1:]), 1)
    return found + found.T


# --- 2.3 normalize ---


def tensorflow():
    import tensorflow as tf

    return tf


@right(check.normalize)
def asserts_by_tensorflow(input_image, input_mask):
    tf = tensorflow()
    tf.debugging.assert_greater_equal(input_mask, tf.constant(1, tf.uint8))
    return tf.cast(input_image, tf.float32), input_mask - 1


@right(check.normalize)
def asserts_the_smallest_label(image, mask):
    tf = tensorflow()
    mask = tf.cast(mask, tf.int64) - 1
    tf.debugging.assert_non_negative(tf.reduce_min(mask))
    return [tf.cast(image, "float64"), mask]


@right(check.normalize)
def control_dependencies(image, mask):
    tf = tensorflow()
    positive = tf.debugging.Assert(tf.reduce_all(mask > 0), [mask])
    with tf.control_dependencies([positive] if positive is not None else []):
        return tf.cast(image, tf.float32), tf.subtract(mask, 1)


@right(check.normalize)
def in_place_on_names(input_image, input_mask):
    tf = tensorflow()
    tf.debugging.assert_positive(tf.cast(input_mask, tf.int32))
    input_image = 1.0 * tf.cast(input_image, tf.float32)
    input_mask -= 1
    return input_image, input_mask


@wrong(check.normalize, "divided by 255")
def of_the_laboratory_work(input_image, input_mask):
    tf = tensorflow()
    input_image = tf.cast(input_image, tf.float32) / 255.0
    input_mask -= 1
    return input_image, input_mask


@wrong(check.normalize, "divided by 255")
def divided_with_a_guard(input_image, input_mask):
    tf = tensorflow()
    tf.debugging.assert_positive(tf.cast(input_mask, tf.int32))
    return tf.cast(input_image, tf.float32) / 255.0, input_mask - 1


@wrong(check.normalize, "from -1 to 1")
def for_mobilenet(input_image, input_mask):
    image, mask = asserts_by_tensorflow(input_image, input_mask)
    return image / 127.5 - 1.0, mask


@wrong(check.normalize, "in uint8, 0 - 1 is 255")
def no_guard(input_image, input_mask):
    return tensorflow().cast(input_image, "float32"), input_mask - 1


@wrong(check.normalize, "-1, which is no class")
def no_guard_in_int32(input_image, input_mask):
    tf = tensorflow()
    return tf.cast(input_image, "float32"), tf.cast(input_mask, tf.int32) - 1


@wrong(check.normalize, "quietly becomes a class")
def clipped(input_image, input_mask):
    tf = tensorflow()
    mask = tf.clip_by_value(tf.cast(input_mask, tf.int32) - 1, 0, 2)
    return tf.cast(input_image, "float32"), tf.cast(mask, tf.uint8)


@wrong(check.normalize, "still 1, 2, 3")
def mask_as_it_was(input_image, input_mask):
    asserts_by_tensorflow(input_image, input_mask)
    return tensorflow().cast(input_image, "float32"), input_mask


@wrong(check.normalize, "labels have become float")
def labels_as_float(input_image, input_mask):
    tf = tensorflow()
    tf.debugging.assert_greater_equal(input_mask, tf.constant(1, tf.uint8))
    return tf.cast(input_image, tf.float32), tf.cast(input_mask, tf.float32) - 1.0


@wrong(check.normalize, "still uint8")
def image_as_it_was(input_image, input_mask):
    return input_image, asserts_by_tensorflow(input_image, input_mask)[1]


@wrong(check.normalize, "changed places")
def mask_first(input_image, input_mask):
    return asserts_by_tensorflow(input_image, input_mask)[::-1]


@wrong(check.normalize, "2 values")
def image_alone(input_image, input_mask):
    return asserts_by_tensorflow(input_image, input_mask)[0]


@wrong(check.normalize, "no values yet")
def guard_by_a_python_if(input_image, input_mask):
    tf = tensorflow()
    if tf.reduce_min(input_mask) < 1:
        raise ValueError("labels start at 1")
    return tf.cast(input_image, tf.float32), input_mask - 1


@wrong(check.normalize, "no values yet")
def all_in_numpy(input_image, input_mask):
    assert (np.asarray(input_mask) > 0).all()
    return np.float32(input_image), np.asarray(input_mask) - 1


# --- 2.4 load_image_train ---


@right(check.load_image_train)
def bilinear_and_nearest(datapoint, image_size=128):
    tf = tensorflow()
    size = (image_size, image_size)
    image = tf.image.resize(datapoint["image"], size, antialias=True)
    mask = tf.image.resize(datapoint["segmentation_mask"], size, method="nearest")
    return asserts_by_tensorflow(image, mask)


@right(check.load_image_train)
def normalized_first(datapoint, image_size=128):
    tf = tensorflow()
    image, mask = asserts_by_tensorflow(datapoint["image"], datapoint["segmentation_mask"])
    near = tf.image.ResizeMethod.NEAREST_NEIGHBOR
    image = tf.image.resize(image, [image_size] * 2, tf.image.ResizeMethod.BILINEAR, False, True)
    return image, tf.image.resize(mask, [image_size] * 2, near)


@right(check.load_image_train)
def as_a_batch_of_one(datapoint, image_size=128):
    tf = tensorflow()
    image, mask = datapoint["image"][tf.newaxis], datapoint["segmentation_mask"][tf.newaxis]
    image = tf.image.resize(tf.cast(image, tf.float32), (image_size, image_size), antialias=True)
    mask = tf.image.resize(tf.cast(mask, tf.int32), (image_size, image_size), method="nearest")
    return asserts_the_smallest_label(image[0], mask[0])


def any_labels(image, mask):
    """``normalize`` with a guard that takes float masks as well."""
    tf = tensorflow()
    tf.debugging.assert_positive(tf.cast(mask, tf.float32))
    return tf.cast(image, tf.float32), mask - 1


@wrong(check.load_image_train, "which mixes labels")
def mask_bilinear(datapoint, image_size=128):
    tf = tensorflow()
    size = (image_size, image_size)
    image = tf.image.resize(datapoint["image"], size, antialias=True)
    return any_labels(image, tf.image.resize(datapoint["segmentation_mask"], size))


@wrong(check.load_image_train, "uint8 and float meet")
def mask_bilinear_before_a_strict_guard(datapoint, image_size=128):
    tf = tensorflow()
    size = (image_size, image_size)
    image = tf.image.resize(datapoint["image"], size, antialias=True)
    return asserts_by_tensorflow(image, tf.image.resize(datapoint["segmentation_mask"], size))


@wrong(check.load_image_train, "before they became whole numbers")
def mask_bilinear_then_cast(datapoint, image_size=128):
    tf = tensorflow()
    size = (image_size, image_size)
    image = tf.image.resize(datapoint["image"], size)
    mask = tf.cast(tf.image.resize(datapoint["segmentation_mask"], size), tf.uint8)
    return asserts_by_tensorflow(image, mask)


@wrong(check.load_image_train, "before they became whole numbers")
def mask_bilinear_then_rounded(datapoint, image_size=128):
    tf = tensorflow()
    size = (image_size, image_size)
    image = tf.image.resize(datapoint["image"], size, antialias=True)
    mask = tf.round(tf.image.resize(datapoint["segmentation_mask"], size))
    return asserts_by_tensorflow(image, tf.cast(mask, tf.uint8))


@wrong(check.load_image_train, "image is resized by nearest neighbour. That is for masks")
def both_nearest(datapoint, image_size=128):
    tf = tensorflow()
    parts = datapoint["image"], datapoint["segmentation_mask"]
    size = (image_size, image_size)
    return asserts_by_tensorflow(*(tf.image.resize(part, size, "nearest") for part in parts))


@wrong(check.load_image_train, "The two ways have changed places")
def nearest_and_bilinear(datapoint, image_size=128):
    tf = tensorflow()
    size = (image_size, image_size)
    image = tf.image.resize(datapoint["image"], size, method="nearest")
    return any_labels(image, tf.image.resize(datapoint["segmentation_mask"], size))


@wrong(check.load_image_train, "not smoothed")
def no_antialias(datapoint, image_size=128):
    tf = tensorflow()
    size = (image_size, image_size)
    image = tf.image.resize(datapoint["image"], size)
    mask = tf.image.resize(datapoint["segmentation_mask"], size, method="nearest")
    return asserts_by_tensorflow(image, mask)


@wrong(check.load_image_train, "What makes 0, 1, 2 of them")
def not_normalized(datapoint, image_size=128):
    tf = tensorflow()
    size = (image_size, image_size)
    image = tf.image.resize(datapoint["image"], size, antialias=True)
    return image, tf.image.resize(datapoint["segmentation_mask"], size, method="nearest")


@wrong(check.load_image_train, "error")
def normalized_twice(datapoint, image_size=128):
    return asserts_by_tensorflow(*bilinear_and_nearest(datapoint, image_size))


@wrong(check.load_image_train, "always 128")
def size_is_fixed(datapoint, image_size=128):
    return bilinear_and_nearest(datapoint, 128)


@wrong(check.load_image_train, "cut out or padded")
def cropped(datapoint, image_size=128):
    tf = tensorflow()
    parts = datapoint["image"], datapoint["segmentation_mask"]
    cut = [tf.image.resize_with_crop_or_pad(part, image_size, image_size) for part in parts]
    return tf.cast(cut[0], tf.float32), cut[1] - 1


@wrong(check.load_image_train, "has kept its size")
def only_the_image_is_resized(datapoint, image_size=128):
    tf = tensorflow()
    image = tf.image.resize(datapoint["image"], (image_size, image_size), antialias=True)
    return asserts_by_tensorflow(image, datapoint["segmentation_mask"])


@wrong(check.load_image_train, "divided by 255")
def image_is_divided(datapoint, image_size=128):
    image, mask = bilinear_and_nearest(datapoint, image_size)
    return image / 255, mask


@wrong(check.load_image_train, "no values yet")
def with_a_guard_by_if(datapoint, image_size=128):
    image, mask = bilinear_and_nearest(datapoint, image_size)
    return guard_by_a_python_if(image, mask + 1)


# --- 2.5 flip ---


@right(check.flip)
def second_axis_reversed(image, mask):
    return image[:, ::-1], mask[:, ::-1]


@right(check.flip)
def fliplr_in_a_list(image, mask):
    return [np.fliplr(part).astype(float) for part in (image, mask)]


@right(check.flip)
def by_tensorflow(image, mask):
    tf = pytest.importorskip("tensorflow")
    return tf.image.flip_left_right(image), tf.image.flip_left_right(mask)


@right(check.flip)
def by_keras(image, mask):
    return keras.ops.flip(image, axis=1), keras.ops.flip(mask, axis=1)


@right(check.flip)
def pixel_by_pixel(image, mask):
    new_image, new_mask = np.zeros_like(image), np.zeros_like(mask)
    width = image.shape[1]
    for x in range(width):
        new_image[:, x], new_mask[:, x] = image[:, width - 1 - x], mask[:, width - 1 - x]
    return new_image, new_mask[..., 0]


@wrong(check.flip, "The mask stays where it was")
def mask_forgotten(image, mask):
    return np.flip(image, axis=1), mask


@wrong(check.flip, "Only the mask is flipped")
def image_forgotten(image, mask):
    return image, np.flip(mask, axis=1)


@wrong(check.flip, "stand on their heads")
def upside_down(image, mask):
    return image[::-1], mask[::-1]


@wrong(check.flip, "The mask is flipped upside down")
def two_different_axes(image, mask):
    return image[:, ::-1], mask[::-1]


@wrong(check.flip, "turned by 180 degrees")
def half_a_turn(image, mask):
    return np.rot90(image, 2), np.rot90(mask, 2)


@wrong(check.flip, "red and blue")
def last_axis(image, mask):
    return image[..., ::-1], mask[..., ::-1]


@wrong(check.flip, "All axes")
def every_axis(image, mask):
    return np.flip(image), np.flip(mask)


@wrong(check.flip, "transposed")
def transposed(image, mask):
    return image.transpose(1, 0, 2), mask.transpose(1, 0, 2)


@wrong(check.flip, "Nothing has moved")
def result_is_thrown_away(image, mask):
    np.fliplr(image), np.fliplr(mask)
    return image, mask


@wrong(check.flip, "Work on a copy")
def flipped_in_place(image, mask):
    image[:], mask[:] = image[:, ::-1].copy(), mask[:, ::-1].copy()
    return image, mask


@wrong(check.flip, "The image comes first")
def mask_comes_first(image, mask):
    return mask[:, ::-1], image[:, ::-1]


@wrong(check.flip, "The shape is (2, 3)")
def one_column_is_lost(image, mask):
    return image[:, ::-1], mask[:, -1:0:-1]


# --- 2.6 suspicious ---


@right(check.suspicious)
def share_of_each_mask(masks, class_id, lowest=0.0, highest=1.0):
    share = (masks == class_id).mean(axis=(1, 2, 3))
    return np.where((share < lowest) | (share > highest))


@right(check.suspicious)
def one_mask_after_the_other(masks, class_id, lowest=0.0, highest=1.0):
    found = []
    for index, mask in enumerate(masks):
        share = np.count_nonzero(mask == class_id) / mask.size
        if not lowest <= share <= highest:
            found.append(index)
    return found


@right(check.suspicious)
def flattened(masks, class_id, lowest=0.0, highest=1.0):
    share = np.mean(masks.reshape(len(masks), -1) == class_id, axis=1)
    outside = np.logical_or(share < lowest, share > highest)
    return np.argwhere(outside)


@wrong(check.suspicious, "equals a limit")
def limits_are_found_too(masks, class_id, lowest=0.0, highest=1.0):
    share = (masks == class_id).mean(axis=(1, 2, 3))
    return np.flatnonzero((share <= lowest) | (share >= highest))


@wrong(check.suspicious, "between the limits")
def inside(masks, class_id, lowest=0.0, highest=1.0):
    share = (masks == class_id).mean(axis=(1, 2, 3))
    return np.flatnonzero((lowest <= share) & (share <= highest))


@wrong(check.suspicious, "Either is enough")
def both_at_once(masks, class_id, lowest=0.0, highest=1.0):
    share = (masks == class_id).mean(axis=(1, 2, 3))
    return np.flatnonzero((share < lowest) & (share > highest))


@wrong(check.suspicious, "Only lowest is used")
def too_little_only(masks, class_id, lowest=0.0, highest=1.0):
    return [i for i, mask in enumerate(masks) if np.mean(mask == class_id) < lowest]


@wrong(check.suspicious, "Only highest is used")
def too_much_only(masks, class_id, lowest=0.0, highest=1.0):
    return [i for i, mask in enumerate(masks) if np.mean(mask == class_id) > highest]


@wrong(check.suspicious, "Divide by all pixels")
def numbers_of_pixels(masks, class_id, lowest=0.0, highest=1.0):
    count = np.sum(masks == class_id, axis=(1, 2, 3))
    return np.flatnonzero((count < lowest) | (count > highest))


@wrong(check.suspicious, "class 0, pet")
def always_the_pet(masks, class_id, lowest=0.0, highest=1.0):
    return one_mask_after_the_other(masks, 0, lowest, highest)


@wrong(check.suspicious, "class 1, background")
def pet_is_one(masks, class_id, lowest=0.0, highest=1.0):
    return one_mask_after_the_other(masks, 1, lowest, highest)


@wrong(check.suspicious, "True or False")
def booleans(masks, class_id, lowest=0.0, highest=1.0):
    share = (masks == class_id).mean(axis=(1, 2, 3))
    return (share < lowest) | (share > highest)


@wrong(check.suspicious, "number of suspicious masks")
def how_many(masks, class_id, lowest=0.0, highest=1.0):
    return len(one_mask_after_the_other(masks, class_id, lowest, highest))


@wrong(check.suspicious, "masks themselves")
def masks_that_were_found(masks, class_id, lowest=0.0, highest=1.0):
    return masks[booleans(masks, class_id, lowest, highest)]


@wrong(check.suspicious, "one too high")
def counted_from_one(masks, class_id, lowest=0.0, highest=1.0):
    return np.flatnonzero(booleans(masks, class_id, lowest, highest)) + 1


@wrong(check.suspicious, "The shape is")
def share_of_all_masks(masks, class_id, lowest=0.0, highest=1.0):
    share = np.mean(masks == class_id)
    return list(range(len(masks))) if share < lowest or share > highest else []


@wrong(check.suspicious, "The shape is")
def share_of_each_row(masks, class_id, lowest=0.0, highest=1.0):
    share = np.mean(masks == class_id, axis=2)
    return np.where((share < lowest) | (share > highest))


def test_a_task_that_waits_for_another_one_is_not_done_yet():
    def needs_normalize(datapoint, image_size=128):
        raise check.NotDone("2.3")

    pytest.importorskip("tensorflow")
    assert check.load_image_train(needs_normalize).state == "not done yet"


def test_checks_print_nothing(capfd):
    pytest.importorskip("tensorflow")
    check.normalize(asserts_by_tensorflow)
    check.load_image_train(bilinear_and_nearest)
    assert capfd.readouterr().out == ""
