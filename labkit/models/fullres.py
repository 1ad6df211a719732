"""Full-resolution U-Net: an additional skip from the image itself.

The encoder of this course halves the image before its first tap, so the finest skip has half the
resolution and the last layer has to upsample without one. The U-Net paper (Ronneberger, Fischer
and Brox 2015, arXiv:1505.04597) has a level at full resolution, and so has this decoder.

Differences from the paper: the new level has few filters, because it has the most pixels, and one
convolution before the skip and one after it instead of two.
"""

from keras import layers

from labkit.models.assemble import assemble, glorot
from labkit.models.unet import stages, upsample


def fullres_unet(**options):
    """A full-resolution U-Net, with the options and the result of ``unet.unet_model``."""
    return assemble(decoder, "fullres_unet", with_image=True, **options)


def decoder(maps, num_classes, momentum, seed, filters):
    """The expanding path of ``unet.decoder`` with one more level: image and taps, finest first, to
    logits ``[B, H, W, C]``."""
    image, *skips, x = maps
    for number, (size, count) in enumerate(stages(filters)):
        block = upsample(count, 3, momentum, 10 * seed + number, name=f"up_{size}")
        x = layers.Concatenate(name=f"skip_{size}")([block(x), skips.pop()])
    fine = filters[-1] // 2  # half as many as on the level below
    detail = convolve(image, fine, momentum, 100 * seed, name="detail_128")
    x = upsample(fine, 3, momentum, 10 * seed + 4, name="up_128")(x)
    x = layers.Concatenate(name="skip_128")([x, detail])
    x = convolve(x, fine, momentum, 100 * seed + 1, name="join_128")
    last = layers.Conv2D(
        num_classes, 1, kernel_initializer=glorot(100 * seed + 2), dtype="float32", name="logits"
    )
    return last(x)


def convolve(x, filters, momentum, seed, name):
    """3x3 convolution, batch normalization, ReLU: ``[B, H, W, C]`` -> ``[B, H, W, filters]``."""
    x = layers.Conv2D(
        filters, 3, padding="same", use_bias=False, kernel_initializer=glorot(seed), name=name
    )(x)
    x = layers.BatchNormalization(momentum=momentum, name=f"{name}_normal")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
