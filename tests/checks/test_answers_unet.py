"""The lab on the U-Net: correct answers in several styles, and wrong ones with their hints."""

import functools
import math

import keras
import numpy as np
import pytest
from answers import Answers, fails, passes
from keras import layers

from labkit.check import unet as check
from labkit.check.mistakes import edits
from labkit.models import unet

right, wrong = Answers(passes), Answers(fails)
test_a_correct_answer_passes = right.test()
test_a_wrong_answer_gets_its_hint = wrong.test()

# Wrong layers and models, as edits of the reference, with words of the hint.
UPSAMPLE = edits("""
    strides=2 => strides=1
        unchanged
    Conv2DTranspose => Conv2D
        halved
    "same" => "valid"
        padding
    Conv2DTranspose(filters, size, strides=2, padding="same", use_bias=False) => UpSampling2D()
        Is there a kernel
    layers.BatchNormalization(momentum=momentum), =>
        Batch normalization is missing
    momentum=momentum =>
        always 0.99
    momentum=momentum => momentum=0.9
        always 0.9.
    momentum=0.9 => momentum=0.99
        The default of momentum
    size, strides => 3, strides
        always 3x3
    size, strides => 1, strides
        1x1 pixels
    use_bias=False => use_bias=True
        has a bias
    layers.ReLU(), =>
        Which layer follows
    layers.ReLU() => layers.Activation("sigmoid")
        exactly 0
    return => block =
        end with a return
""")
DECODER = edits("""
    *skips, x = taps => return taps
        Return the logits
    skips.pop() => skips.pop(0)
        the order of the skips
    *skips, x = taps => skips, x = list(taps), taps[-1]
        the last tap is no skip
    *skips, x = taps => *skips, _, x = taps
        Note the size
    Concatenate() => Add()
        added
    layers.Concatenate()([x, skips.pop()]) => x + skips.pop()
        added
    return layers.Conv2DTranspose(num_classes, 3, strides=2, padding="same")(x) => return x
        The last layer is missing
    strides=2 => strides=1
        has to upsample too
    num_classes, 3, => 3, 3,
        always 3 channels
    layers.Concatenate()([x, skips.pop()]) => x
        Where are the skips
    [x, skips.pop()]) => [x, skips.pop()]) if filters > 64 else x
        Each size has a skip
    "same" => "same", activation="softmax"
        softmax
    "same" => "same", activation="sigmoid"
        No logit is negative
    in FILTERS => in FILTERS[::-1]
        in reverse
    in FILTERS => in (256, 128, 64, 32)
        not '412,358'
    num_classes, 3, strides => num_classes, 1, strides
        has 1x1 pixels
    in FILTERS => in FILTERS[:3]
        Each size has a skip
    "same" => "same", use_bias=False
        The last layer has no bias
    upsample.reference(filters) => keras.Sequential([UP(filters), layers.BatchNormalization()])
        The blocks have a bias
    upsample.reference(filters) => UP(filters, use_bias=False)
        lack batch normalization
    return => logits =
        end with a return
""")
SEPARATE_MODEL = edits("""
    return keras.Model => return
        Return a keras.Model
    (2, 2, 3) => (4, 4, 3)
        2x2 pixels
    upsample.reference(4) => layers.Conv2D(4, 3, padding="same")
        The block doubles
    upsample.reference(4) => upsample.reference(8)
        not '[B, 4, 4, 8]'
    upsample.reference(4) => UP(4)
        not '112'
""")


@pytest.mark.parametrize(
    ("task", "edit"),
    [
        pytest.param(task, edit, id=f"{task.number} {edit.hint}")
        for task, mistakes in (
            (check.upsample, UPSAMPLE),
            (check.decoder, DECODER),
            (check.separate_model, SEPARATE_MODEL),
        )
        for edit in mistakes
    ],
)
def test_a_wrong_layer_gets_its_hint(monkeypatch, task, edit):
    monkeypatch.setattr(check, "UP", up, raising=False)
    fails(task, task.mutant(edit), edit.hint)


def up(filters, size=3, **options):
    """A transposed convolution that doubles height and width."""
    return layers.Conv2DTranspose(filters, size, strides=2, padding="same", **options)


def parts(filters, size=3, momentum=0.9):
    norm = layers.BatchNormalization(momentum=momentum)
    return [up(filters, size, use_bias=False), norm, layers.ReLU()]


@right(check.upsample)
def with_add(channels, kernel=3, keep=0.9):
    start = keras.initializers.RandomNormal(0.0, 0.02)
    block = keras.Sequential(name="up")
    block.add(up(channels, (kernel, kernel), kernel_initializer=start, use_bias=False))
    block.add(layers.BatchNormalization(momentum=keep))
    block.add(layers.Activation("relu"))
    return block


@right(check.upsample)
def custom_layer(filters, size=3, momentum=0.9):
    class Up(keras.Layer):
        def __init__(self):
            super().__init__()
            self.convolve, self.norm, _ = parts(filters, size, momentum)

        def call(self, x, training=False):
            return keras.ops.relu(self.norm(self.convolve(x), training=training))

    return Up()


@right(check.upsample)
def with_zeros(filters, size=3, momentum=0.9):
    convolve = up(filters, size, use_bias=False, kernel_initializer="zeros")
    return keras.Sequential([convolve, *parts(filters, size, momentum)[1:]])


right(check.upsample, of_labkit=unet.upsample)


@wrong(check.upsample, "order of the layers")
def relu_before_normalization(*case):
    convolve, norm, relu = parts(*case)
    return keras.Sequential([convolve, relu, norm])


@wrong(check.upsample, "two layers here")
def repeated_and_filtered(filters, size=3, momentum=0.9):
    convolve = layers.Conv2D(filters, size, padding="same", use_bias=False)
    return keras.Sequential([layers.UpSampling2D(), convolve, *parts(filters, size, momentum)[1:]])


wrong(check.upsample, "combines the three", a_list_of_layers=parts)


@right(check.skip_shapes)
def by_columns(channels, filters, skips):
    made, skips = np.array(filters), np.array(skips)
    after = made + skips
    return np.column_stack([[channels, *after[:-1]], made, after])


@right(check.skip_shapes)
def recursive(channels, filters, skips):
    if not filters:
        return []
    row = [channels, filters[0], filters[0] + skips[0]]
    return [row, *recursive(row[-1], filters[1:], skips[1:])]


@wrong(check.skip_shapes, ("used in reverse", "channels before the skip"))
def skips_reversed_and_left_out(channels, filters, skips):
    return [
        (before, after, after + skip)
        for before, after, skip in zip((channels, *filters), filters, skips[::-1], strict=False)
    ]


def sequential(filters):
    return keras.Sequential(parts(filters))


@right(check.decoder)
def skip_first_and_taps_changed(taps, num_classes=3):
    x = taps.pop()
    for filters in (512, 256, 128, 64):
        x = keras.ops.concatenate([taps.pop(), sequential(filters)(x)], axis=-1)
    return up(num_classes, activation="linear", dtype="float32")(x)


def with_a_list_of_blocks(taps, num_classes, blocks):
    x = taps[-1]
    for block, skip in zip(blocks, reversed(taps[:-1]), strict=True):
        x = layers.Concatenate()([block(x), skip])
    return up(num_classes)(x)


@right(check.decoder)
def with_a_list_inside(taps, num_classes=3):
    return with_a_list_of_blocks(taps, num_classes, [*map(sequential, (512, 256, 128, 64))])


right(
    check.decoder, decoder_of_labkit=functools.partial(unet.decoder, filters=unet.PLAIN["filters"])
)

UP_STACK = [*map(sequential, (512, 256, 128, 64))]


@wrong(check.decoder, "share weights")
def shared_blocks(taps, num_classes=3):
    return with_a_list_of_blocks(taps, num_classes, UP_STACK)


@wrong(check.decoder, "Create a new one")
def one_block_four_times(taps, num_classes=3):
    return with_a_list_of_blocks(taps, num_classes, 4 * [sequential(64)])


@right(check.fits)
def halved_and_doubled(height, width):
    for side in (height, width):
        sides = [side]
        for _ in range(5):
            sides.append(math.ceil(sides[-1] / 2))
        if any(2 * small != large for large, small in zip(sides, sides[1:], strict=False)):
            return False
    return True


right(check.fits, by_numpy=lambda *sides: np.all(np.array(sides) % 2**5 == 0))
wrong(
    check.fits,
    ("Only the height", "four halvings"),
    height_by_sixteen=lambda height, width: not height & 15,
)


right(
    check.create_mask,
    by_argsort=lambda logits: np.argsort(logits, axis=3)[..., -1:],
    by_keras=lambda logits: keras.ops.argmax(logits, axis=-1)[..., None],
)


@right(check.create_mask)
def pixel_by_pixel(logits):
    return [
        [[[max(range(len(pixel)), key=list(pixel).__getitem__)] for pixel in row] for row in image]
        for image in logits
    ]


@wrong(check.create_mask, ("smallest", "integer type"))
def smallest_as_float(logits):
    return keras.ops.cast(keras.ops.argmax(-logits, axis=-1), "float32")


@right(check.separate_model)
def block_inside(block=sequential):
    inputs = keras.Input((2, 2, 3))
    return keras.Model(inputs, block(4)(inputs))


ONE = sequential(4)

right(
    check.separate_model,
    sequential_model=lambda: keras.Sequential([keras.Input((2, 2, 3)), sequential(4)]),
    without_an_input=lambda: keras.Sequential([sequential(4)]),
    a_clone=lambda: keras.models.clone_model(block_inside(lambda _: ONE)),
)
wrong(
    check.separate_model,
    "share weights",
    block_as_default=lambda: block_inside(lambda _: ONE),
    one_model=functools.cache(block_inside),
)


@pytest.mark.parametrize(
    "task", [check.upsample, check.decoder, check.create_mask, check.separate_model]
)
def test_what_a_check_expects_is_no_answer(task):
    """It stands under "Expected" for whoever gives something else first."""
    measured = task.expected(0).value
    assert task(lambda *_: measured).state == "incorrect"
