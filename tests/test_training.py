"""Training can be cut off at any moment and goes on as if nothing had happened."""

import importlib.util
import json
import multiprocessing
import os
import shutil
import sys
import time
from pathlib import Path
from random import Random

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from labkit import data, losses, metrics, profile, training
from labkit.batches import Batches

EPOCHS, SIZE = 3, 16
pytestmark = [
    pytest.mark.usefixtures("eager"),
    pytest.mark.filterwarnings("ignore:Even though the .*tf.data:UserWarning"),
]
SCORES = ("loss", "accuracy", "pet_iou", "mean_iou")


def random_split(count=12, seed=0):
    """Random colours; the mask follows from the red, so there is something to learn."""
    images = np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)
    names = np.array([f"pet_{number}" for number in range(count)])
    return data.Split(images, images[..., :1] // 86, {"name": names})


def tiny_model(seed=0, **options):
    start = keras.initializers.GlorotUniform(seed)
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.Rescaling(1 / 127.5, -1),
            layers.Conv2D(4, 3, padding="same", kernel_initializer=start),
            layers.BatchNormalization(),  # its averages must survive a break too
            layers.Conv2D(3, 1, kernel_initializer=start, **options),
        ]
    )


def train(model=None, augmented=False, **options):
    """One small training; every call with the same arguments is the same training."""
    train_ds = Batches(random_split(), 7, seed=3, augmented=augmented)
    defaults = {"val_ds": Batches(random_split(4, seed=1), 4), "epochs": EPOCHS, "name": "tiny"}
    return training.train(model or tiny_model(), train_ds, **{**defaults, **options})


def outcome(model, run):
    """Weights, and history without the seconds."""
    return model.get_weights(), {k: v for k, v in run.history.items() if k != "seconds"}


def assert_same(one, other):
    for mine, theirs in zip(one[0], other[0], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)
    assert one[1].keys() == other[1].keys()
    for key, values in one[1].items():
        np.testing.assert_allclose(values, other[1][key], rtol=1e-5, atol=1e-6, err_msg=key)


class Break(keras.callbacks.Callback):
    """Stops the training like a press on the stop button, after a batch of an epoch."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.at = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise KeyboardInterrupt


class Each(keras.callbacks.Callback):
    """Calls a function with the epoch and the model before or after each epoch."""

    def __init__(self, before=None, after=None):
        super().__init__()
        self.before, self.after = before, after

    def on_epoch_begin(self, epoch, logs=None):
        if self.before:
            self.before(epoch, self.model)

    def on_epoch_end(self, epoch, logs=None):
        if self.after:
            self.after(epoch, self.model)


def broken_off(epoch, batch, **options):
    """The folder of a training that was stopped there."""
    with pytest.raises(KeyboardInterrupt):
        train(**options, callbacks=[Break(epoch, batch)])
    (folder,) = training.runs_folder().iterdir()
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Outcome and run of the default training, without a break."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_RUNS", str(tmp_path_factory.mktemp("whole")))
        model = tiny_model()
        run = train(model)
        return outcome(model, run), run


@pytest.fixture(autouse=True)
def _own_folder(folders):
    """No test meets the runs of another."""


# --- what a training gives -----------------------------------------------------------------------


def test_history_has_every_score_of_every_epoch(whole):
    history = whole[1].history
    assert set(history) == {*SCORES, *(f"val_{key}" for key in SCORES), "seconds"}
    for key, values in history.items():
        assert len(values) == EPOCHS and all(type(value) is float for value in values), key
    assert history["loss"][-1] < history["loss"][0]
    assert min(history["seconds"]) > 0


def test_the_folder_keeps_the_last_and_the_best_weights_and_the_history(whole):
    run = whole[1]
    names = {path.name for path in run.folder.iterdir()}
    assert names == {"best.weights.h5", f"epoch-{EPOCHS}.weights.h5", "history.json"}
    assert json.loads((run.folder / "history.json").read_text())["history"] == run.history
    model = tiny_model(seed=5)
    model.load_weights(run.folder / f"epoch-{EPOCHS}.weights.h5")
    np.testing.assert_equal(model.get_weights(), whole[0][0])


def test_without_validation_there_are_no_validation_scores():
    run = train(val_ds=None, epochs=1)
    assert set(run.history) == {*SCORES, "seconds"}
    assert run.best_weights.exists()


@pytest.mark.parametrize(("name", "eagerly"), [("smoke", True), ("quick", False)])
def test_only_the_smoke_profile_trains_without_compiling(monkeypatch, compiled, name, eagerly):
    monkeypatch.setenv("LABKIT_PROFILE", name)
    model = tiny_model()
    train(model, epochs=1)
    assert model.run_eagerly == eagerly


def test_best_weights_are_those_of_the_best_epoch():
    good = tiny_model().get_weights()
    seen = []

    def sabotage(epoch, model):  # only the weights of the second epoch are any good
        model.set_weights(good if epoch == 1 else [0 * weight for weight in good])

    still = keras.optimizers.SGD(1e-9)
    watch = Each(sabotage, lambda epoch, model: seen.append(model.get_weights()))
    run = train(epochs=3, optimizer=still, callbacks=[watch])
    assert np.argmax(run.history["val_mean_iou"]) == 1
    model = tiny_model()
    model.load_weights(run.best_weights)
    np.testing.assert_equal(model.get_weights(), seen[1])
    assert not np.array_equal(seen[1][0], seen[2][0])


def test_a_model_that_names_no_input_is_trained_as_one_that_does(whole):
    model = keras.Sequential(tiny_model().layers)
    assert not model.built
    assert_same(outcome(model, train(model)), whole[0])


@pytest.mark.parametrize("count", [2, 5])
def test_a_model_of_other_classes_is_scored_by_all_of_them(count):
    split = random_split()
    split = data.Split(split.images, split.images[..., :1] % count, split.table)
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Conv2D(count, 1)])
    batches = Batches(split, 6, seed=0)
    history = training.train(model, batches, batches, epochs=1, name="other").history
    pred_masks = training.predict_masks(model, split)
    iou = metrics.iou(split.masks, pred_masks, num_classes=count)
    assert history["val_pet_iou"] == [pytest.approx(iou[0], rel=1e-5)]
    assert history["val_mean_iou"] == [pytest.approx(iou.mean(), rel=1e-5)]


def test_a_score_of_other_classes_survives_its_config_and_knows_its_classes():
    iou = metrics.IoU("pet", num_classes=5)
    again = metrics.IoU.from_config(iou.get_config())
    assert again.num_classes == 5 and again.get_config() == iou.get_config()
    with pytest.raises(ValueError, match="'border' has number 2, and num_classes is 2: choose"):
        metrics.IoU("border", num_classes=2)


class Subclassed(keras.Model):
    """A model that says nothing of what goes in and out."""

    def __init__(self, **options):
        super().__init__(**options)
        self.last = layers.Conv2D(4, 1)

    def call(self, images):
        return self.last(keras.ops.cast(images, "float32"))


def test_a_subclassed_model_is_trained():
    run = train(Subclassed(), epochs=1)
    assert 0 <= run.history["val_mean_iou"][0] <= 1


def test_the_first_epoch_takes_the_batches_of_epoch_0(monkeypatch):
    asked = set()
    get = Batches.__getitem__

    def note(self, index):
        asked.add((self.seed, self.epoch, index))
        return get(self, index)

    monkeypatch.setattr(Batches, "__getitem__", note)
    train(epochs=2)
    assert {asked_for for asked_for in asked if asked_for[0] == 3} == {
        (3, epoch, index) for epoch in range(2) for index in range(2)
    }


# --- a break, and going on -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "at",
    [
        pytest.param((0, 0), id="first epoch", marks=pytest.mark.slow),
        pytest.param((2, 1), id="third epoch"),
    ],
)
def test_a_training_that_was_stopped_ends_as_one_that_was_not(whole, at, capsys):
    model = tiny_model()
    broken_off(*at, model=model)
    run = train(model)  # the same model, which the first call has changed
    assert_same(outcome(model, run), whole[0])
    assert f"{at[0]} of {EPOCHS} epochs are in {run.folder}: resuming" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["eager", pytest.param("compiled", marks=pytest.mark.slow)])
def test_augmented_batches_and_an_optimizer_with_memory_go_on_too(how, request):
    request.getfixturevalue(how)

    def options():
        rate = keras.optimizers.schedules.ExponentialDecay(0.01, 2, 0.7)
        optimizer = keras.optimizers.Adam(rate, use_ema=True, ema_momentum=0.5)
        return {"augmented": True, "optimizer": optimizer, "val_ds": None, "epochs": 2}

    model, other = tiny_model(), tiny_model()
    broken_off(1, 0, model=model, **options())
    resumed = outcome(model, train(model, **options()))
    training.runs_folder().rename(training.runs_folder().with_name("away"))
    assert_same(outcome(other, train(other, **options())), resumed)


def copied(run):
    """A copy of a run's folder, where this test keeps its runs."""
    return shutil.copytree(run.folder, training.runs_folder() / run.folder.name)


def test_a_finished_training_is_loaded_and_not_repeated(whole, capsys):
    copied(whole[1])
    model = tiny_model(seed=0)
    run = train(model, callbacks=[Each(before=lambda *_: pytest.fail("it was trained again"))])
    assert_same(outcome(model, run), whole[0])
    said = capsys.readouterr().out
    assert f"{EPOCHS} of {EPOCHS} epochs are in {run.folder}: loaded. Delete that folder" in said


def test_a_new_kernel_goes_on_and_files_of_an_unfinished_epoch_do_no_harm(whole):
    folder = broken_off(2, 0)
    kept = (folder / "epoch-2.weights.h5").read_bytes()
    (folder / "new-epoch-3.weights.h5").write_bytes(kept[: len(kept) // 2])  # died while writing
    (folder / "epoch-3.weights.h5").write_bytes(kept[:100])  # died before the history was written
    (folder / "epoch-1.weights.h5").write_bytes(kept)  # died before it was deleted
    (folder / "new-best.weights.h5").write_bytes(b"")
    (folder / "new-history.json").write_text('{"weights": "epoch-3.wei')
    model = tiny_model()
    run = train(model)
    assert run.folder == folder
    assert_same(outcome(model, run), whole[0])
    names = {path.name for path in folder.iterdir()}
    assert names == {"best.weights.h5", f"epoch-{EPOCHS}.weights.h5", "history.json"}


def test_a_lost_weights_file_starts_the_training_anew(whole, capsys):
    (copied(whole[1]) / f"epoch-{EPOCHS}.weights.h5").unlink()
    model = tiny_model()
    assert_same(outcome(model, train(model)), whole[0])
    assert f"has lost epoch-{EPOCHS}.weights.h5: training starts again" in capsys.readouterr().out


class Tell(keras.callbacks.Callback):
    """Says after each batch that it is done, to the process that will kill this one."""

    def __init__(self, pipe):
        super().__init__()
        self.pipe = pipe

    def on_train_batch_end(self, batch, logs=None):
        self.pipe.send("batch")


def train_and_tell(pipe, epochs, runs):
    """What a process does that will be killed."""
    os.environ["LABKIT_RUNS"] = runs  # the server it is forked from may be of another test
    tf.config.run_functions_eagerly(True)
    train(epochs=epochs, callbacks=[Tell(pipe)])
    pipe.send("whole")


def killed(epochs, random):
    """Start the training in a process of its own and kill it somewhere in the next two epochs, or
    while it writes them down. False if it came to its end."""
    # Forked from a process that has imported Keras, else each start would take seconds.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tensorflow", "labkit.training"])
    mine, its = context.Pipe()
    process = context.Process(target=train_and_tell, args=(its, epochs, os.environ["LABKIT_RUNS"]))
    process.start()
    said = [mine.recv() for _ in range(random.randrange(1, 5))]
    time.sleep(random.random() * 0.05)
    process.kill()  # SIGKILL: nothing can be tidied up
    process.join()
    assert process.exitcode == -9
    return "whole" not in said


@pytest.mark.parametrize(
    ("kills", "epochs", "least", "seed"),
    [(2, 8, 2, 276), pytest.param(20, 24, 6, 7, marks=pytest.mark.slow)],
)
def test_a_training_that_is_killed_ends_as_one_that_was_not(
    kills, epochs, least, seed, monkeypatch, tmp_path, capsys
):
    random = Random(seed)
    model = tiny_model()
    expected = outcome(model, train(model, epochs=epochs))
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "killed"))
    assert all(killed(epochs, random) for _ in range(kills))
    (folder,) = (tmp_path / "killed").iterdir()
    kept = json.loads((folder / "history.json").read_text())["history"]["loss"]
    # More than any of them had time for: each went on from what the others kept. So will this one.
    assert least <= len(kept) < epochs
    capsys.readouterr()
    model = tiny_model()
    assert_same(outcome(model, train(model, epochs=epochs)), expected)
    assert f"{len(kept)} of {epochs} epochs are in" in capsys.readouterr().out


# --- one folder for one training -----------------------------------------------------------------


def file_loss(folder, code):
    """A loss function from a file of its own."""
    folder.mkdir()
    path = folder / "mine.py"
    path.write_text(f"def loss(y_true, y_pred):\n    return {code}\n")
    spec = importlib.util.spec_from_file_location("mine", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.loss


def weighted(weight):
    def loss(y_true, y_pred):
        return weight * losses.Dice()(y_true, y_pred)

    return loss


@pytest.fixture
def folder_of(monkeypatch):
    """The folder of a training, which is not run."""
    monkeypatch.setattr(keras.Model, "fit", lambda *args, **options: None)
    return lambda model=None, **options: train(model, **options).folder


def test_the_same_training_has_the_same_folder(folder_of):
    expected = folder_of()
    assert expected.parent == training.runs_folder() and expected.name.startswith("tiny-")
    assert folder_of(tiny_model()) == expected  # Keras has numbered its layers on
    assert folder_of(callbacks=[Each(None, None)]) == expected
    for make in (lambda: keras.optimizers.Adam(0.1), lambda: training_rate(3)):
        assert folder_of(optimizer=make()) == folder_of(optimizer=make())
    assert folder_of(loss=losses.Tversky(0.1, 0.2)) == folder_of(loss=losses.Tversky(0.1, 0.2))
    assert folder_of(loss=weighted(2)) == folder_of(loss=weighted(2))


def training_rate(steps):
    rate = keras.optimizers.schedules.ExponentialDecay(0.01, steps, 0.7)
    return keras.optimizers.Adam(rate)


def test_any_other_training_has_another_folder(folder_of, tmp_path):
    split = random_split()
    redder, relabelled = split.images.copy(), split.masks.copy()
    redder[0, 0, 0, 0] ^= 1
    relabelled[0] = 2 - relabelled[0]
    train_ds = {
        "seed": Batches(split, 7, seed=4),
        "batch size": Batches(split, 4, seed=3),
        "fewer images": Batches(split.select(slice(11)), 7, seed=3),
        "other pixels": Batches(data.Split(redder, split.masks, split.table), 7, seed=3),
        "other masks": Batches(data.Split(split.images, relabelled, split.table), 7, seed=3),
    }
    changes = {
        "as it is": {},
        "name": {"name": "tiny2"},
        "epochs": {"epochs": EPOCHS + 1},
        "no validation": {"val_ds": None},
        "other validation": {"val_ds": Batches(random_split(4, seed=2), 4)},
        "augmented": {"augmented": True},
        "model": {"model": tiny_model(use_bias=False)},
        "model's seed": {"model": tiny_model(seed=1)},
        "optimizer": {"optimizer": keras.optimizers.Adam()},
        "optimizer and epochs": {"optimizer": keras.optimizers.Adam(), "epochs": EPOCHS + 1},
        "rate": {"optimizer": keras.optimizers.Adam(0.1)},
        "schedule": {"optimizer": training_rate(3)},
        "schedule's steps": {"optimizer": training_rate(4)},
        "loss": {"loss": losses.Dice()},
        "loss's setting": {"loss": losses.Dice(smooth=2.0)},
        "sum": {"loss": losses.Sum([losses.CrossEntropy(), losses.Dice()], [1, 1])},
        "sum's weights": {"loss": losses.Sum([losses.CrossEntropy(), losses.Dice()], [1, 2])},
        "function": {"loss": file_loss(tmp_path / "one", "y_pred[..., :1] * 1.0")},
        "edited function": {"loss": file_loss(tmp_path / "two", "y_pred[..., :1] * 2.0")},
        "closure": {"loss": weighted(2)},
        "other closure": {"loss": weighted(3)},
        "loss's name": {"loss": "sparse_categorical_crossentropy"},
        "other loss's name": {"loss": "mse"},
    }
    found = {what: folder_of(**options) for what, options in changes.items()}
    for what, batches in train_ds.items():
        options = {"val_ds": Batches(random_split(4, seed=1), 4), "epochs": EPOCHS}
        found[what] = training.train(tiny_model(), batches, name="tiny", **options).folder
    twins = [(a, b) for a in found for b in found if a < b and found[a] == found[b]]
    assert twins == []


def test_runs_lie_in_the_working_folder_by_default(folder_of, monkeypatch, tmp_path):
    monkeypatch.delenv("LABKIT_RUNS")
    monkeypatch.chdir(tmp_path)
    assert folder_of().parent == Path("runs") and Path("runs").is_dir()


# --- where a training was made -------------------------------------------------------------------


def commits(folder):
    return json.loads((folder / "history.json").read_text())["commit"]


def test_a_finished_training_says_where_it_was_made_whoever_loads_it(monkeypatch):
    first = train(epochs=1)
    assert set(first.provenance) == {
        *("commit", "versions", "backend", "device", "machine", "date", "peak memory")
    }
    monkeypatch.setattr(profile, "commit", lambda: "later")
    later = {"date": "2099-01-01", "peak memory": {"host": 1e6}}
    monkeypatch.setattr(profile, "date_and_memory", lambda: later)
    assert train(epochs=1) == first


def test_a_training_of_two_commits_names_both(monkeypatch):
    monkeypatch.setattr(profile, "commit", lambda: "first")
    folder = broken_off(1, 0)
    broken_off(2, 0)
    assert commits(folder) == "first"
    monkeypatch.setattr(profile, "commit", lambda: "second")
    broken_off(2, 1)
    assert train().provenance["commit"] == "first, second" == commits(folder)


@pytest.mark.parametrize("finished", [True, False])
def test_a_folder_that_does_not_say_where_it_was_made_is_taken_as_of_now(finished, monkeypatch):
    folder = train(epochs=2).folder if finished else broken_off(1, 0, epochs=2)
    kept = json.loads((folder / "history.json").read_text())
    # As folders were before.
    kept = {key: kept[key] for key in ("weights", "history", "device")}
    (folder / "history.json").write_text(json.dumps(kept | {"peak memory": {"host": 0.5}}))
    monkeypatch.setattr(profile, "commit", lambda: "now")
    run = train(epochs=2)
    assert run.folder == folder and len(run.history["loss"]) == 2
    assert run.provenance["commit"] == "now" and run.provenance["machine"]
    assert (run.provenance["peak memory"] == {"host": 0.5}) == finished


# --- what is refused -----------------------------------------------------------------------------


def test_a_loss_that_is_no_number_is_seen_before_the_epoch_ends():
    train_ds = Batches(random_split(12 * 30), 6, seed=0)
    batches = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batches.append(1))
    bad = tiny_model(bias_initializer=keras.initializers.Constant(np.nan))
    with pytest.raises(ValueError, match="loss became nan in epoch 1"):
        training.train(bad, train_ds, epochs=1, name="bad", callbacks=[count])
    assert len(batches) < len(train_ds)


# --- averaged weights and two rates --------------------------------------------------------------


def averaging():
    return keras.optimizers.AdamW(0.05, use_ema=True, ema_momentum=0.9)


def test_averaged_weights_are_validated_kept_as_best_and_given_back(whole):
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_test_begin=lambda logs: seen.append(model.get_weights()[0])
    )
    model = tiny_model()
    run = train(model, optimizer=averaging(), callbacks=[watch])
    last = model.get_weights()
    np.testing.assert_allclose(last[0], seen[-1], rtol=1e-5)
    best = int(np.argmax(run.history["val_mean_iou"]))
    model.load_weights(run.best_weights)
    np.testing.assert_allclose(model.get_weights()[0], seen[best], rtol=1e-4, atol=1e-6)


def test_averaging_goes_on_after_a_break_and_survives_loading(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "a"))
    model = tiny_model()
    expected = outcome(model, train(model, optimizer=averaging()))
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "b"))
    with pytest.raises(KeyboardInterrupt):
        train(optimizer=averaging(), callbacks=[Break(1, 1)])
    again = tiny_model()
    assert_same(outcome(again, train(again, optimizer=averaging())), expected)
    loaded = tiny_model()
    assert_same(outcome(loaded, train(loaded, optimizer=averaging())), expected)


def test_a_slow_variable_moves_by_the_lower_rate():
    moved = {}
    for slow_rate in (1.0, 0.25):
        model = tiny_model()
        slow = [variable.path for variable in model.layers[1].trainable_variables]
        model.compile(training.TwoRates(0.01, slow, slow_rate), losses.CrossEntropy())
        before = [np.array(variable) for variable in model.trainable_variables]
        model.train_on_batch(*Batches(random_split(), 7)[0])
        after = model.trainable_variables
        moved[slow_rate] = [np.array(b) - a for a, b in zip(before, after, strict=True)]
    for number, (whole, part) in enumerate(zip(*moved.values(), strict=True)):
        factor = 0.25 if number < 2 else 1.0  # kernel and bias of the first convolution
        np.testing.assert_allclose(part, factor * whole, rtol=1e-3, atol=2e-5)


def test_two_rates_survive_their_config():
    one = training.TwoRates(0.01, ["a/kernel"], 0.25, weight_decay=0.5)
    other = training.TwoRates.from_config(one.get_config())
    assert (other.slow, other.slow_rate, other.weight_decay) == (["a/kernel"], 0.25, 0.5)


def test_a_loss_that_is_no_number_stops_the_training_and_keeps_the_epochs_before():
    def spoil(epoch, model):
        if epoch == 1:
            model.set_weights([weight * np.nan for weight in model.get_weights()])

    match = "loss became nan in epoch 2: lower the learning rate.* has the epochs before"
    with pytest.raises(training.Diverged, match=match) as stopped:
        train(callbacks=[Each(before=spoil)])
    (folder,) = training.runs_folder().iterdir()
    assert stopped.value.folder == folder
    kept = json.loads((folder / "history.json").read_text())
    assert kept["weights"] == "epoch-1.weights.h5" and len(kept["history"]["loss"]) == 1
    assert np.isfinite(kept["history"]["loss"]).all()


@pytest.mark.parametrize("epochs", [0, -3])
def test_too_few_epochs_are_refused(epochs):
    with pytest.raises(ValueError, match=f"epochs is {epochs}: use at least 1"):
        train(epochs=epochs)


@pytest.mark.parametrize("name", ["", "a/b", "../up", "two words", "a\n"])
def test_a_name_that_is_no_folder_s_name_is_refused(name):
    with pytest.raises(ValueError, match="use letters, digits"):
        train(name=name)
    assert not training.runs_folder().exists()


# --- rate, progress and display ------------------------------------------------------------------


def test_the_rate_rises_for_a_fifth_of_the_steps_and_falls_to_zero():
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
def test_duration_in_words(seconds, words):
    assert training.duration(seconds) == words


def test_a_log_gets_the_last_line_alone(capsys):
    line = training.Line()
    line.show("one")
    line.show("two", last=True)
    assert capsys.readouterr().out == "two\n"


def test_a_terminal_s_line_is_replaced_to_its_end(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    line = training.Line()
    line.show("a long line")
    line.show("short", last=True)
    assert capsys.readouterr().out == "\ra long line\rshort      \n"


class Handle:
    """Stands for what IPython's ``display`` returns."""

    def __init__(self):
        self.shown = []

    def update(self, thing):
        self.shown.append(thing)


@pytest.fixture
def notebook(monkeypatch):
    """As in a notebook: the list of outputs, each with what has been shown in it."""
    handles = []

    def display(thing, display_id=None):
        assert display_id
        handles.append(Handle())
        handles[-1].update(thing)
        return handles[-1]

    monkeypatch.setattr(training, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", display)
    return handles


def test_a_notebook_s_line_is_replaced_in_one_output(notebook, capsys):
    line = training.Line()
    line.show("one")
    line.show("two", last=True)
    assert [html.data for html in notebook[0].shown] == ["<pre>one</pre>", "<pre>two</pre>"]
    assert len(notebook) == 1 and capsys.readouterr().out == ""


def test_display_callback_keeps_each_prediction_and_shows_one_figure(notebook):
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


def test_outside_a_notebook_display_callback_shows_nothing(capsys):
    split, model = random_split(1), tiny_model()
    display = training.DisplayCallback(split.images[0], split.masks[0])
    display.set_model(model)
    display.on_epoch_end(0)
    assert len(display.pred_masks) == 1 and capsys.readouterr().out == ""
    assert not training.in_notebook()


# --- prediction ----------------------------------------------------------------------------------


def test_predict_mask_gives_the_class_with_the_largest_logit():
    split, model = random_split(1), tiny_model()
    pred_mask = training.predict_mask(model, split.images[0])
    assert pred_mask.dtype == np.uint8 and pred_mask.shape == (SIZE, SIZE)
    logits = np.asarray(model(split.images))[0]
    np.testing.assert_array_equal(pred_mask, logits.argmax(-1))
    as_float = training.predict_mask(model, split.images[0].astype("float64"))
    np.testing.assert_array_equal(as_float, pred_mask)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_predict_masks_predicts_each_image_in_order(batch_size, capsys):
    split, model = random_split(6), tiny_model()
    pred_masks = training.predict_masks(model, split, batch_size)
    assert pred_masks.dtype == np.uint8 and pred_masks.shape == split.masks.shape
    for image, pred_mask in zip(split.images, pred_masks, strict=True):
        np.testing.assert_array_equal(pred_mask[..., 0], training.predict_mask(model, image))
    assert capsys.readouterr().out == ""


def test_a_long_prediction_says_how_far_it_is(monkeypatch, capsys):
    clock = iter(range(0, 100, 6))
    monkeypatch.setattr(training.time, "perf_counter", lambda: next(clock))
    training.predict_masks(tiny_model(), random_split(6), batch_size=4)
    assert capsys.readouterr().out == "predicted 6 of 6 images\n"


@pytest.mark.parametrize("shape", [(1, SIZE, SIZE, 3), (SIZE, SIZE)], ids=str)
def test_predict_mask_refuses_what_is_not_one_image(shape):
    with pytest.raises(ValueError, match=r"one image \[H, W, 3\], got shape \("):
        training.predict_mask(tiny_model(), np.zeros(shape, np.uint8))
