"""Adaptive augmentation: the choice of the level, and its use in training."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import losses, training
from labkit.augment import Strength
from labkit.batches import Batches
from labkit.methods.adaptive import LEVELS, Adaptive, choose_level, losses_by_level
from tests.trainings import interrupted_run

pytestmark = pytest.mark.usefixtures("eager")


class BrightnessModel:
    """Predicts class 0, with less confidence where the brightness is not 100."""

    def __init__(self, sensitivity):
        self.sensitivity = sensitivity

    def predict_on_batch(self, images):
        gray = np.asarray(images).mean(-1, keepdims=True)
        error = self.sensitivity * abs(gray - 100)
        return np.concatenate([-error, error, 0 * error - 9], axis=-1).astype("float32")


@pytest.fixture
def train_ds(make_split):
    return Batches(make_split(8), 4, seed=0, augmented=True)


def make_callback(train_ds, max_loss_ratio=1.25):
    images, masks = train_ds.split.images, train_ds.split.masks
    return Adaptive(train_ds, images, masks, losses.CrossEntropy(), max_loss_ratio)


@given(values=st.lists(st.floats(0.01, 10), min_size=len(LEVELS), max_size=len(LEVELS)))
def test_choose_level_is_last_bearable_level(values):
    chosen = LEVELS.index(choose_level(values, 1.25))
    assert max(values[: chosen + 1]) <= 1.25 * values[0]
    assert chosen + 1 == len(LEVELS) or values[chosen + 1] > 1.25 * values[0]


def test_choose_level_rises_at_most_one_level_per_epoch():
    chosen = [choose_level([1.0] * len(LEVELS), max_index=epoch) for epoch in range(7)]
    assert chosen == [*LEVELS, LEVELS[-1], LEVELS[-1]]


def test_losses_by_level_grow_with_sensitivity():
    images, masks = np.full((4, 8, 8, 3), 100, "uint8"), np.zeros((4, 8, 8, 1), "uint8")
    indifferent, sensitive = (
        losses_by_level(BrightnessModel(sensitivity), images, masks, losses.CrossEntropy())
        for sensitivity in (0, 1 / 20)
    )
    np.testing.assert_allclose(indifferent, np.log(2 + np.exp(-9)), rtol=1e-5)
    assert np.all(np.diff(sensitive) > 0.1) and choose_level(sensitive) == 0


def test_level_is_set_before_epoch_and_recorded(train_ds, folders, tiny_unet):
    options = {"optimizer": keras.optimizers.SGD(0.0), "callbacks": [make_callback(train_ds, 99)]}
    run = training.train(tiny_unet(image_size=8), train_ds, epochs=3, name="a", **options)
    assert run.history["level"] == [0.0, 0.5, 1.0]
    assert train_ds.level == 1.0


def test_interrupted_training_resumes_with_same_levels(make_split, folders, tiny_unet, capsys):
    def run(callbacks=(), name="interrupted"):
        train_ds = Batches(make_split(8), 4, seed=0, augmented=True)
        options = {"epochs": 3, "name": name, "callbacks": [make_callback(train_ds), *callbacks]}
        return training.train(tiny_unet(image_size=8), train_ds, **options)

    interrupted_run(1, 0, run=run)
    resumed = run().history
    assert "has 1 of 3 epochs: resuming" in capsys.readouterr().out
    uninterrupted = run(name="uninterrupted").history
    assert resumed["level"] == uninterrupted["level"]
    np.testing.assert_allclose(resumed["loss"], uninterrupted["loss"], rtol=1e-5)


def test_adaptation_settings_change_run_folder(train_ds, folders, tiny_unet):
    def folder(*ratios):
        callbacks = [make_callback(train_ds, ratio) for ratio in ratios]
        options = {"epochs": 1, "name": "a", "callbacks": callbacks}
        return training.train(tiny_unet(image_size=8), train_ds, **options).folder

    assert len({folder(), folder(1.1), folder(1.5), folder(1.1)}) == 3


def test_batches_are_augmented_by_level(train_ds):
    plain = Batches(train_ds.split, 4, seed=0)[0][0]
    default = np.asarray(train_ds[0][0])
    unchanged = Batches(train_ds.split, 4, seed=0, augmented=Strength().scaled(0))
    train_ds.level = 0.0
    for batches in (unchanged, train_ds):
        np.testing.assert_allclose(batches[0][0], plain, atol=1e-3)
    train_ds.level = 2.0
    for images in (plain, default):
        assert abs(np.asarray(train_ds[0][0]) - images).max() > 1


def test_invalid_arguments_raise(train_ds):
    with pytest.raises(ValueError, match="train_ds is not augmented"):
        make_callback(Batches(train_ds.split, 4, seed=0))
    with pytest.raises(ValueError, match="max_loss_ratio is 0.5"):
        make_callback(train_ds, 0.5)


def test_levels_are_sorted_and_valid():
    assert LEVELS[0] == 0 and list(LEVELS) == sorted(set(LEVELS))
    assert Strength().scaled(LEVELS[-1]).zoom < 1
