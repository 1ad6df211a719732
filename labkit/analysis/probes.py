"""A look inside a network: gradients by depth, and how alike the features of two networks are."""

import re

import keras
import numpy as np
from keras import ops

from labkit import losses
from labkit.models.encoder import SIZES


def gradient_norms(model, images, masks, loss=None):
    """How large the gradient of the loss is in each part of a network, for one batch.

    Args:
        model: a U-Net of this course, as far as it is trained; it is not changed.
        images, masks: uint8 ``[B, H, W, 3]`` and ``[B, H, W, 1]``.
        loss: None for cross-entropy.

    Returns:
        Length of the gradient (all trained weights of the part as one vector), by the name of the
        part, from the image to the logits: ``Conv1``, ``block_1`` ... ``up_64``, ``logits``.
    """
    return _norms_in(_twin(model, loss), model, images, masks)


class GradientNorms(keras.callbacks.Callback):
    """Adds ``gradient PART`` to the history: ``gradient_norms`` as each epoch begins.

    Args:
        images, masks: the batch to measure with, the same each time.
    """

    def __init__(self, images, masks, loss=None):
        super().__init__()
        self.images, self.masks, self.loss = images, masks, loss
        self.twin = None

    def on_epoch_begin(self, epoch, logs=None):
        self.twin = self.twin or _twin(self.model, self.loss)
        self.norms = _norms_in(self.twin, self.model, self.images, self.masks)

    def on_epoch_end(self, epoch, logs=None):
        logs.update({f"gradient {part}": value for part, value in self.norms.items()})


def _twin(model, loss):
    """A copy that can be trained without touching the model."""
    twin = keras.models.clone_model(model)
    # A step of plain descent with rate 1 moves each weight by its gradient: Keras gives gradients
    # in no other way that is the same under every backend.
    # Eager, because compiling would take longer than the one step.
    twin.compile(keras.optimizers.SGD(1.0), loss or losses.CrossEntropy(), run_eagerly=True)
    return twin


def _norms_in(twin, model, images, masks):
    for copy, weight in zip(twin.weights, model.weights, strict=True):
        copy.assign(weight)
    twin.train_on_batch(images, masks)
    squares = {}
    for copy, weight in zip(twin.trainable_weights, model.trainable_weights, strict=True):
        moved = ops.convert_to_numpy(copy) - ops.convert_to_numpy(weight)
        name = part_of(weight.path)
        squares[name] = squares.get(name, 0.0) + float(np.sum(moved.astype("float64") ** 2))
    return {name: square**0.5 for name, square in squares.items()}


def part_of(path):
    """The part that a weight belongs to: ``block_1_expand/kernel`` is of ``block_1``."""
    found = re.search(r"block_\d+|expanded_conv|up_\d+|logits|project_\d+|Conv1", path)
    return found[0] if found else path.split("/")[0]


def similarity(first, second, images):
    """How alike the decoders of two U-Nets see the same images.

    Args:
        first, second: U-Nets of this course.
        images: uint8 ``[N, S, S, 3]``; one batch.

    Returns:
        Linear CKA of the features that the four blocks put out, by their size: 8, 16, 32, 64.
    """
    return {
        size: cka(*(features(model, images, size) for model in (first, second))) for size in SIZES
    }


def features(model, images, size):
    """What block ``up_{size}`` puts out, a row a position: float32 ``[N h w, C]``."""
    part = keras.Model(model.input, model.get_layer(f"up_{size}").output)
    found = ops.convert_to_numpy(part.predict_on_batch(images))
    return found.reshape(-1, found.shape[-1])


def cka(x, y):
    """Linear centred kernel alignment of two sets of features, 0 to 1.

    1 if one is the other rotated and scaled; near 0 if they have nothing to do with each other.
    Source: Kornblith et al. (2019), arXiv:1905.00414, equation 3 in its linear form.

    Args:
        x, y: float ``[N, C]`` and ``[N, D]``: the same N positions seen by two networks.

    Raises:
        ValueError: if the rows do not belong together, or features do not vary.
    """
    x, y = np.asarray(x, "float64"), np.asarray(y, "float64")
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise ValueError(f"features of shape {x.shape} and {y.shape}: expected [N, C] and [N, D]")
    x, y = x - x.mean(0), y - y.mean(0)
    alike, *alone = (np.linalg.norm(a.T @ b) for a, b in ((x, y), (x, x), (y, y)))
    if min(alone) == 0:
        raise ValueError("the features of one network are the same at every position")
    return float(alike**2 / (alone[0] * alone[1]))
