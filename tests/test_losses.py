"""Losses match Keras or hand-computed values, and have finite gradients."""

import math
import os
import subprocess
import sys
from importlib.util import find_spec

import keras
import numpy as np
import pytest
import tensorflow as tf

from labkit import losses, metrics

LOSSES = {
    "cross-entropy": losses.CrossEntropy(),
    "dice": losses.Dice(),
    "tversky": losses.Tversky(),
    "focal": losses.Focal(),
    "boundary": losses.Boundary(),
    "sum": losses.Sum([losses.CrossEntropy(), losses.Dice()], [1.0, 0.5]),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
RNG = np.random.default_rng(0)
MASK = RNG.integers(0, 3, (2, 8, 8, 1), np.uint8)
LOGITS = RNG.normal(0, 2, (2, 8, 8, 3)).astype("float32")
ONE_HOT = np.eye(3, dtype="float32")[MASK[..., 0]]
P = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)


def confident_logits(mask, logit=100.0):
    """Logits of a confident prediction of ``mask``."""
    return (logit * np.eye(3)[mask[..., 0]]).astype("float32")


def gradient(loss, mask, logits):
    logits = tf.Variable(logits)
    with tf.GradientTape() as tape:
        value = loss(mask, logits)
    return tape.gradient(value, logits).numpy()


# --- reference implementations and hand-computed values ------------------------------------------


def test_cross_entropy_matches_keras_and_formula():
    theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(MASK, LOGITS)
    by_hand = -np.log((ONE_HOT * P).sum(-1)).mean()
    assert float(losses.CrossEntropy()(MASK, LOGITS)) == pytest.approx(float(theirs), rel=1e-6)
    assert float(theirs) == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_matches_keras_without_class_weights(gamma):
    theirs = keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=gamma, from_logits=True)
    mine = float(losses.Focal(gamma)(MASK, LOGITS))
    assert mine == pytest.approx(float(theirs(ONE_HOT, LOGITS)), rel=1e-4)


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (0.3, 0.7), (1.0, 0.0)])
def test_tversky_matches_formula(alpha, beta):
    """Keras gives the same value only if alpha equals beta: Keras 3.15 swaps them."""
    hit, alarm, missed = (
        x.sum((1, 2)) for x in (ONE_HOT * P, (1 - ONE_HOT) * P, ONE_HOT * (1 - P))
    )
    expected = np.mean(1 - (hit + 2) / (hit + alpha * alarm + beta * missed + 2))
    mine = losses.Tversky(alpha, beta, smooth=2.0)
    assert float(mine(MASK, LOGITS)) == pytest.approx(float(expected), rel=1e-5)


def test_tversky_matches_keras_per_image_and_class():
    theirs = keras.losses.Tversky(axis=(1, 2))  # one number an image and a class
    mine = losses.Tversky(0.5, 0.5, smooth=1e-7)
    assert float(mine(MASK, LOGITS)) == pytest.approx(float(theirs(ONE_HOT, P)), rel=1e-5)


def test_dice_matches_keras_per_image_and_class():
    expected = np.mean(keras.losses.Dice(axis=(1, 2))(ONE_HOT, P))
    assert float(losses.Dice(smooth=1e-7)(MASK, LOGITS)) == pytest.approx(float(expected), rel=1e-5)


def test_losses_of_two_pixels():
    mask = np.array([[[[0], [1]]]], np.uint8)
    logits = np.log([[[[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]]]]).astype("float32")
    by_class = [  # hits, false alarms and misses of each class
        (0.5, 0.25, 0.5),
        (0.25, 0.25, 0.75),
        (0.0, 0.75, 0.0),
    ]
    dice = np.mean([1 - (h + 1) / (h + 0.5 * f + 0.5 * m + 1) for h, f, m in by_class])
    tversky = np.mean([1 - (h + 1) / (h + 0.3 * f + 0.7 * m + 1) for h, f, m in by_class])
    focal = -(0.5**2 * math.log(0.5) + 0.75**2 * math.log(0.25)) / 2
    assert float(losses.Dice()(mask, logits)) == pytest.approx(dice, rel=1e-5)
    assert float(losses.Tversky()(mask, logits)) == pytest.approx(tversky, rel=1e-5)
    assert float(losses.Focal()(mask, logits)) == pytest.approx(focal, rel=1e-5)


def test_tversky_with_equal_weights_is_dice():
    expected = float(losses.Dice()(MASK, LOGITS))
    assert float(losses.Tversky(0.5, 0.5)(MASK, LOGITS)) == pytest.approx(expected)
    assert float(losses.Tversky()(MASK, LOGITS)) != pytest.approx(expected)


def test_tversky_weights_false_alarms_and_misses():
    mask = np.full((1, 8, 8, 1), 2, np.uint8)
    mask[:, :, :4] = 0  # half pet, half border; class 1 in false alarms only
    claimed = np.where(np.arange(8).reshape(1, 8, 1, 1) < 2, 1, mask)
    # pet and border: hit 24, missed 8; class 1: hit 0, false alarm 16
    for alpha, beta in ((0.1, 0.9), (0.9, 0.1)):
        by_class = [1 - 25 / (25 + 8 * beta), 1 - 1 / (1 + 16 * alpha), 1 - 25 / (25 + 8 * beta)]
        value = float(losses.Tversky(alpha, beta)(mask, confident_logits(claimed)))
        assert value == pytest.approx(np.mean(by_class), rel=1e-5)


def test_focal_decreases_from_cross_entropy_with_gamma():
    expected = float(losses.CrossEntropy()(MASK, LOGITS))
    assert float(losses.Focal(0)(MASK, LOGITS)) == pytest.approx(expected, rel=1e-5)
    values = [float(losses.Focal(gamma)(MASK, LOGITS)) for gamma in (0, 1, 2, 5)]
    assert values == sorted(values, reverse=True) and values[0] > values[-1]


def test_sum_adds_weighted_losses():
    parts = [losses.CrossEntropy(), losses.Dice(), losses.Focal()]
    expected = sum(w * float(x(MASK, LOGITS)) for w, x in zip((1, 0.5, 3), parts, strict=True))
    assert float(losses.Sum(parts, [1, 0.5, 3])(MASK, LOGITS)) == pytest.approx(expected, rel=1e-6)


def test_boundary_matches_brute_force():
    """Finds each pixel's nearest pixel on the other side of a class, in steps to 8 neighbors."""
    rows, columns = np.indices((8, 8))
    expected = np.zeros((2, 8, 8, 3))
    for n, y, x, c in np.ndindex(expected.shape):
        steps = np.maximum(abs(rows - y), abs(columns - x))
        other = steps[ONE_HOT[n, ..., c] != ONE_HOT[n, y, x, c]]
        expected[n, y, x, c] = min(other.min(initial=3), 3) / 3
    expected *= np.abs(P - ONE_HOT)
    actual = float(losses.Boundary(reach=3)(MASK, LOGITS))
    assert actual == pytest.approx(expected.mean(), rel=1e-5)


def test_boundary_penalizes_distant_errors_more():
    mask = np.ones((1, 16, 16, 1), np.uint8)
    mask[:, :, :4] = 0
    near, far = mask.copy(), mask.copy()
    near[0, 8, 4], far[0, 8, 12] = 0, 0  # one false alarm each, 1 and 9 steps from the pet
    cost = {
        name: float(losses.Boundary()(mask, confident_logits(m)))
        for name, m in (("n", near), ("f", far))
    }
    assert cost["f"] == pytest.approx(8 * cost["n"], rel=1e-4)


# --- properties ----------------------------------------------------------------------------------


@every_loss
def test_loss_increases_from_zero_with_errors(loss):
    wrong = (MASK + 1) % 3
    half = np.where(np.arange(8)[:, None, None] < 4, MASK, wrong)
    perfect, middle, worst = (
        float(loss(MASK, confident_logits(m, 20.0))) for m in (MASK, half, wrong)
    )
    assert perfect == pytest.approx(0, abs=1e-4)
    assert perfect < middle < worst


@pytest.mark.parametrize("loss", [losses.Dice(), losses.Tversky()])
def test_loss_of_worst_prediction_is_near_one(loss):
    mask = np.repeat(np.arange(3, dtype=np.uint8), 1024).reshape(1, 48, 64, 1)
    assert float(loss(mask, confident_logits((mask + 1) % 3))) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("loss", [losses.Dice(), losses.Tversky()])
def test_absent_class_has_zero_loss(loss):
    empty = np.zeros((1, 8, 8, 1), np.uint8)
    assert float(loss(empty, confident_logits(empty))) == pytest.approx(0, abs=1e-6)
    one_pixel = empty.copy()
    one_pixel[0, 0, 0] = 1
    assert (
        float(loss(empty, confident_logits(one_pixel))) > 0.05
    )  # a false alarm increases the loss


@every_loss
def test_loss_is_mean_over_images(loss):
    each = [float(loss(MASK[i : i + 1], LOGITS[i : i + 1])) for i in range(2)]
    assert each[0] != pytest.approx(each[1])
    assert float(loss(MASK, LOGITS)) == pytest.approx(np.mean(each), rel=1e-6)


@every_loss
def test_loss_accepts_mask_shapes_and_dtypes(loss):
    expected = float(loss(MASK, LOGITS))
    for mask in (MASK[..., 0], MASK.astype("int32"), MASK.astype("float32")):
        assert float(loss(mask, LOGITS)) == pytest.approx(expected)


@pytest.mark.parametrize("logit", [0.0, 1.0, 100.0])
@pytest.mark.parametrize(
    "loss",
    [*LOSSES.values(), losses.Focal(0), losses.Focal(0.5), losses.Focal(1)],
    ids=lambda loss: f"{loss.name}{getattr(loss, 'gamma', '')}",
)
def test_gradient_is_finite_and_points_to_mask(loss, logit):
    """Also for confident predictions, both correct and wrong."""
    pred_mask = MASK.copy()
    pred_mask[0] = (pred_mask[0] + 1) % 3
    slope = gradient(loss, MASK, confident_logits(pred_mask, logit))
    assert np.isfinite(slope).all()
    if logit < 100:  # soft areas of a confident prediction are flat
        true = np.take_along_axis(slope, MASK.astype(int), -1)
        assert (true < 0).all() and slope[ONE_HOT == 0].mean() > 0


@every_loss
def test_config_round_trip(loss):
    config = loss.get_config()
    restored = type(loss).from_config(dict(config))
    assert restored.get_config() == config
    assert float(restored(MASK, LOGITS)) == float(loss(MASK, LOGITS))
    deserialized = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(deserialized) is type(loss) and deserialized.get_config() == config


@pytest.mark.parametrize(
    "loss",
    [
        losses.Tversky(0.2, 0.9, 3.0),
        losses.Dice(2.0),
        losses.Focal(3.0),
        losses.Boundary(2),
        losses.Sum([losses.Focal(1.0), losses.Tversky(0.1, 0.2)], [2, 3]),
    ],
    ids=lambda loss: loss.name,
)
def test_config_round_trip_with_non_default_settings(loss):
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    default = {"tversky": losses.Tversky(), "dice": losses.Dice(), "focal": losses.Focal()}
    default["boundary"] = losses.Boundary()
    assert float(restored(MASK, LOGITS)) == float(loss(MASK, LOGITS))
    assert float(loss(MASK, LOGITS)) != float(default.get(loss.name, losses.Dice())(MASK, LOGITS))


def test_loss_and_metric_of_same_name_are_distinguished():
    for original in (losses.Dice(3.0), metrics.Dice("border")):
        config = keras.saving.serialize_keras_object(original)
        del config["module"]  # as in a file that was written by another version
        restored = keras.saving.deserialize_keras_object(config)
        assert type(restored) is type(original) and restored.get_config() == original.get_config()


# --- invalid input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: losses.Tversky(alpha=-1), "alpha -1, beta 0.7.*must not be negative"),
        (lambda: losses.Tversky(beta=-0.1), "beta -0.1"),
        (lambda: losses.Tversky(smooth=0), "smooth 0:.*smooth must be above 0"),
        (lambda: losses.Dice(smooth=-1), "smooth -1"),
        (lambda: losses.Focal(-2), r"gamma is -2: use 0 \(cross-entropy\) or more"),
        (lambda: losses.Boundary(0), "reach is 0: use at least 1 pixel"),
        (lambda: losses.Sum([], []), "0 losses and 0 weights: give one for each"),
        (lambda: losses.Sum([losses.Dice()], [1, 2]), "1 losses and 2 weights: give one for each"),
    ],
)
def test_invalid_settings_raise(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize("loss", [losses.Dice(), losses.Focal(), losses.Boundary()])
@pytest.mark.parametrize(
    "mask_shape", [(2, 8, 4, 1), (2, 8, 8, 3), (2, 8), (2, 4, 8)], ids=str
)  # another size, one-hot, flat, another size
def test_mismatched_mask_shape_raises(loss, mask_shape):
    with pytest.raises(ValueError, match=r"expected \[B, H, W, 1\] and .* of the same size"):
        loss(np.zeros(mask_shape, np.uint8), LOGITS)


# --- other backends ------------------------------------------------------------------------------

OTHER_BACKEND_CODE = """
import keras, numpy as np
from labkit import losses, metrics
from labkit.models.unet import decoder, upsample
rng = np.random.default_rng(0)
mask, logits = rng.integers(0, 3, (2, 8, 8, 1)), rng.normal(0, 2, (2, 8, 8, 3)).astype("float32")
parts = [losses.CrossEntropy(), losses.Dice(), losses.Tversky(), losses.Focal()]
parts += [losses.Boundary(), losses.Sum(parts, [1, 2, 3, 4])]
parts += [metrics.IoU("pet"), metrics.Dice("border", "image")]
values = [x(mask, keras.ops.convert_to_tensor(logits)) for x in (*parts, metrics.MeanIoU())]
taps = [keras.Input((2 * 2**k, 2 * 2**k, 3)) for k in (4, 3, 2, 1, 0)]
model = keras.Model(taps, decoder(taps, 3))
ones = model([np.ones((1, *tap.shape[1:]), "float32") for tap in taps])
assert tuple(ones.shape) == (1, 64, 64, 3), ones.shape
print(keras.backend.backend(), *(float(value) for value in values))
"""


def run_on_backend(backend):
    done = subprocess.run(
        [sys.executable, "-c", OTHER_BACKEND_CODE],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    name, *values = done.stdout.split()
    assert name == backend
    return [float(value) for value in values]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_losses_metrics_and_decoder_on_other_backends(backend):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    namespace = {}
    exec(
        OTHER_BACKEND_CODE.replace("print(", "results = ("), namespace
    )  # the same, on this backend
    np.testing.assert_allclose(run_on_backend(backend), namespace["results"][1:], rtol=1e-4)
