"""Tasks of the lab on the U-Net (chapter 3).

What a Keras block does is measured, and told in parts: a dict such as ``{"output": "[B, 4, 4, 3]",
"parameters": "39"}``. A mistake is told by the parts that show it; the other parts are free.
Nothing here needs pretrained weights: the feature maps are a few pixels wide.
"""

import math
import re

import keras
import numpy as np

from labkit.check.task import NotDone, Task, array
from labkit.check.writing import Question

__all__ = ["NotDone"]

FILTERS = (512, 256, 128, 64)
ABOVE, POSITIVE, BELOW = "0 and above", "above 0", "below 0 too"


class Parts(dict):
    """What would be measured of an answer, in the place of the answer: of the right or a wrong one.

    A class of its own, because a plain dict may be what a student gives.
    """


def shape_text(shape):
    """A shape as text, such as "[B, 4, 4, 3]", whatever the batch."""
    return f"[{', '.join(map(str, ('B', *shape[1:])))}]"


def signs(values):
    """The range of some numbers, in words."""
    return BELOW if values.min() < 0 else ABOVE if values.min() == 0 else POSITIVE


def told(hint, **parts):
    """A mistake that shows in these parts, and its hint."""
    return lambda *_: Parts(parts), hint


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


def shared(one, other):
    """How many of a model's weights are another one's as well, in words."""
    ours, theirs = ({id(weight) for weight in model.weights} for model in (one, other))
    both = ours & theirs
    return "nothing" if not both else "everything" if both == ours else "a part"


# --- 3.1 ---


def look_at_block(upsample, *case):
    """What a block does with a few pixels of one channel."""
    block = upsample(*case)
    if block is None or isinstance(block, Parts):
        return block
    if not isinstance(block, keras.Layer):
        return {"out": "no Keras layer"}
    pixels = np.random.default_rng(0).normal(size=(4, 6, 6, 1)).astype("float32")
    predicted = numbers(block(pixels, training=False))
    trained = numbers(block(pixels, training=True))
    return {
        "output": shape_text(predicted.shape),
        "parameters": f"{block.count_params()}",
        "momentum": momentum_of(block, pixels),
        "reach": reach(block),
        "predicting": signs(predicted),
        "training": signs(trained),
    }


def momentum_of(block, pixels):
    """The share of a moving mean that a step keeps. The step before this one was the first."""
    after = []
    for _ in range(2):
        after.append([np.asarray(weight).copy() for weight in block.non_trainable_weights])
        block(pixels, training=True)
    for first, second in zip(after[0], after[1], strict=True):
        if first.ndim == 1 and np.abs(first).max() < 0.5:  # a mean starts at 0, a variance at 1
            return round(float(first @ second / (first @ first)) - 1, 3)
    return "no moving average"


def reach(block):
    """The part of the output that a single pixel changes, such as "3x3"."""
    for weight in block.weights:
        if len(weight.shape) == 4:
            weight.assign(np.ones(weight.shape))
    pixels = np.zeros((2, 6, 6, 1), "float32")
    pixels[1, 3, 3] = 1
    dark, lit = numbers(block(pixels, training=False))
    rows, columns = np.nonzero(np.any(lit != dark, axis=-1))
    return f"{len(set(rows.tolist()))}x{len(set(columns.tolist()))}"


def block_parts(filters, size=3, momentum=0.9):
    """What ``look_at_block`` finds in the right block."""
    return Parts(
        output=f"[B, 12, 12, {filters}]",
        parameters=f"{size * size * filters + 4 * filters}",
        momentum=momentum,
        reach=f"{size}x{size}",
        predicting=ABOVE,
        training=ABOVE,
    )


upsample = Task(
    "3.1",
    "upsample",
    """
`upsample(filters, size=3, momentum=0.9)` makes one block of the way up.

* **in**: the number of channels that come out, the size of the kernel, and the momentum of the
  batch normalisation.
* **out**: one block, a `keras.Sequential`. A transposed convolution without a bias doubles height
  and width (`padding="same"`); batch normalisation follows, then a ReLU. How the kernel starts is
  left to you: the laboratory work takes normal numbers around 0 with a spread of 0.02.
* **example**: `upsample(512)` turns `[1, 4, 4, 320]` into `[1, 8, 8, 512]`, and has 1,476,608
  parameters: 3 · 3 · 320 · 512 of the kernel, and 4 for each of 512 channels.

The check gives the block 6×6 pixels of one channel.
""",
    cases=((4,), (2, 5, 0.5)),
    right=block_parts,
    use=look_at_block,
    mistakes=(
        told(
            "One block has to come out, that can be called like a layer: put the layers into one.",
            out="no Keras layer",
        ),
        (
            lambda filters, *_: Parts(output=f"[B, 6, 6, {filters}]"),
            "Height and width stay as they are. How far apart are the stamps?",
        ),
        (
            lambda filters, *_: Parts(output=f"[B, 3, 3, {filters}]"),
            "Height and width are halved. The way up takes the transposed convolution.",
        ),
        (
            lambda filters, size=3, _=None: Parts(
                output=f"[B, {10 + size}, {10 + size}, {filters}]"
            ),
            "The output is wider than the double. Look at the padding.",
        ),
        told(
            "As many channels come out as went in. A doubling without a kernel learns nothing.",
            output="[B, 12, 12, 1]",
        ),
        told("Batch normalisation is missing.", momentum="no moving average"),
        told(
            "The momentum is 0.99, Keras's own. Hand yours on to the batch normalisation.",
            momentum=0.99,
        ),
        told("The momentum is 0.9 whatever is asked for. Hand the argument on.", momentum=0.9),
        (
            lambda filters, size=3, momentum=0.99: Parts(momentum=momentum),
            "Without an argument, the momentum is 0.99, Keras's own. Look at the default.",
        ),
        (
            lambda filters, *_: Parts(parameters=f"{9 * filters + 4 * filters}"),
            "The kernel is 3x3 whatever is asked for. Hand the argument size on.",
        ),
        (
            lambda filters, size=3, _=None: Parts(parameters=f"{(size * size + 5) * filters}"),
            "There is one parameter a channel too many: the convolution still has its bias.",
        ),
        (
            lambda filters, size=3, _=None: Parts(reach=f"{size + 1}x{size + 1}"),
            "The pixels are repeated first, and filtered then. A transposed convolution does both "
            "at once.",
        ),
        told(
            "Numbers below 0 come out. What comes after the batch normalisation?",
            predicting=BELOW,
            training=BELOW,
        ),
        told(
            "In training, numbers below 0 come out. The ReLU has to be the last of the three.",
            predicting=ABOVE,
            training=BELOW,
        ),
        told("No value is exactly 0. A ReLU makes 0 of every negative number.", training=POSITIVE),
    ),
)


# --- 3.2 ---


def shapes(channels, filters, skips, carried=lambda channels, made, skip: made + skip):
    """Rows of channels in, after the block, and what goes on to the next one."""
    rows = []
    for made, skip in zip(filters, skips, strict=True):
        rows.append((channels, made, carried(channels, made, skip)))
        channels = rows[-1][2]
    return rows


def shapes_carried_wrong(channels, filters, skips, carried):
    """Right rows but for the first number, which the row before should have set."""
    rows = np.array(shapes(channels, filters, skips))
    rows[:, 0] = [channels, *carried(rows)[:-1]]
    return rows


skip_shapes = Task(
    "3.2",
    "skip_shapes",
    """
`skip_shapes(channels, filters, skips)` follows the channels on the way up.

* **in**: the channels of the last tap; the `filters` of each `upsample`; the channels of the tap
  that each block meets, in the same order.
* **out**: a list with a row for each block: channels in, channels after `upsample`, channels after
  the skip.
* **example**: `skip_shapes(320, (512, 256), (576, 192))` is
  `[(320, 512, 1088), (1088, 256, 448)]`: 512 + 576 = 1088 go into the second block.
""",
    cases=((3, (8, 5), (4, 7)), (320, FILTERS, (576, 192, 144, 96))),
    right=shapes,
    mistakes=(
        (
            lambda channels, filters, skips: shapes(channels, filters, skips[::-1]),
            "The skips are taken from the end. Here they are in the order of the blocks.",
        ),
        (
            lambda *case: shapes(*case, lambda channels, made, skip: made),
            "The third number is the second again. What does Concatenate do to the channels?",
        ),
        (
            lambda *case: shapes(*case, lambda channels, made, skip: skip),
            "The third number is the skip alone. It comes behind the new channels.",
        ),
        (
            lambda *case: shapes(*case, lambda channels, made, skip: channels + made + skip),
            "The channels that go into a block don't come out of it: upsample makes new ones.",
        ),
        (
            lambda *case: shapes(*case, lambda channels, made, skip: channels + skip),
            "The skip is added to what went in. It is joined after upsample.",
        ),
        (
            lambda *case: shapes(*case, lambda channels, made, skip: max(made, skip)),
            "The third number is the larger one. Concatenate keeps the channels of both.",
        ),
        (
            lambda c, f, s: shapes_carried_wrong(c, f, s, lambda rows: [c] * len(rows)),
            "Every block gets the channels of the first one. What goes into the next block?",
        ),
        (
            lambda c, f, s: shapes_carried_wrong(c, f, s, lambda rows: rows[:, 1]),
            "The next block gets the channels of before the skip. It gets those of after it.",
        ),
        (
            lambda *case: np.array(shapes(*case))[:, 1:],
            "Each row has three numbers; the first are the channels that go in.",
        ),
        (
            lambda *case: shapes(*case)[-1:],
            "Only one row comes out. Collect a row for each block.",
        ),
        (
            lambda *case: shapes(*case)[:1],
            "Only the first row comes out. Does the return stand inside the loop?",
        ),
    ),
)


# --- 3.3 ---

TAPS = [(16, 16, 2), (8, 8, 3), (4, 4, 4), (2, 2, 5), (1, 1, 6)]  # finest first, as of 32x32 pixels


def look_at_decoder(decoder, taps, num_classes):
    """What a decoder makes of small taps, and whether a second one has layers of its own."""
    first = [keras.Input(shape) for shape in taps]
    try:
        logits = decoder(list(first), num_classes)
        if logits is None or isinstance(logits, Parts):
            return logits
        if not isinstance(logits, keras.KerasTensor):
            return {"out": "no tensor"}
        second = [keras.Input(shape) for shape in taps]
        other = keras.Model(second, decoder(list(second), num_classes))
    except ValueError as error:
        return joined_wrong(error)
    model = keras.Model(first, logits)
    values = answers(model, taps)
    sums_to_one = np.allclose(values.sum(-1), 1, atol=1e-3)
    return {
        "joined": "maps of one size",
        "shared": shared(model, other),
        "output": shape_text(logits.shape),
        "taps": f"{sum(np.any(value != values[0]) for value in values[1:])} of {len(taps)} count",
        "values": "shares that sum to 1" if sums_to_one else signs(values),
        "parameters": f"{model.count_params():,}",
    }


def answers(model, taps):
    """The output for some taps, and for the same with one of them changed, one after the other."""
    random = np.random.default_rng(0)
    inputs = []
    for number, shape in enumerate(taps):
        tap = np.repeat(random.normal(size=(1, *shape)), len(taps) + 1, axis=0)
        tap[number + 1] += 1
        inputs.append(tap.astype("float32"))
    return numbers(model(inputs, training=False))


def joined_wrong(error):
    """Parts that tell how feature maps did not fit together; other errors go on."""
    text = str(error)
    if "is incompatible with the layer" in text:
        return {"layers": "used again"}
    if "broadcast" in text or "Inputs have incompatible shapes" in text:
        return {"joined": "by addition"}
    sizes = re.findall(r"\(None, (\d+), (\d+), \d+\)", text)
    if len(set(sizes)) < 2:
        raise error
    names = sorted({f"{height}x{width}" for height, width in sizes}, key=len)
    return {"joined": "maps of different size", "sizes": " and ".join(sorted(names, key=area))}


def area(name):
    return math.prod(map(int, name.split("x")))


def decoder_parts(taps, num_classes, filters=FILTERS, bias=0, norm=4, last_bias=1):
    """What ``look_at_decoder`` finds in the right decoder."""
    *skips, channels = (tap.shape[-1] for tap in taps)
    parameters = 0
    for count, skip in zip(filters, reversed(skips), strict=True):
        parameters += 9 * channels * count + (norm + bias) * count
        channels = count + skip
    parameters += (9 * channels + last_bias) * num_classes
    return Parts(
        joined="maps of one size",
        shared="nothing",
        output=f"[B, 32, 32, {num_classes}]",
        taps=f"{len(taps)} of {len(taps)} count",
        values=BELOW,
        parameters=f"{parameters:,}",
    )


decoder = Task(
    "3.3",
    "decoder",
    """
`decoder(taps, num_classes=3)` is the way up, from the taps to the logits.

* **in**: the five taps of the encoder, the largest first, as `contract(x)` gives them; and the
  number of classes.
* **out**: the logits, a tensor. The last tap goes through four blocks `upsample` with 512, 256, 128
  and 64 filters. After each block, the tap of the same size is put behind its channels. A last
  transposed convolution (kernel 3, with a bias, no activation) doubles once more, to `num_classes`
  channels. Every call makes new layers.
* **example**: taps from 64×64×96 to 4×4×320 give logits `[B, 128, 128, 3]`. The first block makes
  8×8×512 of the last tap, and meets the tap of 8×8×576.

The check calls it with Keras inputs of a few pixels, the largest 16×16, the last 1×1.
""",
    cases=((TAPS, 2),),
    right=decoder_parts,
    use=look_at_decoder,
    mistakes=(
        told(
            "The logits have to come out, a tensor. The model around them is made elsewhere.",
            out="no tensor",
        ),
        told(
            "The first block makes 2x2 and meets the largest tap. From which end are they taken?",
            sizes="2x2 and 16x16",
        ),
        told(
            "1x1 meets 2x2. Either the last tap is taken for a skip, or the skip comes before the "
            "doubling.",
            sizes="1x1 and 2x2",
        ),
        told(
            "Two maps of different size meet. Write the size behind each line, from 1x1 on.",
            joined="maps of different size",
        ),
        told(
            "The maps are added up, which takes equal channels. A skip is put behind them.",
            joined="by addition",
        ),
        told(
            "A layer that was made before is used again, for other channels. Make new ones.",
            layers="used again",
        ),
        told(
            "Two calls give the same layers: a shared decoder. Where are they made?",
            shared="everything",
        ),
        told(
            "Two calls have some layers in common: a shared decoder. Where are they made?",
            shared="a part",
        ),
        (
            lambda taps, _: Parts(output=f"[B, 16, 16, {FILTERS[-1] + taps[0].shape[-1]}]"),
            "The last layer is missing: these are features, and no logits.",
        ),
        (
            lambda taps, num_classes: Parts(output=f"[B, 16, 16, {num_classes}]"),
            "The output is as large as the largest tap. The last layer has to double once more.",
        ),
        told(
            "There are always 3 channels. What does num_classes say?",
            output="[B, 32, 32, 3]",
        ),
        told(
            "Only one tap changes the answer: the skips are missing, or lead nowhere.",
            taps="1 of 5 count",
        ),
        told("One tap does not change the answer. Every size has its skip.", taps="4 of 5 count"),
        told(
            "There is a softmax at the end. Logits are numbers of any sign.",
            values="shares that sum to 1",
        ),
        told(
            "No logit is below 0: there is a ReLU at the end. The last layer has no activation.",
            values=ABOVE,
        ),
        told("No logit is below 0. The last layer has no activation.", values=POSITIVE),
        (
            lambda *case: decoder_parts(*case, filters=FILTERS[::-1]),
            "The filters are in reverse: the smallest maps get the most channels.",
        ),
        (
            lambda *case: decoder_parts(*case, last_bias=0),
            "The last layer has no bias. No batch normalisation comes after it to bring one.",
        ),
        (
            lambda *case: decoder_parts(*case, bias=1),
            "The blocks have a bias. Look at your upsample.",
        ),
        (
            lambda *case: decoder_parts(*case, norm=0),
            "The blocks have no batch normalisation. Look at your upsample.",
        ),
        told(
            "Compare what came out with what is expected, part by part.",
            joined="maps of one size",
        ),
    ),
)


# --- 3.4 ---


def by_side(rule, every=all):
    return lambda *sides: every(rule(side) for side in sides)


fits = Task(
    "3.4",
    "fits",
    """
`fits(height, width)` says whether the U-Net can take an image of this size: whether each of the
five doublings meets a tap of its own size.

* **in**: two whole numbers from 1 on.
* **out**: `True` or `False`.
* **example**: `fits(128, 128)` is `True`. `fits(100, 100)` is `False`: the sides that go down are
  100, 50, 25, 13, 7, 4, and going up 4 becomes 8, where 7 waits.
""",
    cases=(
        *((128, 128), (100, 100), (192, 256), (160, 160), (128, 100), (100, 128), (48, 48)),
        *((96, 32), (16, 64), (40, 24), (32, 160), (16, 16), (1, 1), (208, 176)),
    ),
    right=by_side(lambda side: side % 32 == 0),
    mistakes=(
        (
            lambda height, width: height % 32 == 0,
            "Only the height is looked at. The width is halved as well.",
        ),
        (
            lambda height, width: width % 32 == 0,
            "Only the width is looked at. The height is halved as well.",
        ),
        (
            by_side(lambda side: side % 32 == 0, any),
            "One side that fits is taken for enough. Both have to.",
        ),
        (
            lambda height, width: height * width % 32 == 0,
            "The sides are multiplied, and so one can make up for the other. Ask for each.",
        ),
        (
            by_side(lambda side: side % 16 == 0),
            "This is right for four halvings. There are five.",
        ),
        (by_side(lambda side: side % 64 == 0), "This is right for six halvings. There are five."),
        (
            by_side(lambda side: side % 2 == 0),
            "This is right for one halving: half of an even number may be odd.",
        ),
        (
            by_side(lambda side: side & (side - 1) == 0 and side >= 32),
            "This asks for powers of 2. Is 96 one, and where does a halving of it round?",
        ),
        (
            lambda height, width: height == width and height % 32 == 0,
            "This asks for a square. The network does not care.",
        ),
        (
            by_side(lambda side: side >= 32),
            "This asks for large sides. 100 is large enough, and does not fit.",
        ),
        (
            lambda height, width: not (height % 32 == 0 and width % 32 == 0),
            "True and False have changed places.",
        ),
        (lambda *_: True, "It says True to everything. Follow 100 down and up again."),
        (lambda *_: False, "It says False to everything. Follow 128 down and up again."),
    ),
)


# --- 3.5 ---

LOGITS = np.random.default_rng(1).normal(size=(2, 3, 4, 3))
ROW = np.array([[[[2.0, 1.0, 0.0], [-1.0, -3.0, 5.0]]]])
NEGATIVE = -np.abs(np.random.default_rng(2).normal(size=(2, 3, 3, 4))) - 0.1


def softmax(logits):
    shares = np.exp(logits - np.max(logits, axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def labels(logits):
    return np.argmax(logits, axis=-1)


def look_at_mask(create_mask, logits):
    """The labels, and whether their type is one of whole numbers."""
    mask = create_mask(logits)
    if mask is None or isinstance(mask, Parts):
        return mask
    found = array(mask)
    if found is None:
        return {"mask": mask, "type": "no numbers"}
    whole = np.issubdtype(found.dtype, np.integer)
    return {"mask": mask, "type": "whole numbers" if whole else f"{found.dtype}"}


create_mask = Task(
    "3.5",
    "create_mask",
    """
`create_mask(logits)` makes masks of logits: each pixel gets the class of its largest logit.

* **in**: logits `[B, H, W, C]`, any numbers.
* **out**: a mask for each image, `[B, H, W, 1]`, whole numbers from 0 to C − 1.
* **example**: one row of two pixels with the logits (2, 1, 0) and (−1, −3, 5) becomes the classes
  0 and 2.
""",
    cases=((ROW,), (LOGITS,), (NEGATIVE,)),
    right=labels,
    use=look_at_mask,
    mistakes=(
        (
            lambda logits: Parts(mask=logits),
            "The logits come out unchanged. A mask has one number a pixel.",
        ),
        (
            lambda logits: Parts(mask=softmax(logits)),
            "These are probabilities, one for each class. A mask has one number a pixel.",
        ),
        (
            lambda logits: Parts(mask=np.max(logits, axis=-1)),
            "This is the largest logit itself. Its position is asked for.",
        ),
        (
            lambda logits: Parts(mask=np.max(softmax(logits), axis=-1)),
            "This is the largest probability itself. Its position is asked for.",
        ),
        (
            lambda logits: Parts(mask=np.argmin(logits, axis=-1)),
            "This is the position of the smallest logit.",
        ),
        (
            lambda logits: Parts(mask=labels(logits) + 1),
            "The labels begin with 1. Here the first class is 0.",
        ),
        (
            lambda logits: Parts(mask=labels(logits)[0]),
            "Only the first image comes out. Every image of the batch has a mask.",
        ),
        (
            lambda logits: Parts(mask=np.argmax(logits)),
            "One number comes out: the largest of all pixels. Go along one axis.",
        ),
        (
            lambda logits: Parts(mask=np.argmax(logits, axis=0)),
            "The largest is sought among the images. Which axis holds the classes?",
        ),
        (
            lambda logits: Parts(mask=np.argmax(logits, axis=1)),
            "The largest is sought among the rows. Which axis holds the classes?",
        ),
        (
            lambda logits: Parts(mask=np.argmax(logits, axis=2)),
            "The largest is sought among the columns. Which axis holds the classes?",
        ),
        (
            lambda logits: Parts(mask=labels(np.abs(logits))),
            "The sign is lost: of -3 and 1, the largest is 1.",
        ),
        (
            lambda logits: Parts(mask=labels(np.maximum(logits, 0))),
            "Where all logits are negative, class 0 comes out. The largest is still one of them.",
        ),
        (
            lambda logits: Parts(mask=labels(logits[..., :3])),
            "This looks at three classes alone. There may be more.",
        ),
        (
            lambda logits: Parts(mask=np.eye(logits.shape[-1])[labels(logits)]),
            "There is a 1 at the place of the class. A mask has the place itself, as a number.",
        ),
        (
            lambda logits: Parts(mask=labels(logits)),
            "The labels are right, but of a type for fractions. Make whole numbers of them.",
        ),
    ),
)


# --- 3.6 ---


def look_at_models(function):
    """What two models of one function have in common."""
    first, second = function(), function()
    if first is None or isinstance(first, Parts):
        return first
    if not isinstance(first, keras.Model):
        return {"out": "no Keras model"}
    try:
        output, _ = (model(np.ones((1, 2, 2, 3), "float32")) for model in (first, second))
    except ValueError:
        return {"input": "not [B, 2, 2, 3]"}
    both = "the model itself" if first is second else shared(first, second)
    return {
        "input": "[B, 2, 2, 3]",
        "output": shape_text(output.shape),
        "parameters": f"{first.count_params()}",
        "shared": both,
    }


separate_model = Task(
    "3.6",
    "separate_model",
    """
`separate_model()` is `small_model` without the trap: two models that it makes share nothing.

* **in**: nothing.
* **out**: a Keras model from 2×2×3 to 4×4×4, made of one block as `upsample(4)` makes it.
* **example**: after `first, second = separate_model(), separate_model()`, training `first` leaves
  what `second` answers as it was.
""",
    cases=((),),
    right=lambda: Parts(
        input="[B, 2, 2, 3]",
        output="[B, 4, 4, 4]",
        parameters=f"{9 * 3 * 4 + 4 * 4}",
        shared="nothing",
    ),
    use=look_at_models,
    mistakes=(
        told(
            "A model has to come out: keras.Model(inputs, outputs), or a keras.Sequential.",
            out="no Keras model",
        ),
        told(
            "The model does not take an image of 2x2 pixels and 3 channels.",
            input="not [B, 2, 2, 3]",
        ),
        told(
            "Both calls give one and the same model. Make it inside the function.",
            shared="the model itself",
        ),
        told(
            "Two models still hold the same block. When is it made: once, or at every call?",
            shared="everything",
        ),
        told(
            "Two models still share some layers. Each layer with weights has to be their own.",
            shared="a part",
        ),
        told(
            "The output is as small as the input. The block doubles it.",
            output="[B, 2, 2, 4]",
        ),
        told(
            "The number of parameters is not that of one upsample(4) on 3 channels.",
            input="[B, 2, 2, 3]",
            output="[B, 4, 4, 4]",
        ),
        told("The output is not the one asked for: [B, 4, 4, 4].", input="[B, 2, 2, 3]"),
    ),
)

which_upsampling = Question(
    "3.7",
    "which_upsampling",
    """
An experiment, exercise 5. In `upsample`, replace the transposed convolution by
`layers.UpSampling2D()` followed by a `layers.Conv2D` of the same kernel, with `padding="same"` and
without a bias. Compare the two ways:

* the stamp experiment, on an input of 4×4 ones: is there a checkerboard, and where?
* the parameters, for 320 channels in and 512 out;
* the output's shape, and the seconds that 20 calls take, for an input `[4, 32, 32, 64]` and 64
  filters.

Say what differs, what does not, and why. Then say which one you would try first, and how you would
find out whether it makes better masks. Write it into `which_upsampling`, five sentences or more.
""",
    words=40,
)
