"""Values and calls as text that fits a screen, whatever a student's objects do."""

import inspect
from numbers import Real

import numpy as np

MOST = 200  # characters of a part of a value


def as_array(value):
    """A value as a NumPy array of real numbers, or None."""
    try:
        if has_text(value):  # NumPy would read the number in it
            return None
        if hasattr(value, "detach"):  # PyTorch
            value = value.detach().cpu()
        array = np.asarray(value)
        if array.dtype.kind not in "biuf" and not all(isinstance(n, Real) for n in array.flat):
            return None  # text, or complex numbers, which would lose a part; fractions are fine
        array.astype(float)
    except Exception:  # a student's own __array__; a number too large for a float
        return None
    return array


def has_text(value):
    """Whether a value is text or a list with text in it."""
    if isinstance(value, list | tuple):
        return any(map(has_text, value))
    return isinstance(value, str | bytes)


def call_text(name, function, case):
    """A call as text: "iou(mask=[[0, 1]], class_id=0)"."""
    names = list(inspect.signature(function).parameters)
    return (
        f"{name}({', '.join(f'{n}={short(value)}' for n, value in zip(names, case, strict=False))})"
    )


def short(value):
    """A value as text: at most ``MOST`` characters of a part, and 5 times that of all."""
    try:
        return cut(parts(value), 5 * MOST)
    except Exception:  # nested without end
        return f"something of type {type(value).__name__}"


def parts(value):
    """A value as text, each part of it cut."""
    if isinstance(value, tuple):
        return f"({', '.join(map(parts, value))})"
    if isinstance(value, dict):
        return ", ".join(f"{name} {parts(part)}" for name, part in value.items())
    array = as_array(value) if not isinstance(value, str | bytes) else None
    if array is None or array.dtype == object:
        return cut(text_of(value, repr), MOST)
    if array.size > 40:
        return f"{array.dtype} array of shape {array.shape}, from {array.min()} to {array.max()}"
    return str((np.round(array.astype(float), 4) if array.dtype.kind == "f" else array).tolist())


def text_of(value, how=str):
    """``str`` or ``repr`` of a value, whose own methods may raise."""
    try:
        return how(value)
    except Exception:
        return f"something of type {type(value).__name__}"


def cut(text, most):
    return text if len(text) <= most else f"{text[:most]}..."
