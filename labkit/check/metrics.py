"""Tasks of the lab on metrics. Classes: 0 pet, 1 background, 2 border."""

import numpy as np

from labkit import metrics
from labkit.check.answer import NotDone
from labkit.check.engine import task
from labkit.check.mistakes import (
    FLOOR_DIVISION,
    ONE_MINUS,
    PER_IMAGE,
    PERCENT,
    PIXEL_ACCURACY,
    edits,
    fixed_class,
    instead,
)
from labkit.check.question import Question

__all__ = ["NotDone"]

TRUE = np.array([[0, 0, 0, 1], [0, 0, 0, 1], [1, 1, 1, 1], [1, 1, 1, 1]])
PRED = np.array([[1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 0, 1], [1, 1, 1, 1]])
BORDERED = np.array([[0, 0, 2, 1], [0, 0, 2, 1], [2, 2, 2, 1], [1, 1, 1, 1]], "uint8")
GUESS = np.array([[0, 2, 2, 1], [0, 0, 0, 1], [2, 2, 1, 1], [1, 1, 1, 2]], "uint8")
EMPTY = np.full((4, 4), 1)
# Two images of one batch: in one a large pet is found whole, in the other a small one is missed.
BATCH = np.stack([np.where(np.arange(16).reshape(4, 4) < n, 0, 1) for n in (12, 1)])
BATCH_PRED = np.stack([BATCH[0], EMPTY])
# Areas of more than 255 pixels, which a sum in uint8 can't hold.
WIDE = np.zeros((20, 20), "uint8")
WIDE_PRED = np.where(np.arange(400).reshape(20, 20) < 300, 0, 1).astype("uint8")

PAIRS = ((TRUE, PRED, 0), (TRUE, PRED, 1), (BORDERED, GUESS, 2), (BORDERED, GUESS, 0))
PAIRS += ((WIDE, WIDE_PRED, 0), (BATCH, BATCH_PRED, 0))
MAYBE_EMPTY = (*PAIRS, (EMPTY, EMPTY, 0), (EMPTY, PRED, 0), (TRUE, EMPTY, 0))
MAYBE_EMPTY += ((EMPTY, EMPTY, 0, 0.0), (EMPTY, EMPTY, 2, 0.25), (TRUE, PRED, 0, 0.0))
MAYBE_EMPTY += ((TRUE, TRUE, 0, 0.0),)


def pooled(score, mask, pred_mask, empty=1.0):
    """A score of each class, over all pixels, whatever the masks' shape."""
    return score(*(np.reshape(m, (1, 1, -1)) for m in (mask, pred_mask)), empty=empty)


# Of a score of one class.
SCORE_MISTAKES = (
    PIXEL_ACCURACY,
    fixed_class(0, "pet"),
    fixed_class(1, "background"),
    fixed_class(2, "border"),
    PER_IMAGE,
    FLOOR_DIVISION,
    PERCENT,
    ONE_MINUS,
)


@task(
    "4.1",
    cases=PAIRS,
    mistakes=(
        *edits("""
            true + predicted - both => true + predicted
                Shared pixels count twice in the denominator. Count them once.
            both / (true + predicted - both) => 2 * both / (true + predicted)
                This is Dice. Look at the denominator, and at the factor 2.
            true + predicted - both => true
                This is recall: it divides by the true region alone; false alarms cost nothing.
            true + predicted - both => predicted
                This is precision: it divides by the predicted region alone; misses cost nothing.
            / (true + predicted - both) =>
                This is the number of shared pixels. Divide it.
            both / (true + predicted - both) => (both % 256) / ((true + predicted - both) % 256)
                A sum is kept in uint8, which wraps around at 256. Sum in integers.
        """),
        instead(
            lambda mask, pred_mask, _: mean_iou.reference(mask, pred_mask),
            "This is the mean over the classes. Return the score of one class.",
        ),
        instead(
            lambda mask, pred_mask, _: soft_iou(mask * 1.0, pred_mask),
            "The class ids themselves are multiplied. Compare them: mask == class_id.",
        ),
        *SCORE_MISTAKES,
    ),
)
def iou_coefficient(mask, pred_mask, class_id):
    both = np.sum((mask == class_id) & (pred_mask == class_id))
    true, predicted = np.sum(mask == class_id), np.sum(pred_mask == class_id)
    return both / (true + predicted - both)


def soft_iou(mask, pred_mask):
    both = np.sum(mask * pred_mask)
    return both / (np.sum(mask) + np.sum(pred_mask) - both)


@task(
    "4.2",
    cases=PAIRS,
    mistakes=(
        *edits("""
            2 * both => both
                The factor 2 is missing: a perfect prediction would give one half.
            2 * both / (true + predicted) => both / (true + predicted - both)
                This is IoU. Look at the denominator, and at the factor 2.
            true + predicted => true + predicted - both
                The numerator is Dice's, the denominator IoU's: a perfect prediction gives 2.
            2 * both / (true + predicted) => both / true
                This is recall: it divides by the true region alone; false alarms cost nothing.
            2 * both / (true + predicted) => both / predicted
                This is precision: it divides by the predicted region alone; misses cost nothing.
        """),
        *SCORE_MISTAKES,
    ),
)
def dice_coefficient(mask, pred_mask, class_id):
    both = np.sum((mask == class_id) & (pred_mask == class_id))
    true, predicted = np.sum(mask == class_id), np.sum(pred_mask == class_id)
    return 2 * both / (true + predicted)


@task(
    "4.3",
    cases=MAYBE_EMPTY,
    mistakes=(
        *edits("""
            return empty => return np.nan
                A class that is in neither mask gives 0/0. Handle that case before you divide.
            return empty => return 1
                A class that is in neither mask always gives 1 here. Return empty.
            return empty => return 0
                A class that is in neither mask always gives 0 here. Return empty.
            either == 0 => np.sum(mask == class_id) == 0
                If the true mask alone is empty, false alarms cost nothing. Both have to be empty.
            either == 0 => np.sum(pred_mask == class_id) == 0
                If the prediction alone is empty, misses cost nothing. Both have to be empty.
            either == 0 => either == 0 or np.all(mask == pred_mask)
                Equal masks give empty here. If the class occurs in them, its IoU is 1.
            either == 0 => both == 0
                A true IoU of 0 becomes empty as well. Count the pixels of both masks.
            both / either => (both + 1) / (either + 1)
                The constant that is added changes every score, not only 0/0.
            both / either => both / (either + 1)
                The constant that is added changes every score, not only 0/0.
        """),
    ),
)
def iou_or_empty(mask, pred_mask, class_id, empty=1.0):
    both = np.sum((mask == class_id) & (pred_mask == class_id))
    either = np.sum((mask == class_id) | (pred_mask == class_id))
    if either == 0:
        return empty
    return both / either


MATRICES = np.concatenate(
    [
        metrics.confusion(np.stack([BORDERED, GUESS]), np.stack([GUESS, GUESS])),
        1 + np.arange(9).reshape(1, 3, 3) ** 2,  # no two cells are equal, none is 0
    ]
)


@task(
    "4.4",
    cases=((np.array([[[5, 1, 2], [0, 9, 1], [3, 1, 4]]]),), (MATRICES,)),
    mistakes=(
        *edits("""
            [1, 0]]) => [0, 0]])
                The border is cut off. Its pixels belong to the pet now: no pixel may be lost.
            [1, 0]]) => [0, 1]])
                The border has become background. It has to become pet.
            @ merge => @ np.eye(3, 2, dtype=int)
                The rows are merged, the columns are not: predicted border is lost.
            merge.T => np.eye(2, 3, dtype=int)
                The columns are merged, the rows are not: true border is lost.
            @ matrices @ => @ np.swapaxes(matrices, -1, -2) @
                Rows and columns are swapped.
            @ matrices @ => @ matrices.sum(0) @
                The images are summed. Each image keeps a matrix of its own: [N, 2, 2].
        """),
    ),
)
def border_as_pet(matrices):
    merge = np.array([[1, 0], [0, 1], [1, 0]])
    return merge.T @ matrices @ merge


@task(
    "4.5",
    cases=(
        (TRUE, PRED),
        (BORDERED, GUESS),
        (BORDERED, BORDERED),
        (TRUE, GUESS),
        (EMPTY, EMPTY),
        (BATCH, BATCH_PRED),
    ),
    mistakes=(
        *edits("""
            empty=np.nan => empty=1.0
                A class that occurs in neither mask counts as 1. Leave it out of the mean.
            empty=np.nan => empty=0.0
                A class that occurs in neither mask counts as 0. Leave it out of the mean.
            np.nanmean => np.mean
                One class gives 0/0, so the mean is NaN. Leave that class out.
            (scores) => (scores[:2])
                This is the mean of two classes. There are three, where the border occurs.
            (scores) => (scores[np.unique(mask)])
                A class that is predicted but not in the true mask has to count: its IoU is 0.
            metrics.iou => metrics.dice
                This is the mean of Dice. Use IoU.
        """),
        PIXEL_ACCURACY,
        PER_IMAGE,
    ),
)
def mean_iou(mask, pred_mask):
    scores = pooled(metrics.iou, mask, pred_mask, empty=np.nan)
    return np.nanmean(scores)


which_score = Question("4.6", "which_score", words=40)
