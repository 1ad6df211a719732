"""The weights of the trained U-Net that comes with the course, in a file beside this module."""

from pathlib import Path

import numpy as np
from keras import ops

FILE = Path(__file__).with_name("trained.npz")
PARTS = ("encoder", "decoder")


def save(model, file=FILE):
    """Write the weights of a U-Net in 16 bits, which halves the file.

    Raises ValueError if one is too large for 16 bits.
    """
    arrays = {}
    for part in PARTS:
        for number, weight in enumerate(of_part(model, part)):
            value = ops.convert_to_numpy(weight)
            if np.abs(value).max() > np.finfo("float16").max:
                raise ValueError(f"{weight.path} holds {np.abs(value).max()}: too large")
            arrays[f"{part} {number:03}"] = value.astype("float16")
    np.savez(file, **arrays)


def fill(model, part, file=FILE):
    """Give a U-Net's part, "encoder" or "decoder", the weights of a file.

    The model may also be the encoder alone. A last layer with another number of classes keeps its
    weights. Raises ValueError for another network.
    """
    with np.load(file) as arrays:
        keys = sorted(key for key in arrays if key.startswith(part))
        values = [arrays[key].astype("float32") for key in keys]
    weights = of_part(model, part)
    if part == "decoder" and weights[-1].shape != values[-1].shape:
        weights, values = weights[:-2], values[:-2]  # without the last kernel and bias
    if [weight.shape for weight in weights] != [value.shape for value in values]:
        raise ValueError(
            f"the {part} of {model.name} differs from the one in {file}: build it by unet_model() "
            "with its default filters, narrow and enlarge"
        )
    for weight, value in zip(weights, values, strict=True):
        weight.assign(value)


def of_part(model, part):
    """The weights of a U-Net's encoder or of its other layers."""
    encoder = model if model.name == "encoder" else model.get_layer("encoder")
    if part == "encoder":
        return encoder.weights
    return [weight for layer in model.layers if layer is not encoder for weight in layer.weights]
