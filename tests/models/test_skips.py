"""U-Nets with changed skips: how each variant differs from the plain U-Net."""

import functools

import keras
import numpy as np
import pytest

from labkit.models import skips, unet
from tests.models.learning import assert_saves_and_loads, assert_trains

pytestmark = pytest.mark.usefixtures("eager", "short_encoder")
SIZE = 64  # skips of 4x4, 8x8, 16x16 and 32x32, with the names they have at 128x128
FILTERS = (16, 12, 8, 8)
PLAIN = unet.PLAIN | {"filters": FILTERS}
QUICK_VARIANTS = ("none", "not 16", "sum", "swapped")


@functools.cache
def cached_model(variant, filters=FILTERS, seed=0):
    """A model built once; the tests that change weights build their own."""
    return build_model(variant, filters=filters, seed=seed)


def build_model(variant, **options):
    return skips.skip_unet(variant, image_size=SIZE, weights=None, **PLAIN | options)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)


def decoder_weights(model):
    return model.count_params() - model.get_layer("encoder").count_params()


def test_all_skips_match_unet(images):
    plain = unet.unet_model(image_size=SIZE, weights=None, seed=3, **PLAIN)
    logits = cached_model("all", seed=3).predict_on_batch(images)
    np.testing.assert_array_equal(logits, plain.predict_on_batch(images))


@pytest.mark.parametrize("variant", QUICK_VARIANTS)
def test_variant_trains_saves_and_loads(variant, tmp_path):
    model = build_model(variant, filters=FILTERS)
    assert_trains(model)
    assert_saves_and_loads(model, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("variant", sorted(skips.VARIANTS.keys() - QUICK_VARIANTS))
def test_variant_with_real_encoder_trains_saves_and_loads(variant, tmp_path, real_encoder):
    model = build_model(variant)
    assert_trains(model)
    assert_saves_and_loads(model, tmp_path)


@pytest.mark.parametrize("omitted", [*skips.SIZES, None])
def test_variant_omits_only_its_skips(omitted):
    variant, missing = (f"not {omitted}", {omitted}) if omitted else ("none", set(skips.SIZES))
    names = {layer.name for layer in cached_model(variant).layers if "skip" in layer.name}
    assert names == {f"skip_{size}" for size in set(skips.SIZES) - missing}


def test_wide_variant_has_as_many_weights_as_all_with_many_classes():
    options = {"filters": unet.PLAIN["filters"], "num_classes": 200}
    full, wide = (decoder_weights(build_model(name, **options)) for name in ("all", "none, wide"))
    assert abs(wide / full - 1) < 0.005


@pytest.mark.parametrize("filters", [unet.PLAIN["filters"], (16, 8, 8, 4)])
def test_wide_variant_has_as_many_weights_as_all(filters):
    names = ("all", "none, wide", "none")
    full, wide, narrow = (decoder_weights(cached_model(name, filters)) for name in names)
    assert narrow < 0.8 * full
    channels, bottom = (576, 192, 144, 96), 320
    assert skips.count_weights(filters, channels, bottom, 3) == full
    widened = skips.widened(filters, channels, bottom, 3)
    assert skips.count_weights(widened, (0,) * 4, bottom, 3) == wide
    assert abs(wide / full - 1) < 0.005 or filters == (16, 8, 8, 4)


def test_swapped_skips_come_from_previous_image_and_blurred_from_same(images):
    features = np.arange(2 * 3, dtype="float32").reshape(3, 1, 1, 2)
    swapped = np.array(skips.FromAnother()(features))
    np.testing.assert_array_equal(swapped, features[[2, 0, 1]])
    for variant, mixed in (("swapped", True), ("blurred", False)):
        model = cached_model(variant)
        assert decoder_weights(model) == decoder_weights(cached_model("all"))
        together, alone = model.predict_on_batch(images), model.predict_on_batch(images[:1])
        assert (np.abs(together[:1] - alone).max() > 1e-4) == mixed


def test_blurred_skip_removes_checkerboard():
    inputs, skip = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    model = keras.Model([inputs, skip], skips.join(inputs, skip, 8, "blurred", seed=0))
    board = (np.indices((8, 8)).sum(0) % 2).astype("float32")[None, ..., None]
    blurred = model.predict_on_batch([np.zeros_like(board), board])[..., 1]
    np.testing.assert_allclose(blurred, 0.5, atol=1e-6)


def test_unknown_variant_raises():
    with pytest.raises(ValueError, match="variant is 'some': .*'none, wide'"):
        skips.skip_unet("some")
    with pytest.raises(ValueError, match="variant is 'not 8': .* has skips of 16, 32, 64"):
        skips.skip_unet("not 8", image_size=SIZE, weights=None)
