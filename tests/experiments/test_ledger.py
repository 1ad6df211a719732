"""The ledger: writing and reading rows, and the tables made from them."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy import stats

from labkit import classes, data
from labkit.experiments import declared, ledger, recipes
from labkit.experiments.recipes import Recipe

FIRST = Recipe("mine")
NAMES = ("accuracy", "mean IoU")
COLUMNS = ["IoU pooled", "IoU per image", "Dice pooled", "Dice per image"]
CLASS_SCORES = {f"{name} {column}": 0.5 for name in classes.NAMES for column in COLUMNS}


def make_row(recipe=FIRST, seed=0, on="test", value=0.5, **extra):
    values = {"loss": 1.0, "accuracy": value, "mean IoU": value, **CLASS_SCORES}
    limits = {name: [value - 0.1, value + 0.1] for name in values}
    row = {"recipe": asdict(recipe), "seed": seed, "seconds": 120, "device": "CPU"}
    row |= {"date": "2026-01-01", "commit": "abc", on: values, f"{on} intervals": limits}
    return json.loads(json.dumps(row | extra))


@pytest.fixture
def write_ledger(ledger_file):
    """A function that adds rows to the ledger."""
    return lambda *rows: [ledger.append(row) for row in rows]


def test_rows_are_in_order_and_blank_lines_ignored(tmp_path):
    path = tmp_path / "a" / "b" / "runs.jsonl"
    for number in range(3):
        ledger.append({"number": number, "name": "кот"}, path)
    path.write_text(path.read_text() + "\n")
    rows = [{"number": number, "name": "кот"} for number in range(3)]
    assert ledger.rows(ledger=path) == ledger.rows(ledger=str(path)) == rows


def test_missing_files_raise(ledger_file):
    with pytest.raises(FileNotFoundError, match=f"{ledger_file} .*`labkit run laboratory`"):
        ledger.rows()
    with pytest.raises(FileNotFoundError, match="labkit study tuning"):
        ledger.study("tuning")
    assert not ledger.holds(FIRST, 0, "test", "abc")


def test_rows_of_recipe_are_current_and_sorted_by_seed(write_ledger):
    write_ledger(make_row(seed=2), make_row(Recipe("other")), make_row(seed=2, value=0.7))
    write_ledger(make_row(seed=1), make_row(on="validation", value=0.9))
    write_ledger(make_row(seed=3, backend="torch"))
    rows = ledger.rows("mine")
    assert [(row["seed"], row["test"]["accuracy"]) for row in rows] == [(1, 0.5), (2, 0.7)]
    (row,) = ledger.rows("mine", "validation")
    assert row["validation"]["accuracy"] == 0.9
    assert [row["seed"] for row in ledger.rows("mine", on_backend="torch")] == [3]
    with pytest.raises(ValueError, match="`labkit run none --seeds 0`"):
        ledger.rows("none")
    with pytest.raises(ValueError, match="`KERAS_BACKEND=jax labkit run mine --seeds 0`"):
        ledger.rows("mine", on_backend="jax")


# --- superseded rows -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("later", "replaced"),
    [
        (make_row(), True),  # the same run
        (make_row(replace(FIRST, epochs=11), seed=5), True),  # the recipe of this name was changed
        (make_row(seed=1), False),
        (make_row(on="validation"), False),
        (make_row(backend="torch"), False),
        (make_row(Recipe("other")), False),
    ],
)
def test_superseded_by_later_row(later, replaced):
    assert ledger.superseded([make_row(), later]) == [replaced, False]


def test_row_of_renamed_recipe_has_its_new_name(write_ledger):
    old = make_row(replace(recipes.find("plain"), name="standard"))
    other = make_row(replace(recipes.find("plain"), name="standard", epochs=2))
    new = make_row(recipes.find("standard"))
    assert [ledger.recipe_name(row) for row in (old, other, new)] == ["plain"] + 2 * ["standard"]
    assert ledger.superseded([old, other, new]) == [False, True, False]
    write_ledger(old, other, new)
    assert ledger.rows("plain") == [old] and ledger.rows("standard") == [new]
    assert list(ledger.all_runs([old])["repeat it"]) == ["labkit run plain --seeds 0"]
    for row in (old, new):
        ledger.append({"started": "2026-01-01", **row}, ledger.study_file("cost"))
    assert list(ledger.study("cost")["recipe name"]) == ["plain", "standard"]


def test_superseded_keeps_rows_with_missing_settings():
    old = make_row() | {"recipe": {"name": "mine", "epochs": 10}}
    assert ledger.superseded([old, make_row(seed=1)]) == [False, False]


def test_rows_with_unknown_loss_are_read(write_ledger):
    row = make_row()
    row["recipe"] |= {"name": "odd", "loss": "mine"}
    write_ledger(row, make_row())
    assert ledger.rows("odd") == [row]
    assert ledger.holds(FIRST, 0, "test", "abc")
    assert len(ledger.all_runs(ledger.rows())) == 2


def test_holds_run_with_same_recipe_seed_split_and_commit(write_ledger):
    write_ledger(make_row(seed=1), make_row(commit="abc+"), make_row(commit="unknown"))
    assert ledger.holds(FIRST, 1, "test", "abc")
    for change in ({"seed": 2}, {"on": "validation"}, {"commit": "abd"}):
        assert not ledger.holds(
            **{"recipe": FIRST, "seed": 1, "on": "test", "commit": "abc"} | change
        )
    assert not ledger.holds(replace(FIRST, epochs=1), 1, "test", "abc")
    for commit in ("abc+", "unknown"):  # they identify no code
        assert not ledger.holds(FIRST, 0, "test", commit)


# --- tables --------------------------------------------------------------------------------------


def test_all_runs_have_state_and_command():
    rows = [make_row(value=0.4), make_row(value=0.6), make_row(seed=3, backend="jax")]
    table = ledger.all_runs([*rows, make_row(on="validation")])
    assert list(table["state"]) == ["superseded", "current", "current", "current"]
    assert list(table["accuracy"]) == [0.4, 0.6, 0.5, 0.5]
    assert list(table["minutes"]) == [2.0] * 4
    assert list(table["repeat it"])[1:] == [
        "labkit run mine --seeds 0",
        "KERAS_BACKEND=jax labkit run mine --seeds 3",
        "labkit run mine --seeds 0 --split validation",
    ]


def test_by_recipe_shows_mean_and_deviation():
    group = [make_row(seed=seed, value=value) for seed, value in enumerate((0.4, 0.5, 0.6))]
    table = ledger.by_recipe({"mine": group, "one": group[:1], "none": []}, NAMES)
    assert list(table.index) == ["mine", "one"]
    assert table.loc["mine", "accuracy"] == "0.5000 ± 0.1000"  # sample standard deviation
    assert table.loc["one", "accuracy"] == "0.4000"  # a single run has no deviation
    assert list(table["seeds"]) == [3, 1]


def test_paired_differences_by_seed():
    first = [make_row(seed=seed, value=0.5 + seed / 10) for seed in (0, 1, 3)]
    second = [make_row(seed=seed, value=0.6 + seed / 5) for seed in (1, 0)]
    table = ledger.paired(first, second, NAMES)
    assert list(table.columns) == ["mean", "seed 0", "seed 1"]
    assert list(table.loc["accuracy"]) == pytest.approx([0.15, 0.1, 0.2])
    with pytest.raises(ValueError, match=r"\[3\] and \[0, 1\]"):
        ledger.paired(first[2:], second)


def test_differences_pair_seeds_and_have_interval():
    base = [make_row(seed=0, value=0.5), make_row(seed=1, value=0.7)]
    group = [make_row(seed=1, value=0.8), make_row(seed=0, value=0.3), make_row(seed=5, value=0.0)]
    table = ledger.differences(base, {"other": group}, ["accuracy"])
    difference = table.loc[("other", "accuracy")]
    assert difference[["seed 0", "seed 1"]].to_list() == pytest.approx([-0.2, 0.1])
    # -0.2 and 0.1: standard deviation 0.2121, times 12.706 / sqrt(2)
    assert difference[["mean", "low", "high"]].to_list() == pytest.approx([-0.05, -1.9559, 1.8559])


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_seed_interval_matches_student_t(count):
    values = np.random.default_rng(count).normal(size=count)
    expected = values.mean(), np.nan, np.nan
    if count > 1:
        expected = (
            values.mean(),
            *stats.t.interval(0.95, count - 1, values.mean(), values.std(ddof=1) / count**0.5),
        )
    assert ledger.seed_interval(values) == pytest.approx(expected, nan_ok=True)


def test_comparison_of_reported_and_run_scores():
    table = ledger.comparison(make_row(value=0.9))
    assert list(table.columns) == ["laboratory work", "run here", "difference"]
    assert list(table.index) == list(ledger.LABORATORY_WORK)
    assert list(table.loc["accuracy"]) == pytest.approx([0.8993, 0.9, 0.0007])


def test_summary_has_classes_and_mean():
    table = ledger.summary({**CLASS_SCORES, "border Dice per image": 0.2})
    assert list(table.index) == [*classes.NAMES, "mean"]
    assert list(table.columns) == COLUMNS
    assert list(table["Dice per image"]) == pytest.approx([0.5, 0.5, 0.2, 0.4])


def test_with_intervals_has_score_and_limits():
    table = ledger.with_intervals(make_row(on="validation"))
    assert list(table.loc["mean IoU"]) == pytest.approx([0.5, 0.4, 0.6])


def test_groups_omit_missing_recipes(write_ledger):
    write_ledger(make_row(), make_row(Recipe("chosen"), on="validation"))
    names = {"Mine": "mine", "Chosen": "chosen", "Other": "other"}
    assert {title: len(rows) for title, rows in ledger.groups(names).items()} == {"Mine": 1}


def test_study_keeps_last_run_of_each_seed(ledger_file):
    for seed, started, share, score in [
        *((0, "2026-01-01", share, 0.1) for share in (0.0, 0.5, 0.9)),
        (1, "2026-01-01", 0.0, 0.2),
        (0, "2026-01-02", 0.5, 0.3),
    ]:
        row = {"seed": seed, "started": started, "share": share, "before": {"mean IoU": score}}
        ledger.append(row, ledger.study_file("pruning"))
    columns = ledger.study("pruning")[["seed", "share", "before mean IoU"]]
    assert columns.values.tolist() == [[1, 0.0, 0.2], [0, 0.5, 0.3]]


# --- the repository's ledger ---------------------------------------------------------------------


def test_repository_ledger_rows_are_complete_and_match_declared_recipes():
    """A changed recipe needs new runs, because the book shows the results of declared recipes."""
    rows = ledger.rows()
    assert len(ledger.all_runs(rows)) == len(rows) > 0
    for row, superseded in zip(rows, ledger.superseded(rows), strict=True):
        on, recipe = ledger.scored_on(row), Recipe(**row["recipe"])
        assert row["source"] == data.REAL
        assert row["images"] == ([3680, 3669] if on == "test" else [3312, 368])
        assert len(row["history"]["loss"]) == recipe.epochs
        assert set(ledger.MAIN_SCORES) <= set(row[on])
        assert ledger.summary(row[on]).to_numpy().max() <= 1
        assert row["recipe"].items() <= json.loads(json.dumps(asdict(recipe))).items()
        if not superseded and ledger.recipe_name(row) in declared.RECIPES:
            name = ledger.recipe_name(row)
            assert replace(recipe, name=name) == recipes.find(name)
