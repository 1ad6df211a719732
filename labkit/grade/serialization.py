"""Values as JSON for the pipe between grader and container; decoding never executes code."""

import base64
import io
from fractions import Fraction

import numpy as np

MOST = 2 * 1024 * 1024  # bytes of one message; the largest right one has 9 kB


def encode(value):
    """Encode a value for JSON; a value of an unsupported type becomes {"other": its text}."""
    if value is None or isinstance(value, bool | str):
        return {"plain": value}
    if isinstance(value, float) and not isinstance(value, np.generic):
        return {"number": float.__repr__(value)}
    if isinstance(value, int) and value.bit_length() < 1300:  # ``number`` refuses longer ones
        return {"number": int.__repr__(value)}
    if isinstance(value, Fraction):
        return {"number": float.__repr__(float(value))}
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [encode(part) for part in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: encode(part) for key, part in value.items()}}
    if (array := as_array(value)) is not None:
        file = io.BytesIO()
        np.save(file, array, allow_pickle=False)
        return {"array": base64.b64encode(file.getvalue()).decode()}
    return {"other": text_of(value)}


def decode(encoded):
    """Decode a value from ``encode``. Raises ValueError for any other input."""
    if not isinstance(encoded, dict) or len(encoded) != 1:
        raise ValueError(f"not an encoded value: {str(encoded)[:80]}")
    ((kind, content),) = encoded.items()
    try:
        return DECODE[kind](content)
    except (KeyError, TypeError, AttributeError, EOFError, RecursionError) as error:
        raise ValueError(f"not an encoded value: {str(encoded)[:80]}") from error


def number(text):
    """An int or a float from its repr."""
    if not isinstance(text, str) or len(text) > 400:
        raise ValueError("not a number")
    try:
        return int(text)
    except ValueError:
        return float(text)


def from_bytes(text):
    return np.load(io.BytesIO(base64.b64decode(text, validate=True)), allow_pickle=False)


def plain(value):
    if value is None or isinstance(value, bool | str):
        return value
    raise ValueError("not a plain value")


class Other:
    """A value of an unsupported type, of which only the text is known."""

    def __init__(self, text):
        self.text = str(text)[:500]

    def __repr__(self):
        return self.text


DECODE = {
    "plain": plain,
    "number": number,
    "tuple": lambda parts: tuple(map(decode, parts)),
    "list": lambda parts: list(map(decode, parts)),
    "dict": lambda parts: {str(key): decode(part) for key, part in parts.items()},
    "array": from_bytes,
    "other": Other,
}


def as_array(value):
    """A NumPy array of numbers or strings, from an array or a tensor of any library, or None."""
    try:
        if hasattr(value, "detach"):  # PyTorch
            value = value.detach().cpu()
        array = np.asarray(value)
    except Exception:  # a student's __array__ may raise anything
        return None
    return None if array.dtype.hasobject or array.dtype.kind == "V" else array


def text_of(value, how=repr):
    """The beginning of a value's text, or its type if ``how`` raises.

    As in ``labkit.check.text``, which the worker leaves for the notebook to import.
    """
    try:
        return how(value)[:500]
    except Exception:  # a student's __repr__ may raise anything
        return f"something of type {type(value).__name__}"
