"""Tasks of the lab on the U-Net.

Keras layers and models are measured on inputs of a few pixels: an adapter returns a dict such as
``{"output": "[B, 12, 12, 4]", "parameters": "52"}``, and a ``Symptom`` names the parts that show a
mistake. No pretrained weights are needed.
"""

import re

import keras
import numpy as np
from keras import layers, ops

from labkit.check.answer import NotDone
from labkit.check.engine import task
from labkit.check.mistakes import TOO_LARGE_BY_ONE, Symptom, edits, result
from labkit.check.question import Question
from labkit.check.text import as_array

__all__ = ["NotDone"]

FILTERS = (512, 256, 128, 64)
NONNEGATIVE, POSITIVE, NEGATIVE = "0 or more", "all above 0", "some below 0"


def shape_text(shape):
    """A shape without its batch size, such as "[B, 4, 4, 3]"."""
    return f"[{', '.join(map(str, ('B', *shape[1:])))}]"


def signs(values):
    smallest = np.min(values)
    return NEGATIVE if smallest < 0 else NONNEGATIVE if smallest == 0 else POSITIVE


def shared_weights(*models):
    """Whether two models have weights in common."""
    own, others = ({id(weight) for weight in model.weights} for model in models)
    return "some" if own & others else "none"


SHARED = Symptom(
    "Two calls share weights. Does each call create all of its layers?", shared_weights="some"
)


def look_at_block(upsample, *case):
    """What a block does with 6x6 pixels of one channel."""
    block = upsample(*case)
    if block is None:
        return None
    if not isinstance(block, keras.Layer):
        return {"returned": "no Keras layer"}
    pixels = np.random.default_rng(0).normal(size=(4, 6, 6, 1)).astype("float32")
    block(pixels)  # makes the weights
    set_kernels(block)
    predicted = block(pixels, training=False)  # before training moves the averages
    return {
        "output": shape_text(predicted.shape),
        "parameters": f"{block.count_params():,}",
        "momentum": momentum_of(block, pixels),
        "signs in prediction": signs(predicted),
        "signs in training": signs(block(pixels, training=True)),
        "one pixel reaches": reach(block),
    }


def set_kernels(layer):
    """Give all kernels normal values: what is measured should not depend on how they start."""
    random = np.random.default_rng(1)
    for weight in layer.weights:
        if len(weight.shape) == 4:
            weight.assign(random.normal(0, 0.1, weight.shape))


def momentum_of(block, pixels):
    """The share of the moving mean that a training step keeps, from the first two steps."""
    steps = []
    for _ in range(2):
        block(pixels, training=True)
        steps.append([ops.convert_to_numpy(weight) for weight in block.non_trainable_weights])
    for first, second in zip(*steps, strict=True):
        if first.ndim == 1 and np.abs(first).max() < 0.5:  # a mean starts at 0, a variance at 1
            return f"{round(float(first @ second / (first @ first)) - 1, 3)}"
    return "no moving average"


def reach(block):
    """The region of the output that a single pixel changes, such as "3x3"."""
    for weight in block.weights:
        if len(weight.shape) == 4:
            weight.assign(np.ones(weight.shape))
    pixels = np.zeros((2, 6, 6, 1), "float32")
    pixels[1, 3, 3] = 1
    without, with_pixel = ops.convert_to_numpy(block(pixels, training=False))
    rows, columns = np.nonzero(np.any(with_pixel != without, axis=-1))
    return f"{len(set(rows.tolist()))}x{len(set(columns.tolist()))}"


@task(
    "3.1",
    cases=((4,), (2, 5, 0.5)),
    adapter=look_at_block,
    mistakes=(
        Symptom("Return one layer that combines the three.", returned="no Keras layer"),
        Symptom(
            "Height and width are unchanged. Check the strides.",
            output=lambda filters, *_: f"[B, 6, 6, {filters}]",
        ),
        Symptom(
            "Height and width are halved, as by a convolution with strides.",
            output=lambda filters, *_: f"[B, 3, 3, {filters}]",
        ),
        Symptom(
            "The output is larger than twice the input. Check the padding.",
            output=lambda filters, size=3, *_: f"[B, {10 + size}, {10 + size}, {filters}]",
        ),
        Symptom("The number of channels is unchanged. Is there a kernel?", output="[B, 12, 12, 1]"),
        Symptom("Batch normalization is missing.", momentum="no moving average"),
        Symptom("The momentum is always 0.99, the default of Keras.", momentum="0.99"),
        Symptom("The momentum is always 0.9. Use the argument.", momentum="0.9"),
        Symptom(
            "The default of momentum is 0.99, as in Keras. The task has another one.",
            momentum=lambda filters, size=3, momentum=0.99: f"{momentum}",
        ),
        Symptom("The kernel is always 3x3.", parameters=lambda filters, *_: f"{13 * filters}"),
        Symptom("The kernel has 1x1 pixels. Use size.", parameters=lambda n, *_: f"{5 * n}"),
        Symptom(
            "There is one parameter per channel too many: the convolution has a bias.",
            parameters=lambda filters, size=3, *_: f"{(size**2 + 5) * filters}",
        ),
        Symptom(
            "Upsampling and convolution are two layers here. A transposed convolution does both.",
            one_pixel_reaches=lambda filters, size=3, *_: f"{size + 1}x{size + 1}",
        ),
        Symptom(
            "The output has negative values. Which layer follows batch normalization?",
            signs_in_prediction=NEGATIVE,
        ),
        Symptom(
            "In training, the output has negative values. Check the order of the layers.",
            signs_in_training=NEGATIVE,
        ),
        Symptom("No value is exactly 0, unlike after a ReLU.", signs_in_training=POSITIVE),
    ),
)
def upsample(filters, size=3, momentum=0.9):
    return keras.Sequential(
        [
            layers.Conv2DTranspose(filters, size, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=momentum),
            layers.ReLU(),
        ]
    )


@task(
    "3.2",
    cases=((3, (8, 5), (4, 7)), (320, FILTERS, (576, 192, 144, 96))),
    mistakes=edits("""
        filters, skips, strict => filters, skips[::-1], strict
            The skips are used in reverse. They are already in the order of the blocks.
        made + skip => made
            The third number repeats the second. What does Concatenate do to the channels?
        made + skip => skip
            The third number is the skip alone. Concatenate keeps the new channels too.
        made + skip => channels + made + skip
            A block's input channels are not part of its output: upsample replaces them.
        made + skip => channels + skip
            The skip is joined to the block's input. It is joined after upsample.
        made + skip => max(made, skip)
            The third number is the larger of the two. Concatenate keeps the channels of both.
        channels = joined => pass
            Every block gets the channels of the first one. What is the next block's input?
        channels = joined => channels = made
            The next block gets the channels before the skip. It needs those after it.
        (channels, made, joined) => (made, joined)
            A row has three numbers. The first is the number of input channels.
        return rows => return rows[-1:]
            Only the last row is returned. Collect a row for each block.
        return rows => return rows[:1]
            Only the first row is returned. Is the return inside the loop?
    """),
)
def skip_shapes(channels, filters, skips):
    rows = []
    for made, skip in zip(filters, skips, strict=True):
        joined = made + skip
        rows.append((channels, made, joined))
        channels = joined
    return rows


TAPS = [(16, 16, 2), (8, 8, 3), (4, 4, 4), (2, 2, 5), (1, 1, 6)]  # of a 32x32 image


def look_at_decoder(decoder, taps, num_classes):
    """What a decoder makes of small taps, and whether a second call makes new layers."""
    inputs, others = ([keras.Input(shape) for shape in taps] for _ in range(2))
    try:
        logits = decoder(list(inputs), num_classes)
        if logits is None:
            return None
        if not isinstance(logits, keras.KerasTensor):
            return {"returned": "no Keras tensor"}
        other = keras.Model(others, decoder(list(others), num_classes))
    except ValueError as error:
        return mismatch(error)
    model = keras.Model(inputs, logits)
    set_kernels(model)
    values = outputs_of(model, taps)
    used = sum(np.any(value != values[0]) for value in values[1:])
    activation = "none" if np.min(values) < 0 else "ReLU or sigmoid"
    if np.allclose(values.sum(-1), 1, atol=1e-3):
        activation = "softmax"
    return {
        "shared weights": shared_weights(model, other),
        "output": shape_text(logits.shape),
        "taps used": {1: "one", len(taps): "all"}.get(used, "some"),
        "activation": activation,
        "parameters": f"{model.count_params():,}",
    }


def outputs_of(model, taps):
    """The output for some taps, and for the same with each of them changed in turn."""
    random = np.random.default_rng(0)
    inputs = []
    for number, shape in enumerate(taps, start=1):
        tap = np.repeat(random.normal(size=(1, *shape)), len(taps) + 1, axis=0)
        tap[number] += 1
        inputs.append(tap.astype("float32"))
    return ops.convert_to_numpy(model(inputs, training=False))


def mismatch(error):
    """How feature maps or layers did not fit together; any other error is raised again."""
    text = str(error)
    if "is incompatible with the layer" in text:
        return {"layers": "reused"}
    if "broadcast" in text or "Inputs have incompatible shapes" in text:
        return {"skips": "added"}
    found = re.findall(r"\(None, (\d+), (\d+), \d+\)", text)
    sizes = sorted({(int(height), int(width)) for height, width in found})
    if len(sizes) < 2:
        raise error
    return {"sizes": "different", "joined": " and ".join(f"{h}x{w}" for h, w in sizes)}


def parameters(filters=FILTERS, norm=4, last_bias=1, last_kernel=3):
    """The decoder's number of parameters for ``TAPS`` and 2 classes.

    Args:
        norm, last_bias: parameters per channel.
        last_kernel: pixels of a side.
    """
    rows = skip_shapes.reference(6, filters, (5, 4, 3, 2))
    blocks = sum((9 * channels + norm) * made for channels, made, _ in rows)
    return f"{blocks + (last_kernel**2 * rows[-1][2] + last_bias) * 2:,}"


@task(
    "3.3",
    cases=((TAPS, 2),),
    adapter=look_at_decoder,
    mistakes=(
        Symptom("Return the logits, a tensor, not a model.", returned="no Keras tensor"),
        Symptom(
            "The first block's output meets the largest tap. Check the order of the skips.",
            joined="2x2 and 16x16",
        ),
        Symptom(
            "1x1 meets 2x2: the last tap is no skip, and skips are joined after upsampling.",
            joined="1x1 and 2x2",
        ),
        Symptom("Two different sizes meet. Note the size after each line.", sizes="different"),
        Symptom("The feature maps are added. Skips are concatenated.", skips="added"),
        Symptom("A layer is reused for other channels. Create a new one.", layers="reused"),
        SHARED,
        Symptom("Only one tap affects the output. Where are the skips?", taps_used="one"),
        Symptom("Not every tap affects the output. Each size has a skip.", taps_used="some"),
        Symptom("The last layer is missing: these are features.", output="[B, 16, 16, 66]"),
        Symptom(
            "The output has the size of the largest tap. The last layer has to upsample too.",
            output="[B, 16, 16, 2]",
        ),
        Symptom("There are always 3 channels. Use num_classes.", output="[B, 32, 32, 3]"),
        Symptom("This is a softmax. Logits are unbounded.", activation="softmax"),
        Symptom("No logit is negative. Is there an activation?", activation="ReLU or sigmoid"),
        Symptom("The filters are in reverse order.", parameters=parameters(FILTERS[::-1])),
        Symptom("The last layer has no bias.", parameters=parameters(last_bias=0)),
        *(
            Symptom(
                f"The kernel of the last layer has {side}x{side} pixels. The task says 3.",
                parameters=parameters(last_kernel=side),
            )
            for side in (1, 2, 4, 5)
        ),
        Symptom("The blocks have a bias. Check your upsample.", parameters=parameters(norm=5)),
        Symptom("The blocks lack batch normalization.", parameters=parameters(norm=0)),
    ),
)
def decoder(taps, num_classes=3):
    *skips, x = taps
    for filters in FILTERS:
        x = upsample.reference(filters)(x)
        x = layers.Concatenate()([x, skips.pop()])
    return layers.Conv2DTranspose(num_classes, 3, strides=2, padding="same")(x)


@task(
    "3.4",
    cases=(
        *((128, 128), (100, 100), (192, 256), (160, 160), (128, 100), (100, 128), (48, 48)),
        *((96, 32), (16, 64), (40, 24), (32, 160), (16, 16), (1, 1), (208, 176)),
    ),
    mistakes=(
        *edits("""
            and width % 32 == 0 =>
                Only the height is tested. The width is halved as well.
            height % 32 == 0 and =>
                Only the width is tested. The height is halved as well.
            and => or
                One side that fits is enough here. Both have to fit.
            == 0 and width => * width
                The sides are multiplied, so one can make up for the other. Test each.
            % 32 => % 16
                This is right for four halvings. There are five.
            % 32 => % 64
                This is right for six halvings. There are five.
            % 32 => % 2
                This is right for one halving: half of an even number may be odd.
            height % 32 == 0 and width % 32 == 0 => {height, width} <= {32, 64, 128, 256}
                Only powers of 2 are accepted. Follow 96 down: is anything rounded?
            width % 32 == 0 => height == width
                Only squares are accepted. The network takes rectangles too.
            % 32 == 0 => >= 32
                Only the lower limit is tested. 100 is large enough and does not fit.
            height % 32 == 0 and width % 32 == 0 => True
                The result is always True. Follow 100 down and up again.
            height % 32 == 0 and width % 32 == 0 => False
                The result is always False. Follow 128 down and up again.
        """),
        result(lambda fit: not fit, "True and False are swapped."),
    ),
)
def fits(height, width):
    return height % 32 == 0 and width % 32 == 0


def look_at_mask(create_mask, logits):
    """The mask, and whether its type is an integer."""
    mask = create_mask(logits)
    if mask is None:
        return None
    array = as_array(mask)
    integer = array is not None and np.issubdtype(array.dtype, np.integer)
    return {"mask": mask, "type": "an integer" if integer else "not an integer"}


RANDOM = np.random.default_rng(1)


@task(
    "3.5",
    cases=(
        (np.array([[[[2.0, 1.0, 0.0], [-1.0, -3.0, 5.0]]]]),),
        (RANDOM.normal(size=(2, 3, 4, 3)),),
        (-np.abs(RANDOM.normal(size=(2, 3, 3, 4))) - 0.1,),
        (np.array([[[[0.0, 900.0, 1000.0]]]]),),
    ),
    adapter=look_at_mask,
    mistakes=(
        *edits("""
            np.argmax(logits, axis=-1) => logits
                The logits are returned unchanged. A mask has one number per pixel.
            np.argmax(logits, axis=-1) => np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
                These are class probabilities. A mask has one number per pixel.
            np.argmax => np.max
                This is the largest logit itself. Return its index.
            np.argmax(logits, axis=-1) => np.exp(logits.max(-1)) / np.exp(logits).sum(-1)
                This is the largest probability itself. Return its index.
            argmax => argmin
                This is the index of the smallest logit.
            return mask => return mask[:1]
                Only the first image is returned. Every image of the batch has a mask.
            , axis=-1 =>
                The maximum is taken over all values. Take it along one axis.
            axis=-1 => axis=0
                The maximum is taken over the images. Which axis holds the classes?
            axis=-1 => axis=1
                The maximum is taken over the rows. Which axis holds the classes?
            axis=-1 => axis=2
                The maximum is taken over the columns. Which axis holds the classes?
            argmax(logits => argmax(np.abs(logits)
                The sign is lost: the larger of -3 and 1 is 1.
            argmax(logits => argmax(np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
                exp overflows for large logits, and softmax becomes NaN. Is softmax needed?
            argmax(logits => argmax(np.maximum(logits, 0)
                If all logits are negative, the class is always 0. One is still the largest.
            argmax(logits => argmax(logits[..., :3]
                Only three classes are compared. There may be more.
            np.argmax(logits, axis=-1) => 1 * (logits == logits.max(axis=-1, keepdims=True))
                This is one-hot encoded. A mask has the class's index as a number.
            return mask => return 1.0 * mask
                The labels are floating-point numbers. They need an integer type.
        """),
        TOO_LARGE_BY_ONE,
    ),
)
def create_mask(logits):
    mask = np.argmax(logits, axis=-1)
    return mask[..., np.newaxis]


def look_at_models(separate_model):
    """One model, and what a second one shares with it."""
    model, other = separate_model(), separate_model()
    if model is None:
        return None
    if not isinstance(model, keras.Model):
        return {"returned": "no Keras model"}
    try:
        output, _ = (m(np.ones((1, 2, 2, 3), "float32")) for m in (model, other))
    except ValueError:
        return {"input": "not [B, 2, 2, 3]"}
    return {
        "input": "[B, 2, 2, 3]",
        "shared weights": shared_weights(model, other),
        "output": shape_text(output.shape),
        "parameters": f"{model.count_params()}",
    }


@task(
    "3.6",
    cases=((),),
    adapter=look_at_models,
    mistakes=(
        Symptom("Return a keras.Model or a keras.Sequential.", returned="no Keras model"),
        Symptom("The input has to be 2x2 pixels with 3 channels.", input="not [B, 2, 2, 3]"),
        SHARED,
        Symptom("Height and width are unchanged. The block doubles.", output="[B, 2, 2, 4]"),
    ),
)
def separate_model():
    inputs = keras.Input((2, 2, 3))
    return keras.Model(inputs, upsample.reference(4)(inputs))


which_upsampling = Question("3.7", "which_upsampling", words=40)
