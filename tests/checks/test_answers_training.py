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
def largest_logit_taken_off(mask, logits):
    z = logits - logits.max(axis=-1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return -np.take_along_axis(log_p, mask, axis=-1).mean()


@right(check.cross_entropy)
def keras_log_softmax_and_one_hot(mask, logits):
    hot = ops.one_hot(mask[..., 0], 3)
    log_p = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    return -ops.mean(ops.sum(hot * log_p, axis=-1))


@right(check.cross_entropy)
def loops_over_pixels(mask, logits):
    found = []
    for k, z in zip(mask.reshape(-1), logits.reshape(-1, 3), strict=True):
        top = max(z)
        found.append(top + math.log(sum(math.exp(v - top) for v in z)) - z[k])
    return sum(found) / len(found)


@right(check.cross_entropy)
def the_loss_of_the_package(mask, logits):
    return losses.CrossEntropy()(mask, logits)


@right(check.cross_entropy)
def tensorflow_from_logits(mask, logits):
    tf = pytest.importorskip("tensorflow")
    labels = tf.cast(mask[..., 0], tf.int32)
    pixel_losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tf.reduce_mean(pixel_losses)


@right(check.cross_entropy)
def logsumexp_and_booleans(mask, logits):
    rest = ops.convert_to_numpy(ops.logsumexp(logits, axis=-1))
    return [np.mean(rest - logits[mask == np.arange(3)].reshape(rest.shape))]  # a list of one


@wrong(check.cross_entropy, "too large for a number")
def softmax_by_the_formula(mask, logits):
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    return -np.log(np.take_along_axis(p, mask, axis=-1)).mean()


@wrong(check.cross_entropy, "something is infinite")
def softmax_in_float32(mask, logits):
    powers = ops.exp(ops.cast(logits, "float32"))
    p = powers / ops.sum(powers, axis=-1, keepdims=True)
    return -ops.mean(ops.log(ops.sum(p * ops.one_hot(mask[..., 0], 3), axis=-1)))


@wrong(check.cross_entropy, "infinite")
def softmax_of_keras_then_log(mask, logits):
    log_p = ops.log(ops.softmax(logits, axis=-1))
    return -ops.mean(ops.take_along_axis(log_p, mask, axis=-1))


@wrong(check.cross_entropy, "infinite")
def one_hot_times_minus_infinity(mask, logits):
    hot = np.eye(3)[mask[..., 0]]
    log_p = np.log(ops.convert_to_numpy(ops.softmax(logits, axis=-1)))
    return -(hot * log_p).sum(axis=-1).mean()


@wrong(check.cross_entropy, "of its own")
def largest_logit_of_the_batch(mask, logits):
    return softmax_by_the_formula(mask, logits - logits.max())


@wrong(check.cross_entropy, "costs far too little")
def epsilon_in_the_logarithm(mask, logits):
    p = ops.convert_to_numpy(ops.softmax(logits, axis=-1))
    return -np.log(np.take_along_axis(p, mask, axis=-1) + 1e-7).mean()


@wrong(check.cross_entropy, "costs far too little")
def clipped_from_below(mask, logits):
    p = np.clip(ops.convert_to_numpy(ops.softmax(logits, axis=-1)), 1e-12, 1)
    return -np.log(p[mask == np.arange(3)]).mean()


@wrong(check.cross_entropy, "applied twice")
def softmax_and_from_logits(mask, logits):
    return losses.CrossEntropy()(mask, ops.softmax(logits, axis=-1))


@wrong(check.cross_entropy, "Softmax is missing")
def logarithm_of_the_logits(mask, logits):
    return -np.mean(np.log(np.take_along_axis(logits, mask, axis=-1)))


@wrong(check.cross_entropy, "Softmax is missing")
def keras_not_told_of_logits(mask, logits):
    return keras.losses.SparseCategoricalCrossentropy()(mask, logits)


@wrong(check.cross_entropy, "base 10")
def logarithm_to_base_10(mask, logits):
    p = ops.convert_to_numpy(ops.softmax(logits, axis=-1))
    return -np.log10(np.take_along_axis(p, mask, axis=-1)).mean()


@wrong(check.cross_entropy, "base 2")
def logarithm_to_base_2(mask, logits):
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    return -np.log2(p[mask == np.arange(3)]).mean()


@wrong(check.cross_entropy, "The sign is wrong")
def sign_forgotten(mask, logits):
    return ops.mean(ops.take_along_axis(ops.log_softmax(logits, axis=-1), mask, axis=-1))


@wrong(check.cross_entropy, "logarithm is missing")
def one_minus_p(mask, logits):
    return 1 - ops.mean(ops.take_along_axis(ops.softmax(logits, axis=-1), mask, axis=-1))


@wrong(check.cross_entropy, "sum over the pixels")
def summed(mask, logits):
    return largest_logit_taken_off(mask, logits) * mask.size


@wrong(check.cross_entropy, "not by the images")
def summed_in_each_image(mask, logits):
    log_p = ops.convert_to_numpy(ops.log_softmax(logits, axis=-1))
    pixel_losses = -np.take_along_axis(log_p, mask, axis=-1)
    return pixel_losses.sum(axis=(1, 2, 3)).mean()


@wrong(check.cross_entropy, "Their mean is asked for")
def no_mean(mask, logits):
    labels = ops.cast(mask[..., 0], "int32")
    return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)


@wrong(check.cross_entropy, "it is a third")
def mean_over_classes_too(mask, logits):
    hot = np.eye(3)[mask[..., 0]]
    return -np.mean(hot * ops.convert_to_numpy(ops.log_softmax(logits, axis=-1)))


@wrong(check.cross_entropy, "off by one")
def labels_less_one(mask, logits):
    return largest_logit_taken_off(mask.astype(int) - 1, logits)


@wrong(check.cross_entropy, "off by one")
def labels_less_one_in_uint8(mask, logits):
    return largest_logit_taken_off(mask - 1, logits)


@wrong(check.cross_entropy, "off by one")
def labels_plus_one_and_one_hot(mask, logits):
    hot = np.eye(4)[mask[..., 0] + 1][..., :3]
    return -(hot * ops.convert_to_numpy(ops.log_softmax(logits, axis=-1))).sum(axis=-1).mean()


@wrong(check.cross_entropy, "loss of class 1")
def always_the_background(mask, logits):
    return -np.mean(ops.convert_to_numpy(ops.log_softmax(logits, axis=-1))[..., 1])


@wrong(check.cross_entropy, "predicted class")
def class_of_the_prediction(mask, logits):
    found = np.argmax(logits, axis=-1)[..., None]
    return largest_logit_taken_off(found, logits)


@wrong(check.cross_entropy, "wrong axis")
def softmax_over_rows(mask, logits):
    log_p = ops.convert_to_numpy(ops.log_softmax(logits, axis=1))
    return -np.take_along_axis(log_p, mask, axis=-1).mean()


@wrong(check.cross_entropy, "wrong axis")
def softmax_over_everything(mask, logits):
    p = np.exp(logits - logits.max())
    p = p / p.sum()
    return -np.log(np.take_along_axis(p, mask, axis=-1)).mean()


@wrong(check.cross_entropy, "an axis too many")
def one_hot_with_an_axis_too_many(mask, logits):
    hot = np.eye(3)[mask]  # [B, H, W, 1, 3]
    return -(hot * ops.convert_to_numpy(ops.log_softmax(logits))).sum(axis=-1).mean()


@wrong(check.cross_entropy, "asked for its own")
def every_pixel_with_every_mask(mask, logits):
    return -ops.convert_to_numpy(ops.log_softmax(logits))[..., mask].mean()


@wrong(check.cross_entropy, "end with a return")
def no_return(mask, logits):
    largest_logit_taken_off(mask, logits)


@wrong(check.cross_entropy, "changes the arrays")
def logits_are_changed(mask, logits):
    logits -= logits.max(axis=-1, keepdims=True)
    return largest_logit_taken_off(mask, logits)


# --- 5.2 focal_loss ---


@right(check.focal_loss)
def focal_in_one_line(p, gamma=2):
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


@wrong(check.focal_loss, "The sign is wrong")
def focal_without_minus(p, gamma=2):
    return (1 - p) ** gamma * np.log(p)


@wrong(check.focal_loss, "turns down the unsure pixels")
def focal_the_other_way(p, gamma=2):
    return -(p**gamma) * np.log(p)


@wrong(check.focal_loss, "Look at the brackets")
def focal_without_brackets(p, gamma=2):
    return -(1 - p**gamma) * np.log(p)


@wrong(check.focal_loss, "It should be a power")
def focal_with_a_factor(p, gamma=2):
    return -(1 - p) * gamma * np.log(p)


@wrong(check.focal_loss, "Use the argument")
def focal_always_squared(p, gamma=2):
    return -((1 - p) * (1 - p)) * np.log(p)


@wrong(check.focal_loss, "take 1 - p")
def focal_with_p_minus_one(p, gamma=2):
    return -((p - 1) ** gamma) * np.log(p)


@wrong(check.focal_loss, "own loss is asked for")
def focal_averaged(p, gamma=2):
    return float(np.mean(focal_in_one_line(p, gamma)))


@wrong(check.focal_loss, "This is cross-entropy")
def focal_without_a_factor(p, gamma=2):
    return -np.log(p)


@wrong(check.focal_loss, "arguments")
def focal_without_gamma(p):
    return -((1 - p) ** 2) * np.log(p)


# --- 5.3 one_cycle_rate ---


@right(check.one_cycle_rate)
def in_two_parts(step, steps, peak):
    rise = steps // 5
    if step < rise:
        return peak / 25 + (peak - peak / 25) * step / rise
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))


@right(check.one_cycle_rate)
def by_interpolation(step, steps, peak):
    fifth = steps / 5
    if step <= fifth:
        return np.interp(step, [0, fifth], [0.04 * peak, peak])
    return peak * np.cos(np.pi / 2 * (step - fifth) / (0.8 * steps)) ** 2


@right(check.one_cycle_rate)
def by_the_schedule_of_keras(step, steps, peak):
    return training.one_cycle(range(steps), 1, peak)(step)


@wrong(check.one_cycle_rate, "begin at a 25th")
def from_zero(step, steps, peak):
    rise = steps // 5
    return peak * step / rise if step < rise else in_two_parts(step, steps, peak)


@wrong(check.one_cycle_rate, "ends above the peak")
def a_25th_too_much(step, steps, peak):
    rise = steps // 5
    return peak / 25 + peak * step / rise if step < rise else in_two_parts(step, steps, peak)


@wrong(check.one_cycle_rate, "fall is a straight line")
def straight_fall(step, steps, peak):
    rise = steps // 5
    if step < rise:
        return in_two_parts(step, steps, peak)
    return peak * (steps - step) / (steps - rise)


@wrong(check.one_cycle_rate, "jumps after the rise")
def cosine_from_step_0(step, steps, peak):
    if step < steps // 5:
        return in_two_parts(step, steps, peak)
    return peak * 0.5 * (1 + np.cos(np.pi * step / steps))


@wrong(check.one_cycle_rate, "does not reach 0")
def divided_by_all_steps(step, steps, peak):
    rise = steps // 5
    if step < rise:
        return in_two_parts(step, steps, peak)
    return peak * 0.5 * (1 + np.cos(np.pi * (step - rise) / steps))


@wrong(check.one_cycle_rate, "becomes negative")
def plain_cosine(step, steps, peak):
    rise = steps // 5
    if step < rise:
        return in_two_parts(step, steps, peak)
    return peak * np.cos(np.pi * (step - rise) / (steps - rise))


@wrong(check.one_cycle_rate, "degrees")
def cosine_of_degrees(step, steps, peak):
    rise = steps // 5
    if step < rise:
        return in_two_parts(step, steps, peak)
    return peak * (1 + np.cos(180 * (step - rise) / (steps - rise))) / 2


@wrong(check.one_cycle_rate, "The rise is missing")
def fall_alone(step, steps, peak):
    return in_two_parts(max(step, steps // 5), steps, peak)


@wrong(check.one_cycle_rate, "Whatever peak is")
def peak_is_fixed(step, steps, peak):
    return in_two_parts(step, steps, 1e-3)


@wrong(check.one_cycle_rate, "gives None")
def nothing_after_the_rise(step, steps, peak):
    if step < steps // 5:
        return in_two_parts(step, steps, peak)


# --- 5.4 predict_mask ---


@right(check.predict_mask)
def called_with_training_false(model, image):
    logits = model(image[None], training=False)
    return ops.argmax(logits, axis=-1)[0]


@right(check.predict_mask)
def predicted_then_largest(model, image):
    return model.predict(np.expand_dims(image, 0), verbose=0)[0].argmax(-1)


@right(check.predict_mask)
def with_probabilities_and_a_last_axis(model, image):
    p = ops.softmax(model.predict_on_batch(np.array([image])), axis=-1)
    return ops.convert_to_numpy(ops.argmax(p[0], axis=-1))[..., None].astype("float32")


@right(check.predict_mask)
def lists_by_loops(model, image):
    logits = np.asarray(model(image[np.newaxis].astype("float32")))[0]
    return [[max(range(3), key=lambda k, z=z: z[k]) for z in row] for row in logits]


@right(check.predict_mask)
def the_function_of_the_package(model, image):
    return training.predict_mask(model, image)


@wrong(check.predict_mask, "batch's axis")
def batch_axis_left(model, image):
    return np.argmax(model.predict(image[None]), axis=-1)


@wrong(check.predict_mask, "read the last line")
def no_batch_axis(model, image):
    return np.argmax(model.predict(image), axis=-1)


@wrong(check.predict_mask, "read the last line")
def batch_axis_at_the_end(model, image):
    return np.argmax(model.predict(image[..., None]), axis=-1)[0]


@wrong(check.predict_mask, "the logits")
def logits_come_out(model, image):
    return model.predict(image[None])[0]


@wrong(check.predict_mask, "These are probabilities")
def probabilities_come_out(model, image):
    return ops.softmax(model(image[None]))[0]


@wrong(check.predict_mask, "wrong axis")
def largest_of_axis_1(model, image):
    return np.argmax(model.predict(image[None]), axis=1)[0]


@wrong(check.predict_mask, "wrong axis")
def largest_of_axis_0_of_the_image(model, image):
    return np.argmax(model.predict(image[None])[0], axis=0)


@wrong(check.predict_mask, "all pixels at once")
def largest_of_all(model, image):
    return np.argmax(model.predict(image[None]))


@wrong(check.predict_mask, "Its place is the class")
def largest_itself(model, image):
    return ops.max(model(image[None])[0], axis=-1)


@wrong(check.predict_mask, "counted from 1")
def labels_of_the_data_set(model, image):
    return predicted_then_largest(model, image) + 1


@wrong(check.predict_mask, "training mode")
def in_training_mode(model, image):
    return np.argmax(model(image[None], training=True), axis=-1)[0]


@wrong(check.predict_mask, "rescales them itself")
def image_is_rescaled(model, image):
    return np.argmax(model.predict(image[None] / 255.0), axis=-1)[0]


@wrong(check.predict_mask, "A threshold parts two classes")
def pet_or_not(model, image):
    p = ops.convert_to_numpy(ops.softmax(model(image[None])))[0]
    return np.where(p[..., 0] > 0.5, 0, 1)


@wrong(check.predict_mask, "first row")
def one_index_too_many(model, image):
    return np.argmax(model.predict(image[None]), axis=-1)[0][0]


# --- 5.5 DisplayCallback ---


class Start(keras.callbacks.Callback):
    """What the notebook gives."""

    def __init__(self, image, mask):
        super().__init__()
        self.image, self.mask, self.pred_masks = image, mask, []


@right(check.DisplayCallback)
class Appends(Start):
    def on_epoch_end(self, epoch, logs=None):
        self.pred_masks.append(training.predict_mask(self.model, self.image))


@right(check.DisplayCallback)
class AddsAList(Start):
    def on_epoch_end(self, epoch, logs):
        logits = self.model.predict(self.image[None], verbose=0)
        self.pred_masks = self.pred_masks + [np.argmax(logits, axis=-1)]  # [1, H, W]


@right(check.DisplayCallback)
class KeepsTensors(Start):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        logits = self.model(ops.convert_to_tensor(self.image)[None], training=False)
        self.pred_masks += [ops.argmax(logits[0], axis=-1)]


@right(check.DisplayCallback)
class TheOneOfThePackage(training.DisplayCallback):
    pass


@wrong(check.DisplayCallback, "end of the training alone")
class AtTheEndOfTheTraining(Start):
    def on_train_end(self, logs=None):
        Appends.on_epoch_end(self, 0)


@wrong(check.DisplayCallback, "as an epoch begins")
class AsAnEpochBegins(Start):
    def on_epoch_begin(self, epoch, logs=None):
        Appends.on_epoch_end(self, 0)


@wrong(check.DisplayCallback, "after each batch")
class AfterEachBatch(Start):
    def on_batch_end(self, batch, logs=None):
        Appends.on_epoch_end(self, 0)


@wrong(check.DisplayCallback, "Nothing is kept")
class HookThatFitDoesNotKnow(Start):
    def on_epoch_ends(self, epoch, logs=None):
        Appends.on_epoch_end(self, 0)


@wrong(check.DisplayCallback, "Nothing is kept")
class ReturnsThePrediction(Start):
    def on_epoch_end(self, epoch, logs=None):
        return training.predict_mask(self.model, self.image)


@wrong(check.DisplayCallback, "the one before")
class KeepsTheLastAlone(Start):
    def on_epoch_end(self, epoch, logs=None):
        self.pred_masks = [training.predict_mask(self.model, self.image)]


@wrong(check.DisplayCallback, "one array")
class KeepsOneArray(Start):
    def __init__(self, image, mask):
        super().__init__(image, mask)
        self.pred_mask = np.zeros(image.shape[:2], "uint8")

    def on_epoch_end(self, epoch, logs=None):
        self.pred_mask[:] = training.predict_mask(self.model, self.image)
        self.pred_masks.append(self.pred_mask)


@wrong(check.DisplayCallback, "share one list")
class ListOfTheClass(keras.callbacks.Callback):
    pred_masks = []

    def __init__(self, image, mask):
        super().__init__()
        self.image, self.mask = image, mask

    def on_epoch_end(self, epoch, logs=None):
        Appends.on_epoch_end(self, epoch)


@wrong(check.DisplayCallback, "true mask")
class KeepsTheTruth(Start):
    def on_epoch_end(self, epoch, logs=None):
        self.pred_masks.append(self.mask)


@wrong(check.DisplayCallback, "logits are kept")
class KeepsLogits(Start):
    def on_epoch_end(self, epoch, logs=None):
        self.pred_masks.append(self.model.predict_on_batch(self.image[None])[0])


@wrong(check.DisplayCallback, "training mode")
class PredictsInTrainingMode(Start):
    def on_epoch_end(self, epoch, logs=None):
        logits = self.model(self.image[None], training=True)
        self.pred_masks.append(np.argmax(logits, axis=-1)[0])


@wrong(check.DisplayCallback, "read the last line")
class ForgetsTheBatchAxis(Start):
    def on_epoch_end(self, epoch, logs=None):
        self.pred_masks.append(np.argmax(self.model(self.image), axis=-1))


@wrong(check.DisplayCallback, "spelt right")
class ForgetsSelf(Start):
    def on_epoch_end(self, epoch, logs=None):
        self.pred_masks.append(training.predict_mask(the_model, self.image))  # noqa: F821


@wrong(check.DisplayCallback, "arguments")
class ForgetsTheLogs(Start):
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
def by_a_loop_last_of_equals(history):
    best, found = 0.0, 0
    for epoch, score in enumerate(history["val_mean_iou"], start=1):
        if score >= best:
            best, found = score, float(epoch)
    return found


@wrong(check.best_epoch, "counted from 0")
def counted_from_0(history):
    return int(np.argmax(history["val_mean_iou"]))


@wrong(check.best_epoch, "lowest validation loss")
def by_loss(history):
    return int(np.argmin(history["val_loss"])) + 1


@wrong(check.best_epoch, "trained with")
def by_the_training_score(history):
    return int(np.argmax(history["mean_iou"])) + 1


@wrong(check.best_epoch, "validation accuracy")
def by_accuracy(history):
    return int(np.argmax(history["val_accuracy"])) + 1


@wrong(check.best_epoch, "worst epoch")
def lowest_score(history):
    return history["val_mean_iou"].index(min(history["val_mean_iou"])) + 1


@wrong(check.best_epoch, "always the last")
def number_of_epochs(history):
    return len(history["loss"])


@wrong(check.best_epoch, "score itself")
def score_in_place_of_epoch(history):
    return max(history["val_mean_iou"])


@wrong(check.best_epoch, "Print its type")
def taken_for_a_run(history):
    return int(np.argmax(history.history["val_mean_iou"])) + 1


# --- 5.7 which_rate ---


def test_the_question_wants_some_sentences():
    assert check.which_rate(...).state == "not done yet"
    assert not check.which_rate(
        "A rate of 1 is best. I tried a few and looked at the curves."
    ).passed
    written = """With 0.001 the loss stays near 1.09, so this rate is too low. With 1 the curve
    falls below 0.9 within ten steps. With 10 it jumps up and down, as each step goes too far. The
    one cycle calms down at the end, since its rate goes to zero. Raw pixels make every slope
    larger, which asks for a much smaller rate."""
    assert check.which_rate(written).passed


def test_the_toy_is_as_the_notebook_says():
    assert repr(check.toy) == "check.toy"
    assert np.shape(check.toy(check.pictures)) == check.pictures.shape
    with pytest.raises(ValueError, match=r"takes images \[B, H, W, 3\]"):
        check.toy(check.pictures[0])
