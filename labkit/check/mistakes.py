"""Kinds of known mistakes, each with its hint, and the mistakes that several tasks share."""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Edit:
    """A mistake as a small edit of the reference's source: ``old`` is replaced by ``new``."""

    old: str
    new: str
    hint: str


def edits(text):
    """``Edit`` objects from lines ``old => new``, each followed by its hint in indented lines."""
    blocks = []
    for line in textwrap.dedent(text).strip().splitlines():
        if line.startswith(" "):
            blocks[-1].append(line.strip())
        elif "=>" in line:
            blocks.append([line])
        else:
            raise ValueError(f"{line!r} has no '=>': write 'old => new', and indent the hint")
    changes = ((*head.split("=>"), " ".join(hint)) for head, *hint in blocks)
    return tuple(Edit(old.strip(), new.strip(), hint) for old, new, hint in changes)


@dataclass(frozen=True)
class Wrap:
    """A mistake around the reference: ``wrap(reference)`` is the mistaken function."""

    wrap: Callable
    hint: str


class Symptom:
    """A mistake recognized by some parts of the dict that the adapter returns.

    For tasks whose adapter measures a Keras layer or model, where a mutant for each mistake would
    take too long. A part is a value, or a function of the case's arguments.
    """

    def __init__(self, hint, **parts):
        self.hint = hint
        self.parts = {name.replace("_", " "): part for name, part in parts.items()}

    def seen(self, *case):
        return {name: part(*case) if callable(part) else part for name, part in self.parts.items()}


def result(change, hint):
    """The reference's result, changed."""
    return Wrap(lambda function: lambda *case: change(function(*case)), hint)


def arguments(change, hint):
    """The reference, called with other arguments: ``change(*case)`` gives them as a tuple."""
    return Wrap(lambda function: lambda *case: function(*change(*case)), hint)


def instead(function, hint):
    """Another function in the place of the reference."""
    return Wrap(lambda _: function, hint)


PERCENT = result(lambda score: 100 * score, "This is a percentage. A score lies between 0 and 1.")
FLOOR_DIVISION = result(
    lambda score: score // 1, "// drops the remainder. A ratio needs / for division."
)
ONE_MINUS = result(
    lambda score: 1 - score, "This is 1 - score, a loss: the best prediction gives 0."
)
NEGATED = result(lambda value: -value, "The sign is reversed.")
TOO_LARGE_BY_ONE = result(lambda value: value + 1, "The result is too large by 1. Count from 0.")
SWAPPED_PAIR = result(lambda pair: tuple(pair)[::-1], "The two values are in the wrong order.")
SWAPPED_MASKS = arguments(
    lambda mask, pred_mask, *rest: (pred_mask, mask, *rest),
    "The true mask and the predicted mask are swapped.",
)
PIXEL_ACCURACY = instead(
    lambda mask, pred_mask, *_: np.mean(np.asarray(mask) == pred_mask),
    "This is pixel accuracy: the share of equal pixels.",
)


def fixed_class(class_id, name):
    """The score of one class, whichever is asked for."""
    return arguments(
        lambda mask, pred_mask, _, *rest: (mask, pred_mask, class_id, *rest),
        f"Whatever class_id is, this is the score of class {class_id}, {name}. Compare the masks "
        "with class_id.",
    )


def mean_of_images(function):
    """A function of two masks as a mean over the images of a batch."""

    def mean(mask, pred_mask, *rest):
        if np.ndim(mask) == 2:
            return function(mask, pred_mask, *rest)
        return np.mean([function(*pair, *rest) for pair in zip(mask, pred_mask, strict=True)])

    return mean


PER_IMAGE = Wrap(
    mean_of_images, "For a batch, this is a mean over images. Pool: count the pixels of all images."
)
