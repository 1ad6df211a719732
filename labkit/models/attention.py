"""Attention U-Net: each skip passes a gate that learns which places to let through.

Oktay et al. (2018), arXiv:1804.03999. The coarse features that are about to be brought up know
roughly where the animal is; the gate lets them ask for detail there, and silence the rest.

Where this departs from the paper: the encoder is MobileNetV2, and the gates stand at all four
skips, the finest included.
"""

import keras
from keras import layers, ops

from labkit.models.assemble import assemble, glorot
from labkit.models.encoder import SIZES
from labkit.models.unet import classify, upsample


def attention_unet(**options):
    """An Attention U-Net; ``options`` and result are those of ``unet.unet_model``."""
    return assemble(decoder, "attention_unet", **options)


def decoder(taps, num_classes, momentum, seed, filters):
    """The expanding path of ``unet.decoder``, with a gate on each skip."""
    *skips, x = taps
    for number, (size, count) in enumerate(zip(SIZES, filters, strict=True)):
        block = upsample(count, 3, momentum, 10 * seed + number, name=f"up_{size}")
        gated = gate(skips.pop(), x, size, 100 * seed + 10 * number)
        x = layers.Concatenate(name=f"skip_{size}")([block(x), gated])
    return classify(x, num_classes, seed)


def gate(skip, x, size, seed):
    """The skip ``[B, 2h, 2w, C]`` times coefficients 0 to 1 that it and the coarser features
    ``[B, h, w, D]`` agree on."""
    inner = skip.shape[-1] // 2
    asked = layers.Conv2D(
        inner, 2, strides=2, use_bias=False, kernel_initializer=glorot(seed), name=f"detail_{size}"
    )(skip)
    wanted = layers.Conv2D(inner, 1, kernel_initializer=glorot(seed + 1), name=f"context_{size}")(x)
    both = layers.ReLU()(layers.Add()([asked, wanted]))  # [B, h, w, C / 2]
    coefficients = layers.Conv2D(
        1, 1, activation="sigmoid", kernel_initializer=glorot(seed + 2), name=f"gate_{size}"
    )(both)
    fine = layers.UpSampling2D(2, interpolation="bilinear", name=f"attention_{size}")(coefficients)
    return layers.Multiply(name=f"gated_{size}")([skip, fine])


def coefficients(model, images):
    """What each gate lets through: float32 ``[N, h, w]`` from 0 to 1, by the size of the skip.

    Args:
        model: an Attention U-Net.
        images: uint8 ``[N, S, S, 3]``; one batch.
    """
    gates = [model.get_layer(f"attention_{size}").output for size in SIZES]
    found = keras.Model(model.input, gates).predict_on_batch(images)
    return {size: ops.convert_to_numpy(one)[..., 0] for size, one in zip(SIZES, found, strict=True)}
