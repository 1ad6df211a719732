"""Tasks of the lab on data (chapter 2). Labels in the file: 1 pet, 2 background, 3 border."""

from dataclasses import dataclass, replace

import numpy as np

from labkit import classes
from labkit.check.task import NotDone, Task, array, text_of
from labkit.check.writing import Question

__all__ = ["NotDone"]

# --- 2.1 and 2.2: what the labels mean ---

ROW = np.array([1, 1, 3, 1], "uint8")
TABLE = np.array([[2, 2], [2, 3]], "uint8")
WIDE = np.full((20, 20), 2, "uint8")  # more pixels than uint8 can count


def counts(pixels):
    return np.bincount(np.ravel(pixels), minlength=4)


def shares(pixels):
    return counts(pixels)[1:] / max(1, np.size(pixels))


def shares_that_occur(pixels):
    return np.unique(pixels, return_counts=True)[1] / max(1, np.size(pixels))


label_shares = Task(
    "2.1",
    "label_shares",
    """
`label_shares(pixels)` says how much of some pixels each label takes.

* **in**: labels 1, 2 and 3 in an array of any shape: a whole mask, one row of it, or one pixel.
* **out**: three numbers, the shares of label 1, 2 and 3. A label that does not occur has the share
  0. If there is no pixel at all, all three are 0.
* **example**: `1 1 3 1` gives 0.75, 0 and 0.25.
""",
    cases=((ROW,), (TABLE,), (np.uint8(2),), (WIDE,), (np.zeros((0, 3), "uint8"),)),
    right=shares,
    mistakes=(
        (
            lambda pixels: counts(pixels)[1:],
            "These are counts. A share is a count divided by the number of all pixels.",
        ),
        (
            lambda pixels: counts(pixels)[:3] / max(1, np.size(pixels)),
            "These are the shares of 0, 1 and 2. In the file the labels are 1, 2 and 3.",
        ),
        (
            lambda pixels: counts(pixels) / max(1, np.size(pixels)),
            "Four numbers come out. The first one counts the label 0, which is none.",
        ),
        (
            shares_that_occur,
            "A label that does not occur is left out. There have to be three numbers, always.",
        ),
        (
            lambda pixels: np.sort(shares(pixels))[::-1],
            "The shares are sorted by size. They have to be in the order of the labels.",
        ),
        (
            lambda pixels: counts(pixels)[1:] / np.float64(np.size(pixels)),
            "Without any pixel this divides 0 by 0. All shares are 0 then.",
        ),
        (
            lambda pixels: counts(pixels)[1:] / np.float64(len(pixels)),
            "The length of an array is the number of its rows. How many pixels are there?",
        ),
        (
            lambda pixels: shares(pixels) // 1,
            "A // divides without remainder. A share needs a / for division.",
        ),
        (lambda pixels: 100 * shares(pixels), "This is per cent. A share lies between 0 and 1."),
        (
            lambda pixels: counts(pixels)[1:] % 256 / max(1, np.size(pixels)),
            "Somewhere a count is kept in uint8, which starts anew at 256. Count in integers.",
        ),
        (
            lambda pixels: np.histogram(pixels, bins=3)[0] / max(1, np.size(pixels)),
            "A histogram begins at the smallest label that occurs. Tell it where 1, 2 and 3 lie.",
        ),
    ),
)

RIGHT, DOWN = (0, 1), (1, 0)  # steps: rows, columns
LINE = np.array([[2, 3, 1, 1]], "uint8")
OUTLINE = np.array([[2, 2, 3, 1], [2, 3, 3, 1], [2, 3, 1, 1]], "uint8")


def from_one_side(mask, steps=(RIGHT, DOWN)):
    """How often label i has label j one step further: counts [4, 4]."""
    found = np.zeros((4, 4), int)
    for rows, columns in steps:
        left, right = max(0, -columns), max(0, columns)
        one = mask[: len(mask) - rows, left : mask.shape[1] - right]
        other = mask[rows:, right : mask.shape[1] - left]
        np.add.at(found, (one, other), 1)
    return found


def pairs(mask, steps=(RIGHT, DOWN)):
    """The same from both sides; label 0 is there still."""
    found = from_one_side(mask, steps)
    return found + found.T


def pairs_around(mask):
    """The first pixel of a row is taken for a neighbour of the last one."""
    found = np.zeros((4, 4), int)
    for axis in (0, 1):
        np.add.at(found, (mask, np.roll(mask, -1, axis)), 1)
    return found + found.T


def pairs_less_last_line(mask):
    """Rows and columns are both gone through but for the last one."""
    found = from_one_side(mask[:-1], [RIGHT]) + from_one_side(mask[:, :-1], [DOWN])
    return found + found.T


def each_kind_once(mask):
    """What ``found[one, other] += 1`` does."""
    found = np.sign(from_one_side(mask, [RIGHT])) + np.sign(from_one_side(mask, [DOWN]))
    return found + found.T


def diagonal(found):
    return np.diag(np.diag(found))


ONE_SIDE = "Each pair is counted from one side only. Count it for both of its labels."

neighbour_pairs = Task(
    "2.2",
    "neighbour_pairs",
    """
`neighbour_pairs(mask)` counts which labels lie beside each other.

* **in**: a mask `[H, W]` with the labels 1, 2 and 3.
* **out**: counts `[3, 3]`. Row *i*, column *j* says how often label *i* has label *j* as its
  neighbour: to the left, to the right, above or below. Rows and columns are in the order 1, 2, 3.
* **example**: `2 3 1 1` gives `[[2, 0, 1], [0, 0, 1], [1, 1, 0]]`. Both 1s have a 1 beside them,
  so that this pair counts twice.
""",
    cases=((LINE,), (LINE.T,), (OUTLINE,), (WIDE,)),
    right=lambda mask: pairs(mask)[1:, 1:],
    mistakes=(
        (lambda mask: from_one_side(mask)[1:, 1:], ONE_SIDE),
        (lambda mask: from_one_side(mask).T[1:, 1:], ONE_SIDE),
        (
            lambda mask: (pairs(mask) - diagonal(from_one_side(mask)))[1:, 1:],
            "Two equal neighbours count once here. Each of the two has the other beside it.",
        ),
        (
            lambda mask: (pairs(mask) - diagonal(pairs(mask)))[1:, 1:],
            "Equal neighbours are left out. They belong on the diagonal.",
        ),
        (
            lambda mask: pairs(mask, [RIGHT])[1:, 1:],
            "Only left and right are looked at. A pixel has neighbours above and below, too.",
        ),
        (
            lambda mask: pairs(mask, [DOWN])[1:, 1:],
            "Only above and below are looked at. A pixel has neighbours left and right, too.",
        ),
        (
            lambda mask: pairs(mask, [RIGHT, DOWN, (1, 1), (1, -1)])[1:, 1:],
            "Pixels that touch at a corner are counted. Only sides make neighbours.",
        ),
        (
            lambda mask: pairs_around(mask)[1:, 1:],
            "The first and the last pixel of a row are taken for neighbours. np.roll does that.",
        ),
        (
            lambda mask: pairs_less_last_line(mask)[1:, 1:],
            "The last row has neighbours to its right as well, and the last column below.",
        ),
        (
            lambda mask: each_kind_once(mask)[1:, 1:],
            "counts[one, other] += 1 adds 1 to a place once, however often the place is named.",
        ),
        (pairs, "The counts are [4, 4]: there is a row and a column of a label 0, which is none."),
        (
            lambda mask: pairs(mask)[:3, :3],
            "Rows and columns are those of 0, 1 and 2. In the file the labels are 1, 2 and 3.",
        ),
        (
            lambda mask: pairs(mask)[1:, 1:] % 256,
            "Somewhere a count is kept in uint8, which starts anew at 256. Count in integers.",
        ),
        (
            lambda mask: pairs(mask)[1:, 1:] / pairs(mask).sum(),
            "These are shares. Counts are asked for.",
        ),
    ),
)

# --- 2.3 and 2.4: what a pipeline does with each example ---

NO_VALUES = (
    "This works by itself, but not in a tf.data pipeline, where tensors have no values yet. "
    "Python's if and assert, and NumPy, need values; functions of TensorFlow do not."
)
MIXED_TYPES = (
    "uint8 and float meet somewhere. Is the mask still uint8 after each step? "
    "What mixes labels makes it float."
)


@dataclass(frozen=True)
class PipelineTask(Task):
    """A function that gives an image and a mask, and has to do so in a ``tf.data`` pipeline."""

    def __call__(self, function):
        """Called with tensors first, which is quick and tells mistakes apart, then mapped."""
        answer = super().__call__(function)
        if not answer.passed:
            return answer
        mapped = replace(
            self,
            cases=(self.cases[0], self.cases[-1]),  # each one takes some time
            use=lambda function, *case: self.use(in_pipeline(function), *case),
            mistakes=(),
        )
        answer = Task.__call__(mapped, function)
        return answer if answer.passed else replace(answer, hint=NO_VALUES)

    def fault(self, outcome, wanted):
        words = text_of(outcome.error)
        if not wanted.error and "float" in words and "uint8" in words:
            return MIXED_TYPES
        return super().fault(outcome, wanted)


def in_pipeline(function):
    """The same function, mapped over a dataset of one example; numbers are no part of it."""

    def mapped(*case):
        import tensorflow as tf

        example = tuple(part for part in case if not isinstance(part, int))
        options = case[len(example) :]
        dataset = tf.data.Dataset.from_tensors(example)
        try:
            return next(iter(dataset.map(lambda *parts: function(*parts, *options))))
        except Exception as error:  # its first lines say where, the last one says what
            raise RuntimeError(str(error).strip().splitlines()[-1].strip()) from error

    return mapped


def with_types(function, *case):
    """Image and mask that come out, each with the kind of its numbers."""
    import tensorflow as tf

    found = function(*(part if isinstance(part, int) else constant(tf, part) for part in case))
    if not isinstance(found, tuple | list) or len(found) != 2:
        return found
    return tuple((part, kind(part)) for part in found)


def constant(tf, part):
    """Arrays as tensors, as they come out of a dataset."""
    return tf.nest.map_structure(tf.constant, part)


def kind(values):
    found = array(values)
    kinds = {"f": "float", "i": "whole numbers", "u": "whole numbers"}
    return "no numbers" if found is None else kinds.get(found.dtype.kind, str(found.dtype))


COLOURS = np.array([[[0, 10, 20], [100, 110, 120], [235, 245, 255]]], "uint8")
LABELS = np.array([[[1], [2], [3]]], "uint8")


def as_float(image):
    import tensorflow as tf

    return tf.cast(image, "float32")


def whole(mask):
    import tensorflow as tf

    return tf.cast(mask, "int32")


def checked(change):
    """A change of image and mask, after an error if there is a label below 1."""

    def function(input_image, input_mask):
        import tensorflow as tf

        tf.debugging.assert_greater_equal(whole(input_mask), 1)
        return change(input_image, input_mask)

    return function


def lowered(image, mask):
    return as_float(image), mask - 1


def cut_off(image, mask):
    import tensorflow as tf

    return as_float(image), tf.maximum(mask, 1) - 1


NORMALIZE_MISTAKES = (
    (
        lambda image, mask: (as_float(image) / 255, mask - 1),
        "The image is divided by 255. It has to stay 0 to 255: the model rescales.",
    ),
    (
        lambda image, mask: (as_float(image) / 127.5 - 1, mask - 1),
        "The image goes from -1 to 1. It has to stay 0 to 255: the model rescales.",
    ),
    (
        lambda image, mask: (image, mask - 1),
        "The image is still uint8. Only its type has to change, not its values.",
    ),
    (
        lambda image, mask: (as_float(image), mask),
        "The labels are still 1, 2, 3. They have to become 0, 1, 2.",
    ),
    (
        lambda image, mask: (as_float(image), as_float(mask) - 1),
        "The labels have become float. They are numbers of classes, so they stay whole.",
    ),
    (
        lambda image, mask: (as_float(image), mask / 255),
        "The mask is divided like an image. Its numbers are labels, not brightness.",
    ),
    (
        lambda image, mask: (mask - 1, as_float(image)),
        "Image and mask have changed places. The image comes first.",
    ),
)

normalize = PipelineTask(
    "2.3",
    "normalize",
    """
`normalize(input_image, input_mask)` prepares one image and its mask. It will run in a `tf.data`
pipeline, where tensors have no values yet; so a Python `if` can't ask for them. TensorFlow's own
functions can, such as those of `tf.debugging`.

* **in**: two tensors, the image uint8 or float with values 0 to 255, the mask uint8 with the labels
  1, 2, 3.
* **out**: a pair. The image as float, its values *unchanged*, since the models rescale; the mask in
  whole numbers, with 0, 1, 2 for 1, 2, 3. A mask with a 0 in it must end in an error.
* **example**: an image with 255 and a mask of `1 2 3` give 255.0 and `0 1 2`. The mask `0 1 2` is
  refused.
""",
    cases=((COLOURS, LABELS), (COLOURS, LABELS[:, ::-1]), (COLOURS, LABELS - 1)),
    right=checked(lowered),
    use=with_types,
    mistakes=(
        *((checked(change), hint) for change, hint in NORMALIZE_MISTAKES),
        *NORMALIZE_MISTAKES,
        (
            lowered,
            "A mask with a 0 is not refused: in uint8, 0 - 1 is 255. Ask before you subtract.",
        ),
        (
            lambda image, mask: (as_float(image), whole(mask) - 1),
            "A mask with a 0 is not refused: its 0 becomes -1, which is no class.",
        ),
        (cut_off, "A 0 in the mask quietly becomes a class. It has to end in an error."),
    ),
)


def picture(height, width):
    """An example with fine patterns and a mask of three labels, all of them in small regions."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([37 * x * x + 11 * y, 53 * y * y + 5 * x, 29 * x * y], axis=-1) % 256
    mask = 1 + (x // 2 + y // 3) % 3
    return {
        "image": image.astype("uint8"),
        "segmentation_mask": mask[..., np.newaxis].astype("uint8"),
    }


def loaded(image_method="bilinear", mask_method="nearest", antialias=True, end=lowered):
    """``load_image_train`` with other settings."""

    def function(datapoint, image_size=128):
        import tensorflow as tf

        size = (image_size, image_size)
        image = tf.image.resize(datapoint["image"], size, image_method, antialias=antialias)
        mask = tf.image.resize(datapoint["segmentation_mask"], size, mask_method)
        return end(image, mask)

    return function


def other_resize(name, **mask_options):
    """With another function of ``tf.image`` that makes pictures of one size."""

    def function(datapoint, image_size=128):
        import tensorflow as tf

        resize, size = getattr(tf.image, name), (image_size, image_size)
        image = resize(datapoint["image"], *size)
        mask = resize(datapoint["segmentation_mask"], *size, **mask_options)
        return lowered(image, mask)

    return function


def truncated(image, mask):
    return as_float(image), whole(mask) - 1


def rounded(image, mask):
    import tensorflow as tf

    return as_float(image), whole(tf.round(mask)) - 1


MIXED = "between pet (1) and border (3) a background (2) appears."
MIXED_AND_CUT = f"The mask's labels were mixed before they became whole numbers again: {MIXED}"
# Settings of ``loaded``, each a mistake with antialias and without.
LOAD_MISTAKES = (
    (
        {"mask_method": "bilinear"},
        f"The mask is resized like an image, which mixes labels: {MIXED}",
    ),
    ({"mask_method": "bilinear", "end": truncated}, MIXED_AND_CUT),
    ({"mask_method": "bilinear", "end": rounded}, MIXED_AND_CUT),
    (
        {"image_method": "nearest"},
        "The image is resized by nearest neighbour. That is for masks; colours may be mixed.",
    ),
    (
        {"image_method": "nearest", "mask_method": "bilinear"},
        "The two ways have changed places: the image is resized by nearest neighbour, the mask "
        "bilinearly.",
    ),
    (
        {"end": lambda image, mask: (image, mask)},
        "The labels are still 1, 2, 3. What makes 0, 1, 2 of them?",
    ),
    (
        {"end": lambda image, mask: (image / 255, mask - 1)},
        "The image is divided by 255. It has to stay 0 to 255: the model rescales.",
    ),
)

load_image_train = PipelineTask(
    "2.4",
    "load_image_train",
    """
`load_image_train(datapoint, image_size=128)` makes a TFDS example ready for the model. Like
`normalize`, which it calls at its end, it has to work in a pipeline.

* **in**: a dict with an `image` `[H, W, 3]` and a `segmentation_mask` `[H, W, 1]`, both uint8, and
  a size S.
* **out**: a pair: the image float `[S, S, 3]`, still 0 to 255, resized bilinearly with
  `antialias=True`; the mask in whole numbers `[S, S, 1]`, resized by nearest neighbour, with the
  labels 0, 1, 2.
* **example**: a photograph of 500 x 375 pixels becomes `[128, 128, 3]`, and no label appears in its
  mask that was not there.
""",
    cases=((picture(9, 14), 5), (picture(14, 9), 6), (picture(6, 7), 12)),
    right=loaded(),
    use=with_types,
    mistakes=(
        *(
            (loaded(antialias=smooth, **settings), hint)
            for settings, hint in LOAD_MISTAKES
            for smooth in (True, False)
        ),
        (
            loaded(antialias=False),
            "The image is not smoothed before it shrinks. The resizing has an argument for it.",
        ),
        (
            lambda datapoint, image_size=128: loaded()(datapoint, 128),
            "The size is always 128. What does image_size say?",
        ),
        (
            other_resize("resize_with_crop_or_pad"),
            "The picture is cut out or padded, and not resized: parts of the animal are lost.",
        ),
        (
            other_resize("resize_with_pad", method="nearest"),
            "The picture is padded, to keep its proportions. Here it is squeezed into a square.",
        ),
        (
            lambda datapoint, image_size=128: lowered(
                loaded()(datapoint, image_size)[0], datapoint["segmentation_mask"]
            ),
            "The mask has kept its size. It has to be resized with its image.",
        ),
    ),
)

# --- 2.5: image and mask together ---

IMAGE = (np.arange(2 * 4 * 3).reshape(2, 4, 3) * 10).astype("uint8")
MASK = np.array([[0, 0, 2, 1], [0, 2, 1, 1]], "uint8")[..., np.newaxis]
SQUARE = picture(5, 5)


def changed(image_change, mask_change):
    return lambda image, mask: (image_change(image), mask_change(mask))


def unchanged(values):
    return values


flip = Task(
    "2.5",
    "flip",
    """
`flip(image, mask)` mirrors a picture left to right, and its mask with it.

* **in**: an image `[H, W, 3]` and its mask `[H, W, 1]`.
* **out**: a pair of the same shapes, image first. What was at the left edge is at the right edge.
* **example**: the mask's row `0 0 2 1` becomes `1 2 0 0`.
""",
    cases=((IMAGE, MASK), (SQUARE["image"], SQUARE["segmentation_mask"] - 1)),
    right=changed(np.fliplr, np.fliplr),
    mistakes=(
        (
            changed(np.fliplr, unchanged),
            "The mask stays where it was, so that its labels lie on the wrong pixels.",
        ),
        (changed(unchanged, np.fliplr), "Only the mask is flipped. The image has to move with it."),
        (changed(unchanged, unchanged), "Nothing has moved. Is the flipped array what you return?"),
        (
            changed(np.flipud, np.flipud),
            "Both stand on their heads: rows are axis 0, columns axis 1.",
        ),
        (
            changed(np.fliplr, np.flipud),
            "The mask is flipped upside down, the image left to right. Flip both along one axis.",
        ),
        (
            changed(np.flipud, np.fliplr),
            "The image is flipped upside down, the mask left to right. Flip both along one axis.",
        ),
        (
            changed(lambda image: image[::-1, ::-1], lambda mask: mask[::-1, ::-1]),
            "Both are turned by 180 degrees: rows and columns are reversed. Only left and right "
            "change.",
        ),
        (
            changed(lambda image: image[..., ::-1], unchanged),
            "The last axis is that of the colours: red and blue have changed places.",
        ),
        (
            changed(np.flip, np.flip),
            "All axes are reversed, colours as well. Only left and right change.",
        ),
        (
            changed(lambda image: np.swapaxes(image, 0, 1), lambda mask: np.swapaxes(mask, 0, 1)),
            "Rows and columns have changed places, as in a transposed matrix. Mirror the picture.",
        ),
        (
            lambda image, mask: (np.fliplr(mask), np.fliplr(image)),
            "Image and mask have changed places. The image comes first.",
        ),
    ),
)

# --- 2.6 and 2.7: masks that may be wrong ---


def filled(*numbers):
    """Masks [N, 4, 4, 1] with so many pixels of 16 in pet and in border, the rest background."""
    masks = np.full((len(numbers), 16), classes.BACKGROUND, "uint8")
    for mask, (pet, border) in zip(masks, numbers, strict=True):
        mask[:pet] = classes.PET
        mask[pet : pet + border] = classes.BORDER
    return masks.reshape(-1, 4, 4, 1)


THREE = filled((0, 0), (4, 2), (8, 3))
MANY = filled((5, 2), (0, 0), (1, 9), (4, 4), (12, 4), (3, 0), (0, 16), (8, 2))


def outside(masks, class_id, lowest=0.0, highest=1.0):
    share = share_of(masks, class_id)
    return np.flatnonzero((share < lowest) | (share > highest))


def share_of(masks, class_id):
    return np.mean(np.asarray(masks) == class_id, axis=(1, 2, 3))


def where(test):
    """Indices of masks whose share passes a test with both limits."""

    def function(masks, class_id, lowest=0.0, highest=1.0):
        return np.flatnonzero(test(share_of(masks, class_id), lowest, highest))

    return function


def other_class(number):
    return lambda masks, class_id, *limits: outside(masks, number, *limits)


suspicious = Task(
    "2.6",
    "suspicious",
    """
`suspicious(masks, class_id, lowest=0.0, highest=1.0)` finds masks in which a class takes too little
or too much.

* **in**: masks `[N, H, W, 1]`, a class, and two limits. Each mask has a share of its pixels in that
  class.
* **out**: the indices of the masks whose share is below `lowest` or above `highest`, in rising
  order. A share that equals a limit is not suspicious.
* **example**: three masks have the pet shares 0, 0.25 and 0.5. For class 0, `lowest=0.25` gives
  index 0, and `highest=0.3` gives index 2.
""",
    cases=(
        (THREE, 0, 0.25),
        (THREE, 0, 0.0, 0.3),
        (MANY, 0, 0.1),
        (MANY, 0, 0.25, 0.5),
        (MANY, 2, 0.0, 0.25),
        (MANY, 1, 0.1, 0.9),
        (MANY, 2),
    ),
    right=outside,
    mistakes=(
        (
            where(lambda share, lowest, highest: (share <= lowest) | (share >= highest)),
            "A share that equals a limit is found as well. Below and above leave it out.",
        ),
        (
            where(lambda share, lowest, highest: (share >= lowest) & (share <= highest)),
            "These are the masks between the limits. The others are asked for.",
        ),
        (
            where(lambda share, lowest, highest: (share < lowest) & (share > highest)),
            "No share is below one limit and above the other. Either is enough.",
        ),
        (
            where(lambda share, lowest, highest: share < lowest),
            "Only lowest is used. A share above highest is suspicious, too.",
        ),
        (
            where(lambda share, lowest, highest: share > highest),
            "Only highest is used. A share below lowest is suspicious, too.",
        ),
        (
            where(lambda share, lowest, highest: (16 * share < lowest) | (16 * share > highest)),
            "Numbers of pixels are compared with limits that are shares. Divide by all pixels.",
        ),
        *(
            (
                other_class(number),
                f"Whatever class_id says, this looks at class {number}, {name}. Compare the masks "
                "with class_id.",
            )
            for number, name in enumerate(classes.NAMES)
        ),
        (
            lambda masks, class_id, lowest=0.0, highest=1.0: np.isin(
                np.arange(len(masks)), outside(masks, class_id, lowest, highest)
            ),
            "This says True or False for each mask. Indices are asked for.",
        ),
        (
            lambda *case: len(outside(*case)),
            "This is the number of suspicious masks. Which ones are they?",
        ),
        (
            lambda *case: case[0][outside(*case)],
            "These are the masks themselves. Their indices are asked for.",
        ),
        (
            lambda *case: share_of(*case[:2])[outside(*case)],
            "These are shares. The indices of the masks are asked for.",
        ),
        (
            lambda *case: outside(*case) + 1,
            "The indices are one too high. Python counts from 0.",
        ),
    ),
)

which_limits = Question(
    "2.7",
    "which_limits",
    """
Which masks of the train part are wrong? Try `suspicious` with the pet and several values of
`lowest`, then with the border and several values of `highest`. The cells above are a start.
Look at what you find. Choose one limit for each class. How many of the masks that you find are
wrong, and what is it that is wrong with them? What should be done with them, and what not?

If you have no photographs: drawn pets have no wrong masks. Say which limits find none of them, and
why these need not be good limits for photographs.

Write your answer into `which_limits`, four sentences or more.
""",
    words=40,
)
