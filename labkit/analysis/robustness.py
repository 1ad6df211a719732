"""Robustness: scores of a model on images with blur, noise, JPEG, darkness, rotation or scaling.

Each corruption changes one known property of an image and nothing else.
Source of the idea: Hendrycks and Dietterich (2019), arXiv:1903.12261.
"""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
from keras import ops
from PIL import Image, ImageEnhance, ImageFilter

from labkit import metrics, training
from labkit.augment import centered_matrix, move

LEVELS = {  # three levels of each corruption, mild to strong
    "blur": (1, 2, 4),  # radius in pixels
    "noise": (10, 25, 50),  # standard deviation; pixels have 0-255
    "JPEG": (50, 20, 8),  # quality, 1-100
    "darkness": (0.7, 0.5, 0.3),  # factor of the brightness
    "rotation": (15, 45, 90),  # degrees
    "size": (0.75, 0.5, 0.35),  # scale; mirror images fill the rest of the frame
}


def table(model, split, kinds=tuple(LEVELS)):
    """Pooled mean IoU of a model on corrupted copies of a split, a pandas table.

    Args:
        model: image ``[B, H, W, 3]`` -> logits.
        split: a ``labkit.data.Split``; a few hundred images are enough.
        kinds: keys of ``LEVELS``.

    Returns:
        One row per kind; columns ``unchanged``, ``mild``, ``medium``, ``strong``.
    """
    unchanged = _mean_iou(model, split)
    rows = {
        kind: [unchanged, *(_mean_iou(model, worsen(split, kind, level)) for level in LEVELS[kind])]
        for kind in kinds
    }
    columns = ["unchanged", "mild", "medium", "strong"]
    return pd.DataFrame.from_dict(rows, "index", columns=columns)


def _mean_iou(model, split):
    pred_masks = training.predict_masks(model, split)
    classes = split.classes
    return metrics.mean_iou(split.masks, pred_masks, len(classes), classes.ignored)


def worsen(split, kind, level):
    """A ``Split`` with corrupted images; rotation and size change the masks too.

    Args:
        split: a ``labkit.data.Split``.
        kind: a key of ``LEVELS``.
        level: a number in that kind's unit.

    Raises:
        ValueError: for an unknown kind.
    """
    if kind in ("rotation", "size"):
        angle, scale = (np.radians(level), 1.0) if kind == "rotation" else (0.0, 1 / level)
        matrix = centered_matrix(np.full(len(split), angle), scale, split.images.shape[1:3])
        images = move(np.asarray(split.images, "float32"), matrix, "bilinear")
        masks = move(np.asarray(split.masks, "float32"), matrix, "nearest")
        # NumPy cannot read a PyTorch tensor on a GPU.
        images, masks = ops.convert_to_numpy(images).round(), ops.convert_to_numpy(masks)
        return replace(split, images=images.astype("uint8"), masks=masks.astype("uint8"))
    if kind not in CORRUPTIONS:
        raise ValueError(f"kind is {kind!r}: use one of {', '.join(LEVELS)}")
    images = [
        np.asarray(CORRUPTIONS[kind](Image.fromarray(image), level, index))
        for index, image in enumerate(split.images)
    ]
    return replace(split, images=np.stack(images))


def _blur(picture, radius, index):
    return picture.filter(ImageFilter.GaussianBlur(radius))


def _noise(picture, deviation, index):
    rng = np.random.default_rng(index)  # the same noise in every call
    noisy = np.asarray(picture) + rng.normal(0, deviation, (*picture.size[::-1], 3))
    return np.clip(noisy.round(), 0, 255).astype("uint8")


def _jpeg(picture, quality, index):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file)


def _darken(picture, factor, index):
    return ImageEnhance.Brightness(picture).enhance(factor)


CORRUPTIONS = {"blur": _blur, "noise": _noise, "JPEG": _jpeg, "darkness": _darken}
