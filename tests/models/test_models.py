"""The U-Net: shapes, trainable weights, ImageNet weights and the upsampling block."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from labkit.models import encoder, unet
from labkit.models.unet import unet_model, upsample

ENCODER_KERNELS = 51  # MobileNetV2's convolutions up to the last tap, block_16_project
SIZE = 32  # the smallest image: the last tap is a single pixel
FILTERS = (16, 12, 8, 6)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)


def small_model(**options):
    return unet_model(**{"image_size": SIZE, "weights": None, "filters": FILTERS, **options})


def to_numpy(tensor):
    return np.asarray(tensor)


def batch_norms(model):
    """The encoder's batch normalization layers."""
    base_encoder = model.get_layer("encoder")
    return [layer for layer in base_encoder.layers if isinstance(layer, layers.BatchNormalization)]


@pytest.fixture(scope="module")
def scratch_model():
    """A model without ImageNet weights; tests must not change its weights."""
    return small_model()


@pytest.fixture(scope="module")
def same_seed_model():
    """Another model with the same seed."""
    keras.utils.set_random_seed(99)  # the global seed has no effect
    return small_model()


@pytest.fixture(scope="module")
def mobilenet():
    """MobileNetV2 with random weights instead of ImageNet's."""
    keras.utils.set_random_seed(1)
    network = keras.applications.MobileNetV2(
        input_shape=(128, 128, 3), include_top=False, weights=None
    )
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):  # differ from a batch's averages
            layer.moving_mean.assign(RNG.normal(0, 0.1, layer.moving_mean.shape))
    return network


@pytest.fixture(scope="module")
def keras_home(mobilenet, tmp_path_factory):
    """A Keras folder with the weights of ``mobilenet``."""
    home = tmp_path_factory.mktemp("keras_home")
    (home / "models").mkdir()
    mobilenet.save(home / "models" / encoder.WEIGHTS_FILE)  # the HDF5 format of Keras's own file
    return home


@pytest.fixture
def imagenet_weights(keras_home, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(keras_home))


@pytest.fixture
def offline(folders, monkeypatch):
    """An empty Keras folder and no network; returns the list of attempted addresses."""
    tried = []
    monkeypatch.setattr(encoder, "problem_for_keras", lambda url: tried.append(url) or "is away")
    return tried


# --- shapes and types ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "sides"),
    [pytest.param(128, (128, 128), marks=pytest.mark.slow), ((96, 160), (96, 160))],
    ids=str,
)
def test_logits_have_image_size(size, sides):
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


def test_image_dtype_does_not_change_logits(scratch_model):
    logits = scratch_model(IMAGES)
    assert tuple(logits.shape) == (2, SIZE, SIZE, 3)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    for kind in ("float32", "float64", "int32"):
        np.testing.assert_array_equal(
            to_numpy(scratch_model(IMAGES.astype(kind))), to_numpy(logits)
        )


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
    assert np.isfinite(to_numpy(logits)).all()


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
def test_size_not_divisible_by_32_raises(size, match, offline):
    with pytest.raises(ValueError, match=match):
        unet_model(image_size=size)
    assert offline == []  # refused before a download is tried


def test_single_class_raises(offline):
    with pytest.raises(ValueError, match="num_classes is 1: .* at least 2"):
        unet_model(num_classes=1)
    assert offline == []


@pytest.fixture(scope="module")
def base_encoder():
    return encoder.mobilenet_v2(128, 128)


def test_encoder_constants_match_taps(base_encoder):
    *skips, _ = base_encoder.outputs
    sizes_and_channels = [(tap.shape[1], tap.shape[3]) for tap in reversed(skips)]
    assert sizes_and_channels == list(zip(encoder.SIZES, encoder.TAP_CHANNELS, strict=True))


def test_taps_match_laboratory_work(mobilenet, base_encoder):
    names = [
        *("block_1_expand_relu", "block_3_expand_relu", "block_6_expand_relu"),
        *("block_13_expand_relu", "block_16_project"),
    ]
    pixels = RNG.uniform(-1, 1, (1, 128, 128, 3)).astype("float32")
    base_encoder.set_weights(mobilenet.get_weights()[: len(base_encoder.weights)])
    laboratory = keras.Model(mobilenet.input, [mobilenet.get_layer(name).output for name in names])
    for tap, expected in zip(base_encoder(pixels), laboratory(pixels), strict=True):
        np.testing.assert_array_equal(to_numpy(tap), to_numpy(expected))


# --- pixel range ---------------------------------------------------------------------------------


@pytest.mark.parametrize("pixel_range", [(-1, 1), (0, 1)], ids=str)
def test_rescaling_maps_to_pixel_range(pixel_range):
    layer = unet.rescaling(pixel_range)
    ends = to_numpy(layer(np.array([[0, 255]], "float32")))
    np.testing.assert_allclose(ends, [pixel_range], atol=1e-6)


def test_pixel_range_is_equivalent_to_scaled_pixels(short_encoder_here):
    scratch_model, unit_range = small_model(), small_model(pixel_range=(0, 1))
    assert unit_range.get_layer("rescaling").offset == 0
    assert scratch_model.get_layer("rescaling").offset == -1
    assert np.abs(to_numpy(unit_range(IMAGES)) - to_numpy(scratch_model(IMAGES))).max() > 1e-6
    # x in (-1, 1) corresponds to (x + 1) / 2 in (0, 1)
    brighter = 127.5 + IMAGES / 2  # has the values in (-1, 1) that IMAGES has in (0, 1)
    np.testing.assert_allclose(
        to_numpy(scratch_model(brighter)), to_numpy(unit_range(IMAGES)), atol=1e-6
    )


# --- seeds and weights ---------------------------------------------------------------------------


def test_weights_depend_on_seed(scratch_model, same_seed_model):
    other = small_model(seed=1)
    for weight, same, changed in zip(
        scratch_model.weights, same_seed_model.weights, other.weights, strict=True
    ):
        np.testing.assert_array_equal(to_numpy(weight), to_numpy(same), err_msg=weight.path)
        if "kernel" in weight.name:
            assert not np.array_equal(to_numpy(weight), to_numpy(changed)), weight.path


def test_models_do_not_share_weights(scratch_model, same_seed_model):
    before, same_seed_weights = scratch_model.get_weights(), same_seed_model.get_weights()
    assert not {id(weight) for weight in scratch_model.weights} & {
        id(other) for other in same_seed_model.weights
    }
    same_seed_model.set_weights([weight + 1 for weight in same_seed_weights])
    np.testing.assert_equal(scratch_model.get_weights(), before)
    same_seed_model.set_weights(same_seed_weights)


def test_scratch_encoder_trains_with_batch_normalization(scratch_model):
    assert scratch_model.get_layer("encoder").trainable
    assert {layer.momentum for layer in batch_norms(scratch_model)} == {0.9}
    kernels = [
        w for w in scratch_model.get_layer("encoder").trainable_variables if "kernel" in w.name
    ]
    assert len(kernels) == ENCODER_KERNELS
    assert to_numpy(scratch_model(IMAGES)) != pytest.approx(
        to_numpy(scratch_model(IMAGES, training=True))
    )


def test_every_trainable_weight_gets_gradient(scratch_model):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(scratch_model(IMAGES, training=False) ** 2)
    for weight, gradient in zip(
        scratch_model.trainable_variables,
        tape.gradient(loss, [v.value for v in scratch_model.trainable_variables]),
        strict=True,
    ):
        assert gradient is not None and np.isfinite(gradient.numpy()).all(), weight.path
        assert np.abs(gradient.numpy()).max() > 0, weight.path


def test_every_tap_affects_logits():
    taps = [keras.Input((2**k, 2**k, 2)) for k in (5, 4, 3, 2, 1)]
    model = keras.Model(taps, unet.decoder(taps, 3))
    features = [RNG.normal(size=(1, *tap.shape[1:])).astype("float32") for tap in taps]
    before = to_numpy(model(features))
    assert before.shape == (1, 64, 64, 3)
    for number in range(5):
        changed = [feature + (k == number) for k, feature in enumerate(features)]
        assert np.abs(to_numpy(model(changed)) - before).max() > 0, number


def test_saved_model_gives_same_logits(short_encoder_here, tmp_path):
    scratch_model = small_model()
    scratch_model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(to_numpy(loaded(IMAGES)), to_numpy(scratch_model(IMAGES)))
    assert len(loaded.trainable_variables) == len(scratch_model.trainable_variables)


# --- ImageNet weights ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pretrained_models(keras_home):
    """A frozen and a fine-tuned model with the weights in ``keras_home``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", str(keras_home))
        return {tuned: small_model(weights="imagenet", fine_tune=tuned) for tuned in (False, True)}


@pytest.mark.parametrize("fine_tune", [False, True])
def test_weights_file_is_loaded_for_any_image_size(pretrained_models, mobilenet, fine_tune):
    base_encoder = pretrained_models[fine_tune].get_layer("encoder")
    for name in ("Conv1", "bn_Conv1", "block_13_expand", "block_16_project"):
        pairs = zip(
            base_encoder.get_layer(name).weights, mobilenet.get_layer(name).weights, strict=True
        )
        for weight, expected in pairs:
            np.testing.assert_array_equal(to_numpy(weight), to_numpy(expected), err_msg=weight.path)


def test_pretrained_encoder_is_frozen_unless_fine_tuned(pretrained_models, scratch_model):
    decoder = 4 * 3 + 2  # kernel, gamma, beta of each block, and the last layer's kernel and bias
    assert len(pretrained_models[False].trainable_variables) == decoder
    assert len(pretrained_models[True].trainable_variables) == decoder + ENCODER_KERNELS
    fine_tuned_weights = pretrained_models[True].get_layer("encoder").trainable_variables
    assert {weight.name for weight in fine_tuned_weights} == {"kernel"}  # no gamma, no beta
    assert len(scratch_model.trainable_variables) == decoder + ENCODER_KERNELS + 2 * len(
        batch_norms(scratch_model)
    )


@pytest.mark.parametrize("fine_tune", [pytest.param(False, marks=pytest.mark.slow), True])
def test_pretrained_encoder_keeps_moving_averages(pretrained_models, fine_tune, tmp_path):
    model = pretrained_models[fine_tune]
    model.save(tmp_path / "model.keras")  # a loaded model keeps them too
    for candidate in (model, keras.models.load_model(tmp_path / "model.keras")):
        outputs = [candidate.get_layer("skip_64").output, candidate.get_layer("up_8").output]
        inside = keras.Model(candidate.input, outputs)
        before = [
            to_numpy(v) for layer in batch_norms(candidate) for v in layer.non_trainable_variables
        ]
        decoder_mean = to_numpy(candidate.get_layer("up_8").layers[1].moving_mean)
        inference_outputs, training_outputs = (
            inside(IMAGES, training=training) for training in (False, True)
        )
        # skip_64 holds 6 channels of the decoder, then the 96 of the first tap
        tap = to_numpy(inference_outputs[0])[..., FILTERS[-1] :]
        np.testing.assert_array_equal(tap, to_numpy(training_outputs[0])[..., FILTERS[-1] :])
        # The decoder's output and averages do change.
        assert np.abs(to_numpy(inference_outputs[1]) - to_numpy(training_outputs[1])).max() > 0
        after = [
            to_numpy(v) for layer in batch_norms(candidate) for v in layer.non_trainable_variables
        ]
        np.testing.assert_equal(after, before)
        assert not np.array_equal(
            to_numpy(candidate.get_layer("up_8").layers[1].moving_mean), decoder_mean
        )


def test_auto_uses_local_weights(imagenet_weights, monkeypatch):
    monkeypatch.setattr(encoder, "problem_for_keras", lambda url: pytest.fail("it was asked"))
    paths = [encoder.imagenet_weights(weights) for weights in ("auto", "imagenet")]
    assert paths == [str(encoder.keras_home() / "models" / encoder.WEIGHTS_FILE)] * 2


def test_auto_falls_back_to_random_weights_offline(offline, capsys, short_encoder_here):
    assert encoder.imagenet_weights() is None
    output = capsys.readouterr().out
    assert "is away. The encoder is initialized randomly" in output
    assert offline == [encoder.WEIGHTS_URL + encoder.WEIGHTS_FILE]
    assert small_model(weights="auto").get_layer("encoder").trainable


def test_imagenet_weights_raise_offline(offline):
    with pytest.raises(ConnectionError, match="weights are not in .*h5.*is away"):
        small_model(weights="imagenet")


def test_imagenet_weights_are_downloaded(folders, monkeypatch):
    calls = []
    monkeypatch.setattr(encoder, "problem_for_keras", lambda url: None)
    monkeypatch.setattr(
        keras.utils, "get_file", lambda *args, **options: calls.append((args, options)) or "file"
    )
    assert encoder.imagenet_weights("auto") == "file"
    url = encoder.WEIGHTS_URL + encoder.WEIGHTS_FILE
    assert calls[0][0] == (encoder.WEIGHTS_FILE, url)


def test_channels_first_is_refused(monkeypatch):
    monkeypatch.setattr(keras.config, "image_data_format", lambda: "channels_first")
    with pytest.raises(ValueError, match=r"channels_first.*change it in .*keras\.json"):
        small_model(weights=None)


def test_weights_none_uses_no_network(offline, capsys):
    assert encoder.imagenet_weights(None) is None
    assert offline == [] and capsys.readouterr().out == ""


def test_unknown_weights_raise(offline):
    with pytest.raises(ValueError, match='weights is \'coco\': use "auto", "imagenet" or None'):
        small_model(weights="coco")


def test_keras_home_default(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert encoder.keras_home() == tmp_path / ".keras"


# --- the upsampling block ------------------------------------------------------------------------


def test_upsample_has_layers_of_pix2pix():
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


def test_decoder_momentum_applies_to_every_block():
    taps = [keras.Input((2**k, 2**k, 2)) for k in (5, 4, 3, 2, 1)]
    model = keras.Model(taps, unet.decoder(taps, 3, momentum=0.7))
    blocks = [layer for layer in model.layers if layer.name.startswith("up_")]
    assert [block.layers[0].filters for block in blocks] == [512, 256, 128, 64]
    assert {block.layers[1].momentum for block in blocks} == {0.7}


def test_upsample_matches_pix2pix():
    pix2pix = pytest.importorskip("tensorflow_examples.models.pix2pix.pix2pix")
    reference, block = pix2pix.upsample(8, 3), upsample(8, 3)
    x = RNG.normal(size=(2, 4, 6, 5)).astype("float32")
    reference(x), block(x)
    weights = [RNG.normal(size=weight.shape) ** 2 for weight in reference.get_weights()]
    reference.set_weights(weights), block.set_weights(weights)
    for training in (False, True):
        expected = to_numpy(reference(x, training=training))
        np.testing.assert_allclose(to_numpy(block(x, training=training)), expected, rtol=1e-5)


def test_freeze_before_layer(tmp_path):
    model = encoder.mobilenet_v2(32, 32)
    encoder.freeze_before(model, "block_6")
    first = [layer.name for layer in model.layers if layer.trainable and layer.weights][0]
    assert first == "block_6_expand"
    assert not model.get_layer("block_5_project").trainable
    with pytest.raises(ValueError, match="no layer of the encoder begins with 'blok'"):
        encoder.freeze_before(model, "blok")
