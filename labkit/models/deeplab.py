"""DeepLabV3+: dilated convolutions look at the coarsest map at several scales; there is one skip.

Chen et al. (2018), arXiv:1802.02611. A dilated ("atrous") convolution leaves gaps between the
positions that it reads: at rate 3, a 3x3 kernel covers 7x7 positions.

Differences from the paper: the encoder keeps its stride of 32 instead of 16, so the coarsest map is
half as large, and the rates are 1, 2 and 3 instead of 6, 12 and 18; the convolutions have
``filters[0]`` channels instead of 256. As in the paper, 3x3 convolutions are depthwise separable.
"""

from keras import layers

from labkit.models.assemble import assemble, glorot

RATES = (1, 2, 3)
SKIP = -4  # of the taps: its map is 8 times as large as the last one, so its stride is 4


def deeplab_model(**options):
    """A DeepLabV3+, with the options and the result of ``unet.unet_model``.

    Its layers have ``filters[0]`` channels. The other filters only set the channels of the skip,
    see ``unet.narrow_skips``.
    """
    return assemble(decoder, "deeplabv3p", **options)


def decoder(taps, num_classes, momentum, seed, filters):
    """The pyramid, one skip and two convolutions: taps, finest first, to logits."""
    count, seed = filters[0], 100 * seed
    x = pyramid(taps[-1], count, momentum, seed)
    x = layers.UpSampling2D(8, interpolation="bilinear", name="up_skip")(x)
    x = layers.Concatenate(name="skip")([x, taps[SKIP]])
    for number in (1, 2):
        x = separable(x, count, 1, momentum, seed + 20 + 2 * number, f"join_{number}")
    x = layers.Conv2D(num_classes, 1, kernel_initializer=glorot(seed + 30), name="classify")(x)
    factor = 2 if len(taps) == -SKIP else 4  # 2 if the encoder's image was enlarged
    return layers.UpSampling2D(factor, interpolation="bilinear", dtype="float32", name="logits")(x)


def pyramid(x, filters, momentum, seed):
    """Atrous spatial pyramid pooling: ``[B, h, w, C]`` -> ``[B, h, w, filters]``.

    The map at several scales: each position, its surroundings at three rates, and the whole map.
    """
    scales = [project(x, filters, momentum, seed, "position")]
    for rate in RATES:
        scales.append(separable(x, filters, rate, momentum, seed + 2 * rate, f"rate_{rate}"))
    mean = layers.GlobalAveragePooling2D(keepdims=True, name="mean")(x)  # [B, 1, 1, C]
    mean = project(mean, filters, momentum, seed + 10, "whole")
    scales.append(layers.UpSampling2D(x.shape[1:3], name="everywhere")(mean))
    return project(layers.Concatenate()(scales), filters, momentum, seed + 11, "scales")


def separable(x, filters, rate, momentum, seed, name):
    """A dilated 3x3 convolution of each channel, and a 1x1 convolution that mixes the channels."""
    x = layers.DepthwiseConv2D(
        3,
        padding="same",
        dilation_rate=rate,
        use_bias=False,
        depthwise_initializer=glorot(seed),
        name=f"{name}_space",
    )(x)
    return project(x, filters, momentum, seed + 1, name)


def project(x, filters, momentum, seed, name):
    """A 1x1 convolution, batch normalization and ReLU."""
    start = glorot(seed)
    x = layers.Conv2D(filters, 1, use_bias=False, kernel_initializer=start, name=name)(x)
    x = layers.BatchNormalization(momentum=momentum, name=f"{name}_normal")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
