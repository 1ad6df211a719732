"""Lab 4: answers that have to pass, and plausible ones that must not."""

import keras
import numpy as np
from answers import Answers, fails, passes
from sklearn.metrics import confusion_matrix, jaccard_score

from labkit.check import metrics as check

right, wrong = Answers(passes), Answers(fails)
test_a_right_answer_passes = right.test()
test_a_wrong_answer_fails_with_its_hint = wrong.test()


@right(check.iou_coefficient)
def booleans(mask, pred_mask, class_id):
    true, predicted = mask == class_id, pred_mask == class_id
    return np.sum(true & predicted) / np.sum(true | predicted)


@right(check.iou_coefficient)
def loops(a, b, k):
    both = either = 0
    for one, other in zip(np.ravel(a), np.ravel(b), strict=True):
        both += int(one == k and other == k)
        either += int(one == k or other == k)
    return both / either


@right(check.iou_coefficient)
def keras_ops(mask, pred_mask, class_id):
    true = keras.ops.cast(keras.ops.equal(mask, class_id), "float32")
    predicted = keras.ops.cast(keras.ops.equal(pred_mask, class_id), "float32")
    both = keras.ops.sum(true * predicted)
    return both / (keras.ops.sum(true) + keras.ops.sum(predicted) - both)


@right(check.iou_coefficient)
def scikit_learn(mask, pred_mask, class_id):
    return jaccard_score(np.ravel(mask) == class_id, np.ravel(pred_mask) == class_id)


@wrong(check.iou_coefficient, "uint8")
def sums_in_uint8(mask, pred_mask, class_id):
    true, predicted = mask == class_id, pred_mask == class_id
    both = (true & predicted).sum(dtype="uint8")
    return both / (true | predicted).sum(dtype="uint8")


wrong(check.iou_coefficient, "end with a return", no_return=lambda *_: None)
wrong(check.iou_coefficient, "parameters", an_argument_is_missing=lambda mask, pred_mask: 1.0)
wrong(check.iou_coefficient, "neither a number", a_text=lambda *_: "four sevenths")
wrong(
    check.iou_coefficient,
    ("class 1, background", "percentage"),
    percent_of_the_background=lambda mask, pred_mask, _: 100 * booleans(mask, pred_mask, 1),
)


@right(check.dice_coefficient)
def from_iou(mask, pred_mask, class_id):
    iou = booleans(mask, pred_mask, class_id)
    return 2 * iou / (1 + iou)


@right(check.dice_coefficient)
def f1_in_float32(mask, pred_mask, class_id):
    true, predicted = mask == class_id, pred_mask == class_id
    precision = np.float32(np.mean(true[predicted]))
    recall = np.float32(np.mean(predicted[true]))
    return 2 * precision * recall / (precision + recall)


wrong(
    check.dice_coefficient,
    "a perfect prediction gives 2",
    twice_iou=lambda *case: 2 * booleans(*case),
)


@right(check.iou_or_empty)
def replaces_nan(mask, pred_mask, class_id, empty=1.0):
    score = booleans(mask, pred_mask, class_id)
    return empty if np.isnan(score) else score


@right(check.iou_or_empty)
def catches_the_error(mask, pred_mask, class_id, empty=1.0):
    try:
        return loops(mask, pred_mask, class_id)
    except ZeroDivisionError:
        return empty


@wrong(check.iou_or_empty, "always gives 1")
def small_number_above_and_below(mask, pred_mask, class_id, empty=1.0):
    true, predicted = mask == class_id, pred_mask == class_id
    return (np.sum(true & predicted) + 1e-7) / (np.sum(true | predicted) + 1e-7)


@right(check.border_as_pet)
def by_hand(matrices):
    found = []
    for m in np.asarray(matrices).tolist():
        pet = m[0][0] + m[0][2] + m[2][0] + m[2][2]
        found.append([[pet, m[0][1] + m[2][1]], [m[1][0] + m[1][2], m[1][1]]])
    return found


@right(check.border_as_pet)
def in_two_steps_as_float(matrices):
    rows = np.stack([matrices[:, 0] + matrices[:, 2], matrices[:, 1]], axis=1).astype(float)
    return np.stack([rows[..., 0] + rows[..., 2], rows[..., 1]], axis=-1)


@right(check.mean_iou)
def nan_left_out(mask, pred_mask):
    return np.nanmean([booleans(mask, pred_mask, k) for k in range(3)])


@right(check.mean_iou)
def classes_that_occur(mask, pred_mask):
    there = np.union1d(mask, pred_mask)
    return sum(loops(mask, pred_mask, k) for k in there) / len(there)


@right(check.mean_iou)
def by_scikit_learn(mask, pred_mask):
    there = np.union1d(mask, pred_mask)
    matrix = confusion_matrix(np.ravel(mask), np.ravel(pred_mask), labels=there)
    both = np.diag(matrix)
    return float(np.mean(both / (matrix.sum(0) + matrix.sum(1) - both)))


@wrong(check.mean_iou, "counts as 0")
def missing_class_is_zero(mask, pred_mask):
    return np.nan_to_num([booleans(mask, pred_mask, k) for k in range(3)]).mean()
