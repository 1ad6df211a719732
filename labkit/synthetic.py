"""Synthetic pets: a replacement for the Oxford-IIIT Pet dataset, drawn with NumPy alone.

Every example has the schema of ``oxford_iiit_pet`` 4.0.0 in TensorFlow Datasets, so the course
runs unchanged where the real photographs can't be downloaded. An animal is a list of *parts*
(tapered capsules). The signed distance to their union (negative inside the animal, zero on its
outline, positive outside) determines the outline, the trimap and the shading.

Coordinates: x grows to the right, y downwards, (0, 0) is the center of the frame, and the unit
is the side of a square with the frame's area, so that an animal can be drawn at any size.
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np

PET, BACKGROUND, BORDER = 1, 2, 3  # the values of a segmentation mask, as in the real dataset
BREEDS = (  # 12 cats and 25 dogs, as in the real dataset
    *(f"synthetic_cat_{number:02d}" for number in range(1, 13)),
    *(f"synthetic_dog_{number:02d}" for number in range(1, 26)),
)
SPECIES = {breed: int("_dog_" in breed) for breed in BREEDS}  # breed name -> 0 cat, 1 dog
SPLITS = {"train": 0, "test": 1}
MAX_SHADES = 6
SMALLEST_SIDE = 32  # pixels; in smaller images, pet could touch background

HALF_BORDER = 0.0195  # units on each side of the outline: 2.5 pixels of 128
BLEND = 0.04  # units over which two parts merge smoothly
BLACK, PINK = (25, 20, 22), (205, 135, 135)
EYES = ((170, 190, 70), (215, 165, 50), (90, 150, 190))


class Part(NamedTuple):
    """A tapered capsule between two circles, of radius r0 and r1 (all in units)."""

    x0: float
    y0: float
    r0: float
    x1: float
    y1: float
    r1: float
    light: float = 1.0  # brightness factor of the coat
    color: tuple | None = None  # RGB 0..255; None = covered by the coat


class Breed(NamedTuple):
    """The traits of a breed: proportions as factors around 1, and the mean color of its coat."""

    is_dog: bool
    floppy: bool
    stout: float
    leg: float
    ear: float
    tail: float
    snout: float
    coat: np.ndarray  # RGB 0..255


class Frame(NamedTuple):
    """Pixel coordinates xs [1, W] and ys [H, 1] in units, and the number of pixels per unit."""

    xs: np.ndarray
    ys: np.ndarray
    scale: float


@cache
def _breed(label):
    """The traits of a breed, the same for every seed and split."""
    rng = np.random.default_rng([0, 0, label, 1])
    gray, warmth = rng.uniform(95, 150), rng.uniform(0, 28)
    factors = rng.uniform((0.85, 0.7, 0.8, 0.6, 0.7), (1.15, 1.1, 1.2, 1.1, 1.3)).tolist()
    is_dog = SPECIES[BREEDS[label]] == 1
    return Breed(is_dog, rng.random() < 0.6, *factors, gray + warmth * np.array([1, 0.1, -0.9]))


# ---- Heads: centered at (0, 0), radius about 1; the face looks to `turn` (-1 left, 1 right). ----
# Each returns the parts covered by the coat, and the colored marks on top of them.


def _cat_head(rng, breed, turn):
    ear, iris, slit = 0.95 * breed.ear, EYES[rng.integers(3)], rng.uniform(0.03, 0.08)
    face = 0.3 * turn
    parts, marks = [], []
    for side in (-1, 1):
        x = 0.55 * side + 0.1 * turn
        parts.append(Part(x, -0.5, 0.36, x + 0.22 * side, -0.5 - ear, 0.04, 0.95))
        marks.append(Part(x, -0.65, 0.16, x + 0.17 * side, -0.45 - 0.8 * ear, 0.03, 1, PINK))
    parts.append(Part(-0.2, 0.02, 0.82, 0.2, 0.02, 0.82))
    parts.append(Part(face - 0.16, 0.4, 0.25, face + 0.16, 0.4, 0.25, 1.15))
    for x in (face - 0.38, face + 0.38):
        marks.append(Part(x - 0.05, -0.1, 0.15, x + 0.05, -0.1, 0.15, 1, iris))
        marks.append(Part(x, -0.19, slit, x, -0.01, slit, 1, BLACK))
    marks.append(Part(face - 0.06, 0.25, 0.06, face + 0.06, 0.25, 0.06, 1, PINK))
    return parts, marks


def _dog_head(rng, breed, turn):
    face, tip, down = 0.3 * turn, 0.95 * turn * breed.snout, 0.5 - 0.15 * abs(turn)
    ears = []
    for side in (-1, 1):
        if breed.floppy:
            x, low = 0.68 * side - 0.1 * turn, 0.75 * breed.ear - 0.2
            ears.append(Part(x, -0.42, 0.24, x + 0.22 * side, low, 0.27, 0.75))
        else:
            x, high = 0.52 * side - 0.1 * turn, -0.5 - 0.85 * breed.ear
            ears.append(Part(x, -0.5, 0.3, x + 0.14 * side, high, 0.07, 0.85))
    skull = Part(0, -0.18, 0.78, face, 0.15, 0.7)
    muzzle = Part(face, 0.25, 0.46, tip, down, 0.34, 1.12)
    marks = [Part(x, -0.21, 0.11, x, -0.19, 0.11, 1, BLACK) for x in (face - 0.34, face + 0.34)]
    if rng.random() < 0.35:  # the tongue
        marks.append(Part(tip, down + 0.2, 0.09, tip, down + 0.42, 0.1, 1, PINK))
    marks.append(Part(tip - 0.06, down - 0.08, 0.13, tip + 0.06, down - 0.08, 0.13, 1, BLACK))
    return [skull, muzzle, *ears] if breed.floppy else [*ears, skull, muzzle], marks


# ---- Poses: each returns the body's parts and where the head goes: (x, y, radius, turn). ----


def _sit(rng, breed):
    wide, lean, paws = breed.stout, rng.uniform(-0.06, 0.06), rng.uniform(0.06, 0.1)
    tail_x, tail_y = 0.3 + 0.15 * breed.tail, rng.uniform(0, 0.4)
    body = [
        Part(0.15, 0.38, 0.05, 0.34, 0.42, 0.05, 0.85),
        Part(0.34, 0.42, 0.05, tail_x, tail_y, 0.04, 0.85),
        Part(lean, -0.1, 0.15 * wide, 0, 0.24, 0.22 * wide),
        Part(-0.17 * wide, 0.3, 0.12, -0.2 * wide, 0.4, 0.07, 0.95),
        Part(0.17 * wide, 0.3, 0.12, 0.2 * wide, 0.4, 0.07, 0.95),
        Part(lean - 0.07, 0.08, 0.06, -paws, 0.43, 0.055, 1.05),
        Part(lean + 0.07, 0.08, 0.06, paws, 0.43, 0.055, 1.05),
    ]
    return body, (1.3 * lean, -0.28, 0.2, rng.uniform(-0.7, 0.7))


def _stand(rng, breed):
    thick, foot = 0.16 * breed.stout, 0.1 + 0.33 * breed.leg
    a, b, c, d = rng.uniform(-0.1, 0.1, size=4).tolist()  # the four steps
    rise, high = rng.uniform(-0.35, 0.2), rng.uniform(-0.32, -0.2)
    body = [
        Part(-0.3, -0.1, 0.06, -0.36 - 0.2 * breed.tail, rise * breed.tail - 0.08, 0.035, 0.9),
        Part(-0.2, 0, 0.075, a - 0.2, foot - 0.03, 0.05, 0.72),
        Part(0.14, 0, 0.075, b + 0.14, foot - 0.03, 0.05, 0.72),
        Part(-0.22, -0.03, thick, 0.2, -0.04, 0.95 * thick),
        Part(-0.26, 0, 0.09, c - 0.26, foot, 0.05),
        Part(0.22, 0, 0.09, d + 0.22, foot, 0.05),
        Part(0.22, -0.08, 0.13, 0.34, high, 0.11),
    ]
    return body, (0.38, high - 0.04, 0.17, rng.uniform(0.2, 1))


def _lie(rng, breed):
    thick, reach, high = 0.18 * breed.stout, rng.uniform(0.34, 0.5), rng.uniform(-0.18, 0.02)
    body = [
        Part(-0.34, 0.2, 0.06, -0.4 - 0.25 * breed.tail, rng.uniform(0, 0.26), 0.04, 0.9),
        Part(0.15, 0.2, 0.06, reach - 0.06, 0.19, 0.05, 0.75),
        Part(-0.24, 0.1, thick, 0.12, 0.08, 0.95 * thick),
        Part(-0.28, 0.14, 0.14, -0.12, 0.24, 0.06, 0.95),
        Part(0.14, 0.2, 0.065, reach, 0.25, 0.055, 1.05),
        Part(0.14, 0.05, 0.14, 0.25, high, 0.12),
    ]
    return body, (0.28, high - 0.04, 0.19, rng.uniform(-0.5, 1))


def _curl(rng, breed):
    thick = 0.27 * breed.stout
    body = [
        Part(-0.1, 0.02, thick, 0.12, 0.03, thick),
        Part(0.22, 0.14, 0.19, 0.1, 0.22, 0.1, 0.95),
        Part(0.34, 0.16, 0.06, 0.1, 0.26, 0.06, 0.85),
        Part(0.1, 0.26, 0.06, 0.1 - 0.35 * breed.tail, 0.25, 0.05, 0.85),
    ]
    return body, (-0.26, rng.uniform(0.08, 0.16), 0.19, rng.uniform(-1, 0.3))


def _closeup(rng, breed):
    lean = rng.uniform(-0.12, 0.12)
    body = [Part(lean, 0.25, 0.22, 1.5 * lean, 0.75, 0.36 * breed.stout, 0.9)]
    return body, (0, -0.04, 0.31, rng.uniform(-0.8, 0.8))


POSES = (_sit, _stand, _lie, _curl, _closeup)


def _animal(rng, label):
    """Draw a pose and a position of one animal: lists of Part (body, head, marks)."""
    breed = _breed(label)
    pose, scale, mirror = POSES[rng.integers(len(POSES))], rng.uniform(0.7, 1.17), rng.integers(2)
    tilt, nod, *shift = rng.uniform((-0.2, -0.25, -0.12, -0.12), (0.2, 0.25, 0.12, 0.12)).tolist()
    body, (x, y, radius, turn) = pose(rng, breed)
    head, marks = (_dog_head if breed.is_dog else _cat_head)(rng, breed, turn)
    head, marks = (_move(parts, radius, 1, nod, x, y) for parts in (head, marks))
    flip = 1 - 2 * int(mirror)
    return [_move(parts, scale, flip, tilt, *shift) for parts in (body, head, marks)]


def _move(parts, scale, flip, angle, x, y):
    """Scale and turn parts (by ``angle`` radians), mirror them if ``flip`` is -1, shift them."""
    # Sines and cosines may differ in the last bit between machines; rounding keeps outlines equal.
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)

    def circle(px, py, r):
        moved = flip * (cos * px - sin * py) + x, sin * px + cos * py + y, scale * r
        return [round(value, 5) for value in moved]

    return [Part(*circle(*p[:3]), *circle(*p[3:6]), *p[6:]) for p in parts]


def _occluder(rng):
    """An object in front of about a quarter of the animals: a Part, or None."""
    chance, kind, color = rng.random(), rng.integers(3), rng.uniform(30, 220, 3)
    side, shift, width = 2 * int(rng.integers(2)) - 1, rng.uniform(-1, 1), rng.uniform(0.8, 1.3)
    post = 0.25 * shift, -1, 0.05 * width, 0.3 * shift, 1, 0.06 * width
    log = -1, 0.4 + 0.1 * shift, 0.12 * width, 1, 0.4, 0.12 * width
    ball = 0.3 * side, 0.3 + 0.1 * shift, 0.16 * width, 0.34 * side, 0.3, 0.16 * width
    return Part(*(post, log, ball)[kind], 1, color) if chance < 0.27 else None


# ---- Drawing. Colors are float32 [3, H, W], 0..255, until the end: NumPy is several times faster
# on a long last axis. ----


def _frame(height, width):
    scale = math.sqrt(height * width)
    xs = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / scale
    ys = (np.arange(height, dtype=np.float32) + 0.5 - height / 2) / scale
    return Frame(xs[None, :], ys[:, None], scale)


def _color(rgb):
    return np.float32(rgb).reshape(3, 1, 1)


def _distance(part, frame, margin):
    """Signed distance [h, w] to a part, in the box (two slices) within ``margin`` of it.

    Most parts are small, so the box saves time. The formula has only + - * / and square roots,
    which give the same bits on every machine.
    """
    x0, y0, r0, x1, y1, r1 = part[:6]

    def span(v0, v1, side):
        low, high = min(v0 - r0, v1 - r1) - margin, max(v0 + r0, v1 + r1) + margin
        ends = (int(v * frame.scale + side / 2) for v in (low, high + 1 / frame.scale))
        return slice(*(min(max(end, 0), side) for end in ends))

    box = span(y0, y1, frame.ys.size), span(x0, x1, frame.xs.size)
    x, y, dx, dy = frame.xs[:, box[1]] - x0, frame.ys[box[0]] - y0, x1 - x0, y1 - y0
    length2 = max(dx * dx + dy * dy, 1e-9)
    along = x * (dx / length2) + y * (dy / length2)  # [h, w]: 0 at the first circle, 1 at the other
    along = np.minimum(np.maximum(along, 0), 1)
    x, y = x - along * dx, y - along * dy
    return np.sqrt(x * x + y * y) - (r0 + along * (r1 - r0)), box


def _silhouette(parts, frame):
    """Signed distance to the animal, and the brightness of its coat, both float32 [H, W]."""
    shape = frame.ys.size, frame.xs.size
    outline, light = np.ones(shape, np.float32), np.full(shape, 0.93, np.float32)  # 1: far
    for part in parts:
        distance, box = _distance(part, frame, margin=2 * BLEND)
        # A smooth minimum: the union of the parts, with rounded creases.
        blend = np.maximum(BLEND - np.abs(outline[box] - distance), 0)
        outline[box] = np.minimum(outline[box], distance) - blend * blend / (4 * BLEND)
        # Darker toward the part's edge, to separate a leg from the trunk behind it.
        depth = distance / -max(part.r0, part.r1)
        np.copyto(light[box], part.light * (0.92 + 0.3 * depth), where=distance < 0)
    return outline, light - 0.2 * frame.ys


def _paint(image, part, frame):
    """Paint a part in its color over ``image``, in place."""
    distance, box = _distance(part, frame, margin=0.02)
    alpha = np.minimum(np.maximum(0.5 - distance * frame.scale, 0), 1)  # antialiased
    shade = 0.88 - 0.2 / max(part.r0, part.r1) * np.minimum(distance, 0)
    target = image[:, box[0], box[1]]
    target += alpha * (_color(part.color) * shade - target)


@cache
def _weights(count, side):
    """Matrix [side, count] that smoothly interpolates ``count`` values at ``side`` pixels."""
    position = np.linspace(0, count - 1, side)
    linear = np.clip(1 - np.abs(position[:, None] - np.arange(count)), 0, 1)
    return linear * linear * (3 - 2 * linear)


def _noise(rng, count, frame):
    """Smooth noise float32 [H, W], -1..1, with ``count`` bumps along each side."""
    rows, columns = _weights(count, frame.ys.size), _weights(count, frame.xs.size)
    return (rows @ rng.uniform(-1, 1, (count, count)) @ columns.T).astype(np.float32)


def _phase(rng, frame, wobble):
    """The phase of a wave of random direction and length, float32 [H, W], in periods."""
    angle, pitch = rng.uniform(0, math.pi), rng.uniform(4, 10)
    return frame.xs * (pitch * math.cos(angle)) + frame.ys * (pitch * math.sin(angle)) + wobble


def _scenery(rng, frame, coat, contrast):
    """The background; its colors are ``contrast`` (0..1, None = random) away from the coat's."""
    random_contrast = rng.uniform(0.1, 0.75)
    contrast = random_contrast if contrast is None else contrast
    # Wall and floor are both lighter or both darker than the coat.
    offsets = 2 * rng.integers(2) - 1 + rng.normal(0, 0.4, (2, 3))
    offsets *= 150 * contrast / np.linalg.norm(offsets, axis=1, keepdims=True)
    level, slope = rng.uniform((-0.1, -0.15), (0.7, 0.15)).tolist()
    is_floor = frame.ys > level + slope * frame.xs
    image = np.where(is_floor, *(_color(coat + offset) for offset in offsets))
    for _ in range(rng.integers(6)):  # furniture and toys, often in colors of a coat
        circles = rng.uniform((-0.6, -0.6, 0.02), (0.6, 0.6, 0.12), (2, 3)).ravel().tolist()
        color = coat + rng.normal(0, 35) + rng.normal(0, 15, 3)
        _paint(image, Part(*circles, 1, color), frame)
    coarse, fine = _noise(rng, 4, frame), _noise(rng, 14, frame)
    phase = _phase(rng, frame, wobble=coarse)
    a, b, c = (rng.uniform(0, (40, 45, 60)) * (1, 1, rng.random() < 0.35)).tolist()
    return image + (a * coarse + b * fine + c * (4 * np.abs(phase - np.rint(phase)) - 1))


def _shade_map(rng, frame, shades):
    """The shade (0..shades-1) of each pixel, int [H, W]: patches, stripes or some of both."""
    # Stripes where the noise is below the threshold: nowhere, on about half, everywhere.
    threshold = (-1, 0, 1)[rng.integers(3)]
    noise, wobble, *fields = (_noise(rng, count, frame) for count in (4, 5, *[7] * MAX_SHADES))
    phase = _phase(rng, frame, wobble)
    stripes = np.floor(2 * phase).astype(int) % shades  # two shades per period
    patches = np.argmax(fields[:shades], axis=0)  # each shade where its field is the largest
    return np.where(noise < threshold, stripes, patches)


def _coat(rng, frame, mean, inside, shades, contrast):
    """The coat's colors, whose mean over the animal is ``mean`` for any shades and contrast."""
    random_shades, random_contrast = int(rng.integers(1, MAX_SHADES + 1)), rng.uniform(0.2, 1)
    shades = random_shades if shades is None else shades
    contrast = random_contrast if contrast is None else contrast
    # Equal steps from dark to bright and from cold to warm, in two independent orders.
    bright, warm = (np.argsort(keys[:shades])[:, None] for keys in rng.random((2, MAX_SHADES)))
    middle, step = (shades - 1) / 2, contrast / max((shades - 1) / 2, 1 / 2)
    palette = step * ((bright - middle) * (70, 67, 61) + (warm - middle) * (22, 3, -25))
    shade_map = _shade_map(rng, frame, shades)
    shares = np.bincount(shade_map[inside], minlength=shades) / np.count_nonzero(inside)
    palette += mean - shares @ palette  # [shades, RGB]
    return np.take(np.float32(palette.T), shade_map, axis=1)


def _grain(rng, frame, alpha):
    """Fur, grass and camera noise, float32 [H, W]: short vertical streaks."""
    animal, scenery = rng.uniform(10, 60, 2).tolist()
    speckle = rng.random((frame.ys.size + 2, frame.xs.size), dtype=np.float32) - 0.5
    streaks = (speckle[:-2] + speckle[1:-1] + speckle[2:]) / 3
    return streaks * (scenery + alpha * (animal - scenery))


def _trimap(outline, occluder, frame):
    """The segmentation mask uint8 [H, W, 1], with a border along the visible outline."""
    visible = outline.copy()
    if occluder:
        distance, box = _distance(occluder, frame, margin=2 * BLEND)
        visible[box] = np.maximum(visible[box], -distance)
    inner = np.where(visible < -HALF_BORDER, np.uint8(PET), np.uint8(BORDER))
    return np.where(visible > HALF_BORDER, np.uint8(BACKGROUND), inner)[..., None]


def _head_box(head, frame):
    """(ymin, xmin, ymax, xmax) of the head, as fractions of the frame, float32 [4]."""
    x, y, r = np.array([circle for part in head for circle in (part[:3], part[3:6])]).T
    ends = np.array([(y - r).min(), (x - r).min(), (y + r).max(), (x + r).max()])
    sides = np.array([frame.ys.size, frame.xs.size] * 2) / frame.scale
    return np.clip(ends / sides + 0.5, 0, 1).astype(np.float32)


def _is_whole(value, low, high=math.inf):
    return isinstance(value, int | np.integer) and low <= value <= high


def _check(index, seed, split, size, shades):
    """Raise ValueError for the first invalid argument."""
    for name, value in (("index", index), ("seed", seed)):
        if not _is_whole(value, 0):
            raise ValueError(f"{name} must be a whole number from 0 up, got {value!r}")
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    sides = (SMALLEST_SIDE,) * 2 if size is None else size
    if np.shape(sides) != (2,) or not all(_is_whole(side, SMALLEST_SIDE) for side in sides):
        raise ValueError(
            f"size must be (height, width) in whole pixels, each {SMALLEST_SIDE} or "
            f"more, or None for varied sizes, got {size!r}"
        )
    if shades is not None and not _is_whole(shades, 1, MAX_SHADES):
        raise ValueError(f"shades must be a whole number from 1 to {MAX_SHADES}, got {shades!r}")


def _check_contrast(name, value):
    if value is not None and not 0 <= value <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1, got {value!r}")


def example(
    index, *, seed=0, split="train", size=None, shades=None, contrast=None, background_contrast=None
):
    """Draw one example, the same for the same (seed, split, index).

    Shades and contrasts change colors only: the animal, its pose and the mask stay the same.
    ``shades`` and ``contrast`` leave all pixels outside the animal unchanged.

    Args:
        index: number of the example, from 0.
        seed: number of the dataset, from 0.
        split: "train" or "test"; the two share no animal.
        size: (height, width) in pixels, or None for varied sizes with sides of 96 to 260.
        shades: number of shades in the coat, 1 to 6, or None for a random number.
        contrast: difference of the shades, 0 to 1, or None for a random one.
        background_contrast: difference of the background's colors from the mean coat, 0 to 1, or
            None for a random one.

    Returns:
        A dict with the keys of oxford_iiit_pet 4.0.0: "image" uint8 [H, W, 3];
        "segmentation_mask" uint8 [H, W, 1] (1 pet, 2 background, 3 border); "label" int, the
        breed 0..36; "species" int (0 cat, 1 dog); "file_name" str; "head_bbox" float32 [4],
        (ymin, xmin, ymax, xmax) as fractions of the frame.

    Raises:
        ValueError: for an argument that is out of range.
    """
    _check(index, seed, split, size, shades)
    _check_contrast("contrast", contrast)
    _check_contrast("background_contrast", background_contrast)
    # Separate random streams: another number of shades can't change the pose.
    root = np.random.default_rng([seed, SPLITS[split], index])
    pose_rng, coat_rng, scene_rng, grain_rng = root.spawn(4)
    label, random_size = int(root.integers(len(BREEDS))), root.integers(96, 261, size=2).tolist()
    frame = _frame(*(size or random_size))

    (body, head, marks), occluder = _animal(pose_rng, label), _occluder(pose_rng)
    outline, light = _silhouette(body + head, frame)
    alpha = np.clip(0.5 - outline * frame.scale, 0, 1)  # [H, W]: 1 inside the animal, 0 outside
    mean_coat = _breed(label).coat + coat_rng.normal(0, 8, 3)
    coat = _coat(coat_rng, frame, mean_coat, outline < 0, shades, contrast)
    image = _scenery(scene_rng, frame, mean_coat, background_contrast)
    image += alpha * (coat * light - image)
    for part in [*marks, occluder] if occluder else marks:
        _paint(image, part, frame)
    image += _grain(grain_rng, frame, alpha)
    image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return {
        "image": np.ascontiguousarray(image.transpose(1, 2, 0)),  # [3, H, W] -> [H, W, 3]
        "segmentation_mask": _trimap(outline, occluder, frame),
        "label": label,
        "species": SPECIES[BREEDS[label]],
        # Even for train, odd for test: no file name is in both.
        "file_name": f"{BREEDS[label]}_{2 * index + SPLITS[split]:06d}.jpg",
        "head_bbox": _head_box(head, frame),
    }


def examples(count, **options):
    """A generator of examples 0 to count - 1; ``options`` are those of ``example``.

    Raises:
        ValueError: if count is not a whole number from 0 up; for invalid options, when the first
            example is drawn.
    """
    if not _is_whole(count, 0):
        raise ValueError(f"count must be a whole number from 0 up, got {count!r}")
    return (example(index, **options) for index in range(count))
