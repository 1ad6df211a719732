"""Adaptive augmentation: as strong as the network can bear, and no stronger.

Before each epoch the loss is measured on a few train images as they are, and augmented at rising
levels. The epoch gets the highest level whose loss is not much larger than that of the plain
images, and the highest level that is allowed rises by one with each epoch, since an untrained
network bears everything.

The idea that difficulty grows when the network copes is that of automatic domain randomisation
(OpenAI et al. 2019, arXiv:1910.07113); a level set by a measurement in training is that of
adaptive discriminator augmentation (Karras et al. 2020, arXiv:2006.06676).
"""

import keras
from keras import ops

from labkit.augment import Strength, augment

LEVELS = (0.0, 0.5, 1.0, 1.5, 2.0)  # what the ranges of ``augment.Strength`` are multiplied by
BEARABLE = 1.25  # times the loss of plain images


class Adaptive(keras.callbacks.Callback):
    """Sets ``train_ds.level`` as each epoch begins, and adds ``level`` to the history.

    The level follows from the weights and the epoch alone, so that an interrupted training goes
    on as it would have gone.

    Args:
        train_ds: augmented ``labkit.batches.Batches``, those that the training gets.
        images, masks: train images to measure with, uint8 ``[N, S, S, 3]`` and ``[N, S, S, 1]``;
            one batch.
        loss: a loss on logits.
        bearable: how many times the loss of plain images an augmented one may have.
    """

    def __init__(self, train_ds, images, masks, loss, bearable=BEARABLE):
        if not train_ds.augmented:
            raise ValueError("train_ds is not augmented: make it with Batches(..., augmented=True)")
        if bearable < 1:
            raise ValueError(f"bearable is {bearable}: use 1 (no extra loss) or more")
        super().__init__()
        self.train_ds, self.images, self.masks = train_ds, images, masks
        self.loss, self.bearable = loss, bearable

    def on_epoch_begin(self, epoch, logs=None):
        strength = self.train_ds.augmented
        losses = losses_by_level(
            self.model, self.images, self.masks, self.loss, strength, seed=epoch
        )
        self.train_ds.level = highest(losses, self.bearable, most=epoch)

    def on_epoch_end(self, epoch, logs=None):
        logs["level"] = self.train_ds.level

    def get_config(self):
        """What shapes the training, for its fingerprint."""
        return {"levels": LEVELS, "bearable": self.bearable, "images": len(self.images)}


def losses_by_level(model, images, masks, loss, strength=Strength(), seed=0):
    """Loss of one batch at each of ``LEVELS``: the same random changes, made larger."""
    found = []
    for level in LEVELS:
        changed, moved = augment(images, masks, seed, strength.scaled(level))
        logits = ops.convert_to_tensor(model.predict_on_batch(changed))
        found.append(float(ops.mean(loss(moved, logits))))
    return found


def highest(losses, bearable=BEARABLE, most=len(LEVELS)):
    """The last of ``LEVELS`` before the first whose loss is too large.

    Args:
        losses: one a level.
        bearable: how many times the first loss is still not too large.
        most: number of the highest level that may be chosen.
    """
    level = LEVELS[0]
    for candidate, value in list(zip(LEVELS, losses, strict=True))[: most + 1]:
        if value > bearable * losses[0]:
            break
        level = candidate
    return level
