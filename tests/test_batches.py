"""Batches: what they hold depends on the seed, the epoch and their number alone."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from labkit.batches import Batches


def numbers(images):
    """Which images of ``make_split`` these are."""
    return np.asarray(images)[:, 0, 0, 0].tolist()


def order(batches):
    """Which images an epoch shows, batch by batch."""
    return [numbers(batches[index][0]) for index in range(len(batches))]


def flat(lists):
    return [number for part in lists for number in part]


@settings(deadline=None, max_examples=50)
@given(
    count=st.integers(1, 50),
    batch_size=st.integers(1, 60),
    seed=st.none() | st.integers(0, 2**32),
    epoch=st.integers(0, 30),
)
def test_an_epoch_shows_each_image_once(make_split, count, batch_size, seed, epoch):
    batches = Batches(make_split(count, 2), batch_size, seed)
    batches.epoch = epoch
    shown = order(batches)
    assert sorted(flat(shown)) == list(range(count))
    assert [len(part) for part in shown[:-1]] == [batch_size] * (len(shown) - 1)
    assert 1 <= len(shown[-1]) <= batch_size


@pytest.mark.parametrize("augmented", [False, True])
def test_images_and_masks_belong_together(make_split, augmented):
    split = make_split(10)
    for images, masks in Batches(split, 4, seed=0):
        assert masks[:, 0, 0, 0].tolist() == [number % 3 for number in numbers(images)]
    images, masks = Batches(split, 4, seed=0, augmented=augmented)[2]
    assert np.shape(images) == (2, 8, 8, 3) and np.shape(masks) == (2, 8, 8, 1)
    assert keras.backend.standardize_dtype(masks.dtype) == "uint8"


def test_without_a_seed_the_splits_order_is_kept(make_split):
    batches = Batches(make_split(5), 2)
    assert order(batches) == [[0, 1], [2, 3], [4]]
    batches.on_epoch_end()
    assert order(batches) == [[0, 1], [2, 3], [4]]


def test_a_seed_shuffles_and_another_one_shuffles_otherwise(make_split):
    orders = [flat(order(Batches(make_split(30), 8, seed=seed))) for seed in (None, 0, 1, 2)]
    assert len(set(map(tuple, orders))) == 4


def test_each_epoch_has_an_order_of_its_own_and_comes_back_to_it(make_split):
    batches = Batches(make_split(30), 8, seed=0)
    orders = []
    for _ in range(4):
        orders.append(order(batches))
        batches.on_epoch_end()
    assert len({tuple(flat(one)) for one in orders}) == 4
    later = Batches(make_split(30), 8, seed=0)
    later.epoch = 2  # as after an interruption
    assert order(later) == orders[2]


@pytest.mark.parametrize("augmented", [False, True])
def test_a_batch_does_not_depend_on_those_asked_for_before(make_split, augmented):
    forwards, backwards = (Batches(make_split(10), 4, 3, augmented) for _ in range(2))
    first = [forwards[index] for index in (0, 1, 2)]
    second = [backwards[index] for index in (2, 1, 0)][::-1]
    for one, other in zip(first, second, strict=True):
        for part, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, same)


def test_augmentation_differs_by_seed_epoch_and_batch(make_split):
    split = make_split(1, 16)
    split.images[:, ::3, ::2] = 200  # a pattern that can't be moved without a trace
    doubled = split.select([0, 0])
    seen = set()
    for seed in (0, 1):
        batches = Batches(doubled, 1, seed, augmented=True)
        for epoch in (0, 1):
            batches.epoch = epoch
            seen |= {ops.convert_to_numpy(batches[index][0]).tobytes() for index in (0, 1)}
    assert len(seen) == 8


def test_the_split_is_left_alone(make_split):
    split = make_split(6)
    for images, _ in Batches(split, 3):
        images += 1
    np.testing.assert_array_equal(split.images, make_split(6).images)


def recording_model(seen):
    """A model whose loss notes which images' masks it was given; masks stand for images here."""

    def loss(y_true, y_pred):
        seen.append(ops.convert_to_numpy(y_true)[:, 0, 0, 0].astype(int).tolist())
        return ops.mean(y_pred)

    inputs = keras.Input((2, 2, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(1, 1)(inputs))
    model.compile("sgd", loss, run_eagerly=True)
    return model


def numbered(make_split, count):
    split = make_split(count, 2)
    split.masks[:] = split.images[..., :1]
    return split


def fitted(split, done, epochs):
    """What ``fit`` shows a model, epoch by epoch, when it goes on after ``done`` epochs."""
    batches, seen = Batches(split, 3, seed=5), []
    batches.epoch = done
    options = {"initial_epoch": done, "epochs": epochs, "shuffle": False, "verbose": 0}
    recording_model(seen).fit(batches, **options)
    return [seen[first : first + 3] for first in range(0, len(seen), 3)]


def test_fit_shows_one_epoch_after_the_other(make_split):
    split = numbered(make_split, 7)
    batches, orders = Batches(split, 3, seed=5), []
    for _ in range(5):
        orders.append(order(batches))
        batches.on_epoch_end()
    shown = [orders.index(epoch) for epoch in fitted(split, 0, 3)]
    assert shown == list(range(shown[0], shown[0] + 3))


def test_fit_goes_on_after_an_interruption_as_if_there_had_been_none(make_split):
    split = numbered(make_split, 7)
    assert fitted(split, 1, 3) == fitted(split, 0, 3)[1:]


def test_evaluate_gets_the_splits_order_with_its_last_part(make_split):
    seen = []
    recording_model(seen).evaluate(Batches(numbered(make_split, 5), 2), verbose=0)
    assert seen == [[0, 1], [2, 3], [4]]


def test_validation_data_keeps_its_order_in_every_epoch(make_split):
    seen = []
    split = numbered(make_split, 3)
    recording_model(seen).fit(
        Batches(split, 3), validation_data=Batches(split, 2), epochs=2, shuffle=False, verbose=0
    )
    assert seen == [[0, 1, 2], [0, 1], [2]] * 2


def test_predict_gives_a_row_for_each_image(make_split):
    split = numbered(make_split, 5)
    inputs = keras.Input((2, 2, 3))
    model = keras.Model(inputs, keras.layers.Identity()(inputs))
    predicted = model.predict(Batches(split, 2), verbose=0)
    np.testing.assert_array_equal(predicted, split.images)


@pytest.mark.parametrize("index", [-1, 3, 100])
def test_a_batch_that_is_not_there_is_named(make_split, index):
    with pytest.raises(IndexError, match=f"batch {index} of 3: use 0 to 2"):
        Batches(make_split(5), 2)[index]


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, "8", None])
def test_a_bad_batch_size_is_named(make_split, batch_size):
    with pytest.raises(ValueError, match=f"batch_size is {batch_size!r}: use a whole number"):
        Batches(make_split(5), batch_size)


def test_augmentation_without_a_seed_is_refused(make_split):
    with pytest.raises(ValueError, match="give a seed, such as seed=0"):
        Batches(make_split(5), augmented=True)


def test_an_empty_split_is_refused(make_split):
    with pytest.raises(ValueError, match="the split is empty"):
        Batches(make_split(0))


def test_a_negative_seed_is_refused(make_split):
    with pytest.raises(ValueError, match="seed is -1: use a whole number from 0 up"):
        Batches(make_split(3), seed=-1)
