"""Training on several devices: each computes its part of every batch, and all take the same step.

This is data parallelism, by ``tf.distribute`` under TensorFlow and ``keras.distribution`` under
JAX. Everything that is a mean over the batch (loss, gradient, the statistics of batch
normalisation) is taken over all parts, so that the result is that of one device up to rounding.
"""

import contextlib
import re

import keras
from keras import ops, tree

from labkit import losses


def choose(devices):
    """The devices to train on.

    Args:
        devices: how many, from the first one on; "all"; or None for Keras's own choice.

    Returns:
        Their names, such as ``["gpu:0", "gpu:1"]``; none for None.

    Raises:
        ValueError: for a number that is not there, or under PyTorch.
    """
    if devices is None:
        return []
    backend = keras.backend.backend()
    if backend not in ("tensorflow", "jax"):
        raise ValueError(
            f"devices is {devices!r}, but Keras trains on several devices under TensorFlow and JAX "
            f"alone, not under {backend}: set KERAS_BACKEND=jax before Python starts, or leave "
            "devices out"
        )
    there = keras.distribution.list_devices()
    if devices == "all":
        return there
    if isinstance(devices, bool) or not isinstance(devices, int) or devices < 1:
        raise ValueError(f'devices is {devices!r}: use a whole number from 1 up, "all", or None')
    if devices > len(there):
        raise ValueError(
            f"devices is {devices}, but {backend} sees {len(there)}: {', '.join(there)}. Use at "
            'most that many, or divide a processor (see the page "Several devices")'
        )
    return there[:devices]


def where(model):
    """Where a model's weights lie, which is where it is trained: "GPU" or "CPU"."""
    value = model.weights[0].value
    place = value.devices() if hasattr(value, "devices") else value.device  # JAX has the first
    return "GPU" if re.search("gpu|cuda", str(place), re.IGNORECASE) else "CPU"


def check_batches(batches, devices):
    """Raise ValueError unless so many devices can have equal parts of a batch.

    Under TensorFlow the last batch of an epoch has to have them too; JAX lets every device compute
    all of it if it has not.
    """
    size, images = batches.batch_size, len(batches.split)
    if size % devices:
        near = max(1, round(size / devices)) * devices
        raise ValueError(
            f"batch_size is {size}, which {devices} devices can't divide equally: use {near}, or "
            "another number of devices"
        )
    if images % devices and keras.backend.backend() == "tensorflow":
        raise ValueError(
            f"the last batch of {images} images can't be divided equally among {devices} devices: "
            f"leave some out (split.select(slice({images - images % devices}))), or use another "
            "number of devices or KERAS_BACKEND=jax"
        )


@contextlib.contextmanager
def shared(model, devices, prepare, *all_batches):
    """What to train in the place of a model, so that several devices share the work.

    Variables have to be made on all devices, but those of the model are made already. So a copy is
    trained, and its weights are put into the model when the ``with`` block ends.

    Args:
        model: built and compiled.
        devices: as for ``choose``.
        prepare: a function of a model, an optimizer and a loss that compiles the model.
        all_batches: ``Batches`` that the devices have to divide; None among them is left out.

    Yields:
        The copy; the model itself if there is one device to use.

    Raises:
        ValueError: as ``choose`` and ``check_batches``.
    """
    names = choose(devices)
    if len(names) < 2:
        yield model
        return
    for batches in filter(None, all_batches):
        check_batches(batches, len(names))
    make = {"tensorflow": _mirrored, "jax": _sharded}[keras.backend.backend()]
    with make(model, names, prepare) as copy:
        yield copy
    model.set_weights(copy.get_weights())


def _copy(model, prepare, loss):
    """The same model on the devices that are in force: weights, and an optimizer as it was new."""
    copy = keras.models.clone_model(model)
    if not copy.built:
        copy.build(model.layers[0].input.shape)
    copy.set_weights(model.get_weights())
    prepare(copy, model.optimizer.from_config(model.optimizer.get_config()), loss)
    copy.optimizer.build(copy.trainable_variables)
    return copy


# --- TensorFlow ----------------------------------------------------------------------------------


@contextlib.contextmanager
def _mirrored(model, names, prepare):
    import tensorflow as tf

    # Among processors its collective operations fail when one process uses 2 and later 4 of them;
    # among graphics cards the default is NVIDIA's own.
    sums = tf.distribute.ReductionToOneDevice() if names[0].startswith("cpu") else None
    with tf.distribute.MirroredStrategy([name.upper() for name in names], sums).scope():
        copy = _copy(model, prepare, Shared(model.loss, len(names)))
    for layer in copy._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True  # else each device normalises by its own part

    def predict_on_batch(images):
        """On one device: the strategy would give every image to each, and each answer back."""
        model.set_weights(copy.get_weights())
        return model.predict_on_batch(images)

    copy.predict_on_batch = predict_on_batch
    yield copy


class Shared(keras.losses.Loss):
    """The mean of a loss over the part of a device, divided by the number of devices.

    That is what ``tf.distribute`` has to add up. Keras divides losses by itself, but not those that
    give a single number.
    """

    def __init__(self, loss, devices):
        super().__init__()
        self.loss, self.devices = loss, devices

    def call(self, y_true, y_pred):
        """A scalar."""
        return _mean(self.loss, y_true, y_pred) / self.devices


def _mean(loss, y_true, y_pred):
    """The mean of a loss, whose own ``__call__`` might have divided it."""
    if isinstance(loss, losses.Sum):
        parts = zip(loss.weights, loss.losses, strict=True)
        return sum(weight * _mean(part, y_true, y_pred) for weight, part in parts)
    return ops.mean((loss.call if isinstance(loss, keras.losses.Loss) else loss)(y_true, y_pred))


# --- JAX -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _sharded(model, names, prepare):
    distribution = Whole(devices=names, auto_shard_dataset=False)
    with distribution.scope():
        copy = _copy(model, prepare, model.loss)
        for name in ("train_step", "test_step"):
            setattr(copy, name, _divided(getattr(copy, name), distribution))
        yield copy


class Whole(keras.distribution.DataParallel):
    """Gives whole batches to all devices. Keras would divide them, and fails where a batch, such as
    the last one of an epoch, has no equal parts."""

    def get_data_layout(self, data_shape):
        return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)


def _divided(step, distribution):
    """A step whose work is divided: JAX divides everything that follows from a divided batch.

    A batch without equal parts is left whole; every device then computes all of it.
    """
    mesh = distribution.device_mesh

    def divide(tensor):
        if tensor is None or tensor.shape[0] % mesh.devices.size:
            return tensor
        parts = [distribution.batch_dim_name] + [None] * (len(tensor.shape) - 1)
        layout = keras.distribution.TensorLayout(parts, mesh)
        return keras.distribution.distribute_tensor(tensor, layout)

    return lambda state, data: step(state, tree.map_structure(divide, data))
