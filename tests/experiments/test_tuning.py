"""The search for settings: its trials, interruptions and diverged trainings."""

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


def test_first_trial_is_unchanged_recipe(split, trials_run):
    table = search(split, 1)
    assert table.loc[0, "learning_rate"] == RECIPE.learning_rate
    assert trials_run == [(RECIPE, 0, 18)]


def test_trials_change_only_settings_of_space(split, trials_run):
    table = search(split, 12)
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
    assert len(trials_run) == 7
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "elsewhere"))
    uninterrupted = search(split, 7)
    np.testing.assert_allclose(extended, uninterrupted)


def test_interrupted_trial_is_repeated(split, trials_run, monkeypatch):
    fit = recipes.fit

    def stop(recipe, seed, train):
        fit(recipe, seed, train)
        if len(trials_run) == 3:
            raise KeyboardInterrupt
        return fit(recipe, seed, train)

    monkeypatch.setattr(recipes, "fit", stop)
    with pytest.raises(KeyboardInterrupt):
        search(split, 3)
    monkeypatch.setattr(recipes, "fit", fit)
    interrupted = trials_run[-1]
    table = search(split, 3)
    assert interrupted in trials_run[3:]
    assert len(table) == 3


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
    (remaining,) = runs_folder().iterdir()
    assert remaining.name.startswith("search-tiny-")


def test_diverged_real_training_scores_0(split, folders, tiny_unet, monkeypatch, eager):
    def build_nan_model(**options):
        model = tiny_unet(**options)
        model.set_weights([weight * np.nan for weight in model.get_weights()])
        return model

    monkeypatch.setitem(recipes.ARCHITECTURES, "unet", build_nan_model)
    assert search(split, 2)["mean IoU"].to_list() == [0, 0]


def test_other_errors_end_search(split, trials_run, monkeypatch):
    def fit(recipe, seed, train):
        raise ValueError("no such layer")

    monkeypatch.setattr(recipes, "fit", fit)
    with pytest.raises(ValueError, match="no such layer"):
        search(split, 1)


def test_finished_search_does_not_train(split, trials_run):
    first = search(split, 2)
    count = len(trials_run)
    np.testing.assert_array_equal(search(split, 2), first)
    assert len(trials_run) == count


@pytest.mark.parametrize("change", [{"seed": 1}, {"space": {"dice": (0.0, 1.0)}}])
def test_changed_search_starts_over(split, trials_run, change):
    search(split, 1)
    search(split, 1, **change)
    assert len(trials_run) == 2


def test_trial_weights_are_deleted(split, trials_run):
    search(split, 2)
    (remaining,) = runs_folder().iterdir()
    assert remaining.name.startswith("search-tiny-")


def test_search_with_real_training(split, folders, tiny_unet, monkeypatch, eager):
    monkeypatch.setitem(recipes.ARCHITECTURES, "unet", tiny_unet)
    table = search(split, 2)
    assert table["mean IoU"].between(0, 1).all()


def test_missing_optuna_raises(split, trials_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match="pip install optuna"):
        search(split, 1)


@pytest.mark.parametrize(
    ("trials", "space", "match"),
    [
        (0, SPACE, "trials is 0: use 1 or more"),
        (
            1,
            {"loss": (0, 1)},
            "'loss' is 'cross-entropy' in recipe 'tiny': only numbers can be searched",
        ),
        (1, {"fine_tune": (0, 1)}, "'fine_tune' is True"),
        (1, {"momentun": (0, 1)}, "'momentun' is None"),
        (1, {"dice": (0.6, 1.0)}, "dice is 0.5 in recipe 'tiny', outside its limits 0.6 to 1.0"),
        (1, {"dice": (-1.0, 1.0)}, "outside its limits -1.0 to 1.0"),
    ],
)
def test_invalid_search_raises(split, trials_run, trials, space, match):
    with pytest.raises(ValueError, match=match):
        search(split, trials, space=space)
