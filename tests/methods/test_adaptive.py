"""Adaptive augmentation: the level that a network can bear."""

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


class Constant:
    """A model that gives the same logits for each pixel, whatever it sees."""

    def predict_on_batch(self, images):
        return np.zeros((*np.shape(images)[:3], 3), "float32")


class Bright(Constant):
    """A model that is right about each pixel as long as no image's brightness has changed."""

    def predict_on_batch(self, images):
        grey = np.asarray(images).mean(-1, keepdims=True)
        wrong = abs(grey - 100) / 20
        return np.concatenate([-wrong, wrong, 0 * wrong - 9], axis=-1).astype("float32")


def batches(make_split, **options):
    return Batches(make_split(8), 4, seed=0, augmented=True, **options)


def start(train_ds, **options):
    return Adaptive(train_ds, train_ds.split.images, train_ds.split.masks, **SETTINGS | options)


@given(values=st.lists(st.floats(0.01, 10), min_size=len(LEVELS), max_size=len(LEVELS)))
def test_no_level_up_to_the_highest_is_unbearable(values):
    level = choose_level(values, 1.25)
    chosen = LEVELS.index(level)
    assert max(values[: chosen + 1]) <= 1.25 * values[0]
    if chosen + 1 < len(LEVELS):
        assert values[chosen + 1] > 1.25 * values[0]


def test_an_epoch_can_go_no_more_than_one_level_up():
    easy = [1.0] * len(LEVELS)
    assert [choose_level(easy, max_index=epoch) for epoch in range(7)] == [
        *LEVELS,
        LEVELS[-1],
        LEVELS[-1],
    ]


def test_a_network_that_does_not_look_bears_everything(make_split):
    split = make_split(4)
    found = losses_by_level(Constant(), split.images, split.masks, losses.CrossEntropy())
    np.testing.assert_allclose(found, np.log(3), rtol=1e-5)


def test_a_network_that_minds_has_more_loss_at_each_level():
    images, masks = np.full((4, 8, 8, 3), 100, "uint8"), np.zeros((4, 8, 8, 1), "uint8")
    found = losses_by_level(Bright(), images, masks, losses.CrossEntropy())
    assert np.all(np.diff(found) > 0.1)
    assert choose_level(found) == 0


def test_the_level_is_set_before_the_epoch_and_kept_in_the_history(make_split, folders, tiny_unet):
    train_ds = batches(make_split)
    options = {
        "optimizer": keras.optimizers.SGD(0.0),
        "callbacks": [start(train_ds, max_loss_ratio=99)],
    }
    run = training.train(tiny_unet(image_size=8), train_ds, epochs=3, name="a", **options)
    assert run.history["level"] == [0.0, 0.5, 1.0]
    assert train_ds.level == 1.0


def test_an_interrupted_training_has_the_levels_of_a_whole_one(make_split, folders, tiny_unet):
    def run(name, *more):
        train_ds = batches(make_split)
        callbacks = [start(train_ds), *more]
        return training.train(
            tiny_unet(image_size=8), train_ds, epochs=3, name=name, callbacks=callbacks
        )

    def stop(epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt

    whole = run("whole").history
    with pytest.raises(KeyboardInterrupt):
        run("broken", keras.callbacks.LambdaCallback(on_epoch_begin=stop))
    again = run("broken").history
    assert again["level"] == whole["level"]
    np.testing.assert_allclose(again["loss"], whole["loss"], rtol=1e-5)


def test_another_adaptation_is_another_training(make_split, folders, tiny_unet):
    def folder(callbacks):
        train_ds = batches(make_split)
        made = [start(train_ds, max_loss_ratio=value) for value in callbacks]
        return training.train(
            tiny_unet(image_size=8), train_ds, epochs=1, name="a", callbacks=made
        ).folder

    assert len({folder([]), folder([1.1]), folder([1.5])}) == 3
    assert folder([1.1]) == folder([1.1])


def test_batches_go_as_far_as_their_level(make_split):
    train_ds = batches(make_split)
    train_ds.level = 0.0
    images, masks = train_ds[0]
    order = np.random.default_rng([0, 0]).permutation(8)[:4]
    np.testing.assert_allclose(images, train_ds.split.images[order], atol=1e-3)
    train_ds.level = 2.0
    assert abs(np.asarray(train_ds[0][0]) - np.asarray(images)).max() > 1


def test_batches_take_a_strength_of_their_own(make_split):
    still = Batches(make_split(4), 4, seed=0, augmented=Strength().scaled(0))
    plain = Batches(make_split(4), 4, seed=0)
    np.testing.assert_allclose(still[0][0], plain[0][0], atol=1e-3)


def test_batches_that_are_not_augmented_are_refused(make_split):
    with pytest.raises(ValueError, match="train_ds is not augmented"):
        start(Batches(make_split(4), 4, seed=0))


def test_less_than_no_extra_loss_is_refused(make_split):
    with pytest.raises(ValueError, match="max_loss_ratio is 0.5: use 1"):
        start(batches(make_split), max_loss_ratio=0.5)


def test_every_level_is_possible():
    assert LEVELS[0] == 0 and list(LEVELS) == sorted(set(LEVELS))
    assert [Strength().scaled(level).zoom for level in adaptive.LEVELS][-1] < 1
