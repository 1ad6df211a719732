"""Chapter 5: answers that have to pass, and plausible ones that must not."""

import math

import keras
import numpy as np
import pytest
from answers import Answers, fails, passes
from keras import ops

from labkit import losses, training
from labkit.check import training as check

right, wrong = Answers(passes), Answers(fails)
test_a_right_answer_passes = right.test()
test_a_wrong_answer_fails_with_its_hint = wrong.test()


# --- 5.1 cross_entropy ---


@right(check.cross_entropy)
def maximum_subtracted(mask, logits):
    z = logits - logits.max(axis=-1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return -np.take_along_axis(log_p, mask, axis=-1).mean()


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


@right(check.cross_entropy)
def loss_of_labkit(mask, logits):
    return losses.CrossEntropy()(mask, logits)


@right(check.cross_entropy)
def tensorflow_from_logits(mask, logits):
    tf = pytest.importorskip("tensorflow")
    labels = tf.cast(mask[..., 0], tf.int32)
    pixel_losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tf.reduce_mean(pixel_losses)


@right(check.cross_entropy)
def logsumexp_as_a_list(mask, logits):
    rest = ops.convert_to_numpy(ops.logsumexp(logits, axis=-1))
    return [np.mean(rest - logits[mask == np.arange(3)].reshape(rest.shape))]  # a list of one


@wrong(check.cross_entropy, "underflows to 0")
def softmax_in_float32(mask, logits):
    powers = ops.exp(ops.cast(logits, "float32"))
    p = powers / ops.sum(powers, axis=-1, keepdims=True)
    return -ops.mean(ops.log(ops.sum(p * ops.one_hot(mask[..., 0], 3), axis=-1)))


@wrong(check.cross_entropy, "costs far too little")
def clipped_probabilities(mask, logits):
    p = np.clip(ops.convert_to_numpy(ops.softmax(logits, axis=-1)), 1e-12, 1)
    return -np.log(p[mask == np.arange(3)]).mean()


@wrong(check.cross_entropy, "Softmax is missing")
def keras_loss_without_from_logits(mask, logits):
    return keras.losses.SparseCategoricalCrossentropy()(mask, logits)


# --- 5.2 focal_loss ---


@right(check.focal_loss)
def focal_in_numpy(p, gamma=2):
    return -((1 - p) ** gamma) * np.log(p)


@right(check.focal_loss)
def focal_in_keras(p, gamma=2):
    p = ops.convert_to_tensor(p, "float32")
    return ops.power(1 - p, gamma) * -ops.log(p)


@right(check.focal_loss)
def focal_in_a_loop(p, gamma=2):
    if np.ndim(p):
        return [focal_in_a_loop(one, gamma) for one in p]
    return (1 - p) ** gamma * math.log(1 / p)


@wrong(check.focal_loss, "Use the argument")
def focal_always_squared(p, gamma=2):
    return -((1 - p) * (1 - p)) * np.log(p)


# --- 5.3 one_cycle_rate ---


@right(check.one_cycle_rate)
def in_two_parts(step, steps, peak):
    rise = steps // 5
    if step < rise:
        return peak / 25 + (peak - peak / 25) * step / rise
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))


@right(check.one_cycle_rate)
def cosine_squared(step, steps, peak):
    fifth = steps / 5
    if step <= fifth:
        return np.interp(step, [0, fifth], [0.04 * peak, peak])
    return peak * np.cos(np.pi / 2 * (step - fifth) / (0.8 * steps)) ** 2


@right(check.one_cycle_rate)
def keras_schedule(step, steps, peak):
    return training.one_cycle(range(steps), 1, peak)(step)


@wrong(check.one_cycle_rate, "The rise is missing")
def step_is_clipped(step, steps, peak):
    return in_two_parts(max(step, steps // 5), steps, peak)


@wrong(check.one_cycle_rate, "Whatever peak is")
def fixed_peak(step, steps, peak):
    return in_two_parts(step, steps, 1e-3)


# --- 5.4 predict_mask ---


@right(check.predict_mask)
def called_in_inference_mode(model, image):
    logits = model(image[None], training=False)
    return ops.argmax(logits, axis=-1)[0]


@right(check.predict_mask)
def predict_and_argmax(model, image):
    return model.predict(np.expand_dims(image, 0), verbose=0)[0].argmax(-1)


@right(check.predict_mask)
def probabilities_and_a_last_axis(model, image):
    p = ops.softmax(model.predict_on_batch(np.array([image])), axis=-1)
    return ops.convert_to_numpy(ops.argmax(p[0], axis=-1))[..., None].astype("float32")


@right(check.predict_mask)
def nested_lists(model, image):
    logits = np.asarray(model(image[np.newaxis].astype("float32")))[0]
    return [[max(range(3), key=lambda k, z=z: z[k]) for z in row] for row in logits]


@right(check.predict_mask)
def function_of_labkit(model, image):
    return training.predict_mask(model, image)


@wrong(check.predict_mask, "These are probabilities")
def returns_probabilities(model, image):
    return ops.softmax(model(image[None]))[0]


@wrong(check.predict_mask, "wrong axis")
def argmax_over_rows(model, image):
    return np.argmax(model.predict(image[None])[0], axis=0)


@wrong(check.predict_mask, "A threshold separates two classes")
def threshold_for_pet(model, image):
    p = ops.convert_to_numpy(ops.softmax(model(image[None])))[0]
    return np.where(p[..., 0] > 0.5, 0, 1)


# --- 5.5 DisplayCallback ---


class Base(keras.callbacks.Callback):
    """What the notebook gives."""

    def __init__(self, image, mask):
        super().__init__()
        self.image, self.mask, self.pred_masks = image, mask, []


@right(check.DisplayCallback)
class Appends(Base):
    def on_epoch_end(self, epoch, logs=None):
        self.pred_masks.append(training.predict_mask(self.model, self.image))


@right(check.DisplayCallback)
class ConcatenatesLists(Base):
    def on_epoch_end(self, epoch, logs):
        logits = self.model.predict(self.image[None], verbose=0)
        self.pred_masks = self.pred_masks + [np.argmax(logits, axis=-1)]  # [1, H, W]


@right(check.DisplayCallback)
class KeepsTensors(Base):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        logits = self.model(ops.convert_to_tensor(self.image)[None], training=False)
        self.pred_masks += [ops.argmax(logits[0], axis=-1)]


@right(check.DisplayCallback)
class CallbackOfLabkit(training.DisplayCallback):
    pass


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
        Appends.on_epoch_end(self, epoch)


@wrong(check.DisplayCallback, "parameters")
class LogsParameterIsMissing(Base):
    def on_epoch_end(self, epoch):
        self.pred_masks.append(training.predict_mask(self.model, self.image))


# --- 5.6 best_epoch ---


@right(check.best_epoch)
def by_argmax(history):
    return np.argmax(history["val_mean_iou"]) + 1


@right(check.best_epoch)
def by_index(history):
    scores = history["val_mean_iou"]
    return scores.index(max(scores)) + 1


@right(check.best_epoch)
def loop_as_float(history):
    best, found = 0.0, 0
    for epoch, score in enumerate(history["val_mean_iou"], start=1):
        if score >= best:
            best, found = score, float(epoch)
    return found


@wrong(check.best_epoch, "worst epoch")
def minimum(history):
    return history["val_mean_iou"].index(min(history["val_mean_iou"])) + 1


@wrong(check.best_epoch, "always the last")
def length_of_the_history(history):
    return len(history["loss"])


@wrong(check.best_epoch, "Print its type")
def run_instead_of_history(history):
    return int(np.argmax(history.history["val_mean_iou"])) + 1


# --- 5.7 which_rate ---


def test_a_short_text_does_not_pass():
    assert check.which_rate(...).state == "not attempted"
    assert not check.which_rate(
        "A rate of 1 is best. I tried a few and looked at the curves."
    ).passed
    written = """With 0.001 the loss stays near 1.09, so this rate is too low. With 1 the curve
    falls below 0.9 within ten steps. With 10 it jumps up and down, as each step goes too far. The
    one cycle calms down at the end, since its rate goes to zero. Raw pixels make every slope
    larger, which asks for a much smaller rate."""
    assert check.which_rate(written).passed


def test_the_toy_model_is_used_as_the_text_says():
    assert repr(check.toy) == "check.toy"
    assert np.shape(check.toy(check.pictures)) == check.pictures.shape
    with pytest.raises(ValueError, match=r"takes images \[B, H, W, 3\]"):
        check.toy(check.pictures[0])


def test_two_mistakes_at_once_get_both_hints():
    def base_10_after_softmax(mask, logits):
        p = ops.convert_to_numpy(ops.softmax(logits, axis=-1))
        return -np.log10(np.take_along_axis(p, mask, axis=-1)).mean()

    hint = check.cross_entropy(base_10_after_softmax).hint
    assert "underflows to 0" in hint and "base 10" in hint
