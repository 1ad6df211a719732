"""TransUNet: a transformer between encoder and decoder relates distant positions.

Chen et al. (2021), arXiv:2102.04306. A convolution combines neighbors only; at the bottom of the U,
each of the 4x4 positions is a token that attends to all others.

Differences from the paper: its transformer is a ViT of 12 blocks, 768 wide, pretrained on ImageNet,
on maps of 1/16 of the image size; this one has 4 blocks, 256 wide, starts from random weights and
works on the encoder's last tap, 1/32 of the image size.
"""

import keras
from keras import layers

from labkit.models import unet
from labkit.models.assemble import assemble, attend, glorot

BLOCKS, WIDTH, HEADS = 4, 256, 8


def transunet_model(**options):
    """A TransUNet, with the options and the result of ``unet.unet_model``."""
    return assemble(decoder, "transunet", **options)


def decoder(taps, num_classes, momentum, seed, filters):
    """The plain decoder, with the transformer on the coarsest tap."""
    *skips, x = taps
    return unet.decoder([*skips, transform(x, seed)], num_classes, momentum, seed, filters)


def transform(x, seed):
    """The transformer: ``[B, h, w, D]`` -> ``[B, h, w, WIDTH]``, with every position a token."""
    height, width = x.shape[1:3]
    x = layers.Conv2D(WIDTH, 1, kernel_initializer=glorot(100 * seed), name="embed")(x)
    tokens = layers.Reshape((height * width, WIDTH), name="tokens")(x)
    tokens = Positions(seed, name="positions")(tokens)
    for number in range(BLOCKS):
        tokens = block(tokens, 100 * seed + 10 * number, name=f"block_{number}")
    tokens = layers.LayerNormalization(name="normal")(tokens)
    return layers.Reshape((height, width, WIDTH), name="places")(tokens)


def block(tokens, seed, name):
    """A transformer block, ``[B, N, D]`` -> ``[B, N, D]``: self-attention and a two-layer MLP, both
    with layer normalization and a residual connection."""
    normal = layers.LayerNormalization(name=f"{name}_normal_1")(tokens)
    attended = attend(normal, normal, HEADS, WIDTH, seed, name=f"{name}_attention")
    tokens = layers.Add(name=f"{name}_add_1")([tokens, attended])
    x = layers.LayerNormalization(name=f"{name}_normal_2")(tokens)
    x = layers.Dense(
        2 * WIDTH, activation="gelu", kernel_initializer=glorot(seed + 1), name=f"{name}_wide"
    )(x)
    x = layers.Dense(WIDTH, kernel_initializer=glorot(seed + 2), name=f"{name}_narrow")(x)
    return layers.Add(name=f"{name}_add_2")([tokens, x])


@keras.saving.register_keras_serializable("labkit.transunet")
class Positions(layers.Layer):
    """Adds a learned position embedding to each token ``[B, N, D]``; attention ignores order."""

    def __init__(self, seed=0, **options):
        super().__init__(**options)
        self.seed = seed

    def build(self, shape):
        normal = keras.initializers.RandomNormal(0.0, 0.02, seed=self.seed)
        self.vectors = self.add_weight(shape=shape[1:], initializer=normal, name="vectors")

    def call(self, tokens):
        return tokens + self.vectors

    def get_config(self):
        return super().get_config() | {"seed": self.seed}
