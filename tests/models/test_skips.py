"""U-Nets with changed skips: how each variant differs from the plain U-Net."""

import functools

import keras
import numpy as np
import pytest

from labkit import losses
from labkit.models import skips, unet

pytestmark = pytest.mark.usefixtures("eager", "short_encoder")
SIZE = 64  # skips of 4x4, 8x8, 16x16 and 32x32, with the names they have at 128x128
FILTERS = (16, 12, 8, 8)


@functools.cache
def cached_model(variant, filters=FILTERS, seed=0):
    """A model built once; the tests that change weights build their own."""
    return build_model(variant, filters=filters, seed=seed)


def build_model(variant, **options):
    return skips.skip_unet(variant, image_size=SIZE, weights=None, **options)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)


def decoder_weights(model):
    return model.count_params() - model.get_layer("encoder").count_params()


def test_all_skips_match_unet(images):
    plain = unet.unet_model(image_size=SIZE, weights=None, filters=FILTERS, seed=3)
    np.testing.assert_array_equal(
        cached_model("all", seed=3).predict_on_batch(images), plain.predict_on_batch(images)
    )


def assert_trains_saves_and_loads(model, images, folder):
    model.compile(keras.optimizers.SGD(0.1), losses.CrossEntropy())
    before = [np.array(weight) for weight in model.trainable_weights]
    model.train_on_batch(images, np.zeros((3, SIZE, SIZE, 1), np.uint8))
    for old_weight, weight in zip(before, model.trainable_weights, strict=True):
        assert np.abs(old_weight - np.array(weight)).max() > 0, f"{weight.path} got no gradient"
    logits = model.predict_on_batch(images)
    assert logits.shape == (3, SIZE, SIZE, 3) and logits.dtype == np.float32
    model.save(folder / "model.keras")
    loaded = keras.models.load_model(folder / "model.keras", compile=False)
    np.testing.assert_allclose(loaded.predict_on_batch(images), logits, atol=1e-5)


QUICK_VARIANTS = ("none", "not 16", "sum", "swapped")


@pytest.mark.parametrize("variant", QUICK_VARIANTS)
def test_variant_trains_saves_and_loads(variant, images, tmp_path):
    assert_trains_saves_and_loads(build_model(variant, filters=FILTERS), images, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("variant", sorted(skips.VARIANTS.keys() - QUICK_VARIANTS))
def test_variant_with_real_encoder_trains_saves_and_loads(variant, images, tmp_path, real_encoder):
    assert_trains_saves_and_loads(build_model(variant), images, tmp_path)


@pytest.mark.parametrize("size", skips.SIZES)
def test_not_variant_omits_only_that_skip(size):
    names = {layer.name for layer in cached_model(f"not {size}").layers}
    assert {other for other in skips.SIZES if f"skip_{other}" in names} == set(skips.SIZES) - {size}


def test_none_variant_has_no_skip_layers():
    assert not [layer for layer in cached_model("none").layers if layer.name.startswith("skip")]


def test_wide_variant_has_as_many_weights_as_all():
    names = ("all", "none, wide", "none")
    all_skips, wide, no_skips = (
        decoder_weights(cached_model(name, unet.FILTERS)) for name in names
    )
    assert abs(wide / all_skips - 1) < 0.005
    assert no_skips < 0.7 * all_skips


@pytest.mark.parametrize("filters", [unet.FILTERS, (16, 8, 8, 4)])
def test_count_weights_matches_keras(filters):
    counted = skips.count_weights(filters, skips.TAP_CHANNELS)
    assert counted == decoder_weights(cached_model("all", filters))
    wide = skips.widened(filters)
    assert skips.count_weights(wide, (0,) * 4) == decoder_weights(cached_model("none", wide))


@pytest.mark.parametrize("variant", ["swapped", "blurred"])
def test_swapped_and_blurred_skips_keep_weight_count(variant):
    assert decoder_weights(cached_model(variant)) == decoder_weights(cached_model("all"))


def test_swapped_skips_come_from_previous_image(images):
    features = np.arange(2 * 3, dtype="float32").reshape(3, 1, 1, 2)
    swapped = np.array(skips.FromAnother()(features))
    np.testing.assert_array_equal(swapped, features[[2, 0, 1]])
    model = cached_model("swapped")
    together, alone = model.predict_on_batch(images), model.predict_on_batch(images[:1])
    assert np.abs(together[:1] - alone).max() > 1e-4


def test_blurred_skips_do_not_mix_images(images):
    model = cached_model("blurred")
    together, alone = model.predict_on_batch(images), model.predict_on_batch(images[:1])
    np.testing.assert_allclose(together[:1], alone, atol=1e-5)


def test_blurred_skip_removes_checkerboard():
    skip = keras.Input((8, 8, 1))
    inputs = keras.Input((8, 8, 1))
    joined = skips.join(inputs, skip, 8, "blurred", seed=0)
    model = keras.Model([inputs, skip], joined)
    board = (np.indices((8, 8)).sum(0) % 2).astype("float32")[None, ..., None]
    blurred = model.predict_on_batch([np.zeros_like(board), board])[..., 1]
    np.testing.assert_allclose(blurred, 0.5, atol=1e-6)


def test_unknown_variant_raises():
    with pytest.raises(
        ValueError, match="variant is 'some': use one of 'all', 'none', 'none, wide'"
    ):
        skips.skip_unet("some")
