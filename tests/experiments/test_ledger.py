"""The ledger: rows in, rows and tables out."""

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


def make_row(recipe=FIRST, seed=0, on="test", value=0.5, **more):
    values = {"loss": 1.0, "accuracy": value, "mean IoU": value, **CLASS_SCORES}
    limits = {name: [value - 0.1, value + 0.1] for name in values}
    row = {"recipe": asdict(recipe), "seed": seed, "seconds": 120, "device": "CPU"}
    row |= {"date": "2026-01-01", "commit": "abc", on: values, f"{on} intervals": limits}
    return json.loads(json.dumps(row | more))


@pytest.fixture
def kept(tmp_path):
    """A function that writes rows to a ledger and gives its path."""

    def keep(*rows):
        for row in rows:
            ledger.append(row, tmp_path / "runs.jsonl")
        return tmp_path / "runs.jsonl"

    return keep


def test_rows_come_oldest_first_and_blank_lines_do_no_harm(tmp_path):
    path = tmp_path / "a" / "b" / "runs.jsonl"
    for number in range(3):
        ledger.append({"number": number, "name": "кот"}, path)
    path.write_text(path.read_text() + "\n")
    assert [row["number"] for row in ledger.rows(ledger=path)] == [0, 1, 2]
    assert ledger.rows(ledger=str(path))[0]["name"] == "кот"


def test_a_missing_ledger_is_an_error_that_says_how_to_make_one(tmp_path):
    match = "runs.jsonl does not exist: .*`labkit run laboratory`"
    with pytest.raises(FileNotFoundError, match=match):
        ledger.rows(ledger=tmp_path / "runs.jsonl")


def test_rows_of_a_recipe_are_its_current_ones_by_seed(kept):
    path = kept(
        make_row(seed=2), make_row(Recipe("other")), make_row(seed=1), make_row(seed=2, value=0.7)
    )
    found = ledger.rows("mine", ledger=path)
    assert [(row["seed"], row["test"]["accuracy"]) for row in found] == [(1, 0.5), (2, 0.7)]


def test_rows_scored_on_validation_are_apart(kept):
    path = kept(make_row(), make_row(on="validation", value=0.9))
    assert [ledger.scored_on(row) for row in ledger.rows("mine", ledger=path)] == ["test"]
    (row,) = ledger.rows("mine", "validation", path)
    assert row["validation"]["accuracy"] == 0.9


def test_a_recipe_without_rows_is_an_error_with_the_command(kept):
    with pytest.raises(
        ValueError, match="no run of 'mine': make one by `labkit run mine --seed 0`"
    ):
        ledger.rows("mine", ledger=kept(make_row(Recipe("other"))))


# --- what a later run replaces -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("later", "replaced"),
    [
        (make_row(), True),  # the same again
        (make_row(replace(FIRST, epochs=11), seed=5), True),  # the name means something else now
        (make_row(seed=1), False),
        (make_row(on="validation"), False),
        (make_row(backend="torch"), False),
        (make_row(Recipe("other")), False),
    ],
)
def test_a_row_is_superseded_by_one_that_takes_its_place(later, replaced):
    assert ledger.superseded([make_row(), later]) == [replaced, False]


def test_a_row_written_before_recipes_had_more_settings_is_still_current():
    old = make_row()
    old["recipe"] = {"name": "mine", "epochs": 10}
    assert ledger.superseded([old, make_row(seed=1)]) == [False, False]


def test_a_row_of_a_loss_that_is_not_known_here_can_be_read(kept):
    odd = make_row()
    odd["recipe"] |= {"name": "odd", "loss": "mine"}
    path = kept(odd, make_row())
    assert ledger.rows("odd", ledger=path) == [odd]
    assert ledger.holds(FIRST, 0, "test", "abc", path)
    assert len(ledger.all_runs(ledger.rows(ledger=path))) == 2


# --- whether a run is there ----------------------------------------------------------------------


def test_a_run_is_held_if_recipe_seed_split_and_commit_are_the_same(kept):
    path = kept(make_row(seed=1))
    assert ledger.holds(FIRST, 1, "test", "abc", path)
    assert not ledger.holds(FIRST, 2, "test", "abc", path)
    assert not ledger.holds(FIRST, 1, "validation", "abc", path)
    assert not ledger.holds(FIRST, 1, "test", "abd", path)
    assert not ledger.holds(replace(FIRST, epochs=1), 1, "test", "abc", path)


def test_changed_or_unknown_code_is_never_held(kept):
    path = kept(make_row(commit="abc+"), make_row(commit="unknown"))
    assert not ledger.holds(FIRST, 0, "test", "abc+", path)
    assert not ledger.holds(FIRST, 0, "test", "unknown", path)


def test_an_empty_ledger_holds_nothing(tmp_path):
    assert not ledger.holds(FIRST, 0, "test", "abc", tmp_path / "runs.jsonl")


# --- tables --------------------------------------------------------------------------------------


def test_all_runs_are_listed_with_the_command_that_repeats_them():
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


def test_seeds_are_summed_up_by_mean_and_spread():
    group = [make_row(seed=seed, value=value) for seed, value in enumerate((0.4, 0.5, 0.6))]
    table = ledger.by_recipe({"mine": group, "one": group[:1], "none": []}, NAMES)
    assert list(table.index) == ["mine", "one"]
    assert table.loc["mine", "accuracy"] == "0.5000 ± 0.1000"  # the deviation of a sample
    assert table.loc["one", "accuracy"] == "0.4000"  # one run has no spread
    assert list(table["seeds"]) == [3, 1]


def test_differences_are_taken_seed_by_seed():
    first = [make_row(seed=seed, value=0.5 + seed / 10) for seed in (0, 1, 3)]
    second = [make_row(seed=seed, value=0.6 + seed / 5) for seed in (1, 0)]
    table = ledger.paired(first, second, NAMES)
    assert list(table.columns) == ["seed 0", "seed 1", "mean"]
    assert list(table.loc["accuracy"]) == pytest.approx([0.1, 0.2, 0.15])


def test_no_common_seed_is_an_error_that_names_them():
    with pytest.raises(ValueError, match=r"no seed in common: \[0\] and \[1\]"):
        ledger.paired([make_row()], [make_row(seed=1)])


def test_comparison_puts_reported_figures_beside_those_of_the_run():
    row = make_row(value=0.9)
    table = ledger.comparison(row)
    assert list(table.columns) == ["laboratory work", "run here", "difference"]
    assert list(table.index) == list(ledger.LABORATORY_WORK)
    assert list(table.loc["accuracy"]) == pytest.approx([0.8993, 0.9, 0.0007])
    other = ledger.comparison(row, {"pet IoU pooled": 0.4})
    assert list(other.loc["pet IoU pooled"]) == pytest.approx([0.4, 0.5, 0.1])


def test_summary_has_each_class_and_their_mean():
    values = {**CLASS_SCORES, "border Dice per image": 0.2}
    table = ledger.summary(values)
    assert list(table.index) == ["pet", "background", "border", "mean"]
    assert list(table.columns) == ["IoU pooled", "IoU per image", "Dice pooled", "Dice per image"]
    assert list(table["Dice per image"]) == pytest.approx([0.5, 0.5, 0.2, 0.4])


def test_scores_stand_between_their_limits():
    table = ledger.with_intervals(make_row(on="validation"), NAMES)
    assert list(table.loc["mean IoU"]) == pytest.approx([0.5, 0.4, 0.6])


# --- the repository's own ------------------------------------------------------------------------


def test_every_row_of_the_repository_s_ledger_is_whole():
    kept = ledger.rows(ledger=LEDGER)
    assert len(ledger.all_runs(kept)) == len(kept) > 0
    for row in kept:
        on = ledger.scored_on(row)
        assert row["source"] == data.REAL
        assert row["images"] == ([3680, 3669] if on == "test" else [3312, 368])
        assert len(row["history"]["loss"]) == row["recipe"]["epochs"]
        assert set(ledger.MAIN_SCORES) <= set(row[on])
        assert ledger.summary(row[on]).to_numpy().max() <= 1
        assert (
            row["recipe"].items() <= json.loads(json.dumps(asdict(Recipe(**row["recipe"])))).items()
        )


def test_the_declared_recipes_are_those_of_their_current_rows():
    """A recipe that is changed needs new runs: what the book shows is what the code declares."""
    kept = ledger.rows(ledger=LEDGER)
    for row, old in zip(kept, ledger.superseded(kept), strict=True):
        if not old and row["recipe"]["name"] in recipes.RECIPES:
            assert Recipe(**row["recipe"]) == recipes.find(row["recipe"]["name"])


def test_differences_are_paired_by_seed():
    base = [make_row(seed=0, value=0.5), make_row(seed=1, value=0.7)]
    group = [make_row(seed=1, value=0.8), make_row(seed=0, value=0.3), make_row(seed=5, value=0.0)]
    found = ledger.differences(base, {"other": group}, ["accuracy"])
    line = found.loc[("other", "accuracy")]
    assert line[["seed 0", "seed 1"]].to_list() == pytest.approx([-0.2, 0.1])
    # -0.2 and +0.1: spread 0.2121, times 12.706 / sqrt(2)
    assert line[["mean", "low", "high"]].to_list() == pytest.approx([-0.05, -1.9559, 1.8559])
    with pytest.raises(ValueError, match="no seed in common"):
        ledger.differences(base, {"other": group[2:]}, ["accuracy"])


def test_rows_of_a_recipe_are_of_one_backend(kept):
    path = kept(make_row(seed=0), make_row(seed=1, backend="torch"))
    assert [row["seed"] for row in ledger.rows("mine", ledger=path)] == [0]
    assert [row["seed"] for row in ledger.rows("mine", ledger=path, on_backend="torch")] == [1]
    with pytest.raises(ValueError, match="make one by `KERAS_BACKEND=jax labkit run mine"):
        ledger.rows("mine", ledger=path, on_backend="jax")


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_the_interval_over_seeds_is_student_s(count):
    values = np.random.default_rng(count).normal(size=count)
    reach = stats.sem(values) * stats.t.ppf(0.975, count - 1)
    mean = values.mean()
    assert ledger.seed_interval(values) == pytest.approx(
        (mean, mean - reach, mean + reach), rel=1e-3
    )


def test_one_seed_has_no_interval():
    mean, low, high = ledger.seed_interval([0.5])
    assert mean == 0.5 and np.isnan(low) and np.isnan(high)


def test_a_study_shows_what_was_made_last_of_each_seed(monkeypatch, tmp_path):
    monkeypatch.setattr(ledger, "LEDGER", tmp_path / "runs.jsonl")

    def line(seed, started, share, score):
        return {"seed": seed, "started": started, "share": share, "before": {"mean IoU": score}}

    lines = [line(0, "2026-01-01", share, 0.1) for share in (0.0, 0.5, 0.9)]
    lines += [line(1, "2026-01-01", 0.0, 0.2), line(0, "2026-01-02", 0.5, 0.3)]
    for row in lines:
        ledger.append(row, ledger.study_file("pruning"))
    found = ledger.study("pruning")
    assert found[["seed", "share", "before mean IoU"]].values.tolist() == [
        [1, 0.0, 0.2],
        [0, 0.5, 0.3],
    ]


def test_a_study_that_was_not_made_names_its_command(monkeypatch, tmp_path):
    monkeypatch.setattr(ledger, "LEDGER", tmp_path / "runs.jsonl")
    with pytest.raises(FileNotFoundError, match="labkit study tuning"):
        ledger.study("tuning")


def test_groups_leave_out_what_was_not_run(monkeypatch, tmp_path):
    monkeypatch.setattr(ledger, "LEDGER", tmp_path / "runs.jsonl")
    ledger.append(make_row())
    ledger.append(make_row(Recipe("chosen"), on="validation"))
    names = {"Mine": "mine", "Chosen": "chosen", "Other": "other"}
    assert {title: len(rows) for title, rows in ledger.groups(names).items()} == {"Mine": 1}
