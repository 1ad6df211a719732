"""The U-Net: shapes, trainable weights, ImageNet weights and the upsampling block."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from labkit.models import encoder, unet
from labkit.models.unet import unet_model, upsample

ENCODER_KERNELS = 51  # MobileNetV2's convolutions up to the last tap, block_16_project
# Kernel, gamma and beta of each block; kernel and bias of each narrowed skip and the last layer.
DECODER_WEIGHTS = 3 * 3 + 3 * 2 + 2
SIZE = 32  # the smallest image of the plain form: its last tap is a single pixel
FILTERS = (12, 8, 6)
PLAIN = unet.PLAIN | {"filters": (16, *FILTERS)}
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)


def small_model(**options):
    return unet_model(**{"image_size": SIZE, "weights": None, "filters": FILTERS, **options})


def values(weights):
    return [np.array(weight) for weight in weights]


def batch_norms(model):
    """The encoder's batch normalization layers."""
    base_encoder = model.get_layer("encoder")
    return [layer for layer in base_encoder.layers if isinstance(layer, layers.BatchNormalization)]


@pytest.fixture(scope="module")
def scratch_model():
    """A model without ImageNet weights; tests must not change its weights."""
    return small_model()


@pytest.fixture(scope="module")
def mobilenet():
    """MobileNetV2 with random weights instead of ImageNet's."""
    keras.utils.set_random_seed(1)
    options = {"input_shape": (128, 128, 3), "include_top": False, "weights": None}
    network = keras.applications.MobileNetV2(**options)
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
    model = unet_model(image_size=size, weights=None, num_classes=5, **unet.PLAIN)
    assert model.output_shape == (None, *sides, 5)
    taps = model.get_layer("encoder").output
    assert [tap.shape[1:] for tap in taps] == [
        (sides[0] // 2**k, sides[1] // 2**k, channels)
        for k, channels in enumerate((96, 144, 192, 576, 320), start=1)
    ]
    assert model.count_params() > 6e6  # 6.50 M with three classes (facts)
    assert tuple(model(np.zeros((1, *sides, 3), np.uint8)).shape) == (1, *sides, 5)


def test_image_dtype_does_not_change_logits(scratch_model):
    logits = np.asarray(scratch_model(IMAGES))
    assert logits.shape == (2, SIZE, SIZE, 3) and logits.dtype == np.float32
    for kind in ("float32", "float64", "int32"):
        np.testing.assert_array_equal(scratch_model(IMAGES.astype(kind)), logits)


def test_logits_are_float32_under_mixed_precision(short_encoder_here):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small_model()
        logits = np.asarray(model(IMAGES))
    finally:
        keras.config.set_dtype_policy(before)
    assert model.get_layer("up_16").layers[0].compute_dtype == "bfloat16"
    assert logits.dtype == np.float32 and np.isfinite(logits).all()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (PLAIN | {"image_size": 100}, "100x100 .*divisible by 32; resize it to 96x96"),
        ({"image_size": np.int64(100)}, "100x100 .*divisible by 16; resize it to 96x96"),
        ({"image_size": (130, 128)}, "130x128.* 128x128"),
        ({"image_size": (96, 150)}, "96x150.* 96x144"),
        ({"image_size": 8}, "8x8.* 16x16"),
        (PLAIN | {"image_size": 16}, "16x16.* 32x32"),
        ({"image_size": 0}, "image_size is 0: use a whole number of pixels, such as 128"),
        ({"image_size": 40}, "40x40.* by 16; resize it to 32"),
        ({"enlarge": 3}, "enlarge is 3: use 1 or 2"),
        ({"filters": (8, 8, 8, 8)}, "filters are .* with enlarge=2, give 3 numbers"),
        ({"enlarge": 1}, "filters are .* with enlarge=1, give 4 numbers"),
        ({"num_classes": 1}, "num_classes is 1: .* at least 2"),
        ({"weights": "coco"}, 'weights is \'coco\': use "auto", "imagenet", "trained" or None'),
    ],
    ids=str,
)
def test_invalid_arguments_raise_before_download(options, match, offline):
    with pytest.raises(ValueError, match=match):
        unet_model(**options)
    assert offline == []


def test_taps_match_laboratory_work(mobilenet):
    names = ("block_1_expand_relu", "block_3_expand_relu", "block_6_expand_relu")
    names += ("block_13_expand_relu", "block_16_project")
    model = encoder.mobilenet_v2(128, 128)
    *skips, _ = model.outputs
    sizes_and_channels = [(tap.shape[1], tap.shape[3]) for tap in reversed(skips)]
    assert sizes_and_channels == [(8, 576), (16, 192), (32, 144), (64, 96)]
    model.set_weights(mobilenet.get_weights()[: len(model.weights)])
    laboratory = keras.Model(mobilenet.input, [mobilenet.get_layer(name).output for name in names])
    pixels = RNG.uniform(-1, 1, (1, 128, 128, 3)).astype("float32")
    for tap, expected in zip(model(pixels), laboratory(pixels), strict=True):
        np.testing.assert_array_equal(tap, expected)


def test_pixel_range_is_equivalent_to_scaled_pixels(short_encoder_here):
    model, unit_range = small_model(), small_model(pixel_range=(0, 1))
    for network, ends in ((model, (-1, 1)), (unit_range, (0, 1))):
        rescaled = network.get_layer("rescaling")(np.array([0, 255], "float32"))
        np.testing.assert_allclose(rescaled, ends, atol=1e-6)
    assert np.abs(unit_range(IMAGES) - model(IMAGES)).max() > 1e-6
    brighter = 127.5 + IMAGES / 2  # has the values in (-1, 1) that IMAGES has in (0, 1)
    np.testing.assert_allclose(model(brighter), unit_range(IMAGES), atol=1e-6)


# --- narrow skips, enlarged image ----------------------------------------------------------------


def test_enlarged_image_equals_doubled_one(mobilenet):
    small = RNG.uniform(-1, 1, (2, 64, 32, 3)).astype("float32")
    enlarged, plain = encoder.mobilenet_v2(64, 32, enlarge=2), encoder.mobilenet_v2(128, 64)
    plain.set_weights(enlarged.get_weights())
    doubled = layers.UpSampling2D(2, interpolation="bilinear")(small)
    _, *expected = plain(doubled)  # the first tap has the image's size and no use
    assert [tap.shape[1:] for tap in enlarged.outputs] == [tap.shape[1:] for tap in expected]
    for tap, same in zip(enlarged(small), expected, strict=True):
        np.testing.assert_allclose(tap, same, atol=1e-5)


def test_enlarged_model_keeps_image_size(short_encoder_here):
    model = small_model(image_size=(32, 48))
    assert model.input_shape == (None, 32, 48, 3) and model.output_shape == (None, 32, 48, 3)
    assert unet.block_sizes(model) == [16, 32, 64]
    default = unet_model(image_size=32, weights=None)
    counts = [default.get_layer(f"up_{size}").output.shape[-1] for size in (16, 32, 64)]
    assert counts == [128, 64, 32]


def test_narrow_skips_have_half_the_channels_of_their_block(short_encoder_here):
    whole, narrow = small_model(narrow=False), small_model()
    for size, count in unet.stages(FILTERS):
        project = narrow.get_layer(f"narrow_{size}")
        assert project.kernel.shape[:2] == (1, 1)
        joined = narrow.get_layer(f"skip_{size}").output
        assert joined.shape[-1] == count + count // 2 == count + project.output.shape[-1]
        assert joined.shape[1:3] == whole.get_layer(f"skip_{size}").output.shape[1:3]
    kernels = [values(layer.weights)[0] for layer in narrow.layers if "narrow" in layer.name]
    assert len(kernels) == 3 and not np.array_equal(
        kernels[1][0, 0, :6, :3], kernels[2][0, 0, :6, :3]
    )
    again = small_model(seed=0)
    np.testing.assert_equal(values(again.weights), values(narrow.weights))


# --- seeds and weights ---------------------------------------------------------------------------


def test_weights_depend_on_seed_and_are_not_shared(scratch_model):
    keras.utils.set_random_seed(99)  # the global seed has no effect
    same, other = small_model(), small_model(seed=1)
    before = values(scratch_model.weights)
    np.testing.assert_equal(values(same.weights), before)
    for weight, changed in zip(scratch_model.weights, other.weights, strict=True):
        if "kernel" in weight.name:
            assert not np.array_equal(weight, changed), weight.path
    same.set_weights([weight + 1 for weight in before])
    np.testing.assert_equal(values(scratch_model.weights), before)


def test_scratch_encoder_trains_with_batch_normalization(scratch_model):
    base_encoder, norms = scratch_model.get_layer("encoder"), batch_norms(scratch_model)
    assert {layer.momentum for layer in norms} == {0.9}
    assert len(base_encoder.trainable_variables) == ENCODER_KERNELS + 2 * len(norms)
    kernels = [weight for weight in base_encoder.trainable_variables if "kernel" in weight.name]
    assert len(kernels) == ENCODER_KERNELS
    inference, training = (scratch_model(IMAGES, training=mode) for mode in (False, True))
    assert np.asarray(inference) != pytest.approx(np.asarray(training))


def test_every_trainable_weight_gets_gradient(scratch_model):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(scratch_model(IMAGES, training=False) ** 2)
    variables = scratch_model.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    for weight, gradient in zip(variables, gradients, strict=True):
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, weight.path


def test_every_tap_affects_logits_and_momentum_every_block():
    taps = [keras.Input((2**k, 2**k, 2)) for k in (5, 4, 3, 2, 1)]
    model = keras.Model(taps, unet.decoder(taps, 3, momentum=0.7, filters=(16, 8, 8, 4)))
    blocks = [layer for layer in model.layers if layer.name.startswith("up_")]
    assert [block.layers[0].filters for block in blocks] == [16, 8, 8, 4]
    assert {block.layers[1].momentum for block in blocks} == {0.7}
    features = [RNG.normal(size=(1, *tap.shape[1:])).astype("float32") for tap in taps]
    before = model(features)
    assert tuple(before.shape) == (1, 64, 64, 3)
    for number in range(5):
        changed = [feature + (k == number) for k, feature in enumerate(features)]
        assert np.abs(model(changed) - before).max() > 0, number


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
        loaded, expected = (x.get_layer(name).weights for x in (base_encoder, mobilenet))
        np.testing.assert_equal(values(loaded), values(expected), err_msg=name)


def test_pretrained_encoder_is_frozen_unless_fine_tuned(pretrained_models):
    frozen, tuned = pretrained_models[False], pretrained_models[True]
    assert len(frozen.trainable_variables) == DECODER_WEIGHTS
    assert len(tuned.trainable_variables) == DECODER_WEIGHTS + ENCODER_KERNELS
    fine_tuned_weights = tuned.get_layer("encoder").trainable_variables
    assert {weight.name for weight in fine_tuned_weights} == {"kernel"}  # no gamma, no beta


@pytest.mark.parametrize("fine_tune", [pytest.param(False, marks=pytest.mark.slow), True])
def test_pretrained_encoder_keeps_moving_averages(pretrained_models, fine_tune, tmp_path):
    model = pretrained_models[fine_tune]
    model.save(tmp_path / "model.keras")  # a loaded model keeps them too
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))
    assert len(loaded.trainable_variables) == len(model.trainable_variables)
    for candidate in (model, loaded):
        averages = [v for layer in batch_norms(candidate) for v in layer.non_trainable_variables]
        block = candidate.get_layer("up_16")
        outputs = [candidate.get_layer("skip_64").output, block.output]
        inside = keras.Model(candidate.input, outputs)
        before, decoder_mean = values(averages), np.array(block.layers[1].moving_mean)
        inference, training = (inside(IMAGES, training=mode) for mode in (False, True))
        # skip_64 holds 6 channels of the decoder, then the 3 of the first tap
        np.testing.assert_array_equal(*(x[0][..., FILTERS[-1] :] for x in (inference, training)))
        np.testing.assert_equal(values(averages), before)
        # The decoder's output and averages do change.
        assert np.abs(inference[1] - training[1]).max() > 0
        assert not np.array_equal(block.layers[1].moving_mean, decoder_mean)


def test_local_weights_are_used_without_network(keras_home, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(keras_home))
    monkeypatch.setattr(encoder, "problem_for_keras", lambda url: pytest.fail("it was asked"))
    paths = [encoder.imagenet_weights(weights) for weights in ("auto", "imagenet", None)]
    assert paths == [str(keras_home / "models" / encoder.WEIGHTS_FILE)] * 2 + [None]


def test_missing_weights_are_the_courses_or_an_error_offline(offline, capsys, short_encoder_here):
    assert encoder.imagenet_weights(None) is None
    assert offline == [] and capsys.readouterr().out == ""
    assert encoder.imagenet_weights() is None
    assert "is away" in capsys.readouterr().out
    assert offline == [encoder.WEIGHTS_URL + encoder.WEIGHTS_FILE]
    assert not small_model(weights="auto").get_layer("encoder").trainable
    assert "starts from the trained U-Net" in capsys.readouterr().out
    with pytest.raises(ConnectionError, match=encoder.WEIGHTS_FILE):
        small_model(weights="imagenet")


@pytest.fixture
def download(monkeypatch, tmp_path):
    """An empty Keras folder, and the weights at an address that can be reached.

    Returns where they belong.
    """
    published, home = tmp_path / encoder.WEIGHTS_FILE, tmp_path / "keras"
    published.write_bytes(b"all weights")
    home.mkdir()
    monkeypatch.setenv("KERAS_HOME", str(home))
    monkeypatch.setattr(encoder, "WEIGHTS_URL", f"{tmp_path.as_uri()}/")
    monkeypatch.setattr(encoder, "problem_for_keras", lambda url: None)
    return home / "models" / encoder.WEIGHTS_FILE


def cut_off(name, url, cache_dir, cache_subdir, **_):
    """In the place of ``keras.utils.get_file``: leaves a part of the file, as a killed process."""
    folder = Path(cache_dir, cache_subdir)
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"all")
    raise Exception(f"URL fetch failure on {url}: 403 -- Forbidden")


def test_imagenet_weights_are_downloaded(download):
    assert encoder.imagenet_weights("auto") == str(download)
    assert [file.read_bytes() for file in download.parent.iterdir()] == [b"all weights"]


def test_failed_download_of_weights_is_as_no_network(download, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(keras.utils, "get_file", cut_off)
        assert encoder.imagenet_weights("auto") is None
        assert "403 -- Forbidden" in capsys.readouterr().out
        with pytest.raises(ConnectionError, match=r"403 -- Forbidden.*run this again"):
            encoder.imagenet_weights("imagenet")
    assert Path(encoder.imagenet_weights("imagenet")).read_bytes() == b"all weights"


def test_channels_first_is_refused(monkeypatch):
    monkeypatch.setattr(keras.config, "image_data_format", lambda: "channels_first")
    with pytest.raises(ValueError, match=r"channels_first.*change it in .*keras\.json"):
        small_model()


def test_keras_home_default(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert encoder.keras_home() == tmp_path / ".keras"


def test_freeze_before_layer():
    model = encoder.mobilenet_v2(32, 32)
    encoder.freeze_before(model, "block_6")
    first = next(layer.name for layer in model.layers if layer.trainable and layer.weights)
    assert first == "block_6_expand"
    with pytest.raises(ValueError, match="'blok'"):
        encoder.freeze_before(model, "blok")


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


def test_upsample_matches_pix2pix():
    pix2pix = pytest.importorskip("tensorflow_examples.models.pix2pix.pix2pix")
    reference, block = pix2pix.upsample(8, 3), upsample(8, 3)
    x = RNG.normal(size=(2, 4, 6, 5)).astype("float32")
    reference(x), block(x)
    weights = [RNG.normal(size=weight.shape) ** 2 for weight in reference.get_weights()]
    reference.set_weights(weights), block.set_weights(weights)
    for training in (False, True):
        expected = reference(x, training=training)
        np.testing.assert_allclose(block(x, training=training), expected, rtol=1e-5)
