"""Picture files as arrays."""

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from labkit.splits import sides

# Of the files that are taken from a folder. HEIC, which Pillow can't read, is named as unreadable.
SUFFIXES = {".heic", ".heif"} | {
    suffix
    for suffix, kind in Image.registered_extensions().items()
    if kind in Image.OPEN and kind not in ("BUFR", "EPS", "GRIB", "HDF5", "MPEG")
}


def read_image(file, image_size=128):
    """Read a picture file, such as a photo of your own pet, as an image of the model's size or its
    own.

    Args:
        file: a path or an open binary file: JPEG, PNG, ... in color, gray, CMYK or with alpha
            (transparent parts become white). The Exif orientation is applied. Gray values of more
            than 8 bits are scaled from the smallest range that holds them: 10, 12, 14 or 16
            bits, or the largest value.
        image_size: S or (H, W), in pixels; None for the picture's own height and width.

    Returns:
        uint8 ``[H, W, 3]``.

    Raises:
        ValueError: if the file is not a picture or is damaged; for a size below 1.
        FileNotFoundError: if the file does not exist.
    """
    if image_size is not None:
        sides(image_size)
    name = getattr(file, "name", file) if hasattr(file, "read") else file
    try:
        with Image.open(file) as picture:
            picture = ImageOps.exif_transpose(picture)
            if picture.mode[0] in "IF":  # more than 8 bits, which convert would clip
                picture = Image.fromarray(_to_8_bits(np.asarray(picture), picture.mode))
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                white = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(white, picture)
            picture = picture.convert("RGB")
    except FileNotFoundError:
        raise
    except UnknownRange as error:
        raise UnknownRange(f"{name}: {error}") from error
    except UnidentifiedImageError as error:
        raise ValueError(f"{name} is not a picture in a known format: use JPEG or PNG") from error
    except Exception as error:  # for a damaged file Pillow raises many types
        raise ValueError(f"{name} is damaged or too large ({error}): save it again") from error
    if image_size is not None:
        height, width = sides(image_size)
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture)


class UnknownRange(ValueError):
    """A picture has gray values without a known range."""


def _to_8_bits(gray, mode):
    """Gray values of more than 8 bits, or floats in 0-1 or 0-255, as uint8 of the same shape."""
    low, high = gray.min(), gray.max()
    if not (low >= 0 and np.isfinite(high)) or (mode == "F" and high > 255):
        raise UnknownRange(
            f"the picture has mode {mode} with values from {low} to {high}: save it with 8 bits"
        )
    if mode == "F":
        return np.rint(gray * (255 if high <= 1 else 1)).astype(np.uint8)
    ranges = [2**bits - 1 for bits in (8, 10, 12, 14, 16)]
    full = next((full for full in ranges if high <= full), high)
    return np.rint(gray * (255 / full)).astype(np.uint8)
