"""Adaptive augmentation: as strong as the network tolerates.

Before each epoch the loss is measured on a few train images, unchanged and augmented at rising
levels. The epoch uses the highest level whose loss is not much larger than that of the unchanged
images. The highest level allowed rises by one each epoch, since an untrained network has the same
loss at every level.

Raising the difficulty as the network copes is the idea of automatic domain randomization
(OpenAI et al. 2019, arXiv:1910.07113); setting it by a measurement during training, that of
adaptive discriminator augmentation (Karras et al. 2020, arXiv:2006.06676).
"""

import keras
from keras import ops

from labkit.augment import Strength, augment

LEVELS = (0.0, 0.5, 1.0, 1.5, 2.0)  # factors for the ranges of ``augment.Strength``
MAX_LOSS_RATIO = 1.25  # largest tolerated loss, as a multiple of the loss of unchanged images


class Adaptive(keras.callbacks.Callback):
    """Sets ``train_ds.level`` at the start of each epoch and adds ``level`` to the history.

    The level depends only on the weights and the epoch, so a resumed training gets the same levels
    as an uninterrupted one.

    Args:
        train_ds: the augmented ``labkit.batches.Batches`` of the training.
        images, masks: one batch of train images to measure with, uint8 ``[N, S, S, 3]`` and
            ``[N, S, S, 1]``.
        loss: a loss on logits.
        max_loss_ratio: largest tolerated loss of augmented images, as a multiple of the loss of
            unchanged ones.
    """

    def __init__(self, train_ds, images, masks, loss, max_loss_ratio=MAX_LOSS_RATIO):
        if not train_ds.augmented:
            raise ValueError("train_ds is not augmented: make it with Batches(..., augmented=True)")
        if max_loss_ratio < 1:
            raise ValueError(
                f"max_loss_ratio is {max_loss_ratio}: use 1 (no extra loss) or a larger number"
            )
        super().__init__()
        self.train_ds, self.images, self.masks = train_ds, images, masks
        self.loss, self.max_loss_ratio = loss, max_loss_ratio

    def on_epoch_begin(self, epoch, logs=None):
        strength = self.train_ds.augmented
        losses = losses_by_level(
            self.model, self.images, self.masks, self.loss, strength, seed=epoch
        )
        self.train_ds.level = choose_level(losses, self.max_loss_ratio, max_index=epoch)

    def on_epoch_end(self, epoch, logs=None):
        logs["level"] = self.train_ds.level


def losses_by_level(model, images, masks, loss, strength=Strength(), seed=0):
    """Loss of one batch at each of ``LEVELS``: the same random changes at growing strength."""
    losses = []
    for level in LEVELS:
        augmented, moved_masks = augment(images, masks, seed, strength.scaled(level))
        logits = ops.convert_to_tensor(model.predict_on_batch(augmented))
        losses.append(float(ops.mean(loss(moved_masks, logits))))
    return losses


def choose_level(losses, max_loss_ratio=MAX_LOSS_RATIO, max_index=len(LEVELS)):
    """The last of ``LEVELS`` before the first one whose loss is too large.

    Args:
        losses: one per level.
        max_loss_ratio: largest tolerated loss, as a multiple of the first.
        max_index: index of the highest level allowed.
    """
    level = LEVELS[0]
    for candidate, value in list(zip(LEVELS, losses, strict=True))[: max_index + 1]:
        if value > max_loss_ratio * losses[0]:
            break
        level = candidate
    return level
