"""The three classes of the Oxford-IIIT Pet trimaps: numbers, names and colors.

The dataset numbers its labels 1, 2, 3 (its own ``annotations/README``: "1: Foreground
2: Background 3: Not classified"). Everywhere outside ``labkit.data`` the course uses 0, 1, 2.
"""

import numpy as np

PET, BACKGROUND, BORDER = 0, 1, 2
NAMES = ("pet", "background", "border")
NUM_CLASSES = len(NAMES)

# Orange, deep blue and pale cream differ in lightness (CIELAB L about 70, 25 and 95): color-blind
# readers and readers of a gray print can tell them apart.
COLORS = ("#E69F00", "#253F73", "#FFF1CC")


def number(name):
    """The number of a class: ``number("pet")`` is 0.

    A valid class number is returned unchanged. Raises ValueError for an unknown class.
    """
    if name in NAMES:
        return NAMES.index(name)
    if isinstance(name, (int, np.integer)) and 0 <= name < NUM_CLASSES:
        return int(name)
    raise ValueError(f"unknown class {name!r}: use one of {', '.join(NAMES)}, or 0, 1, 2")


def check_count(num_classes):
    """Raise ValueError for fewer than two classes."""
    if num_classes < 2:
        raise ValueError(f"num_classes is {num_classes}: use at least 2, for background and object")


def color_mask(mask):
    """A mask as a picture.

    Args:
        mask: integers 0-2, ``[H, W]`` or ``[H, W, 1]``.

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
    invalid = sorted(set(np.unique(mask).tolist()) - set(range(NUM_CLASSES)))
    if invalid:
        raise ValueError(
            f"the mask holds {invalid[:5]}, but classes are 0, 1, 2: "
            "subtract 1 from the dataset's own labels 1, 2, 3"
        )
    palette = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in COLORS], np.uint8)
    return palette[mask.astype(int)]
