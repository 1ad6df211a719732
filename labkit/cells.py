"""Drawn pictures of cells under a microscope, with masks: a second dataset that needs no download.

Four classes; "dividing" is rare, as in life, and is the one that a pathologist counts. The pictures
are drawn for this course and show no real tissue.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from labkit.classes import Classes

CELLS = Classes(
    ("background", "cell", "nucleus", "dividing"), ("#253F73", "#E69F00", "#FFF1CC", "#D55E00")
)
DIVIDING_SHARE = 0.06  # of the cells
STAINS = {  # RGB
    "background": (238, 230, 236),
    "cell": (214, 166, 196),
    "nucleus": (128, 88, 160),
    "dividing": (66, 40, 110),
    "debris": (120, 90, 110),
}


def draw(index, seed=0):
    """One picture and its mask; the same arguments give the same pixels.

    Args:
        index: of the picture, from 0 up.
        seed: of the dataset.

    Returns:
        image uint8 ``[H, W, 3]``, mask uint8 ``[H, W]`` with the numbers of ``CELLS``. Sides are
        208 to 352 pixels.
    """
    if min(index, seed) < 0:
        raise ValueError(f"index {index}, seed {seed}: use whole numbers from 0 up")
    rng = np.random.default_rng([seed, index])
    height, width = (16 * rng.integers(13, 23, 2)).tolist()
    stain = {name: np.array(rgb) + rng.normal(0, 6, 3) for name, rgb in STAINS.items()}
    image = np.tile(stain["background"], (height, width, 1))
    mask = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(3, 9)):
        center = rng.uniform(0, 1, 2) * (height, width)
        # It stays background in the mask.
        image[_blob(rng, mask.shape, rng.uniform(2, 4), center)] = stain["debris"]
    for _ in range(round(height * width / rng.uniform(2200, 4200))):
        _draw_cell(rng, image, mask, stain)
    return _photograph(rng, image), mask


def _draw_cell(rng, image, mask, stain):
    """Add a cell with a nucleus, or one that is dividing, to the image and its mask."""
    center = rng.uniform(0, 1, 2) * mask.shape
    radius = rng.uniform(15, 25)
    # Only the square around the cell is drawn on.
    reach = 2 * radius
    top, left = np.maximum(0, center - reach).astype(int)
    window = slice(top, int(center[0] + reach)), slice(left, int(center[1] + reach))
    image, mask, center = image[window], mask[window], center - (top, left)

    def paint(region, name, vary):
        image[region] = stain[name] * rng.uniform(1 - vary, 1 + vary)
        mask[region] = CELLS.number(name)

    body = _blob(rng, mask.shape, radius, center)
    paint(body, "cell", 0.05)
    if rng.random() > DIVIDING_SHARE:
        nucleus = _blob(rng, mask.shape, radius * rng.uniform(0.38, 0.55), center)
        paint(nucleus & body, "nucleus", 0.08)
        return
    angle = rng.uniform(0, np.pi)  # two plates of chromosomes move apart
    away = radius * rng.uniform(0.2, 0.35) * np.array([np.sin(angle), np.cos(angle)])
    for side in (-1, 1):
        plate = _blob(rng, mask.shape, radius * 0.42, center + side * away, (angle, 0.4))
        paint(plate & body, "dividing", 0.08)


def _blob(rng, shape, radius, center, squeeze=(0.0, 1.0)):
    """A round region with an uneven outline, bool ``[H, W]``.

    ``squeeze`` is an angle and the factor of the radius in its direction.
    """
    angle, factor = squeeze
    y, x = np.ogrid[: shape[0], : shape[1]]
    y, x = y - center[0], x - center[1]
    along = (y * np.sin(angle) + x * np.cos(angle)) / factor
    across = y * np.cos(angle) - x * np.sin(angle)
    direction = np.arctan2(across, along)
    waves = sum(
        rng.normal(0, 0.09 / wave) * np.cos(wave * direction + rng.uniform(0, 2 * np.pi))
        for wave in (2, 3, 5)
    )
    return np.hypot(across, along) < radius * (1 + waves)


def _photograph(rng, image):
    """The image as a microscope shows it: uneven light, some blur, noise; uint8 ``[H, W, 3]``."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    slope = rng.normal(0, 0.08, 2)
    light = 1 + slope[0] * (y / height - 0.5) + slope[1] * (x / width - 0.5)
    grain = rng.normal(0, 10, (height // 4, width // 4)).astype("float32")
    grain = Image.fromarray(grain).resize((width, height), Image.Resampling.BICUBIC)
    image = image * light[..., None] + np.asarray(grain)[..., None]
    picture = Image.fromarray(np.clip(image, 0, 255).astype("uint8"))
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.8, 1.6)))
    noise = rng.normal(0, 4, image.shape)
    return np.clip(np.asarray(picture) + noise, 0, 255).astype("uint8")


def write(folder, count=40, seed=0):
    """Write pictures and palette masks as files, as an annotation tool would.

    Args:
        folder: gets the folders ``images`` (JPEG) and ``masks`` (PNG); it is made if necessary.
        count: the number of pictures.
        seed: of the dataset.

    Returns:
        The paths of the two folders.
    """
    folders = Path(folder) / "images", Path(folder) / "masks"
    for one in folders:
        one.mkdir(parents=True, exist_ok=True)
    palette = CELLS.color_mask(np.arange(len(CELLS))[np.newaxis]).tobytes()
    for index in range(count):
        image, mask = draw(index, seed)
        Image.fromarray(image).save(folders[0] / f"cells_{index:03}.jpg", quality=92)
        picture = Image.fromarray(mask)
        picture.putpalette(palette)
        picture.save(folders[1] / f"cells_{index:03}.png")
    return folders
