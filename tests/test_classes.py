"""Class numbers, names and colors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from labkit import classes


def test_numbers_match_names():
    assert (classes.PET, classes.BACKGROUND, classes.BORDER) == (0, 1, 2)
    assert classes.NAMES == ("pet", "background", "border")
    assert [classes.number(name) for name in classes.NAMES] == [0, 1, 2]
    assert classes.NUM_CLASSES == len(classes.COLORS) == 3


@pytest.mark.parametrize("given", [0, 1, 2, np.int64(2), np.uint8(1)])
def test_number_returns_class_number_as_int(given):
    assert classes.number(given) == given and type(classes.number(given)) is int


@pytest.mark.parametrize("given", ["cat", "Pet", "", 3, -1, 1.0, None])
def test_unknown_class_raises(given):
    with pytest.raises(ValueError, match=f"unknown class {given!r}: use one of pet, background"):
        classes.number(given)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
def test_color_mask_maps_classes_to_colors(shape, dtype):
    mask = np.array([[0, 1, 2], [2, 1, 0]], dtype).reshape(shape)
    picture = classes.color_mask(mask)
    orange, blue, cream = (0xE6, 0x9F, 0x00), (0x25, 0x3F, 0x73), (0xFF, 0xF1, 0xCC)
    assert picture.dtype == np.uint8
    assert picture.tolist() == [
        list(map(list, row)) for row in ((orange, blue, cream), (cream, blue, orange))
    ]


@given(arrays.arrays(np.uint8, (4, 5), elements=st.integers(0, 2)))
def test_color_mask_is_invertible(mask):
    palette = classes.color_mask(np.array([[0, 1, 2]]))[0]
    back = (classes.color_mask(mask)[:, :, None] == palette).all(-1).argmax(-1)
    np.testing.assert_array_equal(back, mask)


@pytest.mark.parametrize("value", [3, 255, -1, 1.5])
def test_color_mask_rejects_unknown_values(value):
    with pytest.raises(ValueError, match=rf"holds \[{value}\].*subtract 1"):
        classes.color_mask(np.array([[0, value]]))


@pytest.mark.parametrize("shape", [(4,), (2, 2, 3), (1, 2, 2, 1), ()])
def test_color_mask_rejects_wrong_shapes(shape):
    with pytest.raises(ValueError, match=r"\[H, W\] or \[H, W, 1\], got \("):
        classes.color_mask(np.zeros(shape, int))


def lightness(color):
    """CIELAB lightness of an sRGB color, 0-100."""
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return 116 * np.cbrt(linear @ (0.2126, 0.7152, 0.0722)) - 16


def test_color_lightness_matches_documentation():
    values = [lightness(color) for color in classes.COLORS]
    np.testing.assert_allclose(values, (70, 25, 95), atol=3)
