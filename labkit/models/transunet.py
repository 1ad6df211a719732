"""TransUNet: a transformer between encoder and decoder, so that distant places see each other.

Chen et al. (2021), arXiv:2102.04306. A convolution sees its neighbourhood; at the bottom of the U
each of the 4x4 places is a token, and attention lets any token ask any other.

Where this departs from the paper: its transformer is a ViT of 12 blocks, 768 wide, pretrained on
ImageNet, and works on maps of 1/16 of the image; this one has 4 blocks, 256 wide, starts from
random numbers and works on the encoder's last tap, 1/32 of the image.
"""

import keras
from keras import layers

from labkit.models import unet
from labkit.models.assemble import assemble, attend, glorot

BLOCKS, WIDTH, HEADS = 4, 256, 8


def transunet_model(**options):
    """A TransUNet; ``options`` and result are those of ``unet.unet_model``."""
    return assemble(decoder, "transunet", **options)


def decoder(taps, num_classes, momentum, seed, filters):
    """The plain decoder; the coarsest tap goes through the transformer first."""
    *skips, x = taps
    return unet.decoder([*skips, transform(x, seed)], num_classes, momentum, seed, filters)


def transform(x, seed):
    """Features ``[B, h, w, D]`` to ``[B, h, w, WIDTH]``, each place informed of every other."""
    height, width = x.shape[1:3]
    x = layers.Conv2D(WIDTH, 1, kernel_initializer=glorot(100 * seed), name="embed")(x)
    tokens = layers.Reshape((height * width, WIDTH), name="tokens")(x)
    tokens = Positions(seed, name="positions")(tokens)
    for number in range(BLOCKS):
        tokens = block(tokens, 100 * seed + 10 * number, name=f"block_{number}")
    tokens = layers.LayerNormalization(name="normal")(tokens)
    return layers.Reshape((height, width, WIDTH), name="places")(tokens)


def block(tokens, seed, name):
    """One block of a transformer, tokens ``[B, N, D]`` -> ``[B, N, D]``: attention, then two
    layers for each token alone, each added to what came in."""
    normal = layers.LayerNormalization(name=f"{name}_normal_1")(tokens)
    asked = attend(normal, normal, HEADS, WIDTH, seed, name=f"{name}_attention")
    tokens = layers.Add(name=f"{name}_add_1")([tokens, asked])
    x = layers.LayerNormalization(name=f"{name}_normal_2")(tokens)
    x = layers.Dense(
        2 * WIDTH, activation="gelu", kernel_initializer=glorot(seed + 1), name=f"{name}_wide"
    )(x)
    x = layers.Dense(WIDTH, kernel_initializer=glorot(seed + 2), name=f"{name}_narrow")(x)
    return layers.Add(name=f"{name}_add_2")([tokens, x])


@keras.saving.register_keras_serializable("labkit.transunet")
class Positions(layers.Layer):
    """Adds a learned vector to each token ``[B, N, D]``: attention alone knows no order."""

    def __init__(self, seed=0, **options):
        super().__init__(**options)
        self.seed = seed

    def build(self, shape):
        start = keras.initializers.RandomNormal(0.0, 0.02, seed=self.seed)
        self.vectors = self.add_weight(shape=shape[1:], initializer=start, name="vectors")

    def call(self, tokens):
        return tokens + self.vectors

    def get_config(self):
        return super().get_config() | {"seed": self.seed}
