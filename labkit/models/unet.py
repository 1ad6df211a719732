"""The course's U-Net: a MobileNetV2 encoder and a decoder of ``upsample`` blocks with skips.

U-Net: Ronneberger, Fischer and Brox (2015), arXiv:1505.04597. The form with a pretrained encoder
is that of the TensorFlow segmentation tutorial and of the laboratory work.
"""

import keras
from keras import layers

from labkit import classes
from labkit.models.encoder import SIZES, TAPS, check_enlarge, pretrained, rescaling

FILTERS = (128, 64, 32)
# Options for the laboratory work's form: whole skips, and the image as it is. It takes more
# multiply-adds (586 M against 476 M for a 128x128 image) and is less accurate.
PLAIN = {"filters": (512, 256, 128, 64), "narrow": False, "enlarge": 1}


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
    narrow=True,
    enlarge=2,
):
    """A U-Net from raw pixels to logits.

    ``unet_model(**PLAIN)`` is the laboratory work's form.

    Args:
        num_classes: C, the number of classes.
        image_size, weights, fine_tune: of the encoder, see ``encoder.pretrained``.
        pixel_range: range that 0-255 is rescaled to. The ImageNet weights were trained on (-1, 1);
            the laboratory work uses (0, 1).
        momentum: of the decoder's batch normalization; the laboratory work uses 0.99.
        seed: of the random weights.
        filters: of the upsampling blocks, coarsest first: three, or four if ``enlarge`` is 1.
        narrow: reduce the channels of each skip, see ``narrow_skips``.
        enlarge: 2 doubles the image inside the model, before the encoder; 1 does not.

    Returns:
        A Keras model from images ``[B, H, W, 3]``, 0-255, uint8 or float, to logits float32
        ``[B, H, W, C]``.

    Raises:
        ValueError: for a size not divisible by 16 (32 if not enlarged), fewer than two classes, or
            another number of filters.
        ConnectionError: if weights is "imagenet" and they can be neither found nor downloaded.
    """
    classes.check_count(num_classes)
    check_filters(filters, enlarge)
    encoder = pretrained(image_size, weights, fine_tune, seed, enlarge)
    image = keras.Input(encoder.input_shape[1:], name="image")
    taps = encoder(rescaling(pixel_range)(image))
    if narrow:
        taps = narrow_skips(taps, filters, seed)
    logits = decoder(taps, num_classes, momentum, seed, filters)
    return keras.Model(image, logits, name="unet")


def check_filters(filters, enlarge):
    """Raise ValueError unless there is a number of filters for each block."""
    check_enlarge(enlarge)
    count = len(TAPS) - enlarge  # of the skips
    if len(filters) != count:
        raise ValueError(
            f"filters are {tuple(filters)}: with enlarge={enlarge}, give {count} numbers, one for "
            "each upsampling block"
        )


def narrow_skips(taps, filters, seed=0):
    """The taps with skips of half as many channels as the block that they join.

    MobileNetV2 has most channels (576) where a 3x3 convolution of the decoder pays for each of
    them. A 1x1 convolution is cheap, as in Lin et al. (2017), arXiv:1612.03144.
    """
    *skips, x = taps
    narrow = []
    for number, (size, count) in enumerate(stages(filters)):
        start = keras.initializers.GlorotUniform(seed=10 * seed + 5 + number)
        project = layers.Conv2D(count // 2, 1, kernel_initializer=start, name=f"narrow_{size}")
        narrow.insert(0, project(skips.pop()))
    return [*narrow, x]


def decoder(taps, num_classes, momentum=0.9, seed=0, filters=FILTERS):
    """The expanding path: from the encoder's taps, finest first, to logits ``[B, H, W, C]``."""
    *skips, x = taps
    steps = zip(stages(filters), reversed(skips), strict=True)
    for number, ((size, count), skip) in enumerate(steps):
        block = upsample(count, 3, momentum, 10 * seed + number, name=f"up_{size}")
        x = layers.Concatenate(name=f"skip_{size}")([block(x), skip])
    return classify(x, num_classes, seed)


def stages(filters):
    """Size (for a 128x128 image) and filters of each block: (16, 128), (32, 64), (64, 32)."""
    return list(zip(SIZES[-len(filters) :], filters, strict=True))


def block_sizes(model):
    """Sizes of a U-Net's blocks for a 128x128 image, coarsest first: 16, 32, 64."""
    names = {layer.name for layer in model.layers}
    return [size for size in SIZES if f"up_{size}" in names]


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
