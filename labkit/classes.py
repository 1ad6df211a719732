"""Names, numbers and colors of classes; ``PETS`` are the three of the Oxford-IIIT Pet trimaps.

The dataset numbers its labels 1, 2, 3 (its own ``annotations/README``: "1: Foreground
2: Background 3: Not classified"). Everywhere outside ``labkit.data`` the course uses 0, 1, 2.
"""

import colorsys
import re
from dataclasses import dataclass

import numpy as np

IGNORE = 255  # in a mask: a pixel of no class, which counts in no loss and no score
IGNORE_COLOR = "#999999"
BACKGROUND_NAME = "background"
# Color-blind readers can tell the first eight apart (Okabe and Ito 2008, with a blue for black).
PALETTE = ("#253F73", "#E69F00", "#56B4E9", "#F0E442", "#009E73", "#D55E00", "#CC79A7", "#0072B2")


@dataclass(frozen=True)
class Classes:
    """The classes of a dataset: class k of ``names`` has the value k in masks.

    Args:
        names: two or more different strings. One may be "background": ``main`` is the first other.
        colors: one for each, such as "#E69F00"; None for a palette.
        ignore: whether masks may also hold 255 (``IGNORE``), for pixels that count in no loss and
            no score.

    Raises:
        ValueError: for fewer than two names, equal ones, another number of colors, or a color
            that is not as "#E69F00".
    """

    names: tuple
    colors: tuple = None
    ignore: bool = False

    def __post_init__(self):
        names = tuple(self.names)
        check_count(len(names))
        if isinstance(self.names, str) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"names are {self.names!r}: use strings, such as ('sky', 'tree')")
        if len(set(names)) < len(names):
            raise ValueError(f"names are {', '.join(names)}: use each only once")
        colors = palette(len(names)) if self.colors is None else tuple(self.colors)
        if len(colors) != len(names):
            raise ValueError(f"{len(names)} classes and {len(colors)} colors: give one for each")
        for color in colors:
            rgb(color)  # raises for what is no color
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "colors", colors)

    def __len__(self):
        return len(self.names)

    @property
    def background(self):
        """The number of the class "background", or None."""
        names = self.names
        return names.index(BACKGROUND_NAME) if BACKGROUND_NAME in names else None

    @property
    def ignored(self):
        """255 if it is ignored, else None: the argument ``ignore`` of functions in ``metrics``."""
        return IGNORE if self.ignore else None

    @property
    def main(self):
        """The name of the first class that is not the background."""
        return next(name for name in self.names if name != BACKGROUND_NAME)

    def number(self, name):
        """The number of a class: ``PETS.number("pet")`` is 0.

        A valid class number is returned unchanged. Raises ValueError for an unknown class.
        """
        if name in self.names:
            return self.names.index(name)
        if isinstance(name, (int, np.integer)) and 0 <= name < len(self):
            return int(name)
        last = len(self) - 1
        names = ", ".join(self.names)
        raise ValueError(
            f"unknown class {name!r}: use one of {names}, or a number from 0 to {last}"
        )

    def color_mask(self, mask):
        """A mask as a picture.

        Args:
            mask: class numbers, ``[H, W]`` or ``[H, W, 1]``; 255 becomes gray if it is ignored.

        Returns:
            uint8 ``[H, W, 3]``, each pixel in the color of its class.

        Raises:
            ValueError: if the mask holds another value or has another shape.
        """
        mask = np.asarray(mask)
        if mask.ndim == 3 and mask.shape[-1] == 1:
            mask = mask[..., 0]
        if mask.ndim != 2:
            raise ValueError(f"a mask has shape [H, W] or [H, W, 1], got {mask.shape}")
        invalid = self.invalid(mask)
        if invalid:
            raise ValueError(f"the mask holds {invalid[:5]}: {self.remedy(np.unique(mask))}")
        colors = np.full((256, 3), rgb(IGNORE_COLOR), np.uint8)
        colors[: len(self)] = [rgb(color) for color in self.colors]
        return colors[mask.astype(int)]

    def invalid(self, mask):
        """The values of a mask that are no class (and not ignored), as a sorted list."""
        allowed = set(range(len(self))) | ({IGNORE} if self.ignore else set())
        return sorted(set(np.unique(mask).tolist()) - allowed)

    def remedy(self, values):
        """What to do about masks that hold these values, as part of a sentence."""
        values = sorted(set(np.asarray(values).tolist()))
        count = len(self)
        text = f"the {count} classes are 0 to {count - 1} ({', '.join(self.names)})"
        if set(values) <= {0, 255}:
            return f"{text}; divide masks of 0 and 255 by 255"
        if values and values[0] == 1 and values[-1] == count:
            return f"{text}; subtract 1 from masks that count from 1"
        if IGNORE in values:
            return f"{text}; if 255 marks pixels to leave out, use Classes(..., ignore=True)"
        return (
            f"{text}; give each class a whole number, from 0 up, or name the classes of the split, "
            "Split(..., classes=Classes(names))"
        )


def rgb(color):
    """A color such as "#E69F00" as three numbers, 0-255. Raises ValueError for another text."""
    if not re.fullmatch("#[0-9a-fA-F]{6}", str(color)):
        raise ValueError(f'color is {color!r}: use "#RRGGBB", such as "#E69F00"')
    return list(bytes.fromhex(color[1:]))


def palette(count):
    """Colors for a number of classes: eight that are easy to tell apart, then further hues."""
    more = [
        colorsys.hls_to_rgb(0.618 * number % 1, 0.35 + 0.15 * (number % 3), 0.6)
        for number in range(count - len(PALETTE))
    ]
    hexes = ["#" + "".join(f"{round(255 * part):02X}" for part in color) for color in more]
    return (*PALETTE, *hexes)[:count]


def numbered(num_classes):
    """Classes without names of their own: "class 0", "class 1", ..."""
    return Classes(tuple(f"class {number}" for number in range(num_classes)))


def check_count(num_classes):
    """Raise ValueError for fewer than two classes, or more than uint8 can number beside 255."""
    if num_classes < 2:
        raise ValueError(f"num_classes is {num_classes}: use at least 2, for background and object")
    if num_classes > IGNORE:
        raise ValueError(f"num_classes is {num_classes}: use at most {IGNORE}")


PET, BACKGROUND, BORDER = 0, 1, 2
# Orange, deep blue and pale cream differ in lightness (CIELAB L about 70, 25 and 95): color-blind
# readers and readers of a gray print can tell them apart.
PETS = Classes(("pet", "background", "border"), ("#E69F00", "#253F73", "#FFF1CC"))
NAMES, COLORS, NUM_CLASSES = PETS.names, PETS.colors, len(PETS)
