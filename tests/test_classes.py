"""Class numbers, names and colors."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from labkit import classes


def test_numbers_match_names():
    assert (classes.PET, classes.BACKGROUND, classes.BORDER) == (0, 1, 2)
    assert classes.NAMES == ("pet", "background", "border")
    assert [classes.PETS.number(name) for name in classes.NAMES] == [0, 1, 2]
    assert classes.NUM_CLASSES == len(classes.COLORS) == 3


@pytest.mark.parametrize("given", [0, 1, 2, np.int64(2), np.uint8(1)])
def test_number_returns_class_number_as_int(given):
    assert classes.PETS.number(given) == given and type(classes.PETS.number(given)) is int


@pytest.mark.parametrize("given", ["cat", "Pet", "", 3, -1, 1.0, None])
def test_unknown_class_raises(given):
    with pytest.raises(ValueError, match=f"{given!r}: use one of pet, background"):
        classes.PETS.number(given)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
def test_color_mask_maps_classes_to_colors(shape, dtype):
    picture = classes.PETS.color_mask(np.array([[0, 1, 2], [2, 1, 0]], dtype).reshape(shape))
    colors = [[0xE6, 0x9F, 0x00], [0x25, 0x3F, 0x73], [0xFF, 0xF1, 0xCC]]  # orange, blue, cream
    assert picture.dtype == np.uint8
    assert picture.tolist() == [colors, colors[::-1]]


@pytest.mark.parametrize(
    ("mask", "match"),
    [
        *(([[0, value]], rf"holds \[{value}\].*whole number") for value in (3, -1, 1.5)),
        ([[1, 2], [3, 1]], r"holds \[3\].*subtract 1"),
        ([[0, 255]], r"holds \[255\].*divide"),
        ([[0, 1, 255]], r"holds \[255\].*ignore=True"),
        *((np.zeros(shape), r"got \(") for shape in ((4,), (2, 2, 3), (1, 2, 2, 1), ())),
    ],
)
def test_color_mask_rejects_invalid_mask(mask, match):
    with pytest.raises(ValueError, match=match):
        classes.PETS.color_mask(mask)


def test_color_lightness_matches_documentation():
    rgb = np.array([to_rgb(color) for color in classes.COLORS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lightness = 116 * np.cbrt(linear @ (0.2126, 0.7152, 0.0722)) - 16  # of CIELAB, 0-100
    np.testing.assert_allclose(lightness, (70, 25, 95), atol=3)
