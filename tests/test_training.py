"""Training: results, errors, progress, display and prediction."""

import sys

import keras
import numpy as np
import pytest
from keras import layers

from labkit import data, losses, metrics, training
from labkit.batches import Batches
from labkit.classes import numbered
from labkit.runs.folder import runs_folder
from tests.trainings import (
    EPOCHS,
    SIZE,
    assert_outcomes_equal,
    outcome,
    random_split,
    tiny_model,
    train,
)

pytestmark = [
    pytest.mark.usefixtures("eager", "folders"),
    pytest.mark.filterwarnings("ignore:Even though the .*tf.data:UserWarning"),
]
SCORES = ("loss", "accuracy", "pet_iou", "mean_iou")


# --- results -------------------------------------------------------------------------------------


def test_history_has_all_scores_per_epoch(uninterrupted):
    history = uninterrupted[1].history
    assert set(history) == {*SCORES, *(f"val_{key}" for key in SCORES), "seconds"}
    for key, values in history.items():
        assert len(values) == EPOCHS and all(type(value) is float for value in values), key
    assert history["loss"][-1] < history["loss"][0]
    assert min(history["seconds"]) > 0


def test_no_validation_gives_no_validation_scores():
    run = train(val_ds=None, epochs=1)
    assert set(run.history) == {*SCORES, "seconds"}
    assert run.best_weights.exists()


@pytest.mark.parametrize(("name", "eagerly"), [("smoke", True), ("quick", False)])
def test_only_smoke_profile_runs_eagerly(monkeypatch, compiled, name, eagerly):
    monkeypatch.setenv("LABKIT_PROFILE", name)
    model = tiny_model()
    train(model, epochs=1)
    assert model.run_eagerly == eagerly


class Sabotage(keras.callbacks.Callback):
    """Only the second epoch has useful weights."""

    def __init__(self):
        super().__init__()
        self.good, self.seen = tiny_model().get_weights(), []

    def on_epoch_begin(self, epoch, logs=None):
        self.model.set_weights(self.good if epoch == 1 else [0 * array for array in self.good])

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(self.model.get_weights())


def test_best_weights_come_from_best_epoch():
    sabotage = Sabotage()
    run = train(epochs=3, optimizer=keras.optimizers.SGD(1e-9), callbacks=[sabotage])
    assert np.argmax(run.history["val_mean_iou"]) == 1
    model = tiny_model()
    model.load_weights(run.best_weights)
    np.testing.assert_equal(model.get_weights(), sabotage.seen[1])
    assert not np.array_equal(sabotage.seen[1][0], sabotage.seen[2][0])


def test_unbuilt_model_trains_like_built_model(uninterrupted):
    model = keras.Sequential(tiny_model().layers)
    assert not model.built
    assert_outcomes_equal(outcome(model, train(model)), uninterrupted[0])


@pytest.mark.parametrize("count", [2, 5])
def test_scores_cover_all_model_classes(count):
    split = random_split()
    masks = split.images[..., :1] % count
    split = data.Split(split.images, masks, split.table, numbered(count))
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Conv2D(count, 1)])
    batches = Batches(split, 6, seed=0)
    history = training.train(model, batches, batches, epochs=1, name="other").history
    pred_masks = training.predict_masks(model, split)
    iou = metrics.iou(split.masks, pred_masks, num_classes=count)
    assert history["val_class_0_iou"] == [pytest.approx(iou[0], rel=1e-5)]
    assert history["val_mean_iou"] == [pytest.approx(iou.mean(), rel=1e-5)]


def test_iou_config_keeps_num_classes():
    iou = metrics.IoU("pet", num_classes=5)
    restored = metrics.IoU.from_config(iou.get_config())
    assert restored.num_classes == 5 and restored.get_config() == iou.get_config()
    with pytest.raises(ValueError, match="unknown class 'border': use one of class 0, class 1"):
        metrics.IoU("border", num_classes=2)


class Subclassed(keras.Model):
    """A subclassed model, which does not declare input and output shapes."""

    def __init__(self, **options):
        super().__init__(**options)
        self.last = layers.Conv2D(3, 1)

    def call(self, images):
        return self.last(keras.ops.cast(images, "float32"))


def test_subclassed_model_trains():
    run = train(Subclassed(), epochs=1)
    assert 0 <= run.history["val_mean_iou"][0] <= 1


def test_first_epoch_uses_batches_of_epoch_0(monkeypatch):
    requested = set()
    get = Batches.__getitem__

    def note(self, index):
        requested.add((self.seed, self.epoch, index))
        return get(self, index)

    monkeypatch.setattr(Batches, "__getitem__", note)
    train(epochs=2)
    assert {batch for batch in requested if batch[0] == 3} == {
        (3, epoch, index) for epoch in range(2) for index in range(2)
    }


# --- invalid input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "classes", "remedy"),
    [
        ([0, 255], 2, "divide masks of 0 and 255 by 255"),
        ([1, 2, 3], 3, "subtract 1 from masks that count from 1"),
        ([0, 1, 7], 3, "give each class a whole number, from 0 up"),
        ([0.5, 1.0], 3, "give each class a whole number, from 0 up"),
        ([0, 1, 255], 3, "if 255 marks pixels to leave out, use Classes"),
    ],
)
@pytest.mark.parametrize("argument", ["train_ds", "val_ds"])
def test_mask_values_are_checked_before_training(values, classes, remedy, argument):
    good = random_split()
    names = numbered(classes)
    good = data.Split(good.images, good.masks % 2, good.table, names)
    bad = data.Split(good.images, np.resize(values, good.masks.shape), good.table, names)
    splits = {"train_ds": good, "val_ds": good} | {argument: bad}
    train_ds, val_ds = (Batches(split, 6, seed=0) for split in splits.values())
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Conv2D(classes, 1)])
    wrong = next(value for value in values if value not in range(classes))
    match = rf"masks of {argument} hold \[{wrong}.* {classes} classes are 0 to .*; {remedy}"
    with pytest.raises(ValueError, match=match):
        training.train(model, train_ds, val_ds, epochs=1, name="bad", loss=losses.Dice())
    assert not runs_folder().exists()


@pytest.mark.parametrize(
    "callback",
    [
        keras.callbacks.ReduceLROnPlateau("loss"),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate),
    ],
    ids=lambda callback: type(callback).__name__,
)
def test_callback_that_sets_rate_of_schedule_raises(callback):
    """Keras would raise too, at the end of the first epoch."""
    with pytest.raises(ValueError, match=rf"{type(callback).__name__} sets the learning rate"):
        train(epochs=1, callbacks=[callback])
    assert not runs_folder().exists()
    constant = keras.optimizers.AdamW(1e-3)
    assert len(train(epochs=1, callbacks=[callback], optimizer=constant).history["loss"]) == 1


def test_float_images_from_0_to_1_warn():
    split = random_split()
    scaled = data.Split((split.images / 255).astype("float32"), split.masks, split.table)
    model = tiny_model()
    for action in (
        lambda: training.train(model, Batches(scaled, 6, seed=0), epochs=1, name="dark"),
        lambda: training.predict_mask(model, scaled.images[0]),
        lambda: training.predict_masks(model, scaled),
    ):
        with pytest.warns(UserWarning, match="the largest pixel value is 1 or less.*Multiply"):
            action()
    with pytest.warns(UserWarning) as caught:
        training.predict_masks(model, data.Split(split.images * 1.0, split.masks, split.table))
        training.predict_mask(model, np.zeros_like(split.images[0]))  # black, and uint8
        import warnings

        warnings.warn("the only one", stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["the only one"]


# --- averaged weights and two learning rates -----------------------------------------------------


def test_slow_variables_use_lower_rate():
    moved = {}
    for slow_rate in (1.0, 0.25):
        model = tiny_model()
        slow = [variable.path for variable in model.layers[1].trainable_variables]
        model.compile(training.TwoRates(0.01, slow, slow_rate), losses.CrossEntropy())
        before = [np.array(variable) for variable in model.trainable_variables]
        model.train_on_batch(*Batches(random_split(), 7)[0])
        after = model.trainable_variables
        moved[slow_rate] = [np.array(b) - a for a, b in zip(before, after, strict=True)]
    for number, (full_step, step) in enumerate(zip(*moved.values(), strict=True)):
        factor = 0.25 if number < 2 else 1.0  # kernel and bias of the first convolution
        np.testing.assert_allclose(step, factor * full_step, rtol=1e-3, atol=2e-5)


def test_two_rates_config_round_trip():
    original = training.TwoRates(0.01, ["a/kernel"], 0.25, weight_decay=0.5)
    restored = training.TwoRates.from_config(original.get_config())
    assert (restored.slow, restored.slow_rate, restored.weight_decay) == (["a/kernel"], 0.25, 0.5)


@pytest.mark.parametrize("epochs", [0, -3])
def test_too_few_epochs_raise(epochs):
    with pytest.raises(ValueError, match=f"epochs is {epochs}: use at least 1"):
        train(epochs=epochs)


def test_train_images_that_are_not_shuffled_raise():
    with pytest.raises(ValueError, match=r"shuffle it, Batches\(split, seed=0\)"):
        training.train(tiny_model(), Batches(random_split(), 7), epochs=1, name="tiny")


@pytest.mark.parametrize("name", ["", "a/b", "../up", "two words", "a\n"])
def test_invalid_name_raises(name):
    with pytest.raises(ValueError, match="use letters, digits"):
        train(name=name)
    assert not runs_folder().exists()


# --- learning rate, progress and display ---------------------------------------------------------


def test_one_cycle_schedule():
    batches = Batches(random_split(), 3, seed=0)  # 4 steps an epoch
    rate = training.one_cycle(batches, epochs=10, peak=0.01)
    values = [float(rate(step)) for step in range(41)]
    assert values[0] == pytest.approx(0.01 / 25)
    assert values[8] == pytest.approx(0.01) == max(values)
    assert values[40] == pytest.approx(0, abs=1e-9)
    assert values[:9] == sorted(values[:9]) and values[8:] == sorted(values[8:], reverse=True)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7322, "122 min 2 s")],
)
def test_duration(seconds, words):
    assert training.duration(seconds) == words


def test_log_shows_only_last_line(capsys):
    line = training.Line()
    line.show("one")
    line.show("two", last=True)
    assert capsys.readouterr().out == "two\n"


def test_terminal_line_is_overwritten(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    line = training.Line()
    line.show("a long line")
    line.show("short", last=True)
    assert capsys.readouterr().out == "\ra long line\rshort      \n"


class Handle:
    """Stand-in for the result of IPython's ``display``."""

    def __init__(self):
        self.shown = []

    def update(self, thing):
        self.shown.append(thing)


@pytest.fixture
def notebook(monkeypatch):
    """Simulates a notebook; the list of its outputs with everything shown in them."""
    handles = []

    def display(thing, display_id=None):
        assert display_id
        handles.append(Handle())
        handles[-1].update(thing)
        return handles[-1]

    monkeypatch.setattr(training, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", display)
    return handles


def test_notebook_line_updates_one_output(notebook, capsys):
    line = training.Line()
    line.show("one")
    line.show("two", last=True)
    assert [html.data for html in notebook[0].shown] == ["<pre>one</pre>", "<pre>two</pre>"]
    assert len(notebook) == 1 and capsys.readouterr().out == ""


def test_display_callback_updates_one_figure(notebook):
    split, model = random_split(1), tiny_model()
    display = training.DisplayCallback(split.images[0], split.masks[0])
    train(model, epochs=2, callbacks=[display])
    assert [mask.shape for mask in display.pred_masks] == [(SIZE, SIZE)] * 2
    last = training.predict_mask(model, split.images[0])
    np.testing.assert_array_equal(display.pred_masks[-1], last)
    figures = [handle for handle in notebook if hasattr(handle.shown[0], "suptitle")]
    assert len(figures) == 1
    titles = [figure.get_suptitle() for figure in figures[0].shown]
    assert titles == ["after epoch 1", "after epoch 2"]


def test_display_callback_is_silent_outside_notebook(capsys):
    split, model = random_split(1), tiny_model()
    display = training.DisplayCallback(split.images[0], split.masks[0])
    display.set_model(model)
    display.on_epoch_end(0)
    assert len(display.pred_masks) == 1 and capsys.readouterr().out == ""
    assert not training.in_notebook()


# --- prediction ----------------------------------------------------------------------------------


def test_predict_mask_returns_argmax():
    split, model = random_split(1), tiny_model()
    pred_mask = training.predict_mask(model, split.images[0])
    assert pred_mask.dtype == np.uint8 and pred_mask.shape == (SIZE, SIZE)
    logits = np.asarray(model(split.images))[0]
    np.testing.assert_array_equal(pred_mask, logits.argmax(-1))
    as_float = training.predict_mask(model, split.images[0].astype("float64"))
    np.testing.assert_array_equal(as_float, pred_mask)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_predict_masks_keeps_order(batch_size, capsys):
    split, model = random_split(6), tiny_model()
    pred_masks = training.predict_masks(model, split, batch_size)
    assert pred_masks.dtype == np.uint8 and pred_masks.shape == split.masks.shape
    for image, pred_mask in zip(split.images, pred_masks, strict=True):
        np.testing.assert_array_equal(pred_mask[..., 0], training.predict_mask(model, image))
    assert capsys.readouterr().out == ""


def test_long_prediction_reports_progress(monkeypatch, capsys):
    clock = iter(range(0, 100, 6))
    monkeypatch.setattr(training.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    training.predict_masks(tiny_model(), random_split(6), batch_size=4)
    *lines, last = capsys.readouterr().out.rstrip("\r").split("\r")
    assert lines == ["", "predicted 4 of 6 images", "predicted 6 of 6 images"]
    assert last.isspace()  # the finished line is removed


@pytest.mark.parametrize("shape", [(1, SIZE, SIZE, 3), (SIZE, SIZE)], ids=str)
def test_predict_mask_rejects_other_shapes(shape):
    with pytest.raises(ValueError, match=r"one image \[H, W, 3\], got shape \("):
        training.predict_mask(tiny_model(), np.zeros(shape, np.uint8))
