"""The trained U-Net that comes with the course, and the file of its weights."""

import numpy as np
import pytest

from labkit import data, metrics, training
from labkit.models import trained, unet, weights
from labkit.models.encoder import pretrained


@pytest.fixture
def small(short_encoder_here):
    """A function that makes a small U-Net of a seed."""
    return lambda seed=0, **options: unet.unet_model(
        **{"image_size": 32, "weights": None, "filters": (12, 8, 6), "seed": seed, **options}
    )


@pytest.fixture(scope="module")
def model(_sealed):
    return trained.trained_unet()


def test_trained_unet_segments_drawn_pets_offline(model):
    test = data.load(data.SYNTHETIC, limit=(1, 8)).test
    pred_masks = training.predict_masks(model, test)
    assert metrics.mean_iou(test.masks, pred_masks) > 0.8


def test_course_weights_give_a_frozen_encoder_of_any_size(model):
    expected = model.get_layer("encoder").get_weights()
    for options in ({}, {"enlarge": 2}):
        encoder = pretrained(32, "trained", **options)
        np.testing.assert_equal(encoder.get_weights(), expected)
        assert encoder.trainable_variables == []
    tuned = pretrained(32, "trained", fine_tune="block_16")
    assert {weight.name for weight in tuned.trainable_variables} == {"kernel"}


def test_file_has_at_most_6_MB():
    assert weights.FILE.stat().st_size <= 6e6


def test_weights_survive_the_file_in_16_bits(small, tmp_path):
    saved, other = small(seed=1), small(seed=2)
    weights.save(saved, tmp_path / "mine.npz")
    for part in weights.PARTS:
        weights.fill(other, part, tmp_path / "mine.npz")
    for weight, expected in zip(other.weights, saved.weights, strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-3, atol=1e-6)


def test_another_network_is_refused(small, tmp_path):
    weights.save(small(), tmp_path / "mine.npz")
    with pytest.raises(ValueError, match="the decoder of unet differs from the one in .*mine.npz"):
        weights.fill(small(filters=(12, 8, 8)), "decoder", tmp_path / "mine.npz")


def test_weights_too_large_for_16_bits_are_refused(small, tmp_path):
    model = small()
    kernel = model.get_layer("logits").kernel
    kernel.assign(1e5 * np.ones(kernel.shape))
    with pytest.raises(ValueError, match="logits/kernel holds 100000"):
        weights.save(model, tmp_path / "mine.npz")
    assert not (tmp_path / "mine.npz").exists()
