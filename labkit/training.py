"""Train a model in one call that can be interrupted, shows its progress and saves its result."""

import re
import sys
import time
import warnings

import keras
import numpy as np
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from labkit import losses, metrics, profile
from labkit.classes import PETS, numbered
from labkit.runs.checkpoint import Checkpoint, unscaled
from labkit.runs.folder import runs_folder
from labkit.runs.identity import Identity
from labkit.runs.lock import Lock


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
        name: of the run. Its folder is ``runs/NAME-CODE`` in the working folder, or in
            ``LABKIT_RUNS``.
        optimizer: a Keras optimizer or its name; None for AdamW with the rate of ``one_cycle``.
        loss: a loss on logits; None for cross-entropy.
        callbacks: more Keras callbacks, such as ``EarlyStopping``. What they add to an epoch's
            logs is saved, and so is their state. One with ``only_watches = True`` does not shape
            the training.

    Returns:
        A ``Run``. The model has the weights of the last epoch. The best epoch's (by
        ``val_mean_iou``, or ``mean_iou`` without ``val_ds``) are in ``run.best_weights``.

    Raises:
        ValueError: for an invalid argument, or a model or masks with other classes than the
            split's.
        Diverged: if the loss is not finite; a ``ValueError`` too.
        OSError: if the folder can't be written, or another process has taken it over.

    The same call with the same arguments resumes an interrupted run and loads a finished one. Any
    difference in what shapes the result makes another run: a pixel, a seed, the source of the loss.
    """
    if epochs < 1:
        raise ValueError(f"epochs is {epochs}: use at least 1")
    if not re.fullmatch(r"[\w.-]+", name):
        raise ValueError(f"name is {name!r}: use letters, digits, . _ - only, as it names a folder")
    if train_ds.seed is None:
        raise ValueError("train_ds keeps the split's order: shuffle it, Batches(split, seed=0)")
    num_classes = _num_classes(model, train_ds)
    for batches, argument in ((train_ds, "train_ds"), (val_ds, "val_ds")):
        if batches is not None:
            check_split(batches.split, num_classes, argument)
    optimizer = optimizer or keras.optimizers.AdamW(one_cycle(train_ds, epochs), weight_decay=1e-4)
    optimizer = keras.optimizers.get(optimizer)  # it may be a name
    _check_rate(optimizer, callbacks)
    loss = loss or losses.CrossEntropy()
    identity = Identity(model, train_ds, val_ds, epochs, optimizer, loss, callbacks)
    if identity.continued and not _folder(name, identity).exists():
        identity.start_anew()  # another training, or one whose folder was deleted
    _compile(model, identity.fresh_optimizer(), loss, train_ds.split.classes)

    folder, best_by = _folder(name, identity), "val_mean_iou" if val_ds else "mean_iou"
    checkpoint = Checkpoint(folder, identity, train_ds, epochs, best_by)
    try:
        if not checkpoint.load_finished(model):
            with Lock(folder) as lock:  # another process may have trained in the meantime
                if not checkpoint.load_finished(model):
                    done, last = checkpoint.resume(lock)
                    _fit(model, train_ds, val_ds, [*callbacks, checkpoint], done, last)
    finally:
        identity.leave()
    return checkpoint.run()


def _folder(name, identity):
    return runs_folder() / f"{name}-{identity.code}"


def _fit(model, train_ds, val_ds, callbacks, done, epochs):
    """Train from the end of epoch ``done`` to the end of epoch ``epochs``."""
    # The averaged weights are validated, because they are the result.
    use_ema = unscaled(model.optimizer).use_ema
    average = [keras.callbacks.SwapEMAWeights()] if use_ema else []
    model.fit(
        train_ds,
        validation_data=val_ds,
        epochs=epochs,
        initial_epoch=done,
        shuffle=False,  # Batches shuffles, the same way each time
        callbacks=[*average, *callbacks, Progress(epochs)],
        verbose=0,
    )


def check_split(split, num_classes, name="split"):
    """Raise ValueError unless every mask value is a class, and the model has as many; warn of
    images that are not 0-255.
    """
    classes, values = split.classes, mask_values(split.masks)
    of_model = classes if len(classes) == num_classes else numbered(num_classes)
    wrong = of_model.invalid(np.array(values))
    if wrong:
        raise ValueError(f"the masks of {name} hold {wrong[:5]}: {of_model.remedy(values)}")
    if of_model is not classes:
        raise ValueError(
            f"{name} has {len(classes)} classes ({', '.join(classes.names)}), and the model has "
            f"{num_classes}: build it with num_classes={len(classes)}, or name the classes of the "
            'split, Split(..., classes=Classes(("background", "cell")))'
        )
    warn_of_range(split.images)


def _check_rate(optimizer, callbacks):
    """Raise ValueError for a callback that sets the learning rate of a schedule."""
    if not isinstance(getattr(unscaled(optimizer), "_learning_rate", None), LearningRateSchedule):
        return
    setters = keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler
    for callback in callbacks:
        if isinstance(callback, setters):
            raise ValueError(
                f"{type(callback).__name__} sets the learning rate, and this optimizer has a "
                "schedule, which sets it too: give an optimizer with a number, such as "
                "optimizer=keras.optimizers.AdamW(1e-3)"
            )


def mask_values(masks):
    """The different values in masks, as a sorted list."""
    parts = (np.unique(masks[first : first + 64]) for first in range(0, len(masks), 64))
    return sorted(set().union(*(part.tolist() for part in parts)))


def warn_of_range(images):
    """Warn of floats between 0 and 1: the models of this course take 0-255."""
    if np.issubdtype(images.dtype, np.floating) and images.size and np.max(images) <= 1:
        warnings.warn(
            "the largest pixel value is 1 or less, and models of this course take 0 to 255: to "
            "them this image is black. Multiply it by 255",
            stacklevel=3,
        )


def _num_classes(model, train_ds):
    """The number of classes of a model's logits; a call builds a model without an input shape."""
    if model.built and hasattr(model, "output_shape"):
        return model.output_shape[-1]
    return model(train_ds[0][0]).shape[-1]


def _compile(model, optimizer, loss, classes):
    iou = metrics.IoU(
        classes.number(classes.main),
        num_classes=len(classes),
        name=f"{classes.main.replace(' ', '_')}_iou",
    )
    accuracy = metrics.Accuracy() if classes.ignore else "accuracy"
    scores = [accuracy, iou, metrics.MeanIoU(len(classes))]
    model.compile(optimizer, loss, metrics=scores, run_eagerly=profile.current().eager)
    model.optimizer.build(model.trainable_variables)


def one_cycle(train_ds, epochs, peak=1e-3):
    """A learning rate schedule that rises to ``peak`` in a fifth of the steps and falls to zero.

    Source: Smith and Topin (2018), arXiv:1708.07120, with a cosine for the fall.
    """
    steps = epochs * len(train_ds)
    rise = max(1, steps // 5)
    return keras.optimizers.schedules.CosineDecay(
        peak / 25, max(1, steps - rise), warmup_target=peak, warmup_steps=rise
    )


def fine_tuning(model, learning_rate, encoder_rate=0.032, **options):
    """The optimizer for a model whose pretrained encoder is trained too: ``TwoRates``.

    Args:
        model: a U-Net with a layer "encoder".
        learning_rate: of the decoder, a number or a schedule such as ``one_cycle``.
        encoder_rate: the factor for the encoder; the default was found by ``labkit study tuning``
            for the plain form. An encoder that starts from random weights learns at the full rate.
        options: as for ``keras.optimizers.AdamW``.
    """
    variables = model.get_layer("encoder").trainable_variables
    if any(variable.name == "gamma" for variable in variables):  # frozen if pretrained
        encoder_rate = 1.0
    slow = [variable.path for variable in variables]
    return TwoRates(learning_rate, slow, encoder_rate, **{"weight_decay": 1e-4} | options)


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
        if self.steps_done:
            spent = duration(time.perf_counter() - self.started)
            self.line.show(f"{self.epoch + 1} of {self.epochs} epochs, {spent}", last=True)


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

    def clear(self):
        """Remove the line."""
        if self.handle is not None:
            self._show_in_notebook("")
        elif sys.stdout.isatty():
            print("\r" + " " * self.length, end="\r", flush=True)

    def _show_in_notebook(self, text):
        from IPython.display import HTML, display

        html = HTML(f"<pre>{text}</pre>" if text else "")
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
        classes: what the numbers in the mask mean.

    Attributes:
        pred_masks: the prediction after each epoch of this session, uint8 ``[H, W]`` each.
    """

    only_watches = True

    def __init__(self, image, mask, classes=PETS):
        super().__init__()
        self.image, self.mask, self.classes = image, mask, classes
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

        figure = plots.display_sample([self.image, self.mask, pred_mask], classes=self.classes)
        figure.suptitle(f"after epoch {epoch + 1}")
        if self.handle is None:
            self.handle = display(figure, display_id=True)
        else:
            self.handle.update(figure)


def predict_mask(model, image):
    """The class of every pixel of one image ``[H, W, 3]``: uint8 ``[H, W]``."""
    if np.ndim(image) != 3:
        raise ValueError(f"expected one image [H, W, 3], got shape {np.shape(image)}")
    warn_of_range(np.asarray(image))
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
        if first == 0:
            warn_of_range(split.images[part])
        logits = _logits(model, split.images[part])
        if flips:
            mirrored = _logits(model, split.images[part][:, :, ::-1])[:, :, ::-1]
            both = (_softmax(logits) + _softmax(mirrored)) / 2
            logits = np.log(np.maximum(both, 1e-12))
        yield part, logits
        if time.perf_counter() - start > 5:
            done = min(first + batch_size, len(split))
            line.show(f"predicted {done} of {len(split)} images")
    line.clear()


def _logits(model, images):
    return ops.convert_to_numpy(model.predict_on_batch(images))


def _softmax(logits):
    return ops.convert_to_numpy(ops.softmax(logits, axis=-1))
