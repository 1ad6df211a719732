"""Attributes of pictures so simple that each can be worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from labkit import classes, data, synthetic
from labkit.analysis import attributes

properties = settings(deadline=None, max_examples=30)
PET, BACKGROUND, BORDER = classes.PET, classes.BACKGROUND, classes.BORDER


@pytest.mark.parametrize(
    ("rgb", "expected"),  # CIELAB under D50, as ICC profiles have it
    [
        ([0, 0, 0], [0, 0, 0]),
        ([255, 255, 255], [100, 0, 0]),
        ([255, 0, 0], [54.3, 80.8, 69.9]),
        ([0, 0, 255], [29.6, 68.3, -112.0]),
        ([119, 119, 119], [50, 0, 0]),
    ],
)
def test_colours_in_cielab(rgb, expected):
    found = attributes.lab(np.full((2, 3, 3), rgb, np.uint8))
    assert found.shape == (2, 3, 3) and found.dtype == np.float32
    np.testing.assert_allclose(found[1, 2], expected, atol=0.7)


@properties
@given(st.integers(1, 6), st.integers(0, 1000))
def test_far_colours_are_counted(count, seed):
    rng = np.random.default_rng(seed)
    centres = np.array([[60.0 * number, 0, 0] for number in range(count)])
    pixels = np.repeat(centres, 20, axis=0) + rng.uniform(-2, 2, (20 * count, 3))
    assert attributes.shades(rng.permutation(pixels)) == count


def test_close_colours_are_one_shade_and_there_are_six_at_most():
    assert attributes.shades(np.array([[50.0, 0, 0], [60, 0, 0]])) == 1
    assert attributes.shades(np.arange(60).reshape(20, 3) * 50.0) == 6


def test_spread_is_the_mean_over_pairs():
    assert attributes.spread(np.array([[0.0, 0, 0], [0, 3, 4], [0, 3, 4]])) == pytest.approx(10 / 3)
    assert np.isnan(attributes.spread(np.zeros((1, 3))))
    assert np.isnan(attributes.shades(np.zeros((0, 3))))


def stripe(pet, background, width=12):
    """Pet on the left, one column of border, background on the right; lightness alone."""
    mask = np.full((8, width), BACKGROUND)
    mask[:, :4], mask[:, 4] = PET, BORDER
    colours = np.zeros((8, width, 3), np.float32)
    colours[..., 0] = np.where(mask == PET, pet, background)
    return colours, mask


def test_contrast_across_the_border():
    assert attributes.border_contrast(*stripe(80, 30)) == pytest.approx(50)
    assert attributes.border_contrast(*stripe(40, 40)) == pytest.approx(0)


def test_contrast_across_looks_near_the_border_alone():
    colours, mask = stripe(80, 30, width=20)
    colours[:, 12:, 0] = 99  # nine columns from the border on, out of reach
    assert attributes.border_contrast(colours, mask) == pytest.approx(50)


@pytest.mark.parametrize("missing", [PET, BORDER, BACKGROUND])
def test_without_a_place_to_meet_there_is_no_contrast(missing):
    colours, mask = stripe(80, 30)
    there = next(k for k in (PET, BACKGROUND, BORDER) if k != missing)
    assert np.isnan(attributes.border_contrast(colours, np.where(mask == missing, there, mask)))


def test_a_disc_has_a_short_outline_and_a_comb_a_long_one():
    down, right = np.indices((101, 101)) - 50
    disc = down**2 + right**2 <= 40**2
    # A circle of radius r has about 4 sqrt(2) r edge pixels: 5.66 r / (sqrt(pi) r) = 3.2.
    assert 2.9 < attributes.outline(disc) < 3.6
    comb = disc & (right % 4 < 2)
    assert attributes.outline(comb) > 3 * attributes.outline(disc)
    assert np.isnan(attributes.outline(np.zeros((4, 4), bool)))


def test_the_frame_of_the_picture_is_no_outline():
    assert attributes.outline(np.ones((6, 6), bool)) == 0
    half = np.zeros((6, 6), bool)
    half[:, :3] = True
    assert attributes.outline(half) == pytest.approx(6 / np.sqrt(18))


def test_a_blurred_picture_is_less_sharp():
    sharp = np.random.default_rng(0).uniform(0, 100, (32, 32))
    blurred = ndimage.uniform_filter(sharp, 3)
    assert attributes.sharpness(sharp) > attributes.sharpness(blurred) + 1
    assert np.isfinite(attributes.sharpness(np.zeros((8, 8))))


def test_a_pet_over_the_whole_picture_is_cut_off_everywhere():
    image = np.full((8, 8, 3), 128, np.uint8)
    found = attributes.describe(image, np.zeros((8, 8, 1), np.uint8))
    assert (found["cut off"], found["pet share"], found["shades"]) == (1, 1, 1)
    assert found["brightness"] == pytest.approx(53.6, abs=0.7)
    assert np.isnan(found["background contrast"])


def test_an_empty_mask_leaves_what_is_of_the_picture():
    found = attributes.describe(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    missing = {name for name, value in found.items() if np.isnan(value)}
    assert missing == {"shades", "shade contrast", "background contrast", "outline"}


def test_drawn_shades_are_found_in_the_drawings():
    """The measure follows what was drawn: one shade is told from two, and contrast from none."""

    def measured(name, **options):
        drawn = [synthetic.example(k, size=(96, 96), **options) for k in range(8)]
        pairs = [data.prepare(one["image"], one["segmentation_mask"], 96) for one in drawn]
        return np.mean([attributes.describe(*pair)[name] for pair in pairs])

    assert measured("shades", shades=1) < 1.5 < measured("shades", shades=2, contrast=1)
    flat, strong = (measured("shade contrast", shades=3, contrast=c) for c in (0.1, 1))
    assert flat + 10 < strong


def test_the_table_has_a_row_for_each_image(make_split):
    split = make_split(5, 32)
    found = attributes.table(split)
    assert len(found) == 5
    expected = attributes.describe(split.images[3], split.masks[3])
    assert found.loc[3].to_dict() == pytest.approx(expected, nan_ok=True)
