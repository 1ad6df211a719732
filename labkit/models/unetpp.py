"""UNet++: a nest of U-Nets of every depth that share their encoder, with dense skips.

Zhou, Siddiquee, Tajbakhsh and Liang (2018), arXiv:1807.10165. The idea: between a skip and the
decoder lie further blocks, so that what is joined is alike in kind; and every U-Net of the nest,
from depth 1 to 4, gives logits of its own (deep supervision), so that the deep ones can be cut
off when the model is used.

Where this departs from the paper: a node joins its maps and leaves the convolution to the block
that goes up from it, as the plain U-Net of this course does; and in training each image is judged
by one of the four heads, drawn at random, whose expected loss is the paper's mean of four losses.
"""

import keras
from keras import layers, ops

from labkit.models.assemble import assemble, glorot
from labkit.models.unet import upsample


def unetpp_model(**options):
    """A UNet++; ``options`` and result are those of ``unet.unet_model``."""
    return assemble(decoder, "unetpp", **options)


def decoder(taps, num_classes, momentum, seed, filters):
    """Five taps, finest first, to logits: the mean of four heads."""

    def block(level, column):
        start = 100 * seed + 10 * level + column
        return upsample(filters[-1 - level], 3, momentum, start, name=f"up_{level}_{column}")

    heads = []
    for depth, node in enumerate(nest(taps, block), start=1):
        start = glorot(100 * seed + 50 + depth)
        options = {"strides": 2, "padding": "same", "kernel_initializer": start}
        last = layers.Conv2DTranspose(
            num_classes, 3, dtype="float32", name=f"logits_{depth}", **options
        )
        heads.append(last(node))
    return Heads(seed, name="logits")(heads)


def nest(taps, block):
    """The finest node of each U-Net in the nest, depth 1 first: ``[B, 64, 64, ...]`` each.

    Args:
        taps: two to five of the encoder's feature maps, finest first.
        block: a function (level, column) -> the layer that goes up to that level (0: finest).
    """
    rows = [[tap] for tap in taps]  # at each level, all maps so far
    nodes = []
    for column in range(1, len(taps)):
        for level in range(len(taps) - column):
            below = join(rows[level + 1][:column])
            rows[level].append(block(level, column)(below))
        nodes.append(join(rows[0][: column + 1]))
    return nodes


def join(maps):
    """Maps of one size, side by side."""
    return layers.Concatenate()(maps) if len(maps) > 1 else maps[0]


@keras.saving.register_keras_serializable("labkit.unetpp")
class Heads(layers.Layer):
    """Logits of several heads ``[B, H, W, C]`` made one: their mean; in training, one of them for
    each image, drawn at random."""

    def __init__(self, seed=0, dtype="float32", **options):
        super().__init__(dtype=dtype, **options)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, heads, training=False):
        heads = ops.stack(heads, axis=1)  # [B, D, H, W, C]
        if not training:
            return ops.mean(heads, axis=1)
        batch, depths = ops.shape(heads)[:2]
        drawn = keras.random.randint((batch,), 0, depths, seed=self.generator)
        return ops.einsum("bd,bdhwc->bhwc", ops.one_hot(drawn, depths), heads)

    def get_config(self):
        return super().get_config() | {"seed": self.seed}


def pruned(model, depth):
    """The U-Net of ``depth`` 1 to 4 out of a trained UNet++: fewer blocks, a shorter encoder.

    The weights are shared with ``model``. Raises ValueError for another depth.
    """
    if depth not in (1, 2, 3, 4):
        raise ValueError(f"depth is {depth}: use 1, 2, 3 or 4")
    encoder = model.get_layer("encoder")
    short = keras.Model(encoder.input, encoder.outputs[: depth + 1], name="encoder")
    image = keras.Input(model.input_shape[1:], name="image")
    taps = short(model.get_layer("rescaling")(image))
    nodes = nest(taps, lambda level, column: model.get_layer(f"up_{level}_{column}"))
    return keras.Model(image, model.get_layer(f"logits_{depth}")(nodes[-1]), name=f"unet_{depth}")
