"""Tables with one row per image, their bootstrap intervals, groups and associations."""

import numpy as np
import pandas as pd
import pytest

from labkit import data, metrics
from labkit.analysis import tables

GRAY, BLACK, WHITE, RED = [128] * 3, [0] * 3, [255] * 3, [255, 0, 0]
SPLIT = data.Split(  # three images of 2x2
    np.array([[[BLACK, WHITE], [GRAY] * 2], [[RED] * 2, [GRAY, RED]], [[GRAY] * 2] * 2], np.uint8),
    np.array([[[0, 0], [1, 1]], [[0, 0], [1, 0]], [[1, 1], [2, 2]]], np.uint8)[..., None],
    {
        "name": np.array(["one", "two", "three"]),
        "breed": np.array(["pug", "sphynx", "pug"]),
        "species": np.array(["dog", "cat", "dog"]),
    },
)
PRED_MASKS = np.array([[[0, 1], [1, 1]], [[0, 0], [1, 0]], [[1, 1], [1, 2]]], np.uint8)[..., None]


# --- the table -----------------------------------------------------------------------------------


def test_per_image_has_names_scores_and_attributes():
    rows = tables.per_image(SPLIT, PRED_MASKS)
    assert list(rows.columns) == [
        *("name", "breed", "species", "accuracy", "pet IoU", "background IoU", "border IoU"),
        *("shades", "shade contrast", "background contrast", "pet share", "outline"),
        *("brightness", "sharpness", "cut off"),
    ]
    for key, column in SPLIT.table.items():
        assert list(rows[key]) == list(column)
    np.testing.assert_allclose(rows["accuracy"], [3 / 4, 1, 3 / 4])
    np.testing.assert_allclose(rows["pet IoU"], [1 / 2, 1, np.nan])  # the third has no pet
    np.testing.assert_allclose(rows["background IoU"], [2 / 3, 1, 2 / 3])
    np.testing.assert_allclose(rows["border IoU"], [np.nan, np.nan, 1 / 2])
    by_image = metrics.iou(SPLIT.masks, PRED_MASKS, "image", empty=np.nan)
    np.testing.assert_allclose(rows[["pet IoU", "background IoU", "border IoU"]].mean(), by_image)
    # The attributes are those of the true masks.
    np.testing.assert_allclose(rows["pet share"], [1 / 2, 3 / 4, 0])
    np.testing.assert_allclose(rows["shades"], [2, 1, np.nan])
    np.testing.assert_allclose(rows["shade contrast"], [100, 0, np.nan], atol=1e-3)


def test_per_image_mismatched_masks_raise():
    with pytest.raises(ValueError, match=r"\(3, 2, 2\).*\(2, 2, 2\)"):
        tables.per_image(SPLIT, PRED_MASKS[:2])


# --- intervals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [50, 400])
def test_interval_matches_normal_approximation(count):
    values = np.random.default_rng(0).normal(3, 2, count)
    mean, low, high = interval = tables.interval(values, draws=4000)
    assert all(type(number) is float for number in interval)
    assert mean == pytest.approx(values.mean())
    error = 1.96 * values.std() / np.sqrt(count)
    assert (mean - low, high - mean) == pytest.approx((error, error), rel=0.1)


def test_interval_depends_on_seed():
    values = np.random.default_rng(0).uniform(0, 1, 20)
    assert tables.interval(values, seed=1) == tables.interval(values, seed=1)
    assert tables.interval(values, seed=1) != tables.interval(values, seed=2)


def test_interval_of_equal_and_missing_values():
    assert tables.interval([0.5] * 9) == (0.5, 0.5, 0.5)
    assert tables.interval([1.0, np.nan, 3.0]) == tables.interval([1.0, 3.0])
    for values in ([], [np.nan, np.nan]):
        with pytest.raises(ValueError, match="NaN"):
            tables.interval(values)


# --- groups --------------------------------------------------------------------------------------


def test_by_group_sorts_worst_first():
    scores, opposite = [0.1, 0.8, 0.3, 0.5, 0.6, 0.2], [0.9, 0.1, 0.9, 0.5, 0.1, 0.9]
    rows = pd.DataFrame({"breed": list("babcab"), "pet IoU": scores, "accuracy": opposite})
    summary = tables.by_group(rows, "breed")
    assert list(summary.columns) == ["images", "mean", "low", "high"]
    assert list(summary.index) == ["b", "c", "a"]
    assert list(summary["images"]) == [3, 1, 2]
    for breed, values in (("b", [0.1, 0.3, 0.2]), ("c", [0.5]), ("a", [0.8, 0.6])):
        assert tuple(summary.loc[breed][1:]) == tables.interval(values)
    assert list(tables.by_group(rows, "breed", "accuracy").index) == ["a", "c", "b"]


def test_by_group_leaves_out_images_without_a_score():
    rows = pd.DataFrame({"breed": list("aab"), "pet IoU": [0.5, np.nan, np.nan]})
    assert tables.by_group(rows, "breed").to_dict("index") == {
        "a": {"images": 1, "mean": 0.5, "low": 0.5, "high": 0.5}
    }


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
    assert table.loc["shades", "low"] > 0.3
    assert table.loc["shades", "held low"] < 0 < table.loc["shades", "held high"]
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


def test_associations_with_constant_missing_and_too_few_values():
    rows = random_rows(50).assign(same=1.0)
    rows.loc[3, "size"] = np.nan
    table = tables.associations(rows, ["same", "size"], draws=50)
    assert table.loc["same"].eq(0).all()
    assert table.loc["size", "alone"] > 0.8
    with pytest.raises(ValueError, match="^2 rows"):
        tables.associations(rows[1:4], ["size"])


def test_by_quantile_splits_evenly_in_order():
    table = tables.by_quantile(random_rows(100), "size")
    assert table["images"].tolist() == [20] * 5
    assert table["mean"].is_monotonic_increasing
