"""MobileNetV2 as the encoder (contracting path): feature maps tapped at five resolutions.

Source: Sandler et al. (2018), arXiv:1801.04381; the taps are those of the laboratory work.
"""

import os
from pathlib import Path

import keras

from labkit import profile
from labkit.download import problem_for_keras
from labkit.models.weights import fill
from labkit.splits import sides

TAPS = (  # layers, with their output shapes for a 128x128 image
    "block_1_expand_relu",  # 64x64x96
    "block_3_expand_relu",  # 32x32x144
    "block_6_expand_relu",  # 16x16x192
    "block_13_expand_relu",  # 8x8x576
    "block_16_project",  # 4x4x320
)
# Sizes of the skips for a 128x128 image that is not enlarged, coarsest first as in a decoder.
SIZES = (8, 16, 32, 64)
STRIDE = 32  # of the last tap: size of MobileNetV2's input / tap size

# Keras has a file for each size of ImageNet's images and would take another one for 128x128. This
# one is the better classifier (71.8 % against 65.3 % in TF-Slim's table), and the network is fully
# convolutional, so it serves all sizes. All pretrained rows of the ledger started from it.
WEIGHTS_FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
WEIGHTS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/"


def imagenet_weights(weights="auto"):
    """Path of the ImageNet weights, or None.

    Args:
        weights: "imagenet" (from Keras's cache or downloaded), None, or "auto": ImageNet weights if
            available, else None, and the reason is printed.

    Raises:
        ValueError: for anything else.
        ConnectionError: if weights is "imagenet" and they can be neither found nor downloaded.
    """
    if weights is None:
        return None
    if weights not in ("auto", "imagenet"):
        raise ValueError(f'weights is {weights!r}: use "auto", "imagenet" or None')
    path = keras_home() / "models" / WEIGHTS_FILE
    if path.exists():
        return str(path)
    url = WEIGHTS_URL + WEIGHTS_FILE
    problem = problem_for_keras(url)
    if problem is None:
        try:
            return download_whole(url)
        except Exception as error:  # Keras raises a plain one, for example if a proxy refuses
            problem = f"can't be downloaded ({error}): run this again, or on another network"
    missing = f"MobileNetV2's ImageNet weights are not in {path}, and {url} {problem}."
    if weights == "imagenet":
        raise ConnectionError(missing)
    print(missing)
    return None


def download_whole(url):
    """Download a weights file into Keras's cache; returns its path.

    Under another name until it is whole: a killed process must not leave a part of it.
    """
    name = url.rpartition("/")[2]
    partial = keras.utils.get_file(
        f"{os.getpid()}-{name}",
        url,
        cache_dir=str(keras_home()),
        cache_subdir="models",
        force_download=True,  # instead of the part that a killed process has left
    )
    return str(Path(partial).replace(Path(partial).with_name(name)))


def keras_home():
    """Keras's folder for settings and downloaded files: ``KERAS_HOME`` or ``~/.keras``."""
    return profile.expand(os.environ.get("KERAS_HOME") or profile.home() / ".keras")


def check_data_format():
    """Raise ValueError if Keras is set to channels first: the course's images have them last."""
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "Keras is set to image_data_format channels_first, and the images of this course are "
            f"[H, W, 3], channels last: change it in {keras_home() / 'keras.json'}, or call "
            'keras.config.set_image_data_format("channels_last")'
        )


def pretrained(image_size=128, weights="auto", fine_tune=False, seed=0, enlarge=1):
    """The encoder with its weights, its layers frozen or trainable.

    Args:
        image_size: S or (H, W), divisible by 32, or by 16 if it is enlarged.
        weights: "imagenet", "trained" (of the trained U-Net that comes with the course), or "auto":
            ImageNet's if available, else those. None for random weights: all layers are trained.
        fine_tune: train the convolutions too: True for all, or the name of the first layer to
            train, such as "block_6". Batch normalization stays frozen.
        seed: of random weights.
        enlarge: see ``mobilenet_v2``.

    Returns:
        A Keras model, see ``mobilenet_v2``.

    Raises:
        ValueError: for a bad argument.
        ConnectionError: if weights is "imagenet" and they can be neither found nor downloaded.
    """
    height, width = sides(image_size)
    check_data_format()
    check_size(height, width, enlarge)  # before a download
    if weights not in ("auto", "imagenet", "trained", None):
        raise ValueError(f'weights is {weights!r}: use "auto", "imagenet", "trained" or None')
    weights_file = None if weights == "trained" else imagenet_weights(weights)
    encoder = mobilenet_v2(height, width, weights_file, seed, enlarge)
    encoder.trainable = bool(fine_tune) or weights is None
    if weights is not None:
        if weights_file is None:
            fill(encoder, "encoder")
            if weights == "auto":
                print(
                    "The encoder starts from the trained U-Net that comes with the course. It has "
                    "seen all train images, so scores on validation images are too good."
                )
        keep_averages(encoder)
        if isinstance(fine_tune, str):
            freeze_before(encoder, fine_tune)
    return encoder


def mobilenet_v2(height, width, weights_file=None, seed=0, enlarge=1):
    """The encoder as a model from an image in [-1, 1] to feature maps, finest first.

    Args:
        height, width: of the image; both times ``enlarge`` divisible by 32.
        weights_file: from ``imagenet_weights``; None for random weights.
        seed: of the random weights.
        enlarge: 1, or 2 to double the image first: MobileNetV2 was trained on objects at 224
            pixels. The finest map would then have the image's size and is left out.

    Returns:
        A Keras model ``[B, H, W, 3]`` -> five tensors, ``[B, H/2, W/2, 96]`` to
        ``[B, H/32, W/32, 320]``, or four, ``[B, H/2, W/2, 144]`` to ``[B, H/16, W/16, 320]``.

    Raises:
        ValueError: for sides or an ``enlarge`` other than these.
    """
    check_size(height, width, enlarge)
    image = keras.Input((height, width, 3))
    x = image
    if enlarge > 1:
        x = keras.layers.UpSampling2D(enlarge, interpolation="bilinear", name="enlarge")(x)
    base = keras.applications.MobileNetV2(
        input_tensor=x, input_shape=x.shape[1:], include_top=False, weights=weights_file
    )
    if weights_file is None:
        start_from_scratch(base, seed)
    outputs = [base.get_layer(name).output for name in TAPS[enlarge - 1 :]]
    return keras.Model(image, outputs, name="encoder")


def rescaling(pixel_range):
    """The layer that maps 0-255 to ``pixel_range``."""
    low, high = pixel_range
    return keras.layers.Rescaling((high - low) / 255, offset=low, name="rescaling")


def keep_averages(encoder):
    """Freeze batch normalization, so that training uses ImageNet's moving averages too.

    ``encoder(x, training=False)`` has no such effect: in Keras 3 a model called with
    ``training=True``, as ``fit`` does, passes it to all nested layers (keras-team/keras#20285).
    """
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def freeze_before(encoder, layer):
    """Freeze all layers before the first one whose name starts with ``layer``.

    The early layers detect edges and colors, which pets share with ImageNet, and have the largest
    feature maps. Raises ValueError if no layer's name starts with it.
    """
    names = [inner.name for inner in encoder.layers]
    starts = [number for number, name in enumerate(names) if name.startswith(layer)]
    if not starts:
        raise ValueError(
            f"no layer of the encoder begins with {layer!r}: use a name such as block_6"
        )
    for inner in encoder.layers[: starts[0]]:
        inner.trainable = False


def check_enlarge(enlarge):
    """Raise ValueError for other factors than 1 and 2."""
    if enlarge not in (1, 2):
        raise ValueError(f"enlarge is {enlarge!r}: use 1 or 2")


def check_size(height, width, enlarge=1):
    """Raise ValueError unless both sides can be halved five times after they are enlarged."""
    check_enlarge(enlarge)
    stride = STRIDE // enlarge
    if min(height, width) < stride or height % stride or width % stride:
        near = [max(stride, round(side / stride) * stride) for side in (height, width)]
        raise ValueError(
            f"an image of {height}x{width} can't be halved and doubled back: both sides must be "
            f"divisible by {stride}; resize it to {near[0]}x{near[1]}"
        )


def start_from_scratch(base, seed):
    """Set seeded random kernels and a lower momentum of batch normalization.

    Keras uses a momentum of 0.999, made for millions of images: after 300 steps a moving average
    still holds three quarters of its initial value.
    """
    for number, layer in enumerate(base.layers):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9
        elif layer.weights:  # the kernel of a convolution
            kernel = layer.weights[0]
            he_normal = keras.initializers.HeNormal(seed=1000 * seed + number)
            kernel.assign(he_normal(kernel.shape))
