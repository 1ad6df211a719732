"""Tasks of the lab on metrics (chapter 4). Classes: 0 pet, 1 background, 2 border."""

import numpy as np

from labkit import classes, metrics
from labkit.check.task import NotDone, Task
from labkit.check.writing import Question

__all__ = ["NotDone"]

TRUE = np.array([[0, 0, 0, 1], [0, 0, 0, 1], [1, 1, 1, 1], [1, 1, 1, 1]])
PRED = np.array([[1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 0, 1], [1, 1, 1, 1]])
BORDERED = np.array([[0, 0, 2, 1], [0, 0, 2, 1], [2, 2, 2, 1], [1, 1, 1, 1]], "uint8")
GUESS = np.array([[0, 2, 2, 1], [0, 0, 0, 1], [2, 2, 1, 1], [1, 1, 1, 2]], "uint8")
EMPTY = np.full((4, 4), 1)
# Two images of one batch, whose pets are of different size: in one all is found, in one nothing.
BATCH = np.stack([np.where(np.arange(16).reshape(4, 4) < n, 0, 1) for n in (12, 1)])
BATCH_PRED = np.stack([BATCH[0], EMPTY])
# Areas beyond 255, where a sum in uint8 would have started anew.
WIDE = np.zeros((20, 20), "uint8")
WIDE_PRED = np.where(np.arange(400).reshape(20, 20) < 300, 0, 1).astype("uint8")

PAIRS = ((TRUE, PRED, 0), (TRUE, PRED, 1), (BORDERED, GUESS, 2), (BORDERED, GUESS, 0))
PAIRS += ((WIDE, WIDE_PRED, 0), (BATCH, BATCH_PRED, 0))
MAYBE_EMPTY = (*PAIRS, (EMPTY, EMPTY, 0), (EMPTY, PRED, 0), (TRUE, EMPTY, 0))
MAYBE_EMPTY += ((EMPTY, EMPTY, 0, 0.0), (EMPTY, EMPTY, 2, 0.25), (TRUE, PRED, 0, 0.0))


def regions(mask, pred_mask, class_id):
    """Pixels of a class that are in both masks, in the true one, and in the predicted one."""
    true, predicted = np.asarray(mask) == class_id, np.asarray(pred_mask) == class_id
    return np.sum(true & predicted), np.sum(true), np.sum(predicted)


def iou(mask, pred_mask, class_id, empty=1.0):
    both, true, predicted = regions(mask, pred_mask, class_id)
    either = true + predicted - both
    return both / either if either else empty


def dice(mask, pred_mask, class_id, empty=1.0):
    both, true, predicted = regions(mask, pred_mask, class_id)
    return 2 * both / (true + predicted) if true + predicted else empty


def accuracy(mask, pred_mask, class_id, empty=1.0):
    return np.mean(mask == pred_mask)


def recall(mask, pred_mask, class_id, empty=1.0):
    both, true, _ = regions(mask, pred_mask, class_id)
    return both / true if true else empty


def precision(mask, pred_mask, class_id, empty=1.0):
    both, _, predicted = regions(mask, pred_mask, class_id)
    return both / predicted if predicted else empty


def of_class(score, class_id):
    """The same score, always of one class."""
    return lambda mask, pred_mask, _, empty=1.0: score(mask, pred_mask, class_id, empty)


def over_images(score):
    """The mean over the images of a batch; one image is a batch of its own."""

    def mean(mask, pred_mask, class_id, empty=1.0):
        if mask.ndim == 2:
            return score(mask, pred_mask, class_id, empty)
        pairs = zip(mask, pred_mask, strict=True)
        return np.mean([score(*pair, class_id, empty) for pair in pairs])

    return mean


def sum_twice(mask, pred_mask, class_id, empty=1.0):
    both, true, predicted = regions(mask, pred_mask, class_id)
    return both / (true + predicted) if true + predicted else empty


def whole_division(score):
    return lambda *case: score(*case) // 1


def percent(score):
    return lambda *case: 100 * score(*case)


def in_bytes(mask, pred_mask, class_id, empty=1.0):
    """Areas summed up in uint8: 256 pixels are none."""
    both, true, predicted = regions(mask, pred_mask, class_id)
    both, either = np.uint8(both % 256), np.uint8((true + predicted - both) % 256)
    return both / either if either else empty


def values_multiplied(mask, pred_mask, class_id, empty=1.0):
    """The soft formula on class numbers, in the place of "is this class"."""
    both = np.sum(mask.astype(float) * pred_mask)
    return both / (np.sum(mask) + np.sum(pred_mask) - both)


def epsilon(size, above=True):
    """IoU with a small number below the line, and above it if asked."""

    def score(mask, pred_mask, class_id, empty=1.0):
        both, true, predicted = regions(mask, pred_mask, class_id)
        return (both + size * above) / (true + predicted - both + size)

    return score


def of_class_hint(name, number):
    return (
        f"Whatever class_id says, this is the score of class {number}, {name}. "
        "Compare the masks with class_id."
    )


def common(score, other, title):
    """Mistakes that IoU and Dice share; ``other`` is the other one of the two."""
    return (
        (other, f"This is {title}. Look at the line below the fraction bar, and at the factor 2."),
        (accuracy, "This is pixel accuracy: the share of equal pixels. Count one class alone."),
        (recall, "This is recall: it divides by the true region alone, and false alarms are free."),
        (precision, "This is precision: it divides by the predicted region; misses are free."),
        *((of_class(score, n), of_class_hint(name, n)) for n, name in enumerate(classes.NAMES)),
        (over_images(score), "For a batch, this is a mean over images. Pool: count all pixels."),
        (whole_division(score), "A // divides without remainder. A share needs a / for division."),
        (percent(score), "This is per cent. A score of this course lies between 0 and 1."),
    )


iou_coefficient = Task(
    "4.1",
    "iou_coefficient",
    """
`iou_coefficient(mask, pred_mask, class_id)` is the IoU of one class.

* **in**: two masks of whole numbers and of one shape, and the class. Of several images all pixels
  count together.
* **out**: a number from 0 to 1: pixels that are of the class in *both* masks, divided by those
  that are in *either*.
* **example**: for the masks above and class 0, 4 pixels are shared and 7 are covered: 4/7, about
  0.5714. For class 1 it is 9/12.
""",
    cases=PAIRS,
    right=iou,
    mistakes=(
        (sum_twice, "Pixels that are in both are counted twice below the line. Count them once."),
        *common(iou, dice, "Dice"),
        (in_bytes, "Somewhere a sum is kept in uint8, which starts anew at 256. Sum in integers."),
        (values_multiplied, "The class numbers themselves are multiplied. Ask mask == class_id."),
        (lambda *case: 1 - iou(*case), "This is 1 - IoU, a loss: the best prediction gives 0."),
        (
            lambda mask, pred_mask, class_id: regions(mask, pred_mask, class_id)[0],
            "This is the number of shared pixels. What is it to be divided by?",
        ),
        (
            lambda mask, pred_mask, class_id: metrics.mean_iou(
                np.reshape(mask, (1, 1, -1)), np.reshape(pred_mask, (1, 1, -1))
            ),
            "This is the mean over the classes. One class is asked for.",
        ),
    ),
)

dice_coefficient = Task(
    "4.2",
    "dice_coefficient",
    """
`dice_coefficient(mask, pred_mask, class_id)` is the Dice coefficient of one class.

* **in**: as for `iou_coefficient`.
* **out**: a number from 0 to 1: twice the shared pixels, divided by the sizes of both regions
  together.
* **example**: the masks above share 4 pixels of class 0; the regions have 6 and 5: 8/11, about
  0.7273.
""",
    cases=PAIRS,
    right=dice,
    mistakes=(
        (sum_twice, "The factor 2 is missing: a perfect prediction would give one half."),
        *common(dice, iou, "IoU"),
        (
            lambda *case: (lambda b, t, p: 2 * b / (t + p - b))(*regions(*case)),
            "Above the line is Dice, below the line is IoU's: a perfect prediction would give 2.",
        ),
        (lambda *case: 1 - dice(*case), "This is 1 - Dice, a loss: the best prediction gives 0."),
    ),
)

iou_or_empty = Task(
    "4.3",
    "iou_or_empty",
    """
`iou_or_empty(mask, pred_mask, class_id, empty=1.0)` is the IoU of one class, with the decision
about 0/0 written down.

* **in**: as for `iou_coefficient`, and what to give when the class is in neither mask.
* **out**: a number; exactly the IoU when the class occurs, exactly `empty` when it does not.
* **example**: two masks that are wholly background have no pet: 1.0, or what `empty` says.
""",
    cases=MAYBE_EMPTY,
    right=iou,
    mistakes=(
        (
            lambda *case: iou(*case[:3], empty=np.nan),
            "A class in neither mask gives 0/0. Ask for that case before you divide.",
        ),
        (
            lambda *case: iou(*case[:3]),
            "A class in neither mask always gives 1 here. What does empty say?",
        ),
        (
            lambda *case: iou(*case[:3], empty=0.0),
            "A class in neither mask always gives 0 here. What does empty say?",
        ),
        (
            lambda m, p, c, empty=1.0: iou(m, p, c) if np.any(m == c) else empty,
            "If only the true mask is empty, false alarms go unpunished. Both have to be empty.",
        ),
        (
            lambda m, p, c, empty=1.0: iou(m, p, c) if np.any(p == c) else empty,
            "If only the prediction is empty, what was missed is forgiven. Both have to be empty.",
        ),
        (
            lambda m, p, c, empty=1.0: iou(m, p, c, empty=0.0) or empty,
            "A true IoU of 0 becomes empty as well. Ask how many pixels there are.",
        ),
        (epsilon(1.0), "The number that is added changes every score, not only 0/0."),
        (epsilon(1.0, above=False), "The number that is added changes every score, not only 0/0."),
    ),
)

MATRICES = metrics.confusion(np.stack([BORDERED, GUESS]), np.stack([GUESS, GUESS]))


def merged(matrices, into=0):
    """Confusion matrices with the border's row and column added to those of a class."""
    matrices = np.asarray(matrices)
    to = np.zeros((3, 2), int)
    to[0, 0] = to[1, 1] = to[2, into] = 1
    return to.T @ matrices @ to


def rows_alone(matrices):
    found = np.array(matrices)[..., :2]
    found[..., 0, :] += np.asarray(matrices)[..., 2, :2]
    return found[..., :2, :]


border_as_pet = Task(
    "4.4",
    "border_as_pet",
    """
`border_as_pet(matrices)` makes two classes of three: the border counts as pet, in the mask and in
the prediction.

* **in**: confusion matrices `[N, 3, 3]`, rows true, columns predicted, in the order pet,
  background, border.
* **out**: confusion matrices `[N, 2, 2]`, in the order pet, background. No pixel is lost: each
  has the same sum as before.
* **example**: `[[[5, 1, 2], [0, 9, 1], [3, 1, 4]]]` becomes `[[[14, 2], [1, 9]]]`: 5 + 2 + 3 + 4
  pixels are pet or border in both.
""",
    cases=((np.array([[[5, 1, 2], [0, 9, 1], [3, 1, 4]]]),), (MATRICES,)),
    right=merged,
    mistakes=(
        (
            lambda m: np.asarray(m)[..., :2, :2],
            "The border is cut off. Its pixels belong to the pet now: no pixel may be lost.",
        ),
        (lambda m: merged(m, into=1), "The border has become background. It should become pet."),
        (rows_alone, "The rows are merged, the columns not: predicted border is lost."),
        (
            lambda m: np.swapaxes(rows_alone(np.swapaxes(m, -1, -2)), -1, -2),
            "The columns are merged, the rows not: true border is lost.",
        ),
        (lambda m: np.swapaxes(merged(m), -1, -2), "Rows and columns have changed places."),
        (
            lambda m: merged(np.asarray(m).sum(0)),
            "The images are added up. Each image keeps a matrix of its own: [N, 2, 2].",
        ),
    ),
)


def pooled_over_present(mask, pred_mask):
    """Mean IoU over the classes that occur, pooled."""
    there = [k for k in range(3) if np.any(mask == k) or np.any(pred_mask == k)]
    return np.mean([iou(mask, pred_mask, k) for k in there])


mean_iou = Task(
    "4.5",
    "mean_iou",
    """
`mean_iou(mask, pred_mask)` is the mean of the IoU of the three classes, pooled over all pixels. A
class that is in neither mask is left out of the mean.

* **in**: two masks of one shape, with the classes 0, 1, 2.
* **out**: a number from 0 to 1.
* **example**: for the small masks above, pet has 4/7 and background 9/12. There is no border, so
  the mean is (0.5714 + 0.75) / 2 = 0.6607.
""",
    cases=(
        (TRUE, PRED),
        (BORDERED, GUESS),
        (BORDERED, BORDERED),
        (TRUE, GUESS),
        (EMPTY, EMPTY),
        (BATCH, BATCH_PRED),
    ),
    right=pooled_over_present,
    mistakes=(
        (
            lambda m, p: np.mean([iou(m, p, k) for k in range(3)]),
            "A class that occurs nowhere counts as 1 here. It is to be left out.",
        ),
        (
            lambda m, p: np.mean([iou(m, p, k, empty=0.0) for k in range(3)]),
            "A class that occurs nowhere counts as 0 here. It is to be left out.",
        ),
        (
            lambda m, p: np.mean([iou(m, p, k) for k in np.unique(m)]),
            "A class that is predicted, but is not there, has to count: its IoU is 0.",
        ),
        (
            lambda m, p: np.mean([iou(m, p, k, empty=np.nan) for k in range(3)]),
            "One class gives 0/0, and so the mean is NaN. Leave that class out.",
        ),
        (
            lambda m, p: np.mean([iou(m, p, k) for k in (0, 1)]),
            "This is the mean of two classes. There are three, where the border occurs.",
        ),
        (
            lambda m, p: np.mean([dice(m, p, k) for k in range(3) if iou(m, p, k, -1) >= 0]),
            "This is the mean of Dice. Use IoU.",
        ),
        (
            lambda m, p: np.mean(m == p),
            "This is pixel accuracy. Take the mean of the three classes' IoU.",
        ),
        (
            lambda m, p: (
                pooled_over_present(m, p)
                if m.ndim == 2
                else np.mean([pooled_over_present(*pair) for pair in zip(m, p, strict=True)])
            ),
            "For a batch, this is a mean over images. Pool: count all pixels together.",
        ),
    ),
)

which_score = Question(
    "4.6",
    "which_score",
    """
A vet wants to know which part of a picture is cat. A robot wants not to run over one. Choose a
score for each: class, average, empty masks, border. Say what a wrong pixel costs.

Write your answer into `which_score`, four sentences or more.
""",
    words=40,
)
