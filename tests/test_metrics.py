"""Scores agree with Keras and scikit-learn, obey the laws of areas, and say what they refuse."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops
from sklearn import metrics as sklearn_metrics

from labkit import metrics

TRUE = [  # 4x4: the pet fills the left half; its prediction lacks the first row
    [0, 0, 1, 1],
    [0, 0, 1, 1],
    [0, 0, 1, 1],
    [0, 0, 1, 1],
]
FOUND = [
    [1, 1, 1, 1],
    [0, 0, 1, 1],
    [0, 0, 1, 1],
    [0, 0, 1, 2],
]
SCORES = [metrics.iou, metrics.dice]
laws = settings(deadline=None, max_examples=50)
some_masks = arrays(np.uint8, (2, 3, 4, 4), elements=st.integers(0, 2))  # true and predicted
shares = st.sampled_from(metrics.AVERAGES)


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


# --- numbers worked out by hand ------------------------------------------------------------------


def test_confusion_matrix_of_a_4x4_example():
    matrix = metrics.confusion(batch(TRUE), batch(FOUND))
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, [[[6, 2, 0], [0, 7, 1], [0, 0, 0]]])


def test_scores_of_a_4x4_example():
    mask, pred_mask = batch(TRUE), batch(FOUND)
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


def test_an_absent_class_scores_what_empty_says():
    mask = batch(np.zeros((4, 4)), np.ones((4, 4)))
    for score in SCORES:
        np.testing.assert_array_equal(score(mask, mask), [1, 1, 1])
        np.testing.assert_array_equal(score(mask, mask, empty=0.0), [1, 1, 0])
        np.testing.assert_array_equal(score(mask, mask, "image", empty=0.0), [0.5, 0.5, 0])


def test_images_without_the_class_are_left_out_when_empty_is_nan():
    mask = batch(np.zeros((4, 4)), np.ones((4, 4)))
    pred_mask = batch([[0, 0, 1, 1]] * 4, np.ones((4, 4)))
    two = {"num_classes": 2}
    assert metrics.iou(mask, pred_mask, "image", **two, empty=np.nan)[0] == 0.5  # image 1 alone
    assert metrics.iou(mask, pred_mask, "image", **two)[0] == (0.5 + 1) / 2


@pytest.mark.filterwarnings("error")
def test_a_class_of_no_image_is_nan_when_empty_is_nan():
    mask = batch(np.zeros((4, 4)), np.ones((4, 4)))
    for score in SCORES:
        for average in metrics.AVERAGES:
            np.testing.assert_array_equal(score(mask, mask, average, empty=np.nan), [1, 1, np.nan])


def test_a_class_that_is_only_predicted_scores_0_and_not_empty():
    mask, pred_mask = batch(np.zeros((4, 4))), batch(np.ones((4, 4)))
    for score in SCORES:
        np.testing.assert_array_equal(score(mask, pred_mask), [0, 0, 1])
    assert metrics.mean_iou(mask, pred_mask) == 0  # the border occurs nowhere and is left out


# --- other people's code -------------------------------------------------------------------------


@laws
@given(some_masks)
def test_functions_agree_with_scikit_learn(pair):
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
@given(some_masks)
def test_mean_iou_agrees_with_keras(pair):
    mask, pred_mask = pair
    theirs = keras.metrics.MeanIoU(num_classes=3)
    theirs.update_state(mask, pred_mask)
    assert metrics.mean_iou(mask, pred_mask) == pytest.approx(float(theirs.result()), abs=1e-6)
    mine = state(metrics.MeanIoU(), mask[..., np.newaxis], pred_mask)
    assert mine == pytest.approx(float(theirs.result()), abs=1e-6)


# --- boundaries ----------------------------------------------------------------------------------


def test_boundary_areas_of_a_square():
    """A square of 6x6 in 12x12: with a distance of 1 its band is its outermost 20 pixels."""
    mask = np.ones((1, 12, 12), int)
    mask[0, 3:9, 3:9] = 0
    shifted = np.roll(mask, 1, axis=2)
    assert metrics.inner_band(mask == 0, 1).sum() == 36 - 16
    assert metrics.inner_band(mask == 0, 2).sum() == 36 - 4
    assert metrics.boundary_areas(mask, mask, distance=1)[0, 0].tolist() == [20, 20]
    both, either = metrics.boundary_areas(mask, shifted, distance=1)[0, 0]
    # Two outlines, one pixel apart: they share five of six pixels above and below, no side.
    assert (both, either) == (10, 30)


def test_the_picture_s_sides_count_as_outline():
    assert metrics.inner_band(np.ones((1, 5, 5), bool), 1).sum() == 25 - 9


def test_a_boundary_s_distance_follows_the_picture_s_size():
    mask = np.zeros((1, 128, 128), int)
    assert metrics.boundary_areas(mask, mask)[0, 0].tolist() == [128**2 - 120**2] * 2
    with pytest.raises(ValueError, match="distance is 0: use at least 1 pixel"):
        metrics.boundary_areas(mask, mask, distance=0)


@laws
@given(some_masks)
def test_boundary_areas_never_exceed_the_regions(pair):
    mask, pred_mask = pair
    both, either = np.moveaxis(metrics.boundary_areas(mask, pred_mask, distance=2), -1, 0)
    matrix = metrics.confusion(mask, pred_mask)
    assert (both <= np.diagonal(matrix, axis1=1, axis2=2)).all()
    assert (both <= either).all()
    assert (either <= matrix.sum(1) + matrix.sum(2)).all()


# --- laws ----------------------------------------------------------------------------------------


@laws
@given(some_masks, shares)
def test_swapping_mask_and_prediction_changes_no_score(pair, average):
    mask, pred_mask = pair
    for score in SCORES:
        np.testing.assert_allclose(score(mask, pred_mask, average), score(pred_mask, mask, average))
    assert metrics.accuracy(mask, pred_mask) == metrics.accuracy(pred_mask, mask)
    assert metrics.mean_iou(mask, pred_mask) == pytest.approx(metrics.mean_iou(pred_mask, mask))


@laws
@given(some_masks, shares)
def test_scores_lie_between_0_and_1_and_iou_never_exceeds_dice(pair, average):
    iou, dice = (score(*pair, average) for score in SCORES)
    assert (iou >= 0).all() and (iou <= dice + 1e-12).all() and (dice <= 1).all()
    assert 0 <= metrics.accuracy(*pair) <= 1
    assert 0 <= metrics.mean_iou(*pair) <= 1


@laws
@given(some_masks)
def test_dice_is_2_iou_over_1_plus_iou(pair):
    matrices = metrics.confusion(*pair)
    for matrix in (matrices, matrices.sum(0)):  # of each image, and pooled
        iou = metrics.iou_from(matrix)
        np.testing.assert_allclose(metrics.dice_from(matrix), 2 * iou / (1 + iou))


@laws
@given(some_masks, shares)
def test_a_perfect_prediction_scores_1_and_one_wrong_pixel_less(pair, average):
    mask = pair[0]
    worse = mask.copy()
    worse[0, 0, 0] = (worse[0, 0, 0] + 1) % 3
    for score in SCORES:
        np.testing.assert_array_equal(score(mask, mask, average), 1)
        assert score(mask, worse, average)[mask[0, 0, 0]] < 1
    assert metrics.accuracy(mask, mask) == metrics.mean_iou(mask, mask) == 1
    assert metrics.accuracy(mask, worse) == 1 - 1 / mask.size


@laws
@given(some_masks, shares, st.permutations(range(3)), st.integers(1, 3))
def test_order_and_batching_of_images_change_no_score(pair, average, order, pieces):
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


@laws
@given(some_masks)
def test_masks_with_and_without_the_last_axis_and_of_any_whole_type_score_the_same(pair):
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
@given(some_masks, st.permutations(range(3)), st.integers(1, 3))
def test_metric_objects_equal_the_functions_however_batches_are_cut(pair, order, pieces):
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
@given(some_masks)
def test_batch_confusion_counts_as_confusion(pair):
    mask, pred_mask = pair
    expected = metrics.confusion(mask, pred_mask)
    for true in (mask, mask[..., np.newaxis]):
        counted = metrics.batch_confusion(true, ops.convert_to_tensor(logits_of(pred_mask)))
        np.testing.assert_array_equal(ops.convert_to_numpy(counted), expected)


def test_metrics_take_masks_without_the_last_axis():
    for metric in (metrics.IoU("pet"), metrics.Dice("pet"), metrics.MeanIoU()):
        with_axis = state(metric, batch(TRUE), batch(FOUND))
        metric.reset_state()
        assert state(metric, batch(TRUE)[..., 0], batch(FOUND)) == with_axis


def test_probabilities_score_as_logits():
    logits = logits_of(batch(FOUND))
    for metric in (metrics.IoU("pet"), metrics.MeanIoU()):
        expected = float(metric(batch(TRUE), logits))
        metric.reset_state()
        assert float(metric(batch(TRUE), ops.softmax(logits))) == expected


@pytest.mark.parametrize(
    "metric",
    [metrics.IoU("pet"), metrics.Dice("pet"), metrics.IoU("pet", "image"), metrics.MeanIoU()],
)
def test_reset_state_forgets_everything(metric):
    state(metric, batch(TRUE), batch(np.ones((4, 4))))
    metric.reset_state()
    assert state(metric, batch(TRUE), batch(TRUE)) == 1


def test_a_metric_is_named_after_its_class():
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
def test_a_metric_survives_its_config(metric, settings):
    saved = keras.saving.serialize_keras_object(metric)
    for again in (
        type(metric).from_config(metric.get_config()),
        keras.saving.deserialize_keras_object(saved),
    ):
        assert type(again) is type(metric) and again.name == metric.name
        assert {key: getattr(again, key) for key in settings} == settings


def test_a_saved_model_keeps_its_metrics(tmp_path):
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(3, 1)])
    chosen = [metrics.IoU("pet"), metrics.Dice("border", "image"), metrics.MeanIoU()]
    images, masks = logits_of(batch(FOUND)), batch(TRUE)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True), metrics=chosen)
    model.evaluate(images, masks, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    expected = model.evaluate(images, masks, verbose=0, return_dict=True)
    assert set(expected) == {"loss", "pet_iou", "border_dice", "mean_iou"}
    assert again.evaluate(images, masks, verbose=0, return_dict=True) == pytest.approx(expected)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "match"),
    [
        (np.zeros((4, 4), int), r"mask needs shape \[N, H, W\].*got \(4, 4\)$"),
        (np.zeros((1, 4, 4, 3), int), r"got \(1, 4, 4, 3\); logits become a mask by argmax"),
        (np.zeros((0, 4, 4), int), "mask holds no image"),
        (np.zeros((1, 4, 4)), "mask needs whole numbers, got float64: take argmax or cast"),
        (np.full((1, 4, 4), 3), "mask holds 3 to 3, but classes are 0 to 2"),
        (np.full((1, 4, 4), -1), "mask holds -1 to -1, but classes are 0 to 2"),
        (np.full((1, 4, 4), 255, np.uint8), "holds 255 to 255"),
        (np.zeros((1, 4, 5), int), r"\(1, 4, 5\), pred_mask \(1, 4, 4\): make them equal"),
    ],
)
def test_functions_name_what_is_wrong_with_a_mask(mask, match):
    right = np.zeros((1, 4, 4), int)
    with pytest.raises(ValueError, match=match):
        metrics.confusion(mask, right)
    if "equal" not in match:  # the same for the prediction, under its own name
        with pytest.raises(ValueError, match="^pred_mask"):
            metrics.iou(right, mask)


def test_num_classes_sets_the_largest_class():
    mask = np.full((1, 4, 4), 3)
    assert metrics.confusion(mask, mask, num_classes=4).shape == (1, 4, 4)
    with pytest.raises(ValueError, match="holds 1 to 1, but classes are 0 to 0"):
        metrics.iou(np.ones((1, 4, 4), int), mask, num_classes=1)


@pytest.mark.parametrize("make", [metrics.IoU, metrics.Dice])
def test_an_unknown_average_or_class_is_refused(make):
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
def test_masks_and_logits_that_do_not_belong_together_are_refused(true_shape, logits_shape):
    with pytest.raises(ValueError, match=r"expected \[B, H, W, 1\] and \[B, H, W, C\] of one size"):
        metrics.IoU("pet").update_state(np.zeros(true_shape), np.zeros(logits_shape, "float32"))


# --- distance from the edge ------------------------------------------------------------------


def test_steps_are_counted_from_the_pixels_that_touch_another_class():
    assert metrics.distance_to_boundary(np.array([[[0, 0, 0, 2, 1, 1]]])).tolist() == [
        [[2, 1, 0, 0, 0, 1]]
    ]


def test_steps_do_not_go_round_corners_faster():
    mask = np.ones((1, 5, 5), int)
    mask[0, 0, 0] = 0
    down, right = np.indices((5, 5))
    expected = np.maximum(down + right - 1, 0)
    assert metrics.distance_to_boundary(mask)[0].tolist() == expected.tolist()


@pytest.mark.parametrize("most", [3, 15])
def test_a_mask_without_an_edge_is_as_far_away_as_can_be(most):
    assert (metrics.distance_to_boundary(np.ones((2, 4, 4, 1)), most) == most).all()
