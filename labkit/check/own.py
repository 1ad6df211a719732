"""Tasks of the lab on pictures of one's own. The classes are numbered from 0; 255 is ignored."""

import numpy as np
from scipy import ndimage

from labkit.check.answer import NotDone
from labkit.check.engine import task
from labkit.check.mistakes import edits
from labkit.check.question import Question

__all__ = ["NotDone"]

GRAY = np.array([[0, 0, 128], [255, 128, 0]], "uint8")
STRANGE = np.array([[7, 3], [9, 7]], "uint8")
BINARY = np.array([[0, 255], [255, 255]], "uint8")


@task(
    "9.1",
    cases=((GRAY, [0, 128, 255]), (STRANGE, [3, 7]), (BINARY, [255, 0]), (STRANGE, [9, 7, 3])),
    mistakes=edits("""
        np.full(mask.shape, 255, "uint8") => np.zeros(mask.shape, "uint8")
            A value without a class becomes class 0. It belongs to no class: make it 255.
        np.full(mask.shape, 255, "uint8") => mask.copy()
            A value without a class stays as it is, and may be read as a class. Make it 255.
        enumerate(values) => enumerate(values, 1)
            The classes count from 1. The first one is 0.
        enumerate(values) => enumerate(sorted(values))
            The classes are in the order of the numbers. Keep the order of the list.
        enumerate(values) => enumerate(np.unique(mask))
            The classes are the values of this mask. Use the list, or each mask has other classes.
        numbers[mask == value] = number => numbers[mask == value] = value
            The mask keeps its values. Write the place of the value in the list.
    """),
)
def class_numbers(mask, values):
    numbers = np.full(mask.shape, 255, "uint8")
    for number, value in enumerate(values):
        numbers[mask == value] = number
    return numbers


FEW = np.array([[[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 2], [0, 0, 0, 0]]], "uint8")
UNEVEN = np.stack([np.zeros((20, 20), "uint8"), np.arange(400).reshape(20, 20) // 300], 0)
UNEVEN = UNEVEN.astype("uint8")[..., None]
UNSURE = np.array([[0, 0, 0, 1], [255, 255, 255, 1]], "uint8")


@task(
    "9.2",
    cases=((FEW, 3), (UNEVEN, 2), (np.ones((1, 2, 2), "uint8"), 2), (FEW, 4), (UNSURE, 2)),
    mistakes=edits("""
        shares > 0, 1 / np.sqrt => shares >= 0, 1 / np.sqrt
            A class without pixels has weight 0 here; 1 / 0 is infinite.
        1 / np.sqrt(num_classes * => 1 / (num_classes *
            The square root is missing. Without it, a rare class weighs so much that it is predicted
            everywhere.
        num_classes * np.maximum(shares, 1e-12) => np.maximum(shares, 1e-12)
            The factor num_classes is missing. With it, equal shares give the weight 1.
        1 / np.sqrt(num_classes * np.maximum(shares, 1e-12)) => np.sqrt(num_classes * shares)
            The largest class gets the largest weight. Take the reciprocal.
        masks[masks < num_classes] => masks.ravel()
            Ignored pixels, 255, are counted as a class. Leave them out.
        counts / counts.sum() => counts / masks.size
            The shares are of all pixels. Ignored pixels, 255, do not count.
        , minlength=num_classes =>
            The number of weights is that of the classes which occur. Return one for each class.
        counts / counts.sum() => counts / len(masks)
            The counts are divided by the number of images. Divide by the number of pixels.
        counts / counts.sum() => counts
            The shares are counts. Divide them by the number of pixels.
        counts / counts.sum() => (counts % 256) / counts.sum()
            A count is kept in uint8, which wraps around at 256. Count in a larger integer type.
    """),
)
def class_weights(masks, num_classes):
    counts = np.bincount(masks[masks < num_classes], minlength=num_classes)
    shares = counts / counts.sum()
    return np.where(shares > 0, 1 / np.sqrt(num_classes * np.maximum(shares, 1e-12)), 0)


PHOTOS = np.array(["b", "b", "a", "c", "c", "c"])
MANY = np.array(["p3", "p1", "p4", "p1", "p5", "p9", "p2", "p6", "p3"])


@task(
    "9.3",
    cases=((PHOTOS, 0, 3), (PHOTOS, 2, 3), (PHOTOS, 0, 2), (PHOTOS, 1, 2), (MANY, 1, 4)),
    mistakes=edits("""
        np.unique(photo)[fold::count] => photo[fold::count]
            Every count-th tile is chosen, and with it the other tiles of its photograph. Number
            the photographs, not the tiles.
        np.isin(photo, chosen) => np.arange(len(photo)) % count == fold
            Tiles of one photograph are in both parts. Choose photographs, then all of their tiles.
        [fold::count] => [fold + 1::count]
            The folds are shifted by one: the first fold is 0.
        [fold::count] => [fold:fold + count]
            These are neighbors in the list. Fold 0 of 2 has the photographs 0, 2, 4, ...
        [fold::count] => [fold:fold + 1]
            Only one photograph is chosen. There is one in every count photographs.
        return np.isin(photo, chosen) => return ~np.isin(photo, chosen)
            These are the tiles to train on. Return those to validate on.
        return np.isin(photo, chosen) => return np.flatnonzero(np.isin(photo, chosen))
            These are the positions of the tiles. Return True or False for each tile.
    """),
)
def in_fold(photo, fold, count):
    chosen = np.unique(photo)[fold::count]
    return np.isin(photo, chosen)


SPOTS = np.array(
    [
        [2, 2, 0, 0, 2, 0],
        [2, 0, 0, 2, 0, 0],
        [0, 0, 1, 0, 0, 2],
        [1, 1, 1, 0, 2, 2],
        [0, 0, 0, 0, 0, 0],
    ],
    "uint8",
)
# One region, which bends in all four directions.
BENT = np.array([[1, 1, 1, 0, 1], [1, 0, 1, 0, 1], [1, 0, 1, 0, 1], [1, 0, 1, 1, 1]], "uint8")
SPECKS = np.kron(np.eye(20, dtype="uint8")[::2], np.array([[0, 0], [0, 3]], "uint8"))


@task(
    "9.4",
    cases=(
        (SPOTS, 2, 1),
        (SPOTS, 2, 2),
        (SPOTS, 2, 3),
        (SPOTS, 1, 1),
        (SPOTS, 7, 1),
        (SPECKS, 3, 1),
        (BENT, 1, 14),
        (BENT.T, 1, 14),
    ),
    mistakes=edits("""
        mask == class_id => mask > 0
            Objects of all classes are counted. Compare the mask with class_id.
        mask == class_id => mask
            Objects of all classes are counted. Compare the mask with class_id.
        ndimage.label(mask == class_id) => ndimage.label(mask == class_id, np.ones((3, 3)))
            Objects that touch at a corner count as one. Leave the structure out: only pixels that
            share a side are neighbors.
        [1:] =>
            The background is counted too: region 0 is everything that is no object.
        sizes >= smallest => sizes > smallest
            An object of exactly the smallest size is left out.
        sizes >= smallest => sizes > 0
            Small regions are counted too. Compare the sizes with smallest.
        np.sum(sizes >= smallest) => np.sum(sizes[sizes >= smallest])
            This is a number of pixels. Count the objects.
        np.sum(sizes >= smallest) => np.max(sizes, initial=0)
            This is the size of the largest object. Count the objects.
    """),
)
def count_objects(mask, class_id, smallest):
    regions, _ = ndimage.label(mask == class_id)
    sizes = np.bincount(regions.ravel())[1:]
    return int(np.sum(sizes >= smallest))


own_data = Question("9.5", "own_data", words=40)
