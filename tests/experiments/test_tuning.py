"""The search for settings: its trials, interruptions and diverged trainings."""

import os
import sys
from dataclasses import replace

import numpy as np
import pytest

from labkit import data
from labkit.analysis import scores
from labkit.experiments import recipes, tuning
from labkit.runs.folder import Diverged, Run, runs_folder

RECIPE = replace(recipes.find("short"), name="tiny", epochs=1, image_size=32)
SPACE = {"learning_rate": (1e-4, 1e-1), "dice": (0.0, 1.0)}


@pytest.fixture
def split(_sealed):
    return data.load(data.SYNTHETIC, 32, (20, 2)).train


@pytest.fixture
def trials_run(monkeypatch, folders):
    """Replaces training: the best learning rate is 0.01. Returns the trials that were run."""
    trials = []

    def fit(recipe, seed, train):
        trials.append((recipe, seed, len(train)))
        folder = runs_folder() / f"{recipe.name}-{len(trials)}"
        folder.mkdir(parents=True)
        return recipe, Run({}, folder)

    def score(recipe, split):
        distance = abs(np.log10(recipe.learning_rate) + 2)
        return {"mean IoU": 1 - distance / 4, "size": len(split)}

    monkeypatch.setattr(recipes, "fit", fit)
    monkeypatch.setattr(scores, "score", score)
    return trials


def search(split, trials, **options):
    return tuning.search(RECIPE, split, trials, **{"space": SPACE, **options})


@pytest.fixture
def no_links(monkeypatch):
    """As on Google Drive and Windows: symbolic links are refused."""

    def refuse(*args, **options):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "symlink", refuse)


@pytest.mark.usefixtures("no_links")
def test_trials_start_at_recipe_and_change_only_settings_of_space(split, trials_run):
    table = search(split, 12)
    assert trials_run[0] == (RECIPE, 0, 18)
    for name in SPACE:
        assert table.loc[0, name] == getattr(RECIPE, name)
    assert len(table) == 12 == len(trials_run)
    for name, (low, high) in SPACE.items():
        assert table[name].between(low, high).all() and table[name].nunique() == 12
    for recipe, _, _ in trials_run:
        assert replace(recipe, learning_rate=RECIPE.learning_rate, dice=RECIPE.dice) == RECIPE


def test_trials_converge_to_best_score(split, trials_run):
    table = search(split, 30)
    distance = abs(np.log10(table["learning_rate"]) + 2)
    assert distance[15:].median() < distance[1:10].median()
    assert table["mean IoU"].idxmax() == distance.idxmin()


def test_extended_search_matches_uninterrupted_search(split, trials_run, monkeypatch, tmp_path):
    search(split, 4)
    extended = search(split, 7)
    np.testing.assert_array_equal(search(split, 7), extended)  # trains nothing
    assert len(trials_run) == 7
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "elsewhere"))
    np.testing.assert_allclose(extended, search(split, 7))


def test_interrupted_trial_is_repeated(split, trials_run, monkeypatch):
    fit = recipes.fit

    def stop(recipe, seed, train):
        result = fit(recipe, seed, train)
        if len(trials_run) == 2:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(recipes, "fit", stop)
    with pytest.raises(KeyboardInterrupt):
        search(split, 3)
    table = search(split, 3)
    assert trials_run[1] in trials_run[2:] and len(table) == 3


def test_diverged_trial_scores_0_and_search_continues(split, trials_run, monkeypatch):
    fit = recipes.fit

    def diverge(recipe, seed, train):
        _, run = fit(recipe, seed, train)
        if len(trials_run) in (2, 4):
            raise Diverged(float("nan"), 1, run.folder)
        return recipe, run

    monkeypatch.setattr(recipes, "fit", diverge)
    table = search(split, 5)
    assert [value == 0 for value in table["mean IoU"]] == [False, True, False, True, False]
    assert table["learning_rate"].nunique() == 5 == len(trials_run)
    (remaining,) = runs_folder().iterdir()  # no weights of a trial, diverged or not
    assert remaining.name.startswith("search-tiny-")


def test_search_with_real_and_diverged_training(split, folders, tiny_unet, monkeypatch, eager):
    def build_nan_model(**options):
        model = tiny_unet(**options)
        model.set_weights([weight * np.nan for weight in model.get_weights()])
        return model

    monkeypatch.setitem(recipes.ARCHITECTURES, "unet", tiny_unet)
    assert search(split, 2)["mean IoU"].between(0.001, 1).all()
    monkeypatch.setitem(recipes.ARCHITECTURES, "unet", build_nan_model)
    assert search(split, 2, seed=1)["mean IoU"].to_list() == [0, 0]


@pytest.mark.parametrize("change", [{"seed": 1}, {"space": {"dice": (0.0, 1.0)}}])
def test_changed_search_starts_over(split, trials_run, change):
    search(split, 1)
    search(split, 1, **change)
    assert len(trials_run) == 2


def test_other_errors_end_search(split, trials_run, monkeypatch):
    def fit(recipe, seed, train):
        raise ValueError("no such layer")

    monkeypatch.setattr(recipes, "fit", fit)
    with pytest.raises(ValueError, match="no such layer"):
        search(split, 1)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match="pip install optuna"):
        search(split, 1)


@pytest.mark.parametrize(
    ("trials", "space", "match"),
    [
        (0, SPACE, "trials is 0"),
        (1, {"loss": (0, 1)}, "'loss' is 'cross-entropy' in recipe 'tiny'"),
        (1, {"fine_tune": (0, 1)}, "'fine_tune' is True"),
        (1, {"momentun": (0, 1)}, "'momentun' is None"),
        (1, {"dice": (0.6, 1.0)}, "dice is 0.5 in recipe 'tiny', .* 0.6 to 1.0"),
        (1, {"dice": (-1.0, 1.0)}, "-1.0 to 1.0"),
    ],
)
def test_invalid_search_raises(split, trials_run, trials, space, match):
    with pytest.raises(ValueError, match=match):
        search(split, trials, space=space)
