"""Lab 5: answers that have to pass, and plausible ones that must not."""

import math

import keras
import numpy as np
import pytest
from answers import Answers, fails, passes, tf
from keras import ops

from labkit import losses, training
from labkit.check import training as check

right, wrong = Answers(passes), Answers(fails)
test_a_right_answer_passes = right.test()
test_a_wrong_answer_fails_with_its_hint = wrong.test()


@right(check.cross_entropy)
def keras_log_softmax(mask, logits):
    hot = ops.one_hot(mask[..., 0], 3)
    log_p = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    return -ops.mean(ops.sum(hot * log_p, axis=-1))


@right(check.cross_entropy)
def loops_over_pixels(mask, logits):
    pixel_losses = []
    for k, z in zip(mask.reshape(-1), logits.reshape(-1, 3), strict=True):
        top = max(z)
        pixel_losses.append(top + math.log(sum(math.exp(v - top) for v in z)) - z[k])
    return sum(pixel_losses) / len(pixel_losses)


right(check.cross_entropy, loss_of_labkit=lambda *case: losses.CrossEntropy()(*case))


@wrong(check.cross_entropy, "costs far too little")
def clipped_probabilities(mask, logits):
    p = np.clip(ops.convert_to_numpy(ops.softmax(logits, axis=-1)), 1e-12, 1)
    return -np.log(p[mask == np.arange(3)]).mean()


@wrong(check.cross_entropy, "Softmax is missing")
def keras_loss_without_from_logits(mask, logits):
    return keras.losses.SparseCategoricalCrossentropy()(mask, logits)


@wrong(check.cross_entropy, ("underflows to 0", "base 10"))
def base_10_after_softmax(mask, logits):
    p = ops.convert_to_numpy(ops.softmax(logits, axis=-1))
    return -np.log10(np.take_along_axis(p, mask, axis=-1)).mean()


@right(check.focal_loss)
def focal_in_keras(p, gamma=2):
    p = ops.convert_to_tensor(p, "float32")
    return ops.power(1 - p, gamma) * -ops.log(p)


@right(check.focal_loss)
def focal_in_a_loop(p, gamma=2):
    if np.ndim(p):
        return [focal_in_a_loop(one, gamma) for one in p]
    return (1 - p) ** gamma * math.log(1 / p)


@right(check.one_cycle_rate)
def cosine_squared(step, steps, peak):
    fifth = steps / 5
    if step <= fifth:
        return np.interp(step, [0, fifth], [0.04 * peak, peak])
    return peak * np.cos(np.pi / 2 * (step - fifth) / (0.8 * steps)) ** 2


@wrong(check.one_cycle_rate, ("fifth of steps - 1", "one step too early"))
def ends_at_the_last_step(step, steps, peak):
    return cosine_squared(step, steps - 1, peak)


@right(check.one_cycle_rate)
def keras_schedule(step, steps, peak):
    return training.one_cycle(range(steps), 1, peak)(step)


@right(check.predict_mask)
def called_in_inference_mode(model, image):
    return ops.argmax(model(image[None], training=False), axis=-1)[0]


@right(check.predict_mask)
def probabilities_and_a_last_axis(model, image):
    p = ops.softmax(model.predict_on_batch(np.array([image])), axis=-1)
    return ops.convert_to_numpy(ops.argmax(p[0], axis=-1))[..., None].astype("float32")


@right(check.predict_mask)
def nested_lists(model, image):
    logits = np.asarray(model(image[np.newaxis].astype("float32")))[0]
    return [[max(range(3), key=lambda k, z=z: z[k]) for z in row] for row in logits]


@right(check.predict_mask)
def dataset_of_one_batch(model, image):
    dataset = tf.data.Dataset.from_tensors(image[None])
    return np.argmax(model.predict(dataset, verbose=0)[0], axis=-1)


right(check.predict_mask, function_of_labkit=training.predict_mask)
wrong(
    check.predict_mask,
    "work out the tried case".capitalize(),
    another_model=lambda _, image: called_in_inference_mode(check.toy, image),
)
wrong(
    check.predict_mask,
    "read the last line",
    a_list_for_a_batch=lambda model, image: np.argmax(model.predict_on_batch([image])[0], -1),
    no_batch=lambda model, image: np.argmax(model.predict(image, verbose=0), -1),
)


class Base(keras.callbacks.Callback):
    """What the notebook gives."""

    def __init__(self, image, mask):
        super().__init__()
        self.image, self.mask, self.pred_masks = image, mask, []


@right(check.DisplayCallback)
class ConcatenatesLists(Base):
    def on_epoch_end(self, epoch, logs):
        logits = self.model.predict(self.image[None], verbose=0)
        self.pred_masks = self.pred_masks + [np.argmax(logits[0], axis=-1)]


@right(check.DisplayCallback)
class KeepsTensors(Base):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        logits = self.model(ops.convert_to_tensor(self.image)[None], training=False)
        self.pred_masks += [ops.argmax(logits[0], axis=-1)]


right(check.DisplayCallback, CallbackOfLabkit=training.DisplayCallback)


@wrong(check.DisplayCallback, "the same array")
class KeepsOneArray(Base):
    def __init__(self, image, mask):
        super().__init__(image, mask)
        self.pred_mask = np.zeros(image.shape[:2], "uint8")

    def on_epoch_end(self, epoch, logs=None):
        self.pred_mask[:] = training.predict_mask(self.model, self.image)
        self.pred_masks.append(self.pred_mask)


@wrong(check.DisplayCallback, "share one list")
class ListIsAClassAttribute(keras.callbacks.Callback):
    pred_masks = []

    def __init__(self, image, mask):
        super().__init__()
        self.image, self.mask = image, mask

    def on_epoch_end(self, epoch, logs=None):
        self.pred_masks.append(training.predict_mask(self.model, self.image))


right(
    check.best_epoch,
    by_index=lambda history: history["val_mean_iou"].index(max(history["val_mean_iou"])) + 1,
)


@right(check.best_epoch)
def loop_as_float(history):
    best, found = 0.0, 0
    for epoch, score in enumerate(history["val_mean_iou"], start=1):
        if score >= best:
            best, found = score, float(epoch)
    return found


wrong(
    check.best_epoch,
    "Print its type",
    run_instead_of_history=lambda history: np.argmax(history.history["val_mean_iou"]) + 1,
)


def test_the_toy_model_is_used_as_the_text_says():
    assert repr(check.toy) == "check.toy"
    assert np.shape(check.toy(check.pictures)) == check.pictures.shape
    with pytest.raises(ValueError, match=r"takes images \[B, H, W, 3\]"):
        check.toy(check.pictures[0])
