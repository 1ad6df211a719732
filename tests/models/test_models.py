"""The U-Net: shapes, what is trained, where its weights come from, and that every path is used."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from labkit import data
from labkit.models import encoder, unet
from labkit.models.unet import unet_model, upsample

ENCODER_KERNELS = 51  # MobileNetV2's convolutions up to the last tap, block_16_project
SIZE = 32  # the smallest image: the last tap is a single pixel
FEW = (16, 12, 8, 6)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)


def small_model(**options):
    return unet_model(**{"image_size": SIZE, "weights": None, "filters": FEW, **options})


def numbers(tensor):
    return np.asarray(tensor)


def norms(model):
    """The encoder's batch normalisation layers."""
    base_encoder = model.get_layer("encoder")
    return [x for x in base_encoder.layers if isinstance(x, layers.BatchNormalization)]


@pytest.fixture(scope="module")
def scratch():
    """A model without ImageNet weights; the tests leave its weights as they are."""
    return small_model()


@pytest.fixture(scope="module")
def twin():
    """Another model with the same seed."""
    keras.utils.set_random_seed(99)  # a global seed changes nothing
    return small_model()


@pytest.fixture(scope="module")
def base():
    """MobileNetV2 with random numbers in the place of ImageNet's weights."""
    keras.utils.set_random_seed(1)
    network = keras.applications.MobileNetV2(
        input_shape=(128, 128, 3), include_top=False, weights=None
    )
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):  # averages that a batch does not have
            layer.moving_mean.assign(RNG.normal(0, 0.1, layer.moving_mean.shape))
    return network


@pytest.fixture(scope="module")
def keras_home(base, tmp_path_factory):
    """A folder as Keras keeps it, with the weights of ``base``."""
    home = tmp_path_factory.mktemp("keras_home")
    (home / "models").mkdir()
    base.save(home / "models" / encoder.WEIGHTS_FILE)  # in the old format, as Keras's own file
    return home


@pytest.fixture
def imagenet(keras_home, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(keras_home))


@pytest.fixture
def offline(folders, monkeypatch):
    """An empty Keras folder and no network; returns the list of addresses that were tried."""
    tried = []
    monkeypatch.setattr(data, "reachable", lambda url, *_: tried.append(url))
    return tried


# --- shapes and types ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "sides"),
    [pytest.param(128, (128, 128), marks=pytest.mark.slow), ((96, 160), (96, 160))],
    ids=str,
)
def test_logits_have_the_size_of_the_image(size, sides):
    model = unet_model(image_size=size, weights=None, num_classes=5)
    assert model.output_shape == (None, *sides, 5)
    taps = model.get_layer("encoder").output
    assert [tuple(tap.shape[1:3]) for tap in taps] == [
        tuple(side // 2**k for side in sides) for k in range(1, 6)
    ]
    if size == 128:
        assert model.count_params() > 6e6  # 6.50 M with three classes (facts)
        assert [tap.shape[-1] for tap in taps] == [96, 144, 192, 576, 320]
    else:
        images = np.zeros((1, *sides, 3), np.uint8)
        assert tuple(model(images).shape) == (1, *sides, 5)


def test_raw_bytes_and_floats_give_the_same_float32_logits(scratch):
    logits = scratch(IMAGES)
    assert tuple(logits.shape) == (2, SIZE, SIZE, 3)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    for kind in ("float32", "float64", "int32"):
        np.testing.assert_array_equal(numbers(scratch(IMAGES.astype(kind))), numbers(logits))


def test_logits_are_float32_under_mixed_precision(short_encoder_here):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small_model()
        logits = model(IMAGES)
    finally:
        keras.config.set_dtype_policy(before)
    assert model.get_layer("up_8").layers[0].compute_dtype == "bfloat16"
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert np.isfinite(numbers(logits)).all()


@pytest.mark.parametrize(
    ("size", "match"),
    [
        (100, "image of 100x100 can't be halved.*divisible by 32; resize it to 96x96"),
        ((130, 128), "130x128.*resize it to 128x128"),
        ((96, 150), "96x150.*resize it to 96x160"),
        (16, "16x16.*resize it to 32x32"),
        (0, "0x0.*resize it to 32x32"),
    ],
    ids=str,
)
def test_a_size_not_divisible_by_32_is_refused_with_the_nearest_that_is(size, match, offline):
    with pytest.raises(ValueError, match=match):
        unet_model(image_size=size)
    assert offline == []  # refused before a download is tried


def test_one_class_is_refused(offline):
    with pytest.raises(ValueError, match="num_classes is 1: .* at least 2"):
        unet_model(num_classes=1)
    assert offline == []


@pytest.fixture(scope="module")
def base_encoder():
    return encoder.mobilenet_v2(128, 128)


def test_sizes_and_channels_are_those_of_the_taps(base_encoder):
    *skips, _ = base_encoder.outputs
    found = [(tap.shape[1], tap.shape[3]) for tap in reversed(skips)]
    assert found == list(zip(encoder.SIZES, encoder.TAP_CHANNELS, strict=True))


def test_the_taps_are_those_of_the_laboratory_work(base, base_encoder):
    names = [
        *("block_1_expand_relu", "block_3_expand_relu", "block_6_expand_relu"),
        *("block_13_expand_relu", "block_16_project"),
    ]
    pixels = RNG.uniform(-1, 1, (1, 128, 128, 3)).astype("float32")
    base_encoder.set_weights(base.get_weights()[: len(base_encoder.weights)])
    theirs = keras.Model(base.input, [base.get_layer(name).output for name in names])
    for one, two in zip(base_encoder(pixels), theirs(pixels), strict=True):
        np.testing.assert_array_equal(numbers(one), numbers(two))


# --- what happens to a pixel ---------------------------------------------------------------------


@pytest.mark.parametrize("pixel_range", [(-1, 1), (0, 1)], ids=str)
def test_pixels_are_rescaled_inside_the_model(pixel_range):
    layer = unet.rescaling(pixel_range)
    ends = numbers(layer(np.array([[0, 255]], "float32")))
    np.testing.assert_allclose(ends, [pixel_range], atol=1e-6)


def test_pixel_range_changes_the_logits_as_the_pixels_would(short_encoder_here):
    scratch, halved = small_model(), small_model(pixel_range=(0, 1))
    assert halved.get_layer("rescaling").offset == 0
    assert scratch.get_layer("rescaling").offset == -1
    assert np.abs(numbers(halved(IMAGES)) - numbers(scratch(IMAGES))).max() > 1e-6
    # x in (-1, 1) is what (x + 1) / 2 is in (0, 1)
    brighter = 127.5 + IMAGES / 2  # to (-1, 1): what (0, 1) makes of IMAGES
    np.testing.assert_allclose(numbers(scratch(brighter)), numbers(halved(IMAGES)), atol=1e-6)


# --- seeds and weights ---------------------------------------------------------------------------


def test_a_seed_fixes_every_weight_and_another_seed_changes_every_kernel(scratch, twin):
    other = small_model(seed=1)
    for one, two, three in zip(scratch.weights, twin.weights, other.weights, strict=True):
        np.testing.assert_array_equal(numbers(one), numbers(two), err_msg=one.path)
        if "kernel" in one.name:
            assert not np.array_equal(numbers(one), numbers(three)), one.path


def test_two_models_share_no_weight(scratch, twin):
    before, others = scratch.get_weights(), twin.get_weights()
    assert not {id(weight) for weight in scratch.weights} & {id(x) for x in twin.weights}
    twin.set_weights([weight + 1 for weight in others])
    np.testing.assert_equal(scratch.get_weights(), before)
    twin.set_weights(others)


def test_an_encoder_from_scratch_is_trained_with_its_batch_normalisation(scratch):
    assert scratch.get_layer("encoder").trainable
    assert {layer.momentum for layer in norms(scratch)} == {0.9}
    kernels = [w for w in scratch.get_layer("encoder").trainable_variables if "kernel" in w.name]
    assert len(kernels) == ENCODER_KERNELS
    assert numbers(scratch(IMAGES)) != pytest.approx(numbers(scratch(IMAGES, training=True)))


def test_every_trainable_weight_gets_a_gradient(scratch):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(scratch(IMAGES, training=False) ** 2)
    for weight, slope in zip(
        scratch.trainable_variables,
        tape.gradient(loss, [v.value for v in scratch.trainable_variables]),
        strict=True,
    ):
        assert slope is not None and np.isfinite(slope.numpy()).all(), weight.path
        assert np.abs(slope.numpy()).max() > 0, weight.path


def test_each_of_the_five_taps_reaches_the_logits():
    taps = [keras.Input((2**k, 2**k, 2)) for k in (5, 4, 3, 2, 1)]
    model = keras.Model(taps, unet.decoder(taps, 3))
    features = [RNG.normal(size=(1, *tap.shape[1:])).astype("float32") for tap in taps]
    before = numbers(model(features))
    assert before.shape == (1, 64, 64, 3)
    for number in range(5):
        changed = [f + (k == number) for k, f in enumerate(features)]
        assert np.abs(numbers(model(changed)) - before).max() > 0, number


def test_a_saved_model_gives_the_same_logits(short_encoder_here, tmp_path):
    scratch = small_model()
    scratch.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numbers(again(IMAGES)), numbers(scratch(IMAGES)))
    assert len(again.trainable_variables) == len(scratch.trainable_variables)


# --- ImageNet's weights --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pretrained(keras_home):
    """A frozen and a fine-tuned model from the file in ``keras_home``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", str(keras_home))
        return {tuned: small_model(weights="imagenet", fine_tune=tuned) for tuned in (False, True)}


@pytest.mark.parametrize("fine_tune", [False, True])
def test_the_weights_file_is_loaded_whatever_the_image_size(pretrained, base, fine_tune):
    base_encoder = pretrained[fine_tune].get_layer("encoder")
    for name in ("Conv1", "bn_Conv1", "block_13_expand", "block_16_project"):
        pairs = zip(base_encoder.get_layer(name).weights, base.get_layer(name).weights, strict=True)
        for one, two in pairs:
            np.testing.assert_array_equal(numbers(one), numbers(two), err_msg=one.path)


def test_a_pretrained_encoder_is_frozen_unless_it_is_fine_tuned(pretrained, scratch):
    decoder = 4 * 3 + 2  # kernel, gamma, beta of each block, and the last layer's kernel and bias
    assert len(pretrained[False].trainable_variables) == decoder
    assert len(pretrained[True].trainable_variables) == decoder + ENCODER_KERNELS
    inside = pretrained[True].get_layer("encoder").trainable_variables
    assert {weight.name for weight in inside} == {"kernel"}  # no gamma, no beta
    assert len(scratch.trainable_variables) == decoder + ENCODER_KERNELS + 2 * len(norms(scratch))


@pytest.mark.parametrize("fine_tune", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_pretrained_encoder_keeps_its_averages_in_training(pretrained, fine_tune, tmp_path):
    model = pretrained[fine_tune]
    model.save(tmp_path / "model.keras")  # a model that was saved keeps them too
    for each in (model, keras.models.load_model(tmp_path / "model.keras")):
        outputs = [each.get_layer("skip_64").output, each.get_layer("up_8").output]
        inside = keras.Model(each.input, outputs)
        before = [numbers(v) for layer in norms(each) for v in layer.non_trainable_variables]
        upsampled = numbers(each.get_layer("up_8").layers[1].moving_mean)
        calm, busy = (inside(IMAGES, training=training) for training in (False, True))
        # skip_64 holds 6 channels of the decoder, then the 96 of the first tap
        tap = numbers(calm[0])[..., FEW[-1] :]
        np.testing.assert_array_equal(tap, numbers(busy[0])[..., FEW[-1] :])
        assert np.abs(numbers(calm[1]) - numbers(busy[1])).max() > 0  # the decoder does not
        after = [numbers(v) for layer in norms(each) for v in layer.non_trainable_variables]
        np.testing.assert_equal(after, before)
        assert not np.array_equal(numbers(each.get_layer("up_8").layers[1].moving_mean), upsampled)


def test_auto_takes_the_weights_that_are_there(imagenet, monkeypatch):
    monkeypatch.setattr(data, "reachable", lambda *_: pytest.fail("the network was asked"))
    paths = [encoder.imagenet_weights(weights) for weights in ("auto", "imagenet")]
    assert paths == [str(encoder.keras_home() / "models" / encoder.WEIGHTS_FILE)] * 2


def test_without_weights_and_network_auto_says_that_it_starts_from_random_numbers(
    offline, capsys, short_encoder_here
):
    assert encoder.imagenet_weights() is None
    said = capsys.readouterr().out
    assert "can't be downloaded: the encoder is initialized randomly" in said
    assert offline == [encoder.WEIGHTS_URL + encoder.WEIGHTS_FILE]
    assert small_model(weights="auto").get_layer("encoder").trainable


def test_without_weights_and_network_imagenet_is_an_error(offline):
    with pytest.raises(ConnectionError, match="weights are not in .*h5.*Connect to the network"):
        small_model(weights="imagenet")


def test_with_a_network_the_weights_are_fetched_into_keras_home(folders, monkeypatch):
    asked = []
    monkeypatch.setattr(data, "reachable", lambda *_: True)
    monkeypatch.setattr(
        keras.utils, "get_file", lambda *args, **options: asked.append((args, options)) or "file"
    )
    assert encoder.imagenet_weights("auto") == "file"
    url = encoder.WEIGHTS_URL + encoder.WEIGHTS_FILE
    assert asked[0][0] == (encoder.WEIGHTS_FILE, url)


def test_none_asks_nobody(offline, capsys):
    assert encoder.imagenet_weights(None) is None
    assert offline == [] and capsys.readouterr().out == ""


def test_other_weights_are_refused(offline):
    with pytest.raises(ValueError, match='weights is \'coco\': use "auto", "imagenet" or None'):
        small_model(weights="coco")


def test_keras_home_is_in_the_home_folder_by_default(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert encoder.keras_home() == tmp_path / ".keras"


# --- the upsampling block ------------------------------------------------------------------------


def test_upsample_is_pix2pix_s_block():
    block = upsample(8, 3)
    block.build((None, 4, 6, 5))
    convolution, norm, relu = block.layers
    assert block.output_shape == (None, 8, 12, 8)
    assert isinstance(convolution, layers.Conv2DTranspose)
    assert convolution.strides == (2, 2) and convolution.padding == "same"
    assert convolution.kernel_size == (3, 3) and not convolution.use_bias
    assert isinstance(convolution.kernel_initializer, keras.initializers.RandomNormal)
    start = convolution.kernel_initializer.get_config()
    assert (start["mean"], start["stddev"]) == (0.0, 0.02)
    assert isinstance(norm, layers.BatchNormalization) and norm.momentum == 0.9
    assert isinstance(relu, layers.ReLU)
    assert upsample(8, 5, momentum=0.5).layers[1].momentum == 0.5


def test_the_decoders_momentum_reaches_every_block():
    taps = [keras.Input((2**k, 2**k, 2)) for k in (5, 4, 3, 2, 1)]
    model = keras.Model(taps, unet.decoder(taps, 3, momentum=0.7))
    blocks = [layer for layer in model.layers if layer.name.startswith("up_")]
    assert [block.layers[0].filters for block in blocks] == [512, 256, 128, 64]
    assert {block.layers[1].momentum for block in blocks} == {0.7}


def test_upsample_computes_what_pix2pix_computes():
    pix2pix = pytest.importorskip("tensorflow_examples.models.pix2pix.pix2pix")
    theirs, mine = pix2pix.upsample(8, 3), upsample(8, 3)
    x = RNG.normal(size=(2, 4, 6, 5)).astype("float32")
    theirs(x), mine(x)
    start = [RNG.normal(size=weight.shape) ** 2 for weight in theirs.get_weights()]
    theirs.set_weights(start), mine.set_weights(start)
    for training in (False, True):
        expected = numbers(theirs(x, training=training))
        np.testing.assert_allclose(numbers(mine(x, training=training)), expected, rtol=1e-5)


def test_an_encoder_can_be_trained_from_a_layer_on(tmp_path):
    whole = encoder.mobilenet_v2(32, 32)
    encoder.freeze_before(whole, "block_6")
    first = [layer.name for layer in whole.layers if layer.trainable and layer.weights][0]
    assert first == "block_6_expand"
    assert not whole.get_layer("block_5_project").trainable
    with pytest.raises(ValueError, match="no layer of the encoder begins with 'blok'"):
        encoder.freeze_before(whole, "blok")
