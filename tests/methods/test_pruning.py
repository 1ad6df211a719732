"""Pruning takes channels away, and nothing from those that stay."""

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


def test_without_pruning_the_copy_says_the_same(model, images):
    copy = pruning.prune(model, 0)
    np.testing.assert_array_equal(copy.predict_on_batch(images), model.predict_on_batch(images))


def test_channels_that_say_nothing_can_go(images):
    model = unet.unet_model(image_size=32, weights=None, filters=(16, 12, 8, 8), seed=1)
    rng = np.random.default_rng(2)
    for size in pruning.SIZES:
        block = model.get_layer(f"up_{size}")
        kernel, gamma, *rest = block.get_weights()
        silent = rng.permutation(len(gamma))[: len(gamma) // 2]
        gamma[silent] = 0  # their output is 0 then, as beta is
        block.set_weights([kernel, gamma, *rest])
    slim = pruning.prune(model, 0.5)
    assert [slim.get_layer(f"up_{size}").output.shape[-1] for size in pruning.SIZES] == [8, 6, 4, 4]
    found = slim.predict_on_batch(images)
    np.testing.assert_allclose(found, model.predict_on_batch(images), atol=1e-5)


def test_the_file_gets_smaller(model, tmp_path):
    sizes = []
    for share in (0, 0.5):
        slim = pruning.prune(model, share)
        slim.save_weights(tmp_path / "slim.weights.h5")
        sizes.append((slim.count_params(), (tmp_path / "slim.weights.h5").stat().st_size))
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 2


def test_a_pruned_model_trains_and_the_large_one_stays(model, images):
    before = [np.array(weight) for weight in model.weights]
    slim = pruning.prune(model, 0.5)
    slim.compile(keras.optimizers.Adam(0.01), losses.CrossEntropy())
    masks = np.zeros((3, 32, 32, 1), np.uint8)
    first, *_, last = (slim.train_on_batch(images, masks) for _ in range(6))
    assert last < first
    for old, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, np.array(weight))


def test_a_frozen_encoder_stays_frozen():
    model = unet.unet_model(image_size=32, weights=None, filters=(4, 4, 4, 4))
    for layer in model.get_layer("encoder").layers[:5]:
        layer.trainable = False
    slim = pruning.prune(model, 0.5)
    frozen = [layer.trainable for layer in slim.get_layer("encoder").layers]
    assert frozen == [layer.trainable for layer in model.get_layer("encoder").layers]


@given(st.floats(0, 0.999), st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_the_largest_filters_are_kept(share, seed):
    kernel = np.random.default_rng(seed).normal(size=(3, 3, 10, 4)).astype("float32")
    block = unet.upsample(10)
    block.build((None, 4, 4, 4))
    block.set_weights([kernel, *block.get_weights()[1:]])
    kept = pruning.channels_to_keep(block, share)
    sizes = np.abs(kernel).sum(axis=(0, 1, 3))
    assert 1 <= len(kept) <= 10 and list(kept) == sorted(set(kept))
    gone = np.setdiff1d(np.arange(10), kept)
    assert len(gone) == 0 or sizes[kept].min() >= sizes[gone].max()


@pytest.mark.parametrize("share", [-0.1, 1, 2])
def test_a_share_outside_its_range_is_refused(model, share):
    with pytest.raises(ValueError, match=f"share is {share}: use 0"):
        pruning.prune(model, share)
