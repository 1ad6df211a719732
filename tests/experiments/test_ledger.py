"""The ledger: writing and reading rows, and the tables made from them."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy import stats

from labkit import data
from labkit.experiments import ledger, recipes
from labkit.experiments.recipes import Recipe

LEDGER = ledger.LEDGER
FIRST = Recipe("mine")
NAMES = ("accuracy", "mean IoU")
CLASS_SCORES = {
    f"{name} {kind} {how}": 0.5
    for name in ("pet", "background", "border")
    for kind in ("IoU", "Dice")
    for how in ("pooled", "per image")
}


def make_row(recipe=FIRST, seed=0, on="test", value=0.5, **extra):
    values = {"loss": 1.0, "accuracy": value, "mean IoU": value, **CLASS_SCORES}
    limits = {name: [value - 0.1, value + 0.1] for name in values}
    row = {"recipe": asdict(recipe), "seed": seed, "seconds": 120, "device": "CPU"}
    row |= {"date": "2026-01-01", "commit": "abc", on: values, f"{on} intervals": limits}
    return json.loads(json.dumps(row | extra))


@pytest.fixture
def write_ledger(tmp_path):
    """A function that writes rows to a ledger and returns its path."""

    def write(*rows):
        for row in rows:
            ledger.append(row, tmp_path / "runs.jsonl")
        return tmp_path / "runs.jsonl"

    return write


def test_rows_are_in_order_and_blank_lines_ignored(tmp_path):
    path = tmp_path / "a" / "b" / "runs.jsonl"
    for number in range(3):
        ledger.append({"number": number, "name": "кот"}, path)
    path.write_text(path.read_text() + "\n")
    assert [row["number"] for row in ledger.rows(ledger=path)] == [0, 1, 2]
    assert ledger.rows(ledger=str(path))[0]["name"] == "кот"


def test_missing_ledger_raises(tmp_path):
    match = "runs.jsonl does not exist: .*`labkit run laboratory`"
    with pytest.raises(FileNotFoundError, match=match):
        ledger.rows(ledger=tmp_path / "runs.jsonl")


def test_rows_of_recipe_are_current_and_sorted_by_seed(write_ledger):
    path = write_ledger(
        make_row(seed=2), make_row(Recipe("other")), make_row(seed=1), make_row(seed=2, value=0.7)
    )
    rows = ledger.rows("mine", ledger=path)
    assert [(row["seed"], row["test"]["accuracy"]) for row in rows] == [(1, 0.5), (2, 0.7)]


def test_rows_are_filtered_by_split(write_ledger):
    path = write_ledger(make_row(), make_row(on="validation", value=0.9))
    assert [ledger.scored_on(row) for row in ledger.rows("mine", ledger=path)] == ["test"]
    (row,) = ledger.rows("mine", "validation", path)
    assert row["validation"]["accuracy"] == 0.9


def test_rows_of_recipe_without_runs_raise(write_ledger):
    with pytest.raises(ValueError, match="make one by `labkit run mine --seed 0`"):
        ledger.rows("mine", ledger=write_ledger(make_row(Recipe("other"))))


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


def test_superseded_keeps_rows_with_missing_settings():
    old = make_row()
    old["recipe"] = {"name": "mine", "epochs": 10}
    assert ledger.superseded([old, make_row(seed=1)]) == [False, False]


def test_rows_with_unknown_loss_are_read(write_ledger):
    row = make_row()
    row["recipe"] |= {"name": "odd", "loss": "mine"}
    path = write_ledger(row, make_row())
    assert ledger.rows("odd", ledger=path) == [row]
    assert ledger.holds(FIRST, 0, "test", "abc", path)
    assert len(ledger.all_runs(ledger.rows(ledger=path))) == 2


# --- existing runs -------------------------------------------------------------------------------


def test_holds_run_with_same_recipe_seed_split_and_commit(write_ledger):
    path = write_ledger(make_row(seed=1))
    assert ledger.holds(FIRST, 1, "test", "abc", path)
    assert not ledger.holds(FIRST, 2, "test", "abc", path)
    assert not ledger.holds(FIRST, 1, "validation", "abc", path)
    assert not ledger.holds(FIRST, 1, "test", "abd", path)
    assert not ledger.holds(replace(FIRST, epochs=1), 1, "test", "abc", path)


def test_holds_is_false_for_modified_or_unknown_commit(write_ledger):
    path = write_ledger(make_row(commit="abc+"), make_row(commit="unknown"))
    assert not ledger.holds(FIRST, 0, "test", "abc+", path)
    assert not ledger.holds(FIRST, 0, "test", "unknown", path)


def test_holds_is_false_for_missing_ledger(tmp_path):
    assert not ledger.holds(FIRST, 0, "test", "abc", tmp_path / "runs.jsonl")


# --- tables --------------------------------------------------------------------------------------


def test_all_runs_have_state_and_command():
    rows = [make_row(value=0.4), make_row(value=0.6), make_row(seed=3, backend="jax")]
    table = ledger.all_runs([*rows, make_row(on="validation")])
    assert list(table["state"]) == ["superseded", "current", "current", "current"]
    assert list(table["accuracy"])[:2] == [0.4, 0.6]
    assert list(table["minutes"]) == [2.0] * 4
    assert list(table["repeat it"])[1:] == [
        "labkit run mine --seed 0",
        "KERAS_BACKEND=jax labkit run mine --seed 3",
        "labkit run mine --seed 0 --split validation",
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
    assert list(table.columns) == ["seed 0", "seed 1", "mean"]
    assert list(table.loc["accuracy"]) == pytest.approx([0.1, 0.2, 0.15])


def test_paired_without_common_seed_raises():
    with pytest.raises(ValueError, match=r"no seed in common: \[0\] and \[1\]"):
        ledger.paired([make_row()], [make_row(seed=1)])


def test_comparison_of_reported_and_run_scores():
    row = make_row(value=0.9)
    table = ledger.comparison(row)
    assert list(table.columns) == ["laboratory work", "run here", "difference"]
    assert list(table.index) == list(ledger.LABORATORY_WORK)
    assert list(table.loc["accuracy"]) == pytest.approx([0.8993, 0.9, 0.0007])
    other = ledger.comparison(row, {"pet IoU pooled": 0.4})
    assert list(other.loc["pet IoU pooled"]) == pytest.approx([0.4, 0.5, 0.1])


def test_summary_has_classes_and_mean():
    values = {**CLASS_SCORES, "border Dice per image": 0.2}
    table = ledger.summary(values)
    assert list(table.index) == ["pet", "background", "border", "mean"]
    assert list(table.columns) == ["IoU pooled", "IoU per image", "Dice pooled", "Dice per image"]
    assert list(table["Dice per image"]) == pytest.approx([0.5, 0.5, 0.2, 0.4])


def test_with_intervals_has_score_and_limits():
    table = ledger.with_intervals(make_row(on="validation"), NAMES)
    assert list(table.loc["mean IoU"]) == pytest.approx([0.5, 0.4, 0.6])


# --- the repository's ledger ---------------------------------------------------------------------


def test_repository_ledger_rows_are_complete():
    rows = ledger.rows(ledger=LEDGER)
    assert len(ledger.all_runs(rows)) == len(rows) > 0
    for row in rows:
        on = ledger.scored_on(row)
        assert row["source"] == data.REAL
        assert row["images"] == ([3680, 3669] if on == "test" else [3312, 368])
        assert len(row["history"]["loss"]) == row["recipe"]["epochs"]
        assert set(ledger.MAIN_SCORES) <= set(row[on])
        assert ledger.summary(row[on]).to_numpy().max() <= 1
        assert (
            row["recipe"].items() <= json.loads(json.dumps(asdict(Recipe(**row["recipe"])))).items()
        )


def test_repository_ledger_matches_declared_recipes():
    """A changed recipe needs new runs, because the book shows the results of declared recipes."""
    rows = ledger.rows(ledger=LEDGER)
    for row, superseded in zip(rows, ledger.superseded(rows), strict=True):
        if not superseded and row["recipe"]["name"] in recipes.RECIPES:
            assert Recipe(**row["recipe"]) == recipes.find(row["recipe"]["name"])


def test_differences_pair_seeds_and_have_interval():
    base = [make_row(seed=0, value=0.5), make_row(seed=1, value=0.7)]
    group = [make_row(seed=1, value=0.8), make_row(seed=0, value=0.3), make_row(seed=5, value=0.0)]
    table = ledger.differences(base, {"other": group}, ["accuracy"])
    difference = table.loc[("other", "accuracy")]
    assert difference[["seed 0", "seed 1"]].to_list() == pytest.approx([-0.2, 0.1])
    # -0.2 and 0.1: standard deviation 0.2121, times 12.706 / sqrt(2)
    assert difference[["mean", "low", "high"]].to_list() == pytest.approx([-0.05, -1.9559, 1.8559])
    with pytest.raises(ValueError, match="no seed in common"):
        ledger.differences(base, {"other": group[2:]}, ["accuracy"])


def test_rows_are_filtered_by_backend(write_ledger):
    path = write_ledger(make_row(seed=0), make_row(seed=1, backend="torch"))
    assert [row["seed"] for row in ledger.rows("mine", ledger=path)] == [0]
    assert [row["seed"] for row in ledger.rows("mine", ledger=path, on_backend="torch")] == [1]
    with pytest.raises(ValueError, match="make one by `KERAS_BACKEND=jax labkit run mine"):
        ledger.rows("mine", ledger=path, on_backend="jax")


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_seed_interval_matches_student_t(count):
    values = np.random.default_rng(count).normal(size=count)
    half_width = stats.sem(values) * stats.t.ppf(0.975, count - 1)
    mean = values.mean()
    assert ledger.seed_interval(values) == pytest.approx(
        (mean, mean - half_width, mean + half_width), rel=1e-3
    )


def test_seed_interval_of_single_seed_is_nan():
    mean, low, high = ledger.seed_interval([0.5])
    assert mean == 0.5 and np.isnan(low) and np.isnan(high)


def test_study_keeps_last_run_of_each_seed(monkeypatch, tmp_path):
    monkeypatch.setattr(ledger, "LEDGER", tmp_path / "runs.jsonl")

    def make_study_row(seed, started, share, score):
        return {"seed": seed, "started": started, "share": share, "before": {"mean IoU": score}}

    rows = [make_study_row(0, "2026-01-01", share, 0.1) for share in (0.0, 0.5, 0.9)]
    rows += [make_study_row(1, "2026-01-01", 0.0, 0.2), make_study_row(0, "2026-01-02", 0.5, 0.3)]
    for row in rows:
        ledger.append(row, ledger.study_file("pruning"))
    table = ledger.study("pruning")
    assert table[["seed", "share", "before mean IoU"]].values.tolist() == [
        [1, 0.0, 0.2],
        [0, 0.5, 0.3],
    ]


def test_missing_study_raises(monkeypatch, tmp_path):
    monkeypatch.setattr(ledger, "LEDGER", tmp_path / "runs.jsonl")
    with pytest.raises(FileNotFoundError, match="labkit study tuning"):
        ledger.study("tuning")


def test_groups_omit_missing_recipes(monkeypatch, tmp_path):
    monkeypatch.setattr(ledger, "LEDGER", tmp_path / "runs.jsonl")
    ledger.append(make_row())
    ledger.append(make_row(Recipe("chosen"), on="validation"))
    names = {"Mine": "mine", "Chosen": "chosen", "Other": "other"}
    assert {title: len(rows) for title, rows in ledger.groups(names).items()} == {"Mine": 1}
