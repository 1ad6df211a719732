"""Tables with one row per image, their bootstrap intervals, groups and associations."""

import numpy as np
import pandas as pd
import pytest

from labkit import data, metrics
from labkit.analysis import tables

GRAY, BLACK, WHITE, RED = [128] * 3, [0] * 3, [255] * 3, [255, 0, 0]
SPLIT = data.Split(  # three images of 2x2
    np.array(
        [
            [[BLACK, WHITE], [GRAY, GRAY]],
            [[RED, RED], [GRAY, RED]],
            [[GRAY, GRAY], [GRAY, GRAY]],
        ],
        np.uint8,
    ),
    np.array([[[0, 0], [1, 1]], [[0, 0], [1, 0]], [[1, 1], [2, 2]]], np.uint8)[..., np.newaxis],
    {
        "name": np.array(["one", "two", "three"]),
        "breed": np.array(["pug", "sphynx", "pug"]),
        "species": np.array(["dog", "cat", "dog"]),
    },
)
PRED_MASKS = np.array([[[0, 1], [1, 1]], [[0, 0], [1, 0]], [[1, 1], [1, 2]]], np.uint8)[
    ..., np.newaxis
]


# --- the table -----------------------------------------------------------------------------------


def test_per_image_has_row_per_image_in_split_order():
    rows = tables.per_image(SPLIT, PRED_MASKS)
    assert list(rows.columns) == [
        *("name", "breed", "species", "accuracy", "pet IoU", "background IoU", "border IoU"),
        *("shades", "shade contrast", "background contrast", "pet share", "outline"),
        *("brightness", "sharpness", "cut off"),
    ]
    assert list(rows["name"]) == ["one", "two", "three"]
    assert list(rows["breed"]) == ["pug", "sphynx", "pug"]
    assert list(rows["species"]) == ["dog", "cat", "dog"]


def test_per_image_scores():
    rows = tables.per_image(SPLIT, PRED_MASKS)
    np.testing.assert_allclose(rows["accuracy"], [3 / 4, 1, 3 / 4])
    np.testing.assert_allclose(rows["pet IoU"], [1 / 2, 1, 1])  # the third image has no pet, so 1
    np.testing.assert_allclose(rows["background IoU"], [2 / 3, 1, 2 / 3])
    np.testing.assert_allclose(rows["border IoU"], [1, 1, 1 / 2])
    np.testing.assert_allclose(rows["pet share"], [1 / 2, 3 / 4, 0])
    by_image = metrics.iou(SPLIT.masks, PRED_MASKS, "image")
    np.testing.assert_allclose(rows[["pet IoU", "background IoU", "border IoU"]].mean(), by_image)


def test_per_image_attributes_use_true_mask():
    rows = tables.per_image(SPLIT, PRED_MASKS)
    assert rows["shades"][0] == 2 and rows["shade contrast"][0] == pytest.approx(100)
    assert rows["shades"][1] == 1 and rows["shade contrast"][1] == pytest.approx(0)
    assert np.isnan(rows["shades"][2])  # no pet


def test_per_image_mismatched_masks_raise():
    with pytest.raises(ValueError, match="use equal shapes"):
        tables.per_image(SPLIT, PRED_MASKS[:2])


# --- intervals -----------------------------------------------------------------------------------


def test_interval_contains_mean():
    values = np.random.default_rng(0).uniform(0, 1, 50)
    mean, low, high = tables.interval(values)
    assert mean == pytest.approx(values.mean())
    assert low < mean < high
    assert all(type(number) is float for number in (mean, low, high))


def test_interval_matches_normal_approximation():
    values = np.random.default_rng(0).normal(3, 2, 400)
    mean, low, high = tables.interval(values, draws=4000)
    error = 1.96 * values.std() / np.sqrt(len(values))
    assert high - mean == pytest.approx(error, rel=0.1)
    assert mean - low == pytest.approx(error, rel=0.1)


def test_interval_width_scales_with_sample_size():
    values = np.random.default_rng(0).uniform(0, 1, 100)
    widths = []
    for repeats in (1, 4):
        _, low, high = tables.interval(np.tile(values, repeats), draws=4000)
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.1)


def test_interval_coverage_is_about_95_percent():
    covered = 0
    for seed in range(200):
        values = np.random.default_rng(seed).uniform(0, 1, 60)
        _, low, high = tables.interval(values, seed, draws=300)
        covered += low <= 0.5 <= high
    assert 0.90 <= covered / 200 <= 0.99


def test_interval_depends_on_seed():
    values = np.random.default_rng(0).uniform(0, 1, 20)
    assert tables.interval(values, seed=1) == tables.interval(values, seed=1)
    assert tables.interval(values, seed=1) != tables.interval(values, seed=2)


def test_interval_of_equal_values_has_zero_width():
    assert tables.interval([0.5] * 9) == (0.5, 0.5, 0.5)


def test_interval_ignores_nan():
    assert tables.interval([1.0, np.nan, 3.0]) == tables.interval([1.0, 3.0])


@pytest.mark.parametrize("values", [[], [np.nan, np.nan]])
def test_interval_without_values_raises(values):
    with pytest.raises(ValueError, match="every value is NaN or there are none"):
        tables.interval(values)


# --- groups --------------------------------------------------------------------------------------


def test_by_group_sorts_worst_first():
    rows = pd.DataFrame(
        {
            "breed": ["b", "a", "b", "c", "a", "b"],
            "pet IoU": [0.1, 0.8, 0.3, 0.5, 0.6, 0.2],
            "accuracy": [0.9, 0.1, 0.9, 0.5, 0.1, 0.9],
        }
    )
    summary = tables.by_group(rows, "breed")
    assert list(summary.columns) == ["images", "mean", "low", "high"]
    assert list(summary.index) == ["b", "c", "a"]
    assert list(summary["images"]) == [3, 1, 2]
    np.testing.assert_allclose(summary["mean"], [0.2, 0.5, 0.7])
    assert tuple(summary.loc["b"][1:]) == tables.interval([0.1, 0.3, 0.2])
    assert (summary["low"] <= summary["mean"]).all() and (summary["mean"] <= summary["high"]).all()
    assert list(tables.by_group(rows, "breed", "accuracy").index) == ["a", "c", "b"]


def test_by_group_of_per_image_table():
    summary = tables.by_group(tables.per_image(SPLIT, PRED_MASKS), "species", "background IoU")
    assert list(summary.index) == ["dog", "cat"]
    np.testing.assert_allclose(summary["mean"], [2 / 3, 1])


# --- associations --------------------------------------------------------------------------------


def random_rows(count=400, seed=0):
    """Size determines the score; shades only correlate with size; noise has no effect."""
    rng = np.random.default_rng(seed)
    size, noise = rng.normal(size=(2, count))
    shades = size + rng.normal(size=count)
    score = size + 0.3 * rng.normal(size=count)
    columns = {"size": size, "shades": shades, "noise": noise, "pet IoU": np.exp(score)}
    return pd.DataFrame(columns)


def test_associations_remove_confounding():
    table = tables.associations(random_rows(), ["shades", "noise", "size"], draws=300)
    assert table.index[0] == "size"
    shades = table.loc["shades"]
    assert shades["low"] > 0.3
    assert shades["held low"] < 0 < shades["held high"]
    assert table.loc["noise", "low"] < 0 < table.loc["noise", "high"]
    assert table.loc["size", "held low"] > 0.8


def test_associations_alone_is_spearman_correlation():
    rows = random_rows(60)
    table = tables.associations(rows, ["size", "noise"], draws=20)
    expected = rows.corr("spearman")["pet IoU"]
    assert table["alone"].to_dict() == pytest.approx(expected[["size", "noise"]].to_dict())


def test_associations_with_more_attributes_widen_intervals():
    rows = random_rows()
    single = tables.associations(rows, ["size"], draws=400).loc["size"]
    multiple = tables.associations(rows, ["size", "noise", "shades"], draws=400).loc["size"]
    assert multiple["high"] - multiple["low"] > single["high"] - single["low"]


def test_associations_with_constant_and_missing_values():
    rows = random_rows(50).assign(same=1.0)
    rows.loc[3, "size"] = np.nan
    table = tables.associations(rows, ["same", "size"], draws=50)
    assert table.loc["same"].eq(0).all()
    assert table.loc["size", "alone"] > 0.8


def test_associations_with_too_few_rows_raise():
    with pytest.raises(ValueError, match="2 rows without a NaN"):
        tables.associations(random_rows(2), ["size"])


def test_by_quantile_splits_evenly_in_order():
    rows = random_rows(100)
    table = tables.by_quantile(rows, "size")
    assert table["images"].tolist() == [20] * 5
    assert table["mean"].is_monotonic_increasing
