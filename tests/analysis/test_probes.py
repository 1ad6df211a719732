"""Gradient norms by layer, and the similarity of features (CKA)."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import losses
from labkit.analysis import probes
from labkit.batches import Batches
from labkit.models.skips import skip_unet
from labkit.models.unet import PLAIN, unet_model
from labkit.training import train

pytestmark = pytest.mark.usefixtures("eager", "short_encoder")
SMALL = PLAIN | {"image_size": 32, "weights": None, "filters": (16, 12, 8, 8)}


@pytest.fixture(scope="module")
def model(either_encoder):
    return unet_model(**SMALL)


def test_gradient_norm_of_single_convolution(random_batch):
    """For logits w x, the gradient of cross-entropy is the mean of (softmax - one-hot) x."""
    layer = keras.layers.Conv2D(3, 1, use_bias=False, name="logits")
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Rescaling(1 / 255), layer])
    images, masks = random_batch
    x = images.reshape(-1, 3) / 255
    z = x @ np.array(layer.kernel)[0, 0]
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    gradient = x.T @ (p - np.eye(3)[masks.ravel()]) / len(x)
    norms = probes.gradient_norms(model, images, masks)
    assert norms == {"logits": pytest.approx(np.linalg.norm(gradient), rel=1e-4)}
    assert probes.gradient_norms(model, images, masks, losses.Dice()) != pytest.approx(norms)


def test_gradient_norms_are_ordered_and_do_not_change_model(model, random_batch):
    before = [np.array(weight) for weight in model.weights]
    norms = probes.gradient_norms(model, *random_batch)
    names = list(norms)
    assert names[0] == "Conv1" and names[-1] == "logits"
    assert names.index("block_1") < names.index("block_16") < names.index("up_8")
    assert all(value > 0 for value in norms.values())
    np.testing.assert_equal([np.array(weight) for weight in model.weights], before)
    assert probes.gradient_norms(model, *random_batch) == pytest.approx(norms, rel=1e-4)


def test_gradient_norms_skip_frozen_encoder(random_batch):
    model = unet_model(**SMALL)
    model.get_layer("encoder").trainable = False
    decoder = {"up_8", "up_16", "up_32", "up_64", "logits"}
    assert set(probes.gradient_norms(model, *random_batch)) == decoder


def test_history_has_gradient_norms_of_each_epoch(make_split, folders, short_encoder_here):
    split = make_split(4, 32)
    model = unet_model(**SMALL)
    first = probes.gradient_norms(model, split.images, split.masks)
    callback = probes.GradientNorms(split.images, split.masks)
    run = train(model, Batches(split, 4, seed=0), epochs=2, name="probed", callbacks=[callback])
    for part in ("block_1", "up_64", "logits"):
        at_start, later = run.history[f"gradient {part}"]
        assert at_start == pytest.approx(first[part], rel=1e-3) and at_start != later


@pytest.mark.parametrize(
    ("part", "paths"),
    [
        ("Conv1", ["Conv1/kernel", "bn_Conv1/gamma"]),
        ("expanded_conv", ["expanded_conv_depthwise/kernel"]),
        ("block_12", ["block_12_project_BN/beta"]),
        ("up_16", ["up_16/conv2d_transpose_3/kernel"]),
        ("logits", ["logits/bias"]),
        ("project_8", ["project_8/kernel"]),
        ("dense", ["dense/kernel"]),
    ],
)
def test_part_of_weight_path(part, paths):
    assert {probes.part_of(path) for path in paths} == {part}


def test_multiply_adds_of_each_layer():
    layers = [
        keras.layers.Conv2D(4, 3, strides=2, padding="same"),
        keras.layers.DepthwiseConv2D(3, padding="same"),
        keras.layers.ReLU(),
        keras.layers.Conv2DTranspose(2, 3, strides=2, padding="same"),
    ]
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    counts = [probes.layer_multiply_adds(layer) for layer in model.layers]
    assert counts == [4 * 4 * 9 * 3 * 4, 4 * 4 * 9 * 4, 0, 4 * 4 * 9 * 4 * 2]


def test_multiply_adds_of_each_part():
    counts = probes.multiply_adds(unet_model(**SMALL | {"narrow": True}))
    up, narrow = 1 * 9 * 320 * 16, (4 * 576 * 8 + 16 * 192 * 6 + 64 * 144 * 4 + 256 * 96 * 4)
    assert counts["up_8"] == up and counts["narrow"] == narrow
    assert counts["up_16"] == 2 * 2 * 9 * (16 + 8) * 12
    assert counts["logits"] == 16 * 16 * 9 * (8 + 4) * 3
    assert set(counts) == {"encoder", "narrow", "up_8", "up_16", "up_32", "up_64", "logits"}


# --- similarity ------------------------------------------------------------------------------


def random_features(seed, channels=5):
    return np.random.default_rng(seed).normal(size=(200, channels))


@given(st.integers(0, 10_000), st.floats(0.01, 100), st.floats(-10, 10))
def test_cka_is_invariant_to_rotation_scale_and_shift(seed, scale, shift):
    x = random_features(seed)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed + 1).normal(size=(5, 5)))
    assert probes.cka(x, scale * x @ rotation + shift) == pytest.approx(1)


@given(st.integers(0, 10_000), st.integers(1, 8))
def test_cka_is_symmetric_and_bounded(seed, channels):
    x, y = random_features(seed), random_features(seed + 1, channels)
    similarity = probes.cka(x, y)
    assert similarity == pytest.approx(probes.cka(y, x))
    assert 0 <= similarity <= 1


def test_cka_of_orthogonal_features_is_zero():
    x, y = np.array([[[1.0], [1], [-1], [-1]], [[1], [-1], [1], [-1]]])
    assert probes.cka(x, y) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("x", "y", "match"),
    [
        (np.ones((3, 2)), np.ones((4, 2)), r"\(3, 2\) and \(4, 2\)"),
        (np.ones((3, 2, 1)), np.ones((3, 2)), r"\(3, 2, 1\)"),
        (np.ones((3, 2)), np.eye(3), "same at every position"),
    ],
)
def test_cka_invalid_features_raise(x, y, match):
    with pytest.raises(ValueError, match=match):
        probes.cka(x, y)


def test_similarity_is_1_only_for_same_model(model, random_batch):
    images, _ = random_batch
    # The block is named for 128x128 images; this one is 32x32.
    assert probes.features(model, images, 64).shape == (4 * 16 * 16, 8)
    same = probes.similarity(model, model, images)
    assert same == pytest.approx(dict.fromkeys((8, 16, 32, 64), 1))
    other = probes.similarity(model, skip_unet("none", **SMALL, seed=5), images)
    assert other.keys() == same.keys() and max(other.values()) < 0.99
