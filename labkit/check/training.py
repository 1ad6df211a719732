"""Tasks of the lab on training (chapter 5). Classes: 0 pet, 1 background, 2 border."""

import keras
import numpy as np
from keras import ops

from labkit.check.task import NotDone, Task, array
from labkit.check.writing import Question

__all__ = ["NotDone"]

# --- 5.1 -----------------------------------------------------------------------------------------

PIXEL = np.array([[[[2.0, 0.0, 1.0]]]])
SURE = np.array([[[[1000.0, 0.0, 0.0]]]])
PET, BACKGROUND = np.zeros((1, 1, 1, 1), "uint8"), np.ones((1, 1, 1, 1), "uint8")
# Two images of 2x2 pixels: with all axes of one length, a wrong one does not end in an error.
MASK = np.array([0, 1, 1, 2, 1, 1, 0, 1], "uint8").reshape(2, 2, 2, 1)
LOGITS = np.array(
    [
        [[[2.0, 0.5, 1.0], [0.5, 1.0, -1.0]], [[-0.5, 3.0, 0.0], [1.5, 1.0, 0.5]]],
        [[[0.0, 2.5, 1.0], [1.0, -1.5, 0.5]], [[1.0, 0.5, 2.0], [-1.0, 0.5, 0.0]]],
    ]
)
PAIR, PAIR_MASK = np.concatenate([PIXEL, SURE], axis=2), np.zeros((1, 1, 2, 1), "uint8")


def log_softmax(logits, axis=-1):
    shifted = logits - np.max(logits, axis, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis, keepdims=True))


def log_of_softmax(logits, axis=-1):
    """Softmax is right, but so small that it becomes 0."""
    return np.log(np.exp(log_softmax(logits, axis)))


def plain(logits, axis=-1):
    powers = np.exp(logits)
    return np.log(powers / np.sum(powers, axis, keepdims=True))


def plain_difference(logits, axis=-1):
    return logits - np.log(np.sum(np.exp(logits), axis, keepdims=True))


def one_shift(logits, axis=-1):
    return plain(logits - np.max(logits), axis)


def looked_up(log_p, mask):
    return np.take_along_axis(log_p, mask.astype(int), axis=-1)[..., 0]


def by_one_hot(log_p, mask):
    """As a sum over one-hot: a class that does not exist gives 0, and 0 times infinity NaN."""
    return np.sum((mask == np.arange(3)) * log_p, axis=-1)


WAYS = (log_softmax, log_of_softmax, plain, plain_difference)
PICKS = (looked_up, by_one_hot)


def entropy(score, way=log_softmax, axis=-1):
    """A loss of mask and logits: ``score`` makes it of log p ``[B, H, W, C]`` and the mask."""
    return lambda mask, logits: score(way(np.asarray(logits, float), axis), np.asarray(mask))


def reduced(change, pick=looked_up):
    """A score: ``change`` makes it of the losses of the pixels ``[B, H, W]``."""
    return lambda log_p, mask: change(-pick(log_p, mask))


def in_every_way(score, hint, axis=-1):
    """The same mistake by every softmax that people write, with one hint."""
    return tuple((entropy(score, way, axis), hint) for way in WAYS)


def of_pixels(change, hint):
    """The same mistake with the losses of the pixels, by every softmax and with one-hot."""
    return sum((in_every_way(reduced(change, pick), hint) for pick in PICKS), ())


def cut_off(n):
    """A score with a small number added to p, which is much the same as a lower limit for p."""
    return lambda log_p, mask: reduced(np.mean)(np.log(np.exp(log_p) + 10.0**-n), mask)


def without_softmax(mask, logits):
    return -np.mean(looked_up(np.log(logits), mask))


def taken_for_probabilities(mask, logits):
    """What Keras makes of logits if nobody tells it that they are logits."""
    p = np.clip(logits, 1e-7, 1 - 1e-7)
    return -np.mean(looked_up(np.log(p / np.sum(p, axis=-1, keepdims=True)), mask))


def two_sided(log_p, mask):
    """Binary cross-entropy of each class."""
    hot = mask == np.arange(3)
    return -np.mean(np.sum(np.where(hot, log_p, np.log(1 - np.exp(log_p))), axis=-1))


def moved(pick, step):
    """A score with labels that are off by one."""
    return lambda log_p, mask: -np.mean(pick(log_p, mask.astype(int) + step))


def around(log_p, mask):
    """Labels beyond the last class start anew, as place -1 does."""
    return looked_up(log_p, mask % 3)


def in_bytes(log_p, mask):
    """Labels in uint8, in which 0 - 1 is 255."""
    return looked_up(log_p, mask % 256)


TOO_LARGE = (
    "e to the power of 1000 is too large for a number. Softmax stays the same if one number is "
    "subtracted from all logits of a pixel."
)
TOO_SMALL = (
    "Softmax gives a p so small that it becomes 0, and log 0 is infinite. Simplify log(softmax) on "
    "paper first."
)
NOT_FINITE = (
    "With large logits something is infinite: e to the power of 1000, or the logarithm of a p that "
    "became 0. Simplify log(softmax) on paper first."
)
CUT_OFF = (
    "A small number is added to p, or p has a lower limit. A pixel that is very wrong then costs "
    "far too little."
)
NO_SOFTMAX = "Softmax is missing: logits are no probabilities, and their logarithm means nothing."
NO_LOG = "The logarithm is missing: the loss of a pixel is -log p, not p."
BASE = "This is the logarithm to base {}. The loss has the natural one, to base e."
FIXED = "Whatever the mask says, this is the loss of class {}. Take each pixel's own class."
OFF_BY_ONE = "The labels are off by one. Class 0 has the first of the logits, at place 0."
WRONG_SUM = "Softmax runs over the wrong axis: the three p of a pixel have to add up to 1."

ONE_PIXEL_WRONG = (
    (entropy(reduced(np.mean), plain), TOO_LARGE),
    (entropy(reduced(np.mean), plain_difference), TOO_LARGE),
    (entropy(reduced(np.mean), log_of_softmax), TOO_SMALL),
    *((entropy(reduced(np.mean, by_one_hot), way), NOT_FINITE) for way in WAYS[1:]),
    *((entropy(cut_off(n), plain), TOO_LARGE) for n in range(5, 17)),
    *((entropy(cut_off(n)), CUT_OFF) for n in range(5, 17)),
    (
        entropy(reduced(np.mean), one_shift),
        "One number is subtracted from all pixels. Each pixel has a largest logit of its own.",
    ),
    *in_every_way(
        lambda log_p, mask: reduced(np.mean)(log_softmax(np.exp(log_p)), mask),
        "Softmax is applied twice, and the second one makes every pixel unsure.",
    ),
    (without_softmax, NO_SOFTMAX),
    (taken_for_probabilities, NO_SOFTMAX),
    (lambda mask, logits: -np.mean(looked_up(logits, mask)), NO_SOFTMAX),
    *of_pixels(lambda losses: np.mean(losses) / np.log(10), BASE.format(10)),
    *of_pixels(lambda losses: np.mean(losses) / np.log(2), BASE.format(2)),
    *of_pixels(
        lambda losses: -np.mean(losses),
        "The sign is wrong: log p is never above 0, and a loss is never below it.",
    ),
    *of_pixels(lambda losses: np.mean(np.exp(-losses)), NO_LOG),
    *of_pixels(lambda losses: -np.mean(np.exp(-losses)), NO_LOG),
    *of_pixels(lambda losses: 1 - np.mean(np.exp(-losses)), NO_LOG),
    *in_every_way(
        lambda log_p, mask: np.mean(np.sum((np.exp(log_p) - (mask == np.arange(3))) ** 2, -1)),
        "This is a squared difference. Cross-entropy is -log p of the true class.",
    ),
)

MANY_PIXELS_WRONG = (
    *of_pixels(
        lambda losses: -np.log(np.mean(np.exp(-losses))),
        "The mean is taken before the logarithm. Each pixel has a loss; then comes the mean.",
    ),
    *of_pixels(
        np.sum, "This is the sum over the pixels. Take the mean, so that size does not count."
    ),
    *of_pixels(
        lambda losses: np.sum(losses) / len(losses),
        "This is a sum over the pixels of an image. Divide by all pixels, not by the images.",
    ),
    *of_pixels(lambda losses: losses, "This is the loss of each pixel. Their mean is asked for."),
    *of_pixels(
        lambda losses: np.mean(losses) / 3,
        "The mean runs over the classes too, with two zeros in each pixel: it is a third.",
    ),
    *in_every_way(
        lambda log_p, mask: -np.mean(np.sum(log_p, axis=-1)),
        "The log p of all classes are added. Only that of the true class counts.",
    ),
    *in_every_way(
        two_sided,
        "The other classes' log(1 - p) are added. Only the true class's log p counts.",
    ),
    *in_every_way(
        lambda log_p, mask: -np.mean(np.max(log_p, axis=-1)),
        "This is the loss of the predicted class, the surest one. Take the mask's class.",
    ),
    *in_every_way(
        lambda log_p, mask: -np.mean(np.sum(np.exp(log_p) * log_p, axis=-1)),
        "This is the entropy of the prediction: it does not look at the mask.",
    ),
    *(
        (entropy(lambda log_p, mask, n=n: -np.mean(log_p[..., n]), way), FIXED.format(n))
        for n in range(3)
        for way in WAYS
    ),
    *(
        (entropy(moved(pick, step), way), OFF_BY_ONE)
        for pick in (around, in_bytes, by_one_hot)
        for step in (-1, 1)
        for way in WAYS
    ),
    *(
        (entropy(reduced(np.mean), way, axis), WRONG_SUM)
        for axis in (0, 1, 2, None)
        for way in WAYS
    ),
    *in_every_way(
        lambda log_p, mask: reduced(np.mean, by_one_hot)(log_p, mask[..., None]),
        "The mask ends in an axis of length 1. With it, one-hot has an axis too many, and each "
        "pixel meets others.",
    ),
    *in_every_way(
        lambda log_p, mask: -np.mean(log_p[..., mask]),
        "Each pixel is asked for the classes of all pixels. It has to be asked for its own.",
    ),
)

cross_entropy = Task(
    "5.1",
    "cross_entropy",
    """
`cross_entropy(mask, logits)` is the mean of $-\\log p_\\text{true}$ over all pixels.

* **in**: a mask `[B, H, W, 1]` of the classes 0, 1, 2, and logits `[B, H, W, 3]`, a place for each
  class.
* **out**: one number. It has to be right for large logits too, where $e^z$ is too large for the
  computer.
* **example**: one pixel with logits 2, 0, 1 gives 0.4076 if its class is 0, and 2.4076 if it is 1.
  With logits 1000, 0, 0 it gives 0 and 1000.
""",
    cases=(
        (PET, PIXEL),
        (BACKGROUND, PIXEL),
        (MASK, LOGITS),
        (PET, SURE),
        (BACKGROUND, SURE),
        (PAIR_MASK, PAIR),
    ),
    right=entropy(reduced(np.mean)),
    mistakes=ONE_PIXEL_WRONG + MANY_PIXELS_WRONG,
)

# --- 5.2 -----------------------------------------------------------------------------------------

SHARES = np.array([0.1, 0.5, 0.9])

focal_loss = Task(
    "5.2",
    "focal_loss",
    """
`focal_loss(p, gamma=2)` is the focal loss of a pixel, $-(1 - p)^\\gamma \\log p$.

* **in**: the probability of the true class, a number above 0 or an array of them; and $\\gamma$.
* **out**: a number, or an array with one for each.
* **example**: `focal_loss(0.5)` is 0.25 times 0.6931, so 0.1733. With `gamma=0` it is
  cross-entropy, 0.6931.
""",
    cases=((0.5,), (0.5, 0), (SHARES,), (SHARES, 0), (SHARES, 1), (SHARES, 0.5)),
    right=lambda p, gamma=2: -((1 - p) ** gamma) * np.log(p),
    mistakes=(
        (
            lambda p, gamma=2: (1 - p) ** gamma * np.log(p),
            "The sign is wrong: log p is never above 0, and a loss is never below it.",
        ),
        (
            lambda p, gamma=2: -((p - 1) ** gamma) * np.log(p),
            "p - 1 is negative: take 1 - p.",
        ),
        (
            lambda p, gamma=2: -(p**gamma) * np.log(p),
            "The factor is p to the power of gamma, and turns down the unsure pixels. It should "
            "turn down the sure ones.",
        ),
        (
            lambda p, gamma=2: -(1 - p**gamma) * np.log(p),
            "gamma belongs to the whole of (1 - p). Look at the brackets.",
        ),
        (
            lambda p, gamma=2: -gamma * (1 - p) * np.log(p),
            "gamma is a factor here. It should be a power.",
        ),
        (
            lambda p, gamma=2: -((1 - p) ** gamma) * np.log(1 - p),
            "The logarithm is that of 1 - p. It should be that of p.",
        ),
        (
            lambda p, gamma=2: -((1 - p) ** 2) * np.log(p),
            "Whatever gamma is, the power is 2. Use the argument.",
        ),
        (
            lambda p, gamma=2: -np.log(p),
            "This is cross-entropy: the factor that turns down the sure pixels is missing.",
        ),
        (lambda p, gamma=2: (1 - p) ** gamma, "This is the factor alone. Where is log p?"),
        (
            lambda p, gamma=2: -((1 - p) ** gamma) * np.log10(p),
            "This is the logarithm to base 10. The loss has the natural one, to base e.",
        ),
        (
            lambda p, gamma=2: -((1 - p) ** gamma) * np.log2(p),
            "This is the logarithm to base 2. The loss has the natural one, to base e.",
        ),
        (
            lambda p, gamma=2: np.mean(-((1 - p) ** gamma) * np.log(p)),
            "The mean is taken. Each pixel's own loss is asked for.",
        ),
        (
            lambda p, gamma=2: np.sum(-((1 - p) ** gamma) * np.log(p)),
            "The sum is taken. Each pixel's own loss is asked for.",
        ),
    ),
)

# --- 5.3 -----------------------------------------------------------------------------------------


def rise(step, steps, peak, share=0.2):
    return peak / 25 + (peak - peak / 25) * step / (share * steps)


def cosine(step, steps, peak, share=0.2):
    """From ``peak`` after a share of the steps to 0 at the end."""
    done = (step - share * steps) / (steps - share * steps)
    return peak * (1 + np.cos(np.pi * done)) / 2


def cycle(up=rise, down=cosine, share=0.2):
    """A rate that goes up and then down by these functions."""

    def rate(step, steps, peak):
        return (up if step < share * steps else down)(step, steps, peak)

    return rate


def cosine_alone(step, steps, peak):
    return cosine(step, steps, peak, share=0)


def of_done(change):
    """A fall by what ``change`` gives for the share of the fall that is done."""
    return lambda step, steps, peak: peak * change((step - 0.2 * steps) / (0.8 * steps))


one_cycle_rate = Task(
    "5.3",
    "one_cycle_rate",
    """
`one_cycle_rate(step, steps, peak)` is the learning rate at one step of a training.

* **in**: the step, counted from 0; how many steps there are; and the highest rate.
* **out**: a number. Over the first fifth of the steps, the rate rises in a straight line from a
  25th of `peak` to `peak`. Over the rest, it falls to 0 along half a cosine.
* **example**: with 100 steps and a peak of 1, step 0 has 0.04, step 10 is half-way up and has 0.52,
  step 20 has 1, step 60 is half-way down and has 0.5, and step 100 would have 0.
""",
    cases=(
        (0, 100, 1.0),
        (10, 100, 1.0),
        (20, 100, 1.0),
        (60, 100, 1.0),
        (100, 100, 1.0),
        (30, 100, 1.0),
        (3, 30, 0.5),
        (27, 30, 0.5),
    ),
    right=cycle(),
    mistakes=(
        (
            cycle(up=lambda step, steps, peak: peak * step / (0.2 * steps)),
            "The rise begins at 0. It should begin at a 25th of the peak.",
        ),
        (
            cycle(up=lambda step, steps, peak: peak / 25 + peak * step / (0.2 * steps)),
            "The rise ends above the peak: it goes up by what lies between the 25th and the peak.",
        ),
        (
            cycle(up=lambda step, steps, peak: peak / 25 + (peak - peak / 25) * step / steps),
            "The rise is too slow: it should reach the peak after a fifth of the steps.",
        ),
        (
            cycle(up=lambda step, steps, peak: peak),
            "The rise is missing: the rate begins at the peak.",
        ),
        (
            cycle(up=lambda step, steps, peak: peak / 25),
            "The first fifth has one rate throughout, and then it jumps. It should rise.",
        ),
        (
            cycle(up=lambda step, steps, peak: cosine(step, steps, peak)),
            "The rise follows the cosine too. It should be a straight line.",
        ),
        (
            cosine_alone,
            "The cosine falls from the very first step. In the first fifth the rate should rise.",
        ),
        (rise, "The rise never ends. After a fifth of the steps the rate should fall."),
        (
            cycle(down=lambda step, steps, peak: peak),
            "After the rise the rate stays at the peak. It should fall to 0.",
        ),
        (
            cycle(down=of_done(lambda done: 1 - done)),
            "The fall is a straight line. It should follow half a cosine.",
        ),
        (
            cycle(down=cosine_alone),
            "The rate jumps after the rise. The fall has the steps after the rise to itself: count "
            "from there.",
        ),
        (
            cycle(down=lambda step, steps, peak: cosine_alone(step - 0.2 * steps, steps, peak)),
            "The fall does not reach 0 at the last step: it is divided by all steps, not by those "
            "after the rise.",
        ),
        (
            cycle(down=of_done(lambda done: 1 + np.cos(np.pi * done))),
            "The fall begins at twice the peak: 1 + cos goes from 2 to 0.",
        ),
        (
            cycle(down=of_done(lambda done: np.cos(np.pi * done))),
            "The rate becomes negative: a cosine goes from 1 to -1. Move it up, and halve it.",
        ),
        (
            cycle(down=of_done(lambda done: np.cos(np.pi * done / 2))),
            "This is a quarter of a cosine, from its top to 0. Half a cosine goes to its lowest "
            "point.",
        ),
        (
            cycle(down=of_done(lambda done: 0.5 + np.cos(2 * np.pi * done) / 2)),
            "This is a whole cosine: it falls and rises again. Half of one is asked for.",
        ),
        (
            cycle(down=of_done(lambda done: 0.5 + np.cos(180 * done) / 2)),
            "The cosine is given degrees. It takes radians: half a turn is pi.",
        ),
        (
            cycle(down=of_done(lambda done: 0.04 + 0.96 * (0.5 + np.cos(np.pi * done) / 2))),
            "The fall ends at a 25th of the peak. It should end at 0.",
        ),
        (
            lambda step, steps, peak: cycle()(step, steps, 1e-3),
            "Whatever peak is, the rate goes up to 0.001. Use the argument.",
        ),
        (
            lambda step, steps, peak: cycle()(step, steps, 1.0),
            "Whatever peak is, the rate goes up to 1. Multiply by the argument.",
        ),
        (
            lambda step, steps, peak: peak,
            "The rate is the same at every step. It should rise and fall.",
        ),
        (
            lambda step, steps, peak: (
                rise(step, steps, peak, 0.8)
                if step < 0.8 * steps
                else cosine(step, steps, peak, 0.8)
            ),
            "The rise takes four fifths of the steps. It should take one.",
        ),
    ),
)

# --- 5.4 and 5.5 ---------------------------------------------------------------------------------

WEIGHTS = np.array([[2.0, -1.0, -1.0], [-1.0, 2.0, -0.5], [0.5, -1.0, 2.0]])
BIAS = np.array([0.1, 0.0, -0.1])


class Toy:
    """A model in a few lines, with the contract of the course's U-Net.

    It may be called, or asked by ``predict`` or ``predict_on_batch``. ``step`` stands for training:
    each step changes what it predicts.
    """

    step = 0

    def __repr__(self):
        return "check.toy"

    def __call__(self, images, training=None):
        return ops.convert_to_tensor(self.logits(images, training))

    def predict(self, images, batch_size=None, verbose="auto", **options):
        return self.logits(images)

    def predict_on_batch(self, images):
        return self.logits(images)

    def logits(self, images, training=False):
        images = ops.convert_to_numpy(images)
        if images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(f"the model takes images [B, H, W, 3], and got {images.shape}")
        logits = (images / 127.5 - 1) @ WEIGHTS + BIAS
        logits = np.roll(logits, self.step, axis=-1).astype("float32")
        return logits[..., ::-1] if training else logits


toy = Toy()
pictures = np.random.default_rng(5).integers(0, 256, (2, 3, 4, 3), "uint8")


def softmax(logits):
    return np.exp(log_softmax(logits))


def places(axis):
    return lambda model, images: np.argmax(model.predict(images), axis=axis)


BATCH_AXIS = "The batch's axis is still there. One image goes in, and one mask [H, W] comes out."
WRONG_AXIS = "The largest is taken along the wrong axis: the classes are the last one."
TRAINING = "The model is called in training mode. Its predictions belong to training=False."
RESCALED = "The pixels are rescaled before the model, which rescales them itself."
ON_ITS_OWN = "Each class is asked on its own. A pixel has one class: that of the largest logit."


def one_mask(predict_mask, model, image):
    """A predicted mask; an axis of length 1 at its end is dropped."""
    mask = predict_mask(model, image)
    found = array(mask)
    if mask is None or found is None:
        return mask
    return found[..., 0] if found.shape == (*image.shape[:2], 1) else found


def of_logits(change):
    """What ``change`` makes of the logits ``[H, W, C]`` of an image."""
    return lambda model, image: change(model.predict(image[None])[0])


def largest(logits):
    return np.argmax(logits, axis=-1)


predict_mask = Task(
    "5.4",
    "predict_mask",
    """
`predict_mask(model, image)` is the mask that a model predicts for one image.

* **in**: a model that turns a *batch* of images `[B, H, W, 3]`, raw pixels from 0 to 255, into
  logits `[B, H, W, 3]`; and *one* image `[H, W, 3]`.
* **out**: for each pixel the class whose logit is largest, `[H, W]` (or `[H, W, 1]`). The model has
  to predict, not to train.
* **example**: a pixel with the logits 0.3, -1.2, 0.9 gets class 2. The check takes a small model
  and small images. You can try your function on them too: `check.toy` and `check.pictures[0]`.
""",
    cases=((toy, pictures[0]), (toy, pictures[1])),
    right=of_logits(largest),
    use=one_mask,
    strict=True,
    mistakes=(
        (of_logits(lambda logits: logits), "These are the logits. A pixel of a mask has a class."),
        (of_logits(lambda logits: logits[None]), BATCH_AXIS),
        (of_logits(lambda logits: largest(logits)[None]), BATCH_AXIS),
        (of_logits(lambda logits: largest(logits)[None, ..., None]), BATCH_AXIS),
        (
            of_logits(lambda logits: largest(logits)[0]),
            "Only the first row of the mask comes out: one axis too many is taken away.",
        ),
        (of_logits(softmax), "These are probabilities. A pixel of a mask has a class."),
        (
            of_logits(lambda logits: np.max(logits, axis=-1)),
            "This is the largest logit itself. Its place is the class.",
        ),
        (
            of_logits(lambda logits: np.max(softmax(logits), axis=-1)),
            "This is the largest probability itself. Its place is the class.",
        ),
        *((of_logits(lambda logits, n=n: np.argmax(logits, axis=n)), WRONG_AXIS) for n in (0, 1)),
        *(
            (of_logits(lambda logits, n=n: np.argmax(logits[None], axis=n)), WRONG_AXIS)
            for n in (0, 1, 2)
        ),
        (
            of_logits(np.argmax),
            "One number for the whole image: the largest is sought in all pixels at once.",
        ),
        (
            of_logits(lambda logits: np.argmin(logits, axis=-1)),
            "This is the class with the smallest logit, the least likely one.",
        ),
        (
            of_logits(lambda logits: largest(logits) + 1),
            "The classes are counted from 1. Here they are 0, 1, 2.",
        ),
        (
            lambda model, image: largest(np.asarray(model(image[None], training=True)))[0],
            TRAINING,
        ),
        (lambda model, image: largest(model.predict(image[None] / 255))[0], RESCALED),
        (lambda model, image: largest(model.predict(image[None] / 127.5 - 1))[0], RESCALED),
        (of_logits(lambda logits: (logits > 0).astype(int)), ON_ITS_OWN),
        (of_logits(lambda logits: (softmax(logits) > 0.5).astype(int)), ON_ITS_OWN),
        (
            of_logits(lambda logits: (softmax(logits)[..., 0] <= 0.5).astype(int)),
            "A threshold parts two classes. There are three: take the largest logit.",
        ),
    ),
)


def watched(DisplayCallback, image, mask, epochs):
    """What a callback keeps while a model trains, two steps an epoch."""
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
        "kept after each epoch": counts,
        "kept in the end": len(kept),
        "predictions": np.stack(kept) if kept else np.zeros(0, int),
        "a second callback begins empty": not len(DisplayCallback(image, mask).pred_masks),
    }


class Watcher(keras.callbacks.Callback):
    """What the right callback and the mistaken ones share."""

    def __init__(self, image, mask):
        super().__init__()
        self.image, self.mask, self.pred_masks = image, mask, []

    def predict(self, change=lambda image: image, training=False):
        logits = self.model(change(self.image)[None], training=training)
        return np.argmax(logits, axis=-1)[0]

    def keep(self, *_):
        self.pred_masks.append(self.predict())


def callback(hook="on_epoch_end", does=Watcher.keep, base=Watcher):
    """A class of callbacks that does something when ``fit`` calls a hook."""
    return type("DisplayCallback", (base,), {hook: does})


class Sharing(Watcher):
    """The list belongs to the class: all callbacks have the same one."""

    pred_masks = []

    def __init__(self, image, mask):
        keras.callbacks.Callback.__init__(self)
        self.image, self.mask = image, mask


def appended(value):
    """A hook that keeps what ``value`` makes of the callback."""
    return lambda self, *_: self.pred_masks.append(value(self))


def kept_in_one_array(self, *_):
    if not self.pred_masks:
        self.array = np.zeros(self.image.shape[:2], int)
    self.array[...] = self.predict()
    self.pred_masks.append(self.array)


def overwritten(self, *_):
    self.pred_masks = [self.predict()]


def first_alone(self, *_):
    if not self.pred_masks:
        self.keep()


NOTHING = "Nothing is kept while the training runs. Is something added to self.pred_masks?"
TOO_OFTEN = "A prediction is kept after each batch. Once an epoch is enough: at its end."

DisplayCallback = Task(
    "5.5",
    "DisplayCallback",
    """
`DisplayCallback(image, mask)` is a Keras callback that keeps what the model predicts for one image
after each epoch.

* **in**: one image `[H, W, 3]` and its mask. During `fit`, the model is `self.model`.
* **out**: after each epoch there is one prediction more in the list `self.pred_masks`, in the order
  of the epochs: masks `[H, W]`, as `predict_mask` makes them.
* **example**: after an epoch, `len(callback.pred_masks)` is 1; after three it is 3, and the three
  differ, because the model has changed. The check trains no model: it calls the callback as `fit`
  does, with `check.toy` as the model.
""",
    cases=((pictures[0], np.zeros((3, 4, 1), "uint8"), 1), (pictures[1], pictures[1, ..., :1], 3)),
    right=callback(),
    use=watched,
    mistakes=(
        (callback(does=lambda self, *_: self.predict()), NOTHING),
        (callback("on_test_end"), NOTHING),
        (
            callback("on_train_end"),
            "Something is kept at the end of the training alone, not after each epoch.",
        ),
        (
            callback("on_train_begin"),
            "The prediction is made before the training. Make one after each epoch.",
        ),
        (
            callback("on_epoch_begin"),
            "The prediction is made as an epoch begins, so the last epoch has none.",
        ),
        (callback("on_train_batch_end"), TOO_OFTEN),
        (callback("on_train_batch_begin"), TOO_OFTEN),
        (
            callback(does=overwritten),
            "Each prediction takes the place of the one before. Keep all of them.",
        ),
        (
            callback(does=first_alone),
            "Only the first epoch's prediction is kept. Each epoch has one.",
        ),
        (
            callback(does=lambda self, *_: self.pred_masks.insert(0, self.predict())),
            "The predictions are in the wrong order: that of the first epoch comes first.",
        ),
        (
            callback(does=kept_in_one_array),
            "All entries are one array, which changes with each epoch. Keep a new one each time.",
        ),
        (
            callback(base=Sharing),
            "All callbacks share one list, that of the class. Make the list in __init__.",
        ),
        (
            callback(does=appended(lambda self: np.asarray(self.model(self.image[None])[0]))),
            "The logits are kept. A mask has one class for each pixel.",
        ),
        (
            callback(does=appended(lambda self: np.asarray(self.mask))),
            "The true mask is kept. The model has to be asked.",
        ),
        (
            callback(does=appended(lambda self: self.image)),
            "The image is kept. The model's prediction for it is asked for.",
        ),
        (callback(does=appended(lambda self: self.predict(training=True))), TRAINING),
        (callback(does=appended(lambda self: self.predict(lambda image: image / 255))), RESCALED),
    ),
)

# --- 5.6 -----------------------------------------------------------------------------------------

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
# In the end nothing but the validation mean IoU gains.
LATE = {name: values[:5] for name, values in LONG.items()}
LATE |= {"val_loss": [0.80, 0.60, 0.66, 0.70, 0.75], "val_mean_iou": [0.44, 0.40, 0.53, 0.55, 0.58]}


def place(name, best=np.argmax):
    return lambda history: best(history[name]) + 1


def of_name(name, best, words):
    hint = f"This is the epoch with the {words}. The validation mean IoU decides: 'val_mean_iou'."
    return place(name, best), hint


best_epoch = Task(
    "5.6",
    "best_epoch",
    """
`best_epoch(history)` is the number of the epoch with the best mean IoU on the validation images.

* **in**: a history as in `run.history`: a dict of lists, with one number for each epoch. Names with
  `val_` belong to the validation images.
* **out**: a whole number. The first epoch is 1.
* **example**: `{"loss": [0.9, 0.6, 0.5], "val_mean_iou": [0.41, 0.60, 0.57]}` gives 2.
""",
    cases=((SHORT,), (LONG,), (LATE,)),
    right=place("val_mean_iou"),
    mistakes=(
        (
            lambda history: np.argmax(history["val_mean_iou"]),
            "The epochs are counted from 0 here. The first one is 1.",
        ),
        of_name("val_loss", np.argmin, "lowest validation loss"),
        of_name("loss", np.argmin, "lowest training loss"),
        of_name("mean_iou", np.argmax, "best mean IoU on the images that are trained with"),
        of_name("val_accuracy", np.argmax, "best validation accuracy"),
        of_name("val_pet_iou", np.argmax, "best IoU of one class, the pet"),
        of_name("accuracy", np.argmax, "best accuracy on the images that are trained with"),
        (place("val_mean_iou", np.argmin), "This is the worst epoch. A high IoU is good."),
        (
            place("val_loss", np.argmax),
            "This is the epoch with the highest loss. And mean IoU decides, not the loss.",
        ),
        (
            lambda history: len(history["val_mean_iou"]),
            "This is always the last epoch. It need not be the best.",
        ),
        (
            lambda history: max(history["val_mean_iou"]),
            "This is the best score itself. In which epoch was it reached?",
        ),
        (
            lambda history: np.argmax(history["val_mean_iou"]) + 2,
            "This is one epoch too late. The first one is 1.",
        ),
    ),
)

# --- 5.7 -----------------------------------------------------------------------------------------

which_rate = Question(
    "5.7",
    "which_rate",
    """
How does the training of the small model depend on the learning rate? Draw curves with
`show_losses(tried, rescaled)`, and look at these three things:

1. a constant rate: at least five, from 0.001 to 30;
2. a rate that is too high if it is constant, but is the peak of `one_cycle_rate`: a list with a
   rate for each of 100 steps;
3. the best constant rate, with pixels that nobody has rescaled: `show_losses(tried, raw)`.

How do you see in a curve that the rate is too low, or too high? What does the fall to 0 do? And why
does the third training go wrong?

Write your answer into `which_rate`, four sentences or more, with numbers that you saw.
""",
    words=40,
)
