"""Chapter 3: answers that have to pass, and plausible ones that must not."""

import math

import keras
import numpy as np
import pytest
from answers import Answers, fails, passes
from keras import layers

from labkit.check import unet as check
from labkit.models import unet

right, wrong = Answers(passes), Answers(fails)
test_a_right_answer_passes = right.test()
test_a_wrong_answer_fails_with_its_hint = wrong.test()


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
def added_one_by_one(channels, kernel=3, keep=0.9):
    start = keras.initializers.RandomNormal(0.0, 0.02)
    block = keras.Sequential(name="up")
    block.add(transposed(channels, (kernel, kernel), strides=(2, 2), kernel_initializer=start))
    block.add(layers.BatchNormalization(momentum=keep))
    block.add(layers.Activation("relu"))
    return block


@right(check.upsample)
def a_layer_of_its_own(filters, size=3, momentum=0.9):
    class Up(keras.Layer):
        def __init__(self):
            super().__init__()
            self.convolve = transposed(filters, size)
            self.norm = layers.BatchNormalization(momentum=momentum)

        def call(self, x, training=False):
            return keras.ops.relu(self.norm(self.convolve(x), training=training))

    return Up()


@right(check.upsample)
def of_the_package(filters, size=3, momentum=0.9):
    return unet.upsample(filters, size, momentum)


@wrong(check.upsample, "How far apart are the stamps")
def stride_one(filters, size=3, momentum=0.9):
    norm = layers.BatchNormalization(momentum=momentum)
    return keras.Sequential([transposed(filters, size, strides=1), norm, layers.ReLU()])


@wrong(check.upsample, "halved")
def convolution_down(filters, size=3, momentum=0.9):
    convolve = layers.Conv2D(filters, size, strides=2, padding="same", use_bias=False)
    norm = layers.BatchNormalization(momentum=momentum)
    return keras.Sequential([convolve, norm, layers.ReLU()])


@wrong(check.upsample, "padding")
def padding_left_out(filters, size=3, momentum=0.9):
    norm = layers.BatchNormalization(momentum=momentum)
    return keras.Sequential([transposed(filters, size, padding="valid"), norm, layers.ReLU()])


@wrong(check.upsample, "has its bias")
def bias_left_on(filters, size=3, momentum=0.9):
    norm = layers.BatchNormalization(momentum=momentum)
    return keras.Sequential([transposed(filters, size, use_bias=True), norm, layers.ReLU()])


@wrong(check.upsample, "Batch normalisation is missing")
def no_normalisation(filters, size=3, momentum=0.9):
    return keras.Sequential([transposed(filters, size), layers.ReLU()])


@wrong(check.upsample, "Batch normalisation is missing")
def relu_inside_and_no_normalisation(filters, size=3, momentum=0.9):
    return layers.Conv2DTranspose(filters, size, strides=2, padding="same", activation="relu")


@wrong(check.upsample, "What comes after the batch normalisation")
def no_activation(filters, size=3, momentum=0.9):
    norm = layers.BatchNormalization(momentum=momentum)
    return keras.Sequential([transposed(filters, size), norm])


@wrong(check.upsample, "What comes after the batch normalisation")
def leaky(filters, size=3, momentum=0.9):
    norm = layers.BatchNormalization(momentum=momentum)
    return keras.Sequential([transposed(filters, size), norm, layers.LeakyReLU()])


@wrong(check.upsample, "the last of the three")
def relu_before_the_normalisation(filters, size=3, momentum=0.9):
    norm = layers.BatchNormalization(momentum=momentum)
    return keras.Sequential([transposed(filters, size, activation="relu"), norm])


@wrong(check.upsample, "exactly 0")
def sigmoid(filters, size=3, momentum=0.9):
    norm = layers.BatchNormalization(momentum=momentum)
    return keras.Sequential([transposed(filters, size), norm, layers.Activation("sigmoid")])


@wrong(check.upsample, "Hand yours on")
def momentum_left_out(filters, size=3, momentum=0.9):
    return keras.Sequential([transposed(filters, size), layers.BatchNormalization(), layers.ReLU()])


@wrong(check.upsample, "whatever is asked for")
def momentum_in_numbers(filters, size=3, momentum=0.9):
    norm = layers.BatchNormalization(momentum=0.9)
    return keras.Sequential([transposed(filters, size), norm, layers.ReLU()])


@wrong(check.upsample, "Look at the default")
def another_default(filters, size=3, momentum=0.99):
    return sequential(filters, size, momentum)


@wrong(check.upsample, "argument size")
def size_in_numbers(filters, size=3, momentum=0.9):
    return sequential(filters, 3, momentum)


@wrong(check.upsample, "doubling without a kernel")
def doubling_without_weights(filters, size=3, momentum=0.9):
    norm = layers.BatchNormalization(momentum=momentum)
    return keras.Sequential([layers.UpSampling2D(), norm, layers.ReLU()])


@wrong(check.upsample, "repeated first")
def repeated_and_filtered(filters, size=3, momentum=0.9):
    convolve = layers.Conv2D(filters, size, padding="same", use_bias=False)
    norm = layers.BatchNormalization(momentum=momentum)
    return keras.Sequential([layers.UpSampling2D(), convolve, norm, layers.ReLU()])


@wrong(check.upsample, "put the layers into one")
def a_list_of_layers(filters, size=3, momentum=0.9):
    return [transposed(filters, size), layers.BatchNormalization(momentum=momentum), layers.ReLU()]


@wrong(check.upsample, "end with a return")
def block_without_return(filters, size=3, momentum=0.9):
    sequential(filters, size, momentum)


# --- 3.2 skip_shapes ---


@right(check.skip_shapes)
def by_a_loop(channels, filters, skips):
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
def again_and_again(channels, filters, skips):
    if not filters:
        return []
    row = [channels, filters[0], filters[0] + skips[0]]
    return [row, *again_and_again(row[-1], filters[1:], skips[1:])]


@wrong(check.skip_shapes, "taken from the end")
def skips_from_the_end(channels, filters, skips):
    return by_a_loop(channels, filters, list(skips)[::-1])


@wrong(check.skip_shapes, "What does Concatenate do")
def added_up(channels, filters, skips):
    rows = []
    for made in filters:
        rows.append((channels, made, made))
        channels = made
    return rows


@wrong(check.skip_shapes, "of before the skip")
def carries_the_filters(channels, filters, skips):
    rows = []
    for made, skip in zip(filters, skips, strict=True):
        rows.append((channels, made, made + skip))
        channels = made
    return rows


@wrong(check.skip_shapes, "of the first one")
def carries_nothing(channels, filters, skips):
    return [(channels, made, made + skip) for made, skip in zip(filters, skips, strict=True)]


@wrong(check.skip_shapes, "upsample makes new ones")
def keeps_what_went_in(channels, filters, skips):
    rows = []
    for made, skip in zip(filters, skips, strict=True):
        rows.append((channels, made, channels + made + skip))
        channels += made + skip
    return rows


@wrong(check.skip_shapes, "inside the loop")
def returns_too_early(channels, filters, skips):
    for made, skip in zip(filters, skips, strict=True):
        return [(channels, made, made + skip)]


@wrong(check.skip_shapes, "three numbers")
def two_columns(channels, filters, skips):
    return [row[1:] for row in by_a_loop(channels, filters, skips)]


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
def pops(taps, num_classes=3):
    return last_layer(num_classes)(way_up(taps))


@right(check.decoder)
def skip_in_front_and_taps_changed(taps, num_classes=3):
    x = taps.pop()
    for filters in (512, 256, 128, 64):
        x = keras.ops.concatenate([taps.pop(), sequential(filters)(x)], axis=-1)
    return last_layer(num_classes, activation="linear", dtype="float32")(x)


@right(check.decoder)
def written_out(taps, num_classes=3):
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
def decoder_of_the_package(taps, num_classes=3):
    return unet.decoder(taps, num_classes)


@wrong(check.decoder, "From which end")
def skips_from_the_large_end(taps, num_classes=3):
    x = taps[-1]
    for filters, skip in zip((512, 256, 128, 64), taps[:-1], strict=True):
        x = layers.Concatenate()([sequential(filters)(x), skip])
    return last_layer(num_classes)(x)


@wrong(check.decoder, "last tap is taken for a skip")
def skip_from_one_level_below(taps, num_classes=3):
    x = taps[-1]
    for filters, skip in zip((512, 256, 128, 64), taps[::-1], strict=False):
        x = layers.Concatenate()([sequential(filters)(x), skip])
    return last_layer(num_classes)(x)


@wrong(check.decoder, "comes before the doubling")
def skip_before_the_block(taps, num_classes=3):
    *skips, x = taps
    for filters in (512, 256, 128, 64):
        x = sequential(filters)(layers.Concatenate()([x, skips.pop()]))
    return last_layer(num_classes)(x)


@wrong(check.decoder, "different size")
def one_level_is_left_out(taps, num_classes=3):
    *skips, x = taps
    skips.pop()
    return last_layer(num_classes)(way_up([*skips, x]))


@wrong(check.decoder, "equal channels")
def skips_added_up(taps, num_classes=3):
    *skips, x = taps
    for filters in (512, 256, 128, 64):
        x = layers.Add()([sequential(filters)(x), skips.pop()])
    return last_layer(num_classes)(x)


@wrong(check.decoder, "equal channels")
def skips_added_by_plus(taps, num_classes=3):
    *skips, x = taps
    return last_layer(num_classes)(sequential(512)(x) + skips.pop())


@wrong(check.decoder, "the skips are missing")
def no_skips(taps, num_classes=3):
    x = taps[-1]
    for filters in (512, 256, 128, 64):
        x = sequential(filters)(x)
    return last_layer(num_classes)(x)


@wrong(check.decoder, "Every size has its skip")
def one_skip_forgotten(taps, num_classes=3):
    *skips, x = taps
    for filters in (512, 256, 128, 64):
        x = sequential(filters)(x)
        if len(skips) > 1:
            x = layers.Concatenate()([x, skips.pop()])
    return last_layer(num_classes)(x)


UP_STACK = {filters: sequential(filters) for filters in (512, 256, 128, 64)}
BUILT = {filters: sequential(filters) for filters in (512, 256, 128, 64)}


@wrong(check.decoder, "have some layers in common")
def shared_blocks(taps, num_classes=3):
    return last_layer(num_classes)(way_up(taps, block=UP_STACK.get))


@wrong(check.decoder, "Make new ones")
def shared_blocks_of_a_large_model(taps, num_classes=3):
    if not BUILT[512].built:
        BUILT[512](np.zeros((1, 4, 4, 320)))
    return last_layer(num_classes)(way_up(taps, block=BUILT.get))


@wrong(check.decoder, "Make new ones")
def one_block_four_times(taps, num_classes=3):
    *skips, x = taps
    up = sequential(64)
    for _ in range(4):
        x = layers.Concatenate()([up(x), skips.pop()])
    return last_layer(num_classes)(x)


WHOLE = []


@wrong(check.decoder, "give the same layers")
def made_once_and_kept(taps, num_classes=3):
    if not WHOLE:
        WHOLE.append(keras.Model(taps, pops(taps, num_classes)))
    return WHOLE[0](taps)


@wrong(check.decoder, "softmax")
def softmax_at_the_end(taps, num_classes=3):
    return last_layer(num_classes, activation="softmax")(way_up(taps))


@wrong(check.decoder, "a ReLU at the end")
def relu_at_the_end(taps, num_classes=3):
    return last_layer(num_classes, activation="relu")(way_up(taps))


@wrong(check.decoder, "a ReLU at the end")
def a_block_at_the_end(taps, num_classes=3):
    return sequential(num_classes)(way_up(taps))


@wrong(check.decoder, "no activation")
def sigmoid_at_the_end(taps, num_classes=3):
    return last_layer(num_classes, activation="sigmoid")(way_up(taps))


@wrong(check.decoder, "The last layer is missing")
def no_last_layer(taps, num_classes=3):
    return way_up(taps)


@wrong(check.decoder, "double once more")
def last_layer_does_not_double(taps, num_classes=3):
    return layers.Conv2D(num_classes, 3, padding="same")(way_up(taps))


@wrong(check.decoder, "always 3 channels")
def three_classes(taps, num_classes=3):
    return last_layer(3)(way_up(taps))


@wrong(check.decoder, "in reverse")
def filters_in_reverse(taps, num_classes=3):
    return last_layer(num_classes)(way_up(taps, filters=(64, 128, 256, 512)))


@wrong(check.decoder, "has no bias")
def no_last_bias(taps, num_classes=3):
    return last_layer(num_classes, use_bias=False)(way_up(taps))


@wrong(check.decoder, "Look at your upsample")
def blocks_with_a_bias(taps, num_classes=3):
    return last_layer(num_classes)(way_up(taps, block=bias_left_on))


@wrong(check.decoder, "part by part")
def half_the_filters(taps, num_classes=3):
    return last_layer(num_classes)(way_up(taps, filters=(256, 128, 64, 32)))


@wrong(check.decoder, "a tensor")
def a_model_comes_out(taps, num_classes=3):
    return keras.Model(taps, pops(taps, num_classes))


@wrong(check.decoder, "end with a return")
def decoder_without_return(taps, num_classes=3):
    pops(taps, num_classes)


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


@wrong(check.fits, "four halvings")
def sixteen(height, width):
    return height % 16 == 0 and width % 16 == 0


@wrong(check.fits, "Only the height")
def only_the_height(height, width):
    return height % 32 == 0


@wrong(check.fits, "enough")
def either_side(height, width):
    return height % 32 == 0 or width % 32 == 0


@wrong(check.fits, "multiplied")
def area_is_divided(height, width):
    return (height * width) % 32 == 0


@wrong(check.fits, "powers of 2")
def powers_of_two(height, width):
    return all(math.log2(side).is_integer() and side >= 32 for side in (height, width))


@wrong(check.fits, "True to everything")
def divided_and_multiplied_without_rounding(height, width):
    return height / 32 * 32 == height and width / 32 * 32 == width


@wrong(check.fits, "False to everything")
def asks_for_the_type_of_a_float(height, width):
    return isinstance(height / 32, int) and isinstance(width / 32, int)


@wrong(check.fits, "one halving")
def even_sides(height, width):
    return height % 2 == 0 and width % 2 == 0


@wrong(check.fits, "a square")
def only_squares(height, width):
    return height == width and height % 32 == 0


@wrong(check.fits, "changed places")
def the_other_way_round(height, width):
    return height % 32 != 0 or width % 32 != 0


@wrong(check.fits, "is not True")
def the_remainder_itself(height, width):
    return height % 32


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
def sorted_places(logits):
    return np.argsort(logits, axis=3)[..., -1:]


@wrong(check.create_mask, "probabilities")
def probabilities(logits):
    return keras.ops.softmax(keras.ops.convert_to_tensor(logits), axis=-1)


@wrong(check.create_mask, "largest logit itself")
def largest_logit(logits):
    return np.max(logits, axis=-1, keepdims=True)


@wrong(check.create_mask, "smallest")
def argmin(logits):
    return np.argmin(logits, axis=-1)[..., None]


@wrong(check.create_mask, "begin with 1")
def labels_from_one(logits):
    return argmax(logits) + 1


@wrong(check.create_mask, "Only the first image")
def first_image_as_in_the_laboratory_work(logits):
    return argmax(logits)[0]


@wrong(check.create_mask, "Which axis holds the classes")
def argmax_over_rows(logits):
    return np.argmax(logits, axis=1)


@wrong(check.create_mask, "Which axis holds the classes")
def argmax_over_images(logits):
    return np.argmax(logits, axis=0)


@wrong(check.create_mask, "One number comes out")
def argmax_of_all(logits):
    return np.argmax(logits)


@wrong(check.create_mask, "for fractions")
def as_float(logits):
    return argmax(logits).astype("float32")


@wrong(check.create_mask, "still one of them")
def relu_first(logits):
    return argmax(np.maximum(logits, 0))


@wrong(check.create_mask, "There may be more")
def three_classes_by_hand(logits):
    pet, background, border = (np.asarray(logits)[..., k] for k in range(3))
    best = np.where(pet > background, 0, 1)
    return np.where(border > np.maximum(pet, background), 2, best)


@wrong(check.create_mask, "the place itself")
def one_hot(logits):
    logits = np.asarray(logits)
    return (logits == logits.max(axis=-1, keepdims=True)).astype(int)


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


@wrong(check.separate_model, "hold the same block")
def block_outside():
    inputs = keras.Input((2, 2, 3))
    return keras.Model(inputs, ONE(inputs))


@wrong(check.separate_model, "hold the same block")
def block_as_default(block=ONE):
    inputs = keras.Input((2, 2, 3))
    return keras.Model(inputs, block(inputs))


KERNEL = transposed(4)


@wrong(check.separate_model, "share some layers")
def shared_convolution():
    norm, relu = layers.BatchNormalization(momentum=0.9), layers.ReLU()
    return keras.Sequential([keras.Input((2, 2, 3)), KERNEL, norm, relu])


MADE = []


@wrong(check.separate_model, "one and the same model")
def made_before():
    if not MADE:
        MADE.append(block_inside())
    return MADE[0]


@wrong(check.separate_model, "The block doubles")
def nothing_doubled():
    return keras.Sequential([keras.Input((2, 2, 3)), layers.Conv2D(4, 3, padding="same")])


@wrong(check.separate_model, "does not take an image of 2x2")
def another_input():
    inputs = keras.Input((4, 4, 3))
    return keras.Model(inputs, sequential(4)(inputs))


@wrong(check.separate_model, "The output is not the one")
def another_number_of_filters():
    return keras.Sequential([keras.Input((2, 2, 3)), sequential(8)])


@wrong(check.separate_model, "number of parameters")
def another_block():
    return keras.Sequential([keras.Input((2, 2, 3)), transposed(4)])


@wrong(check.separate_model, "A model has to come out")
def a_pair_of_models():
    return block_inside(), block_inside()


def right_mask(logits):
    return check.look_at_mask(check.labels, logits)


@pytest.mark.parametrize(
    ("task", "measured"),
    [
        (check.upsample, check.upsample.right),
        (check.decoder, check.decoder.right),
        (check.create_mask, right_mask),
        (check.separate_model, check.separate_model.right),
    ],
)
def test_what_a_check_measures_is_no_answer(task, measured):
    """It stands under "Expected" for whoever gives something else first."""
    assert task(lambda *case: dict(measured(*case))).state == "not right yet"
