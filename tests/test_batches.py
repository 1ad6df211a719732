"""Batches: order, augmentation, use in Keras and errors."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from labkit.batches import Batches


def epoch_order(batches):
    """The numbers of the images of ``make_split`` in each batch of an epoch."""
    return [np.asarray(images)[:, 0, 0, 0].tolist() for images, _ in batches]


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
    assert sorted(sum(shown, [])) == list(range(count))
    assert [len(part) for part in shown[:-1]] == [batch_size] * (len(shown) - 1)
    assert 1 <= len(shown[-1]) <= batch_size


def test_images_and_masks_are_aligned_and_split_is_not_modified(make_split):
    split = make_split(10)
    for images, masks in Batches(split, 4, seed=0):
        np.testing.assert_array_equal(masks, images[..., :1] % 3)
        images += 1
    np.testing.assert_array_equal(split.images, make_split(10).images)
    images, masks = Batches(split, 4, seed=0, augmented=True)[2]
    assert np.shape(images) == (2, 8, 8, 3) and np.shape(masks) == (2, 8, 8, 1)
    assert keras.backend.standardize_dtype(masks.dtype) == "uint8"


def test_orders_differ_by_seed_and_epoch_and_are_reproducible(make_split):
    orders = []
    for seed in (0, 1, 2):
        batches = Batches(make_split(30), 30, seed)
        for _ in range(3):
            orders.append(epoch_order(batches)[0])
            batches.on_epoch_end()
    assert len(set(map(tuple, [range(30), *orders]))) == 10
    later = Batches(make_split(30), 30, seed=1)
    later.epoch = 2  # as after an interruption
    assert epoch_order(later) == [orders[5]]
    unshuffled = Batches(make_split(5), 2)
    for _ in range(2):
        assert epoch_order(unshuffled) == [[0, 1], [2, 3], [4]]
        unshuffled.on_epoch_end()


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
    seen = set()
    for seed in (0, 1):
        batches = Batches(split.select([0, 0]), 1, seed, augmented=True)
        for epoch in (0, 1):
            batches.epoch = epoch
            seen |= {ops.convert_to_numpy(batches[index][0]).tobytes() for index in (0, 1)}
    assert len(seen) == 8


# --- use in Keras --------------------------------------------------------------------------------


def fit_orders(split, done, epochs):
    """Numbers of the train and validation images in the batches of each epoch of ``fit``, when it
    resumes after ``done`` epochs. The masks of the split hold the numbers."""
    seen = []

    def loss(y_true, y_pred):
        seen.append(ops.convert_to_numpy(y_true)[:, 0, 0, 0].astype(int).tolist())
        return ops.mean(y_pred)

    model = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Conv2D(1, 1)])
    model.compile("sgd", loss, run_eagerly=True)
    train, val = Batches(split, 3, seed=5), Batches(split, 4)
    train.epoch = done
    options = {"initial_epoch": done, "epochs": epochs, "shuffle": False, "verbose": 0}
    model.fit(train, validation_data=val, **options)
    return [
        (seen[first : first + 3], seen[first + 3 : first + 5]) for first in range(0, len(seen), 5)
    ]


def test_fit_uses_consecutive_epochs_and_validation_keeps_order(make_split):
    split = make_split(7, 2)
    split.masks[:] = split.images[..., :1]
    batches, orders = Batches(split, 3, seed=5), []
    for _ in range(5):
        orders.append(epoch_order(batches))
        batches.on_epoch_end()
    fitted = fit_orders(split, 0, 3)
    shown = [orders.index(train) for train, _ in fitted]
    assert shown == list(range(shown[0], shown[0] + 3))
    assert all(val == [[0, 1, 2, 3], [4, 5, 6]] for _, val in fitted)
    assert fit_orders(split, 1, 3) == fitted[1:]  # resumed after an epoch


# --- invalid arguments ---------------------------------------------------------------------------


@pytest.mark.parametrize("index", [-1, 3, 100])
def test_index_out_of_range_raises(make_split, index):
    with pytest.raises(IndexError, match=f"batch {index} of 3: use 0 to 2"):
        Batches(make_split(5), 2)[index]


@pytest.mark.parametrize(
    ("count", "options", "match"),
    [
        *((5, {"batch_size": size}, f"batch_size is {size!r}") for size in (0, -1, 2.0, "8", None)),
        (5, {"augmented": True}, "give a seed"),
        (5, {"seed": -1}, "seed is -1"),
        (0, {}, "the split is empty"),
    ],
)
def test_invalid_arguments_raise(make_split, count, options, match):
    with pytest.raises(ValueError, match=match):
        Batches(make_split(count), **options)


FAULTS = """
import resource
import subprocess
import sys

import keras
import numpy as np
from labkit import data
from labkit.batches import Batches

keras.config.disable_traceback_filtering()
images = np.zeros((4, 8, 8, 3), "uint8")
split = data.Split(images, images[..., :1], {})
model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 1)])
model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(Batches(split, 1, seed=0), verbose=0)


def touch():
    np.ones(1 << 20, "uint8")  # 1 MB: 256 pages


touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the setting is that of Linux")
@pytest.mark.slow
def test_freed_memory_is_kept_after_training():
    """Page faults of 100 arrays of 1 MB: each would have 256."""
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True)
    assert int(done.stdout) < 5000, done.stderr
