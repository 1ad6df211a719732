"""Gradient norms by layer, and the similarity of features (CKA)."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit import losses
from labkit.analysis import probes
from labkit.batches import Batches
from labkit.models.skips import skip_unet
from labkit.models.unet import unet_model
from labkit.training import train

pytestmark = pytest.mark.usefixtures("eager", "short_encoder")
FEW = (16, 12, 8, 8)
properties = settings(deadline=None, max_examples=30)


@pytest.fixture(scope="module")
def model(either_encoder):
    return unet_model(image_size=32, weights=None, filters=FEW)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 32, 32, 3), np.uint8)
    return images, rng.integers(0, 3, (4, 32, 32, 1), np.uint8)


def test_gradient_norm_of_single_convolution(batch):
    """For logits w x, the gradient of cross-entropy is the mean of (softmax - one-hot) x."""
    layer = keras.layers.Conv2D(3, 1, use_bias=False, name="logits")
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Rescaling(1 / 255), layer])
    images, masks = batch
    x = images.reshape(-1, 3) / 255
    z = x @ np.array(layer.kernel)[0, 0]
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    gradient = x.T @ (p - np.eye(3)[masks.ravel()]) / len(x)
    norms = probes.gradient_norms(model, images, masks)
    assert norms == {"logits": pytest.approx(np.linalg.norm(gradient), rel=1e-4)}


def test_gradient_norms_are_ordered_and_do_not_change_model(model, batch):
    before = [np.array(weight) for weight in model.weights]
    norms = probes.gradient_norms(model, *batch)
    names = list(norms)
    assert names[0] == "Conv1" and names[-1] == "logits"
    assert names.index("block_1") < names.index("block_16") < names.index("up_8")
    assert all(value > 0 for value in norms.values())
    for old_weight, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old_weight, np.array(weight))
    assert probes.gradient_norms(model, *batch) == pytest.approx(norms, rel=1e-4)


def test_gradient_norms_skip_frozen_encoder(batch):
    model = unet_model(image_size=32, weights=None, filters=FEW)
    model.get_layer("encoder").trainable = False
    assert set(probes.gradient_norms(model, *batch)) == {
        "up_8",
        "up_16",
        "up_32",
        "up_64",
        "logits",
    }


def test_history_has_gradient_norms_of_each_epoch(make_split, folders, short_encoder_here):
    split = make_split(4, 32)
    model = unet_model(image_size=32, weights=None, filters=FEW)
    first = probes.gradient_norms(model, split.images, split.masks)
    callback = probes.GradientNorms(split.images, split.masks)
    run = train(model, Batches(split, 4, seed=0), epochs=2, name="probed", callbacks=[callback])
    for part in ("block_1", "up_64", "logits"):
        values = run.history[f"gradient {part}"]
        assert len(values) == 2 and values[0] == pytest.approx(first[part], rel=1e-3)
        assert values[0] != values[1]


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("Conv1/kernel", "Conv1"),
        ("bn_Conv1/gamma", "Conv1"),
        ("expanded_conv_depthwise/kernel", "expanded_conv"),
        ("block_12_project_BN/beta", "block_12"),
        ("up_16/conv2d_transpose_3/kernel", "up_16"),
        ("logits/bias", "logits"),
        ("project_8/kernel", "project_8"),
        ("dense/kernel", "dense"),
    ],
)
def test_part_of_weight_path(path, part):
    assert probes.part_of(path) == part


# --- similarity ------------------------------------------------------------------------------


def random_features(seed, channels=5):
    return np.random.default_rng(seed).normal(size=(200, channels))


@properties
@given(st.integers(0, 10_000), st.floats(0.01, 100), st.floats(-10, 10))
def test_cka_is_invariant_to_rotation_scale_and_shift(seed, scale, shift):
    x = random_features(seed)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed + 1).normal(size=(5, 5)))
    assert probes.cka(x, scale * x @ rotation + shift) == pytest.approx(1)


@properties
@given(st.integers(0, 10_000), st.integers(1, 8))
def test_cka_is_symmetric_and_bounded(seed, channels):
    x, y = random_features(seed), random_features(seed + 1, channels)
    similarity = probes.cka(x, y)
    assert similarity == pytest.approx(probes.cka(y, x))
    assert 0 <= similarity <= 1


def test_cka_of_orthogonal_features_is_zero():
    x = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    y = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    assert probes.cka(x, y) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("x", "y", "match"),
    [
        (np.ones((3, 2)), np.ones((4, 2)), r"shapes \(3, 2\) and \(4, 2\)"),
        (np.ones((3, 2, 1)), np.ones((3, 2)), r"use \[N, C\]"),
        (np.ones((3, 2)), np.eye(3), "same at every position"),
    ],
)
def test_cka_invalid_features_raise(x, y, match):
    with pytest.raises(ValueError, match=match):
        probes.cka(x, y)


def test_similarity_is_1_only_for_same_model(model, batch):
    images = batch[0]
    assert probes.similarity(model, model, images) == pytest.approx(
        dict.fromkeys((8, 16, 32, 64), 1)
    )
    other = skip_unet("none", image_size=32, weights=None, filters=FEW, seed=5)
    similarity = probes.similarity(model, other, images)
    assert set(similarity) == {8, 16, 32, 64} and max(similarity.values()) < 0.99


def test_features_have_row_per_position(model, batch):
    features = probes.features(model, batch[0], 64)
    assert features.shape == (
        4 * 16 * 16,
        FEW[-1],
    )  # the tap is named for 128x128 images; this one is 32x32


def test_gradient_norms_depend_on_loss(model, batch):
    assert probes.gradient_norms(model, *batch, losses.Dice()) != pytest.approx(
        probes.gradient_norms(model, *batch), rel=1e-3
    )
