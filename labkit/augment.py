"""Joint augmentation: the same geometric transform for image and mask, color changes in the image.

``augment`` applies one matrix to both, with bilinear interpolation for the image and
nearest-neighbor interpolation for the mask, whose labels can't be averaged. Random numbers come
from NumPy, so that a seed gives the same result on every backend.
"""

from dataclasses import dataclass, replace

import numpy as np
from keras import ops

from labkit.classes import PETS


@dataclass(frozen=True)
class Strength:
    """The largest size of each random change, in both directions."""

    flip: bool = True
    rotation: float = 15.0  # degrees
    zoom: float = 0.2  # 0.2: from 0.8 to 1.2 times as large
    shift: float = 0.1  # of the side; with zoom, a random crop
    brightness: float = 0.15  # of the full range 0-255
    contrast: float = 0.2  # 0.2: differences from the mean times 0.8 to 1.2
    saturation: float = 0.3  # 0.3: differences from gray times 0.7 to 1.3
    independent_background: bool = False  # recolor animal and background independently

    def __post_init__(self):
        if not 0 <= self.zoom < 1:
            raise ValueError(f"zoom is {self.zoom}: use 0 to below 1; at 1 the image vanishes")

    def scaled(self, level):
        """The strength with all ranges multiplied by ``level``; 0 also disables the flip.

        Raises ValueError for a negative level, or one that brings ``zoom`` to 1 or more.
        """
        if level < 0:
            raise ValueError(f"level is {level}: use 0 (no change) or more")
        ranges = {
            name: level * value for name, value in vars(self).items() if not isinstance(value, bool)
        }
        return replace(self, flip=self.flip and level > 0, **ranges)


def augment(images, masks, seed, strength=Strength(), background=PETS.background):
    """Change each image of a batch at random, and move its mask in the same way.

    Args:
        images: ``[B, H, W, 3]``, 0-255.
        masks: integers ``[B, H, W, 1]``.
        seed: an int or a sequence of ints; the same seed gives the same changes.
        strength: the largest size of the changes.
        background: the class that ``independent_background`` recolors apart.

    Returns:
        images float32 ``[B, H, W, 3]`` in 0-255, masks uint8 ``[B, H, W, 1]`` without new
        labels. Pixels from outside the image are filled by reflection.

    Raises:
        ValueError: if the shapes do not match.
    """
    if np.ndim(images) != 4 or np.shape(masks) != (*np.shape(images)[:3], 1):
        raise ValueError(
            f"images of shape {np.shape(images)} and masks of shape {np.shape(masks)}: "
            "expected [B, H, W, 3] and [B, H, W, 1]"
        )
    rng = np.random.default_rng(seed)
    matrix = random_matrix(rng, len(images), np.shape(images)[1:3], strength)
    images = move(ops.cast(images, "float32"), matrix, "bilinear")
    masks = move(ops.cast(masks, "float32"), matrix, "nearest")
    if strength.independent_background:
        images = recolor_independently(images, masks, rng, strength, background)
    else:
        images = recolor(images, rng, strength)
    return images, ops.cast(masks, "uint8")


def random_matrix(rng, count, size, strength):
    """A random flip, rotation, zoom and shift for each image, as affine transforms.

    Args:
        rng: a NumPy generator.
        count: B, the number of images.
        size: (H, W) in pixels.

    Returns:
        float32 ``[B, 8]``, as ``keras.ops.image.affine_transform`` takes them: the output pixel
        (x, y) is read from the input at (a0 x + a1 y + a2, a3 x + a4 y + a5).
    """
    height, width = size
    angle = np.radians(_uniform(rng, count, strength.rotation))
    scale = 1 / (1 + _uniform(rng, count, strength.zoom))
    mirror = np.where(rng.random(count) < 0.5 * strength.flip, -1.0, 1.0)
    shift_x = _uniform(rng, count, strength.shift * width)
    shift_y = _uniform(rng, count, strength.shift * height)

    return centered_matrix(angle, scale, size, mirror, shift_x, shift_y)


def centered_matrix(angle, scale, size, mirror=1.0, shift_x=0.0, shift_y=0.0):
    """Rotation and scaling about the center of an image, then a shift, as affine transforms.

    Args:
        angle: radians ``[B]``.
        scale: ``[B]``; 2 reads every second pixel and so halves the size of the content.
        size: (H, W) in pixels.
        mirror: ``[B]`` or a number; -1 to flip left and right.
        shift_x, shift_y: ``[B]`` or a number, in pixels.

    Returns:
        float32 ``[B, 8]``, as ``random_matrix``.
    """
    height, width = size
    a0, a1 = scale * np.cos(angle) * mirror, -scale * np.sin(angle)
    a3, a4 = scale * np.sin(angle) * mirror, scale * np.cos(angle)
    # The center of the output is read from the shifted center of the input.
    x, y = (width - 1) / 2, (height - 1) / 2
    a2 = x + shift_x - a0 * x - a1 * y
    a5 = y + shift_y - a3 * x - a4 * y
    zero = np.zeros(len(a0))
    return np.stack([a0, a1, a2, a3, a4, a5, zero, zero], axis=1).astype("float32")


def move(values, matrix, interpolation):
    """Apply affine transforms ``[B, 8]`` to images or masks ``[B, H, W, C]``."""
    options = {"fill_mode": "reflect", "data_format": "channels_last"}
    return ops.image.affine_transform(values, matrix, interpolation=interpolation, **options)


def recolor(images, rng, strength):
    """Randomly change contrast, saturation and brightness of images ``[B, H, W, 3]``, 0-255.

    Each of the three is an affine map of RGB values, so one 3x3 matrix and one offset per image
    combine them.
    """
    count = len(images)
    contrast = 1 + _uniform(rng, count, strength.contrast)
    saturation = 1 + _uniform(rng, count, strength.saturation)
    brightness = 255 * _uniform(rng, count, strength.brightness)

    saturation = saturation[:, None, None]
    matrix = contrast[:, None, None] * (saturation * np.eye(3) + (1 - saturation) / 3)  # [B, 3, 3]
    mean = ops.mean(images, axis=(1, 2, 3))  # contrast scales the differences from it
    offset = _tensor(1 - contrast) * mean + _tensor(brightness)  # [B]
    images = ops.einsum("bhwc,bcd->bhwd", images, _tensor(matrix))
    return ops.clip(images + offset[:, None, None, None], 0, 255)


def recolor_independently(images, masks, rng, strength, background=PETS.background):
    """Recolor animal and background independently, which also changes the contrast between them.

    The seam is blurred over five pixels. A network still learns to see it, and is worse on
    photographs ("What to try first").
    """
    animal = ops.cast(masks != background, "float32")
    animal = ops.average_pool(animal, 5, strides=1, padding="same", data_format="channels_last")
    inside, outside = (recolor(images, rng, strength) for _ in range(2))
    return animal * inside + (1 - animal) * outside


def _tensor(numbers):
    return ops.convert_to_tensor(numbers, "float32")


def _uniform(rng, count, limit):
    """Random float64 ``[count]`` from -limit to limit."""
    return rng.uniform(-limit, limit, count)
