"""Chapter 4: answers that have to pass, and plausible ones that must not."""

import keras
import numpy as np
import pytest
from answers import Answers, fails, passes
from sklearn.metrics import confusion_matrix, jaccard_score

from labkit.check import metrics as check

right, wrong = Answers(passes), Answers(fails)
test_a_right_answer_passes = right.test()
test_a_wrong_answer_fails_with_its_hint = wrong.test()


# --- 4.1 iou_coefficient ---


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
def tensorflow(y_true, y_pred, class_id):
    tf = pytest.importorskip("tensorflow")
    true, predicted = tf.equal(y_true, class_id), tf.equal(y_pred, class_id)
    both = tf.math.count_nonzero(tf.logical_and(true, predicted))
    return both / tf.math.count_nonzero(tf.logical_or(true, predicted))


@right(check.iou_coefficient)
def scikit_learn(mask, pred_mask, class_id):
    return jaccard_score(np.ravel(mask) == class_id, np.ravel(pred_mask) == class_id)


@right(check.iou_coefficient)
def sets_of_places(mask, pred_mask, class_id):
    true = set(np.flatnonzero(mask == class_id))
    predicted = set(np.flatnonzero(pred_mask == class_id))
    return [len(true & predicted) / len(true | predicted)]  # a list of one number


@wrong(check.iou_coefficient, "class 0, pet")
def always_class_zero(mask, pred_mask, class_id):
    either = ((mask == 0) | (pred_mask == 0)).sum()
    return ((mask == 0) & (pred_mask == 0)).sum() / either if either else 1.0


@wrong(check.iou_coefficient, "uint8")
def sums_in_uint8(mask, pred_mask, class_id):
    true, predicted = mask == class_id, pred_mask == class_id
    both = (true & predicted).sum(dtype="uint8")
    return both / (true | predicted).sum(dtype="uint8")


@wrong(check.iou_coefficient, "mean over images")
def mean_over_the_batch(mask, pred_mask, class_id):
    mask, pred_mask = np.atleast_3d(mask), np.atleast_3d(pred_mask)
    if mask.shape[-1] == 1:  # a single mask
        return booleans(mask, pred_mask, class_id)
    pairs = zip(mask, pred_mask, strict=True)
    return np.mean([booleans(*pair, class_id) for pair in pairs])


@wrong(check.iou_coefficient, "end with a return")
def no_return(mask, pred_mask, class_id):
    booleans(mask, pred_mask, class_id)


@wrong(check.iou_coefficient, "parameters")
def an_argument_is_missing(mask, pred_mask):
    return booleans(mask, pred_mask, 0)


@wrong(check.iou_coefficient, "A name is not defined")
def a_name_is_not_known(mask, pred_mask, class_id):
    return intersection / union  # noqa: F821


@wrong(check.iou_coefficient, "Work on a copy")
def the_mask_is_changed(mask, pred_mask, class_id):
    pred_mask[mask != class_id] *= 1
    mask[mask != class_id] = 9
    pred_mask = np.where(pred_mask == class_id, class_id, 8)
    return booleans(mask, pred_mask, class_id)


@wrong(check.iou_coefficient, "neither a number")
def words(mask, pred_mask, class_id):
    return "four sevenths"


# --- 4.2 dice_coefficient ---


@right(check.dice_coefficient)
def dice_by_booleans(mask, pred_mask, class_id):
    true, predicted = mask == class_id, pred_mask == class_id
    return 2 * np.sum(true & predicted) / (np.sum(true) + np.sum(predicted))


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


@wrong(check.dice_coefficient, "a perfect prediction gives 2")
def twice_iou(mask, pred_mask, class_id):
    return 2 * booleans(mask, pred_mask, class_id)


@wrong(check.dice_coefficient, "class 1, background")
def dice_of_the_background(mask, pred_mask, class_id):
    return dice_by_booleans(mask, pred_mask, 1)


# --- 4.3 iou_or_empty ---


@right(check.iou_or_empty)
def asks_before_it_divides(mask, pred_mask, class_id, empty=1.0):
    true, predicted = mask == class_id, pred_mask == class_id
    either = np.sum(true | predicted)
    return np.sum(true & predicted) / either if either else empty


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


@wrong(check.iou_or_empty, "false alarms cost nothing")
def looks_at_the_truth_alone(mask, pred_mask, class_id, empty=1.0):
    if not np.any(mask == class_id):
        return empty
    return booleans(mask, pred_mask, class_id)


@wrong(check.iou_or_empty, "A true IoU of 0")
def zero_is_taken_for_empty(mask, pred_mask, class_id, empty=1.0):
    true, predicted = mask == class_id, pred_mask == class_id
    return np.sum(true & predicted) / max(1, np.sum(true | predicted)) or empty


# --- 4.4 border_as_pet ---


@right(check.border_as_pet)
def by_a_product(matrices):
    merge = np.array([[1, 0], [0, 1], [1, 0]])
    return merge.T @ matrices @ merge


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


@wrong(check.border_as_pet, "predicted border is lost")
def rows_only(matrices):
    return np.stack([matrices[:, 0] + matrices[:, 2], matrices[:, 1]], axis=1)[:, :, :2]


@wrong(check.border_as_pet, "true border is lost")
def columns_only(matrices):
    pet = matrices[:, :, 0] + matrices[:, :, 2]
    return np.stack([pet, matrices[:, :, 1]], axis=-1)[:, :2]


@wrong(check.border_as_pet, "Work on a copy")
def added_in_place(matrices):
    matrices[:, 0] += matrices[:, 2]
    matrices[:, :, 0] += matrices[:, :, 2]
    return matrices[:, :2, :2]


# --- 4.5 mean_iou ---


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


@wrong(check.mean_iou, "predicted but not in the true mask")
def classes_of_the_mask(mask, pred_mask):
    return np.mean([booleans(mask, pred_mask, k) for k in np.unique(mask)])


@wrong(check.mean_iou, "Pool")
def a_mean_over_images(mask, pred_mask):
    if mask.ndim == 2:
        return nan_left_out(mask, pred_mask)
    return np.mean([nan_left_out(*pair) for pair in zip(mask, pred_mask, strict=True)])


def test_two_mistakes_at_once_get_both_hints():
    def percent_of_the_background(mask, pred_mask, class_id):
        return 100 * booleans(mask, pred_mask, 1)

    hint = check.iou_coefficient(percent_of_the_background).hint
    assert "class 1, background" in hint and "percentage" in hint
