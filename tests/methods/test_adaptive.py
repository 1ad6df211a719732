"""Adaptive augmentation: the choice of the level, and its use in training."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import losses, training
from labkit.augment import Strength
from labkit.batches import Batches
from labkit.methods import adaptive
from labkit.methods.adaptive import LEVELS, Adaptive, choose_level, losses_by_level

pytestmark = pytest.mark.usefixtures("eager")
SETTINGS = {"loss": losses.CrossEntropy(), "max_loss_ratio": 1.25}


class ConstantModel:
    """Predicts the same logits for every pixel of every image."""

    def predict_on_batch(self, images):
        return np.zeros((*np.shape(images)[:3], 3), "float32")


class BrightnessModel(ConstantModel):
    """Predicts every pixel correctly while the brightness of the images is unchanged."""

    def predict_on_batch(self, images):
        gray = np.asarray(images).mean(-1, keepdims=True)
        error = abs(gray - 100) / 20
        return np.concatenate([-error, error, 0 * error - 9], axis=-1).astype("float32")


def make_batches(make_split, **options):
    return Batches(make_split(8), 4, seed=0, augmented=True, **options)


def make_callback(train_ds, **options):
    return Adaptive(train_ds, train_ds.split.images, train_ds.split.masks, **SETTINGS | options)


@given(values=st.lists(st.floats(0.01, 10), min_size=len(LEVELS), max_size=len(LEVELS)))
def test_choose_level_is_last_bearable_level(values):
    level = choose_level(values, 1.25)
    chosen = LEVELS.index(level)
    assert max(values[: chosen + 1]) <= 1.25 * values[0]
    if chosen + 1 < len(LEVELS):
        assert values[chosen + 1] > 1.25 * values[0]


def test_choose_level_rises_at_most_one_level_per_epoch():
    level_losses = [1.0] * len(LEVELS)
    assert [choose_level(level_losses, max_index=epoch) for epoch in range(7)] == [
        *LEVELS,
        LEVELS[-1],
        LEVELS[-1],
    ]


def test_losses_by_level_of_constant_model(make_split):
    split = make_split(4)
    level_losses = losses_by_level(
        ConstantModel(), split.images, split.masks, losses.CrossEntropy()
    )
    np.testing.assert_allclose(level_losses, np.log(3), rtol=1e-5)


def test_losses_by_level_of_sensitive_model():
    images, masks = np.full((4, 8, 8, 3), 100, "uint8"), np.zeros((4, 8, 8, 1), "uint8")
    level_losses = losses_by_level(BrightnessModel(), images, masks, losses.CrossEntropy())
    assert np.all(np.diff(level_losses) > 0.1)
    assert choose_level(level_losses) == 0


def test_level_is_set_before_epoch_and_recorded(make_split, folders, tiny_unet):
    train_ds = make_batches(make_split)
    options = {
        "optimizer": keras.optimizers.SGD(0.0),
        "callbacks": [make_callback(train_ds, max_loss_ratio=99)],
    }
    run = training.train(tiny_unet(image_size=8), train_ds, epochs=3, name="a", **options)
    assert run.history["level"] == [0.0, 0.5, 1.0]
    assert train_ds.level == 1.0


def test_interrupted_training_resumes_with_same_levels(make_split, folders, tiny_unet):
    def run(name, *extra_callbacks):
        train_ds = make_batches(make_split)
        callbacks = [make_callback(train_ds), *extra_callbacks]
        return training.train(
            tiny_unet(image_size=8), train_ds, epochs=3, name=name, callbacks=callbacks
        )

    def stop(epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt

    uninterrupted = run("uninterrupted").history
    with pytest.raises(KeyboardInterrupt):
        run("interrupted", keras.callbacks.LambdaCallback(on_epoch_begin=stop))
    resumed = run("interrupted").history
    assert resumed["level"] == uninterrupted["level"]
    np.testing.assert_allclose(resumed["loss"], uninterrupted["loss"], rtol=1e-5)


def test_adaptation_settings_change_run_folder(make_split, folders, tiny_unet):
    def folder(values):
        train_ds = make_batches(make_split)
        callbacks = [make_callback(train_ds, max_loss_ratio=value) for value in values]
        return training.train(
            tiny_unet(image_size=8), train_ds, epochs=1, name="a", callbacks=callbacks
        ).folder

    assert len({folder([]), folder([1.1]), folder([1.5])}) == 3
    assert folder([1.1]) == folder([1.1])


def test_batches_are_augmented_by_level(make_split):
    train_ds = make_batches(make_split)
    train_ds.level = 0.0
    images, masks = train_ds[0]
    order = np.random.default_rng([0, 0]).permutation(8)[:4]
    np.testing.assert_allclose(images, train_ds.split.images[order], atol=1e-3)
    train_ds.level = 2.0
    assert abs(np.asarray(train_ds[0][0]) - np.asarray(images)).max() > 1


def test_batches_accept_strength(make_split):
    unchanged = Batches(make_split(4), 4, seed=0, augmented=Strength().scaled(0))
    plain = Batches(make_split(4), 4, seed=0)
    np.testing.assert_allclose(unchanged[0][0], plain[0][0], atol=1e-3)


def test_unaugmented_batches_raise(make_split):
    with pytest.raises(ValueError, match="train_ds is not augmented"):
        make_callback(Batches(make_split(4), 4, seed=0))


def test_bearable_below_1_raises(make_split):
    with pytest.raises(ValueError, match="max_loss_ratio is 0.5: use 1"):
        make_callback(make_batches(make_split), max_loss_ratio=0.5)


def test_levels_are_sorted_and_valid():
    assert LEVELS[0] == 0 and list(LEVELS) == sorted(set(LEVELS))
    assert [Strength().scaled(level).zoom for level in adaptive.LEVELS][-1] < 1
