"""A cascade: a first network finds the animal, a second one looks at that part more closely.

Both are any models of this course. The second sees each animal cut out of a larger version of its
photo, so that a small animal fills its whole view; what it says is put back in its place.
"""

import numpy as np
from keras import ops
from PIL import Image

from labkit import classes, data

MARGIN = 0.15  # of the animal's height and width, kept on each side


def boxes(masks, margin=MARGIN):
    """Where the animals are: float64 ``[N, 4]``, top, left, bottom, right as shares of the side.

    Args:
        masks: ``[N, S, S, 1]``, true or predicted; whatever is not background counts.
        margin: of the animal's size, added on each side as far as the picture goes.

    The whole picture where a mask is background alone.
    """
    found = []
    for mask in np.asarray(masks)[..., 0]:
        rows, columns = (np.flatnonzero((mask != classes.BACKGROUND).any(axis)) for axis in (1, 0))
        if len(rows) == 0:
            found.append([0.0, 0.0, 1.0, 1.0])
            continue
        ends = np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]) / np.tile(
            mask.shape, 2
        )
        found.append(_widened(ends, margin))
    return np.array(found)


def whole(count):
    """Boxes ``[N, 4]`` that hold whole pictures."""
    return np.tile([0.0, 0.0, 1.0, 1.0], (count, 1))


def _widened(box, margin):
    """A box with a margin, inside the picture."""
    more = margin * np.tile(box[2:] - box[:2], 2) * [-1, -1, 1, 1]
    return np.clip(box + more, 0, 1)


def crops(split, found, image_size=128):
    """What the second network sees: a split of the parts in the boxes, each S x S pixels.

    Args:
        split: a ``labkit.data.Split``, best of larger images than S.
        found: boxes ``[N, 4]``.
        image_size: S.
    """
    parts = []
    for image, mask, box in zip(split.images, split.masks, found, strict=True):
        image = cut(Image.fromarray(image), box, image_size, Image.Resampling.BILINEAR)
        mask = cut(Image.fromarray(mask[..., 0]), box, image_size, Image.Resampling.NEAREST)
        parts.append((image, mask[..., np.newaxis]))
    images, masks = (np.stack(part) for part in zip(*parts, strict=True))
    return data.Split(images, masks, split.table)


def cut(picture, box, image_size, resample):
    """A part of a PIL picture as an array, S x S pixels."""
    top, left, bottom, right = box
    width, height = picture.size
    edges = (left * width, top * height, right * width, bottom * height)
    return np.asarray(picture.resize((image_size, image_size), resample, box=edges))


def paste(logits, parts, found):
    """Logits of whole pictures ``[N, S, S, C]``, with others in their boxes.

    A pixel belongs to a box if its centre does.

    Args:
        logits: of the whole pictures, ``[N, S, S, C]``.
        parts: of what is in the boxes, in any resolution, ``[N, P, P, C]``.
        found: boxes ``[N, 4]``.
    """
    joined = np.array(logits)
    side, small = joined.shape[1], parts.shape[1]
    centres = (np.arange(side) + 0.5) / side
    for whole, part, (top, left, bottom, right) in zip(joined, parts, found, strict=True):
        rows = np.flatnonzero((top <= centres) & (centres <= bottom))
        columns = np.flatnonzero((left <= centres) & (centres <= right))
        y = (centres[rows] - top) / (bottom - top) * small - 0.5
        x = (centres[columns] - left) / (right - left) * small - 0.5
        whole[np.ix_(rows, columns)] = between(part, y, x)
    return joined


def between(values, y, x):
    """Values ``[P, P, C]`` read between their pixels, at rows y and columns x (bilinear)."""
    last = len(values) - 1
    for axis, places in enumerate((np.clip(y, 0, last), np.clip(x, 0, last))):
        before = np.floor(places).astype(int)
        after = np.minimum(before + 1, last)
        share = (places - before).reshape(-1, *[1] * (2 - axis))
        values = (1 - share) * values.take(before, axis) + share * values.take(after, axis)
    return values


class Cascade:
    """Two networks that predict together, in the place of one model.

    Args:
        first: a model for images of some size, image -> logits; finds where the animal is.
        second: a model, trained on parts that were cut out (``crops``); says how it looks there.
    """

    def __init__(self, first, second):
        self.first, self.second = first, second

    def predict_on_batch(self, images):
        """Logits float32 ``[B, S, S, C]`` of images ``[B, S, S, 3]`` of any size S."""
        images = np.asarray(images, "uint8")
        everything = whole(len(images))
        coarse = self._ask(self.first, images, everything)
        found = boxes(np.argmax(coarse, axis=-1)[..., np.newaxis])
        parts = self._ask(self.second, images, found)
        empty = np.zeros((*images.shape[:3], coarse.shape[-1]), "float32")
        return paste(paste(empty, coarse, everything), parts, found)

    @staticmethod
    def _ask(model, images, found):
        """Logits of the parts in the boxes, in the size that the model takes."""
        side = model.input_shape[1]
        parts = [
            cut(Image.fromarray(image), box, side, Image.Resampling.BILINEAR)
            for image, box in zip(images, found, strict=True)
        ]
        return ops.convert_to_numpy(model.predict_on_batch(np.stack(parts)))
