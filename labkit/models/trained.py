"""The trained U-Net that comes with the course: it predicts without a network or a dataset.

``labkit study shipped`` trained it on Oxford-IIIT Pet and on drawn pets, and wrote its weights.
"""

from pathlib import Path

import numpy as np
from keras import ops

from labkit.models import unet
from labkit.models.encoder import keep_averages

FILE = Path(__file__).with_name("trained.npz")


def trained_unet(file=FILE):
    """The trained U-Net, ready to predict.

    To train it further, pass ``training.fine_tuning`` to ``training.train``.

    Returns:
        A Keras model from images uint8 ``[B, 128, 128, 3]`` to logits ``[B, 128, 128, 3]`` of the
        classes pet, background, border.
    """
    model = unet.unet_model(weights=None)
    weights = read(file)
    for name, layers in parts(model).items():
        set_weights(layers, weights[name])
    keep_averages(model.get_layer("encoder"))
    return model


def save(model, file=FILE):
    """Write the weights of a U-Net in 16 bits, which halves the file."""
    arrays = {
        f"{name} {number:03}": ops.convert_to_numpy(weight).astype("float16")
        for name, layers in parts(model).items()
        for number, weight in enumerate(weights_of(layers))
    }
    too_large = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if too_large:
        raise ValueError(f"weights {too_large} do not fit into 16 bits: the largest is 65504")
    np.savez(file, **arrays)


def read(file=FILE):
    """The weights in a file, lists of float32 arrays: {"encoder": [...], "decoder": [...]}."""
    found = {}
    with np.load(file) as arrays:
        for key in sorted(arrays):
            found.setdefault(key.split()[0], []).append(arrays[key].astype("float32"))
    return found


def parts(model):
    """The layers of a U-Net by part: {"encoder": [...], "decoder": [...]}."""
    encoder = model.get_layer("encoder")
    return {
        "encoder": [encoder],
        "decoder": [layer for layer in model.layers if layer is not encoder],
    }


def weights_of(layers):
    return [weight for layer in layers for weight in layer.weights]


def set_weights(layers, values):
    """Set the weights of some layers to arrays of the same shapes."""
    for weight, value in zip(weights_of(layers), values, strict=True):
        weight.assign(value)
