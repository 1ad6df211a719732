"""The identity of a training: what changes it, and what does not."""

import importlib.util
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from labkit import data, losses, training
from labkit.analysis import probes
from labkit.augment import Strength
from labkit.batches import Batches
from labkit.runs import identity
from labkit.runs.identity import Identity
from tests.trainings import SIZE, random_split, tiny_model

LOSS = """
import helpers
FACTOR = 2.0

def scale(x):
    return FACTOR * x

def loss(y_true, y_pred, power=1):
    inner = lambda x: scale(x)
    return helpers.shift(inner(y_pred[..., :1])) ** power

class Loss:
    bias = 1.0

    def __init__(self, weight=1.0):
        self.weight = weight

    def __call__(self, y_true, y_pred):
        return self.weight * loss(y_true, y_pred) + self.bias
"""
HELPERS = "def shift(x):\n    return x + 1.0\n"
LAYER = """
import keras

class Double(keras.layers.Layer):
    def call(self, x):
        return 2.0 * x
"""
CALLBACK = """
import keras

RESULTS = []

class Decay(keras.callbacks.Callback):
    def __init__(self, factor=0.5):
        super().__init__()
        self.factor = factor

    def on_epoch_end(self, epoch, logs=None):
        RESULTS.append(epoch)
        self.model.optimizer.learning_rate = 0.1 * self.factor

class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return 0.1

    def get_config(self):
        return {}
"""


def module(folder, code, name="own", **others):
    """A module of the user, with modules that it imports."""
    for other, text in others.items():
        sys.modules[other] = module(folder, text, other)
    file = folder / f"{name}.py"
    file.write_text(code)
    spec = importlib.util.spec_from_file_location(name, file)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded  # a class finds its file by the name of its module
    spec.loader.exec_module(loaded)
    import linecache

    linecache.checkcache(str(file))
    return loaded


@pytest.fixture(autouse=True)
def _modules(monkeypatch):
    """Forgets the user's modules after a test."""
    for name in ("own", "helpers"):
        monkeypatch.setitem(sys.modules, name, None)


def identify(model=None, train_ds=None, val_ds=None, epochs=3, optimizer=None, loss=None, **rest):
    train_ds = train_ds or Batches(random_split(), 7, seed=3)
    optimizer = optimizer or keras.optimizers.Adam()
    loss = loss or losses.CrossEntropy()
    callbacks = rest.get("callbacks", ())
    return Identity(model or tiny_model(), train_ds, val_ds, epochs, optimizer, loss, callbacks)


def code(**options):
    return identify(**options).code


def weighted_dice(weight):
    def loss(y_true, y_pred):
        return weight * losses.Dice()(y_true, y_pred)

    return loss


def decaying_adam(steps):
    return keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.01, steps, 0.7))


def frozen_model(bias):
    model = tiny_model()
    model.layers[1].trainable = False
    model.layers[1].bias.assign(model.layers[1].bias + bias)  # as if loaded from a file
    return model


def early_stopping(**options):
    return {"callbacks": [keras.callbacks.EarlyStopping("loss", **options)]}


def test_different_trainings_have_different_codes():
    split = random_split()
    redder, relabeled = split.images.copy(), split.masks.copy()
    redder[-1, -1, -1, -1] ^= 1
    relabeled[-2, 3, 3] = 2 - relabeled[-2, 3, 3]
    tversky = partial(losses.Tversky, 0.1)
    trainings = {
        "unchanged": {},
        "epochs": {"epochs": 4},
        "validation": {"val_ds": Batches(random_split(4, seed=1), 4)},
        "other validation": {"val_ds": Batches(random_split(4, seed=2), 4)},
        "seed": {"train_ds": Batches(split, 7, seed=4)},
        "batch size": {"train_ds": Batches(split, 4, seed=3)},
        "augmented": {"train_ds": Batches(split, 7, seed=3, augmented=True)},
        "strength": {"train_ds": Batches(split, 7, seed=3, augmented=Strength(zoom=0.05))},
        "fewer images": {"train_ds": Batches(split.select(slice(11)), 7, seed=3)},
        "a pixel": {"train_ds": Batches(data.Split(redder, split.masks, split.table), 7, seed=3)},
        "a label": {"train_ds": Batches(data.Split(split.images, relabeled, {}), 7, seed=3)},
        "layer's setting": {"model": tiny_model(use_bias=False)},
        "model's seed": {"model": tiny_model(seed=1)},
        "another layer": {"model": tiny_model(extra=[layers.ReLU()])},
        "frozen layer": {"model": frozen_model(0)},
        "frozen layer from a file": {"model": frozen_model(1)},
        "function in a layer": {"model": tiny_model(activation=lambda x: 2 * x)},
        "other function in a layer": {"model": tiny_model(activation=lambda x: 3 * x)},
        "optimizer": {"optimizer": keras.optimizers.SGD()},
        "rate": {"optimizer": keras.optimizers.Adam(0.1)},
        "schedule": {"optimizer": decaying_adam(3)},
        "schedule's steps": {"optimizer": decaying_adam(4)},
        "loss": {"loss": losses.Dice()},
        "loss's setting": {"loss": losses.Dice(smooth=2.0)},
        "partial": {"loss": tversky(0.2)},
        "sum": {"loss": losses.Sum([losses.CrossEntropy(), losses.Dice()], [1, 1])},
        "sum's weights": {"loss": losses.Sum([losses.CrossEntropy(), losses.Dice()], [1, 2])},
        "closure": {"loss": weighted_dice(2)},
        "other closure": {"loss": weighted_dice(3)},
        "array in a closure": {"loss": weighted_dice(np.ones(3))},
        "other array in a closure": {"loss": weighted_dice(np.array([1.0, 1, 2]))},
        "loss's name": {"loss": "sparse_categorical_crossentropy"},
        "patience": early_stopping(patience=1),
        "other patience": early_stopping(patience=2),
        "lambda": {"callbacks": [keras.callbacks.LearningRateScheduler(lambda epoch: 0.1)]},
        "other lambda": {"callbacks": [keras.callbacks.LearningRateScheduler(lambda epoch: 0.2)]},
    }
    codes = {change: code(**options) for change, options in trainings.items()}
    twins = [(a, b) for a in codes for b in codes if a < b and codes[a] == codes[b]]
    assert twins == []


def test_equal_trainings_have_equal_codes():
    assert code() == code(model=tiny_model())  # Keras numbers its layers anew
    for options in (
        lambda: {"optimizer": decaying_adam(3)},
        lambda: {"loss": weighted_dice(np.ones(3))},
        lambda: {"loss": losses.Sum([losses.Dice(), losses.Focal()], [1, 2])},
        lambda: early_stopping(patience=1),
        lambda: {"model": tiny_model(extra=[layers.Lambda(lambda x: 2 * x)])},
        lambda: {"model": tiny_model(extra=[layers.Dropout(0.5, seed=1)])},
    ):
        assert code(**options()) == code(**options())


EDITS = {
    "function": (LOSS, "** power", "** power + 1.0"),
    "constant": (LOSS, "FACTOR = 2.0", "FACTOR = 3.0"),
    "helper": (LOSS, "return FACTOR * x", "return FACTOR * x * x"),
    "default": (LOSS, "power=1", "power=2"),
    "method": (LOSS, "self.weight * loss", "self.weight + loss"),
    "attribute of a class": (LOSS, "bias = 1.0", "bias = 2.0"),
    "layer": (LAYER, "2.0 * x", "3.0 * x"),
    "callback": (CALLBACK, "0.1 * self", "0.2 * self"),
    "callback's default": (CALLBACK, "factor=0.5", "factor=0.6"),
    "schedule": (CALLBACK, "return 0.1", "return 0.2"),
}


def own_training(own):
    """Options that use everything in a module of the user."""
    if hasattr(own, "Double"):
        return {"model": tiny_model(extra=[own.Double()])}
    if hasattr(own, "Decay"):
        optimizer = keras.optimizers.Adam(own.Schedule())
        return {"callbacks": [own.Decay()], "optimizer": optimizer}
    return {"loss": own.Loss()}


@pytest.mark.parametrize("edit", EDITS)
def test_edited_source_changes_code(edit, tmp_path):
    text, old, new = EDITS[edit]
    assert old in text
    before = code(**own_training(module(tmp_path, text, helpers=HELPERS)))
    comment = re.sub(r"(\n *)(def .*:)\n", r'\1\2\1    """Says what."""  # and why\n\n', text)
    commented = code(**own_training(module(tmp_path, comment, helpers=HELPERS)))
    after = code(**own_training(module(tmp_path, text.replace(old, new), helpers=HELPERS)))
    assert before == commented != after


def test_edited_helper_module_changes_code(tmp_path):
    before = code(loss=module(tmp_path, LOSS, helpers=HELPERS).loss)
    edited = HELPERS.replace("1.0", "2.0")
    assert code(loss=module(tmp_path, LOSS, helpers=edited).loss) != before


def test_loss_inside_sum_is_described(tmp_path):
    text = "import keras\nclass Own(keras.losses.Loss):\n  def call(self, y, x):\n    return x\n"
    codes = {
        code(loss=losses.Sum([module(tmp_path, version).Own()], [1]))
        for version in (text, text.replace("return x", "return 2 * x"))
    }
    assert len(codes) == 2


@pytest.mark.parametrize("name", ["losses", "augment", "analysis.probes"])
def test_edited_package_changes_code(name, tmp_path, monkeypatch):
    callbacks = [probes.GradientNorms(np.zeros(1), np.zeros(1))] if "probes" in name else []
    before = code(callbacks=callbacks)
    original = sys.modules[f"labkit.{name}"]
    edited = tmp_path / "edited.py"
    monkeypatch.setattr(original, "__file__", str(edited))
    source = Path(importlib.util.find_spec(f"labkit.{name}").origin).read_text()
    edited.write_text(source + "\n# a comment\n")
    assert code(callbacks=callbacks) == before
    edited.write_text(source + "\nMORE = 1\n")
    assert code(callbacks=callbacks) != before


@given(st.integers(0, 11), st.integers(0, SIZE - 1), st.booleans(), st.integers(1, 255))
def test_any_pixel_changes_code(number, place, in_mask, change):
    split = random_split()
    edited = random_split()
    array = edited.masks if in_mask else edited.images
    array[number, place, -place, 0] ^= change
    assert identity.pixels_code(split) == identity.pixels_code(random_split())
    assert identity.pixels_code(split) != identity.pixels_code(edited)


def test_unseeded_weights_are_named_instead_of_compared():
    first, second = (identify(model=tiny_model(kernel_initializer="he_normal")) for _ in range(2))
    assert first.code == second.code
    assert len(first.unseeded) == 1 and first.unseeded != second.unseeded


def test_uncomparable_values_are_named(tmp_path):
    decay = module(tmp_path, CALLBACK).Decay()
    assert identify(callbacks=[decay]).uncompared == ["RESULTS (list)"]
    thing = open(tmp_path / "own.py")  # noqa: SIM115
    with thing:
        assert identify(loss=weighted_dice(thing)).uncompared == ["weight (TextIOWrapper)"]
    assert identify().uncompared == []


def test_callbacks_that_only_watch_do_not_count(tmp_path):
    class Watch(keras.callbacks.Callback):
        only_watches = True

    saving = keras.callbacks.ModelCheckpoint(tmp_path / "saved.weights.h5", save_weights_only=True)
    display = training.DisplayCallback(np.zeros((2, 2, 3)), np.zeros((2, 2, 1)))
    assert code(callbacks=[saving, display, Watch()]) == code()


def test_result_list_of_callback_is_no_setting(tmp_path):
    own = module(tmp_path, CALLBACK)
    before = code(callbacks=[own.Decay()])
    own.RESULTS.append(3)
    assert code(callbacks=[own.Decay()]) == before


def test_training_leaves_code_unchanged():
    model, optimizer = tiny_model(), keras.optimizers.Adam(0.1)
    stop = keras.callbacks.EarlyStopping("loss", patience=2)
    options = {"model": model, "optimizer": optimizer, "callbacks": [stop]}
    first = identify(**options)
    optimizer.build(model.trainable_variables)
    optimizer.learning_rate = 0.05
    stop.min_delta = -1.0
    model.set_weights([0 * weight for weight in model.get_weights()])
    first.leave()
    second = identify(**options)
    assert second.code == first.code and second.continued
    assert float(second.fresh_optimizer().learning_rate) == pytest.approx(0.1)
    assert not second.fresh_optimizer().built
    second.start_anew()
    assert second.code != first.code and not second.continued
    optimizer.learning_rate = 0.01  # by the user, after the training
    assert identify(**options).code != first.code
    assert float(identify(**options).fresh_optimizer().learning_rate) == pytest.approx(0.01)


class Subclassed(keras.Model):
    def __init__(self, width):
        super().__init__()
        self.last = layers.Conv2D(width, 1)

    def get_config(self):
        raise NotImplementedError

    def call(self, images):
        return self.last(keras.ops.cast(images, "float32"))


def test_model_without_config_is_named():
    model = Subclassed(3)
    model(random_split().images)
    assert identify(model=model).uncompared == ["settings of Subclassed, which has no get_config"]


@pytest.mark.slow
def test_code_is_the_same_in_another_process():
    command = "from tests.runs.test_identity import *; print(code(loss=weighted_dice({'a', 'b'})))"
    codes = {
        subprocess.run(
            [sys.executable, "-c", command],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "KERAS_BACKEND": "tensorflow", "PATH": ""},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(codes) == 1
