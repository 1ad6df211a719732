"""Attributes of simple images, against values computed by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from labkit import classes
from labkit.analysis import attributes

PET, BACKGROUND, BORDER = classes.PET, classes.BACKGROUND, classes.BORDER


@pytest.mark.parametrize(
    ("rgb", "expected"),  # CIELAB with a D50 white point, as in ICC profiles
    [
        ([0, 0, 0], [0, 0, 0]),
        ([255, 255, 255], [100, 0, 0]),
        ([255, 0, 0], [54.3, 80.8, 69.9]),
        ([0, 0, 255], [29.6, 68.3, -112.0]),
        ([119, 119, 119], [50, 0, 0]),
    ],
)
def test_lab_known_colors(rgb, expected):
    lab = attributes.lab(np.full((2, 3, 3), rgb, np.uint8))
    assert lab.shape == (2, 3, 3) and lab.dtype == np.float32
    np.testing.assert_allclose(lab[1, 2], expected, atol=0.7)


@given(st.integers(1, 6), st.integers(0, 1000))
def test_shades_counts_distant_colors(count, seed):
    rng = np.random.default_rng(seed)
    centers = np.arange(count)[:, None] * [60.0, 0, 0]
    pixels = np.repeat(centers, 20, axis=0) + rng.uniform(-2, 2, (20 * count, 3))
    assert attributes.shades(rng.permutation(pixels)) == count


def test_shades_merges_close_colors_and_is_at_most_6():
    for difference, count in ((19, 1), (21, 2)):  # each pixel is half as far from the mean
        assert attributes.shades(np.array([[50.0, 0, 0], [50 + difference, 0, 0]])) == count
    assert attributes.shades(np.arange(60).reshape(20, 3) * 50.0) == 6
    assert np.isnan(attributes.shades(np.zeros((0, 3))))


def test_spread_is_mean_pairwise_distance():
    assert attributes.spread(np.array([[0.0, 0, 0], [0, 3, 4], [0, 3, 4]])) == pytest.approx(10 / 3)
    assert np.isnan(attributes.spread(np.zeros((1, 3))))


def test_border_contrast_compares_both_sides_near_border():
    mask = np.full((8, 20), BACKGROUND)
    mask[:, :4], mask[:, 4] = PET, BORDER
    colors = np.zeros((8, 20, 3), np.float32)  # differ only in lightness
    colors[..., 0] = np.where(mask == PET, 80, 30)
    colors[:, 12:, 0] = 99  # beyond the 9x9 window around the border
    assert attributes.border_contrast(colors, mask) == pytest.approx(50)
    assert attributes.border_contrast(0 * colors, mask) == pytest.approx(0)
    for missing, other in ((PET, BACKGROUND), (BORDER, PET), (BACKGROUND, PET)):
        changed = np.where(mask == missing, other, mask)
        assert np.isnan(attributes.border_contrast(colors, changed)), missing


def test_outline_is_short_for_disc_and_long_for_comb():
    down, right = np.indices((101, 101)) - 50
    disc = down**2 + right**2 <= 40**2
    # A circle of radius r has about 4 sqrt(2) r edge pixels: 5.66 r / (sqrt(pi) r) = 3.2.
    assert 2.9 < attributes.outline(disc) < 3.6
    assert attributes.outline(disc & (right % 4 < 2)) > 3 * attributes.outline(disc)
    assert np.isnan(attributes.outline(np.zeros((4, 4), bool)))
    half = np.indices((6, 6))[1] < 3  # the image's edges do not count
    assert attributes.outline(half) == pytest.approx(6 / np.sqrt(18))


def test_blur_reduces_sharpness():
    sharp = np.random.default_rng(0).uniform(0, 100, (32, 32))
    blurred = ndimage.uniform_filter(sharp, 3)
    assert attributes.sharpness(sharp) > attributes.sharpness(blurred) + 1
    assert np.isfinite(attributes.sharpness(np.zeros((8, 8))))


def test_describe_pet_filling_image_and_empty_mask():
    image = np.full((8, 8, 3), 128, np.uint8)
    values = attributes.describe(image, np.zeros((8, 8, 1), np.uint8))
    assert (values["cut off"], values["pet share"], values["shades"]) == (1, 1, 1)
    assert values["brightness"] == pytest.approx(53.6, abs=0.7)
    assert np.isnan(values["background contrast"])
    values = attributes.describe(image, np.ones((8, 8, 1), np.uint8))
    missing = {name for name, value in values.items() if np.isnan(value)}
    assert missing == {"shades", "shade contrast", "background contrast", "outline"}


def test_table_has_row_per_image(make_split):
    split = make_split(5, 32)
    rows = attributes.table(split)
    assert len(rows) == 5
    expected = attributes.describe(split.images[3], split.masks[3])
    assert rows.loc[3].to_dict() == pytest.approx(expected, nan_ok=True)
