"""The search for settings: on validation images alone, the same after an interruption."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from labkit import data, training
from labkit.analysis import scores
from labkit.experiments import recipes, tuning

RECIPE = replace(recipes.find("short"), name="tiny", epochs=1, image_size=32)
SPACE = {"learning_rate": (1e-4, 1e-1), "dice": (0.0, 1.0)}


@pytest.fixture
def split(_sealed):
    return data.load(data.SYNTHETIC, 32, (20, 2)).train


@pytest.fixture
def trained(monkeypatch, folders):
    """No training: the score of a recipe is best for a rate of 0.01. Gives what was tried."""
    tried = []

    def fit(recipe, seed, train):
        tried.append((recipe, seed, len(train)))
        folder = training.runs_folder() / f"{recipe.name}-{len(tried)}"
        folder.mkdir(parents=True)
        return recipe, training.Run({}, folder)

    def score(recipe, split):
        distance = abs(np.log10(recipe.learning_rate) + 2)
        return {"mean IoU": 1 - distance / 4, "size": len(split)}

    monkeypatch.setattr(recipes, "fit", fit)
    monkeypatch.setattr(scores, "score", score)
    return tried


def search(split, trials, **options):
    return tuning.search(RECIPE, split, trials, **{"space": SPACE, **options})


def test_the_first_trial_is_the_recipe_as_it_is(split, trained):
    table = search(split, 1)
    assert table.loc[0, "learning_rate"] == RECIPE.learning_rate
    assert trained == [(RECIPE, 0, 18)]


def test_each_trial_lies_in_the_space_and_changes_nothing_else(split, trained):
    table = search(split, 12)
    assert len(table) == 12 == len(trained)
    for name, (low, high) in SPACE.items():
        assert table[name].between(low, high).all() and table[name].nunique() == 12
    for recipe, _, _ in trained:
        assert replace(recipe, learning_rate=RECIPE.learning_rate, dice=RECIPE.dice) == RECIPE


def test_trials_come_to_where_the_score_is_good(split, trained):
    table = search(split, 30)
    distance = abs(np.log10(table["learning_rate"]) + 2)
    assert distance[15:].median() < distance[1:10].median()
    assert table["mean IoU"].idxmax() == distance.idxmin()


def test_a_search_goes_on_with_what_it_would_have_tried(split, trained, monkeypatch, tmp_path):
    search(split, 4)
    again = search(split, 7)
    assert len(trained) == 7
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "elsewhere"))
    whole = search(split, 7)
    np.testing.assert_allclose(again, whole)


def test_an_interrupted_trial_is_tried_again(split, trained, monkeypatch):
    fit = recipes.fit

    def stop(recipe, seed, train):
        fit(recipe, seed, train)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return fit(recipe, seed, train)

    monkeypatch.setattr(recipes, "fit", stop)
    with pytest.raises(KeyboardInterrupt):
        search(split, 3)
    monkeypatch.setattr(recipes, "fit", fit)
    broken = trained[-1]
    table = search(split, 3)
    assert broken in trained[3:]
    assert len(table) == 3


def test_a_trial_that_diverges_is_a_bad_one_and_the_search_goes_on(split, trained, monkeypatch):
    fit = recipes.fit

    def diverge(recipe, seed, train):
        _, run = fit(recipe, seed, train)
        if len(trained) in (2, 4):
            raise training.Diverged(float("nan"), 1, run.folder)
        return recipe, run

    monkeypatch.setattr(recipes, "fit", diverge)
    table = search(split, 5)
    assert [value == 0 for value in table["mean IoU"]] == [False, True, False, True, False]
    assert table["learning_rate"].nunique() == 5 == len(trained)
    (left,) = training.runs_folder().iterdir()
    assert left.name.startswith("search-tiny-")


def test_a_real_training_that_diverges_scores_nothing(
    split, folders, tiny_unet, monkeypatch, eager
):
    def spoilt(**options):
        model = tiny_unet(**options)
        model.set_weights([weight * np.nan for weight in model.get_weights()])
        return model

    monkeypatch.setitem(recipes.ARCHITECTURES, "unet", spoilt)
    assert search(split, 2)["mean IoU"].to_list() == [0, 0]


def test_another_mistake_ends_the_search(split, trained, monkeypatch):
    def fit(recipe, seed, train):
        raise ValueError("no such layer")

    monkeypatch.setattr(recipes, "fit", fit)
    with pytest.raises(ValueError, match="no such layer"):
        search(split, 1)


def test_a_finished_search_trains_nothing(split, trained):
    first = search(split, 2)
    count = len(trained)
    np.testing.assert_array_equal(search(split, 2), first)
    assert len(trained) == count


@pytest.mark.parametrize("change", [{"seed": 1}, {"space": {"dice": (0.0, 1.0)}}])
def test_another_search_begins_anew(split, trained, change):
    search(split, 1)
    search(split, 1, **change)
    assert len(trained) == 2


def test_the_weights_of_a_trial_are_not_kept(split, trained):
    search(split, 2)
    (left,) = training.runs_folder().iterdir()
    assert left.name.startswith("search-tiny-")


def test_a_real_search_scores_what_it_trained(split, folders, tiny_unet, monkeypatch, eager):
    monkeypatch.setitem(recipes.ARCHITECTURES, "unet", tiny_unet)
    table = search(split, 2)
    assert table["mean IoU"].between(0, 1).all()


def test_without_optuna_it_says_what_to_install(split, trained, monkeypatch):
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
def test_what_can_not_be_searched_is_refused(split, trained, trials, space, match):
    with pytest.raises(ValueError, match=match):
        search(split, trials, space=space)
