"""The ledger: one line of JSON for each training that the book reports, and tables made from it.

A row is never changed and never deleted. One that a later run replaces is marked as superseded
where rows are shown.
"""

import json
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from scipy import stats

from labkit import classes
from labkit.experiments.recipes import Recipe

LEDGER = Path(__file__).with_name("results") / "runs.jsonl"

# Reported by the laboratory work; its IoU and Dice are of class 1, which is the background, and
# averaged over images.
LABORATORY_WORK = {
    "loss": 0.2698,
    "accuracy": 0.8993,
    "background IoU per image": 0.8832,
    "background Dice per image": 0.9338,
}
MAIN_SCORES = ("accuracy", "mean IoU", *(f"{name} IoU pooled" for name in classes.NAMES))


def append(row, ledger=None):
    """Add a row to a ledger, one line of JSON."""
    ledger = Path(ledger or LEDGER)
    ledger.parent.mkdir(parents=True, exist_ok=True)
    with open(ledger, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def rows(name=None, on="test", ledger=None, on_backend="tensorflow"):
    """Rows of a ledger, oldest first, as dicts.

    Args:
        name: of a recipe: only its current rows, sorted by seed. None for all rows.
        on: "test" or "validation", what the rows of ``name`` were scored on.
        ledger: the file; None for that of the clone.
        on_backend: the Keras backend that the rows of ``name`` were made with.

    Raises:
        FileNotFoundError: with the command that makes a row, if there is no ledger.
        ValueError: if the recipe has no row.
    """
    ledger = Path(ledger or LEDGER)
    if not ledger.exists():
        raise FileNotFoundError(
            f"{ledger} does not exist; in a clone of the course `labkit run laboratory` makes it"
        )
    kept = [json.loads(line) for line in ledger.read_text(encoding="utf-8").splitlines() if line]
    if name is None:
        return kept
    found = [
        row
        for row, old in zip(kept, superseded(kept), strict=True)
        if not old
        and (row["recipe"]["name"], scored_on(row), backend(row)) == (name, on, on_backend)
    ]
    if not found:
        how = command(name, 0, on, on_backend)
        raise ValueError(f"{ledger} has no run of {name!r}: make one by {how}")
    return sorted(found, key=lambda row: row["seed"])


def holds(recipe, seed, on, commit, ledger=None):
    """Whether the ledger has this run from this commit, under the backend of now.

    A commit with changes on top ("+") or an unknown one stands for no code in particular.
    """
    ledger = Path(ledger or LEDGER)
    if not ledger.exists() or commit == "unknown" or commit.endswith("+"):
        return False
    recipe = settings({"recipe": asdict(recipe)})
    wanted = (recipe, seed, on, commit, keras.backend.backend())
    return wanted in [
        (settings(row), row["seed"], scored_on(row), row["commit"], backend(row))
        for row in rows(ledger=ledger)
    ]


def images_file(name, seed=0):
    """The table that ``labkit images`` writes: a line for each test image, scored by that run."""
    return LEDGER.with_name(f"images-{name}-{seed}.csv.gz")


def shades_file(seed):
    """The table that ``labkit shades`` writes: synthetic animals in every coat, scored."""
    return LEDGER.with_name(f"shades-{seed}.csv.gz")


def similarity_file():
    """Where ``labkit similarity`` keeps how alike the features of two recipes are."""
    return LEDGER.with_name("similarity.jsonl")


def study_file(name):
    """Where ``labkit study`` keeps the rows of an experiment, such as "pruning"."""
    return LEDGER.with_name(f"{name}.jsonl")


def study(name):
    """Current rows of a study as a pandas table; of each seed, those of the last time it was made.

    What is nested in a row becomes a column of both names: "before mean IoU", "recipe name".

    Raises:
        FileNotFoundError: with the command that makes the rows, if there are none.
    """
    file = study_file(name)
    if not file.exists():
        raise FileNotFoundError(f"{file} is not there: `labkit study {name}` makes it")
    lines = file.read_text(encoding="utf-8").splitlines()
    table = pd.json_normalize([json.loads(line) for line in lines if line], sep=" ")
    latest = table.groupby("seed")["started"].transform("max")
    return table[table["started"] == latest].reset_index(drop=True)


def groups(names, on="test"):
    """Current rows of several recipes by title; a recipe without any is left out.

    Args:
        names: of recipes, by title, such as ``{"UNet++": "short-unetpp"}``.
        on: as for ``rows``.
    """
    there = {(row["recipe"]["name"], scored_on(row), backend(row)) for row in rows()}
    return {
        title: rows(name, on) for title, name in names.items() if (name, on, "tensorflow") in there
    }


def scored_on(row):
    """The split that a row's scores are of: "test" or "validation"."""
    return "test" if "test" in row else "validation"


def backend(row):
    """The Keras backend of a row; the oldest rows do not name theirs."""
    return row.get("backend", "tensorflow")


def superseded(kept):
    """For each row, whether a later one replaces it.

    That is one of the same recipe, seed, split and backend; or any later one of a recipe of the
    same name that has other settings: what it says of that name no longer holds.
    """
    newest, latest = {}, {}
    for number, row in enumerate(kept):
        name, on = row["recipe"]["name"], scored_on(row)
        newest[name, on, row["seed"], backend(row)] = number
        latest[name, on] = settings(row)
    return [
        newest[row["recipe"]["name"], scored_on(row), row["seed"], backend(row)] != number
        or latest[row["recipe"]["name"], scored_on(row)] != settings(row)
        for number, row in enumerate(kept)
    ]


def settings(row):
    """The recipe of a row, a dict, with the settings that had no name when it was written.

    It is not made a ``Recipe``: that would refuse a loss that is not known here.
    """
    whole = asdict(Recipe(row["recipe"]["name"])) | row["recipe"]
    return json.loads(json.dumps(whole))  # lists for tuples, as in a file


def command(name, seed, on="test", backend="tensorflow"):
    """The command that repeats a run, from the repository's root."""
    words = ["labkit run", name, "--seed", str(seed)]
    words += ["--split validation"] if on == "validation" else []
    prefix = [] if backend == "tensorflow" else [f"KERAS_BACKEND={backend}"]
    return " ".join(prefix + words)


# --- tables --------------------------------------------------------------------------------------


def all_runs(kept):
    """Every row as one line of a pandas table: what ran, when, how well, and how to repeat it."""
    lines = []
    for row, old in zip(kept, superseded(kept), strict=True):
        name, on = row["recipe"]["name"], scored_on(row)
        lines.append(
            {
                "recipe": name,
                "seed": row["seed"],
                "scored on": on,
                "accuracy": row[on]["accuracy"],
                "mean IoU": row[on]["mean IoU"],
                "minutes": row["seconds"] / 60,
                "memory, GB": row.get("peak memory", {}).get("host", np.nan),
                "machine": row.get("machine", row["device"]),
                "backend": backend(row),
                "date": row["date"],
                "commit": row["commit"],
                "state": "superseded" if old else "current",
                "repeat it": command(name, row["seed"], on, backend(row)),
            }
        )
    table = pd.DataFrame(lines)
    rounding = {"accuracy": 4, "mean IoU": 4, "minutes": 1, "memory, GB": 1}
    return table.round(rounding)


def by_recipe(groups, names=MAIN_SCORES, on="test"):
    """Mean and spread over seeds of some scores, a line a recipe.

    Args:
        groups: lists of rows by title, such as ``{"laboratory": rows("laboratory")}``; an empty
            one is left out.
        names: of scores.
        on: the scores' key in a row: "test", "test with flips", "validation".
    """
    lines = {}
    for title, group in groups.items():
        if not group:
            continue
        values = {name: [row[on][name] for row in group] for name in names}
        lines[title] = {"seeds": len(group)} | {
            name: f"{np.mean(found):.4f}" + (f" ± {np.std(found, ddof=1):.4f}" if found[1:] else "")
            for name, found in values.items()
        }
    return pd.DataFrame.from_dict(lines, "index")


def paired(first, second, names=MAIN_SCORES, on="test"):
    """Differences between two groups of rows, seed by seed: second minus first.

    Raises ValueError if they have no seed in common.
    """
    before = {row["seed"]: row[on] for row in first}
    after = {row["seed"]: row[on] for row in second}
    seeds = sorted(before.keys() & after.keys())
    if not seeds:
        raise ValueError(f"no seed in common: {sorted(before)} and {sorted(after)}")
    table = pd.DataFrame(
        {f"seed {seed}": [after[seed][n] - before[seed][n] for n in names] for seed in seeds},
        index=list(names),
    )
    table["mean"] = table.mean(axis=1)
    return table.round(4)


def differences(base, groups, names=MAIN_SCORES, on="test"):
    """What each group of rows has more than ``base``, seed by seed.

    Args:
        base: rows to compare with.
        groups: lists of rows by title.
        names: of scores.
        on: as for ``by_recipe``.

    Returns:
        A pandas table with a line for each title and score: ``mean``, ``low`` and ``high`` by
        ``seed_interval``, and the difference of each ``seed 0``, ``seed 1``, ...

    Raises:
        ValueError: if a group has no seed in common with ``base``.
    """
    lines = {}
    for title, group in groups.items():
        for name, pairs in paired(base, group, names, on).drop(columns="mean").iterrows():
            limits = dict(zip(("mean", "low", "high"), seed_interval(pairs), strict=True))
            lines[title, name] = limits | pairs.to_dict()
    table = pd.DataFrame.from_dict(lines, "index")
    return table.rename_axis(["runs", "score"]).round(4)


def seed_interval(values):
    """Mean of one value a seed, and the 95 % interval of other seeds' mean: (mean, low, high).

    By Student's t, which allows for the spread being known from a few values alone; NaN for the
    limits of a single value. Source: Student (1908).
    """
    values = np.asarray(values, float)
    if len(values) < 2:
        return float(values.mean()), np.nan, np.nan
    reach = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return float(values.mean()), float(values.mean() - reach), float(values.mean() + reach)


def comparison(row, reported=LABORATORY_WORK):
    """Reported figures beside those of a run, as a pandas table."""
    table = pd.DataFrame(
        {"laboratory work": reported, "run here": {key: row["test"][key] for key in reported}}
    )
    table["difference"] = table["run here"] - table["laboratory work"]
    return table.round(4)


def summary(scores):
    """Scores by class, as a pandas table: IoU and Dice, pooled and per image."""
    columns = [f"{kind} {how}" for kind in ("IoU", "Dice") for how in ("pooled", "per image")]
    values = [[scores[f"{name} {column}"] for column in columns] for name in classes.NAMES]
    table = pd.DataFrame(values, index=classes.NAMES, columns=columns)
    table.loc["mean"] = np.mean(values, axis=0)
    return table.round(4)


def with_intervals(row, names=MAIN_SCORES):
    """Scores of one run with their bootstrap intervals over images: score, low, high."""
    on = scored_on(row)
    limits = row[f"{on} intervals"]
    lines = {name: [row[on][name], *limits[name]] for name in names}
    return pd.DataFrame.from_dict(lines, "index", columns=["score", "low", "high"]).round(4)
