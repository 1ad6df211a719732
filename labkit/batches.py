"""Batches for training, whose order and augmentation depend on the seed and the epoch alone."""

import ctypes
import sys

import keras
import numpy as np

from labkit.augment import Strength, augment

# glibc's names for its settings: below this size, and up to this sum, it keeps what is freed.
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
KEPT_SIZE, KEPT_SUM = 32 << 20, 1 << 30  # bytes; 32 MB is the most that glibc allows


def keep_freed_memory():
    """Let Linux's C library keep freed memory for the next step.

    TensorFlow, when it reads batches from Python, tells the library to return all memory to the
    system at once ("Memory patch applied" in its log). To get it back took more than half of the
    time of a training step.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # it is glibc
        mallopt(M_MMAP_THRESHOLD, KEPT_SIZE)
        mallopt(M_TRIM_THRESHOLD, KEPT_SUM)


class Batches(keras.utils.PyDataset):
    """A split in batches, for ``fit``, ``evaluate`` and ``predict`` on every backend.

    ``batches[i]`` is a pair (images ``[B, S, S, 3]``, masks uint8 ``[B, S, S, 1]``). It
    depends on the seed, the epoch and i alone, so that an interrupted training can resume exactly.

    Args:
        split: a ``labkit.data.Split``.
        batch_size: B; the last batch may be smaller.
        seed: an int, to shuffle the images in each epoch; None keeps the split's order.
        augmented: a ``labkit.augment.Strength``, or True for the default one; needs a seed. False
            for unchanged images.

    Attributes:
        epoch: the current epoch, counted from 0.
        level: a factor for the ranges of the augmentation (``labkit.methods.adaptive``).
    """

    def __init__(self, split, batch_size=32, seed=None, augmented=False):
        if len(split) == 0:
            raise ValueError("the split is empty: use at least one image")
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size is {batch_size!r}: use a whole number of at least 1")
        if augmented and seed is None:
            raise ValueError("augmented batches are random: give a seed, such as seed=0")
        if seed is not None and seed < 0:
            raise ValueError(f"seed is {seed}: use a whole number from 0 up, or None")
        if getattr(augmented, "independent_background", False) and split.classes.background is None:
            raise ValueError(
                "independent_background needs a class called background, and the classes are "
                f"{', '.join(split.classes.names)}"
            )
        super().__init__()
        self.split, self.batch_size, self.seed = split, batch_size, seed
        self.augmented = Strength() if augmented is True else augmented
        self.epoch, self.level = 0, 1.0

    def __len__(self):
        """The number of batches in an epoch."""
        return -(-len(self.split) // self.batch_size)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}: use 0 to {len(self) - 1}")
        keep_freed_memory()  # each time, because TensorFlow's setting comes after the first batch
        order = np.arange(len(self.split))
        if self.seed is not None:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(order)
        indices = order[index * self.batch_size : (index + 1) * self.batch_size]
        images, masks = self.split.images[indices], self.split.masks[indices]
        if self.augmented:
            strength = self.augmented.scaled(self.level)
            seed = [self.seed, self.epoch, index]
            images, masks = augment(images, masks, seed, strength, self.split.classes.background)
        return images, masks

    def on_epoch_end(self):
        """Called by Keras: go to the next epoch, which has another order."""
        self.epoch += 1


class ChangeAugmentation(keras.callbacks.Callback):
    """Augments in another way from an epoch on.

    Args:
        train_ds: the ``Batches`` of the training.
        epoch: counted from 0.
        augmented: as for ``Batches``.
    """

    def __init__(self, train_ds, epoch, augmented):
        super().__init__()
        self.train_ds, self.epoch, self.augmented = train_ds, epoch, augmented

    def on_epoch_begin(self, epoch, logs=None):
        if epoch >= self.epoch:
            self.train_ds.augmented = self.augmented
