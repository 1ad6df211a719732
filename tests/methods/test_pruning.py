"""Pruning: removed channels, unchanged predictions and training of the pruned model."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit import losses
from labkit.methods import pruning
from labkit.models import unet

pytestmark = pytest.mark.usefixtures("eager", "short_encoder")


@pytest.fixture(scope="module")
def model(either_encoder):
    return unet.unet_model(image_size=32, weights=None, filters=(16, 12, 8, 8), seed=1)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)


def test_prune_nothing_keeps_predictions(model, images):
    copy = pruning.prune(model, 0)
    np.testing.assert_array_equal(copy.predict_on_batch(images), model.predict_on_batch(images))


def test_prune_removes_silent_channels(images):
    model = unet.unet_model(image_size=32, weights=None, filters=(16, 12, 8, 8), seed=1)
    rng = np.random.default_rng(2)
    for size in pruning.SIZES:
        block = model.get_layer(f"up_{size}")
        kernel, gamma, *rest = block.get_weights()
        silent = rng.permutation(len(gamma))[: len(gamma) // 2]
        gamma[silent] = 0  # so their output is beta, which is 0
        block.set_weights([kernel, gamma, *rest])
    pruned = pruning.prune(model, 0.5)
    assert [pruned.get_layer(f"up_{size}").output.shape[-1] for size in pruning.SIZES] == [
        8,
        6,
        4,
        4,
    ]
    logits = pruned.predict_on_batch(images)
    np.testing.assert_allclose(logits, model.predict_on_batch(images), atol=1e-5)


def test_pruned_file_is_smaller(model, tmp_path):
    sizes = []
    for share in (0, 0.5):
        pruned = pruning.prune(model, share)
        pruned.save_weights(tmp_path / "slim.weights.h5")
        sizes.append((pruned.count_params(), (tmp_path / "slim.weights.h5").stat().st_size))
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 2


def test_pruned_model_trains_and_original_is_unchanged(model, images):
    before = [np.array(weight) for weight in model.weights]
    pruned = pruning.prune(model, 0.5)
    pruned.compile(keras.optimizers.Adam(0.01), losses.CrossEntropy())
    masks = np.zeros((3, 32, 32, 1), np.uint8)
    first, *_, last = (pruned.train_on_batch(images, masks) for _ in range(6))
    assert last < first
    for old_weight, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old_weight, np.array(weight))


def test_pruning_keeps_encoder_frozen():
    model = unet.unet_model(image_size=32, weights=None, filters=(4, 4, 4, 4))
    for layer in model.get_layer("encoder").layers[:5]:
        layer.trainable = False
    pruned = pruning.prune(model, 0.5)
    frozen = [layer.trainable for layer in pruned.get_layer("encoder").layers]
    assert frozen == [layer.trainable for layer in model.get_layer("encoder").layers]


@given(st.floats(0, 0.999), st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_important_keeps_largest_filters(share, seed):
    kernel = np.random.default_rng(seed).normal(size=(3, 3, 10, 4)).astype("float32")
    block = unet.upsample(10)
    block.build((None, 4, 4, 4))
    block.set_weights([kernel, *block.get_weights()[1:]])
    kept = pruning.channels_to_keep(block, share)
    sizes = np.abs(kernel).sum(axis=(0, 1, 3))
    assert 1 <= len(kept) <= 10 and list(kept) == sorted(set(kept))
    removed = np.setdiff1d(np.arange(10), kept)
    assert len(removed) == 0 or sizes[kept].min() >= sizes[removed].max()


@pytest.mark.parametrize("share", [-0.1, 1, 2])
def test_invalid_share_raises(model, share):
    with pytest.raises(ValueError, match=f"share is {share}: use 0"):
        pruning.prune(model, share)
