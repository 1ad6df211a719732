"""Batches for training: the same order and the same augmentation for the same seed and epoch."""

import keras
import numpy as np

from labkit.augment import Strength, augment


class Batches(keras.utils.PyDataset):
    """A split, batch by batch, for ``fit``, ``evaluate`` and ``predict`` on every backend.

    ``batches[i]`` is a pair (images ``[B, S, S, 3]``, masks uint8 ``[B, S, S, 1]``). What it
    holds depends on the seed, the epoch and i alone, so an interrupted training can go on
    exactly where it was.

    Args:
        split: a ``labkit.data.Split``.
        batch_size: B; the last batch holds what is left.
        seed: an int shuffles anew in each epoch; None keeps the split's order.
        augmented: move and recolour the images, as far as a ``labkit.augment.Strength`` says; True
            for the default one. Needs a seed.

    Attributes:
        epoch: whose batches these are, counted from 0.
        level: what the ranges of the augmentation are multiplied by (``labkit.methods.adaptive``).
    """

    def __init__(self, split, batch_size=32, seed=None, augmented=False):
        if len(split) == 0:
            raise ValueError("the split is empty: there is nothing to make batches of")
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size is {batch_size!r}: use a whole number of at least 1")
        if augmented and seed is None:
            raise ValueError("augmented batches are random: give a seed, such as seed=0")
        if seed is not None and seed < 0:
            raise ValueError(f"seed is {seed}: use a whole number from 0 up, or None")
        super().__init__()
        self.split, self.batch_size, self.seed = split, batch_size, seed
        self.augmented = Strength() if augmented is True else augmented
        self.epoch, self.level = 0, 1.0

    def __len__(self):
        """Batches in an epoch."""
        return -(-len(self.split) // self.batch_size)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}: use 0 to {len(self) - 1}")
        order = np.arange(len(self.split))
        if self.seed is not None:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(order)
        chosen = order[index * self.batch_size : (index + 1) * self.batch_size]
        images, masks = self.split.images[chosen], self.split.masks[chosen]
        if self.augmented:
            strength = self.augmented.scaled(self.level)
            images, masks = augment(images, masks, [self.seed, self.epoch, index], strength)
        return images, masks

    def on_epoch_end(self):
        """Called by Keras: the next epoch has another order."""
        self.epoch += 1
