"""The state of callbacks, such as the patience that is left: saved and loaded.

State is what a callback has set itself, apart from the arguments of its constructor: numbers,
texts, arrays, and lists and dicts of them. Anything else, such as an open file, is left out.
"""

import inspect
import json

import numpy as np


def save(callbacks, file):
    """Write the state of callbacks to an ``.npz`` file."""
    arrays = {}
    states = [_pack(_state(callback), arrays) for callback in callbacks]
    np.savez(file, states=json.dumps(states), **arrays)


def load(callbacks, file):
    """Set the state of callbacks from a file."""
    with np.load(file, allow_pickle=False) as arrays:
        states = json.loads(str(arrays["states"]))
        for callback, packed in zip(callbacks, states, strict=True):
            vars(callback).update(_unpack(packed, arrays))


def _state(callback):
    skipped = {"_model", "params", *inspect.signature(type(callback).__init__).parameters}
    return {
        key: value
        for key, value in vars(callback).items()
        if key not in skipped and value is not None and _is_state(value)
    }


def _is_state(value):
    if isinstance(value, (list, tuple)):
        return all(map(_is_state, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_state(item) for key, item in value.items())
    if isinstance(value, np.ndarray):
        return value.dtype != object
    return value is None or isinstance(value, (bool, int, float, str, np.generic))


def _pack(value, arrays):
    """A value for JSON; its arrays go into ``arrays``."""
    if isinstance(value, np.ndarray):
        arrays[f"array{len(arrays)}"] = value
        return {"array": f"array{len(arrays) - 1}"}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [_pack(item, arrays) for item in value]}
    if isinstance(value, dict):
        return {"dict": {key: _pack(item, arrays) for key, item in value.items()}}
    return value


def _unpack(packed, arrays):
    if not isinstance(packed, dict):
        return packed
    ((kind, content),) = packed.items()
    if kind == "array":
        return arrays[content]
    if kind == "dict":
        return {key: _unpack(item, arrays) for key, item in content.items()}
    items = [_unpack(item, arrays) for item in content]
    return tuple(items) if kind == "tuple" else items
