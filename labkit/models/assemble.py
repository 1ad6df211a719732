"""Builds a model around a decoder, and layers with seeded initial weights.

A decoder is a function ``(taps, num_classes, momentum, seed, filters) -> logits`` that turns the
encoder's feature maps, finest first, into logits ``[B, H, W, C]``. For a 128x128 image these maps
are 64x64x144, 32x32x192, 16x16x576 and 8x8x320, or, if it is not enlarged, 64x64x96, 32x32x144,
16x16x192, 8x8x576 and 4x4x320; ``unet.narrow_skips`` has reduced the channels of all but the last,
unless ``narrow`` is False. The decoder of the course's U-Net is ``unet.decoder``.
"""

import math

import keras
from keras import layers

from labkit import classes
from labkit.models.encoder import pretrained, rescaling
from labkit.models.unet import FILTERS, check_filters, narrow_skips


def assemble(
    decoder,
    name,
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
    with_image=False,
):
    """A model from raw pixels to logits with any decoder.

    The other arguments, the result and the errors are those of ``unet.unet_model``.

    Args:
        decoder: see the module's docstring.
        name: of the model.
        with_image: also pass the rescaled image to the decoder, before the first tap.
    """
    classes.check_count(num_classes)
    check_filters(filters, enlarge)
    encoder = pretrained(image_size, weights, fine_tune, seed, enlarge)
    image = keras.Input(encoder.input_shape[1:], name="image")
    scaled = rescaling(pixel_range)(image)
    taps = encoder(scaled)
    if narrow:
        taps = narrow_skips(taps, filters, seed)
    maps = [scaled, *taps] if with_image else taps
    return keras.Model(image, decoder(maps, num_classes, momentum, seed, filters), name=name)


def glorot(seed):
    """Keras's default kernel initializer with a seed."""
    return keras.initializers.GlorotUniform(seed=seed)


def attend(queries, values, heads, width, seed, name):
    """Multi-head attention of queries ``[B, Q, D]`` over values ``[B, V, E]``: ``[B, Q, D]``.

    Each head has ``width // heads`` dimensions.
    Source: Vaswani et al. (2017), arXiv:1706.03762.
    """
    attention = layers.MultiHeadAttention(heads, width // heads, name=name)
    output = attention(queries, values)
    # One seeded initializer would give queries, keys and values the same kernel.
    for number, weight in enumerate(attention.weights):
        if weight.path.endswith("kernel"):
            inputs = weight.shape[:-1] if "output" in weight.path else weight.shape[:1]
            normal = keras.initializers.RandomNormal(0.0, math.prod(inputs) ** -0.5, seed + number)
            weight.assign(normal(weight.shape))
    return output
