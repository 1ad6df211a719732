"""LFT-UNet: a light transformer on each skip, for global context at every resolution.

The laboratory work names LFT-UNet beside TransUNet without citing a paper, and we know of none.
This reading of *light transformer* follows the Pyramid Vision Transformer (Wang et al. 2021,
arXiv:2102.12122; pooling to a fixed size as in its second version, 2022, arXiv:2106.13797): every
position of a skip is a query, but keys and values are a 4x4 summary of the map. The cost grows with
the number of positions instead of its square, so that even the 64x64 skip can have attention.

Difference from those papers: they build an encoder; here the skips gain context, with one attention
block per level, 32 dimensions wide.
"""

from keras import layers

from labkit.models import unet
from labkit.models.assemble import assemble, attend
from labkit.models.encoder import SIZES

SUMMARY_SIZE, WIDTH, HEADS = 4, 32, 2


def lft_unet(**options):
    """An LFT-UNet, with the options and the result of ``unet.unet_model``."""
    return assemble(decoder, "lft_unet", **options)


def decoder(taps, num_classes, momentum, seed, filters):
    """The plain decoder, with attention on each skip."""
    *skips, x = taps
    informed = [
        inform(skip, size, 100 * seed + size)
        for skip, size in zip(skips, reversed(SIZES), strict=False)
    ]
    return unet.decoder([*informed, x], num_classes, momentum, seed, filters)


def inform(skip, size, seed):
    """A skip ``[B, h, w, C]`` plus the attention of each position to a 4x4 summary of the map."""
    height, width, channels = skip.shape[1:]
    pool = max(1, height // SUMMARY_SIZE), max(1, width // SUMMARY_SIZE)
    pooled = layers.AveragePooling2D(pool)(skip)
    summary = layers.Reshape((-1, channels), name=f"answers_{size}")(pooled)  # [B, 16, C]
    positions = layers.Reshape((height * width, channels), name=f"places_{size}")(skip)
    queries, keys = (layers.LayerNormalization()(tokens) for tokens in (positions, summary))
    context = attend(queries, keys, HEADS, WIDTH, seed, name=f"attention_{size}")
    informed = layers.Add(name=f"informed_{size}")([positions, context])
    return layers.Reshape((height, width, channels), name=f"map_{size}")(informed)
