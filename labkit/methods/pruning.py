"""Pruning: removes the least important channels of a trained decoder.

No weights are set to zero: the pruned network is a smaller U-Net with some of the original weights,
in a smaller file. Source: Li et al. (2017), arXiv:1608.08710, who rank the filters of a convolution
by the sum of their absolute weights.
"""

import keras
import numpy as np
from keras import ops

from labkit.models import unet
from labkit.models.unet import block_sizes


def prune(model, share):
    """A U-Net without the least important ``share`` of each decoder block's channels.

    Train it a little longer afterwards, so that the remaining channels make up for the removed
    ones.

    Args:
        model: a trained model from ``unet.unet_model``. It is not changed.
        share: from 0 to just below 1; every block keeps at least one channel.

    Returns:
        A Keras model of the same kind, not compiled. Its encoder is a copy.

    Raises:
        ValueError: for a share outside that range.
    """
    if not 0 <= share < 1:
        raise ValueError(f"share is {share}: use 0 (nothing is removed) up to just below 1")
    sizes = block_sizes(model)
    channels = {size: channels_to_keep(model.get_layer(f"up_{size}"), share) for size in sizes}
    pruned = narrower_unet(model, [len(channels[size]) for size in sizes])
    inputs = None  # input channels that remain for the next block; None for all
    for size in sizes:
        old, new = model.get_layer(f"up_{size}"), pruned.get_layer(f"up_{size}")
        kernel, *norm_weights = (ops.convert_to_numpy(weight) for weight in old.weights)
        kernel = kernel[:, :, channels[size]]  # [3, 3, out, in]
        kernel = kernel if inputs is None else kernel[..., inputs]
        new.set_weights([kernel, *(weight[channels[size]] for weight in norm_weights)])
        joined = model.get_layer(f"skip_{size}").output.shape[-1]
        from_block = old.output.shape[-1]
        inputs = np.concatenate([channels[size], np.arange(from_block, joined)])  # all of the skip
    kernel, bias = (ops.convert_to_numpy(weight) for weight in model.get_layer("logits").weights)
    pruned.get_layer("logits").set_weights([kernel[..., inputs], bias])
    return pruned


def channels_to_keep(block, share):
    """Sorted indices of the channels of a block with the largest filters.

    The size of a filter is the sum of its absolute weights, times the factor by which batch
    normalization scales its output.
    """
    kernel, gamma, _, _, variance = (ops.convert_to_numpy(weight) for weight in block.weights)
    scale = np.abs(gamma) / np.sqrt(variance + 1e-3)
    filter_sizes = np.abs(kernel).sum(axis=(0, 1, 3)) * scale  # [out]
    count = max(1, round(len(filter_sizes) * (1 - share)))
    return np.sort(np.argsort(-filter_sizes, kind="stable")[:count])


def narrower_unet(model, filters):
    """A U-Net with an untrained decoder of these filters on copies of the model's other layers."""
    old = model.get_layer("encoder")
    encoder = keras.models.clone_model(old)
    encoder.set_weights(old.get_weights())
    for copy, layer in zip(encoder.layers, old.layers, strict=True):
        copy.trainable = layer.trainable
    image = keras.Input(model.input_shape[1:], name="image")
    rescaling = keras.layers.Rescaling.from_config(model.get_layer("rescaling").get_config())
    sizes = block_sizes(model)
    momentum = model.get_layer(f"up_{sizes[0]}").layers[1].momentum
    *skips, x = encoder(rescaling(image))
    if f"narrow_{sizes[0]}" in {layer.name for layer in model.layers}:
        skips = [
            apply_copy(model.get_layer(f"narrow_{size}"), skip)
            for size, skip in zip(reversed(sizes), skips, strict=True)
        ]
    logits = unet.decoder([*skips, x], model.output_shape[-1], momentum, filters=filters)
    return keras.Model(image, logits, name="unet")


def apply_copy(layer, x):
    """The output of a copy of a layer with its weights."""
    copy = layer.from_config(layer.get_config())
    output = copy(x)
    copy.set_weights(layer.get_weights())
    return output
