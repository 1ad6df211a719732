"""Joint augmentation: image and mask move together, colours change in the image alone.

The whole trick is in two lines of ``augment``: one matrix for both, and two ways to read pixels
with it: between them (bilinear) for the image, the nearest one for the mask, whose labels can't
be mixed. Random numbers come from NumPy, so that one seed gives one result on every backend.
"""

from dataclasses import dataclass, replace

import numpy as np
from keras import ops

from labkit import classes


@dataclass(frozen=True)
class Strength:
    """How far each change may go, in both directions."""

    flip: bool = True
    rotation: float = 15.0  # degrees
    zoom: float = 0.2  # 0.2: from 0.8 to 1.2 times as large
    shift: float = 0.1  # of the side; with zoom this is a random crop
    brightness: float = 0.15  # of the full range 0-255
    contrast: float = 0.2  # 0.2: differences from the mean times 0.8 to 1.2
    saturation: float = 0.3  # 0.3: differences from grey times 0.7 to 1.3
    independent_background: bool = False  # animal and background are recoloured each for itself

    def __post_init__(self):
        if not 0 <= self.zoom < 1:
            raise ValueError(f"zoom is {self.zoom}: use 0 to below 1; 1 would shrink to nothing")

    def scaled(self, level):
        """Every range times ``level``; 0 changes nothing, not even a flip.

        Raises ValueError for a negative level, or one that makes the zoom impossible.
        """
        if level < 0:
            raise ValueError(f"level is {level}: use 0 (no change) or more")
        ranges = {
            name: level * value for name, value in vars(self).items() if not isinstance(value, bool)
        }
        return replace(self, flip=self.flip and level > 0, **ranges)


def augment(images, masks, seed, strength=Strength()):
    """A random change for each image of a batch, and the same movement for its mask.

    Args:
        images: ``[B, H, W, 3]``, 0-255.
        masks: integers ``[B, H, W, 1]``.
        seed: an int or a sequence of ints; the same seed gives the same change.
        strength: how far the changes go.

    Returns:
        images float32 ``[B, H, W, 3]`` in 0-255, masks uint8 ``[B, H, W, 1]`` with no label that
        was not there. What lies outside the picture is filled by its mirror image.

    Raises:
        ValueError: if the shapes do not belong together.
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
        images = recolor_independently(images, masks, rng, strength)
    else:
        images = recolour(images, rng, strength)
    return images, ops.cast(masks, "uint8")


def random_matrix(rng, count, size, strength):
    """One random flip, rotation, zoom and shift for each image, as projective transforms.

    Args:
        rng: a NumPy generator.
        count: B, the number of images.
        size: (H, W) in pixels.

    Returns:
        float32 ``[B, 8]``, what ``keras.ops.image.affine_transform`` takes: the pixel (x, y) of
        the result is read at (a0 x + a1 y + a2, a3 x + a4 y + a5).
    """
    height, width = size
    angle = np.radians(_between(rng, count, strength.rotation))
    scale = 1 / (1 + _between(rng, count, strength.zoom))
    mirror = np.where(rng.random(count) < 0.5 * strength.flip, -1.0, 1.0)
    shift_x = _between(rng, count, strength.shift * width)
    shift_y = _between(rng, count, strength.shift * height)

    return centred_matrix(angle, scale, size, mirror, shift_x, shift_y)


def centred_matrix(angle, scale, size, mirror=1.0, shift_x=0.0, shift_y=0.0):
    """Rotation and scaling about the centre of a picture, then a shift, as ``move`` takes them.

    Args:
        angle: radians ``[B]``.
        scale: ``[B]``; 2 reads every second pixel, so that the picture shrinks to a half.
        size: (H, W) in pixels.
        mirror: ``[B]`` or a number; -1 to flip left and right.
        shift_x, shift_y: ``[B]`` or a number, in pixels.

    Returns:
        float32 ``[B, 8]``.
    """
    height, width = size
    a0, a1 = scale * np.cos(angle) * mirror, -scale * np.sin(angle)
    a3, a4 = scale * np.sin(angle) * mirror, scale * np.cos(angle)
    # The centre of the result is read at the shifted centre of the input.
    x, y = (width - 1) / 2, (height - 1) / 2
    a2 = x + shift_x - a0 * x - a1 * y
    a5 = y + shift_y - a3 * x - a4 * y
    zero = np.zeros(len(a0))
    return np.stack([a0, a1, a2, a3, a4, a5, zero, zero], axis=1).astype("float32")


def move(values, matrix, interpolation):
    """Images or masks ``[B, H, W, C]`` moved by matrices ``[B, 8]``."""
    options = {"fill_mode": "reflect", "data_format": "channels_last"}
    return ops.image.affine_transform(values, matrix, interpolation=interpolation, **options)


def recolour(images, rng, strength):
    """Random contrast, saturation and brightness for each image ``[B, H, W, 3]``, 0-255.

    Each of the three is an affine map of red, green and blue, so all of them together are one
    3x3 matrix and one offset for an image.
    """
    count = len(images)
    contrast = 1 + _between(rng, count, strength.contrast)
    saturation = 1 + _between(rng, count, strength.saturation)
    brightness = 255 * _between(rng, count, strength.brightness)

    kept, greyed = saturation[:, None, None], (1 - saturation)[:, None, None]
    matrix = contrast[:, None, None] * (kept * np.eye(3) + greyed / 3)  # [B, 3, 3]
    mean = ops.mean(images, axis=(1, 2, 3))  # differences from it are what contrast changes
    offset = _tensor(1 - contrast) * mean + _tensor(brightness)  # [B]
    images = ops.einsum("bhwc,bcd->bhwd", images, _tensor(matrix))
    return ops.clip(images + offset[:, None, None, None], 0, 255)


def recolor_independently(images, masks, rng, strength):
    """Animal and background recoloured each for itself: the contrast between them changes too.

    Only segmentation can do this, since its masks say what is what. The seam is five pixels soft;
    a network learns to see it all the same, and is worse on photographs (chapter 12).
    """
    animal = ops.cast(masks != classes.BACKGROUND, "float32")
    animal = ops.average_pool(animal, 5, strides=1, padding="same", data_format="channels_last")
    first, second = (recolour(images, rng, strength) for _ in range(2))
    return animal * first + (1 - animal) * second


def _tensor(numbers):
    return ops.convert_to_tensor(numbers, "float32")


def _between(rng, count, limit):
    """``count`` numbers from -limit to limit."""
    return rng.uniform(-limit, limit, count)
