"""LFT-UNet: a light transformer on each skip, for global context at every resolution.

The laboratory work names LFT-UNet beside TransUNet and cites no paper, and we found none under
that name. We follow its two words, *light* and *transformer*, in the way of the Pyramid Vision
Transformer (Wang et al. 2021, arXiv:2102.12122; with pooling to a fixed size as in its second
version, 2022, arXiv:2106.13797): every place of a skip asks, but only a 4x4 summary of the map
answers. The cost then grows with the number of places, not with its square, so that even the
64x64 skip can have attention.

Where this departs from those papers: they build an encoder so; here it is the skips that gain
context, in one block a level, 32 dimensions wide.
"""

from keras import layers

from labkit.models import unet
from labkit.models.assemble import assemble, attend
from labkit.models.encoder import SIZES

ANSWERS, WIDTH, HEADS = 4, 32, 2


def lft_unet(**options):
    """An LFT-UNet; ``options`` and result are those of ``unet.unet_model``."""
    return assemble(decoder, "lft_unet", **options)


def decoder(taps, num_classes, momentum, seed, filters):
    """The plain decoder; each skip is informed of the whole map first."""
    *skips, x = taps
    informed = [
        inform(skip, size, 100 * seed + size)
        for skip, size in zip(skips, reversed(SIZES), strict=True)
    ]
    return unet.decoder([*informed, x], num_classes, momentum, seed, filters)


def inform(skip, size, seed):
    """A skip ``[B, h, w, C]`` plus what each place learns from a 4x4 summary of the map."""
    height, width, channels = skip.shape[1:]
    pool = max(1, height // ANSWERS), max(1, width // ANSWERS)
    summary = layers.AveragePooling2D(pool)(skip)
    answers = layers.Reshape((-1, channels), name=f"answers_{size}")(summary)  # [B, 16, C]
    places = layers.Reshape((height * width, channels), name=f"places_{size}")(skip)
    normal, keys = (layers.LayerNormalization()(tokens) for tokens in (places, answers))
    learned = attend(normal, keys, HEADS, WIDTH, seed, name=f"attention_{size}")
    informed = layers.Add(name=f"informed_{size}")([places, learned])
    return layers.Reshape((height, width, channels), name=f"map_{size}")(informed)
