"""Attention U-Net: a gate on each skip learns which positions to pass on.

Oktay et al. (2018), arXiv:1804.03999. The coarser features of the decoder tell roughly where the
animal is; the gate passes the skip there and suppresses it elsewhere.

Differences from the paper: the encoder is MobileNetV2, and all four skips have a gate, including
the finest.
"""

import keras
from keras import layers, ops

from labkit.models.assemble import assemble, glorot
from labkit.models.unet import block_sizes, classify, stages, upsample


def attention_unet(**options):
    """An Attention U-Net, with the options and the result of ``unet.unet_model``."""
    return assemble(decoder, "attention_unet", **options)


def decoder(taps, num_classes, momentum, seed, filters):
    """The expanding path of ``unet.decoder``, with a gate on each skip."""
    *skips, x = taps
    for number, (size, count) in enumerate(stages(filters)):
        block = upsample(count, 3, momentum, 10 * seed + number, name=f"up_{size}")
        gated = gate(skips.pop(), x, size, 100 * seed + 10 * number)
        x = layers.Concatenate(name=f"skip_{size}")([block(x), gated])
    return classify(x, num_classes, seed)


def gate(skip, x, size, seed):
    """The skip ``[B, 2h, 2w, C]`` times coefficients from 0 to 1, which are computed from the skip
    and the coarser features ``[B, h, w, D]``."""
    filters = skip.shape[-1] // 2
    detail = layers.Conv2D(
        filters,
        2,
        strides=2,
        use_bias=False,
        kernel_initializer=glorot(seed),
        name=f"detail_{size}",
    )(skip)
    context = layers.Conv2D(
        filters, 1, kernel_initializer=glorot(seed + 1), name=f"context_{size}"
    )(x)
    both = layers.ReLU()(layers.Add()([detail, context]))  # [B, h, w, C / 2]
    coefficients = layers.Conv2D(
        1, 1, activation="sigmoid", kernel_initializer=glorot(seed + 2), name=f"gate_{size}"
    )(both)
    coefficients = layers.UpSampling2D(2, interpolation="bilinear", name=f"attention_{size}")(
        coefficients
    )
    return layers.Multiply(name=f"gated_{size}")([skip, coefficients])


def coefficients(model, images):
    """The coefficients of each gate: float32 ``[N, h, w]`` from 0 to 1, by size of the skip.

    Args:
        model: an Attention U-Net.
        images: uint8 ``[N, S, S, 3]``; one batch.
    """
    sizes = block_sizes(model)
    gates = [model.get_layer(f"attention_{size}").output for size in sizes]
    maps = keras.Model(model.input, gates).predict_on_batch(images)
    return {
        size: ops.convert_to_numpy(values)[..., 0] for size, values in zip(sizes, maps, strict=True)
    }
