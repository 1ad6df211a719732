"""Values as JSON, for the pipe between grader and sandbox: nothing that comes in is executed."""

import base64
import io

import numpy as np

MOST = 64 * 1024 * 1024  # bytes of one message


def encode(value):
    """A value as what JSON can hold; what has no form of its own becomes {"other": its text}."""
    if value is None or isinstance(value, bool | str):
        return {"plain": value}
    if isinstance(value, float) and not isinstance(value, np.generic):
        return {"number": float.__repr__(value)}
    if isinstance(value, int) and value.bit_length() < 1300:  # ``number`` reads no longer ones
        return {"number": int.__repr__(value)}
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [encode(part) for part in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: encode(part) for key, part in value.items()}}
    if (found := as_array(value)) is not None:
        file = io.BytesIO()
        np.save(file, found, allow_pickle=False)
        return {"array": base64.b64encode(file.getvalue()).decode()}
    return {"other": text_of(value)}


def decode(encoded):
    """What ``encode`` was given. Raises ValueError for anything that it did not make."""
    if not isinstance(encoded, dict) or len(encoded) != 1:
        raise ValueError(f"not an encoded value: {str(encoded)[:80]}")
    ((kind, held),) = encoded.items()
    try:
        return DECODE[kind](held)
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
    """Something that has no form as data; its text is all that is known of it."""

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
        found = np.asarray(value)
    except Exception:  # whatever __array__ a student has written
        return None
    return None if found.dtype.hasobject or found.dtype.kind == "V" else found


def text_of(value, how=repr):
    """The beginning of a value's text, also of one that can't be shown.

    As in ``labkit.check.text``, which the worker leaves to the notebook to import.
    """
    try:
        return how(value)[:500]
    except Exception:  # whatever __repr__ a student has written
        return f"something of type {type(value).__name__}"
