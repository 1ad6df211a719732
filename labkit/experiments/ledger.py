"""The ledger: one line of JSON for each training that the book reports, and tables made from it.

Rows are never changed or deleted. A row that a later run replaces is shown as superseded.
"""

import json
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from labkit import classes
from labkit.experiments import declared
from labkit.experiments.declared import Settings

LEDGER = Path(__file__).with_name("results") / "runs.jsonl"

# Scores that the laboratory work reports. Its IoU and Dice are those of class 1, the background,
# averaged over images.
LABORATORY_WORK = {
    "loss": 0.2698,
    "accuracy": 0.8993,
    "background IoU per image": 0.8832,
    "background Dice per image": 0.9338,
}
# Recipes by the name that they had when some of their rows were made.
RENAMED = {
    "standard": "plain",
    "standard-attention-u-net": "plain-attention-u-net",
    "fast": "plain-fast",
}
MAIN_SCORES = ("accuracy", "mean IoU", *(f"{name} IoU pooled" for name in classes.NAMES))


def append(row, ledger=None):
    """Add a row to a ledger, one line of JSON."""
    ledger = Path(ledger or LEDGER)
    ledger.parent.mkdir(parents=True, exist_ok=True)
    with open(ledger, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _read(file):
    """The rows of a file of JSON lines, as dicts."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]


def rows(name=None, on="test", ledger=None, on_backend="tensorflow"):
    """All rows of a ledger as dicts, oldest first, or the current rows of one recipe by seed.

    Args:
        name: of a recipe; None for all rows.
        on: "test" or "validation": the split that the recipe's rows were scored on.
        ledger: the file; None for the clone's own.
        on_backend: the Keras backend of the recipe's rows.

    Raises:
        FileNotFoundError: if the ledger does not exist; names the command that makes it.
        ValueError: if the recipe has no row; names the command that makes one.
    """
    ledger = Path(ledger or LEDGER)
    if not ledger.exists():
        raise FileNotFoundError(
            f"{ledger} does not exist: make it by `labkit run laboratory` in a clone of the course"
        )
    all_rows = _read(ledger)
    if name is None:
        return all_rows
    current = [
        row
        for row, replaced in zip(all_rows, superseded(all_rows), strict=True)
        if not replaced
        and (recipe_name(row), scored_on(row), backend(row)) == (name, on, on_backend)
    ]
    if not current:
        how = command(name, 0, on, on_backend)
        raise ValueError(f"{ledger} has no run of {name!r}: make one by `{how}`")
    return sorted(current, key=lambda row: row["seed"])


def holds(recipe, seed, on, commit):
    """Whether the ledger has this run, made from this commit with the current backend.

    False for an unknown commit or one with uncommitted changes ("+"), which identify no code.
    """
    import keras

    if not LEDGER.exists() or commit == "unknown" or commit.endswith("+"):
        return False
    recipe = settings({"recipe": asdict(recipe)})
    run = (recipe, seed, on, commit, keras.backend.backend())
    return run in [
        (settings(row), row["seed"], scored_on(row), row["commit"], backend(row)) for row in rows()
    ]


def images_file(name, seed=0):
    """Path of the table that ``labkit images`` writes: scores of each test image by that run."""
    return LEDGER.with_name(f"images-{name}-{seed}.csv.gz")


def shades_file(seed):
    """Path of the table that ``labkit shades`` writes: scores of synthetic animals in all coats."""
    return LEDGER.with_name(f"shades-{seed}.csv.gz")


def similarity_file():
    """Path of the file where ``labkit similarity`` stores the CKA of two recipes' features."""
    return LEDGER.with_name("similarity.jsonl")


def study_file(name):
    """Path of the file where ``labkit study`` stores the rows of a study, such as "pruning"."""
    return LEDGER.with_name(f"{name}.jsonl")


def study(name):
    """The latest rows of each seed of a study, as a pandas table.

    Nested values become columns with joined names: "before mean IoU", "recipe name", which is that
    of today.

    Raises:
        FileNotFoundError: if the study has no file; names the command that makes it.
    """
    file = study_file(name)
    if not file.exists():
        raise FileNotFoundError(f"{file} does not exist: make it by `labkit study {name}`")
    study_rows = _read(file)
    for row in study_rows:
        if "recipe" in row:
            row["recipe"]["name"] = recipe_name(row)
    table = pd.json_normalize(study_rows, sep=" ")
    latest = table.groupby("seed")["started"].transform("max")
    return table[table["started"] == latest].reset_index(drop=True)


def groups(names):
    """Current rows of several recipes by title, scored on "test", without recipes that have none.

    ``names`` are those of recipes by title, such as ``{"UNet++": "short-unetpp"}``.
    """
    recorded = {(recipe_name(row), scored_on(row), backend(row)) for row in rows()}
    return {
        title: rows(name)
        for title, name in names.items()
        if (name, "test", "tensorflow") in recorded
    }


def scored_on(row):
    """The split that a row was scored on: "test" or "validation"."""
    return "test" if "test" in row else "validation"


def backend(row):
    """The Keras backend of a row; the oldest rows, made with TensorFlow, do not name it."""
    return row.get("backend", "tensorflow")


def superseded(all_rows):
    """For each row, whether a later one replaces it.

    A later row replaces it if recipe, seed, split and backend are the same, or if the recipe of
    that name has other settings by now.
    """
    names = [recipe_name(row) for row in all_rows]
    last_index, last_settings = {}, {name: declared_settings(name) for name in declared.RECIPES}
    for index, (name, row) in enumerate(zip(names, all_rows, strict=True)):
        last_index[name, scored_on(row), row["seed"], backend(row)] = index
        if name not in declared.RECIPES:
            last_settings[name] = settings(row)
    return [
        last_index[name, scored_on(row), row["seed"], backend(row)] != index
        or last_settings[name] != settings(row)
        for index, (name, row) in enumerate(zip(names, all_rows, strict=True))
    ]


def recipe_name(row):
    """The name of a row's recipe today."""
    name = row["recipe"]["name"]
    today = RENAMED.get(name)
    return today if today and declared_settings(today) == settings(row) else name


@cache
def declared_settings(name):
    """The ``settings`` of a declared recipe."""
    return settings({"recipe": asdict(declared.find(name))})


def settings(row):
    """The settings of a row as a dict without the recipe's name, with defaults for those added
    since it was written.

    A dict, because ``Recipe`` would reject a loss that this version does not know.
    """
    recipe = asdict(Settings("")) | row["recipe"] | {"name": ""}
    return json.loads(json.dumps(recipe))  # lists for tuples, as in a file


def command(name, seed, on="test", backend="tensorflow"):
    """The command that repeats a run, from the repository's root."""
    words = ["labkit run", name, "--seeds", str(seed)]
    words += ["--split validation"] if on == "validation" else []
    prefix = [] if backend == "tensorflow" else [f"KERAS_BACKEND={backend}"]
    return " ".join(prefix + words)


# --- tables --------------------------------------------------------------------------------------


def all_runs(all_rows):
    """A pandas table of all runs: recipe, scores, cost, origin, and the command to repeat each."""
    lines = []
    for row, replaced in zip(all_rows, superseded(all_rows), strict=True):
        name, on = recipe_name(row), scored_on(row)
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
                "state": "superseded" if replaced else "current",
                "repeat it": command(name, row["seed"], on, backend(row)),
            }
        )
    table = pd.DataFrame(lines)
    rounding = {"accuracy": 4, "mean IoU": 4, "minutes": 1, "memory, GB": 1}
    return table.round(rounding)


def by_recipe(groups, names=MAIN_SCORES, on="test"):
    """Mean and standard deviation of scores over seeds, one line per recipe.

    Args:
        groups: lists of rows by title, such as ``{"laboratory": rows("laboratory")}``; empty ones
            are left out.
        names: of scores.
        on: key of the scores in a row: "test", "test with flips" or "validation".
    """
    lines = {}
    for title, group in groups.items():
        if not group:
            continue
        values = {name: [row[on][name] for row in group] for name in names}
        lines[title] = {"seeds": len(group)} | {
            name: f"{np.mean(by_seed):.4f}"
            + (f" ± {np.std(by_seed, ddof=1):.4f}" if len(by_seed) > 1 else "")
            for name, by_seed in values.items()
        }
    return pd.DataFrame.from_dict(lines, "index")


def paired(first, second, names=MAIN_SCORES, on="test"):
    """Score differences between two groups of rows, seed by seed: second minus first.

    Raises ValueError if they have no seed in common.
    """
    before = {row["seed"]: row[on] for row in first}
    after = {row["seed"]: row[on] for row in second}
    seeds = sorted(before.keys() & after.keys())
    if not seeds:
        raise ValueError(
            f"no seed in common: {sorted(before)} and {sorted(after)}; run both with the same seed"
        )
    table = pd.DataFrame(
        {
            f"seed {seed}": [after[seed][name] - before[seed][name] for name in names]
            for seed in seeds
        },
        index=list(names),
    )
    table.insert(0, "mean", table.mean(axis=1))
    return table


def differences(base, groups, names=MAIN_SCORES, on="test"):
    """Score differences of each group of rows from ``base``, seed by seed.

    Args:
        base: rows to compare with.
        groups: lists of rows by title.
        names: of scores.
        on: as for ``by_recipe``.

    Returns:
        A pandas table with a line for each title and score: ``mean``, ``low`` and ``high`` of
        ``seed_interval``, and the difference of each seed, ``seed 0``, ``seed 1``, ...

    Raises:
        ValueError: if a group has no seed in common with ``base``.
    """
    lines = {}
    for title, group in groups.items():
        for name, by_seed in paired(base, group, names, on).drop(columns="mean").iterrows():
            interval = dict(zip(("mean", "low", "high"), seed_interval(by_seed), strict=True))
            lines[title, name] = interval | by_seed.to_dict()
    table = pd.DataFrame.from_dict(lines, "index")
    return table.rename_axis(["runs", "score"]).round(4)


def seed_interval(values):
    """Mean of one value per seed and its 95 % confidence interval: (mean, low, high).

    Uses Student's t, since the spread is estimated from few values. The limits of a single value
    are NaN. Source: Student (1908).
    """
    values = np.asarray(values, float)
    if len(values) < 2:
        return float(values.mean()), np.nan, np.nan
    reach = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return float(values.mean()), float(values.mean() - reach), float(values.mean() + reach)


def comparison(row):
    """The laboratory work's scores beside those of a run, as a pandas table."""
    here = {name: row["test"][name] for name in LABORATORY_WORK}
    table = pd.DataFrame({"laboratory work": LABORATORY_WORK, "run here": here})
    table["difference"] = table["run here"] - table["laboratory work"]
    return table.round(4)


def summary(scores):
    """IoU and Dice of each class, pooled and per image, as a pandas table."""
    columns = [f"{kind} {how}" for kind in ("IoU", "Dice") for how in ("pooled", "per image")]
    values = [[scores[f"{name} {column}"] for column in columns] for name in classes.NAMES]
    table = pd.DataFrame(values, index=classes.NAMES, columns=columns)
    table.loc["mean"] = np.mean(values, axis=0)
    return table.round(4)


def with_intervals(row):
    """Main scores of one run with their bootstrap intervals over images: score, low, high."""
    on = scored_on(row)
    intervals = row[f"{on} intervals"]
    lines = {name: [row[on][name], *intervals[name]] for name in MAIN_SCORES}
    return pd.DataFrame.from_dict(lines, "index", columns=["score", "low", "high"]).round(4)
