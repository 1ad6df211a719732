"""What is wrong with a dataset: ``check`` lists suspicious images and masks."""

import numpy as np
from PIL import Image

from labkit.classes import IGNORE

RARE = 100  # pixels in a split, below which a class is called rare
THUMBNAIL = 8  # side of the gray pictures that are compared to find duplicates
ALIKE = 2.0  # mean difference of their pixels, 0-255
FLAT = 8.0  # standard deviation of their pixels, below which pictures are not compared


def check(*splits):
    """List what may be wrong with a dataset.

    Args:
        splits: one or more ``Split`` of the same classes, such as train and test, which should
            share no image.

    Returns:
        A pandas table with a row for each finding: ``split`` (counted from 0), ``index``, ``name``
        and ``problem``. ``index`` and ``name`` are empty where it concerns a whole split. Not every
        finding is a mistake: look at the images (``labkit.plots.show_findings``).
    """
    import pandas as pd

    if len({split.classes for split in splits}) != 1:
        raise ValueError("check needs one or more splits of the same classes")
    findings = [
        (number, *finding) for number, split in enumerate(splits) for finding in _of_shapes(split)
    ]
    if not findings:  # else nothing can be compared
        for number, split in enumerate(splits):
            findings += [(number, *finding) for finding in (*_of_classes(split), *_of_masks(split))]
        findings += _duplicates(splits)
    table = pd.DataFrame(findings, columns=["split", "index", "name", "problem"])
    return table.astype({"split": int, "index": "Int64"})


def _name(split, index):
    return str(split.table["name"][index]) if "name" in (split.table or ()) else str(index)


def _of_shapes(split):
    """Yield (None, "", problem) for images and masks that are no split."""
    images, masks = np.shape(split.images), np.shape(split.masks)
    if len(images) != 4 or images[-1] != 3 or masks != (*images[:3], 1):
        shapes = f"images have shape {images} and masks {masks}"
        yield None, "", f"{shapes}: use [N, H, W, 3] and [N, H, W, 1] of the same N, H and W"
    elif not len(split):
        yield None, "", "the split is empty: use at least one image"


def _of_classes(split):
    """Yield (None, "", problem) for each rare class."""
    numbers = range(len(split.classes))
    counts = np.array([[np.sum(mask == k) for k in numbers] for mask in split.masks])
    for name, column in zip(split.classes.names, counts.T, strict=True):
        if column.sum() < RARE:
            found = f"class {name} has only {column.sum()} pixels, in {np.sum(column > 0)} images"
            yield None, "", f"{found}: no score of it can be relied on"


def _of_masks(split):
    """Yield (index, name, problem) for single masks."""
    names = split.classes.names
    for index, mask in enumerate(split.masks):
        values = np.unique(mask).tolist()
        invalid = split.classes.invalid(mask)
        if invalid:
            remedy = split.classes.remedy(values)
            yield index, _name(split, index), f"the mask holds {invalid[:5]}: {remedy}"
            continue
        valid = [value for value in values if value != IGNORE]
        if not valid:
            yield index, _name(split, index), "the whole mask is ignored"
        elif len(valid) == 1:
            yield index, _name(split, index), f"the whole mask is {names[valid[0]]}"
        for k in _thin_between(np.squeeze(mask), valid):
            text = f"class {names[k]} is only a thin line between others"
            yield index, _name(split, index), f"{text}: was the mask resized by interpolation?"


def _thin_between(mask, values):
    """Classes of a mask that fill no 3x3 square and lie between a lower and a higher class.

    Interpolation puts such lines along the edge of classes 0 and 2, for example.
    """
    from scipy import ndimage

    thin, reach = [], np.ones((5, 5))
    for k in values[1:-1]:
        region = mask == k
        if ndimage.binary_erosion(region, np.ones((3, 3)), border_value=1).any():
            continue
        between = region & ndimage.binary_dilation(mask < k, reach)
        between &= ndimage.binary_dilation((mask > k) & (mask != IGNORE), reach)
        if between.sum() > region.sum() / 2:
            thin.append(k)
    return thin


def _duplicates(splits):
    """Findings about images that look the same, one for each; first those in another split."""
    from scipy.spatial import cKDTree

    places = [(number, index) for number, split in enumerate(splits) for index in range(len(split))]
    thumbnails = np.array([thumbnail(splits[number].images[index]) for number, index in places])
    numbers = np.flatnonzero(thumbnails.std(1) >= FLAT)
    if not len(numbers):
        return []
    near = cKDTree(thumbnails[numbers]).query_ball_point(
        thumbnails[numbers], ALIKE * THUMBNAIL**2, p=1, return_sorted=True
    )
    findings = []
    for place, others in zip(numbers, near, strict=True):
        earlier = [places[numbers[other]] for other in others if numbers[other] < place]
        if earlier:  # of the first split, if there is one
            findings.append(_looks_like(splits, places[place], earlier[0]))
    return sorted(findings, key=lambda finding: "in split" not in finding[-1])


def _looks_like(splits, place, other):
    """The finding that the image at a place (split, index) looks like another one."""
    text = f"looks like {_name(splits[other[0]], other[1])}"
    if place[0] != other[0]:
        text += f" in split {other[0]}: a test image must not be a train image"
    return (*place, _name(splits[place[0]], place[1]), text)


def thumbnail(image):
    """A small gray copy of an image ``[H, W, 3]``, float64 ``[64]``."""
    picture = Image.fromarray(np.asarray(image, np.uint8)).convert("L")
    small = picture.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(small, float).ravel()
