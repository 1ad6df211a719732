"""Metrics match Keras and scikit-learn, satisfy their properties and reject invalid input."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops
from sklearn import metrics as sklearn_metrics

from labkit import metrics

TRUE = [  # 4x4: the pet fills the left half; the prediction misses its first row
    [0, 0, 1, 1],
    [0, 0, 1, 1],
    [0, 0, 1, 1],
    [0, 0, 1, 1],
]
PREDICTED = [
    [1, 1, 1, 1],
    [0, 0, 1, 1],
    [0, 0, 1, 1],
    [0, 0, 1, 2],
]
SCORES = [metrics.iou, metrics.dice]
properties = settings(deadline=None, max_examples=50)
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
    for true, pred in zip(
        np.array_split(mask, pieces), np.array_split(pred_mask, pieces), strict=True
    ):
        metric.update_state(true, logits_of(pred))
    return float(metric.result())


# --- hand-computed values ------------------------------------------------------------------------


def test_confusion_matrix_of_4x4_example():
    matrix = metrics.confusion(batch(TRUE), batch(PREDICTED))
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, [[[6, 2, 0], [0, 7, 1], [0, 0, 0]]])


def test_scores_of_4x4_example():
    mask, pred_mask = batch(TRUE), batch(PREDICTED)
    np.testing.assert_allclose(metrics.iou(mask, pred_mask), [6 / 8, 7 / 10, 0 / 1])
    np.testing.assert_allclose(metrics.dice(mask, pred_mask), [12 / 14, 14 / 17, 0])
    assert metrics.accuracy(mask, pred_mask) == 13 / 16
    assert metrics.mean_iou(mask, pred_mask) == pytest.approx((6 / 8 + 7 / 10 + 0) / 3)


def test_pooled_and_per_image_scores_differ():
    mask = batch(np.zeros((4, 4)), [[0, 1, 1, 1]] + [[1] * 4] * 3)
    pred_mask = batch(np.zeros((4, 4)), np.ones((4, 4)))  # the small pet of image 2 is missed
    assert metrics.iou(mask, pred_mask, "pooled")[0] == 16 / 17
    assert metrics.iou(mask, pred_mask, "image")[0] == (1 + 0) / 2
    assert metrics.dice(mask, pred_mask, "pooled")[0] == 32 / 33
    assert metrics.dice(mask, pred_mask, "image")[0] == (1 + 0) / 2


def test_empty_sets_score_of_absent_class():
    mask = batch(np.zeros((4, 4)), np.ones((4, 4)))
    for score in SCORES:
        np.testing.assert_array_equal(score(mask, mask), [1, 1, 1])
        np.testing.assert_array_equal(score(mask, mask, empty=0.0), [1, 1, 0])
        np.testing.assert_array_equal(score(mask, mask, "image", empty=0.0), [0.5, 0.5, 0])


def test_empty_nan_ignores_images_without_class():
    mask = batch(np.zeros((4, 4)), np.ones((4, 4)))
    pred_mask = batch([[0, 0, 1, 1]] * 4, np.ones((4, 4)))
    two = {"num_classes": 2}
    assert metrics.iou(mask, pred_mask, "image", **two, empty=np.nan)[0] == 0.5  # image 1 alone
    assert metrics.iou(mask, pred_mask, "image", **two)[0] == (0.5 + 1) / 2


@pytest.mark.filterwarnings("error")
def test_empty_nan_gives_nan_for_absent_class():
    mask = batch(np.zeros((4, 4)), np.ones((4, 4)))
    for score in SCORES:
        for average in metrics.AVERAGES:
            np.testing.assert_array_equal(score(mask, mask, average, empty=np.nan), [1, 1, np.nan])


def test_falsely_predicted_class_scores_zero():
    mask, pred_mask = batch(np.zeros((4, 4))), batch(np.ones((4, 4)))
    for score in SCORES:
        np.testing.assert_array_equal(score(mask, pred_mask), [0, 0, 1])
    assert metrics.mean_iou(mask, pred_mask) == 0  # the border is absent and is left out


# --- reference implementations -------------------------------------------------------------------


@properties
@given(mask_pairs)
def test_functions_match_scikit_learn(pair):
    mask, pred_mask = pair
    true, pred = mask.ravel(), pred_mask.ravel()
    options = {"labels": [0, 1, 2], "average": None, "zero_division": 1.0}
    np.testing.assert_array_equal(
        metrics.confusion(mask, pred_mask).sum(0),
        sklearn_metrics.confusion_matrix(true, pred, labels=[0, 1, 2]),
    )
    np.testing.assert_allclose(
        metrics.iou(mask, pred_mask), sklearn_metrics.jaccard_score(true, pred, **options)
    )
    np.testing.assert_allclose(
        metrics.dice(mask, pred_mask), sklearn_metrics.f1_score(true, pred, **options)
    )
    assert metrics.accuracy(mask, pred_mask) == pytest.approx(
        sklearn_metrics.accuracy_score(true, pred)
    )
    per_image = [
        sklearn_metrics.jaccard_score(m.ravel(), p.ravel(), **options)
        for m, p in zip(mask, pred_mask, strict=True)
    ]
    np.testing.assert_allclose(metrics.iou(mask, pred_mask, "image"), np.mean(per_image, 0))


@settings(deadline=None, max_examples=20)
@given(mask_pairs)
def test_mean_iou_matches_keras(pair):
    mask, pred_mask = pair
    theirs = keras.metrics.MeanIoU(num_classes=3)
    theirs.update_state(mask, pred_mask)
    assert metrics.mean_iou(mask, pred_mask) == pytest.approx(float(theirs.result()), abs=1e-6)
    mine = state(metrics.MeanIoU(), mask[..., np.newaxis], pred_mask)
    assert mine == pytest.approx(float(theirs.result()), abs=1e-6)


# --- boundaries ----------------------------------------------------------------------------------


def test_boundary_areas_of_square():
    """At distance 1, the band of a 6x6 square in a 12x12 image is its outermost 20 pixels."""
    mask = np.ones((1, 12, 12), int)
    mask[0, 3:9, 3:9] = 0
    shifted = np.roll(mask, 1, axis=2)
    assert metrics.inner_band(mask == 0, 1).sum() == 36 - 16
    assert metrics.inner_band(mask == 0, 2).sum() == 36 - 4
    assert metrics.boundary_areas(mask, mask, distance=1)[0, 0].tolist() == [20, 20]
    both, either = metrics.boundary_areas(mask, shifted, distance=1)[0, 0]
    # Outlines one pixel apart share five of six pixels at top and bottom, none at the sides.
    assert (both, either) == (10, 30)


def test_image_edges_count_as_boundary():
    assert metrics.inner_band(np.ones((1, 5, 5), bool), 1).sum() == 25 - 9


def test_boundary_distance_scales_with_image_size():
    mask = np.zeros((1, 128, 128), int)
    assert metrics.boundary_areas(mask, mask)[0, 0].tolist() == [128**2 - 120**2] * 2
    with pytest.raises(ValueError, match="distance is 0: use at least 1 pixel"):
        metrics.boundary_areas(mask, mask, distance=0)


@properties
@given(mask_pairs)
def test_boundary_areas_never_exceed_regions(pair):
    mask, pred_mask = pair
    both, either = np.moveaxis(metrics.boundary_areas(mask, pred_mask, distance=2), -1, 0)
    matrix = metrics.confusion(mask, pred_mask)
    assert (both <= np.diagonal(matrix, axis1=1, axis2=2)).all()
    assert (both <= either).all()
    assert (either <= matrix.sum(1) + matrix.sum(2)).all()


# --- properties ----------------------------------------------------------------------------------


@properties
@given(mask_pairs, averages)
def test_scores_are_symmetric(pair, average):
    mask, pred_mask = pair
    for score in SCORES:
        np.testing.assert_allclose(score(mask, pred_mask, average), score(pred_mask, mask, average))
    assert metrics.accuracy(mask, pred_mask) == metrics.accuracy(pred_mask, mask)
    assert metrics.mean_iou(mask, pred_mask) == pytest.approx(metrics.mean_iou(pred_mask, mask))


@properties
@given(mask_pairs, averages)
def test_scores_are_in_range_and_iou_never_exceeds_dice(pair, average):
    iou, dice = (score(*pair, average) for score in SCORES)
    assert (iou >= 0).all() and (iou <= dice + 1e-12).all() and (dice <= 1).all()
    assert 0 <= metrics.accuracy(*pair) <= 1
    assert 0 <= metrics.mean_iou(*pair) <= 1


@properties
@given(mask_pairs)
def test_dice_is_function_of_iou(pair):
    matrices = metrics.confusion(*pair)
    for matrix in (matrices, matrices.sum(0)):  # of each image, and pooled
        iou = metrics.iou_from(matrix)
        np.testing.assert_allclose(metrics.dice_from(matrix), 2 * iou / (1 + iou))


@properties
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


@properties
@given(mask_pairs, averages, st.permutations(range(3)), st.integers(1, 3))
def test_scores_ignore_order_and_batching(pair, average, order, pieces):
    mask, pred_mask = pair
    mixed, pred_mixed = mask[list(order)], pred_mask[list(order)]
    parts = zip(np.array_split(mixed, pieces), np.array_split(pred_mixed, pieces), strict=True)
    matrices = np.concatenate([metrics.confusion(*part) for part in parts])
    for score, score_from in ((metrics.iou, metrics.iou_from), (metrics.dice, metrics.dice_from)):
        expected = score(mask, pred_mask, average)
        np.testing.assert_allclose(score(mixed, pred_mixed, average), expected)
        if average == "pooled":
            np.testing.assert_allclose(score_from(matrices.sum(0)), expected)
        else:
            np.testing.assert_allclose(score_from(matrices).mean(0), expected)


@properties
@given(mask_pairs)
def test_confusion_accepts_mask_shapes_and_dtypes(pair):
    expected = metrics.confusion(*pair)
    np.testing.assert_array_equal(metrics.confusion(pair[0][..., np.newaxis], pair[1]), expected)
    np.testing.assert_array_equal(
        metrics.confusion(pair[0].astype("int32"), pair[1].astype("int64")), expected
    )


# --- Metric objects ------------------------------------------------------------------------------


OBJECTS = [
    (kind(name, average), score, number)
    for kind, score in ((metrics.IoU, metrics.iou), (metrics.Dice, metrics.dice))
    for average in metrics.AVERAGES
    for number, name in enumerate(("pet", "background", "border"))
]


@settings(deadline=None, max_examples=6)
@given(mask_pairs, st.permutations(range(3)), st.integers(1, 3))
def test_metric_objects_match_functions(pair, order, pieces):
    mask, pred_mask = pair[0][..., np.newaxis], pair[1]
    mixed, pred_mixed = mask[list(order)], pred_mask[list(order)]
    for metric, score, number in OBJECTS:
        metric.reset_state()
        value = state(metric, mixed, pred_mixed, pieces)
        expected = score(mask, pred_mask, metric.average)[number]
        assert value == pytest.approx(expected, abs=1e-6), (metric.name, metric.average)
    value = state(metrics.MeanIoU(), mixed, pred_mixed, pieces)
    assert value == pytest.approx(metrics.mean_iou(mask, pred_mask), abs=1e-6)


@settings(deadline=None, max_examples=20)
@given(mask_pairs)
def test_batch_confusion_matches_confusion(pair):
    mask, pred_mask = pair
    expected = metrics.confusion(mask, pred_mask)
    for true in (mask, mask[..., np.newaxis]):
        counted = metrics.batch_confusion(true, ops.convert_to_tensor(logits_of(pred_mask)))
        np.testing.assert_array_equal(ops.convert_to_numpy(counted), expected)


def test_metrics_accept_masks_without_last_axis():
    for metric in (metrics.IoU("pet"), metrics.Dice("pet"), metrics.MeanIoU()):
        with_axis = state(metric, batch(TRUE), batch(PREDICTED))
        metric.reset_state()
        assert state(metric, batch(TRUE)[..., 0], batch(PREDICTED)) == with_axis


def test_probabilities_score_like_logits():
    logits = logits_of(batch(PREDICTED))
    for metric in (metrics.IoU("pet"), metrics.MeanIoU()):
        expected = float(metric(batch(TRUE), logits))
        metric.reset_state()
        assert float(metric(batch(TRUE), ops.softmax(logits))) == expected


@pytest.mark.parametrize(
    "metric",
    [metrics.IoU("pet"), metrics.Dice("pet"), metrics.IoU("pet", "image"), metrics.MeanIoU()],
)
def test_reset_state(metric):
    state(metric, batch(TRUE), batch(np.ones((4, 4))))
    metric.reset_state()
    assert state(metric, batch(TRUE), batch(TRUE)) == 1


def test_metric_names():
    assert metrics.IoU("pet").name == "pet_iou"
    assert metrics.IoU(2).name == "border_iou"
    assert metrics.Dice("background").name == "background_dice"
    assert metrics.Dice("pet", name="mine").name == "mine"
    assert metrics.MeanIoU().name == "mean_iou"


@pytest.mark.parametrize(
    ("metric", "settings"),
    [
        (metrics.IoU("border", "image", name="mine"), {"class_id": 2, "average": "image"}),
        (metrics.Dice("background"), {"class_id": 1, "average": "pooled"}),
        (metrics.MeanIoU(4, name="mine"), {"num_classes": 4}),
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


def test_saved_model_keeps_metrics(tmp_path):
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(3, 1)])
    chosen = [metrics.IoU("pet"), metrics.Dice("border", "image"), metrics.MeanIoU()]
    images, masks = logits_of(batch(PREDICTED)), batch(TRUE)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True), metrics=chosen)
    model.evaluate(images, masks, verbose=0)
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    expected = model.evaluate(images, masks, verbose=0, return_dict=True)
    assert set(expected) == {"loss", "pet_iou", "border_dice", "mean_iou"}
    assert restored.evaluate(images, masks, verbose=0, return_dict=True) == pytest.approx(expected)


# --- invalid input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "match"),
    [
        (np.zeros((4, 4), int), r"mask needs shape \[N, H, W\].*got \(4, 4\)$"),
        (np.zeros((1, 4, 4, 3), int), r"got \(1, 4, 4, 3\); take the argmax of logits"),
        (np.zeros((0, 4, 4), int), "mask holds no image"),
        (np.zeros((1, 4, 4)), "mask needs whole numbers, got float64: take argmax or cast"),
        (np.full((1, 4, 4), 3), "mask holds 3 to 3, but classes are 0 to 2"),
        (np.full((1, 4, 4), -1), "mask holds -1 to -1, but classes are 0 to 2"),
        (np.full((1, 4, 4), 255, np.uint8), "holds 255 to 255"),
        (np.zeros((1, 4, 5), int), r"\(1, 4, 5\), pred_mask \(1, 4, 4\): use equal shapes"),
    ],
)
def test_functions_reject_invalid_masks(mask, match):
    right = np.zeros((1, 4, 4), int)
    with pytest.raises(ValueError, match=match):
        metrics.confusion(mask, right)
    if "equal" not in match:  # the same for the prediction, under its own name
        with pytest.raises(ValueError, match="^pred_mask"):
            metrics.iou(right, mask)


def test_num_classes_sets_largest_class():
    mask = np.full((1, 4, 4), 3)
    assert metrics.confusion(mask, mask, num_classes=4).shape == (1, 4, 4)
    with pytest.raises(ValueError, match="holds 1 to 1, but classes are 0 to 0"):
        metrics.iou(np.ones((1, 4, 4), int), mask, num_classes=1)


@pytest.mark.parametrize("make", [metrics.IoU, metrics.Dice])
def test_unknown_average_or_class_raises(make):
    mask = batch(TRUE)
    for score in SCORES:
        with pytest.raises(ValueError, match="average is 'mean': use one of pooled, image"):
            score(mask, mask, "mean")
    with pytest.raises(ValueError, match="average is 'mean': use one of pooled, image"):
        make("pet", "mean")
    with pytest.raises(ValueError, match="unknown class 'dog': use one of pet, background, border"):
        make("dog")


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
    with pytest.raises(ValueError, match=r"expected \[B, H, W, 1\] and .* of the same size"):
        metrics.IoU("pet").update_state(np.zeros(true_shape), np.zeros(logits_shape, "float32"))


# --- distance to the boundary ----------------------------------------------------------------


def test_distance_starts_at_boundary_pixels():
    assert metrics.distance_to_boundary(np.array([[[0, 0, 0, 2, 1, 1]]])).tolist() == [
        [[2, 1, 0, 0, 0, 1]]
    ]


def test_distance_uses_four_neighbors():
    mask = np.ones((1, 5, 5), int)
    mask[0, 0, 0] = 0
    down, right = np.indices((5, 5))
    expected = np.maximum(down + right - 1, 0)
    assert metrics.distance_to_boundary(mask)[0].tolist() == expected.tolist()


@pytest.mark.parametrize("most", [3, 15])
def test_distance_without_boundary_is_maximum(most):
    assert (metrics.distance_to_boundary(np.ones((2, 4, 4, 1)), most) == most).all()
