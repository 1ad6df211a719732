"""The course's U-Net: a MobileNetV2 encoder and a decoder of four ``upsample`` blocks with skips.

U-Net: Ronneberger, Fischer and Brox (2015), arXiv:1505.04597. The form with a pretrained encoder
is that of the TensorFlow segmentation tutorial and of the laboratory work.
"""

import keras
from keras import layers

from labkit import classes
from labkit.models.encoder import pretrained, rescaling

FILTERS = (512, 256, 128, 64)  # of the laboratory work's decoder


def upsample(filters, size=3, momentum=0.9, seed=0, name=None):
    """A block that doubles height and width: ``[B, H, W, C]`` -> ``[B, 2H, 2W, filters]``.

    The block of ``pix2pix.upsample(filters, size)`` in tensorflow_examples, without dropout and
    with a lower momentum: with pix2pix's 0.99, Keras's default, the averages that batch
    normalization uses in prediction lag hundreds of steps behind the training.
    """
    normal = keras.initializers.RandomNormal(0.0, 0.02, seed=seed)
    block = [
        layers.Conv2DTranspose(
            filters, size, strides=2, padding="same", use_bias=False, kernel_initializer=normal
        ),
        layers.BatchNormalization(momentum=momentum),
        layers.ReLU(),
    ]
    return keras.Sequential(block, name=name)


def unet_model(
    num_classes=classes.NUM_CLASSES,
    image_size=128,
    weights="auto",
    fine_tune=False,
    pixel_range=(-1, 1),
    momentum=0.9,
    seed=0,
    filters=FILTERS,
):
    """A U-Net from raw pixels to logits.

    Args:
        num_classes: C, the number of classes.
        image_size: S or (H, W), divisible by 32.
        weights, fine_tune: of the encoder, see ``encoder.pretrained``.
        pixel_range: range that 0-255 is rescaled to. The ImageNet weights were trained on (-1, 1);
            the laboratory work uses (0, 1).
        momentum: of the decoder's batch normalization; the laboratory work uses 0.99.
        seed: of the random weights.
        filters: of the four upsampling blocks, from 8x8 to 64x64 for a 128x128 image.

    Returns:
        A Keras model from images ``[B, H, W, 3]``, 0-255, uint8 or float, to logits float32
        ``[B, H, W, C]``.

    Raises:
        ValueError: for a size not divisible by 32, or fewer than two classes.
    """
    classes.check_count(num_classes)
    encoder = pretrained(image_size, weights, fine_tune, seed)
    image = keras.Input(encoder.input_shape[1:], name="image")
    x = rescaling(pixel_range)(image)
    logits = decoder(encoder(x), num_classes, momentum, seed, filters)
    return keras.Model(image, logits, name="unet")


def decoder(taps, num_classes, momentum=0.9, seed=0, filters=FILTERS):
    """The expanding path: from five encoder taps, finest first, to logits ``[B, H, W, C]``."""
    *skips, x = taps  # x: 4x4x320 for a 128x128 image
    for number, count in enumerate(filters):  # to 8x8, 16x16, 32x32, 64x64
        size = 2 ** (number + 3)
        block = upsample(count, 3, momentum, 10 * seed + number, name=f"up_{size}")
        x = layers.Concatenate(name=f"skip_{size}")([block(x), skips.pop()])
    return classify(x, num_classes, seed)


def classify(x, num_classes, seed=0):
    """The last layer of most decoders: doubles height and width, to logits ``[B, H, W, C]``."""
    last = layers.Conv2DTranspose(
        num_classes,
        3,
        strides=2,
        padding="same",
        kernel_initializer=keras.initializers.GlorotUniform(seed=10 * seed + 4),
        dtype="float32",  # in mixed precision too
        name="logits",
    )
    return last(x)
