"""Losses for segmentation, from masks ``[B, H, W, 1]`` and logits ``[B, H, W, C]``.

Each is a Keras loss: ``loss(mask, logits)`` gives a scalar, the mean over the images.
"""

import keras
from keras import ops


def _hot_and_probabilities(mask, logits):
    """One-hot masks and softmax probabilities, both float32 ``[B, H, W, C]``."""
    size = tuple(logits.shape[1:3])
    if len(logits.shape) != 4 or tuple(mask.shape[1:]) not in (size, (*size, 1)):
        raise ValueError(
            f"masks of shape {tuple(mask.shape)} and logits of shape {tuple(logits.shape)}: "
            "expected [B, H, W, 1] and [B, H, W, C] of one size"
        )
    labels = ops.cast(mask[..., 0] if len(mask.shape) == 4 else mask, "int32")
    hot = ops.one_hot(labels, logits.shape[-1], dtype="float32")
    return hot, ops.softmax(ops.cast(logits, "float32"), axis=-1)


@keras.saving.register_keras_serializable("labkit.losses")
class CrossEntropy(keras.losses.SparseCategoricalCrossentropy):
    """Cross-entropy of each pixel, from logits: -log p(true class), averaged over pixels."""

    def __init__(self, name="cross_entropy", **options):
        options["from_logits"] = True  # the models of this course give logits
        super().__init__(name=name, **options)


@keras.saving.register_keras_serializable("labkit.losses")
class Tversky(keras.losses.Loss):
    """1 - TP / (TP + alpha FP + beta FN), averaged over classes and images.

    The areas are soft: sums of probabilities. ``alpha`` weighs false positives, ``beta`` false
    negatives; one half each gives the Dice loss. ``smooth`` pixels are added above and below the
    fraction line, so that a class absent from mask and prediction costs nothing.
    Source: Salehi, Erdogmus and Gholipour (2017), arXiv:1706.05721.
    """

    def __init__(self, alpha=0.3, beta=0.7, smooth=1.0, name="tversky", **options):
        if alpha < 0 or beta < 0 or smooth <= 0:
            raise ValueError(
                f"alpha {alpha}, beta {beta}, smooth {smooth}: the first two must not be "
                "negative, and smooth must be above 0"
            )
        super().__init__(name=name, **options)
        self.alpha, self.beta, self.smooth = alpha, beta, smooth

    def call(self, y_true, y_pred):
        """Loss of each image, ``[B]``."""
        hot, p = _hot_and_probabilities(y_true, y_pred)
        hit = ops.sum(hot * p, axis=(1, 2))  # [B, C]
        false_alarm = ops.sum((1 - hot) * p, axis=(1, 2))
        missed = ops.sum(hot * (1 - p), axis=(1, 2))
        whole = hit + self.alpha * false_alarm + self.beta * missed
        return ops.mean(1 - (hit + self.smooth) / (whole + self.smooth), axis=-1)

    def get_config(self):
        own = {"alpha": self.alpha, "beta": self.beta, "smooth": self.smooth}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("labkit.losses")
class Dice(Tversky):
    """1 - soft Dice, averaged over classes and images: Tversky with one half and one half.

    Source: Milletari, Navab and Ahmadi (2016), arXiv:1606.04797, with plain (not squared) sums.
    """

    def __init__(self, smooth=1.0, name="dice", **options):
        super().__init__(alpha=0.5, beta=0.5, smooth=smooth, name=name, **options)

    def get_config(self):
        base = super().get_config()
        return {key: value for key, value in base.items() if key not in ("alpha", "beta")}


@keras.saving.register_keras_serializable("labkit.losses")
class Focal(keras.losses.Loss):
    """Cross-entropy in which sure pixels count less: -(1 - p)^gamma log p, averaged over pixels.

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
        hot, p = _hot_and_probabilities(y_true, y_pred)
        log_p = ops.sum(hot * ops.log_softmax(ops.cast(y_pred, "float32"), axis=-1), axis=-1)
        # Where p is exactly 1, the power of 0 would have an infinite slope for a gamma below 1.
        unsure = ops.maximum(1 - ops.sum(hot * p, axis=-1), keras.config.epsilon())
        return -ops.power(unsure, self.gamma) * log_p

    def get_config(self):
        return {**super().get_config(), "gamma": self.gamma}


@keras.saving.register_keras_serializable("labkit.losses")
class Boundary(keras.losses.Loss):
    """Wrong probability, times how far it lies from the true outline of its class.

    The distance is counted in steps to any of eight neighbours, at most ``reach``, and divided by
    it; the mean is over pixels and classes. A mistake at the outline costs little, one far from it
    much. Meant to stand beside a loss that looks at every pixel alike.
    Source: Kervadec et al. (2019), arXiv:1812.07032, whose integral differs by a constant.
    """

    def __init__(self, reach=8, name="boundary", **options):
        if reach < 1:
            raise ValueError(f"reach is {reach}: use at least 1 pixel")
        super().__init__(name=name, **options)
        self.reach = reach

    def call(self, y_true, y_pred):
        """Loss of each pixel, ``[B, H, W]``."""
        hot, p = _hot_and_probabilities(y_true, y_pred)
        distance = steps_from(hot, self.reach) + steps_from(1 - hot, self.reach)
        return ops.mean(distance / self.reach * ops.abs(p - hot), axis=-1)

    def get_config(self):
        return {**super().get_config(), "reach": self.reach}


def steps_from(region, most):
    """Steps to a region, 0 inside it, at most ``most``: float32 ``[B, H, W, C]``, as the region.

    A step goes to one of eight neighbours. Where an image has none of the region, all are ``most``.
    """
    steps = ops.zeros_like(region)
    for _ in range(most):
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
