"""A cascade of two networks: the first finds the animal, the second segments a crop around it.

Both can be any model of this course. The second sees each animal cropped from a larger version of
its photo, so that a small animal fills the whole input; its logits are pasted back into place.
"""

from dataclasses import replace

import numpy as np
from keras import ops
from PIL import Image
from scipy import ndimage

from labkit.classes import PETS

MARGIN = 0.15  # added on each side, as a share of the animal's height and width


def bounding_boxes(masks, margin=MARGIN, classes=PETS):
    """Bounding boxes of the animals: float64 ``[N, 4]``, (top, left, bottom, right) from 0 to 1.

    A mask with nothing but background gives the box of the whole image.

    Args:
        masks: ``[N, S, S, 1]``, true or predicted; every class but background counts.
        margin: added on each side as a share of the animal's size, clipped at the image's edge.
        classes: of the masks; without a class "background", the box is the whole image.
    """
    boxes = []
    for mask in np.asarray(masks)[..., 0]:
        rows, columns = (np.flatnonzero((mask != classes.background).any(axis)) for axis in (1, 0))
        if len(rows) == 0:
            boxes.append([0.0, 0.0, 1.0, 1.0])
            continue
        edges = np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])
        boxes.append(_add_margin(edges / np.tile(mask.shape, 2), margin))
    return np.array(boxes)


def full_boxes(count):
    """Boxes ``[N, 4]`` that cover whole images."""
    return np.tile([0.0, 0.0, 1.0, 1.0], (count, 1))


def _add_margin(box, margin):
    """The box enlarged by a margin, clipped to the image."""
    offsets = margin * np.tile(box[2:] - box[:2], 2) * [-1, -1, 1, 1]
    return np.clip(box + offsets, 0, 1)


def crops(split, boxes, image_size=128):
    """A split of the cropped images and masks, each resized to S x S: input of the second network.

    Args:
        split: a ``labkit.data.Split``, ideally of images larger than S.
        boxes: ``[N, 4]``, from ``bounding_boxes``.
        image_size: S.
    """
    images, masks = [], []
    for image, mask, box in zip(split.images, split.masks, boxes, strict=True):
        images.append(crop(Image.fromarray(image), box, image_size, Image.Resampling.BILINEAR))
        mask = crop(Image.fromarray(mask[..., 0]), box, image_size, Image.Resampling.NEAREST)
        masks.append(mask[..., np.newaxis])
    return replace(split, images=np.stack(images), masks=np.stack(masks))


def crop(picture, box, image_size, resample):
    """The part of a PIL picture inside a box, resized to an S x S array."""
    top, left, bottom, right = box
    width, height = picture.size
    edges = (left * width, top * height, right * width, bottom * height)
    return np.asarray(picture.resize((image_size, image_size), resample, box=edges))


def paste(logits, crop_logits, boxes):
    """Logits ``[N, S, S, C]`` of whole images, replaced inside the boxes by those of the crops.

    A pixel belongs to a box if its center does.

    Args:
        logits: of the whole images, ``[N, S, S, C]``.
        crop_logits: of the crops, at any resolution, ``[N, P, P, C]``.
        boxes: ``[N, 4]``.
    """
    pasted = np.array(logits)
    size, crop_size = pasted.shape[1], crop_logits.shape[1]
    centers = (np.arange(size) + 0.5) / size
    for target, source, (top, left, bottom, right) in zip(pasted, crop_logits, boxes, strict=True):
        rows = np.flatnonzero((top <= centers) & (centers <= bottom))
        columns = np.flatnonzero((left <= centers) & (centers <= right))
        y = (centers[rows] - top) / (bottom - top) * crop_size - 0.5
        x = (centers[columns] - left) / (right - left) * crop_size - 0.5
        target[np.ix_(rows, columns)] = bilinear(source, y, x)
    return pasted


def bilinear(values, y, x):
    """Values ``[P, P, C]`` interpolated at rows y and columns x."""
    grid = np.meshgrid(y, x, indexing="ij")
    channels = [
        ndimage.map_coordinates(channel, grid, order=1, mode="nearest")
        for channel in np.moveaxis(values, -1, 0)
    ]
    return np.stack(channels, axis=-1)


class Cascade:
    """Two networks that predict as one model.

    Args:
        first: a model, image -> logits, that locates the animal; its input can have any size.
        second: a model trained on ``crops``.
        classes: of both.
    """

    def __init__(self, first, second, classes=PETS):
        self.first, self.second, self.classes = first, second, classes

    def predict_on_batch(self, images):
        """Logits float32 ``[B, S, S, C]`` of images ``[B, S, S, 3]`` of any size S."""
        images = np.asarray(images, "uint8")
        full = full_boxes(len(images))
        coarse = self._predict_crops(self.first, images, full)
        masks = np.argmax(coarse, axis=-1)[..., np.newaxis]
        boxes = bounding_boxes(masks, classes=self.classes)
        fine = self._predict_crops(self.second, images, boxes)
        empty = np.zeros((*images.shape[:3], coarse.shape[-1]), "float32")
        return paste(paste(empty, coarse, full), fine, boxes)

    @staticmethod
    def _predict_crops(model, images, boxes):
        """Logits of the crops at the model's input size."""
        size = model.input_shape[1]
        inputs = [
            crop(Image.fromarray(image), box, size, Image.Resampling.BILINEAR)
            for image, box in zip(images, boxes, strict=True)
        ]
        return ops.convert_to_numpy(model.predict_on_batch(np.stack(inputs)))
