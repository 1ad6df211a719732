"""Lab 9: answers that have to pass, and plausible ones that must not."""

import keras
import numpy as np
from answers import Answers, fails, passes
from scipy import ndimage

from labkit.check import own as check

right, wrong = Answers(passes), Answers(fails)
test_a_right_answer_passes = right.test()
test_a_wrong_answer_fails_with_its_hint = wrong.test()


@right(check.class_numbers)
def by_comparison(mask, values):
    same = mask[..., None] == np.array(values)
    return np.where(same.any(-1), same.argmax(-1), 255)


@right(check.class_numbers)
def by_dict(mask, values):
    numbers = {value: number for number, value in enumerate(values)}
    return np.vectorize(lambda value: numbers.get(int(value), 255))(mask)


@right(check.class_numbers)
def by_table(mask, values):
    table = np.full(256, 255, "uint8")
    table[np.array(values)] = np.arange(len(values))
    return table[mask]


wrong(
    check.class_numbers,
    "make it 255",
    unknown_is_first=lambda mask, values: by_table(mask, values) % 255,
)
wrong(
    check.class_numbers,
    "Use the list",
    ranks=lambda mask, values: np.unique(mask, return_inverse=True)[1].reshape(mask.shape),
)


@right(check.in_fold)
def by_loop(photo, fold, count):
    names = sorted(set(photo))
    return [names.index(one) % count == fold for one in photo]


@right(check.in_fold)
def by_inverse(photo, fold, count):
    return np.unique(photo, return_inverse=True)[1] % count == fold


wrong(
    check.in_fold,
    "Tiles of one photograph are in both parts",
    every_fifth_tile=lambda photo, fold, count: np.arange(len(photo)) % count == fold,
)
wrong(
    check.in_fold,
    "True or False for each tile",
    positions=lambda photo, fold, count: np.flatnonzero(by_inverse(photo, fold, count)),
)


@right(check.class_weights)
def by_mean(masks, num_classes):
    counted = masks[masks != 255]
    shares = np.array([np.mean(counted == k) for k in range(num_classes)])
    return [0 if share == 0 else (num_classes * share) ** -0.5 for share in shares]


@right(check.class_weights)
def keras_ops(masks, num_classes):
    one_hot = keras.ops.one_hot(masks[masks != 255].astype(int), num_classes)
    shares = keras.ops.convert_to_numpy(keras.ops.mean(one_hot, axis=0)).astype(float)
    return np.array([1 / np.sqrt(num_classes * s) if s else 0.0 for s in shares])


@wrong(check.class_weights, "The square root is missing")
def balanced(masks, num_classes):
    """As scikit-learn does."""
    counts = np.bincount(masks[masks < num_classes], minlength=num_classes)
    return np.where(counts > 0, counts.sum() / (num_classes * np.maximum(counts, 1)), 0)


@wrong(check.class_weights, "wraps around at 256")
def counts_in_uint8(masks, num_classes):
    counts = np.array([(masks == k).sum(dtype="uint8") for k in range(num_classes)])
    shares = counts / (masks != 255).sum()
    return np.where(shares > 0, 1 / np.sqrt(num_classes * np.maximum(shares, 1e-12)), 0)


@right(check.count_objects)
def by_flooding(mask, class_id, smallest):
    left = {(int(y), int(x)) for y, x in np.argwhere(mask == class_id)}
    count = 0
    while left:
        region, front = set(), [left.pop()]
        while front:
            y, x = front.pop()
            region.add((y, x))
            near = {(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)} & left
            left -= near
            front += near
        count += len(region) >= smallest
    return count


@right(check.count_objects)
def by_sum(mask, class_id, smallest):
    inside = mask == class_id
    regions, count = ndimage.label(inside)
    sizes = ndimage.sum_labels(inside, regions, np.arange(1, count + 1))
    return sum(size >= smallest for size in sizes)


@wrong(check.count_objects, "touch at a corner")
def eight_neighbors(mask, class_id, smallest):
    regions, _ = ndimage.label(mask == class_id, ndimage.generate_binary_structure(2, 2))
    return int((np.bincount(regions.ravel())[1:] >= smallest).sum())
