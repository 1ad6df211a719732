"""What is wrong with a dataset: ``check`` lists suspicious images and masks."""

import numpy as np
from PIL import Image

from labkit.classes import IGNORE

RARE = 100  # pixels in a split, below which a class is called rare
THUMBNAIL = 8  # side of the gray pictures that are compared to find duplicates
ALIKE = 2.0  # mean difference of their pixels, 0-255


def check(*splits):
    """List what may be wrong with a dataset.

    Args:
        splits: one or more ``Split``, such as train and test, which should share no image.

    Returns:
        A pandas table with a row for each finding: ``split`` (counted from 0), ``index``, ``name``
        and ``problem``. ``index`` and ``name`` are empty where it concerns a whole split. Not every
        finding is a mistake: look at the images (``labkit.plots.show_findings``).
    """
    import pandas as pd

    findings = []
    for number, split in enumerate(splits):
        findings += [(number, *finding) for finding in _of_split(split)]
        findings += [(number, *finding) for finding in _of_masks(split)]
    findings += _duplicates(splits)
    table = pd.DataFrame(findings, columns=["split", "index", "name", "problem"])
    return table.astype({"split": int, "index": "Int64"})


def _name(split, index):
    return str(split.table["name"][index]) if "name" in split.table else str(index)


def _of_split(split):
    """Yield (None, "", problem) for a whole split."""
    images, masks = split.images, split.masks
    if masks.shape != (*images.shape[:3], 1):
        shapes = f"images have shape {images.shape} and masks {masks.shape}"
        yield None, "", f"{shapes}: use [N, H, W, 3] and [N, H, W, 1] of the same N, H and W"
    counts = np.array([[np.sum(mask == k) for k in range(len(split.classes))] for mask in masks])
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
        between &= ndimage.binary_dilation(mask > k, reach)
        if between.sum() > region.sum() / 2:
            thin.append(k)
    return thin


def _duplicates(splits):
    """Findings about images that look the same, in one split or in two."""
    from scipy.spatial import cKDTree

    places = [(number, index) for number, split in enumerate(splits) for index in range(len(split))]
    thumbnails = [thumbnail(splits[number].images[index]) for number, index in places]
    tree = cKDTree(np.array(thumbnails))
    findings = []
    for first, second in sorted(tree.query_pairs(ALIKE * THUMBNAIL**2, p=1)):
        (number, index), (other, other_index) = places[second], places[first]
        where = "" if number == other else f" in split {other}"
        text = f"looks like {_name(splits[other], other_index)}{where}"
        if number != other:
            text += ": a test image must not be a train image"
        findings.append((number, index, _name(splits[number], index), text))
    return findings


def thumbnail(image):
    """A small gray copy of an image ``[H, W, 3]``, float64 ``[64]``."""
    picture = Image.fromarray(np.asarray(image, np.uint8)).convert("L")
    small = picture.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(small, float).ravel()
