"""Pruning: the channels of a trained decoder that say least are removed, for real.

Nothing is set to zero: the pruned network is a smaller U-Net with some of the weights of the large
one, in a smaller file. Source: Li et al. (2017), arXiv:1608.08710, who
rank the filters of a convolution by the sum of their absolute weights.
"""

import keras
import numpy as np
from keras import ops

from labkit.models import unet
from labkit.models.encoder import SIZES


def prune(model, share):
    """A U-Net without the least important ``share`` of each decoder block's channels.

    Train it a little more: what is left has to make up for what is gone.

    Args:
        model: from ``unet.unet_model``, trained. It is not changed.
        share: 0 up to, not including, 1; at least one channel of each block is kept.

    Returns:
        A Keras model of the same kind, not compiled. Its encoder is a copy.

    Raises:
        ValueError: for a share outside that range.
    """
    if not 0 <= share < 1:
        raise ValueError(f"share is {share}: use 0 (nothing is removed) up to just below 1")
    kept = {size: important(model.get_layer(f"up_{size}"), share) for size in SIZES}
    slim = smaller(model, [len(kept[size]) for size in SIZES])
    inputs = None  # which channels of its input a block still gets; None for all
    for size in SIZES:
        old, new = (one.get_layer(f"up_{size}") for one in (model, slim))
        kernel, *averages = (ops.convert_to_numpy(weight) for weight in old.weights)
        kernel = kernel[:, :, kept[size]]  # [3, 3, out, in]
        kernel = kernel if inputs is None else kernel[..., inputs]
        new.set_weights([kernel, *(one[kept[size]] for one in averages)])
        joined = model.get_layer(f"skip_{size}").output.shape[-1]
        own = old.output.shape[-1]
        inputs = np.concatenate([kept[size], np.arange(own, joined)])  # the skip is kept whole
    kernel, bias = (ops.convert_to_numpy(weight) for weight in model.get_layer("logits").weights)
    slim.get_layer("logits").set_weights([kernel[..., inputs], bias])
    return slim


def important(block, share):
    """Which channels of a block to keep, in order: those of the largest filters.

    A filter is as large as the sum of its absolute weights, times what batch normalisation
    multiplies its output by.
    """
    kernel, gamma, _, _, variance = (ops.convert_to_numpy(weight) for weight in block.weights)
    scale = np.abs(gamma) / np.sqrt(variance + 1e-3)
    sizes = np.abs(kernel).sum(axis=(0, 1, 3)) * scale  # [out]
    count = max(1, round(len(sizes) * (1 - share)))
    return np.sort(np.argsort(-sizes, kind="stable")[:count])


def smaller(model, filters):
    """An untrained U-Net around a copy of the model's encoder, with other filters."""
    old = model.get_layer("encoder")
    encoder = keras.models.clone_model(old)
    encoder.set_weights(old.get_weights())
    for copy, layer in zip(encoder.layers, old.layers, strict=True):
        copy.trainable = layer.trainable
    image = keras.Input(model.input_shape[1:], name="image")
    rescaling = keras.layers.Rescaling.from_config(model.get_layer("rescaling").get_config())
    momentum = model.get_layer("up_8").layers[1].momentum
    taps = encoder(rescaling(image))
    logits = unet.decoder(taps, model.output_shape[-1], momentum, filters=filters)
    return keras.Model(image, logits, name="unet")
