"""AFF-UNet: decoder and skip are mixed, place by place and channel by channel, in learned shares.

The laboratory work names AFF-UNet for "adaptive fusion of features" and cites no paper. We follow
attentional feature fusion (Dai et al. 2021, arXiv:2009.14082): with M between 0 and 1,
fused = M * decoder + (1 - M) * skip, where M is computed from both, once from each place and once
from the whole map.

Where this departs from that paper: the skip first goes through a 1x1 convolution to as many
channels as the decoder has, because a weighted mean needs two maps of one form.
"""

from keras import layers

from labkit.models.assemble import assemble, glorot
from labkit.models.encoder import SIZES
from labkit.models.unet import classify, upsample

SQUEEZE = 4  # M is computed in a quarter of the channels


def aff_unet(**options):
    """An AFF-UNet; ``options`` and result are those of ``unet.unet_model``."""
    return assemble(decoder, "aff_unet", **options)


def decoder(taps, num_classes, momentum, seed, filters):
    """The expanding path of ``unet.decoder``, with a fusion in the place of the concatenation."""
    *skips, x = taps
    for number, (size, count) in enumerate(zip(SIZES, filters, strict=True)):
        block = upsample(count, 3, momentum, 10 * seed + number, name=f"up_{size}")
        x = fuse(block(x), skips.pop(), size, momentum, 100 * seed + 10 * number)
    return classify(x, num_classes, seed)


def fuse(x, skip, size, momentum, seed):
    """Two maps of one size, ``[B, h, w, D]`` and ``[B, h, w, C]``, mixed: ``[B, h, w, D]``."""
    channels = x.shape[-1]
    project = layers.Conv2D(channels, 1, kernel_initializer=glorot(seed), name=f"project_{size}")
    skip = project(skip)
    both = layers.Add()([x, skip])
    whole = layers.GlobalAveragePooling2D(keepdims=True)(both)  # [B, 1, 1, D]
    place = squeeze(both, channels, momentum, seed + 1, f"place_{size}")
    whole = squeeze(whole, channels, momentum, seed + 3, f"whole_{size}")
    share = layers.Activation("sigmoid", name=f"share_{size}")(layers.Add()([place, whole]))
    # share * x + (1 - share) * skip, with one multiplication
    more = layers.Multiply()([share, layers.Subtract()([x, skip])])
    return layers.Add(name=f"skip_{size}")([skip, more])


def squeeze(x, channels, momentum, seed, name):
    """Two 1x1 convolutions with few channels between them."""
    for number, count in enumerate((max(1, channels // SQUEEZE), channels)):
        start = glorot(seed + number)
        x = layers.Conv2D(
            count, 1, use_bias=False, kernel_initializer=start, name=f"{name}_{number}"
        )(x)
        x = layers.BatchNormalization(momentum=momentum, name=f"{name}_normal_{number}")(x)
        x = layers.ReLU(name=f"{name}_relu")(x) if number == 0 else x
    return x
