"""The state of callbacks: what is saved is loaded unchanged, and what can't be is left out."""

import tempfile
from pathlib import Path

import keras
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from labkit.runs import state

numbers = arrays.arrays(
    st.sampled_from([np.float32, np.int64, bool]), arrays.array_shapes(max_side=3)
)
values = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | numbers,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=6,
)


class Keeper(keras.callbacks.Callback):
    """A callback with a setting and state."""

    def __init__(self, setting=1):
        super().__init__()
        self.setting = setting


@given(st.lists(values, max_size=3))
def test_saved_state_is_loaded_unchanged(kept):
    before, after = Keeper(setting=1), Keeper(setting=2)
    for number, value in enumerate(kept):
        setattr(before, f"value_{number}", value)
    before.file, before.mixed = open, [1, open]  # neither can be saved
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "state.npz"
        state.save([before], file)
        state.load([after], file)
    loaded = [getattr(after, f"value_{number}") for number in range(len(kept))]
    np.testing.assert_equal(loaded, kept)
    assert list(map(type, loaded)) == list(map(type, kept))
    assert after.setting == 2 and not hasattr(after, "file") and not hasattr(after, "mixed")
