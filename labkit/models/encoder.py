"""MobileNetV2 as the contracting path: five feature maps, tapped at five resolutions.

Source: Sandler et al. (2018), arXiv:1801.04381; the taps are those of the laboratory work.
"""

import os
from pathlib import Path

import keras

TAPS = (  # layer, and the size of its output for a 128x128 image
    "block_1_expand_relu",  # 64x64x96
    "block_3_expand_relu",  # 32x32x144
    "block_6_expand_relu",  # 16x16x192
    "block_13_expand_relu",  # 8x8x576
    "block_16_project",  # 4x4x320
)
# Of the skips, coarsest first, as a decoder meets them: sizes for a 128x128 image, and channels.
SIZES = (8, 16, 32, 64)
TAP_CHANNELS = (576, 192, 144, 96)
STRIDE = 32  # the last tap is this many times smaller than the image

# The file that Keras itself takes for 128x128. The network is fully convolutional, so one file
# serves every image size.
WEIGHTS_FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_128_no_top.h5"
WEIGHTS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/"


def imagenet_weights(weights="auto"):
    """Path of the ImageNet weights, or None for an encoder that starts from random numbers.

    Args:
        weights: "imagenet" (from Keras's cache, else downloaded, else an error), None, or "auto":
            ImageNet's if they can be had, else None with a line that says so.

    Raises:
        ValueError: for anything else.
        ConnectionError: if "imagenet" was asked for and can't be had.
    """
    if weights is None:
        return None
    if weights not in ("auto", "imagenet"):
        raise ValueError(f'weights is {weights!r}: use "auto", "imagenet" or None')
    path = keras_home() / "models" / WEIGHTS_FILE
    if path.exists():
        return str(path)
    from labkit.data import reachable

    if reachable(WEIGHTS_URL + WEIGHTS_FILE):
        return keras.utils.get_file(WEIGHTS_FILE, WEIGHTS_URL + WEIGHTS_FILE, cache_subdir="models")
    missing = f"MobileNetV2's ImageNet weights are not in {path} and can't be downloaded"
    if weights == "imagenet":
        raise ConnectionError(f"{missing}. Connect to the network and run this again.")
    print(f"{missing}: the encoder starts from random numbers and is trained with the decoder.")
    return None


def keras_home():
    """Keras's folder of downloaded files: ``KERAS_HOME``, or ``~/.keras``."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


def pretrained(image_size=128, weights="auto", fine_tune=False, seed=0):
    """The encoder with its weights, its layers trainable or not.

    Args:
        image_size: S, or (H, W), divisible by 32.
        weights: see ``imagenet_weights``.
        fine_tune: train the convolutions too, all of them or those from a named layer on, such as
            "block_6"; batch normalisation stays as ImageNet left it. An encoder without ImageNet
            weights is always trained whole.
        seed: of random weights.

    Returns:
        A Keras model as ``mobilenet_v2`` gives it. Raises ValueError for a bad argument.
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    check_size(height, width)  # before a download
    weights_file = imagenet_weights(weights)
    encoder = mobilenet_v2(height, width, weights_file, seed)
    encoder.trainable = bool(fine_tune) or weights_file is None
    if weights_file:
        keep_averages(encoder)
        if isinstance(fine_tune, str):
            freeze_before(encoder, fine_tune)
    return encoder


def mobilenet_v2(height, width, weights_file=None, seed=0):
    """The encoder as a model: an image in [-1, 1] in, five feature maps out, finest first.

    Args:
        height, width: of the image, divisible by 32.
        weights_file: from ``imagenet_weights``; None for random weights.
        seed: of the random weights.

    Returns:
        A Keras model ``[B, H, W, 3]`` -> five tensors, ``[B, H/2, W/2, 96]`` to
        ``[B, H/32, W/32, 320]``.

    Raises:
        ValueError: if a side is not divisible by 32.
    """
    check_size(height, width)
    base = keras.applications.MobileNetV2(
        input_shape=(height, width, 3), include_top=False, weights=weights_file
    )
    if weights_file is None:
        start_from_scratch(base, seed)
    outputs = [base.get_layer(name).output for name in TAPS]
    return keras.Model(base.input, outputs, name="encoder")


def rescaling(pixel_range):
    """The layer that maps 0-255 to ``pixel_range``."""
    low, high = pixel_range
    return keras.layers.Rescaling((high - low) / 255, offset=low, name="rescaling")


def keep_averages(encoder):
    """Freeze batch normalisation, so that it uses ImageNet's averages in training too.

    ``encoder(x, training=False)`` does not do that: in Keras 3 a model called with
    ``training=True``, as by ``fit``, hands it to every layer inside (keras-team/keras#20285).
    """
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def freeze_before(encoder, layer):
    """Train the encoder only from the first layer on whose name begins with ``layer``.

    The early layers find edges and colours, which pets share with ImageNet; and their feature maps
    are the largest. Raises ValueError if no layer's name begins so.
    """
    names = [inner.name for inner in encoder.layers]
    starts = [number for number, name in enumerate(names) if name.startswith(layer)]
    if not starts:
        raise ValueError(f"no layer of the encoder begins with {layer!r}: use one such as block_6")
    for inner in encoder.layers[: starts[0]]:
        inner.trainable = False


def check_size(height, width):
    """Raise ValueError unless five halvings lead to whole numbers."""
    if min(height, width) < STRIDE or height % STRIDE or width % STRIDE:
        near = [max(STRIDE, round(side / STRIDE) * STRIDE) for side in (height, width)]
        raise ValueError(
            f"an image of {height}x{width} can't be halved five times and doubled back: both "
            f"sides must be divisible by {STRIDE}; resize it to {near[0]}x{near[1]}"
        )


def start_from_scratch(base, seed):
    """Seeded random kernels, and batch normalisation that learns its averages quickly.

    Keras gives this network a momentum of 0.999: after 300 steps a moving average still holds
    three quarters of its starting value, which is made for millions of images.
    """
    for number, layer in enumerate(base.layers):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9
        elif layer.weights:  # the kernel of a convolution
            kernel = layer.weights[0]
            draw = keras.initializers.HeNormal(seed=1000 * seed + number)
            kernel.assign(draw(kernel.shape))
