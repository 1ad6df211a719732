"""A small training, for the tests of ``training`` and ``runs``."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from labkit import data, training
from labkit.batches import Batches
from labkit.runs.folder import runs_folder

EPOCHS, SIZE = 3, 16


def random_split(count=12, seed=0):
    """Random colors; the mask is a function of the red channel, so it can be learned."""
    images = np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)
    names = np.array([f"pet_{number}" for number in range(count)])
    return data.Split(images, images[..., :1] // 86, {"name": names})


def tiny_model(seed=0, extra=(), **options):
    """A model of two convolutions; ``extra`` layers stand between them."""
    start = keras.initializers.GlorotUniform(seed)
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.Rescaling(1 / 127.5, -1),
            layers.Conv2D(4, 3, padding="same", kernel_initializer=start),
            layers.BatchNormalization(),  # its averages must survive an interruption too
            *extra,
            layers.Conv2D(3, 1, **{"kernel_initializer": start, "dtype": "float32", **options}),
        ]
    )


def train(model=None, augmented=False, **options):
    """A small training; equal arguments give the same training."""
    train_ds = Batches(random_split(), 7, seed=3, augmented=augmented)
    defaults = {"val_ds": Batches(random_split(4, seed=1), 4), "epochs": EPOCHS, "name": "tiny"}
    return training.train(model or tiny_model(), train_ds, **{**defaults, **options})


def outcome(model, run):
    """Weights, and history without the seconds."""
    return model.get_weights(), {k: v for k, v in run.history.items() if k != "seconds"}


def assert_outcomes_equal(actual, expected):
    for mine, theirs in zip(actual[0], expected[0], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)
    assert actual[1].keys() == expected[1].keys()
    for key, values in actual[1].items():
        np.testing.assert_allclose(values, expected[1][key], rtol=1e-5, atol=1e-6, err_msg=key)


class Interrupt(keras.callbacks.Callback):
    """Raises KeyboardInterrupt after a batch of an epoch, once."""

    def __init__(self):
        super().__init__()
        self.at = None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise KeyboardInterrupt


def interrupted_run(epoch, batch, callbacks=(), run=train, **options):
    """Folder of a training that was interrupted there."""
    with pytest.MonkeyPatch.context() as patch:
        fit = keras.Model.fit

        def interrupted_fit(self, *args, callbacks, **rest):
            stop = Interrupt()
            stop.at = epoch, batch
            return fit(self, *args, callbacks=[*callbacks, stop], **rest)

        patch.setattr(keras.Model, "fit", interrupted_fit)
        with pytest.raises(KeyboardInterrupt):
            run(callbacks=callbacks, **options)
    (folder,) = runs_folder().iterdir()
    return folder


def seconds(folder):
    """Seconds of each saved epoch: those of a training from the start would be others."""
    kept = json.loads((folder / "history.json").read_text())["history"].get("seconds")
    assert kept, "no epoch was saved"
    return kept
