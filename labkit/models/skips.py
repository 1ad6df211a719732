"""Variants of the U-Net without skips, with added instead of concatenated ones, or corrupted ones.

Encoder, upsampling blocks and last layer are those of ``unet``; only the treatment of the skips
differs. Each variant tests a claim about what skips do.
"""

from functools import partial

import keras
import numpy as np
from keras import layers, ops

from labkit.models.assemble import assemble, glorot
from labkit.models.encoder import SIZES
from labkit.models.unet import classify, stages, upsample

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
    """A U-Net whose skips are treated as in a ``variant``, a key of ``VARIANTS``.

    Options and result are those of ``unet.unet_model``; "all" is that network, with the same
    initial weights. Raises ValueError for an unknown variant.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant is {variant!r}: use one of {', '.join(map(repr, VARIANTS))}")
    return assemble(partial(decoder, variant), "skip_unet", **options)


def decoder(variant, taps, num_classes, momentum, seed, filters):
    """The expanding path of ``unet.decoder``, with ``join`` instead of the concatenation."""
    sizes = [size for size, _ in stages(filters)]
    if variant in {f"not {size}" for size in set(SIZES) - set(sizes)}:
        raise ValueError(
            f"variant is {variant!r}: this network has skips of {', '.join(map(str, sizes))}"
        )
    *skips, x = taps
    if variant == "none, wide":
        channels = [skip.shape[-1] for skip in reversed(skips)]
        filters = widened(filters, channels, x.shape[-1], num_classes)
    for number, (size, count) in enumerate(stages(filters)):
        block = upsample(count, 3, momentum, 10 * seed + number, name=f"up_{size}")
        x = join(block(x), skips.pop(), size, variant, seed=10 * seed + number)
    return classify(x, num_classes, seed)


def join(x, skip, size, variant, seed):
    """Combine upsampled features ``[B, H, W, C]`` with the skip of their size."""
    if variant in ("none", "none, wide", f"not {size}"):
        return x
    if variant == "sum":
        project = layers.Conv2D(
            x.shape[-1], 1, kernel_initializer=glorot(100 + seed), name=f"project_{size}"
        )
        return layers.Add(name=f"skip_{size}")([x, project(skip)])
    if variant == "swapped":
        skip = FromAnother(name=f"another_{size}")(skip)
    if variant == "blurred":
        skip = layers.AveragePooling2D(2, name=f"blur_{size}")(skip)
        skip = layers.UpSampling2D(2, interpolation="bilinear", name=f"unblur_{size}")(skip)
    return layers.Concatenate(name=f"skip_{size}")([x, skip])


@keras.saving.register_keras_serializable("labkit.skips")
class FromAnother(layers.Layer):
    """Gives each image of a batch the features of the previous one, the first those of the last.

    The same in training and prediction. In a batch of one, the image keeps its own features.
    """

    def call(self, features):
        return ops.roll(features, 1, axis=0)


def widened(filters, skips, bottom, num_classes):
    """Filters for a decoder without skips that has as many weights as one with all of them.

    All are scaled by the factor from 1 to 2 that fits best.

    Args:
        filters: of the decoder with skips.
        skips: their channels, coarsest first.
        bottom: channels of the coarsest tap.
        num_classes: of the logits.
    """
    target = count_weights(filters, skips, bottom, num_classes)
    candidates = [
        tuple(round(factor * count) for count in filters) for factor in np.arange(1, 2, 0.001)
    ]
    without = [0] * len(skips)
    return min(
        candidates, key=lambda wide: abs(count_weights(wide, without, bottom, num_classes) - target)
    )


def count_weights(filters, skips, bottom, num_classes):
    """Number of weights of a decoder: 3x3 kernels, and 4 per channel for batch normalization."""
    channels, total = bottom, 0
    for count, skip in zip(filters, skips, strict=True):
        total += 9 * channels * count + 4 * count
        channels = count + skip
    return total + 9 * channels * num_classes + num_classes
