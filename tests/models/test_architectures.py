"""The other architectures: their common contract, and what is specific to each."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from labkit.models import aff, attention, deeplab, fullres, lft, transunet, unet, unetpp
from tests.models.learning import assert_saves_and_loads, assert_trains

pytestmark = pytest.mark.usefixtures("eager", "short_encoder")
MODELS = {
    "unetpp": unetpp.unetpp_model,
    "attention": attention.attention_unet,
    "transunet": transunet.transunet_model,
    "lft": lft.lft_unet,
    "aff": aff.aff_unet,
    "fullres": fullres.fullres_unet,
    "deeplab": deeplab.deeplab_model,
}
SMALL_OPTIONS = unet.PLAIN | {"image_size": 32, "weights": None, "filters": (16, 12, 8, 8)}
WIDE_OPTIONS = SMALL_OPTIONS | {"image_size": (32, 64), "num_classes": 4}
NARROW = {"filters": (12, 8, 8), "narrow": True, "enlarge": 2}
each_architecture = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


@pytest.fixture(scope="module")
def images(random_batch):
    return random_batch[0][:3]


@pytest.fixture(scope="module")
def wide_images(images):
    return np.concatenate([images, images[::-1]], axis=2)


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param](**WIDE_OPTIONS, seed=2)


def test_logits_have_image_size_and_are_independent_of_batch(model, wide_images):
    assert model.output_shape == (None, 32, 64, 4)
    assert model.input_shape == (None, 32, 64, 3)
    assert model.dtype_policy.name == "float32"
    logits = model.predict_on_batch(wide_images)
    assert logits.dtype == np.float32 and np.isfinite(logits).all()
    np.testing.assert_allclose(model.predict_on_batch(wide_images[2:3]), logits[2:3], atol=1e-4)


@each_architecture
def test_narrow_skips_and_enlarged_image(make, wide_images):
    model = make(**WIDE_OPTIONS | NARROW)
    assert model.predict_on_batch(wide_images).shape == (3, 32, 64, 4)
    skips = 1 if make is deeplab.deeplab_model else 3
    assert sum("narrow_" in layer.name for layer in model.layers) == skips


@each_architecture
def test_single_class_raises(make):
    with pytest.raises(ValueError, match="num_classes is 1: .* at least 2"):
        make(num_classes=1, **SMALL_OPTIONS)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name != "unetpp")) for name in MODELS],
)
def test_weights_depend_on_seed(name, wide_images):
    """All but UNet++ are slow and cover nothing else."""
    model, same, other = (MODELS[name](**WIDE_OPTIONS, seed=seed) for seed in (2, 2, 3))
    logits = model.predict_on_batch(wide_images)
    np.testing.assert_array_equal(same.predict_on_batch(wide_images), logits)
    for first, weight in zip(model.trainable_weights, other.trainable_weights, strict=True):
        kernels = np.array(first), np.array(weight)
        constant = all(np.ptp(kernel) == 0 for kernel in kernels)
        assert constant or (kernels[0] != kernels[1]).any(), first.path


def test_initial_kernels_differ(model):
    kernels = [(w.path, np.array(w)) for w in model.weights if np.ptp(np.array(w)) > 0]
    for (path, kernel), (other_path, other) in itertools.combinations(kernels, 2):
        assert not np.array_equal(kernel, other), f"{other_path} starts as {path}"


def test_model_with_custom_layers_saves_and_loads(tmp_path):
    """The slow test below covers every architecture with its real encoder."""
    assert_saves_and_loads(transunet.transunet_model(**WIDE_OPTIONS), tmp_path)


@each_architecture
def test_every_decoder_weight_gets_gradient(make):
    # At 32 pixels, there is only one token to attend to.
    options = SMALL_OPTIONS | {"image_size": 64 if make is transunet.transunet_model else 32}
    # UNet++ draws the heads that learn.
    assert_trains(make(**options), steps=4 if make is unetpp.unetpp_model else 1)


@pytest.mark.slow
@each_architecture
def test_real_encoder_model_trains_saves_and_loads(make, compiled, real_encoder, tmp_path):
    model = make(**SMALL_OPTIONS | {"image_size": 96})  # taps with odd sides
    assert model.output_shape == (None, 96, 96, 3)
    assert_trains(model, steps=4)
    assert_saves_and_loads(model, tmp_path)


# --- UNet++ --------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, NARROW], ids=["plain", "narrow"])
def test_unetpp_is_mean_of_heads_of_growing_size(changes, images):
    model = unetpp.unetpp_model(**SMALL_OPTIONS | changes)
    blocks = {layer.name for layer in model.layers if layer.name.startswith("up_")}
    count = 3 if changes else 4
    assert blocks == {
        f"up_{level}_{c}" for level in range(count) for c in range(1, count + 1 - level)
    }
    pruned = [unetpp.pruned(model, depth) for depth in range(1, count + 1)]
    heads = [network.predict_on_batch(images) for network in pruned]
    np.testing.assert_allclose(model.predict_on_batch(images), np.mean(heads, axis=0), atol=1e-5)
    sizes = [network.count_params() for network in (*pruned, model)]
    assert sizes == sorted(set(sizes))
    for depth in (0, count + 1):
        with pytest.raises(ValueError, match=f"depth is {depth}: use one of 1, 2, 3"):
            unetpp.pruned(model, depth)


def test_unetpp_training_draws_one_head_per_image(compiled):
    heads = [np.full((64, 1, 1, 2), depth, "float32") for depth in range(4)]
    layer = unetpp.Heads(seed=1)
    drawn = ops.convert_to_numpy(layer(heads, training=True))[:, 0, 0]
    assert set(np.unique(drawn)) == {0, 1, 2, 3} and (drawn[:, 0] == drawn[:, 1]).all()
    call = tf.function(lambda: layer(heads, training=True))  # not drawn only once, when traced
    first_draw, second_draw = (ops.convert_to_numpy(call())[:, 0, 0] for _ in range(2))
    assert (first_draw != drawn).any() and (second_draw != first_draw).any()
    assert (ops.convert_to_numpy(layer(heads)) == 1.5).all()


# --- Attention U-Net -----------------------------------------------------------------------------


def test_gates_are_between_0_and_1_and_open_gates_match_unet(images):
    gated, plain = attention.attention_unet(**SMALL_OPTIONS), unet.unet_model(**SMALL_OPTIONS)
    gates = attention.coefficients(gated, images)
    assert list(gates) == [8, 16, 32, 64]
    for size, gate in gates.items():
        assert gate.shape == (3, size // 4, size // 4)  # of a 32x32 image
        assert 0 <= gate.min() < gate.max() <= 1
    expected = plain.predict_on_batch(images)
    for bias, equal in ((50.0, True), (-50.0, False)):
        for size in gates:
            kernel, shift = gated.get_layer(f"gate_{size}").weights
            kernel.assign(ops.zeros_like(kernel))
            shift.assign(ops.full_like(shift, bias))
        logits = gated.predict_on_batch(images)
        assert np.allclose(logits, expected, atol=1e-5) == equal


# --- transformers --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["transunet", "lft"])
def test_transformer_has_global_receptive_field(name):
    """Without the encoder, whose receptive field is large as well."""
    x = keras.Input((8, 8, 6))
    mixed = transunet.transform(x, 0) if name == "transunet" else lft.inform(x, 8, 0)
    model = keras.Model(x, mixed)
    first = np.random.default_rng(3).normal(size=(1, 8, 8, 6)).astype("float32")
    second = first.copy()
    second[0, -1, -1] = -3 * first[0, -1, -1]
    change = model.predict_on_batch(second) - model.predict_on_batch(first)
    assert np.abs(change[0, 0, 0]).max() > 1e-6


def test_positions_differ_between_tokens():
    layer = transunet.Positions(seed=1)
    added = ops.convert_to_numpy(layer(np.zeros((2, 5, 4), "float32")))
    assert (added[0] == added[1]).all() and len(np.unique(added[0], axis=0)) == 5


@pytest.mark.parametrize(("shape", "answers"), [((64, 64, 6), 16), ((10, 10, 6), 25)])
def test_lft_attends_to_reduced_tokens(shape, answers):
    model = keras.Model(x := keras.Input(shape), lft.inform(x, 8, 0))
    assert model.get_layer("answers_8").output.shape[1] == answers


# --- fusion and full resolution ------------------------------------------------------------------


def test_fused_features_mix_decoder_and_skip():
    x, skip = keras.Input((4, 4, 6)), keras.Input((4, 4, 5))
    fused = aff.fuse(x, skip, 8, 0.9, 0)
    model = keras.Model([x, skip], fused)
    inner = keras.Model([x, skip], [model.get_layer(n).output for n in ("project_8", "share_8")])
    rng = np.random.default_rng(0)
    pair = [rng.normal(size=(2, 4, 4, count)).astype("float32") for count in (6, 5)]
    projected, share = (np.array(array) for array in inner.predict_on_batch(pair))
    assert 0 < share.min() < share.max() < 1
    expected = share * pair[0] + (1 - share) * projected
    np.testing.assert_allclose(model.predict_on_batch(pair), expected, atol=1e-5)


def test_fullres_skip_reaches_logits_at_pixel_level(images):
    model = fullres.fullres_unet(**SMALL_OPTIONS)
    *_, gamma, beta, _, _ = model.get_layer("up_128").weights
    for weight in (gamma, beta):  # no input from below: only the last skip is left
        weight.assign(ops.zeros_like(weight))
    changed = images[:1].copy()
    changed[0, 14, 20] = 255 - changed[0, 14, 20]
    change = np.abs(model.predict_on_batch(changed) - model.predict_on_batch(images[:1])).max(-1)
    rows, columns = np.nonzero(change[0] > 1e-7)
    # Two 3x3 convolutions reach two pixels to each side; an encoder would change a larger block.
    assert (rows.min(), rows.max()) == (12, 16) and (columns.min(), columns.max()) == (18, 22)


# --- DeepLabV3+ ----------------------------------------------------------------------------------


def test_pyramid_reads_positions_at_each_rate_and_whole_map():
    x = keras.Input((8, 8, 3))
    scales = deeplab.pyramid(x, 5, 0.9, 0)
    assert scales.shape == (None, 8, 8, 5)
    names = ["position", *(f"rate_{rate}" for rate in deeplab.RATES), "everywhere"]
    model = keras.Model(x, scales)
    branches = keras.Model(x, [model.get_layer(name).output for name in names])
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype("float32")
    changed = image.copy()
    changed[0, 4, 3] += 1
    position, *dilated, everywhere = (
        set(zip(*np.nonzero(np.abs(after - before)[0].max(-1) > 1e-7), strict=True))
        for before, after in zip(*map(branches.predict_on_batch, (image, changed)), strict=True)
    )
    assert position == {(4, 3)} and len(everywhere) == 64
    for rate, places in zip(deeplab.RATES, dilated, strict=True):
        steps = (-rate, 0, rate)
        assert places == {(4 + row, 3 + column) for row in steps for column in steps}


@pytest.mark.parametrize("changes", [{}, NARROW], ids=["plain", "narrow"])
def test_deeplab_skip_has_stride_4_of_encoder(changes):
    options = WIDE_OPTIONS | changes
    model = deeplab.deeplab_model(**options)
    sides = [side * options["enlarge"] // 4 for side in options["image_size"]]
    assert list(model.get_layer("skip").output.shape[1:3]) == sides
