"""The lab on the U-Net: correct answers in several styles, and wrong ones with their hints."""

import math

import keras
import numpy as np
import pytest
from answers import Answers, fails, gets_both_hints, passes
from keras import layers

from labkit.check import unet as check
from labkit.check.mistakes import edits
from labkit.models import unet

right, wrong, wrong_twice = Answers(passes), Answers(fails), Answers(gets_both_hints)
test_a_correct_answer_passes = right.test()
test_a_wrong_answer_gets_its_hint = wrong.test()
test_two_mistakes_at_once_get_both_hints = wrong_twice.test()

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
    use_bias=False => use_bias=True
        has a bias
    layers.ReLU(), =>
        Which layer follows
    ReLU => LeakyReLU
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
    "same" => "same", activation="relu"
        No logit is negative
    "same" => "same", activation="sigmoid"
        No logit is negative
    in FILTERS => in FILTERS[::-1]
        in reverse
    in FILTERS => in (256, 128, 64, 32)
        parameters: '412,358' is not
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
        output: '[B, 4, 4, 8]' is not
    upsample.reference(4) => UP(4)
        parameters: '112' is not
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
    monkeypatch.setattr(check, "UP", with_bias, raising=False)
    fails(task, task.mutant(edit), edit.hint)


def with_bias(filters, **options):
    return layers.Conv2DTranspose(filters, 3, strides=2, padding="same", **options)


# --- 3.1 upsample ---


def transposed(filters, size=3, **options):
    options = {"strides": 2, "padding": "same", "use_bias": False, **options}
    return layers.Conv2DTranspose(filters, size, **options)


@right(check.upsample)
def sequential(filters, size=3, momentum=0.9):
    return keras.Sequential(
        [transposed(filters, size), layers.BatchNormalization(momentum=momentum), layers.ReLU()]
    )


@right(check.upsample)
def with_add(channels, kernel=3, keep=0.9):
    start = keras.initializers.RandomNormal(0.0, 0.02)
    block = keras.Sequential(name="up")
    block.add(transposed(channels, (kernel, kernel), strides=(2, 2), kernel_initializer=start))
    block.add(layers.BatchNormalization(momentum=keep))
    block.add(layers.Activation("relu"))
    return block


@right(check.upsample)
def custom_layer(filters, size=3, momentum=0.9):
    class Up(keras.Layer):
        def __init__(self):
            super().__init__()
            self.convolve = transposed(filters, size)
            self.norm = layers.BatchNormalization(momentum=momentum)

        def call(self, x, training=False):
            return keras.ops.relu(self.norm(self.convolve(x), training=training))

    return Up()


@right(check.upsample)
def of_labkit(filters, size=3, momentum=0.9):
    return unet.upsample(filters, size, momentum)


@wrong(check.upsample, "order of the layers")
def relu_before_normalization(filters, size=3, momentum=0.9):
    norm = layers.BatchNormalization(momentum=momentum)
    return keras.Sequential([transposed(filters, size, activation="relu"), norm])


@wrong(check.upsample, "two layers here")
def repeated_and_filtered(filters, size=3, momentum=0.9):
    convolve = layers.Conv2D(filters, size, padding="same", use_bias=False)
    norm = layers.BatchNormalization(momentum=momentum)
    return keras.Sequential([layers.UpSampling2D(), convolve, norm, layers.ReLU()])


@wrong(check.upsample, "combines the three")
def a_list_of_layers(filters, size=3, momentum=0.9):
    return [transposed(filters, size), layers.BatchNormalization(momentum=momentum), layers.ReLU()]


# --- 3.2 skip_shapes ---


@right(check.skip_shapes)
def with_a_loop(channels, filters, skips):
    rows = []
    for made, skip in zip(filters, skips, strict=True):
        rows.append((channels, made, made + skip))
        channels = made + skip
    return rows


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


@wrong(check.skip_shapes, "of the first one")
def first_channels_for_every_block(channels, filters, skips):
    return [(channels, made, made + skip) for made, skip in zip(filters, skips, strict=True)]


@wrong(check.skip_shapes, "upsample replaces them")
def input_channels_added(channels, filters, skips):
    rows = []
    for made, skip in zip(filters, skips, strict=True):
        rows.append((channels, made, channels + made + skip))
        channels += made + skip
    return rows


@wrong(check.skip_shapes, "inside the loop")
def return_inside_the_loop(channels, filters, skips):
    for made, skip in zip(filters, skips, strict=True):
        return [(channels, made, made + skip)]


@wrong_twice(check.skip_shapes, ["used in reverse", "channels before the skip"])
def skips_reversed_and_left_out(channels, filters, skips):
    return [
        (before, after, after + skip)
        for before, after, skip in zip((channels, *filters), filters, skips[::-1], strict=False)
    ]


# --- 3.3 decoder ---


def last_layer(num_classes, **options):
    return layers.Conv2DTranspose(num_classes, 3, strides=2, padding="same", **options)


def way_up(taps, filters=(512, 256, 128, 64), block=sequential):
    """The blocks of the decoder, to what the last layer gets."""
    *skips, x = taps
    for count in filters:
        x = layers.Concatenate()([block(count)(x), skips.pop()])
    return x


@right(check.decoder)
def with_pop(taps, num_classes=3):
    return last_layer(num_classes)(way_up(taps))


@right(check.decoder)
def skip_first_and_taps_changed(taps, num_classes=3):
    x = taps.pop()
    for filters in (512, 256, 128, 64):
        x = keras.ops.concatenate([taps.pop(), sequential(filters)(x)], axis=-1)
    return last_layer(num_classes, activation="linear", dtype="float32")(x)


@right(check.decoder)
def without_a_loop(taps, num_classes=3):
    one, two, three, four, x = taps
    x = layers.concatenate([sequential(512)(x), four])
    x = layers.concatenate([sequential(256)(x), three])
    x = layers.concatenate([sequential(128)(x), two])
    x = layers.concatenate([sequential(64)(x), one])
    return last_layer(num_classes)(x)


@right(check.decoder)
def with_a_list_inside(taps, num_classes=3):
    up_stack = [sequential(filters) for filters in (512, 256, 128, 64)]
    x = taps[-1]
    for up, skip in zip(up_stack, reversed(taps[:-1]), strict=True):
        x = layers.Concatenate()([up(x), skip])
    return last_layer(num_classes)(x)


@right(check.decoder)
def decoder_of_labkit(taps, num_classes=3):
    return unet.decoder(taps, num_classes)


UP_STACK = {filters: sequential(filters) for filters in (512, 256, 128, 64)}


@wrong(check.decoder, "share weights")
def shared_blocks(taps, num_classes=3):
    return last_layer(num_classes)(way_up(taps, block=UP_STACK.get))


@wrong(check.decoder, "Create a new one")
def one_block_four_times(taps, num_classes=3):
    *skips, x = taps
    up = sequential(64)
    for _ in range(4):
        x = layers.Concatenate()([up(x), skips.pop()])
    return last_layer(num_classes)(x)


WHOLE = []


@wrong(check.decoder, "share weights")
def one_model_for_all_calls(taps, num_classes=3):
    if not WHOLE:
        WHOLE.append(keras.Model(taps, with_pop(taps, num_classes)))
    return WHOLE[0](taps)


# --- 3.4 fits ---


@right(check.fits)
def by_remainder(height, width):
    return height % 32 == 0 and width % 32 == 0


@right(check.fits)
def halved_and_doubled(height, width):
    for side in (height, width):
        sides = [side]
        for _ in range(5):
            sides.append(math.ceil(sides[-1] / 2))
        if any(2 * small != large for large, small in zip(sides, sides[1:], strict=False)):
            return False
    return True


@right(check.fits)
def by_numpy(height, width):
    return np.all(np.array([height, width]) % 2**5 == 0)


@right(check.fits)
def by_floor(height, width):
    return (height // 32) * 32 == height and (width >> 5) << 5 == width


@wrong(check.fits, "Only powers of 2")
def powers_of_two(height, width):
    return all(math.log2(side).is_integer() and side >= 32 for side in (height, width))


@wrong(check.fits, "always True")
def float_division(height, width):
    return height / 32 * 32 == height and width / 32 * 32 == width


@wrong(check.fits, "always False")
def type_of_a_float(height, width):
    return isinstance(height / 32, int) and isinstance(width / 32, int)


@wrong_twice(check.fits, ["Only the height", "four halvings"])
def height_by_sixteen(height, width):
    return not height & 15


# --- 3.5 create_mask ---


@right(check.create_mask)
def argmax(logits):
    return np.argmax(np.asarray(logits), axis=-1)[..., np.newaxis].astype("uint8")


@right(check.create_mask)
def by_tensorflow(logits):
    tf = pytest.importorskip("tensorflow")
    return tf.argmax(logits, axis=-1)[..., tf.newaxis]


@right(check.create_mask)
def by_keras_from_probabilities(logits):
    shares = keras.ops.softmax(keras.ops.convert_to_tensor(logits), axis=-1)
    return keras.ops.expand_dims(keras.ops.argmax(shares, axis=-1), -1)


@right(check.create_mask)
def pixel_by_pixel(logits):
    return [
        [[[max(range(len(pixel)), key=list(pixel).__getitem__)] for pixel in row] for row in image]
        for image in logits
    ]


@right(check.create_mask)
def by_argsort(logits):
    return np.argsort(logits, axis=3)[..., -1:]


@wrong(check.create_mask, "probabilities")
def probabilities(logits):
    return keras.ops.softmax(keras.ops.convert_to_tensor(logits), axis=-1)


@wrong(check.create_mask, "There may be more")
def three_classes_by_hand(logits):
    pet, background, border = (np.asarray(logits)[..., k] for k in range(3))
    best = np.where(pet > background, 0, 1)
    return np.where(border > np.maximum(pet, background), 2, best)


@wrong(check.create_mask, "one-hot")
def one_hot(logits):
    logits = np.asarray(logits)
    return (logits == logits.max(axis=-1, keepdims=True)).astype(int)


@wrong_twice(check.create_mask, ["smallest", "integer type"])
def smallest_as_float(logits):
    return keras.ops.cast(keras.ops.argmax(-logits, axis=-1), "float32")


# --- 3.6 separate_model ---


@right(check.separate_model)
def block_inside():
    inputs = keras.Input((2, 2, 3))
    return keras.Model(inputs, sequential(4)(inputs))


@right(check.separate_model)
def sequential_model():
    return keras.Sequential([keras.Input((2, 2, 3)), sequential(4)])


@right(check.separate_model)
def list_inside():
    up_stack = [sequential(4)]
    inputs = keras.Input((2, 2, 3))
    return keras.Model(inputs, up_stack[0](inputs))


@right(check.separate_model)
def without_an_input():
    return keras.Sequential([sequential(4)])


ONE = sequential(4)


@right(check.separate_model)
def a_clone():
    inputs = keras.Input((2, 2, 3))
    return keras.models.clone_model(keras.Model(inputs, ONE(inputs)))


@wrong(check.separate_model, "share weights")
def block_as_default(block=ONE):
    inputs = keras.Input((2, 2, 3))
    return keras.Model(inputs, block(inputs))


KERNEL = transposed(4)


@wrong(check.separate_model, "share weights")
def shared_convolution():
    norm, relu = layers.BatchNormalization(momentum=0.9), layers.ReLU()
    return keras.Sequential([keras.Input((2, 2, 3)), KERNEL, norm, relu])


MADE = []


@wrong(check.separate_model, "share weights")
def one_model():
    if not MADE:
        MADE.append(block_inside())
    return MADE[0]


@pytest.mark.parametrize(
    "task", [check.upsample, check.decoder, check.create_mask, check.separate_model]
)
def test_what_a_check_expects_is_no_answer(task):
    """It stands under "Expected" for whoever gives something else first."""
    measured = task.expected(0).value
    assert task(lambda *_: measured).state == "incorrect"
