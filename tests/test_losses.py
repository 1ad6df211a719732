"""Losses match their formulas, have finite gradients and can be saved."""

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
MASK[1] = np.arange(8).reshape(8, 1) > 0  # distant from the outline, and without class 2
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


# --- formulas ------------------------------------------------------------------------------------


def focal(gamma):
    p = (ONE_HOT * P).sum(-1)  # of the true class
    return np.mean(-((1 - p) ** gamma) * np.log(p))


def tversky(alpha, beta, smooth):
    parts = (ONE_HOT * P, (1 - ONE_HOT) * P, ONE_HOT * (1 - P))
    hit, alarm, missed = (part.sum((1, 2)) for part in parts)
    return np.mean(1 - (hit + smooth) / (hit + alpha * alarm + beta * missed + smooth))


def boundary(reach):
    """Finds each pixel's nearest pixel on the other side of a class, in steps to 8 neighbors."""
    rows, columns = np.indices((8, 8))
    distance = np.zeros((2, 8, 8, 3))
    for n, y, x, c in np.ndindex(distance.shape):
        steps = np.maximum(abs(rows - y), abs(columns - x))
        other = steps[ONE_HOT[n, ..., c] != ONE_HOT[n, y, x, c]]
        distance[n, y, x, c] = min(other.min(initial=reach), reach)
    return np.mean(distance / reach * np.abs(P - ONE_HOT))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (losses.CrossEntropy(), focal(0)),
        *((losses.Focal(gamma), focal(gamma)) for gamma in (0, 0.5, 1, 5)),
        (losses.Focal(), focal(2)),
        (losses.Tversky(), tversky(0.3, 0.7, 1)),
        (losses.Tversky(1.0, 0.0, smooth=2.0), tversky(1, 0, 2)),
        (losses.Dice(), tversky(0.5, 0.5, 1)),
        (losses.Dice(smooth=3.0), tversky(0.5, 0.5, 3)),
        (losses.Boundary(), boundary(8)),
        (losses.Boundary(reach=3), boundary(3)),
        (
            losses.Sum([losses.CrossEntropy(), losses.Dice(), losses.Focal()], [1, 0.5, 3]),
            focal(0) + 0.5 * tversky(0.5, 0.5, 1) + 3 * focal(2),
        ),
    ],
)
def test_loss_matches_formula(loss, expected):
    assert float(loss(MASK, LOGITS)) == pytest.approx(float(expected), rel=1e-5)


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


@pytest.mark.parametrize(
    ("loss", "default"),
    [
        (losses.CrossEntropy(), None),
        (losses.Tversky(0.2, 0.9, 3.0), losses.Tversky()),
        (losses.Dice(2.0), losses.Dice()),
        (losses.Focal(3.0), losses.Focal()),
        (losses.Boundary(2), losses.Boundary()),
        (losses.Sum([losses.Focal(1.0), losses.Tversky(0.1, 0.2)], [2, 3]), LOSSES["sum"]),
    ],
    ids=lambda loss: loss and loss.name,
)
def test_config_round_trip(loss, default):
    config = loss.get_config()
    saved = keras.saving.serialize_keras_object(loss)
    for restored in (
        type(loss).from_config(dict(config)),
        keras.saving.deserialize_keras_object(saved),
    ):
        assert type(restored) is type(loss) and restored.get_config() == config
        assert float(restored(MASK, LOGITS)) == float(loss(MASK, LOGITS))
    assert default is None or float(loss(MASK, LOGITS)) != float(default(MASK, LOGITS))


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
        (lambda: losses.Tversky(alpha=-1), "alpha -1"),
        (lambda: losses.Tversky(beta=-0.1), "beta -0.1"),
        (lambda: losses.Tversky(smooth=0), "smooth 0:"),
        (lambda: losses.Dice(smooth=-1), "smooth -1"),
        (lambda: losses.Focal(-2), "gamma is -2"),
        (lambda: losses.Boundary(0), "reach is 0"),
        (lambda: losses.Sum([], []), "0 losses and 0 weights"),
        (lambda: losses.Sum([losses.Dice()], [1, 2]), "1 losses and 2 weights"),
    ],
)
def test_invalid_settings_raise(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize("loss", [losses.Dice(), losses.Focal(), losses.Boundary()])
@pytest.mark.parametrize("mask_shape", [(2, 8, 4, 1), (2, 8, 8, 3), (2, 8), (2, 4, 8)], ids=str)
def test_mismatched_mask_shape_raises(loss, mask_shape):
    with pytest.raises(ValueError, match=r"expected \[B, H, W, 1\]"):
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
taps = [keras.Input((2 * 2**k, 2 * 2**k, 3)) for k in (4, 3, 2, 1)]
model = keras.Model(taps, decoder(taps, 3))
ones = model([np.ones((1, *tap.shape[1:]), "float32") for tap in taps])
assert tuple(ones.shape) == (1, 64, 64, 3), ones.shape
print(keras.backend.backend(), *(float(value) for value in values))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_losses_metrics_and_decoder_on_other_backends(backend):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    outputs = {}
    for name in ("tensorflow", backend):
        command = [sys.executable, "-c", OTHER_BACKEND_CODE]
        environment = {**os.environ, "KERAS_BACKEND": name}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        used, *outputs[name] = done.stdout.split()
        assert used == name
    expected, actual = (np.array(values, float) for values in outputs.values())
    np.testing.assert_allclose(actual, expected, rtol=1e-4)
