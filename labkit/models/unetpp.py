"""UNet++: nested U-Nets of depth 1 to 4 with a shared encoder and dense skips.

Zhou, Siddiquee, Tajbakhsh and Liang (2018), arXiv:1807.10165. Additional blocks between the encoder
and the decoder make the joined maps more alike. Every nested U-Net has its own head (deep
supervision), so that the model can be pruned to a lower depth after training.

Differences from the paper: a node only concatenates, and the upsampling block above it convolves,
as in the plain U-Net of this course; and each training image uses one of the four heads, drawn at
random, which gives the paper's mean of four losses in expectation.
"""

import keras
from keras import layers, ops

from labkit.models.assemble import assemble, glorot
from labkit.models.encoder import SIZES
from labkit.models.unet import upsample


def unetpp_model(**options):
    """A UNet++, with the options and the result of ``unet.unet_model``."""
    return assemble(decoder, "unetpp", **options)


def decoder(taps, num_classes, momentum, seed, filters):
    """From the encoder's taps, finest first, to logits: the mean of all heads."""

    def block(level, column):
        block_seed = 100 * seed + 10 * level + column
        return upsample(filters[-1 - level], 3, momentum, block_seed, name=f"up_{level}_{column}")

    heads = []
    for depth, node in enumerate(nest(taps, block), start=1):
        last = layers.Conv2DTranspose(
            num_classes,
            3,
            strides=2,
            padding="same",
            kernel_initializer=glorot(100 * seed + 50 + depth),
            dtype="float32",
            name=f"logits_{depth}",
        )
        heads.append(last(node))
    return Heads(seed, name="logits")(heads)


def nest(taps, block):
    """The finest node of each nested U-Net, depth 1 first, each ``[B, 64, 64, ...]``.

    Args:
        taps: two to five of the encoder's feature maps, finest first.
        block: a function (level, column) -> the layer that upsamples to that level (0: finest).
    """
    rows = [[tap] for tap in taps]  # all maps of each level so far
    nodes = []
    for column in range(1, len(taps)):
        for level in range(len(taps) - column):
            below = join(rows[level + 1][:column])
            rows[level].append(block(level, column)(below))
        nodes.append(join(rows[0][: column + 1]))
    return nodes


def join(maps):
    """Concatenate maps of one size along their channels."""
    return layers.Concatenate()(maps) if len(maps) > 1 else maps[0]


@keras.saving.register_keras_serializable("labkit.unetpp")
class Heads(layers.Layer):
    """Combines the logits ``[B, H, W, C]`` of several heads: their mean in prediction, one of them,
    drawn at random for each image, in training."""

    def __init__(self, seed=0, dtype="float32", **options):
        super().__init__(dtype=dtype, **options)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, heads, training=False):
        heads = ops.stack(heads, axis=1)  # [B, D, H, W, C]
        if not training:
            return ops.mean(heads, axis=1)
        batch, depths = ops.shape(heads)[:2]
        chosen = keras.random.randint((batch,), 0, depths, seed=self.generator)
        return ops.einsum("bd,bdhwc->bhwc", ops.one_hot(chosen, depths), heads)

    def get_config(self):
        return super().get_config() | {"seed": self.seed}


def pruned(model, depth):
    """The nested U-Net of ``depth`` 1 to 4 (3 if enlarged) of a trained UNet++, without the deeper
    layers.

    It shares its weights with ``model``. Raises ValueError for another depth.
    """
    encoder = model.get_layer("encoder")
    depths = range(1, len(encoder.outputs))
    if depth not in depths:
        raise ValueError(f"depth is {depth}: use one of {', '.join(map(str, depths))}")
    shallow = keras.Model(encoder.input, encoder.outputs[: depth + 1], name="encoder")
    image = keras.Input(model.input_shape[1:], name="image")
    taps = shallow(model.get_layer("rescaling")(image))
    names = {layer.name for layer in model.layers}
    for level, size in zip(range(depth + 1), reversed(SIZES), strict=False):
        if f"narrow_{size}" in names:
            taps[level] = model.get_layer(f"narrow_{size}")(taps[level])
    nodes = nest(taps, lambda level, column: model.get_layer(f"up_{level}_{column}"))
    return keras.Model(image, model.get_layer(f"logits_{depth}")(nodes[-1]), name=f"unet_{depth}")
