"""Train a model in one call that can be interrupted, shows its progress and saves its result."""

import hashlib
import inspect
import json
import math
import os
import re
import shutil
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import keras
import numpy as np
from keras import ops

from labkit import __version__, losses, metrics, profile


@dataclass(frozen=True)
class Run:
    """The result of ``train``.

    Attributes:
        history: a list of numbers by name, one an epoch: ``loss``, ``accuracy``, ``pet_iou`` (of
            class 0), ``mean_iou``, the same with ``val_``, and ``seconds``.
        folder: of the weights and the history.
        provenance: ``profile.provenance`` when it was trained, also if it was loaded.
    """

    history: dict
    folder: Path
    provenance: dict = field(default_factory=dict)

    @property
    def best_weights(self):
        """File of the weights of the best epoch, for ``model.load_weights``."""
        return self.folder / "best.weights.h5"


class Diverged(ValueError):
    """The loss is not finite; ``folder`` has the epochs before."""

    def __init__(self, loss, epoch, folder):
        super().__init__(
            f"the loss became {loss} in epoch {epoch}: lower the learning rate, and check that all "
            f"mask values are classes. {folder} has the epochs before"
        )
        self.folder = folder


def train(
    model,
    train_ds,
    val_ds=None,
    *,
    epochs,
    name,
    optimizer=None,
    loss=None,
    callbacks=(),
):
    """Compile and fit a model; resume where an interrupted call stopped.

    Args:
        model: image ``[B, H, W, 3]`` -> logits ``[B, H, W, C]``. Its weights are changed.
        train_ds: ``labkit.batches.Batches`` with a seed.
        val_ds: ``Batches`` to score after each epoch, or None.
        epochs: the number of passes over ``train_ds``.
        name: of the run. Its folder is ``runs/NAME-FINGERPRINT`` in the working folder (or in
            ``LABKIT_RUNS``); see ``fingerprint``.
        optimizer: a Keras optimizer; None for AdamW with the learning rate ``one_cycle``.
        loss: a loss on logits; None for cross-entropy.
        callbacks: more Keras callbacks; what they add to an epoch's logs is saved. A callback that
            changes the result needs a ``get_config``, and may not have a state of its own.

    Returns:
        A ``Run``. The model has the weights of the last epoch. The best epoch's (by
        ``val_mean_iou``, or ``mean_iou`` without ``val_ds``) are in ``run.best_weights``.

    Raises:
        ValueError: for an invalid argument.
        Diverged: if the loss is not finite; a ``ValueError`` too.

    The same call with the same arguments resumes an interrupted run and loads a finished one.
    """
    if epochs < 1:
        raise ValueError(f"epochs is {epochs}: use at least 1")
    if not re.fullmatch(r"[\w.-]+", name):
        raise ValueError(f"name is {name!r}: use letters, digits, . _ - only, as it names a folder")
    optimizer = optimizer or keras.optimizers.AdamW(one_cycle(train_ds, epochs), weight_decay=1e-4)
    loss = loss or losses.CrossEntropy()
    _compile(model, optimizer, loss, num_classes=_classes(model, train_ds))

    code = fingerprint(model, train_ds, val_ds, epochs, optimizer, loss, callbacks)
    folder = runs_folder() / f"{name}-{code}"
    checkpoint = Checkpoint(folder, train_ds, epochs, "val_mean_iou" if val_ds else "mean_iou")
    # The averaged weights are validated, because they are the result.
    average = [keras.callbacks.SwapEMAWeights()] if optimizer.use_ema else []
    done = checkpoint.restore(model)
    if done < epochs:
        model.fit(
            train_ds,
            validation_data=val_ds,
            epochs=epochs,
            initial_epoch=done,
            shuffle=False,  # Batches shuffles, the same way each time
            callbacks=[*average, *callbacks, checkpoint, Progress(epochs)],
            verbose=0,
        )
    # Use the averaged weights, if the optimizer has any, after training and after loading.
    model.optimizer.finalize_variable_values(model.trainable_variables)
    return Run(checkpoint.history, folder, checkpoint.provenance)


def _classes(model, train_ds):
    """The number of classes of a model's logits; a call builds a model without an input shape."""
    if model.built and hasattr(model, "output_shape"):
        return model.output_shape[-1]
    return model(train_ds[0][0]).shape[-1]


def _compile(model, optimizer, loss, num_classes):
    iou, mean_iou = metrics.IoU("pet", num_classes=num_classes), metrics.MeanIoU(num_classes)
    scores = ["accuracy", iou, mean_iou]
    model.compile(optimizer, loss, metrics=scores, run_eagerly=profile.current().eager)


def one_cycle(train_ds, epochs, peak=1e-3):
    """A learning rate schedule that rises to ``peak`` in a fifth of the steps and falls to zero.

    Source: Smith and Topin (2018), arXiv:1708.07120, with a cosine for the fall.
    """
    steps = epochs * len(train_ds)
    rise = max(1, steps // 5)
    return keras.optimizers.schedules.CosineDecay(
        peak / 25, max(1, steps - rise), warmup_target=peak, warmup_steps=rise
    )


@keras.saving.register_keras_serializable("labkit.training")
class TwoRates(keras.optimizers.AdamW):
    """AdamW with a lower learning rate for some of the model's variables.

    A pretrained encoder needs small steps, a new decoder large ones. (Keras 3.15 has
    ``MultiOptimizer`` for this; 3.13, which Google Colab has, does not.)

    Args:
        learning_rate: a number or a schedule, for most variables.
        slow: paths of the variables with the lower rate, ``[v.path for v in layer.variables]``.
        slow_rate: the factor for their learning rate; weight decay stays the same.
        options: as for ``keras.optimizers.AdamW``.
    """

    def __init__(self, learning_rate, slow=(), slow_rate=1.0, **options):
        super().__init__(learning_rate, **options)
        self.slow, self.slow_rate = list(slow), slow_rate

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        slow = set(self.slow)
        for is_slow, rate in ((False, learning_rate), (True, learning_rate * self.slow_rate)):
            part = [
                (grad, variable)
                for grad, variable in zip(grads, trainable_variables, strict=True)
                if (variable.path in slow) == is_slow
            ]
            if part:
                super()._backend_update_step(*map(list, zip(*part, strict=True)), rate)

    def get_config(self):
        return {**super().get_config(), "slow": self.slow, "slow_rate": self.slow_rate}


def runs_folder():
    """The folder of all runs: ``LABKIT_RUNS``, or ``runs`` in the working folder."""
    return Path(os.environ.get("LABKIT_RUNS") or "runs")


def fingerprint(model, train_ds, val_ds, epochs, optimizer, loss, callbacks=()):
    """Eight characters that identify a training by everything that shapes its result.

    The model's initial weights are identified by the seeds of its layers, callbacks by their
    ``get_config``.
    """
    described = [
        re.sub(r"_\d+\b", "", model.to_json()),  # without Keras's counter of unnamed layers
        [tuple(v.shape) for v in model.trainable_variables],
        [_contents(batches) for batches in (train_ds, val_ds) if batches],
        epochs,
        re.sub(r"_\d+\b", "", json.dumps(optimizer.get_config(), default=str)),
        _source(loss),
        __version__,
        *(str(callback.get_config()) for callback in callbacks if hasattr(callback, "get_config")),
    ]
    return hashlib.sha256(repr(described).encode()).hexdigest()[:8]


def weights_code(model):
    """Eight characters that identify a model's weights."""
    numbers = b"".join(weight.tobytes() for weight in model.get_weights())
    return hashlib.sha256(numbers).hexdigest()[:8]


def _contents(batches):
    """Settings of batches and a hash of about 16 of their images and masks."""
    split = batches.split
    every = slice(None, None, max(1, len(split) // 16))
    pixels = split.images[every].tobytes() + split.masks[every].tobytes()
    digest = hashlib.sha256(pixels).hexdigest()
    return len(split), batches.batch_size, batches.seed, batches.augmented, digest


def _source(loss):
    """Settings and source of a loss, so that an edited function makes another run."""
    if inspect.isfunction(loss):  # variables of an enclosing function are settings
        settings, code = inspect.getclosurevars(loss).nonlocals, loss
    elif hasattr(loss, "get_config"):
        settings, code = loss.get_config(), type(loss)
    else:
        return repr(loss)
    try:
        return str(settings), inspect.getsource(code)
    except (OSError, TypeError):
        return str(settings), repr(code)


class Checkpoint(keras.callbacks.Callback):
    """Saves weights, optimizer, history and provenance after each epoch.

    A killed process loses at most one epoch: the history file names its weights file, and each
    file is replaced in one step. Keras's ``BackupAndRestore`` keeps neither the history nor the
    best weights, and deletes its folder when training ends.
    """

    def __init__(self, folder, train_ds, epochs, best_by):
        super().__init__()
        self.folder, self.train_ds = Path(folder), train_ds
        self.epochs, self.best_by = epochs, best_by
        self.history = {}

    def restore(self, model):
        """Load the last saved epoch into the model; returns the number of finished epochs.

        A new run saves its initial weights, so that a call that is interrupted in the first epoch
        starts from them again.
        """
        self.set_model(model)
        self.provenance = profile.provenance(model)
        model.optimizer.build(model.trainable_variables)
        self.folder.mkdir(parents=True, exist_ok=True)
        record = self.folder / "history.json"
        if not record.exists():
            self._save_epoch(0)
            return 0
        saved = json.loads(record.read_text())
        if not (self.folder / saved["weights"]).exists():
            print(f"{self.folder} has lost {saved['weights']}: training starts again.")
            self._save_epoch(0)
            return 0
        model.load_weights(self.folder / saved["weights"])
        self.history = saved["history"]
        done = len(self.history.get("loss", ()))
        self._merge_provenance(saved, finished=done == self.epochs)
        action = "loaded" if done == self.epochs else "resuming"
        print(
            f"{done} of {self.epochs} epochs are in {self.folder}: {action}. "
            "Delete that folder to train again."
        )
        return done

    def _merge_provenance(self, saved, finished):
        """Add the provenance of the saved epochs, which may have been trained by other code."""
        earlier = {key: saved[key] for key in self.provenance if key in saved}
        if finished:
            self.provenance |= earlier
        elif "commit" in earlier:  # the run is one of both commits
            commits = [*earlier["commit"].split(", "), self.provenance["commit"]]
            self.provenance["commit"] = ", ".join(dict.fromkeys(commits))

    def on_epoch_begin(self, epoch, logs=None):
        self.train_ds.epoch = epoch  # Keras has called on_epoch_end once before the first epoch
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if batch % 20 == 0:  # reading the loss makes a GPU wait
            self._check_loss(logs, epoch=len(self.history.get("loss", ())))

    def on_epoch_end(self, epoch, logs=None):
        logs = {key: float(value) for key, value in logs.items()}
        self._check_loss(logs, epoch)
        for key, value in {**logs, "seconds": time.perf_counter() - self.started}.items():
            self.history.setdefault(key, []).append(value)
        self._save_epoch(epoch + 1, best=logs[self.best_by] >= max(self.history[self.best_by]))

    def _check_loss(self, logs, epoch):
        if not math.isfinite(loss := float(logs["loss"])):
            raise Diverged(loss, epoch + 1, self.folder)

    def _save_epoch(self, done, best=False):
        """Save the state after some epochs, then delete the one before."""
        weights = f"epoch-{done}.weights.h5"
        self._save_weights(weights)
        if best:
            self._save_best(weights)
        self.provenance |= profile.date_and_memory()
        record = {"weights": weights, "history": self.history, **self.provenance}
        self._replace("history.json", lambda file: file.write_text(json.dumps(record)))
        for old in set(self.folder.glob("epoch-*.weights.h5")) - {self.folder / weights}:
            old.unlink()

    def _save_best(self, weights):
        """Save the validated weights: the averaged ones, if the optimizer averages."""
        if not self.model.optimizer.use_ema:  # copying is much faster than saving again
            copy = partial(shutil.copyfile, self.folder / weights)
            self._replace("best.weights.h5", copy)
            return
        variables = self.model.trainable_variables
        values = [ops.convert_to_numpy(variable) for variable in variables]
        self.model.optimizer.finalize_variable_values(variables)
        self._save_weights("best.weights.h5")
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def _save_weights(self, name):
        """Save weights and optimizer."""
        self._replace(name, partial(self.model.save_weights, overwrite=True))

    def _replace(self, name, write):
        """Write a file under another name first, so that it is complete or not there."""
        file = self.folder / f"new-{name}"
        write(file)
        os.replace(file, self.folder / name)


class Progress(keras.callbacks.Callback):
    """One line that shows epoch, step, loss and time left."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs
        self.line = Line()

    def on_train_begin(self, logs=None):
        self.started, self.steps_done, self.shown = time.perf_counter(), 0, 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.first = getattr(self, "first", epoch)

    def on_train_batch_end(self, batch, logs=None):
        self.steps_done += 1
        now = time.perf_counter()
        if now - self.shown < 1:
            return
        self.shown = now
        steps = self.params["steps"]
        left = (self.epochs - self.first) * steps - self.steps_done
        seconds = left * (now - self.started) / self.steps_done
        self.line.show(
            f"epoch {self.epoch + 1} of {self.epochs}, step {batch + 1} of {steps}, "
            f"loss {float(logs['loss']):.3f}, about {duration(seconds)} left"
        )

    def on_train_end(self, logs=None):
        spent = time.perf_counter() - self.started
        self.line.show(f"{self.epochs} of {self.epochs} epochs, {duration(spent)}", last=True)


def duration(seconds):
    """Seconds as text: "45 s", "3 min 20 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Line:
    """A line of text that replaces itself, in a notebook or on a terminal."""

    def __init__(self):
        self.handle = None
        self.length = 0

    def show(self, text, last=False):
        """Replace the line; ``last`` keeps it. A log file gets the last line only."""
        if in_notebook():
            self._show_in_notebook(text)
        elif sys.stdout.isatty():
            end = "\n" if last else ""
            print("\r" + text.ljust(self.length), end=end, flush=True)
            self.length = len(text)
        elif last:
            print(text, flush=True)

    def _show_in_notebook(self, text):
        from IPython.display import HTML, display

        html = HTML(f"<pre>{text}</pre>")
        if self.handle is None:
            self.handle = display(html, display_id=True)
        else:
            self.handle.update(html)


def in_notebook():
    """Whether this runs in a Jupyter kernel (IPython's terminal does not count)."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")


class DisplayCallback(keras.callbacks.Callback):
    """Shows image, true mask and predicted mask after each epoch, in one figure.

    Args:
        image: uint8 ``[H, W, 3]``.
        mask: integers ``[H, W, 1]``.

    Attributes:
        pred_masks: the prediction after each epoch of this session, uint8 ``[H, W]`` each.
    """

    def __init__(self, image, mask):
        super().__init__()
        self.image, self.mask = image, mask
        self.pred_masks = []
        self.handle = None

    def on_epoch_end(self, epoch, logs=None):
        pred_mask = predict_mask(self.model, self.image)
        self.pred_masks.append(pred_mask)
        if in_notebook():
            self._show(pred_mask, epoch)

    def _show(self, pred_mask, epoch):
        from IPython.display import display

        from labkit import plots  # imports Matplotlib

        figure = plots.display_sample([self.image, self.mask, pred_mask])
        figure.suptitle(f"after epoch {epoch + 1}")
        if self.handle is None:
            self.handle = display(figure, display_id=True)
        else:
            self.handle.update(figure)


def predict_mask(model, image):
    """The class of every pixel of one image ``[H, W, 3]``: uint8 ``[H, W]``."""
    if np.ndim(image) != 3:
        raise ValueError(f"expected one image [H, W, 3], got shape {np.shape(image)}")
    logits = model(ops.convert_to_tensor(image)[None], training=False)
    return np.argmax(ops.convert_to_numpy(logits)[0], axis=-1).astype("uint8")


def predict_masks(model, split, batch_size=32):
    """The class of every pixel of a split: uint8 ``[N, S, S, 1]``."""
    pred_masks = np.empty(split.masks.shape, "uint8")
    for part, logits in predict_logits(model, split, batch_size):
        pred_masks[part] = np.argmax(logits, axis=-1)[..., np.newaxis]
    return pred_masks


def predict_logits(model, split, batch_size=32, flips=False):
    """Yield a slice of the split and its logits, float32 ``[B, S, S, C]``, batch by batch.

    ``flips`` also predicts the mirror image and yields the logarithm of the mean probability.
    Shows its progress after five seconds.
    """
    line, start = Line(), time.perf_counter()
    for first in range(0, len(split), batch_size):
        part = slice(first, first + batch_size)
        logits = _logits(model, split.images[part])
        if flips:
            mirrored = _logits(model, split.images[part][:, :, ::-1])[:, :, ::-1]
            both = (_softmax(logits) + _softmax(mirrored)) / 2
            logits = np.log(np.maximum(both, 1e-12))
        yield part, logits
        if time.perf_counter() - start > 5:
            done = min(first + batch_size, len(split))
            line.show(f"predicted {done} of {len(split)} images", last=done == len(split))


def _logits(model, images):
    return ops.convert_to_numpy(model.predict_on_batch(images))


def _softmax(logits):
    return ops.convert_to_numpy(ops.softmax(logits, axis=-1))
