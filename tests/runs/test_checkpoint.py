"""Resuming: interrupted, stopped, killed and damaged trainings end as undisturbed ones."""

import errno
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from labkit import metrics, profile, training
from labkit.batches import Batches
from labkit.experiments import declared, recipes
from labkit.runs.folder import Diverged, runs_folder
from tests.trainings import (
    EPOCHS,
    assert_outcomes_equal,
    interrupted_run,
    outcome,
    random_split,
    seconds,
    tiny_model,
    train,
)

pytestmark = [
    pytest.mark.usefixtures("eager", "folders"),
    pytest.mark.filterwarnings("ignore:Even though the .*tf.data:UserWarning"),
]


def copy_run(run):
    """Copy a run's folder to the runs folder of this test."""
    return shutil.copytree(run.folder, runs_folder() / run.folder.name)


def forbid_training(monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", lambda *args, **options: pytest.fail("trained again"))


# --- interrupted and finished trainings ----------------------------------------------------------


def test_run_folder_contents(uninterrupted):
    run = uninterrupted[1]
    names = {path.name for path in run.folder.iterdir()}
    assert names == {run.best_weights.name, f"epoch-{EPOCHS}.weights.h5", "history.json"}
    assert json.loads((run.folder / "history.json").read_text())["history"] == run.history
    model = tiny_model(seed=5)
    model.load_weights(run.folder / f"epoch-{EPOCHS}.weights.h5")
    np.testing.assert_equal(model.get_weights(), uninterrupted[0][0])


@pytest.mark.parametrize(
    "at",
    [
        pytest.param((0, 0), id="first epoch", marks=pytest.mark.slow),
        pytest.param((2, 1), id="third epoch"),
    ],
)
@pytest.mark.parametrize("rebuilt", [True, False])
def test_interrupted_training_resumes_to_same_result(uninterrupted, at, rebuilt, capsys):
    model = tiny_model()
    interrupted_run(*at, model=model)
    model = tiny_model() if rebuilt else model  # the first call has changed it
    run = train(model)
    assert_outcomes_equal(outcome(model, run), uninterrupted[0])
    expected = f"{run.folder} has {at[0]} of {EPOCHS} epochs: resuming.\n"
    assert expected in capsys.readouterr().out


def test_finished_training_is_loaded(uninterrupted, capsys, monkeypatch):
    copy_run(uninterrupted[1])
    forbid_training(monkeypatch)
    model = tiny_model()
    run = train(model)
    assert_outcomes_equal(outcome(model, run), uninterrupted[0])
    assert run.provenance == uninterrupted[1].provenance
    assert run.best_weights.read_bytes() == uninterrupted[1].best_weights.read_bytes()
    assert f"{EPOCHS} of {EPOCHS} epochs: loaded.\nDelete that" in capsys.readouterr().out


def test_run_is_usable_in_another_working_folder(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("LABKIT_RUNS")
    monkeypatch.chdir(tmp_path)
    run = train(epochs=1)
    assert run.folder.parent == tmp_path / "runs"
    train(epochs=1)
    assert f"runs/{run.folder.name} has 1 of 1" in capsys.readouterr().out
    monkeypatch.chdir("/")
    tiny_model().load_weights(run.best_weights)


def test_training_again_after_deleting_folder_starts_from_present_weights():
    model = tiny_model()
    run = train(model, epochs=1)
    shutil.rmtree(run.folder)
    before = training.predict_masks(model, random_split())
    again = train(model, epochs=1)
    assert again.folder != run.folder  # the weights are others now
    assert not np.array_equal(training.predict_masks(model, random_split()), before)
    assert train(tiny_model(), epochs=1).folder == run.folder


def test_unseeded_layers_are_named_when_resuming(capsys):
    def model():
        return tiny_model(kernel_initializer="he_normal")

    interrupted_run(1, 0, model=model())
    train(model())
    assert "random initial weights of conv2d" in capsys.readouterr().out


def resumed_like_uninterrupted(make, at, monkeypatch, tmp_path, run=train):
    """Assert that a training which is interrupted ends as one that is not.

    ``make`` returns the options of a training; it is called for each.
    """
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "undisturbed"))
    options = make()
    expected = outcome(options["model"], run(**options))
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "interrupted"))
    kept = seconds(interrupted_run(*at, run=run, **make()))
    options = make()
    resumed = run(**options)
    assert resumed.history["seconds"][: len(kept)] == kept
    assert_outcomes_equal(outcome(options["model"], resumed), expected)
    forbid_training(monkeypatch)
    options = make()
    assert_outcomes_equal(outcome(options["model"], run(**options)), expected)
    return resumed


def averaging(rate=0.05):
    return keras.optimizers.AdamW(rate, use_ema=True, ema_momentum=0.9)


class Counter(keras.callbacks.Callback):
    """Adds the number of batches so far to the history, with state of many kinds."""

    def __init__(self):
        super().__init__()
        self.state = {"batches": [0], "sum": np.zeros(2), "pair": (1, None)}

    def on_train_batch_end(self, batch, logs=None):
        self.state["batches"][0] += 1
        self.state["sum"] += 1

    def on_epoch_end(self, epoch, logs=None):
        logs["batches"] = self.state["batches"][0] + self.state["sum"].sum()


TRAININGS = {
    "schedule, augmentation, averaged weights and a random layer": lambda: {
        "model": tiny_model(extra=[layers.Dropout(0.5, seed=1)]),
        "optimizer": averaging(keras.optimizers.schedules.ExponentialDecay(0.05, 2, 0.7)),
        "augmented": True,
    },
    "callbacks": lambda: {
        "model": tiny_model(),
        "optimizer": keras.optimizers.SGD(0.1),
        "callbacks": [
            keras.callbacks.ReduceLROnPlateau("loss", 0.1, 1, min_delta=10, min_lr=1e-3),
            Counter(),
        ],
        "val_ds": None,
    },
}


@pytest.mark.parametrize("name", TRAININGS)
def test_state_survives_interruption(name, monkeypatch, tmp_path):
    resumed_like_uninterrupted(TRAININGS[name], (2, 0), monkeypatch, tmp_path)


@pytest.mark.slow
def test_compiled_training_resumes_to_same_result(compiled, monkeypatch, tmp_path):
    def make():
        return {"model": tiny_model(), "optimizer": averaging(), "augmented": True}

    resumed_like_uninterrupted(make, (1, 1), monkeypatch, tmp_path)


def early_stopping(**options):
    stop = keras.callbacks.EarlyStopping("val_loss", min_delta=10, patience=2, **options)
    return {"model": tiny_model(), "callbacks": [stop], "epochs": 9}


@pytest.mark.parametrize("restore", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_stopped_training_is_finished(restore, monkeypatch, tmp_path, capsys):
    def make():
        return early_stopping(restore_best_weights=restore)

    run = resumed_like_uninterrupted(make, (2, 0), monkeypatch, tmp_path)
    assert len(run.history["loss"]) == 3
    assert "has 3 of 9 epochs, stopped early: loaded" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [early_stopping, pytest.param(lambda: {"optimizer": averaging()}, marks=pytest.mark.slow)],
)
def test_training_killed_before_its_end_is_saved(options, monkeypatch, tmp_path):
    from labkit.runs.checkpoint import Checkpoint

    def make():
        return {"model": tiny_model(), **options()}

    expected = make()
    expected = outcome(expected["model"], train(**expected))
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "killed"))
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "on_train_end", lambda self, logs=None: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(**make())
    again = make()
    assert_outcomes_equal(outcome(again["model"], train(**again)), expected)


def kind(recipe):
    """What decides which state a training has: not its numbers, nor how skips are joined."""
    numbers = recipe.dice, recipe.averaging, recipe.weight_decay, recipe.encoder_rate == 1
    architecture = recipe.architecture.partition(":")[0]
    choices = recipe.loss, recipe.augmented, recipe.fine_tune, recipe.gradients, recipe.one_cycle
    return architecture, *map(bool, numbers), *choices


@pytest.mark.slow
@pytest.mark.parametrize("name", {kind(r): name for name, r in declared.RECIPES.items()}.values())
def test_declared_recipe_resumes_to_same_result(
    name, monkeypatch, tmp_path, make_split, short_encoder_here
):
    recipe = recipes.find(name)
    filters = (8, 8, 4, 4)[: len(recipe.filters)]
    recipe = replace(recipe, epochs=2, batch_size=4, image_size=32, filters=filters)
    train_split = make_split(4, 32)

    def run(callbacks=()):
        return recipes.fit(recipe, 0, train_split)

    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "undisturbed"))
    expected = outcome(*run())
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "interrupted"))
    kept = seconds(interrupted_run(1, 0, run=run))
    model, resumed = run()
    assert resumed.history["seconds"][:1] == kept
    assert_outcomes_equal(outcome(model, resumed), expected)


def test_averaged_weights_are_validated_and_returned():
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_test_begin=lambda logs: seen.append(model.get_weights()[0])
    )
    model = tiny_model()
    run = train(model, optimizer=averaging(), callbacks=[watch])
    np.testing.assert_allclose(model.get_weights()[0], seen[-1], rtol=1e-5)
    model.load_weights(run.best_weights)
    best = int(np.argmax(run.history["val_mean_iou"]))
    np.testing.assert_allclose(model.get_weights()[0], seen[best], rtol=1e-4, atol=1e-6)


def test_first_of_equal_epochs_is_the_best():
    run = train(optimizer=keras.optimizers.SGD(0.0), epochs=2)
    assert len(set(run.history["val_mean_iou"])) == 1
    assert run.best_weights.name == "best-1.weights.h5"


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_best_weights_are_those_that_were_validated(policy):
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        model = tiny_model()
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    run = train(model, optimizer=averaging(0.01))
    model.load_weights(run.best_weights)
    val = random_split(4, seed=1)
    mean_iou = metrics.mean_iou(val.masks, training.predict_masks(model, val))
    assert mean_iou == pytest.approx(max(run.history["val_mean_iou"]), rel=1e-5)


# --- damaged, missing and unwritable files -------------------------------------------------------

DAMAGES = {
    "half": lambda file: os.truncate(file, file.stat().st_size // 2),
    "empty": lambda file: os.truncate(file, 0),
    "missing": Path.unlink,
    "changed": lambda file: file.write_bytes(file.read_bytes().replace(b"0", b"1")),
}


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        ("history.json", "half"),
        ("history.json", "missing"),
        pytest.param("history.json", "empty", marks=pytest.mark.slow),
        pytest.param("history.json", "changed", marks=pytest.mark.slow),
        ("epoch-*", "half"),
        ("best-*", "missing"),
        ("callbacks-*", "changed"),
    ],
)
def test_damaged_file_is_named_and_training_starts_again(
    kind, damage, uninterrupted, monkeypatch, capsys
):
    if kind == "callbacks-*":
        folder = interrupted_run(1, 0, callbacks=[Counter()])
    else:
        folder = copy_run(uninterrupted[1])
    (file,) = folder.glob(kind)
    DAMAGES[damage](file)
    model = tiny_model()
    callbacks = [Counter()] if kind == "callbacks-*" else []
    if (kind, damage) == ("history.json", "changed"):
        file.write_text('{"weights": 3}')
    run = train(model, callbacks=callbacks)
    np.testing.assert_allclose(model.get_weights()[0], uninterrupted[0][0][0], rtol=1e-5)
    output = capsys.readouterr().out
    assert output.count(f"{file} is damaged or missing: training starts again.") == 1
    assert run.folder == folder and run.best_weights.exists()


def test_damaged_file_and_trained_model_raise(uninterrupted):
    model = tiny_model()
    folder = interrupted_run(2, 0, model=model)
    (folder / "epoch-2.weights.h5").unlink()
    with pytest.raises(ValueError, match="epoch-2.weights.h5 is damaged or missing: build the mod"):
        train(model)
    model = tiny_model()
    assert_outcomes_equal(outcome(model, train(model)), uninterrupted[0])


def test_resume_ignores_files_of_unfinished_epoch(uninterrupted):
    folder = interrupted_run(2, 0)
    kept = (folder / "epoch-2.weights.h5").read_bytes()
    (folder / "new-epoch-3.weights.h5").write_bytes(kept[: len(kept) // 2])  # killed while writing
    (folder / "epoch-3.weights.h5").write_bytes(kept[:100])  # killed before the history was written
    (folder / "best-3.weights.h5").write_bytes(kept[:100])
    (folder / "epoch-1.weights.h5").write_bytes(kept)  # killed before it was deleted
    (folder / "new-history.json").write_text('{"weights": "epoch-3.wei')
    model = tiny_model()
    run = train(model)
    assert run.folder == folder
    assert_outcomes_equal(outcome(model, run), uninterrupted[0])
    names = {path.name for path in folder.iterdir()}
    assert names == {run.best_weights.name, f"epoch-{EPOCHS}.weights.h5", "history.json"}


def test_full_disk_is_named_and_keeps_epochs(monkeypatch, uninterrupted):
    save, full = keras.Model.save_weights, "epoch-2"

    def save_weights(self, path, **options):
        save(self, path, **options)
        if full in path.name:
            os.truncate(path, 100)
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "save_weights", save_weights)
        with pytest.raises(OSError, match=r"can't write to .*tiny-.*No space left.*LABKIT_RUNS"):
            train()
    (folder,) = runs_folder().iterdir()
    assert not list(folder.glob("*epoch-2*"))
    model = tiny_model()
    assert_outcomes_equal(outcome(model, train(model)), uninterrupted[0])


READ_ONLY = """
    import os, sys
    sys.path[:0] = {path!r}
    os.chdir({folder!r})
    import tensorflow as tf
    tf.config.run_functions_eagerly(True)
    from tests.trainings import train
    train(epochs={epochs})
"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv takes away root's rights")
def test_read_only_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("LABKIT_RUNS")
    monkeypatch.chdir(tmp_path)
    train(epochs=1)
    for path in [*tmp_path.rglob("*"), tmp_path]:
        path.chmod(0o555 if path.is_dir() else 0o444)

    def run(epochs):
        code = READ_ONLY.format(path=sys.path, folder=str(tmp_path), epochs=epochs)
        command = [sys.executable, "-c", textwrap.dedent(code)]
        rights = "-dac_override,-dac_read_search,-fowner"
        command = ["setpriv", f"--bounding-set={rights}", "--inh-caps=-all", *command]
        return subprocess.run(command, capture_output=True, text=True)

    finished = run(epochs=1)
    assert "has 1 of 1 epochs: loaded" in finished.stdout, finished.stderr
    refused = run(epochs=2).stderr.splitlines()[-1]
    assert refused.startswith("OSError: can't write to ") and "set LABKIT_RUNS" in refused
    tmp_path.chmod(0o755)


# --- two processes -------------------------------------------------------------------------------


class ReportBatches(keras.callbacks.Callback):
    """Reports each finished batch to the process that started this one."""

    def __init__(self):
        super().__init__()
        self.pipe = None

    def on_train_batch_end(self, batch, logs=None):
        self.pipe.send("batch")
        time.sleep(0.01)


def train_in_process(pipe, epochs, runs):
    """Target of another process."""
    os.environ["LABKIT_RUNS"] = runs  # the fork server may come from another test
    tf.config.run_functions_eagerly(True)
    report = ReportBatches()
    report.pipe = pipe
    fit = keras.Model.fit
    keras.Model.fit = lambda self, *args, callbacks, **options: fit(
        self, *args, callbacks=[*callbacks, report], **options
    )
    train(epochs=epochs)
    pipe.send("finished")


def start_training(epochs):
    """Another process that trains, and the pipe of its reports."""
    # Fork from a process that has imported Keras; otherwise each start takes seconds.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tensorflow", "labkit.training"])
    receiver, sender = context.Pipe()
    process = context.Process(
        target=train_in_process, args=(sender, epochs, os.environ["LABKIT_RUNS"])
    )
    process.start()
    return process, receiver


def train_and_kill(epochs, random):
    """Train in a process and kill it within the next two epochs or while it saves them.

    Returns False if the training finished first.
    """
    process, receiver = start_training(epochs)
    messages = [receiver.recv() for _ in range(random.randrange(1, 5))]
    time.sleep(random.random() * 0.05)
    process.kill()  # SIGKILL: no cleanup is possible
    process.join()
    assert process.exitcode == -9
    return "finished" not in messages


@pytest.mark.slow
def test_killed_training_resumes_to_same_result(monkeypatch, tmp_path, capsys):
    kills, epochs, least, seed = 20, 24, 6, 7
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
    assert f"{len(kept)} of {epochs} epochs: resuming" in capsys.readouterr().out


@pytest.mark.slow
def test_second_process_waits_and_loads(uninterrupted, capsys, monkeypatch):
    process, receiver = start_training(EPOCHS)
    assert receiver.recv() == "batch"
    forbid_training(monkeypatch)
    model = tiny_model()
    run = train(model)
    process.join()
    assert_outcomes_equal(outcome(model, run), uninterrupted[0])
    output = capsys.readouterr().out
    assert f"is being trained by process {process.pid} on" in output and "loaded" in output


# --- provenance and divergence -------------------------------------------------------------------


def commits(folder):
    return json.loads((folder / "history.json").read_text())["commit"]


def test_loaded_training_keeps_provenance(monkeypatch):
    first = train(epochs=1)
    assert set(first.provenance) == set(profile.PROVENANCE)
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


def test_nan_loss_stops_before_epoch_ends():
    train_ds = Batches(random_split(12 * 30), 6, seed=0)
    batches = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batches.append(1))
    bad = tiny_model(bias_initializer=keras.initializers.Constant(np.nan))
    with pytest.raises(ValueError, match="loss became nan in epoch 1"):
        training.train(bad, train_ds, epochs=1, name="bad", callbacks=[count])
    assert len(batches) < len(train_ds)


class Spoil(keras.callbacks.Callback):
    """Sets all weights to NaN before the second epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            self.model.set_weights([weight * np.nan for weight in self.model.get_weights()])


def test_nan_loss_keeps_previous_epochs():
    match = "loss became nan in epoch 2: lower the learning rate.* has the epochs before"
    with pytest.raises(Diverged, match=match) as excinfo:
        train(callbacks=[Spoil()])
    (folder,) = runs_folder().iterdir()
    assert excinfo.value.folder == folder
    kept = json.loads((folder / "history.json").read_text())
    assert kept["weights"] == "epoch-1.weights.h5" and len(kept["history"]["loss"]) == 1
    assert np.isfinite(kept["history"]["loss"]).all()
    assert not (folder / "training.lock").exists()
