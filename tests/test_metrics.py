"""Metrics match Keras and scikit-learn, satisfy their properties and reject invalid input."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops
from sklearn import metrics as sklearn_metrics

from labkit import classes, metrics

# 4x4: the pet fills the left half; the prediction misses its first row.
TRUE = np.array([[0, 0, 1, 1]] * 4)
PREDICTED = np.array([[1, 1, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 2]])
SCORES = [metrics.iou, metrics.dice]
mask_pairs = arrays(np.uint8, (2, 3, 4, 4), elements=st.integers(0, 2))  # true and predicted
averages = st.sampled_from(metrics.AVERAGES)


def batch(*masks):
    return np.array(masks, np.uint8)[..., np.newaxis]


def logits_of(pred_mask):
    """Logits that are largest at the class of each pixel."""
    labels = np.asarray(pred_mask)
    labels = labels[..., 0] if labels.ndim == 4 else labels
    rng = np.random.default_rng(0)
    noise = rng.uniform(-1, 1, (*labels.shape, 3))
    return (noise + 3 * np.eye(3)[labels]).astype("float32")


def state(metric, mask, pred_mask, pieces=1):
    parts = (np.array_split(part, pieces) for part in (mask, pred_mask))
    for true, pred in zip(*parts, strict=True):
        metric.update_state(true, logits_of(pred))
    return float(metric.result())


@given(mask_pairs)
def test_functions_match_scikit_learn_and_keras(pair):
    mask, pred_mask = pair
    true, pred = mask.ravel(), pred_mask.ravel()
    matrix = sklearn_metrics.confusion_matrix(true, pred, labels=[0, 1, 2])
    np.testing.assert_array_equal(metrics.confusion(mask, pred_mask).sum(0), matrix)
    assert metrics.confusion(mask, pred_mask).dtype == np.int64
    options = {"labels": [0, 1, 2], "average": None, "zero_division": 1.0}
    references = (sklearn_metrics.jaccard_score, sklearn_metrics.f1_score)
    for score, reference in zip(SCORES, references, strict=True):
        np.testing.assert_allclose(score(mask, pred_mask), reference(true, pred, **options))
        images = zip(mask.reshape(3, -1), pred_mask.reshape(3, -1), strict=True)
        per_image = np.mean([reference(*image, **options) for image in images], axis=0)
        np.testing.assert_allclose(score(mask, pred_mask, "image"), per_image)
    accuracy = sklearn_metrics.accuracy_score(true, pred)
    assert metrics.accuracy(mask, pred_mask) == pytest.approx(accuracy)
    mean_iou = keras.metrics.MeanIoU(num_classes=3)
    mean_iou.update_state(mask, pred_mask)
    assert metrics.mean_iou(mask, pred_mask) == pytest.approx(float(mean_iou.result()), abs=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("score", SCORES)
def test_empty_sets_score_of_absent_class(score):
    mask = batch(np.zeros((4, 4)), np.ones((4, 4)))
    np.testing.assert_array_equal(score(mask, mask), [1, 1, 1])
    np.testing.assert_array_equal(score(mask, mask, empty=0.0), [1, 1, 0])
    np.testing.assert_array_equal(score(mask, mask, "image", empty=0.0), [0.5, 0.5, 0])
    for average in metrics.AVERAGES:  # NaN leaves an image out
        np.testing.assert_array_equal(score(mask, mask, average, empty=np.nan), [1, 1, np.nan])


# --- properties ----------------------------------------------------------------------------------


@given(mask_pairs, averages)
def test_scores_are_symmetric_and_in_range(pair, average):
    iou, dice = (score(*pair, average) for score in SCORES)
    for score, values in zip(SCORES, (iou, dice), strict=True):
        np.testing.assert_allclose(score(*pair[::-1], average), values)
    assert (iou >= 0).all() and (iou <= dice + 1e-12).all() and (dice <= 1).all()
    if average == "pooled":
        np.testing.assert_allclose(dice, 2 * iou / (1 + iou))
    for score in (metrics.accuracy, metrics.mean_iou):
        assert 0 <= score(*pair) <= 1
        assert score(*pair) == pytest.approx(score(*pair[::-1]))


@given(mask_pairs, averages)
def test_only_perfect_prediction_scores_one(pair, average):
    mask = pair[0]
    worse = mask.copy()
    worse[0, 0, 0] = (worse[0, 0, 0] + 1) % 3
    for score in SCORES:
        np.testing.assert_array_equal(score(mask, mask, average), 1)
        assert score(mask, worse, average)[mask[0, 0, 0]] < 1
    assert metrics.accuracy(mask, mask) == metrics.mean_iou(mask, mask) == 1
    assert metrics.accuracy(mask, worse) == 1 - 1 / mask.size


# --- boundaries ----------------------------------------------------------------------------------


def test_boundary_areas_of_square():
    """At distance 1, the band of a 6x6 square in a 12x12 image is its outermost 20 pixels."""
    mask = np.ones((1, 12, 12), int)
    mask[0, 3:9, 3:9] = 0
    assert metrics.inner_band(mask == 0, 1).sum() == 36 - 16
    assert metrics.inner_band(mask == 0, 2).sum() == 36 - 4
    assert metrics.boundary_areas(mask, mask, distance=1)[0, 0].tolist() == [20, 20]
    shifted = np.roll(mask, 1, axis=2)
    # Outlines one pixel apart share five of six pixels at top and bottom, none at the sides.
    assert metrics.boundary_areas(mask, shifted, distance=1)[0, 0].tolist() == [10, 30]


def test_boundary_distance_scales_with_image_size():
    mask = np.zeros((1, 128, 128), int)  # the image's edges count as outline
    assert metrics.boundary_areas(mask, mask)[0, 0].tolist() == [128**2 - 120**2] * 2
    with pytest.raises(ValueError, match="distance is 0"):
        metrics.boundary_areas(mask, mask, distance=0)


@given(mask_pairs)
def test_boundary_areas_never_exceed_regions(pair):
    both, either = np.moveaxis(metrics.boundary_areas(*pair, distance=2), -1, 0)
    matrix = metrics.confusion(*pair)
    assert (both <= np.diagonal(matrix, axis1=1, axis2=2)).all()
    assert (both <= either).all()
    assert (either <= matrix.sum(1) + matrix.sum(2)).all()


def test_distance_starts_at_boundary_and_uses_four_neighbors():
    line = np.array([[[0, 0, 0, 2, 1, 1]]])
    assert metrics.distance_to_boundary(line).tolist() == [[[2, 1, 0, 0, 0, 1]]]
    mask = np.ones((1, 5, 5), int)
    mask[0, 0, 0] = 0
    expected = np.maximum(np.indices((5, 5)).sum(0) - 1, 0)
    for most in (3, 15):
        distance = metrics.distance_to_boundary(mask, most)[0]
        np.testing.assert_array_equal(distance, np.minimum(expected, most))
        assert (metrics.distance_to_boundary(np.ones((2, 4, 4, 1)), most) == most).all()


# --- Metric objects ------------------------------------------------------------------------------


OBJECTS = [
    (kind(name, average), score, number)
    for kind, score in ((metrics.IoU, metrics.iou), (metrics.Dice, metrics.dice))
    for average in metrics.AVERAGES
    for number, name in enumerate(classes.NAMES)
]
MEAN_IOU = metrics.MeanIoU()


@settings(max_examples=6)
@given(mask_pairs, st.permutations(range(3)), st.integers(1, 3))
def test_metric_objects_match_functions(pair, order, pieces):
    mask, pred_mask = pair[0][..., np.newaxis], pair[1]
    mixed, pred_mixed = mask[list(order)], pred_mask[list(order)]
    for metric, score, number in OBJECTS:
        metric.reset_state()
        value = state(metric, mixed, pred_mixed, pieces)
        expected = score(mask, pred_mask, metric.average)[number]
        assert value == pytest.approx(expected, abs=1e-6), (metric.name, metric.average)
    MEAN_IOU.reset_state()
    value = state(MEAN_IOU, mixed, pred_mixed, pieces)
    assert value == pytest.approx(metrics.mean_iou(mask, pred_mask), abs=1e-6)


@given(mask_pairs)
def test_confusion_accepts_mask_shapes_dtypes_and_tensors(pair):
    mask, pred_mask = pair
    expected = metrics.confusion(mask, pred_mask)
    other = metrics.confusion(mask.astype("int32")[..., np.newaxis], pred_mask.astype("int64"))
    np.testing.assert_array_equal(other, expected)
    for true in (mask, mask[..., np.newaxis]):
        counted = metrics.batch_confusion(true, ops.convert_to_tensor(logits_of(pred_mask)))
        np.testing.assert_array_equal(ops.convert_to_numpy(counted), expected)


@pytest.mark.parametrize("metric", [metrics.IoU("pet"), metrics.Dice("pet"), metrics.MeanIoU()])
def test_metrics_accept_masks_without_last_axis_and_probabilities(metric):
    expected = state(metric, batch(TRUE), batch(PREDICTED))
    metric.reset_state()
    assert state(metric, batch(TRUE)[..., 0], batch(PREDICTED)) == expected
    metric.reset_state()
    assert float(metric(batch(TRUE), ops.softmax(logits_of(PREDICTED[None])))) == expected


@pytest.mark.parametrize(
    ("metric", "settings"),
    [
        (metrics.IoU("pet"), {"name": "pet_iou"}),
        (metrics.IoU(2, "image", name="mine"), {"class_id": 2, "average": "image", "name": "mine"}),
        (metrics.Dice("background"), {"average": "pooled", "name": "background_dice"}),
        (metrics.IoU("pet", num_classes=4), {"num_classes": 4}),
        (metrics.MeanIoU(4), {"num_classes": 4, "name": "mean_iou"}),
    ],
)
def test_metric_config_round_trip(metric, settings):
    saved = keras.saving.serialize_keras_object(metric)
    for restored in (
        type(metric).from_config(metric.get_config()),
        keras.saving.deserialize_keras_object(saved),
    ):
        assert type(restored) is type(metric) and restored.name == metric.name
        assert {key: getattr(restored, key) for key in settings} == settings


# --- invalid input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "match"),
    [
        (np.zeros((4, 4), int), r"mask needs shape .*got \(4, 4\)$"),
        (np.zeros((1, 4, 4, 3), int), r"mask .*\(1, 4, 4, 3\); take the argmax of logits"),
        (np.zeros((0, 4, 4), int), "mask holds no image"),
        (np.zeros((1, 4, 4)), "mask needs whole numbers, got float64"),
        (np.full((1, 4, 4), 3), "mask holds 3 to 3, but classes are 0 to 2"),
        (np.full((1, 4, 4), -1), "mask holds -1 to -1"),
        (np.full((1, 4, 4), 255, np.uint8), "mask holds 255 to 255"),
    ],
)
def test_functions_reject_invalid_masks(mask, match):
    right = np.zeros((1, 4, 4), int)
    with pytest.raises(ValueError, match=f"^{match}"):
        metrics.confusion(mask, right)
    with pytest.raises(ValueError, match=f"^pred_{match}"):
        metrics.iou(right, mask)


def test_functions_reject_different_shapes_and_average():
    mask = np.zeros((1, 4, 5), int)
    for function in (metrics.confusion, metrics.boundary_areas):
        with pytest.raises(ValueError, match=r"\(1, 4, 5\), pred_mask \(1, 4, 1\)"):
            function(mask, mask[:, :, :1])
    for score in SCORES:
        with pytest.raises(ValueError, match="average is 'mean': use one of pooled, image"):
            score(mask, mask, "mean")


def test_num_classes_sets_largest_class():
    mask = np.full((1, 4, 4), 3)
    assert metrics.confusion(mask, mask, num_classes=4).shape == (1, 4, 4)
    with pytest.raises(ValueError, match="holds 1 to 1, but classes are 0 to 0"):
        metrics.iou(np.ones((1, 4, 4), int), mask, num_classes=1)


@pytest.mark.parametrize("make", [metrics.IoU, metrics.Dice])
@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("pet", "mean"), "average is 'mean': use one of pooled, image"),
        (("dog",), "unknown class 'dog'"),
    ],
)
def test_invalid_metric_raises(make, arguments, match):
    with pytest.raises(ValueError, match=match):
        make(*arguments)


@pytest.mark.parametrize(
    ("true_shape", "logits_shape"),
    [
        ((1, 4, 4, 1), (1, 4, 8, 3)),
        ((1, 4, 4, 1), (1, 4, 4)),
        ((1, 4, 4, 3), (1, 4, 4, 3)),  # one-hot masks
        ((1, 16), (1, 4, 4, 3)),
    ],
)
def test_mismatched_masks_and_logits_raise(true_shape, logits_shape):
    with pytest.raises(ValueError, match=r"expected \[B, H, W, 1\]"):
        metrics.IoU("pet").update_state(np.zeros(true_shape), np.zeros(logits_shape, "float32"))
