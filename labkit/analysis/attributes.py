"""Attributes of an image and its mask: shades, contrasts, size, shape, brightness, sharpness.

Colors are compared in CIELAB. A distance of about 2.3 (Delta E of 1976) is the smallest difference
that people notice.
"""

from functools import cache

import numpy as np
import pandas as pd
from PIL import Image, ImageCms
from scipy import ndimage
from scipy.cluster.vq import kmeans2
from tqdm import tqdm

from labkit import classes
from labkit.classes import PETS

MAX_SHADES = 6
SHADE_WIDTH = 10.0  # largest mean distance of pixels from the center of their shade, Delta E
WINDOW = 9  # side of the square in which pet and background are compared, pixels


def table(split):
    """Attributes of every image of a split, as a pandas table in the same order; see ``describe``.

    Shows a progress bar. One core was measured at 90 images per second. Raises ValueError for other
    classes than pets: the attributes are theirs.
    """
    if split.classes != PETS:
        raise ValueError(f"attributes describe pets, and the classes are {split.classes.names}")
    pairs = zip(split.images, split.masks, strict=True)
    progress = tqdm(pairs, "describing images", len(split), leave=False, mininterval=1)
    return pd.DataFrame([describe(image, mask) for image, mask in progress])


def describe(image, mask):
    """Attributes of one image, floats by name; NaN where the mask has nothing to measure.

    - ``shades``: fewest colors that cover the pet, 1 to 6 (``shades``);
    - ``shade contrast``: mean difference between two pixels of the pet, Delta E;
    - ``background contrast``: mean Delta E between pet and background near their border;
    - ``pet share``: share of the image that is pet, 0-1;
    - ``outline``: pixels of the pet's outline over the square root of its area, 3.2 for a disk;
    - ``brightness``: mean lightness of the image, 0-100;
    - ``sharpness``: logarithm of the variance of the image's Laplacian (Pertuz et al. 2013);
    - ``cut off``: share of the image's frame that is pet, 0-1.

    Args:
        image: uint8 ``[H, W, 3]``.
        mask: uint8 ``[H, W, 1]`` or ``[H, W]``: 0 pet, 1 background, 2 border.
    """
    mask = np.asarray(mask)
    mask = mask[..., 0] if mask.ndim == 3 else mask
    colors = lab(image)  # [H, W, 3]
    pet = mask == classes.PET
    pixels = sample(colors[pet])
    frame = np.concatenate([pet[0], pet[-1], pet[1:-1, 0], pet[1:-1, -1]])
    return {
        "shades": shades(pixels),
        "shade contrast": spread(pixels),
        "background contrast": border_contrast(colors, mask),
        "pet share": float(pet.mean()),
        "outline": outline(pet),
        "brightness": float(colors[..., 0].mean()),
        "sharpness": sharpness(colors[..., 0]),
        "cut off": float(frame.mean()),
    }


# --- colors --------------------------------------------------------------------------------------


def lab(image):
    """An sRGB image in CIELAB: lightness 0-100, a and b around 0; float32 ``[H, W, 3]``."""
    picture = ImageCms.applyTransform(Image.fromarray(np.asarray(image)), _srgb_to_lab())
    encoded = np.asarray(picture).astype("float32")
    # Pillow stores lightness as 0-255, and a and b in two's complement.
    signed = (encoded[..., 1:] + 128) % 256 - 128
    return np.concatenate([encoded[..., :1] * (100 / 255), signed], axis=-1)


@cache
def _srgb_to_lab():
    srgb, cielab = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))
    return ImageCms.buildTransform(srgb, cielab, "RGB", "LAB")


def sample(pixels, max_count=400):
    """Evenly spaced pixels out of ``[P, 3]``, at most ``max_count``."""
    return pixels[:: max(1, -(-len(pixels) // max_count))]


def shades(pixels):
    """Fewest centers, 1 to 6, whose mean distance to the pixels ``[P, 3]`` is at most 10 Delta E.

    A float; NaN for no pixels. The centers come from k-means (Lloyd 1982), each initialized with
    the pixel farthest from all previous centers.
    """
    if len(pixels) == 0:
        return np.nan
    centers = pixels.mean(0, keepdims=True)
    while len(centers) < MAX_SHADES:
        distances = _distances(pixels, centers).min(1)
        if distances.mean() <= SHADE_WIDTH:
            break
        centers = np.vstack([centers, pixels[distances.argmax()]])
        centers, _ = kmeans2(pixels, centers, iter=8, minit="matrix")
    return float(len(centers))


def _distances(pixels, centers):
    return np.linalg.norm(pixels[:, None] - centers, axis=-1)  # [P, K]


def spread(pixels):
    """Mean Delta E between two of the pixels ``[P, 3]``, a float; NaN for fewer than two."""
    if len(pixels) < 2:
        return np.nan
    return float(_distances(pixels, pixels).sum() / (len(pixels) * (len(pixels) - 1)))


def border_contrast(colors, mask):
    """Mean Delta E between pet and background near the border pixels, a float.

    At each border pixel, compares the mean colors of pet and background within 9x9 pixels. NaN if
    no such square contains both.
    """
    means, valid = [], mask == classes.BORDER
    for k in (classes.PET, classes.BACKGROUND):
        area = (mask == k).astype("float64")[..., None]
        window = {"size": (WINDOW, WINDOW, 1), "mode": "constant"}
        share = ndimage.uniform_filter(area, **window)
        means.append(ndimage.uniform_filter(colors * area, **window) / np.where(share, share, 1))
        valid = valid & (share[..., 0] > 0.5 / WINDOW**2)  # at least one pixel of the class
    if not valid.any():
        return np.nan
    return float(np.linalg.norm(means[0] - means[1], axis=-1)[valid].mean())


# --- shape and sharpness -------------------------------------------------------------------------


def outline(region):
    """Outline pixels of a region over the square root of its area; NaN if it is empty.

    The image's edge does not count: where a pet is cut off, it has no outline.
    """
    if not region.any():
        return np.nan
    inside = ndimage.binary_erosion(region, border_value=1)
    return float((region & ~inside).sum() / np.sqrt(region.sum()))


def sharpness(lightness):
    """Logarithm of the variance of the Laplacian of ``[H, W]``, low for a blurred image.

    NaN if a side has fewer than 3 pixels.
    """
    if min(lightness.shape) < 3:
        return np.nan
    return float(np.log(np.var(ndimage.laplace(lightness)[1:-1, 1:-1]) + 1e-3))
