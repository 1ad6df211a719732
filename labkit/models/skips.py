"""The U-Net with its skips left out, added instead of concatenated, or spoilt: what are they for?

Encoder, blocks that go up and last layer are those of ``unet``; only what happens to a skip
differs. Each variant could show that skips matter less than is said (chapter 7).
"""

from functools import partial

import keras
import numpy as np
from keras import layers, ops

from labkit import classes
from labkit.models.assemble import assemble
from labkit.models.encoder import SIZES, TAP_CHANNELS
from labkit.models.unet import classify, upsample

VARIANTS = {
    "all": "as in the U-Net",
    "none": "no skip",
    "none, wide": "no skip, but as many decoder weights as with all",
    **{f"not {size}": f"all but the one at {size}x{size}" for size in SIZES},
    "sum": "each added, after a 1x1 convolution",
    "swapped": "each from another image of the batch",
    "blurred": "each blurred to the resolution of the level below",
}


def skip_unet(variant, **options):
    """A U-Net whose skips are treated as ``variant`` says, a key of ``VARIANTS``.

    ``options`` and result are those of ``unet.unet_model``. With "all" it is the same network with
    the same first weights. Raises ValueError for an unknown variant.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant is {variant!r}: use one of {', '.join(map(repr, VARIANTS))}")
    return assemble(partial(decoder, variant), "skip_unet", **options)


def decoder(variant, taps, num_classes, momentum, seed, filters):
    """The expanding path of ``unet.decoder``, with ``join`` in the place of the concatenation."""
    filters = widened(filters) if variant == "none, wide" else filters
    *skips, x = taps
    for number, (size, count) in enumerate(zip(SIZES, filters, strict=True)):
        block = upsample(count, 3, momentum, 10 * seed + number, name=f"up_{size}")
        x = join(block(x), skips.pop(), size, variant, seed=10 * seed + number)
    return classify(x, num_classes, seed)


def join(x, skip, size, variant, seed):
    """Features from below, ``[B, H, W, C]``, and the skip of their size, made into one."""
    if variant in ("none", "none, wide", f"not {size}"):
        return x
    if variant == "sum":
        start = keras.initializers.GlorotUniform(seed=100 + seed)
        project = layers.Conv2D(x.shape[-1], 1, kernel_initializer=start, name=f"project_{size}")
        return layers.Add(name=f"skip_{size}")([x, project(skip)])
    if variant == "swapped":
        skip = FromAnother(name=f"another_{size}")(skip)
    if variant == "blurred":
        skip = layers.AveragePooling2D(2, name=f"blur_{size}")(skip)
        skip = layers.UpSampling2D(2, interpolation="bilinear", name=f"unblur_{size}")(skip)
    return layers.Concatenate(name=f"skip_{size}")([x, skip])


@keras.saving.register_keras_serializable("labkit.skips")
class FromAnother(layers.Layer):
    """Gives each image of a batch the features of the one before it, the first those of the last.

    In training and in prediction alike. A batch of one image has no other: it keeps its own.
    """

    def call(self, features):
        return ops.roll(features, 1, axis=0)


def widened(filters, bottom=320):
    """Filters for a decoder without skips that has as many weights as one with all of them.

    All four are multiplied by one factor, found by trying; the counts agree within 0.5 %.

    Args:
        filters: of the decoder with skips.
        bottom: channels of the coarsest tap.
    """
    wanted = count_weights(filters, TAP_CHANNELS, bottom)
    tried = [tuple(round(factor * count) for count in filters) for factor in np.arange(1, 2, 0.001)]
    return min(tried, key=lambda wide: abs(count_weights(wide, (0, 0, 0, 0), bottom) - wanted))


def count_weights(filters, skips, bottom=320, num_classes=classes.NUM_CLASSES):
    """Weights of a decoder: kernels 3x3, four numbers a channel for batch normalisation."""
    channels, total = bottom, 0
    for count, skip in zip(filters, skips, strict=True):
        total += 9 * channels * count + 4 * count
        channels = count + skip
    return total + 9 * channels * num_classes + num_classes
