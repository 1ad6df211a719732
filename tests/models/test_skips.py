"""U-Nets whose skips are changed: what differs from the plain one, and nothing else."""

import functools

import keras
import numpy as np
import pytest

from labkit import losses
from labkit.models import skips, unet

pytestmark = pytest.mark.usefixtures("eager", "short_encoder")
SIZE = 64  # skips of 4x4, 8x8, 16x16 and 32x32 then; their names are those of a 128x128 image
FEW = (16, 12, 8, 8)


@functools.cache
def small(variant, filters=FEW, seed=0):
    """Made once: only one test changes the weights, and it makes its own."""
    return make(variant, filters=filters, seed=seed)


def make(variant, **options):
    return skips.skip_unet(variant, image_size=SIZE, weights=None, **options)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)


def decoder_weights(model):
    return model.count_params() - model.get_layer("encoder").count_params()


def test_all_skips_are_the_plain_u_net(images):
    plain = unet.unet_model(image_size=SIZE, weights=None, filters=FEW, seed=3)
    np.testing.assert_array_equal(
        small("all", seed=3).predict_on_batch(images), plain.predict_on_batch(images)
    )


def assert_trains_saves_and_loads(model, images, folder):
    model.compile(keras.optimizers.SGD(0.1), losses.CrossEntropy())
    before = [np.array(weight) for weight in model.trainable_weights]
    model.train_on_batch(images, np.zeros((3, SIZE, SIZE, 1), np.uint8))
    for old, weight in zip(before, model.trainable_weights, strict=True):
        assert np.abs(old - np.array(weight)).max() > 0, f"{weight.path} got no gradient"
    logits = model.predict_on_batch(images)
    assert logits.shape == (3, SIZE, SIZE, 3) and logits.dtype == np.float32
    model.save(folder / "model.keras")
    again = keras.models.load_model(folder / "model.keras", compile=False)
    np.testing.assert_allclose(again.predict_on_batch(images), logits, atol=1e-5)


QUICK = ("none", "not 16", "sum", "swapped")


@pytest.mark.parametrize("variant", QUICK)
def test_each_variant_gives_logits_trains_saves_and_loads(variant, images, tmp_path):
    assert_trains_saves_and_loads(make(variant, filters=FEW), images, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("variant", sorted(skips.VARIANTS.keys() - QUICK))
def test_the_whole_network_of_the_others_does_so_too(variant, images, tmp_path, real_encoder):
    assert_trains_saves_and_loads(make(variant), images, tmp_path)


@pytest.mark.parametrize("size", skips.SIZES)
def test_one_left_out_is_that_one(size):
    names = {layer.name for layer in small(f"not {size}").layers}
    assert {other for other in skips.SIZES if f"skip_{other}" in names} == set(skips.SIZES) - {size}


def test_without_skips_nothing_crosses():
    assert not [layer for layer in small("none").layers if layer.name.startswith("skip")]


def test_the_wide_one_has_as_many_weights_as_the_whole():
    names = ("all", "none, wide", "none")
    whole, wide, plain = (decoder_weights(small(name, unet.FILTERS)) for name in names)
    assert abs(wide / whole - 1) < 0.005
    assert plain < 0.7 * whole


@pytest.mark.parametrize("filters", [unet.FILTERS, (16, 8, 8, 4)])
def test_weights_are_counted_as_keras_counts_them(filters):
    counted = skips.count_weights(filters, skips.TAP_CHANNELS)
    assert counted == decoder_weights(small("all", filters))
    wide = skips.widened(filters)
    assert skips.count_weights(wide, (0,) * 4) == decoder_weights(small("none", wide))


@pytest.mark.parametrize("variant", ["swapped", "blurred"])
def test_spoilt_skips_keep_every_weight(variant):
    assert decoder_weights(small(variant)) == decoder_weights(small("all"))


def test_swapped_skips_come_from_the_image_before(images):
    features = np.arange(2 * 3, dtype="float32").reshape(3, 1, 1, 2)
    found = np.array(skips.FromAnother()(features))
    np.testing.assert_array_equal(found, features[[2, 0, 1]])
    model = small("swapped")
    together, alone = model.predict_on_batch(images), model.predict_on_batch(images[:1])
    assert np.abs(together[:1] - alone).max() > 1e-4


def test_other_variants_do_not_mix_images(images):
    model = small("blurred")
    together, alone = model.predict_on_batch(images), model.predict_on_batch(images[:1])
    np.testing.assert_allclose(together[:1], alone, atol=1e-5)


def test_a_blurred_skip_has_lost_its_checkerboard():
    start = keras.Input((8, 8, 1))
    inputs = keras.Input((8, 8, 1))
    joined = skips.join(inputs, start, 8, "blurred", seed=0)
    model = keras.Model([inputs, start], joined)
    board = (np.indices((8, 8)).sum(0) % 2).astype("float32")[None, ..., None]
    blurred = model.predict_on_batch([np.zeros_like(board), board])[..., 1]
    np.testing.assert_allclose(blurred, 0.5, atol=1e-6)


def test_an_unknown_variant_is_named_with_those_there_are():
    with pytest.raises(
        ValueError, match="variant is 'some': use one of 'all', 'none', 'none, wide'"
    ):
        skips.skip_unet("some")
