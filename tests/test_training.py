"""Training: results, resuming, run folders, provenance, errors and display."""

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
    """Random colors; the mask is a function of the red channel, so it can be learned."""
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
            layers.BatchNormalization(),  # its averages must survive an interruption too
            layers.Conv2D(3, 1, kernel_initializer=start, **options),
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
    """Raises KeyboardInterrupt after a batch of an epoch."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.at = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise KeyboardInterrupt


class EpochHooks(keras.callbacks.Callback):
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


def interrupted_run(epoch, batch, **options):
    """Folder of a training that was interrupted there."""
    with pytest.raises(KeyboardInterrupt):
        train(**options, callbacks=[Interrupt(epoch, batch)])
    (folder,) = training.runs_folder().iterdir()
    return folder


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Outcome and run of the default training without interruption."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_RUNS", str(tmp_path_factory.mktemp("uninterrupted")))
        model = tiny_model()
        run = train(model)
        return outcome(model, run), run


@pytest.fixture(autouse=True)
def _isolated_runs(folders):
    """Each test has its own runs folder."""


# --- results -------------------------------------------------------------------------------------


def test_history_has_all_scores_per_epoch(uninterrupted):
    history = uninterrupted[1].history
    assert set(history) == {*SCORES, *(f"val_{key}" for key in SCORES), "seconds"}
    for key, values in history.items():
        assert len(values) == EPOCHS and all(type(value) is float for value in values), key
    assert history["loss"][-1] < history["loss"][0]
    assert min(history["seconds"]) > 0


def test_run_folder_contents(uninterrupted):
    run = uninterrupted[1]
    names = {path.name for path in run.folder.iterdir()}
    assert names == {"best.weights.h5", f"epoch-{EPOCHS}.weights.h5", "history.json"}
    assert json.loads((run.folder / "history.json").read_text())["history"] == run.history
    model = tiny_model(seed=5)
    model.load_weights(run.folder / f"epoch-{EPOCHS}.weights.h5")
    np.testing.assert_equal(model.get_weights(), uninterrupted[0][0])


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


def test_best_weights_come_from_best_epoch():
    good = tiny_model().get_weights()
    seen = []

    def sabotage(epoch, model):  # only the second epoch has useful weights
        model.set_weights(good if epoch == 1 else [0 * weight for weight in good])

    no_updates = keras.optimizers.SGD(1e-9)
    watch = EpochHooks(sabotage, lambda epoch, model: seen.append(model.get_weights()))
    run = train(epochs=3, optimizer=no_updates, callbacks=[watch])
    assert np.argmax(run.history["val_mean_iou"]) == 1
    model = tiny_model()
    model.load_weights(run.best_weights)
    np.testing.assert_equal(model.get_weights(), seen[1])
    assert not np.array_equal(seen[1][0], seen[2][0])


def test_unbuilt_model_trains_like_built_model(uninterrupted):
    model = keras.Sequential(tiny_model().layers)
    assert not model.built
    assert_outcomes_equal(outcome(model, train(model)), uninterrupted[0])


@pytest.mark.parametrize("count", [2, 5])
def test_scores_cover_all_model_classes(count):
    split = random_split()
    split = data.Split(split.images, split.images[..., :1] % count, split.table)
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Conv2D(count, 1)])
    batches = Batches(split, 6, seed=0)
    history = training.train(model, batches, batches, epochs=1, name="other").history
    pred_masks = training.predict_masks(model, split)
    iou = metrics.iou(split.masks, pred_masks, num_classes=count)
    assert history["val_pet_iou"] == [pytest.approx(iou[0], rel=1e-5)]
    assert history["val_mean_iou"] == [pytest.approx(iou.mean(), rel=1e-5)]


def test_iou_config_keeps_num_classes():
    iou = metrics.IoU("pet", num_classes=5)
    restored = metrics.IoU.from_config(iou.get_config())
    assert restored.num_classes == 5 and restored.get_config() == iou.get_config()
    with pytest.raises(ValueError, match="'border' has number 2, and num_classes is 2: choose"):
        metrics.IoU("border", num_classes=2)


class Subclassed(keras.Model):
    """A subclassed model, which does not declare input and output shapes."""

    def __init__(self, **options):
        super().__init__(**options)
        self.last = layers.Conv2D(4, 1)

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


# --- resuming ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "at",
    [
        pytest.param((0, 0), id="first epoch", marks=pytest.mark.slow),
        pytest.param((2, 1), id="third epoch"),
    ],
)
def test_interrupted_training_resumes_to_same_result(uninterrupted, at, capsys):
    model = tiny_model()
    interrupted_run(*at, model=model)
    run = train(model)  # the same model, which the first call has changed
    assert_outcomes_equal(outcome(model, run), uninterrupted[0])
    assert f"{at[0]} of {EPOCHS} epochs are in {run.folder}: resuming" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["eager", pytest.param("compiled", marks=pytest.mark.slow)])
def test_resume_with_augmentation_and_optimizer_state(how, request):
    request.getfixturevalue(how)

    def options():
        rate = keras.optimizers.schedules.ExponentialDecay(0.01, 2, 0.7)
        optimizer = keras.optimizers.Adam(rate, use_ema=True, ema_momentum=0.5)
        return {"augmented": True, "optimizer": optimizer, "val_ds": None, "epochs": 2}

    model, other = tiny_model(), tiny_model()
    interrupted_run(1, 0, model=model, **options())
    resumed = outcome(model, train(model, **options()))
    training.runs_folder().rename(training.runs_folder().with_name("away"))
    assert_outcomes_equal(outcome(other, train(other, **options())), resumed)


def copy_run(run):
    """Copy a run's folder to the runs folder of this test."""
    return shutil.copytree(run.folder, training.runs_folder() / run.folder.name)


def test_finished_training_is_loaded(uninterrupted, capsys):
    copy_run(uninterrupted[1])
    model = tiny_model(seed=0)
    run = train(
        model, callbacks=[EpochHooks(before=lambda *_: pytest.fail("it was trained again"))]
    )
    assert_outcomes_equal(outcome(model, run), uninterrupted[0])
    output = capsys.readouterr().out
    assert f"{EPOCHS} of {EPOCHS} epochs are in {run.folder}: loaded. Delete that folder" in output


def test_resume_ignores_files_of_unfinished_epoch(uninterrupted):
    folder = interrupted_run(2, 0)
    kept = (folder / "epoch-2.weights.h5").read_bytes()
    (folder / "new-epoch-3.weights.h5").write_bytes(kept[: len(kept) // 2])  # killed while writing
    (folder / "epoch-3.weights.h5").write_bytes(kept[:100])  # killed before the history was written
    (folder / "epoch-1.weights.h5").write_bytes(kept)  # killed before it was deleted
    (folder / "new-best.weights.h5").write_bytes(b"")
    (folder / "new-history.json").write_text('{"weights": "epoch-3.wei')
    model = tiny_model()
    run = train(model)
    assert run.folder == folder
    assert_outcomes_equal(outcome(model, run), uninterrupted[0])
    names = {path.name for path in folder.iterdir()}
    assert names == {"best.weights.h5", f"epoch-{EPOCHS}.weights.h5", "history.json"}


def test_missing_weights_restart_training(uninterrupted, capsys):
    (copy_run(uninterrupted[1]) / f"epoch-{EPOCHS}.weights.h5").unlink()
    model = tiny_model()
    assert_outcomes_equal(outcome(model, train(model)), uninterrupted[0])
    assert f"has lost epoch-{EPOCHS}.weights.h5: training starts again" in capsys.readouterr().out


class ReportBatches(keras.callbacks.Callback):
    """Reports each finished batch to the process that will kill this one."""

    def __init__(self, pipe):
        super().__init__()
        self.pipe = pipe

    def on_train_batch_end(self, batch, logs=None):
        self.pipe.send("batch")


def train_in_process(pipe, epochs, runs):
    """Target of the process that will be killed."""
    os.environ["LABKIT_RUNS"] = runs  # the fork server may come from another test
    tf.config.run_functions_eagerly(True)
    train(epochs=epochs, callbacks=[ReportBatches(pipe)])
    pipe.send("finished")


def train_and_kill(epochs, random):
    """Train in a process and kill it within the next two epochs or while it saves them.

    Returns False if the training finished first.
    """
    # Fork from a process that has imported Keras; otherwise each start takes seconds.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tensorflow", "labkit.training"])
    receiver, sender = context.Pipe()
    process = context.Process(
        target=train_in_process, args=(sender, epochs, os.environ["LABKIT_RUNS"])
    )
    process.start()
    messages = [receiver.recv() for _ in range(random.randrange(1, 5))]
    time.sleep(random.random() * 0.05)
    process.kill()  # SIGKILL: no cleanup is possible
    process.join()
    assert process.exitcode == -9
    return "finished" not in messages


@pytest.mark.parametrize(
    ("kills", "epochs", "least", "seed"),
    [(2, 8, 2, 276), pytest.param(20, 24, 6, 7, marks=pytest.mark.slow)],
)
def test_killed_training_resumes_to_same_result(
    kills, epochs, least, seed, monkeypatch, tmp_path, capsys
):
    random = Random(seed)
    model = tiny_model()
    expected = outcome(model, train(model, epochs=epochs))
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "killed"))
    assert all(train_and_kill(epochs, random) for _ in range(kills))
    (folder,) = (tmp_path / "killed").iterdir()
    kept = json.loads((folder / "history.json").read_text())["history"]["loss"]
    # More epochs than one process had time for: each resumed from the previous one.
    assert least <= len(kept) < epochs
    capsys.readouterr()
    model = tiny_model()
    assert_outcomes_equal(outcome(model, train(model, epochs=epochs)), expected)
    assert f"{len(kept)} of {epochs} epochs are in" in capsys.readouterr().out


# --- run folders ---------------------------------------------------------------------------------


def file_loss(folder, code):
    """A loss function from its own file."""
    folder.mkdir()
    path = folder / "mine.py"
    path.write_text(f"def loss(y_true, y_pred):\n    return {code}\n")
    spec = importlib.util.spec_from_file_location("mine", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.loss


def weighted_dice(weight):
    def loss(y_true, y_pred):
        return weight * losses.Dice()(y_true, y_pred)

    return loss


@pytest.fixture
def get_folder(monkeypatch):
    """A function that returns the folder of a training without running it."""
    monkeypatch.setattr(keras.Model, "fit", lambda *args, **options: None)
    return lambda model=None, **options: train(model, **options).folder


def test_same_training_has_same_folder(get_folder):
    expected = get_folder()
    assert expected.parent == training.runs_folder() and expected.name.startswith("tiny-")
    assert get_folder(tiny_model()) == expected  # Keras gives its layers other numbers
    assert get_folder(callbacks=[EpochHooks(None, None)]) == expected
    for make in (lambda: keras.optimizers.Adam(0.1), lambda: scheduled_adam(3)):
        assert get_folder(optimizer=make()) == get_folder(optimizer=make())
    assert get_folder(loss=losses.Tversky(0.1, 0.2)) == get_folder(loss=losses.Tversky(0.1, 0.2))
    assert get_folder(loss=weighted_dice(2)) == get_folder(loss=weighted_dice(2))


def scheduled_adam(steps):
    rate = keras.optimizers.schedules.ExponentialDecay(0.01, steps, 0.7)
    return keras.optimizers.Adam(rate)


def test_different_trainings_have_different_folders(get_folder, tmp_path):
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
        "unchanged": {},
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
        "schedule": {"optimizer": scheduled_adam(3)},
        "schedule's steps": {"optimizer": scheduled_adam(4)},
        "loss": {"loss": losses.Dice()},
        "loss's setting": {"loss": losses.Dice(smooth=2.0)},
        "sum": {"loss": losses.Sum([losses.CrossEntropy(), losses.Dice()], [1, 1])},
        "sum's weights": {"loss": losses.Sum([losses.CrossEntropy(), losses.Dice()], [1, 2])},
        "function": {"loss": file_loss(tmp_path / "one", "y_pred[..., :1] * 1.0")},
        "edited function": {"loss": file_loss(tmp_path / "two", "y_pred[..., :1] * 2.0")},
        "closure": {"loss": weighted_dice(2)},
        "other closure": {"loss": weighted_dice(3)},
        "loss's name": {"loss": "sparse_categorical_crossentropy"},
        "other loss's name": {"loss": "mse"},
    }
    run_folders = {change: get_folder(**options) for change, options in changes.items()}
    for change, batches in train_ds.items():
        options = {"val_ds": Batches(random_split(4, seed=1), 4), "epochs": EPOCHS}
        run_folders[change] = training.train(tiny_model(), batches, name="tiny", **options).folder
    twins = [
        (a, b)
        for a in run_folders
        for b in run_folders
        if a < b and run_folders[a] == run_folders[b]
    ]
    assert twins == []


def test_runs_folder_defaults_to_working_folder(get_folder, monkeypatch, tmp_path):
    monkeypatch.delenv("LABKIT_RUNS")
    monkeypatch.chdir(tmp_path)
    assert get_folder().parent == Path("runs") and Path("runs").is_dir()


# --- provenance ----------------------------------------------------------------------------------


def commits(folder):
    return json.loads((folder / "history.json").read_text())["commit"]


def test_loaded_training_keeps_provenance(monkeypatch):
    first = train(epochs=1)
    assert set(first.provenance) == {
        *("commit", "versions", "backend", "device", "machine", "date", "peak memory")
    }
    monkeypatch.setattr(profile, "commit", lambda: "later")
    later = {"date": "2099-01-01", "peak memory": {"host": 1e6}}
    monkeypatch.setattr(profile, "date_and_memory", lambda: later)
    assert train(epochs=1) == first


def test_resumed_training_names_both_commits(monkeypatch):
    monkeypatch.setattr(profile, "commit", lambda: "first")
    folder = interrupted_run(1, 0)
    interrupted_run(2, 0)
    assert commits(folder) == "first"
    monkeypatch.setattr(profile, "commit", lambda: "second")
    interrupted_run(2, 1)
    assert train().provenance["commit"] == "first, second" == commits(folder)


@pytest.mark.parametrize("finished", [True, False])
def test_missing_provenance_is_filled_in(finished, monkeypatch):
    folder = train(epochs=2).folder if finished else interrupted_run(1, 0, epochs=2)
    kept = json.loads((folder / "history.json").read_text())
    # The format of older folders.
    kept = {key: kept[key] for key in ("weights", "history", "device")}
    (folder / "history.json").write_text(json.dumps(kept | {"peak memory": {"host": 0.5}}))
    monkeypatch.setattr(profile, "commit", lambda: "now")
    run = train(epochs=2)
    assert run.folder == folder and len(run.history["loss"]) == 2
    assert run.provenance["commit"] == "now" and run.provenance["machine"]
    assert (run.provenance["peak memory"] == {"host": 0.5}) == finished


# --- invalid input -------------------------------------------------------------------------------


def test_nan_loss_stops_before_epoch_ends():
    train_ds = Batches(random_split(12 * 30), 6, seed=0)
    batches = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batches.append(1))
    bad = tiny_model(bias_initializer=keras.initializers.Constant(np.nan))
    with pytest.raises(ValueError, match="loss became nan in epoch 1"):
        training.train(bad, train_ds, epochs=1, name="bad", callbacks=[count])
    assert len(batches) < len(train_ds)


# --- averaged weights and two learning rates -----------------------------------------------------


def averaging():
    return keras.optimizers.AdamW(0.05, use_ema=True, ema_momentum=0.9)


def test_averaged_weights_are_validated_and_returned(uninterrupted):
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


def test_averaging_resumes_and_loads(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "a"))
    model = tiny_model()
    expected = outcome(model, train(model, optimizer=averaging()))
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "b"))
    with pytest.raises(KeyboardInterrupt):
        train(optimizer=averaging(), callbacks=[Interrupt(1, 1)])
    again = tiny_model()
    assert_outcomes_equal(outcome(again, train(again, optimizer=averaging())), expected)
    loaded = tiny_model()
    assert_outcomes_equal(outcome(loaded, train(loaded, optimizer=averaging())), expected)


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


def test_nan_loss_keeps_previous_epochs():
    def spoil(epoch, model):
        if epoch == 1:
            model.set_weights([weight * np.nan for weight in model.get_weights()])

    match = "loss became nan in epoch 2: lower the learning rate.* has the epochs before"
    with pytest.raises(training.Diverged, match=match) as excinfo:
        train(callbacks=[EpochHooks(before=spoil)])
    (folder,) = training.runs_folder().iterdir()
    assert excinfo.value.folder == folder
    kept = json.loads((folder / "history.json").read_text())
    assert kept["weights"] == "epoch-1.weights.h5" and len(kept["history"]["loss"]) == 1
    assert np.isfinite(kept["history"]["loss"]).all()


@pytest.mark.parametrize("epochs", [0, -3])
def test_too_few_epochs_raise(epochs):
    with pytest.raises(ValueError, match=f"epochs is {epochs}: use at least 1"):
        train(epochs=epochs)


@pytest.mark.parametrize("name", ["", "a/b", "../up", "two words", "a\n"])
def test_invalid_name_raises(name):
    with pytest.raises(ValueError, match="use letters, digits"):
        train(name=name)
    assert not training.runs_folder().exists()


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
    training.predict_masks(tiny_model(), random_split(6), batch_size=4)
    assert capsys.readouterr().out == "predicted 6 of 6 images\n"


@pytest.mark.parametrize("shape", [(1, SIZE, SIZE, 3), (SIZE, SIZE)], ids=str)
def test_predict_mask_rejects_other_shapes(shape):
    with pytest.raises(ValueError, match=r"one image \[H, W, 3\], got shape \("):
        training.predict_mask(tiny_model(), np.zeros(shape, np.uint8))
