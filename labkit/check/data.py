"""Tasks of the lab on data. Labels in the file: 1 pet, 2 background, 3 border."""

from contextlib import redirect_stdout
from io import StringIO

import numpy as np

from labkit import classes
from labkit.check.answer import NotDone
from labkit.check.engine import ERROR_HINTS, task
from labkit.check.mistakes import SWAPPED_PAIR, TOO_LARGE_BY_ONE, Edit, edits
from labkit.check.question import Question
from labkit.check.text import as_array

__all__ = ["NotDone"]

ROW = np.array([1, 1, 3, 1], "uint8")
TABLE = np.array([[2, 2], [2, 3]], "uint8")
WIDE = np.full((20, 20), 2, "uint8")  # more pixels than uint8 can count


@task(
    "2.1",
    cases=((ROW,), (TABLE,), (np.uint8(2),), (WIDE,), (np.zeros((0, 3), "uint8"),)),
    mistakes=edits("""
        counts[1:] / max(1, np.size(pixels)) => counts[1:]
            These are counts. Divide them by the number of pixels.
        counts[1:] => counts[:3]
            These are the shares of 0, 1 and 2. In the file the labels are 1, 2 and 3.
        counts[1:] => counts
            Four values are returned. The first one is for 0, which is not a label.
        counts[1:] => counts[counts > 0]
            A label that does not occur is left out. Always return three values.
        counts[1:] => np.sort(counts[1:])[::-1]
            The shares are sorted by size. Return them in the order of the labels.
        max(1, np.size(pixels)) => np.size(pixels)
            An empty array gives 0/0. All shares are 0 then.
        np.size(pixels) => len(pixels)
            The length of an array is its number of rows, not of pixels.
        counts[1:] / => counts[1:] //
            // drops the remainder. A share needs / for division.
        counts[1:] => counts[1:] % 256
            A count is kept in uint8, which wraps around at 256. Count in a larger integer type.
        np.bincount(np.ravel(pixels), minlength=4) => np.append(0, np.histogram(pixels, 3)[0])
            A histogram's bins start at the smallest value in the array. Set the bin edges.
        counts[1:] => 100 * counts[1:]
            This is a percentage. A share lies between 0 and 1.
    """),
)
def label_shares(pixels):
    counts = np.bincount(np.ravel(pixels), minlength=4)
    return counts[1:] / max(1, np.size(pixels))


LINE = np.array([[2, 3, 1, 1]], "uint8")
OUTLINE = np.array([[2, 2, 3, 1], [2, 3, 3, 1], [2, 3, 1, 1]], "uint8")


@task(
    "2.2",
    cases=((LINE,), (LINE.T,), (OUTLINE,), (WIDE,)),
    mistakes=edits("""
        counts + counts.T => counts
            Each pair is counted from one side only. Count it for both of its labels.
        counts + counts.T => counts.T
            Each pair is counted from one side only. Count it for both of its labels.
        counts + counts.T => counts + counts.T * (1 - np.eye(4, dtype=int))
            Two equal neighbors count once here. Each of them is a neighbor of the other.
        counts + counts.T => (counts + counts.T) * (1 - np.eye(4, dtype=int))
            Pairs of equal labels are missing. They belong on the diagonal.
        (across, down) => (across,)
            Only left and right neighbors are counted. Count those above and below as well.
        (across, down) => (down,)
            Only neighbors above and below are counted. Count left and right ones as well.
        down) => down, (mask[:-1, :-1], mask[1:, 1:]), (mask[:-1, 1:], mask[1:, :-1]))
            Diagonal neighbors are counted. Pixels that share only a corner are not neighbors.
        (across, down) => ((mask, np.roll(mask, -1, 1)), (mask, np.roll(mask, -1, 0)))
            Pixels at opposite edges count as neighbors. np.roll wraps around.
        (across, down) => ((mask[:-1, :-1], mask[:-1, 1:]), (mask[:-1, :-1], mask[1:, :-1]))
            Pairs within the last row and within the last column are missing.
        np.add.at(counts, (one, other), 1) => counts[one, other] += 1
            counts[one, other] += 1 adds 1 only once for each index, even if it is repeated.
        return counts[1:, 1:] => return counts
            The shape is [4, 4]. The first row and column are for 0, which is not a label.
        counts[1:, 1:] => counts[:3, :3]
            Rows and columns are those of 0, 1 and 2. In the file the labels are 1, 2 and 3.
        counts[1:, 1:] => counts[1:, 1:] % 256
            A count is kept in uint8, which wraps around at 256. Count in a larger integer type.
        counts[1:, 1:] => counts[1:, 1:] / counts.sum()
            These are shares. Return counts.
    """),
)
def neighbor_pairs(mask):
    across = mask[:, :-1], mask[:, 1:]
    down = mask[:-1], mask[1:]
    counts = np.zeros((4, 4), int)
    for one, other in (across, down):
        np.add.at(counts, (one, other), 1)
    counts = counts + counts.T
    return counts[1:, 1:]


IN_PIPELINE = "in a tf.data pipeline"  # ends a case to be mapped; not passed to the function
NO_VALUES = ERROR_HINTS["NotInPipeline"]


class NotInPipeline(RuntimeError):
    """A function raises in ``tf.data.Dataset.map``."""


def image_and_mask(function, *case):
    """The image and the mask that are returned, each with its kind of numbers."""
    import tensorflow as tf

    in_pipeline = isinstance(case[-1], str)
    arguments = tf.nest.map_structure(
        lambda part: tf.constant(part) if isinstance(part, np.ndarray) else part,
        case[:-1] if in_pipeline else case,
    )
    pair = mapped(function, *arguments) if in_pipeline else function(*arguments)
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        return pair
    return tuple((part, kind(part)) for part in pair)


def mapped(function, *arguments):
    """The function, mapped over a dataset of one example; integers are not part of it."""
    import tensorflow as tf

    example = tuple(part for part in arguments if not isinstance(part, int))
    options = arguments[len(example) :]
    dataset = tf.data.Dataset.from_tensors(example)
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")  # AutoGraph logs and prints that it can't read a mutant's source
    try:
        with redirect_stdout(StringIO()):
            return next(iter(dataset.map(lambda *parts: function(*parts, *options))))
    except Exception as error:  # its last line says what is wrong, the others say where
        raise NotInPipeline(str(error).strip().splitlines()[-1].strip()) from error
    finally:
        logger.setLevel(level)


def kind(values):
    array = as_array(values)
    if array is None:
        return "not numeric"
    return {"f": "float", "i": "integer", "u": "integer"}.get(array.dtype.kind, str(array.dtype))


COLORS = np.array([[[0, 10, 20], [100, 110, 120], [235, 245, 255]]], "uint8")
LABELS = np.array([[[1], [2], [3]]], "uint8")


@task(
    "2.3",
    cases=(
        (COLORS, LABELS),
        (COLORS, LABELS[:, ::-1]),
        (COLORS, LABELS - 1),
        (COLORS, LABELS, IN_PIPELINE),
        (COLORS, LABELS - 1, IN_PIPELINE),
    ),
    adapter=image_and_mask,
    mistakes=(
        Edit("tf.debugging.assert_positive(input_mask)", "assert np.min(input_mask)", NO_VALUES),
        *edits("""
            tf.cast(input_image, tf.float32) => tf.cast(input_image, tf.float32) / 255
                The image is divided by 255. Keep its values: the model rescales.
            tf.cast(input_image, tf.float32) => tf.cast(input_image, tf.float32) / 127.5 - 1
                The image is scaled to [-1, 1]. Keep its values: the model rescales.
            tf.cast(input_image, tf.float32) => input_image
                The image is still uint8. Change its type, but not its values.
            input_mask - 1 => input_mask
                The labels are still 1, 2, 3. They have to become 0, 1, 2.
            input_mask - 1 => tf.cast(input_mask, tf.float32) - 1
                The labels are float. Class ids need an integer type.
            input_mask - 1 => input_mask / 255
                The mask is divided like an image. Its values are labels, not intensities.
            tf.debugging.assert_positive(input_mask) => pass
                A mask with a 0 is accepted: in uint8, 0 - 1 is 255. Check before you subtract.
            tf.debugging.assert_positive(input_mask) => input_mask = tf.cast(input_mask, tf.int32)
                A mask with a 0 is accepted: its 0 becomes -1, which is not a class.
            tf.debugging.assert_positive(input_mask) => input_mask = tf.maximum(input_mask, 1)
                A 0 in the mask silently becomes a class. It has to raise an error.
        """),
        SWAPPED_PAIR,
    ),
)
def normalize(input_image, input_mask):
    import tensorflow as tf

    tf.debugging.assert_positive(input_mask)
    return tf.cast(input_image, tf.float32), input_mask - 1


def picture(height, width):
    """An example with a fine pattern, and a mask with small regions of all three labels."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([37 * x * x + 11 * y, 53 * y * y + 5 * x, 29 * x * y], axis=-1) % 256
    mask = 1 + (x // 2 + y // 3) % 3
    return {
        "image": image.astype("uint8"),
        "segmentation_mask": mask[..., np.newaxis].astype("uint8"),
    }


@task(
    "2.4",
    cases=(
        (picture(9, 14), 5),
        (picture(14, 9), 6),
        (picture(6, 7), 12),
        (picture(9, 14), 5, IN_PIPELINE),
        (picture(6, 7), 12, IN_PIPELINE),
    ),
    adapter=image_and_mask,
    mistakes=(
        Edit('datapoint["image"]', 'datapoint["image"].numpy()', NO_VALUES),
        *edits("""
            resize(mask, size, method="nearest") => tf.cast(resize(mask, size), tf.uint8)
                Casting does not undo interpolation: labels appear that were not in the mask.
            resize(mask, size, method="nearest") => tf.cast(tf.round(resize(mask, size)), tf.uint8)
                Rounding does not undo interpolation: labels appear that were not in the mask.
            resize(mask, size, method="nearest") => resize(mask, size)
                Interpolation mixes labels: between pet (1) and border (3), background (2) appears.
            resize(mask, size, method="nearest") => mask
                The mask is not resized. It needs the size of its image.
            antialias=True => method="nearest"
                The image is resized by nearest neighbor. That is for masks; colors can be mixed.
            antialias=True => antialias=False
                The image is not smoothed before it shrinks. The resizing has an argument for it.
            mask - 1 => mask
                The labels are still 1, 2, 3. They have to become 0, 1, 2.
            tf.cast(image, tf.float32) => image / 255
                The image is divided by 255. Keep its values: the model rescales.
            size = (image_size, image_size) => size = (128, 128)
                The size is always 128, whatever image_size is.
            tf.image.resize => lambda x, size, **_: tf.image.resize_with_crop_or_pad(x, *size)
                The image is cropped or padded, not resized: parts of the animal are lost.
            tf.image.resize => lambda x, size, **how: tf.image.resize_with_pad(x, *size, **how)
                The image is padded to keep its proportions. Resize it to a square without padding.
        """),
    ),
)
def load_image_train(datapoint, image_size=128):
    import tensorflow as tf

    resize = tf.image.resize
    size = (image_size, image_size)
    image, mask = datapoint["image"], datapoint["segmentation_mask"]
    image = resize(image, size, antialias=True)
    mask = resize(mask, size, method="nearest")
    return tf.cast(image, tf.float32), mask - 1


IMAGE = (np.arange(2 * 4 * 3).reshape(2, 4, 3) * 10).astype("uint8")
MASK = np.array([[0, 0, 2, 1], [0, 2, 1, 1]], "uint8")[..., np.newaxis]
SQUARE = picture(5, 5)


@task(
    "2.5",
    cases=((IMAGE, MASK), (SQUARE["image"], SQUARE["segmentation_mask"] - 1)),
    mistakes=(
        *edits("""
            mask[:, ::-1] => mask
                The mask is not flipped, so its labels are at the wrong pixels.
            image[:, ::-1] => image
                Only the mask is flipped. Flip the image as well.
            [:, ::-1] =>
                Nothing is flipped. Do you return the flipped arrays?
            [:, ::-1] => [::-1]
                Both are upside down. Axis 0 is rows, axis 1 is columns.
            mask[:, ::-1] => mask[::-1]
                The mask is flipped vertically, the image horizontally. Use the same axis for both.
            image[:, ::-1] => image[::-1]
                The image is flipped vertically, the mask horizontally. Use the same axis for both.
            [:, ::-1] => [::-1, ::-1]
                Both are rotated by 180 degrees: rows and columns are reversed. Reverse one axis.
            [:, ::-1] => [..., ::-1]
                The last axis is the color channels: red and blue are swapped.
            [:, ::-1] => [::-1, ::-1, ::-1]
                All axes are reversed, color channels included. Reverse one axis.
            [:, ::-1] => .swapaxes(0, 1)
                Rows and columns are swapped, as in a transposed matrix. Mirror the image.
        """),
        SWAPPED_PAIR,
    ),
)
def flip(image, mask):
    return image[:, ::-1], mask[:, ::-1]


def make_masks(*counts):
    """Masks [N, 4, 4, 1] with these numbers of pet and border pixels, the rest background."""
    masks = np.full((len(counts), 16), classes.BACKGROUND, "uint8")
    for mask, (pet, border) in zip(masks, counts, strict=True):
        mask[:pet] = classes.PET
        mask[pet : pet + border] = classes.BORDER
    return masks.reshape(-1, 4, 4, 1)


THREE = make_masks((0, 0), (4, 2), (8, 3))
MANY = make_masks((5, 2), (0, 0), (1, 9), (4, 4), (12, 4), (3, 0), (0, 16), (8, 2))


@task(
    "2.6",
    cases=(
        (THREE, 0, 0.25),
        (THREE, 0, 0.0, 0.3),
        (MANY, 0, 0.1),
        (MANY, 0, 0.25, 0.5),
        (MANY, 2, 0.0, 0.25),
        (MANY, 1, 0.1, 0.9),
        (MANY, 2),
    ),
    strict=True,
    mistakes=(
        *edits("""
            shares < lowest => shares <= lowest
                A share that equals a limit is included. Exclude it.
            shares > highest => shares >= highest
                A share that equals a limit is included. Exclude it.
            np.flatnonzero(outside) => np.flatnonzero(~outside)
                These are the masks between the limits. Return the others.
            (shares < lowest) | (shares > highest) => (shares < lowest) & (shares > highest)
                No share is below lowest and above highest. One of the two is enough.
            | (shares > highest) =>
                Only lowest is used. A share above highest is suspicious as well.
            (shares < lowest) | =>
                Only highest is used. A share below lowest is suspicious as well.
            np.mean => np.sum
                Pixel counts are compared with limits that are shares. Divide by all pixels.
            np.flatnonzero(outside) => np.argwhere(outside)
                The shape is [n, 1]. Return a one-dimensional array.
            np.flatnonzero(outside) => np.flatnonzero(outside)[np.newaxis]
                The shape is [1, n]. np.where returns a tuple with one array for each axis.
            np.flatnonzero(outside) => outside
                These are booleans, one for each mask. Return indices.
            np.flatnonzero(outside) => np.sum(outside)
                This is the number of suspicious masks. Return their indices.
            np.flatnonzero(outside) => masks[outside]
                These are the masks themselves. Return their indices.
            np.flatnonzero(outside) => shares[outside]
                These are shares. Return the indices of the masks.
        """),
        *(
            Edit(
                "== class_id",
                f"== {number}",
                f"Whatever class_id is, the share is that of class {number}, {name}. Compare the "
                "masks with class_id.",
            )
            for number, name in enumerate(classes.NAMES)
        ),
        TOO_LARGE_BY_ONE,
    ),
)
def suspicious(masks, class_id, lowest=0.0, highest=1.0):
    shares = np.mean(masks == class_id, axis=(1, 2, 3))
    outside = (shares < lowest) | (shares > highest)
    return np.flatnonzero(outside)


which_limits = Question("2.7", "which_limits", words=40)
