"""Probes of a network: gradient norms by layer, and the similarity of two networks' features."""

import math
import re

import keras
import numpy as np
from keras import ops

from labkit import losses
from labkit.models.unet import block_sizes


def gradient_norms(model, images, masks, loss=None):
    """Gradient norm of the loss in each part of a network, for one batch.

    Args:
        model: a U-Net of this course, trained or not; it is not changed.
        images, masks: uint8 ``[B, H, W, 3]`` and ``[B, H, W, 1]``.
        loss: None for cross-entropy.

    Returns:
        Norm of the gradient (all trainable weights of the part as one vector) by name of the part,
        from the image to the logits: ``Conv1``, ``block_1`` ... ``up_64``, ``logits``.
    """
    return _norms(_trainable_copy(model, loss), model, images, masks)


class GradientNorms(keras.callbacks.Callback):
    """Adds ``gradient PART`` to the history: ``gradient_norms`` at the start of each epoch.

    Args:
        images, masks: the batch to measure with in every epoch.
        loss: None for cross-entropy.
    """

    def __init__(self, images, masks, loss=None):
        super().__init__()
        self.images, self.masks, self.loss = images, masks, loss
        self.copy = None

    def on_epoch_begin(self, epoch, logs=None):
        self.copy = self.copy or _trainable_copy(self.model, self.loss)
        self.norms = _norms(self.copy, self.model, self.images, self.masks)

    def on_epoch_end(self, epoch, logs=None):
        logs.update({f"gradient {part}": value for part, value in self.norms.items()})


def _trainable_copy(model, loss):
    """A compiled copy of the model, which can be trained without changing the model."""
    copy = keras.models.clone_model(model)
    # A step of SGD with learning rate 1 moves each weight by its gradient; Keras has no other way
    # to get gradients that works with every backend.
    # Eager, because compiling would take longer than the one step.
    copy.compile(keras.optimizers.SGD(1.0), loss or losses.CrossEntropy(), run_eagerly=True)
    return copy


def _norms(copy, model, images, masks):
    for target, weight in zip(copy.weights, model.weights, strict=True):
        target.assign(weight)
    copy.train_on_batch(images, masks)
    squares = {}
    for stepped, weight in zip(copy.trainable_weights, model.trainable_weights, strict=True):
        gradient = ops.convert_to_numpy(stepped) - ops.convert_to_numpy(weight)
        name = part_of(weight.path)
        squares[name] = squares.get(name, 0.0) + float(np.sum(gradient.astype("float64") ** 2))
    return {name: square**0.5 for name, square in squares.items()}


def part_of(path):
    """The part that a weight belongs to: ``block_1`` for ``block_1_expand/kernel``."""
    match = re.search(r"block_\d+|expanded_conv|up_\d+|logits|project_\d+|Conv1", path)
    return match[0] if match else path.split("/")[0]


def similarity(first, second, images):
    """Similarity of the decoder features of two U-Nets on the same images.

    Args:
        first, second: U-Nets of this course.
        images: uint8 ``[N, S, S, 3]``; one batch.

    Returns:
        Linear CKA of the outputs of each block, by its size, such as 8, 16, 32, 64.
    """
    return {
        size: cka(*(features(model, images, size) for model in (first, second)))
        for size in block_sizes(first)
    }


def features(model, images, size):
    """Output of block ``up_{size}``, one row per position: float32 ``[N h w, C]``."""
    extractor = keras.Model(model.input, model.get_layer(f"up_{size}").output)
    output = ops.convert_to_numpy(extractor.predict_on_batch(images))
    return output.reshape(-1, output.shape[-1])


def cka(x, y):
    """Linear centered kernel alignment (CKA) of two sets of features, 0 to 1.

    1 if one is the other rotated and scaled; near 0 if they are unrelated.
    Source: Kornblith et al. (2019), arXiv:1905.00414, equation 3 in its linear form.

    Args:
        x, y: float ``[N, C]`` and ``[N, D]``: features of two networks at the same N positions.

    Raises:
        ValueError: if the numbers of rows differ, or the features of a network do not vary.
    """
    x, y = np.asarray(x, "float64"), np.asarray(y, "float64")
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise ValueError(f"features have shapes {x.shape} and {y.shape}: use [N, C] and [N, D]")
    x, y = x - x.mean(0), y - y.mean(0)
    xy, xx, yy = (np.linalg.norm(a.T @ b) for a, b in ((x, y), (x, x), (y, y)))
    if min(xx, yy) == 0:
        raise ValueError("the features of one network are the same at every position")
    return float(xy**2 / (xx * yy))


def multiply_adds(model):
    """Multiplications (each with an addition) of a U-Net's convolutions for one image, by part.

    Args:
        model: a U-Net of this course.

    Returns:
        Their number by name: ``encoder``, ``narrow``, each block such as ``up_64``, and
        ``logits``.
    """
    counts = {}
    for part in model.layers:
        name = part.name.partition("_")[0] if part.name.startswith("narrow") else part.name
        for layer in getattr(part, "layers", [part]):
            if count := layer_multiply_adds(layer):
                counts[name] = counts.get(name, 0) + count
    return counts


def layer_multiply_adds(layer):
    """Multiply-adds of a convolution for one image; 0 for other layers."""
    # A transposed convolution uses its kernel at each input pixel, others at each output pixel.
    transposed = isinstance(layer, keras.layers.Conv2DTranspose)
    if not transposed and not isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
        return 0
    _, height, width, _ = (layer.input if transposed else layer.output).shape
    return height * width * math.prod(layer.kernel.shape)
