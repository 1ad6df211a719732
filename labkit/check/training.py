"""Tasks of the lab on training. Classes: 0 pet, 1 background, 2 border."""

import keras
import numpy as np
from keras import ops

from labkit.check.answer import NotDone
from labkit.check.engine import task
from labkit.check.mistakes import NEGATED, TOO_LARGE_BY_ONE, Edit, Symptom, arguments, edits, result
from labkit.check.question import Question
from labkit.check.text import as_array

__all__ = ["NotDone"]

PIXEL, LARGE = np.array([[[[2.0, 0.0, 1.0]]]]), np.array([[[[1000.0, 0.0, 0.0]]]])
PET, BACKGROUND = np.zeros((1, 1, 1, 1), "uint8"), np.ones((1, 1, 1, 1), "uint8")
# Axes of one length, so that a wrong axis is no error.
MASK = np.array([0, 1, 1, 2, 1, 1, 0, 1], "uint8").reshape(2, 2, 2, 1)
LOGITS = np.random.default_rng(5).normal(1, 1.5, (2, 2, 2, 3)).round(1)
MASKS = (PET, BACKGROUND, MASK, PET, BACKGROUND, np.zeros((1, 1, 2, 1), "uint8"))
ALL_LOGITS = (PIXEL, PIXEL, LOGITS, LARGE, LARGE, np.concatenate([PIXEL, LARGE], axis=2))

OVERFLOW = "exp overflows for large logits. Which changes of the logits leave softmax as it is?"
NO_SOFTMAX = "Softmax is missing: logits are not probabilities."
NO_LOGARITHM = "The logarithm is missing: this is the mean of p, not of log p."
OFF_BY_ONE = "The labels are off by one. Class 0 has index 0."
WRONG_AXIS = "The wrong axis is used: the classes are the last one."
TRAINING = "The model is called in training mode. Predict in inference mode."
THRESHOLDS = "Each class has its own threshold. A pixel belongs to exactly one class."
RESCALED = "The pixels are rescaled before the model, which rescales them itself."
LOGARITHMS = tuple(
    result(
        lambda loss, base=base: loss / np.log(base),
        f"This is the logarithm to base {base}. The loss uses the natural logarithm.",
    )
    for base in (2, 10)
)


def one_hint(old, changes, hint):
    """Edits of one place that are the same mistake."""
    return tuple(Edit(old, new, hint) for new in changes)


def softmax(logits):
    powers = np.exp(logits - np.max(logits, axis=-1, keepdims=True))
    return powers / np.sum(powers, axis=-1, keepdims=True)


@task(
    "5.1",
    cases=tuple(zip(MASKS, ALL_LOGITS, strict=True)),
    mistakes=(
        *edits(f"""
            z - np.log(total) => np.log(np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True))
                {OVERFLOW}
            np.max(logits, axis=-1, keepdims=True) => 0
                {OVERFLOW}
            z - np.log(total) => np.log(np.exp(z) / total)
                Softmax underflows to 0, and log(0) is infinite. Simplify log(softmax) on paper.
            np.where(one_hot, log_p, 0) => one_hot * np.log(np.exp(z) / total)
                With large logits, exp overflows, or softmax underflows to 0 before the logarithm.
                Simplify log(softmax) on paper.
            np.max(logits, axis=-1, keepdims=True) => np.max(logits)
                One maximum is subtracted from all pixels, whose logits can differ a lot.
        """),
        *one_hint(
            "z - np.log(total)",
            (f"np.log(np.exp(z) / total + 1e-{n})" for n in (5, 6, 7, 8, 9, 10, 12, 15, 16)),
            "p is clipped, or a small constant is added: a very wrong pixel costs far too little.",
        ),
        arguments(lambda mask, logits: (mask, softmax(logits)), "Softmax is applied twice."),
        *one_hint("z - np.log(total)", ("np.log(logits)", "logits"), NO_SOFTMAX),
        arguments(  # what Keras does without from_logits=True
            lambda mask, logits: (mask, np.log(np.clip(logits, 1e-7, 1 - 1e-7))), NO_SOFTMAX
        ),
        NEGATED,
        *LOGARITHMS,
        *edits(f"""
            np.mean(pixel_losses) => np.mean(np.exp(-pixel_losses))
                {NO_LOGARITHM}
            np.mean(pixel_losses) => -np.mean(np.exp(-pixel_losses))
                {NO_LOGARITHM}
            np.mean(pixel_losses) => 1 - np.mean(np.exp(-pixel_losses))
                {NO_LOGARITHM}
            -np.sum(np.where(one_hot, log_p, 0), => np.sum((np.exp(log_p) - one_hot) ** 2,
                This is a squared error. Cross-entropy is a logarithm of p.
            np.mean(pixel_losses) => -np.log(np.mean(np.exp(-pixel_losses)))
                The mean is taken before the logarithm. Average the losses of the pixels.
            np.mean(pixel_losses) => np.sum(pixel_losses)
                This is the sum over the pixels. Return the mean.
            np.mean(pixel_losses) => np.sum(pixel_losses) / len(mask)
                The sum is divided by the number of images. Divide by the number of pixels.
            np.mean(pixel_losses) => pixel_losses
                These are the losses of the pixels. Return their mean.
            np.sum(np.where(one_hot, log_p, 0), axis=-1) => np.where(one_hot, log_p, 0)
                The mean includes the zeros of the other classes, so it is a third of the loss.
            np.where(one_hot, log_p, 0) => log_p
                log p is summed over all classes. Only the true class counts.
            np.where(one_hot, log_p, 0) => np.where(one_hot, log_p, np.log(1 - np.exp(log_p)))
                This is binary cross-entropy: log(1 - p) of the other classes does not count.
            np.sum(np.where(one_hot, log_p, 0), axis=-1) => np.max(log_p, axis=-1)
                This is the loss of the predicted class. Use the class in the mask.
            np.where(one_hot, log_p, 0) => np.exp(log_p) * log_p
                This is the entropy of the prediction, whatever the mask is.
            mask == np.arange(3) => 0 == np.arange(3)
                Whatever the mask is, this is the loss of class 0. Use the class of each pixel.
            mask == np.arange(3) => 1 == np.arange(3)
                Whatever the mask is, this is the loss of class 1. Use the class of each pixel.
            mask == np.arange(3) => 2 == np.arange(3)
                Whatever the mask is, this is the loss of class 2. Use the class of each pixel.
            mask == np.arange(3) => mask[..., None] == np.arange(3)
                The mask already ends in an axis of length 1, so one-hot encoding adds one axis too
                many, and broadcasting mixes the pixels.
            np.sum(np.where(one_hot, log_p, 0), axis=-1) => log_p[..., mask]
                Each pixel is indexed with the classes of all pixels. Use its own class alone.
            np.where(one_hot, log_p, 0) => np.take_along_axis(log_p, mask - 1, axis=-1)
                {OFF_BY_ONE}
            np.where(one_hot, log_p, 0) => np.take_along_axis(log_p, mask + 1, axis=-1)
                {OFF_BY_ONE}
        """),
        *one_hint("mask ==", ("mask - 1 ==", "mask + 1 ==", "(mask + 2) % 3 =="), OFF_BY_ONE),
        *one_hint(
            "axis=-1, keepdims=True",
            (f"axis={axis}, keepdims=True" for axis in (0, 1, 2, None)),
            "Softmax is taken over the wrong axis: the three p of each pixel have to sum to 1.",
        ),
    ),
)
def cross_entropy(mask, logits):
    z = logits - np.max(logits, axis=-1, keepdims=True)
    total = np.sum(np.exp(z), axis=-1, keepdims=True)
    log_p = z - np.log(total)
    one_hot = mask == np.arange(3)
    pixel_losses = -np.sum(np.where(one_hot, log_p, 0), axis=-1)
    return np.mean(pixel_losses)


P = np.array([0.1, 0.5, 0.9])


@task(
    "5.2",
    cases=((0.5,), (0.5, 0), (P,), (P, 0), (P, 1), (P, 0.5)),
    mistakes=(
        NEGATED,
        *edits("""
            (1 - p) => (p - 1)
                The difference has the wrong sign: p - 1 is negative.
            (1 - p) ** gamma => p**gamma
                The factor reduces the loss of wrong pixels. It should reduce that of sure ones.
            (1 - p) ** gamma => (1 - p**gamma)
                The exponent applies to p alone. Check the parentheses.
            (1 - p) ** gamma => gamma * (1 - p)
                gamma is a factor here. It should be an exponent.
            np.log(p) => np.log(1 - p)
                This is the logarithm of 1 - p.
            ** gamma => ** 2
                Whatever gamma is, the exponent is 2. Use the argument.
            -factor * => -
                This is cross-entropy: the factor that reduces the loss of sure pixels is missing.
            -factor * np.log(p) => factor
                This is the factor alone. The logarithm is missing.
        """),
        *LOGARITHMS,
        result(np.mean, "This is the mean. Return the loss of each pixel."),
        result(np.sum, "This is the sum. Return the loss of each pixel."),
    ),
)
def focal_loss(p, gamma=2):
    factor = (1 - p) ** gamma
    return -factor * np.log(p)


@task(
    "5.3",
    cases=(
        *((step, 100, 1.0) for step in (0, 10, 19, 20, 60, 100, 30)),
        *((step, 30, 0.5) for step in (2, 27)),
    ),
    mistakes=edits("""
        start + (peak - start) * step / rise => peak * step / rise
            The rise starts at 0. It should start at a 25th of the peak.
        (peak - start) * => peak *
            The rise ends above the peak. Multiply by the difference of its two ends.
        step / rise => step / (rise - 1)
            The rate reaches the peak one step too early. Steps are counted from 0.
        step / rise => step / steps
            The rise is too slow. It should reach the peak after a fifth of the steps.
        start = peak / 25 => start = peak
            The rise is missing: the rate starts at the peak.
        return start + (peak - start) * step / rise => return start
            The rate is constant in the first fifth, then it jumps. It should rise.
        step < rise => step < 0
            The rise follows a cosine. It should be a straight line.
        step / rise => (1 - np.cos(np.pi * step / rise)) / 2
            The rise follows a cosine. It should be a straight line.
        rise = 0.2 * steps => rise = 0
            The rate falls from the first step on. It should rise in the first fifth.
        step < rise => step >= 0
            The rise never ends. After a fifth of the steps the rate should fall.
        peak * (1 + np.cos(np.pi * done)) / 2 => peak
            After the rise the rate stays at the peak. It should fall to 0.
        (1 + np.cos(np.pi * done)) / 2 => (1 - done)
            The fall is a straight line. It should follow half a cosine.
        (step - rise) / (steps - rise) => step / steps
            The rate jumps after the rise. Count the steps of the fall from the end of the rise.
        / (steps - rise) => / (steps - rise - 1)
            The rate reaches 0 one step too early. In the task, it is 0 when step equals steps.
        step < rise => step < rise - 1
            The fall starts one step too early. Steps are counted from 0.
        / (steps - rise) => / steps
            The rate does not reach 0. Check how many steps the fall has.
        np.cos(np.pi * done)) / 2 => np.cos(np.pi * done))
            The fall starts at twice the peak: 1 + cos goes from 2 to 0.
        (1 + np.cos(np.pi * done)) / 2 => np.cos(np.pi * done)
            The rate becomes negative: cos goes from 1 to -1. Shift and scale it.
        (1 + np.cos(np.pi * done)) / 2 => np.cos(np.pi * done / 2)
            This is a quarter of a cosine. Half a cosine goes from its maximum to its minimum.
        np.pi * done => 2 * np.pi * done
            This is a full cosine, which rises again. Use half of it.
        np.pi * done => 180 * done
            The angle is in degrees. cos takes radians.
        peak * (1 + => start + (peak - start) * (1 +
            The fall ends at a 25th of the peak. It should end at 0.
        0.2 * steps => 0.2 * (steps - 1)
            The rise takes a fifth of steps - 1. Take a fifth of steps.
        0.2 => 0.8
            The rise takes four fifths of the steps. It should take one fifth.
        start = peak / 25 => peak = 0.001; start = peak / 25
            Whatever peak is, the highest rate is 0.001. Use the argument.
        start = peak / 25 => peak = 1; start = peak / 25
            Whatever peak is, the highest rate is 1. Use the argument.
        start = peak / 25 => return peak
            The rate is the same at every step. It should rise and fall.
    """),
)
def one_cycle_rate(step, steps, peak):
    start = peak / 25
    rise = 0.2 * steps
    if step < rise:
        return start + (peak - start) * step / rise
    done = (step - rise) / (steps - rise)
    return peak * (1 + np.cos(np.pi * done)) / 2


WEIGHTS = np.array([[2.0, -1.0, -1.0], [-1.0, 2.0, -0.5], [0.5, -1.0, 2.0]], "float32")
BIAS = np.array([0.1, 0.0, -0.1], "float32")


class Toy(keras.Model):
    """A small model that is used like the course's U-Net.

    Each step of training, which ``step`` counts, changes what it predicts.
    """

    def __init__(self, step=0):
        super().__init__(name="toy")
        self.step = step
        self.compile(run_eagerly=True)  # else ``predict`` would not notice another ``step``

    def __repr__(self):
        return "another toy" if self.step else "check.toy"

    def __deepcopy__(self, _):
        return self

    def __call__(self, images, training=None):
        shape = getattr(images, "shape", None)
        if shape is None or len(shape) != 4 or shape[-1] != 3:
            raise ValueError(
                f"the model takes images [B, H, W, 3], and got {shape or type(images)}"
            )
        return super().__call__(images, training=training)

    def call(self, images, training=None):
        logits = ops.cast(images, "float32") / 127.5 - 1
        logits = ops.roll(ops.matmul(logits, WEIGHTS) + BIAS, self.step, axis=-1)
        return ops.flip(logits, axis=-1) if training else logits


toy = Toy()
pictures = np.random.default_rng(5).integers(0, 256, (2, 3, 4, 3), "uint8")


def without_last_axis(predict_mask, model, image):
    """A predicted mask; an axis of length 1 at its end is dropped."""
    mask = predict_mask(model, image)
    array = as_array(mask)
    if mask is None or array is None:
        return mask
    return array[..., 0] if array.ndim > 2 and array.shape[-1] == 1 else array


@task(
    "5.4",
    cases=((toy, pictures[0]), (toy, pictures[1]), (Toy(step=1), pictures[0])),
    adapter=without_last_axis,
    strict=True,
    mistakes=(
        *edits(f"""
            np.argmax(logits, axis=-1) => logits
                These are the logits. A mask holds a class for each pixel.
            np.argmax(logits, axis=-1) => softmax(logits)
                These are probabilities. A mask holds a class for each pixel.
            masks[0] => masks
                The batch axis is still there. Return one mask, [H, W].
            masks[0] => masks[0][0]
                This is the first row of the mask: one index too many.
            np.argmax(logits, axis=-1) => np.max(logits, axis=-1)
                This is the value of the largest logit. The class is its index.
            np.argmax(logits, axis=-1) => np.max(softmax(logits), axis=-1)
                This is the value of the largest probability. The class is its index.
            masks[0] => np.argmax(logits)
                This is one number: the maximum is taken over the whole array.
            np.argmax => np.argmin
                This is the class with the smallest logit.
            masks[0] => np.argmax(logits, axis=0)
                {WRONG_AXIS}
            training=False => training=True
                {TRAINING}
            image[None] => image[None] / 255
                {RESCALED}
            image[None] => image[None] / 127.5 - 1
                {RESCALED}
            np.argmax(logits, axis=-1) => (logits > 0).astype(int)
                {THRESHOLDS}
            np.argmax(logits, axis=-1) => (softmax(logits) > 0.5).astype(int)
                {THRESHOLDS}
            np.argmax(logits, axis=-1) => (softmax(logits)[..., 0] <= 0.5).astype(int)
                A threshold separates two classes. There are three: compare their logits.
        """),
        *one_hint("axis=-1", ("axis=0", "axis=1", "axis=2"), WRONG_AXIS),
        TOO_LARGE_BY_ONE,
    ),
)
def predict_mask(model, image):
    batch = image[None]
    logits = ops.convert_to_numpy(model(batch, training=False))
    masks = np.argmax(logits, axis=-1)
    return masks[0]


def kept_predictions(DisplayCallback, image, mask, epochs):
    """What a callback keeps in a training of two steps per epoch."""
    callback, model, counts = DisplayCallback(image, mask), Toy(), []
    callback.set_model(model)
    callback.set_params({"epochs": epochs, "steps": 2, "verbose": 0})
    before = len(callback.pred_masks)
    callback.on_train_begin({})
    for epoch in range(epochs):
        callback.on_epoch_begin(epoch, {})
        for batch in range(2):
            callback.on_train_batch_begin(batch, {})
            model.step += 1
            callback.on_train_batch_end(batch, {"loss": 1.0})
        callback.on_epoch_end(epoch, {"loss": 1.0, "val_loss": 1.0})
        counts.append(len(callback.pred_masks) - before)
    callback.on_train_end({"loss": 1.0, "val_loss": 1.0})
    kept = [np.asarray(pred_mask) for pred_mask in callback.pred_masks[before:]]
    return {
        "number after each epoch": counts,
        "number at the end": len(kept),
        "predictions": np.stack(kept) if kept else np.zeros(0, int),
        "a second callback starts empty": not len(DisplayCallback(image, mask).pred_masks),
    }


@task(
    "5.5",
    cases=((pictures[0], np.zeros((3, 4, 1), "uint8"), 1), (pictures[1], pictures[1, ..., :1], 3)),
    adapter=kept_predictions,
    mistakes=(
        *edits(f"""
            self.pred_masks.append(pred_mask) => return pred_mask
                Nothing is added to self.pred_masks during training. Check the method's name.
            on_epoch_end => on_train_end
                The prediction is made once, at the end of training. Make one after each epoch.
            on_epoch_end => on_train_begin
                The prediction is made once, before training. Make one after each epoch.
            on_epoch_end => on_epoch_begin
                The prediction is made at the beginning of an epoch, so the last epoch has none.
            on_epoch_end => on_train_batch_end
                A prediction is made after each batch. Make one after each epoch.
            on_epoch_end => on_train_batch_begin
                A prediction is made before each batch. Make one after each epoch.
            self.pred_masks.append(pred_mask) => self.pred_masks = [pred_mask]
                Each prediction replaces the one before. Keep all of them.
            self.pred_masks.append(pred_mask) => self.pred_masks = self.pred_masks or [pred_mask]
                Only the prediction of the first epoch is kept. Keep all of them.
            append(pred_mask) => insert(0, pred_mask)
                The predictions are in reverse order. The first epoch comes first.
            append(pred_mask) => append(0); self.pred_masks[:] = [pred_mask] * len(self.pred_masks)
                All entries are the same array, which changes. Add a new array each time.
            np.argmax(logits, axis=-1)[0] => np.argmax(logits, axis=-1)
                The batch axis is still there. Keep masks [H, W].
            np.argmax(logits, axis=-1)[0] => np.asarray(logits)[0]
                These are the logits. A mask holds a class for each pixel.
            append(pred_mask) => append(self.mask)
                This is the true mask. Keep the model's prediction.
            append(pred_mask) => append(self.image)
                This is the image. Keep the model's prediction.
            training=False => training=True
                {TRAINING}
            self.image[None] => self.image[None] / 255
                {RESCALED}
        """),
        Symptom(
            "All callbacks share one list, an attribute of the class. Each needs its own.",
            a_second_callback_starts_empty=False,
        ),
    ),
)
class DisplayCallback(keras.callbacks.Callback):
    def __init__(self, image, mask):
        super().__init__()
        self.image, self.mask, self.pred_masks = image, mask, []

    def on_epoch_end(self, epoch, logs=None):
        logits = self.model(self.image[None], training=False)
        pred_mask = np.argmax(logits, axis=-1)[0]
        self.pred_masks.append(pred_mask)


# Every score is best in another epoch.
LONG = {
    "loss": [0.90, 0.72, 0.60, 0.50, 0.47, 0.44, 0.42, 0.38, 0.40],
    "accuracy": [0.61, 0.70, 0.75, 0.80, 0.82, 0.84, 0.88, 0.87, 0.86],
    "mean_iou": [0.45, 0.52, 0.57, 0.61, 0.66, 0.69, 0.67, 0.65, 0.68],
    "val_loss": [0.80, 0.66, 0.58, 0.55, 0.60, 0.63, 0.62, 0.61, 0.64],
    "val_accuracy": [0.62, 0.84, 0.80, 0.81, 0.79, 0.78, 0.77, 0.80, 0.79],
    "val_pet_iou": [0.51, 0.60, 0.61, 0.63, 0.67, 0.62, 0.60, 0.64, 0.65],
    "val_mean_iou": [0.44, 0.53, 0.62, 0.60, 0.61, 0.59, 0.58, 0.60, 0.57],
}
SHORT = {name: values[:3] for name, values in LONG.items()} | {"val_mean_iou": [0.41, 0.60, 0.57]}
# Toward the end nothing but the validation mean IoU improves.
LATE = {name: values[:5] for name, values in LONG.items()}
LATE |= {"val_loss": [0.80, 0.60, 0.66, 0.70, 0.75], "val_mean_iou": [0.44, 0.40, 0.53, 0.55, 0.58]}


@task(
    "5.6",
    cases=((SHORT,), (LONG,), (LATE,)),
    mistakes=edits("""
        + 1 =>
            The epochs are counted from 0 here. The first one is 1.
        np.argmax(scores) => np.argmin(history["val_loss"])
            This is the epoch with the lowest validation loss. Use the validation mean IoU.
        np.argmax(scores) => np.argmin(history["loss"])
            This is the epoch with the lowest training loss. Use the validation mean IoU.
        "val_mean_iou" => "mean_iou"
            This is the best epoch on the training images. Use the validation images.
        "val_mean_iou" => "val_accuracy"
            This is the epoch with the best validation accuracy. Use the validation mean IoU.
        "val_mean_iou" => "val_pet_iou"
            This is the epoch with the best IoU of the pet. Use the validation mean IoU.
        "val_mean_iou" => "accuracy"
            This is the epoch with the best training accuracy. Use the validation mean IoU.
        "val_mean_iou" => "val_loss"
            This is the epoch with the highest validation loss. Use the validation mean IoU.
        np.argmax => np.argmin
            This is the worst epoch. A higher IoU is better.
        np.argmax(scores) + 1 => len(scores)
            This is always the last epoch. It need not be the best.
        np.argmax(scores) + 1 => max(scores)
            This is the best score. Return the number of its epoch.
        + 1 => + 2
            This is one epoch too late. The first one is 1.
    """),
)
def best_epoch(history):
    scores = history["val_mean_iou"]
    return np.argmax(scores) + 1


which_rate = Question("5.7", "which_rate", words=40)
