"""The architectures beside the plain U-Net: one contract, and the property of each one's idea."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from labkit import losses
from labkit.models import aff, attention, fullres, lft, transunet, unet, unetpp

pytestmark = pytest.mark.usefixtures("eager", "short_encoder")
MODELS = {
    "unetpp": unetpp.unetpp_model,
    "attention": attention.attention_unet,
    "transunet": transunet.transunet_model,
    "lft": lft.lft_unet,
    "aff": aff.aff_unet,
    "fullres": fullres.fullres_unet,
}
SLOW, OTHERS = pytest.mark.slow, [name for name in MODELS if name != "unetpp"]
SMALL = {"image_size": 32, "weights": None, "filters": (16, 12, 8, 8)}
WIDE = SMALL | {"image_size": (32, 64), "num_classes": 4}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def wide(images):
    return np.concatenate([images, images[::-1]], axis=2)


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param](**WIDE, seed=2)


@pytest.fixture(
    scope="module", params=["unetpp", *(pytest.param(name, marks=SLOW) for name in OTHERS)]
)
def seeded(request):
    """A function that builds one of the models; the slow ones do no more than UNet++ does."""
    return functools.partial(MODELS[request.param], **WIDE)


each_architecture = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def assert_contract(model, height, width):
    assert model.output_shape == (None, height, width, 4)
    assert model.input_shape == (None, height, width, 3)
    assert model.dtype_policy.name == "float32"


def test_logits_have_the_size_of_the_image(model):
    assert_contract(model, 32, 64)


@pytest.mark.slow
@each_architecture
@pytest.mark.parametrize("size", [160])
def test_logits_of_the_whole_network_have_the_size_of_the_image(make, size, real_encoder):
    assert_contract(make(num_classes=4, image_size=size, weights=None), size, size)


@each_architecture
def test_one_class_is_refused(make):
    with pytest.raises(ValueError, match="num_classes is 1: .* at least 2"):
        make(num_classes=1, **SMALL)


def test_each_image_has_its_own_logits(model, wide):
    logits = model.predict_on_batch(wide)
    assert logits.dtype == np.float32 and np.isfinite(logits).all()
    np.testing.assert_allclose(model.predict_on_batch(wide[2:3]), logits[2:3], atol=1e-4)


def test_the_same_seed_gives_the_same_model_and_another_another(seeded, wide):
    model, again, other = (seeded(seed=seed) for seed in (2, 2, 3))
    logits = model.predict_on_batch(wide)
    np.testing.assert_array_equal(again.predict_on_batch(wide), logits)
    for first, weight in zip(model.trainable_weights, other.trainable_weights, strict=True):
        kernels = np.array(first), np.array(weight)
        constant = all(np.ptp(kernel) == 0 for kernel in kernels)
        assert constant or (kernels[0] != kernels[1]).any(), first.path


def test_no_two_kernels_of_one_shape_start_alike(model):
    kernels = [(w.path, np.array(w)) for w in model.weights if np.ptp(np.array(w)) > 0]
    for number, (path, kernel) in enumerate(kernels):
        for other_path, other in kernels[:number]:
            same = kernel.shape == other.shape and (kernel == other).all()
            assert not same, f"{path} starts as {other_path}"


def assert_saves_and_loads(model, images, folder):
    model.save(folder / "model.keras")
    again = keras.models.load_model(folder / "model.keras", compile=False)
    found = again.predict_on_batch(images)
    np.testing.assert_allclose(found, model.predict_on_batch(images), atol=1e-5)


def test_one_with_layers_of_its_own_saves_and_loads(wide, tmp_path):
    """The slow test below tries each of them, as users have it."""
    model = transunet.transunet_model(**WIDE)
    assert_saves_and_loads(model, wide, tmp_path)


def assert_trains(model, steps):
    model.get_layer("encoder").trainable = False  # its steps are tested with the plain U-Net
    # Adam's first step is as long for a small gradient as for a large one, and 0 only for none.
    model.compile(keras.optimizers.Adam(0.01, epsilon=1e-20), losses.CrossEntropy())
    before = [np.array(weight) for weight in model.trainable_weights]
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (6, *model.input_shape[1:]), np.uint8)
    masks = rng.integers(0, 3, (*images.shape[:3], 1), np.uint8)
    for _ in range(steps):  # UNet++ draws which of its heads learn
        loss = model.train_on_batch(images, masks)
    assert np.isfinite(loss)
    for old, weight in zip(before, model.trainable_weights, strict=True):
        assert np.abs(old - np.array(weight)).max() > 0, f"{weight.path} got no gradient"


LARGER = SMALL | {"image_size": 64}  # at 32 pixels there is one token alone to look at


@each_architecture
def test_each_weight_of_the_decoder_gets_a_gradient(make):
    size = LARGER if make is transunet.transunet_model else SMALL
    assert_trains(make(**size), steps=4 if make is unetpp.unetpp_model else 1)


@pytest.mark.slow
@each_architecture
def test_the_whole_network_trains_saves_and_loads(make, compiled, real_encoder, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), np.uint8)
    model = make(**LARGER)
    assert_trains(model, steps=4)
    assert_saves_and_loads(model, images, tmp_path)


# --- UNet++ --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nested():
    return unetpp.unetpp_model(**SMALL)


def test_the_answer_of_unetpp_is_the_mean_of_its_four_u_nets(nested, images):
    heads = [unetpp.pruned(nested, depth).predict_on_batch(images) for depth in (1, 2, 3, 4)]
    np.testing.assert_allclose(nested.predict_on_batch(images), np.mean(heads, axis=0), atol=1e-5)


def test_a_pruned_unetpp_is_smaller(nested):
    sizes = [unetpp.pruned(nested, depth).count_params() for depth in (1, 2, 3, 4)]
    assert sizes == sorted(set(sizes)) and sizes[-1] < nested.count_params()


def test_unetpp_cannot_be_pruned_to_nothing(nested):
    with pytest.raises(ValueError, match="depth is 0: use 1, 2, 3 or 4"):
        unetpp.pruned(nested, 0)


def test_in_training_each_image_is_judged_by_one_head(compiled):
    heads = [np.full((64, 1, 1, 2), depth, "float32") for depth in range(4)]
    layer = unetpp.Heads(seed=1)
    drawn = ops.convert_to_numpy(layer(heads, training=True))[:, 0, 0]
    assert set(np.unique(drawn)) == {0, 1, 2, 3} and (drawn[:, 0] == drawn[:, 1]).all()
    compiled = tf.function(lambda: layer(heads, training=True))  # not drawn once for all
    first, again = (ops.convert_to_numpy(compiled())[:, 0, 0] for _ in range(2))
    assert (first != drawn).any() and (again != first).any()
    assert (ops.convert_to_numpy(layer(heads)) == 1.5).all()


def test_a_nest_has_a_block_for_each_level_and_depth():
    seen = []

    def block(level, column):
        seen.append((level, column))
        return lambda below: below

    taps = [keras.KerasTensor((None, 8, 8, 1)) for _ in range(5)]
    assert len(unetpp.nest(taps, block)) == 4
    assert sorted(seen) == [(level, column) for level in range(4) for column in range(1, 5 - level)]


# --- Attention U-Net -----------------------------------------------------------------------------


def test_gates_are_between_nothing_and_all(images):
    model = attention.attention_unet(**SMALL)
    found = attention.coefficients(model, images)
    assert list(found) == [8, 16, 32, 64]
    for size, one in found.items():
        assert one.shape == (3, size // 4, size // 4)  # of a 32x32 image
        assert 0 <= one.min() < one.max() <= 1


def test_open_gates_give_the_plain_u_net_and_closed_ones_another(images):
    gated, plain = attention.attention_unet(**SMALL), unet.unet_model(**SMALL)
    expected = plain.predict_on_batch(images)
    for bias, alike in ((50.0, True), (-50.0, False)):
        for size in (8, 16, 32, 64):
            kernel, shift = gated.get_layer(f"gate_{size}").weights
            kernel.assign(ops.zeros_like(kernel))
            shift.assign(ops.full_like(shift, bias))
        logits = gated.predict_on_batch(images)
        assert np.allclose(logits, expected, atol=1e-5) == alike


# --- transformers --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["transunet", "lft"])
def test_a_corner_sees_the_opposite_one(name, images):
    """The encoder sees far too, so only what the transformer adds is looked at."""
    x = keras.Input((8, 8, 6))
    mixed = transunet.transform(x, 0) if name == "transunet" else lft.inform(x, 8, 0)
    model = keras.Model(x, mixed)
    first = np.random.default_rng(3).normal(size=(1, 8, 8, 6)).astype("float32")
    second = first.copy()
    second[0, -1, -1] = -3 * first[0, -1, -1]
    change = model.predict_on_batch(second) - model.predict_on_batch(first)
    assert np.abs(change[0, 0, 0]).max() > 1e-6


def test_tokens_know_their_place():
    layer = transunet.Positions(seed=1)
    added = ops.convert_to_numpy(layer(np.zeros((2, 5, 4), "float32")))
    assert (added[0] == added[1]).all() and len(np.unique(added[0], axis=0)) == 5


@pytest.mark.parametrize(("shape", "answers"), [((64, 64, 6), 16), ((10, 10, 6), 25)])
def test_a_light_transformer_asks_a_small_summary(shape, answers):
    model = keras.Model(x := keras.Input(shape), lft.inform(x, 8, 0))
    assert model.get_layer("answers_8").output.shape[1] == answers


# --- fusion --------------------------------------------------------------------------------------


def test_fused_features_lie_between_decoder_and_skip():
    x, skip = keras.Input((4, 4, 6)), keras.Input((4, 4, 5))
    fused = aff.fuse(x, skip, 8, 0.9, 0)
    model = keras.Model([x, skip], fused)
    inside = keras.Model([x, skip], [model.get_layer(n).output for n in ("project_8", "share_8")])
    rng = np.random.default_rng(0)
    pair = [rng.normal(size=(2, 4, 4, count)).astype("float32") for count in (6, 5)]
    projected, share = (np.array(one) for one in inside.predict_on_batch(pair))
    found = model.predict_on_batch(pair)
    assert 0 < share.min() < share.max() < 1
    np.testing.assert_allclose(found, share * pair[0] + (1 - share) * projected, atol=1e-5)


# --- full resolution -----------------------------------------------------------------------------


def test_the_image_itself_reaches_the_logits_pixel_by_pixel(images):
    model = fullres.fullres_unet(**SMALL)
    *_, gamma, beta, _, _ = model.get_layer("up_128").weights
    gamma.assign(ops.zeros_like(gamma))  # nothing comes from below: what is left is the last skip
    beta.assign(ops.zeros_like(beta))
    changed = images[:1].copy()
    changed[0, 14, 20] = 255 - changed[0, 14, 20]
    change = np.abs(model.predict_on_batch(changed) - model.predict_on_batch(images[:1])).max(-1)
    rows, columns = np.nonzero(change[0] > 1e-7)
    # Two 3x3 convolutions: two pixels to each side, and not a block that an encoder would see.
    assert (rows.min(), rows.max()) == (12, 16) and (columns.min(), columns.max()) == (18, 22)
