"""The three classes of the Oxford-IIIT Pet trimaps: numbers, names and colours.

The dataset numbers its labels 1, 2, 3 (its own ``annotations/README``: "1: Foreground
2: Background 3: Not classified"). Everywhere outside ``labkit.data`` the course uses 0, 1, 2.
"""

import numpy as np

PET, BACKGROUND, BORDER = 0, 1, 2
NAMES = ("pet", "background", "border")
NUM_CLASSES = len(NAMES)

# Orange, deep blue and pale cream differ in lightness (CIELAB L about 70, 25 and 95), so they
# stay apart for colour-blind readers and on a grey print.
COLOURS = ("#E69F00", "#253F73", "#FFF1CC")


def number(name):
    """Number of the class called ``name``: ``number("pet")`` is 0.

    A number passes through if it is a class. Raises ValueError for an unknown class.
    """
    if name in NAMES:
        return NAMES.index(name)
    if isinstance(name, (int, np.integer)) and 0 <= name < NUM_CLASSES:
        return int(name)
    raise ValueError(f"unknown class {name!r}: use one of {', '.join(NAMES)}, or 0, 1, 2")


def check_count(num_classes):
    """Raises ValueError for fewer than two classes."""
    if num_classes < 2:
        raise ValueError(f"num_classes is {num_classes}: background and object make at least 2")


def colour_mask(mask):
    """Mask as a picture.

    Args:
        mask: integers 0-2, ``[H, W]`` or ``[H, W, 1]``.

    Returns:
        uint8 ``[H, W, 3]``, each pixel in the colour of its class.

    Raises:
        ValueError: if the mask holds another value or has another shape.
    """
    mask = np.asarray(mask)
    if mask.ndim == 3 and mask.shape[-1] == 1:
        mask = mask[..., 0]
    if mask.ndim != 2:
        raise ValueError(f"a mask has shape [H, W] or [H, W, 1], got {mask.shape}")
    strange = sorted(set(np.unique(mask).tolist()) - set(range(NUM_CLASSES)))
    if strange:
        raise ValueError(
            f"the mask holds {strange[:5]}, but classes are 0, 1, 2: "
            "the dataset's own labels 1, 2, 3 become these when 1 is subtracted"
        )
    palette = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in COLOURS], np.uint8)
    return palette[mask.astype(int)]
