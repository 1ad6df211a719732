"""Batches: order, augmentation, use in Keras and errors."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from labkit.batches import Batches


def image_numbers(images):
    """Numbers of these images of ``make_split``."""
    return np.asarray(images)[:, 0, 0, 0].tolist()


def epoch_order(batches):
    """Image numbers of each batch of an epoch."""
    return [image_numbers(batches[index][0]) for index in range(len(batches))]


def flatten(lists):
    return [number for part in lists for number in part]


@settings(deadline=None, max_examples=50)
@given(
    count=st.integers(1, 50),
    batch_size=st.integers(1, 60),
    seed=st.none() | st.integers(0, 2**32),
    epoch=st.integers(0, 30),
)
def test_epoch_contains_each_image_once(make_split, count, batch_size, seed, epoch):
    batches = Batches(make_split(count, 2), batch_size, seed)
    batches.epoch = epoch
    shown = epoch_order(batches)
    assert sorted(flatten(shown)) == list(range(count))
    assert [len(part) for part in shown[:-1]] == [batch_size] * (len(shown) - 1)
    assert 1 <= len(shown[-1]) <= batch_size


@pytest.mark.parametrize("augmented", [False, True])
def test_images_and_masks_are_aligned(make_split, augmented):
    split = make_split(10)
    for images, masks in Batches(split, 4, seed=0):
        assert masks[:, 0, 0, 0].tolist() == [number % 3 for number in image_numbers(images)]
    images, masks = Batches(split, 4, seed=0, augmented=augmented)[2]
    assert np.shape(images) == (2, 8, 8, 3) and np.shape(masks) == (2, 8, 8, 1)
    assert keras.backend.standardize_dtype(masks.dtype) == "uint8"


def test_no_seed_keeps_split_order(make_split):
    batches = Batches(make_split(5), 2)
    assert epoch_order(batches) == [[0, 1], [2, 3], [4]]
    batches.on_epoch_end()
    assert epoch_order(batches) == [[0, 1], [2, 3], [4]]


def test_seeds_give_different_orders(make_split):
    orders = [
        flatten(epoch_order(Batches(make_split(30), 8, seed=seed))) for seed in (None, 0, 1, 2)
    ]
    assert len(set(map(tuple, orders))) == 4


def test_epoch_orders_differ_and_are_reproducible(make_split):
    batches = Batches(make_split(30), 8, seed=0)
    orders = []
    for _ in range(4):
        orders.append(epoch_order(batches))
        batches.on_epoch_end()
    assert len({tuple(flatten(shown)) for shown in orders}) == 4
    later = Batches(make_split(30), 8, seed=0)
    later.epoch = 2  # as after an interruption
    assert epoch_order(later) == orders[2]


@pytest.mark.parametrize("augmented", [False, True])
def test_batch_is_independent_of_access_order(make_split, augmented):
    forwards, backwards = (Batches(make_split(10), 4, 3, augmented) for _ in range(2))
    first = [forwards[index] for index in (0, 1, 2)]
    second = [backwards[index] for index in (2, 1, 0)][::-1]
    for batch, same_batch in zip(first, second, strict=True):
        for part, same_part in zip(batch, same_batch, strict=True):
            np.testing.assert_array_equal(part, same_part)


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


def test_split_is_not_modified(make_split):
    split = make_split(6)
    for images, _ in Batches(split, 3):
        images += 1
    np.testing.assert_array_equal(split.images, make_split(6).images)


def recording_model(seen):
    """A model whose loss records the masks' values: image numbers, see ``numbered_split``."""

    def loss(y_true, y_pred):
        seen.append(ops.convert_to_numpy(y_true)[:, 0, 0, 0].astype(int).tolist())
        return ops.mean(y_pred)

    inputs = keras.Input((2, 2, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(1, 1)(inputs))
    model.compile("sgd", loss, run_eagerly=True)
    return model


def numbered_split(make_split, count):
    """A split whose masks hold the image numbers."""
    split = make_split(count, 2)
    split.masks[:] = split.images[..., :1]
    return split


def fit_orders(split, done, epochs):
    """Image numbers that ``fit`` uses in each epoch when it resumes after ``done`` epochs."""
    batches, seen = Batches(split, 3, seed=5), []
    batches.epoch = done
    options = {"initial_epoch": done, "epochs": epochs, "shuffle": False, "verbose": 0}
    recording_model(seen).fit(batches, **options)
    return [seen[first : first + 3] for first in range(0, len(seen), 3)]


def test_fit_uses_consecutive_epochs(make_split):
    split = numbered_split(make_split, 7)
    batches, orders = Batches(split, 3, seed=5), []
    for _ in range(5):
        orders.append(epoch_order(batches))
        batches.on_epoch_end()
    shown = [orders.index(epoch) for epoch in fit_orders(split, 0, 3)]
    assert shown == list(range(shown[0], shown[0] + 3))


def test_resumed_fit_uses_same_batches(make_split):
    split = numbered_split(make_split, 7)
    assert fit_orders(split, 1, 3) == fit_orders(split, 0, 3)[1:]


def test_evaluate_keeps_order_and_last_batch(make_split):
    seen = []
    recording_model(seen).evaluate(Batches(numbered_split(make_split, 5), 2), verbose=0)
    assert seen == [[0, 1], [2, 3], [4]]


def test_validation_data_keeps_order(make_split):
    seen = []
    split = numbered_split(make_split, 3)
    recording_model(seen).fit(
        Batches(split, 3), validation_data=Batches(split, 2), epochs=2, shuffle=False, verbose=0
    )
    assert seen == [[0, 1, 2], [0, 1], [2]] * 2


def test_predict_returns_row_per_image(make_split):
    split = numbered_split(make_split, 5)
    inputs = keras.Input((2, 2, 3))
    model = keras.Model(inputs, keras.layers.Identity()(inputs))
    predicted = model.predict(Batches(split, 2), verbose=0)
    np.testing.assert_array_equal(predicted, split.images)


@pytest.mark.parametrize("index", [-1, 3, 100])
def test_index_out_of_range_raises(make_split, index):
    with pytest.raises(IndexError, match=f"batch {index} of 3: use 0 to 2"):
        Batches(make_split(5), 2)[index]


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, "8", None])
def test_invalid_batch_size_raises(make_split, batch_size):
    with pytest.raises(ValueError, match=f"batch_size is {batch_size!r}: use a whole number"):
        Batches(make_split(5), batch_size)


def test_augmentation_without_seed_raises(make_split):
    with pytest.raises(ValueError, match="give a seed, such as seed=0"):
        Batches(make_split(5), augmented=True)


def test_empty_split_raises(make_split):
    with pytest.raises(ValueError, match="the split is empty"):
        Batches(make_split(0))


def test_negative_seed_raises(make_split):
    with pytest.raises(ValueError, match="seed is -1: use a whole number from 0 up"):
        Batches(make_split(3), seed=-1)
