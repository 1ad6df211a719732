"""AFF-UNet: decoder and skip are fused with learned weights for each position and channel.

The laboratory work names AFF-UNet for "adaptive fusion of features" without citing a paper. This is
attentional feature fusion (Dai et al. 2021, arXiv:2009.14082):
fused = M * decoder + (1 - M) * skip with M between 0 and 1, computed from both maps: from each
position (local context) and from the mean of the whole map (global context).

Difference from the paper: a 1x1 convolution first gives the skip the decoder's number of channels,
because a weighted mean needs maps of equal shape.
"""

from keras import layers

from labkit.models.assemble import assemble, glorot
from labkit.models.unet import classify, stages, upsample

SQUEEZE = 4  # the channels are reduced by this factor to compute M


def aff_unet(**options):
    """An AFF-UNet, with the options and the result of ``unet.unet_model``."""
    return assemble(decoder, "aff_unet", **options)


def decoder(taps, num_classes, momentum, seed, filters):
    """The expanding path of ``unet.decoder``, with a fusion instead of the concatenation."""
    *skips, x = taps
    for number, (size, count) in enumerate(stages(filters)):
        block = upsample(count, 3, momentum, 10 * seed + number, name=f"up_{size}")
        x = fuse(block(x), skips.pop(), size, momentum, 100 * seed + 10 * number)
    return classify(x, num_classes, seed)


def fuse(x, skip, size, momentum, seed):
    """Fuse maps of one size, ``[B, h, w, D]`` and ``[B, h, w, C]``, into ``[B, h, w, D]``."""
    channels = x.shape[-1]
    project = layers.Conv2D(channels, 1, kernel_initializer=glorot(seed), name=f"project_{size}")
    skip = project(skip)
    both = layers.Add()([x, skip])
    mean = layers.GlobalAveragePooling2D(keepdims=True)(both)  # [B, 1, 1, D]
    local = squeeze(both, channels, momentum, seed + 1, f"place_{size}")
    context = squeeze(mean, channels, momentum, seed + 3, f"whole_{size}")
    share = layers.Activation("sigmoid", name=f"share_{size}")(layers.Add()([local, context]))
    # share * x + (1 - share) * skip, with one multiplication
    weighted = layers.Multiply()([share, layers.Subtract()([x, skip])])
    return layers.Add(name=f"skip_{size}")([skip, weighted])


def squeeze(x, channels, momentum, seed, name):
    """Two 1x1 convolutions with fewer channels between them (a bottleneck)."""
    for number, count in enumerate((max(1, channels // SQUEEZE), channels)):
        start = glorot(seed + number)
        x = layers.Conv2D(
            count, 1, use_bias=False, kernel_initializer=start, name=f"{name}_{number}"
        )(x)
        x = layers.BatchNormalization(momentum=momentum, name=f"{name}_normal_{number}")(x)
        x = layers.ReLU(name=f"{name}_relu")(x) if number == 0 else x
    return x
