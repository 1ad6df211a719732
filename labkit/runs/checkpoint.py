"""Saves a training after each epoch, and loads it again."""

import hashlib
import json
import math
import os
import shutil
import time
from contextlib import suppress
from functools import partial

import keras
import numpy as np
from keras import ops

from labkit import profile
from labkit.runs import state
from labkit.runs.folder import Diverged, Run, shown, write_error


class Checkpoint(keras.callbacks.Callback):
    """Saves weights, optimizer, history and all state that a resumed training needs.

    A killed process loses at most one epoch: the history file names its weights file, and each
    file is replaced in one step. Keras's ``BackupAndRestore`` keeps neither the history nor the
    best weights nor the state of callbacks and random layers, and deletes its folder at the end.

    Args:
        folder: of the run.
        identity: the training's ``identity.Identity``.
        train_ds: its ``Batches``.
        epochs: the number of epochs asked for.
        best_by: name of the score that chooses the best epoch.
    """

    def __init__(self, folder, identity, train_ds, epochs, best_by):
        super().__init__()
        self.folder, self.identity, self.train_ds = folder, identity, train_ds
        self.epochs, self.best_by, self.callbacks = epochs, best_by, identity.callbacks
        self.history, self.record, self.problem = {}, None, None

    # --- loading ---------------------------------------------------------------------------------

    def load_finished(self, model):
        """Load a finished training; returns whether there is one. It writes nothing."""
        self.set_model(model)
        self.record = self._read()
        if self.record is None or not self.record["finished"]:
            return False
        self._load()
        self.provenance = {key: self.record[key] for key in profile.PROVENANCE}
        self._announce("loaded")
        return True

    def resume(self, lock):
        """Load the last saved epoch, if there is one; returns (first, last epoch to train).

        A new run saves its initial weights, so that a call that is interrupted in the first epoch
        starts from them again.
        """
        self.lock = lock
        self.provenance = profile.provenance(self.model)
        if self.record is None:
            self._start_again()
            return 0, self.epochs
        self._load()
        commits = [*self.record["commit"].split(", "), self.provenance["commit"]]
        self.provenance["commit"] = ", ".join(dict.fromkeys(commits))  # the run is of both
        self._announce("resuming")
        done = self.done
        return done, done if self.record["stopped"] else self.epochs

    def _start_again(self):
        if self.problem:
            if self.identity.continued:
                raise ValueError(f"{self.problem}: build the model again, and call train again")
            print(f"{self.problem}: training starts again.")
        self._save_epoch()

    def _read(self):
        """The record of the last saved epoch; None if there is none, or a file is damaged."""
        file = self.folder / "history.json"
        damaged = []
        try:
            record = json.loads(file.read_text())
            damaged = [name for name, code in record["codes"].items() if self._code(name) != code]
        except FileNotFoundError:
            record = None
            if self.folder.is_dir() and any(self.folder.glob("*.weights.h5")):
                damaged = ["history.json"]
        except (ValueError, KeyError, TypeError, AttributeError):
            damaged = ["history.json"]
        if damaged:
            self.problem = f"{shown(self.folder / damaged[0])} is damaged or missing"
            return None
        return record

    def _code(self, name):
        """A code of a file's content, None if it is missing."""
        with suppress(FileNotFoundError), open(self.folder / name, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
        return None

    def _load(self):
        self.model.load_weights(self.folder / self.record["weights"])
        for variable, value in zip(self._seeds(), self.record["seeds"], strict=True):
            variable.assign(np.array(value, variable.dtype))
        self.history = self.record["history"]

    def _announce(self, action):
        """Print what is loaded, and what was not compared with the training that made it."""
        early = ", stopped early" if self.record["stopped"] else ""
        print(
            f"{shown(self.folder)} has {self.done} of {self.epochs} epochs{early}: {action}.\n"
            "Delete that folder to train again."
        )
        for name in self.identity.uncompared:
            print(f"Not compared with that training: {name}.")
        unseeded = self.identity.unseeded
        if not self.identity.continued and unseeded != self.record["unseeded"]:
            layers = ", ".join(name.split(" ", 1)[1] for name in list(unseeded)[:3])
            more = ", ..." if len(unseeded) > 3 else ""
            print(f"Not compared with that training: random initial weights of {layers}{more}.")

    def run(self):
        """The training's ``Run``."""
        best = self.folder / self.record["best"] if self.record["best"] else None
        return Run(self.history, self.folder, self.provenance, best)

    @property
    def done(self):
        """The number of finished epochs."""
        return len(self.history.get("loss", ()))

    def _seeds(self):
        """The state of random layers, which Keras does not save with the weights."""
        weights = {id(weight) for weight in self.model.weights}
        return [variable for variable in self.model.variables if id(variable) not in weights]

    # --- saving ----------------------------------------------------------------------------------

    def on_train_begin(self, logs=None):
        # After the callbacks' own on_train_begin, which resets them.
        if self.callbacks:
            state.load(self.callbacks, self.folder / self.record["states"])

    def on_epoch_begin(self, epoch, logs=None):
        self.train_ds.epoch = epoch  # Keras has called on_epoch_end once before the first epoch
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if batch % 20 == 0:  # reading the loss makes a GPU wait
            self._check_loss(logs)

    def on_epoch_end(self, epoch, logs=None):
        logs = {key: float(value) for key, value in logs.items()}
        self._check_loss(logs)
        for key, value in {**logs, "seconds": time.perf_counter() - self.started}.items():
            self.history.setdefault(key, []).append(value)
        scores = self.history[self.best_by]
        self._save_epoch(best=scores.index(max(scores)) == epoch)

    def on_train_end(self, logs=None):
        """Save the result, which averaging or a callback may have changed since the last epoch."""
        if self.callbacks or unscaled(self.model.optimizer).use_ema:
            self._save_weights("final.weights.h5")
            self.record["weights"] = "final.weights.h5"
        self._save_record(finished=True)

    def _check_loss(self, logs):
        if not math.isfinite(loss := float(logs["loss"])):
            raise Diverged(loss, self.done + 1, self.folder)

    def _save_epoch(self, best=False):
        """Save the state after some epochs."""
        record = self.record or {"best": None, "unseeded": self.identity.unseeded}
        record |= {"weights": f"epoch-{self.done}.weights.h5", "states": None}
        self.record = record
        self._save_weights(record["weights"])
        if best:
            record["best"] = f"best-{self.done}.weights.h5"
            self._save_best(record["best"], record["weights"])
        if self.callbacks:
            record["states"] = f"callbacks-{self.done}.npz"
            self._replace(record["states"], partial(state.save, self.callbacks))
        self._save_record(finished=False)

    def _save_record(self, finished):
        """Save the record, which names the other files, then delete those of earlier epochs."""
        self.provenance |= profile.date_and_memory()
        files = [self.record[key] for key in ("weights", "best", "states") if self.record[key]]
        known = self.record.get("codes", {})  # no file is written twice under one name
        self.record |= {
            "finished": finished,
            "stopped": self.model.stop_training,
            "history": self.history,
            "seeds": [ops.convert_to_numpy(seed).tolist() for seed in self._seeds()],
            "codes": {name: known.get(name) or self._code(name) for name in files},
            **self.provenance,
        }
        self._replace("history.json", lambda file: file.write_text(json.dumps(self.record)))
        for old in [*self.folder.glob("*.weights.h5"), *self.folder.glob("*.npz")]:
            if old.name not in files:
                old.unlink(missing_ok=True)

    def _save_best(self, name, weights):
        """Save the validated weights: the averaged ones, if the optimizer averages."""
        if not unscaled(self.model.optimizer).use_ema:  # copying is much faster than saving again
            self._replace(name, partial(shutil.copyfile, self.folder / weights))
            return
        variables = self.model.trainable_variables
        values = [ops.convert_to_numpy(variable) for variable in variables]
        self.model.optimizer.finalize_variable_values(variables)
        self._save_weights(name)
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def _save_weights(self, name):
        """Save weights and optimizer."""
        self._replace(name, partial(self.model.save_weights, overwrite=True))

    def _replace(self, name, write):
        """Write a file under another name first, so that it is complete or not there."""
        self.lock.check()
        file = self.folder / f"new-{name}"
        try:
            write(file)
            os.replace(file, self.folder / name)
        except (OSError, RuntimeError) as error:  # h5py raises both
            with suppress(OSError):
                file.unlink()
            raise write_error(self.folder, error) from error


def unscaled(optimizer):
    """The optimizer inside the one that scales the loss in mixed precision."""
    return getattr(optimizer, "inner_optimizer", optimizer)
