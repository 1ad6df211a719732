"""Pruning: removed channels, unchanged predictions and training of the pruned model."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import losses
from labkit.methods import pruning
from labkit.models import unet

pytestmark = pytest.mark.usefixtures("eager", "short_encoder")
SMALL = unet.PLAIN | {"image_size": 32, "weights": None, "filters": (16, 12, 8, 8), "seed": 1}


@pytest.fixture(scope="module")
def model(either_encoder):
    return unet.unet_model(**SMALL)


NARROW = SMALL | {"filters": (12, 8, 8), "narrow": True, "enlarge": 2}


@pytest.mark.parametrize("options", [SMALL, NARROW], ids=["plain", "narrow"])
def test_prune_nothing_keeps_predictions(options, random_batch):
    images, _ = random_batch
    model = unet.unet_model(**options)
    copy = pruning.prune(model, 0)
    np.testing.assert_array_equal(copy.predict_on_batch(images), model.predict_on_batch(images))


@pytest.mark.parametrize("options", [SMALL, NARROW], ids=["plain", "narrow"])
def test_prune_removes_silent_channels(options, random_batch):
    model, rng = unet.unet_model(**options), np.random.default_rng(2)
    sizes = unet.block_sizes(model)
    for size in sizes:
        block = model.get_layer(f"up_{size}")
        kernel, gamma, *rest = block.get_weights()
        gamma[rng.permutation(len(gamma))[: len(gamma) // 2]] = 0  # so their output is beta, 0
        block.set_weights([kernel, gamma, *rest])
    pruned = pruning.prune(model, 0.5)
    outputs = [pruned.get_layer(f"up_{size}").output for size in sizes]
    assert [output.shape[-1] for output in outputs] == [n // 2 for n in options["filters"]]
    logits, expected = (x.predict_on_batch(random_batch[0]) for x in (pruned, model))
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_pruned_model_trains_and_original_is_unchanged(model, random_batch):
    before = [np.array(weight) for weight in model.weights]
    pruned = pruning.prune(model, 0.5)
    pruned.compile(keras.optimizers.Adam(0.01), losses.CrossEntropy())
    images, masks = random_batch[0], 0 * random_batch[1]
    first, *_, last = (pruned.train_on_batch(images, masks) for _ in range(6))
    assert last < first
    np.testing.assert_equal([np.array(weight) for weight in model.weights], before)


def test_pruning_keeps_encoder_frozen():
    model = unet.unet_model(**SMALL)
    layers = model.get_layer("encoder").layers
    for layer in layers[:5]:
        layer.trainable = False
    copies = pruning.prune(model, 0.5).get_layer("encoder").layers
    assert [copy.trainable for copy in copies] == [layer.trainable for layer in layers]


@given(st.floats(0, 0.999), st.integers(0, 5))
def test_channels_to_keep_have_largest_filters(share, seed):
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
    with pytest.raises(ValueError, match=f"share is {share}"):
        pruning.prune(model, share)
