"""What an image and its mask tell without any model: shades, contrasts, size, shape and light.

Colours are compared in CIELAB, where a distance of 1 is about the smallest difference that people
see (Delta E of 1976), whatever the colour.
"""

from functools import cache

import numpy as np
import pandas as pd
from PIL import Image, ImageCms
from scipy import ndimage
from scipy.cluster.vq import kmeans2
from tqdm import tqdm

from labkit import classes

MOST_SHADES = 6
SHADE_WIDTH = 10.0  # Delta E: pixels of one shade are, in the mean, no farther from its centre
WINDOW = 9  # pixels: side of the square in which pet and background are compared


def table(split):
    """Attributes of every image of a split, as a pandas table in its order; see ``describe``.

    Shows how far it is: 90 images a second were measured on one core.
    """
    pairs = zip(split.images, split.masks, strict=True)
    shown = tqdm(pairs, "describing images", len(split), leave=False, mininterval=1)
    return pd.DataFrame([describe(image, mask) for image, mask in shown])


def describe(image, mask):
    """Attributes of one image, floats by name; NaN where the mask leaves nothing to measure.

    - ``shades``: the fewest colours that cover the pet, 1 to 6 (``shades``);
    - ``shade contrast``: mean difference between two pixels of the pet, Delta E;
    - ``background contrast``: mean Delta E between pet and background where they meet;
    - ``pet share`` of the picture, 0-1;
    - ``outline``: pixels of the pet's outline over the square root of its area, 3.2 for a disc;
    - ``brightness``: mean lightness of the picture, 0-100;
    - ``sharpness``: logarithm of the variance of the picture's Laplacian (Pertuz et al. 2013);
    - ``cut off``: share of the picture's frame that the pet touches, 0-1.

    Args:
        image: uint8 ``[H, W, 3]``.
        mask: uint8 ``[H, W, 1]`` or ``[H, W]``: 0 pet, 1 background, 2 border.
    """
    mask = np.asarray(mask)
    mask = mask[..., 0] if mask.ndim == 3 else mask
    colours = lab(image)  # [H, W, 3]
    pet = mask == classes.PET
    pixels = sample(colours[pet])
    frame = np.concatenate([pet[0], pet[-1], pet[1:-1, 0], pet[1:-1, -1]])
    return {
        "shades": shades(pixels),
        "shade contrast": spread(pixels),
        "background contrast": contrast_across(colours, mask),
        "pet share": float(pet.mean()),
        "outline": outline(pet),
        "brightness": float(colours[..., 0].mean()),
        "sharpness": sharpness(colours[..., 0]),
        "cut off": float(frame.mean()),
    }


# --- colours -------------------------------------------------------------------------------------


def lab(image):
    """An sRGB image in CIELAB: lightness 0-100, a and b around 0; float32 ``[H, W, 3]``."""
    picture = ImageCms.applyTransform(Image.fromarray(np.asarray(image)), _to_lab())
    stored = np.asarray(picture).astype("float32")
    # Pillow stores lightness as 0-255, and a and b in two's complement.
    signed = (stored[..., 1:] + 128) % 256 - 128
    return np.concatenate([stored[..., :1] * (100 / 255), signed], axis=-1)


@cache
def _to_lab():
    srgb, cielab = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))
    return ImageCms.buildTransform(srgb, cielab, "RGB", "LAB")


def sample(pixels, most=400):
    """At most so many of the pixels ``[P, 3]``, evenly taken."""
    return pixels[:: max(1, -(-len(pixels) // most))]


def shades(pixels):
    """The fewest centres, 1 to 6, that have the pixels ``[P, 3]`` within 10 Delta E in the mean.

    A float; NaN for no pixels. Centres are those of k-means (Lloyd 1982), begun with the pixels
    that are farthest from all centres so far.
    """
    if len(pixels) == 0:
        return np.nan
    centres = pixels.mean(0, keepdims=True)
    while len(centres) < MOST_SHADES:
        distances = _distances(pixels, centres).min(1)
        if distances.mean() <= SHADE_WIDTH:
            break
        centres = np.vstack([centres, pixels[distances.argmax()]])
        centres, _ = kmeans2(pixels, centres, iter=8, minit="matrix")
    return float(len(centres))


def _distances(pixels, centres):
    return np.linalg.norm(pixels[:, None] - centres, axis=-1)  # [P, K]


def spread(pixels):
    """Mean Delta E between two of the pixels ``[P, 3]``, a float; NaN for fewer than two."""
    if len(pixels) < 2:
        return np.nan
    return float(_distances(pixels, pixels).sum() / (len(pixels) * (len(pixels) - 1)))


def contrast_across(colours, mask):
    """Mean Delta E between the pet and the background near each border pixel, a float.

    Around every border pixel, the mean colour of the pet in a square of 9x9 pixels is held against
    that of the background. NaN if they meet nowhere.
    """
    means, there = [], mask == classes.BORDER
    for k in (classes.PET, classes.BACKGROUND):
        area = (mask == k).astype("float64")[..., None]
        window = {"size": (WINDOW, WINDOW, 1), "mode": "constant"}
        share = ndimage.uniform_filter(area, **window)
        found = share[..., 0] > 0.5 / WINDOW**2  # one pixel or more
        means.append(ndimage.uniform_filter(colours * area, **window) / np.where(share, share, 1))
        there = there & found
    if not there.any():
        return np.nan
    return float(np.linalg.norm(means[0] - means[1], axis=-1)[there].mean())


# --- shape and light -----------------------------------------------------------------------------


def outline(region):
    """Pixels of a region that touch its outside, over the root of its area; NaN if it is empty.

    The frame of the picture is no outside: a pet that is cut off has no outline there.
    """
    if not region.any():
        return np.nan
    inside = ndimage.binary_erosion(region, border_value=1)
    return float((region & ~inside).sum() / np.sqrt(region.sum()))


def sharpness(lightness):
    """Logarithm of the variance of the Laplacian of ``[H, W]``; low for a blurred picture, NaN for
    one with fewer than 3 pixels a side."""
    if min(lightness.shape) < 3:
        return np.nan
    return float(np.log(np.var(ndimage.laplace(lightness)[1:-1, 1:-1]) + 1e-3))
