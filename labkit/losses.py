"""Losses for segmentation, from masks ``[B, H, W, 1]`` and logits ``[B, H, W, C]``.

Each is a Keras loss: ``loss(mask, logits)`` returns a scalar, the mean over the images. Pixels
whose mask is 255 (``classes.IGNORE``) do not count.
"""

import keras
from keras import ops

from labkit.classes import IGNORE


def class_numbers(mask, logits):
    """Class numbers, int32 ``[B, H, W]``; raises ValueError unless the shapes match."""
    size = tuple(logits.shape[1:3])
    if len(logits.shape) != 4 or tuple(mask.shape[1:]) not in (size, (*size, 1)):
        raise ValueError(
            f"masks of shape {tuple(mask.shape)} and logits of shape {tuple(logits.shape)}: "
            "expected [B, H, W, 1] and [B, H, W, C] of the same size"
        )
    return ops.cast(mask[..., 0] if len(mask.shape) == 4 else mask, "int32")


def _one_hot_and_softmax(mask, logits):
    """One-hot masks and softmax probabilities, both float32 ``[B, H, W, C]``; 0 where ignored."""
    labels = class_numbers(mask, logits)
    one_hot = ops.equal(labels[..., None], ops.arange(logits.shape[-1], dtype="int32"))
    p = ops.softmax(ops.cast(logits, "float32"), axis=-1)
    return ops.cast(one_hot, "float32"), p * ops.cast(labels != IGNORE, "float32")[..., None]


def _mean_of_counted(values, weights):
    """Values ``[B, H, W]`` scaled so that their mean over all pixels is their weighted mean."""
    return ops.divide_no_nan(values * weights, ops.mean(weights))


@keras.saving.register_keras_serializable("labkit.losses")
class CrossEntropy(keras.losses.Loss):
    """Cross-entropy of each pixel, from logits: -log p(true class), averaged over pixels.

    ``weights`` gives each class a weight, such as (1, 1, 5) if the third is rare: the mean over
    pixels is weighted by the class in the mask.
    """

    def __init__(self, weights=None, name="cross_entropy", **options):
        super().__init__(name=name, **options)
        if weights is not None and (min(weights) < 0 or max(weights) == 0):
            raise ValueError(f"weights are {weights}: use 0 or more, and not only 0")
        self.weights = None if weights is None else [float(weight) for weight in weights]

    def call(self, y_true, y_pred):
        """Loss of each pixel, ``[B, H, W]``."""
        labels, num_classes = class_numbers(y_true, y_pred), y_pred.shape[-1]
        if self.weights is not None and len(self.weights) != num_classes:
            raise ValueError(
                f"{len(self.weights)} weights and {num_classes} classes: give one for each"
            )
        counted = ops.not_equal(labels, IGNORE)
        labels = ops.where(counted, labels, 0)
        entropy = keras.losses.sparse_categorical_crossentropy(labels, y_pred, from_logits=True)
        weights = ops.cast(counted, entropy.dtype)
        if self.weights is not None:
            weights = weights * ops.take(ops.convert_to_tensor(self.weights, entropy.dtype), labels)
        return _mean_of_counted(entropy, weights)

    def get_config(self):
        return {**super().get_config(), "weights": self.weights}


@keras.saving.register_keras_serializable("labkit.losses")
class Tversky(keras.losses.Loss):
    """1 - TP / (TP + alpha FP + beta FN), averaged over classes and images.

    The areas are soft: sums of probabilities. ``alpha`` weights false positives, ``beta`` false
    negatives; 0.5 for both is the Dice loss. ``smooth`` pixels are added to numerator and
    denominator, so that a class absent from mask and prediction costs nothing.
    Source: Salehi, Erdogmus and Gholipour (2017), arXiv:1706.05721.
    """

    def __init__(self, alpha=0.3, beta=0.7, smooth=1.0, name="tversky", **options):
        if alpha < 0 or beta < 0 or smooth <= 0:
            raise ValueError(
                f"alpha {alpha}, beta {beta}, smooth {smooth}: alpha and beta must not be "
                "negative, and smooth must be above 0"
            )
        super().__init__(name=name, **options)
        self.alpha, self.beta, self.smooth = alpha, beta, smooth

    def call(self, y_true, y_pred):
        """Loss of each image, ``[B]``."""
        one_hot, p = _one_hot_and_softmax(y_true, y_pred)
        tp = ops.sum(one_hot * p, axis=(1, 2))  # [B, C]
        fp = ops.sum((1 - one_hot) * p, axis=(1, 2))  # p is 0 where the mask is ignored
        fn = ops.sum(one_hot * (1 - p), axis=(1, 2))
        denominator = tp + self.alpha * fp + self.beta * fn
        return ops.mean(1 - (tp + self.smooth) / (denominator + self.smooth), axis=-1)

    def get_config(self):
        config = {"alpha": self.alpha, "beta": self.beta, "smooth": self.smooth}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("labkit.losses")
class Dice(Tversky):
    """1 - soft Dice, averaged over classes and images: Tversky with alpha = beta = 0.5.

    Source: Milletari, Navab and Ahmadi (2016), arXiv:1606.04797, with plain (not squared) sums.
    """

    def __init__(self, smooth=1.0, name="dice", **options):
        super().__init__(alpha=0.5, beta=0.5, smooth=smooth, name=name, **options)

    def get_config(self):
        base = super().get_config()
        return {key: value for key, value in base.items() if key not in ("alpha", "beta")}


@keras.saving.register_keras_serializable("labkit.losses")
class Focal(keras.losses.Loss):
    """Cross-entropy with less weight on confident pixels: mean of -(1 - p)^gamma log p.

    ``gamma=0`` is cross-entropy. Source: Lin et al. (2017), arXiv:1708.02002, without its class
    weights.
    """

    def __init__(self, gamma=2.0, name="focal", **options):
        if gamma < 0:
            raise ValueError(f"gamma is {gamma}: use 0 (cross-entropy) or more")
        super().__init__(name=name, **options)
        self.gamma = gamma

    def call(self, y_true, y_pred):
        """Loss of each pixel, ``[B, H, W]``."""
        one_hot, p = _one_hot_and_softmax(y_true, y_pred)
        log_p = ops.sum(one_hot * ops.log_softmax(ops.cast(y_pred, "float32"), axis=-1), axis=-1)
        # At p = 1 and gamma below 1, the gradient of 0^gamma would be infinite.
        q = ops.maximum(1 - ops.sum(one_hot * p, axis=-1), keras.config.epsilon())
        return _mean_of_counted(-ops.power(q, self.gamma) * log_p, ops.sum(one_hot, axis=-1))

    def get_config(self):
        return {**super().get_config(), "gamma": self.gamma}


@keras.saving.register_keras_serializable("labkit.losses")
class Boundary(keras.losses.Loss):
    """Probability error times distance to the true outline of the class.

    The distance is counted in steps to any of eight neighbors, at most ``reach``, and divided by
    it; the mean is over pixels and classes. An error at the outline costs little, one far from it
    much. Meant to be added to a loss that weights all pixels equally.
    Source: Kervadec et al. (2019), arXiv:1812.07032, whose integral differs by a constant.
    """

    def __init__(self, reach=8, name="boundary", **options):
        if reach < 1:
            raise ValueError(f"reach is {reach}: use at least 1 pixel")
        super().__init__(name=name, **options)
        self.reach = reach

    def call(self, y_true, y_pred):
        """Loss of each pixel, ``[B, H, W]``."""
        one_hot, p = _one_hot_and_softmax(y_true, y_pred)
        counted = ops.sum(one_hot, axis=-1)
        others = counted[..., None] - one_hot  # an ignored pixel is on neither side
        distance = steps_to(one_hot, self.reach) + steps_to(others, self.reach)
        error = ops.mean(distance / self.reach * ops.abs(p - one_hot), axis=-1)
        return _mean_of_counted(error, counted)

    def get_config(self):
        return {**super().get_config(), "reach": self.reach}


def steps_to(region, max_steps):
    """Steps from each pixel to a region, 0 inside it: float32 ``[B, H, W, C]``, as the region.

    A step goes to one of eight neighbors. Pixels farther away than ``max_steps``, or in an image
    without the region, have ``max_steps``.
    """
    steps = ops.zeros_like(region)
    for _ in range(max_steps):
        steps = steps + (1 - region)
        region = ops.max_pool(region, 3, strides=1, padding="same")  # one pixel larger
    return steps


@keras.saving.register_keras_serializable("labkit.losses")
class Sum(keras.losses.Loss):
    """A weighted sum of losses: ``Sum([CrossEntropy(), Dice()], [1.0, 0.5])``."""

    def __init__(self, losses, weights, name="sum", **options):
        if not losses or len(losses) != len(weights):
            raise ValueError(f"{len(losses)} losses and {len(weights)} weights: give one for each")
        super().__init__(name=name, **options)
        self.losses, self.weights = list(losses), list(weights)

    def call(self, y_true, y_pred):
        """The sum, a scalar."""
        return sum(w * x(y_true, y_pred) for w, x in zip(self.weights, self.losses, strict=True))

    def get_config(self):
        parts = [keras.saving.serialize_keras_object(x) for x in self.losses]
        return {**super().get_config(), "losses": parts, "weights": self.weights}

    @classmethod
    def from_config(cls, config):
        parts = [keras.saving.deserialize_keras_object(x) for x in config.pop("losses")]
        return cls(parts, **config)
