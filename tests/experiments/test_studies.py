"""Studies: their rows can be written as JSON and match what was trained."""

import json
from dataclasses import replace

import numpy as np
import pytest

from labkit import classes, cli, data, training
from labkit.experiments import ledger, recipes, studies, tuning
from labkit.methods import cascade, export
from labkit.models.unet import unet_model
from labkit.models.unetpp import unetpp_model

pytestmark = pytest.mark.usefixtures("eager", "short_encoder")


@pytest.fixture(scope="module")
def pets(_sealed):
    return data.load(data.SYNTHETIC, 64, (12, 4))


@pytest.fixture
def fit_calls(monkeypatch):
    """Replaces training by building small U-Nets; returns the arguments of each call."""
    calls = []

    def build(recipe, seed):
        return unet_model(
            image_size=recipe.image_size, weights=None, filters=(8, 8, 8, 8), seed=seed
        )

    def fit(recipe, seed, train, model=None):
        calls.append((recipe, seed, train, model))
        return model or build(recipe, seed), None

    monkeypatch.setattr(recipes, "build", build)
    monkeypatch.setattr(recipes, "fit", fit)
    monkeypatch.setattr(studies, "BASE", replace(studies.BASE, image_size=64))
    return calls


def via_json(rows):
    return [json.loads(json.dumps(row)) for row in rows]


def test_pruning_study_shrinks_and_retrains_models(pets, fit_calls, monkeypatch):
    monkeypatch.setattr(studies, "SHARES", (0.0, 0.5))
    original, pruned = via_json(studies.study_pruning(pets, 1))
    assert (original["share"], pruned["share"]) == (0.0, 0.5)
    assert pruned["parameters"] < original["parameters"] and pruned["MB"] < original["MB"]
    assert original["before"] == original["after"] and original["ms"] > 0
    assert pruned["before"]["mean IoU"] >= 0
    base, first, second = fit_calls
    assert base[3] is None and first[3] is not None and second[3] is not first[3]
    assert second[3].count_params() == pruned["parameters"]
    assert first[0].name != second[0].name and second[0].epochs == 1


@pytest.mark.slow
def test_cascade_study_trains_on_full_images_and_crops(pets, fit_calls):
    (row,) = via_json(studies.study_cascade(pets, 2))
    (coarse, seed, full, _), (fine, _, crops, _) = fit_calls
    assert seed == 2 and [recipe["image_size"] for recipe in row["recipes"]] == [64, 96]
    assert [recipe["name"] for recipe in row["recipes"]] == [coarse.name, fine.name]
    assert full.images.shape == (12, 64, 64, 3) and crops.images.shape == (12, 96, 96, 3)
    expected = cascade.crops(
        pets.train, cascade.bounding_boxes(pets.train.masks), studies.CROP_SIZE
    )
    assert (crops.images == expected.images).all()
    assert 0 <= row["test"]["mean IoU"] <= 1
    assert row["ms"] > 0 and row["ms of one network"] > 0


def test_export_study_has_row_per_file(pets, fit_calls, monkeypatch):
    compare = export.compare

    def one_format(model, split, images):
        assert len(images) == 12 and split is pets.test
        return compare(model, split, images, {".tflite": ["float32"]})

    monkeypatch.setattr(export, "compare", one_format)
    rows = via_json(studies.study_export(pets, 0))
    assert [row["file"] for row in rows] == ["Keras, float32", "LiteRT, float32"]
    assert {"MB", "ms", "mean IoU", "pet IoU", "same"} < set(rows[0])


def test_few_images_study_keeps_number_of_steps(pets, fit_calls, monkeypatch):
    monkeypatch.setattr(studies, "FEW_COUNTS", (5, 12))
    monkeypatch.setattr(studies, "FEW_STEPS", 6)
    monkeypatch.setattr(studies, "BASE", replace(studies.BASE, batch_size=4))
    rows = via_json(studies.study_few(pets, 1))
    assert [row["images"] for row in rows] == [5] * 4 + [12] * 4
    assert [row["change"] for row in rows[:4]] == list(studies.FEW_CHANGES)
    for (recipe, seed, train, _), row in zip(fit_calls, rows, strict=True):
        assert seed == 1 and len(train) == row["images"]
        assert recipe.epochs == {5: 3, 12: 2}[len(train)]  # epochs of 2 and 3 batches
        assert {"mean IoU"} < set(row["train"]) & set(row["test"])
    few, many = fit_calls[0][2], fit_calls[-1][2]
    assert set(few.table["name"]) < set(many.table["name"])
    changed_recipes = [fit_calls[number][0] for number in range(4)]
    assert [recipe.augmented for recipe in changed_recipes] == [True, False, True, True]
    assert [recipe.fine_tune for recipe in changed_recipes] == [True, True, False, True]
    assert [recipe.pretrained for recipe in changed_recipes] == [True, True, True, False]


def test_seamed_changes_colors_at_mask_outline(pets):
    gray = replace(pets.test, images=np.full_like(pets.test.images, 128))
    masks = np.full_like(gray.masks, classes.BACKGROUND)
    masks[:, 16:48, 16:48] = 0
    colors = studies.with_seam(gray, masks, seed=0).images.astype(int)
    inside, outside = colors[:, 32, 32], colors[:, 4, 4]
    assert (inside != outside).any(axis=-1).all()
    assert (colors[:, 20, 20] == inside).all() and (colors[:, 60, 60] == outside).all()
    assert (colors == studies.with_seam(gray, masks, seed=0).images).all()


def test_seam_study_has_row_per_seam_and_recipe(pets, fit_calls, monkeypatch):
    monkeypatch.setattr(studies, "SEAM_IMAGES", 2)
    small_recipes = {name: replace(recipes.find(name), image_size=64) for name in recipes.RECIPES}
    monkeypatch.setattr(recipes, "find", small_recipes.get)
    rows = via_json(studies.study_seam(pets, 0))
    assert [row["seam"] for row in rows] == ["none", "outline", "beside it"] * 2
    names = [row["recipe"]["name"] for row in rows]
    assert names == ["short"] * 3 + ["short-augmentation-apart"] * 3
    assert all(row["images"] == 2 and 0 <= row["test"]["mean IoU"] <= 1 for row in rows)


def test_tuning_study_uses_train_split_only(pets, monkeypatch):
    import pandas as pd

    def search(recipe, split, trials, seed):
        assert split is pets.train and trials == studies.TRIALS and seed == 3
        return pd.DataFrame([{"dice": 0.5, "mean IoU": 0.6}, {"dice": 0.1, "mean IoU": 0.7}])

    monkeypatch.setattr(tuning, "search", search)
    rows = via_json(studies.study_tuning(pets, 3))
    assert rows[1].pop("recipe")["epochs"] == studies.TRIAL.epochs
    assert rows[1] == {"trial": 1, "dice": 0.1, "mean IoU": 0.7}


def test_command_adds_rows_with_provenance(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(ledger, "LEDGER", tmp_path / "runs.jsonl")
    monkeypatch.setattr(data, "load", lambda *_: "pets")
    monkeypatch.setattr(studies, "study_tuning", lambda pets, seed: iter([{"trial": 0}]))
    assert cli.main(["study", "tuning", "--seeds", "0", "4"]) == 0
    assert "tuning, seed 4: rows added" in capsys.readouterr().out
    lines = (tmp_path / "tuning.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [(row["seed"], row["trial"]) for row in rows] == [(0, 0), (4, 0)]
    assert {"started", "commit", "machine"} < set(rows[0])


def test_each_study_of_command_exists():
    assert all(callable(getattr(studies, f"study_{name}")) for name in cli.STUDIES)


def test_unknown_study_raises(capsys):
    with pytest.raises(SystemExit):
        cli.main(["study", "soup"])
    assert "invalid choice: 'soup' (choose from" in capsys.readouterr().err


def test_trials_are_shorter_than_base_recipe():
    assert studies.TRIAL.epochs < studies.BASE.epochs
    tuning.check(studies.TRIAL, studies.TRIALS, tuning.SPACE)


def test_command_without_clone_does_not_train(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(ledger, "LEDGER", tmp_path / "missing" / "runs.jsonl")
    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("it was trained"))
    assert cli.main(["study", "pruning"]) == 1
    assert "not in a clone of the course" in capsys.readouterr().err


@pytest.mark.slow
def test_depths_study_has_row_per_depth(pets, monkeypatch):
    def fit(recipe, seed, train):
        options = {"image_size": 64, "weights": None, "filters": (8, 8, 8, 8), "seed": seed}
        return unetpp_model(**options), None

    monkeypatch.setattr(recipes, "fit", fit)
    full_model, *pruned = via_json(studies.study_depths(pets, 0))
    assert [row["depth"] for row in (full_model, *pruned)] == [0, 1, 2, 3, 4]
    sizes = [row["parameters"] for row in pruned]
    assert sizes == sorted(set(sizes)) and sizes[-1] <= full_model["parameters"]
    assert all(0 <= row["test"]["mean IoU"] <= 1 for row in pruned)
    assert full_model["recipe"]["name"] == "short-unetpp"


@pytest.mark.slow
def test_cost_study_has_row_per_recipe(pets, monkeypatch):
    monkeypatch.setattr(studies, "COST_RECIPES", ["quick", "short-aff-unet"])
    monkeypatch.setattr(export, "ROUNDS", 1)
    declared = [replace(recipes.find(name), image_size=64) for name in studies.COST_RECIPES]
    small = [replace(recipe, batch_size=4, filters=(8, 8, 8, 8)) for recipe in declared]
    monkeypatch.setattr(recipes, "find", dict(zip(studies.COST_RECIPES, small, strict=True)).get)
    monkeypatch.setattr(studies, "BASE", replace(small[0], name="short"))
    monkeypatch.setattr(studies, "SHARES", (0.0, 0.5))
    quick, other, pruned = via_json(studies.study_cost(pets, 0))
    assert (quick["recipe"]["name"], other["recipe"]["name"]) == ("quick", "short-aff-unet")
    assert quick["parameters"] == recipes.build(small[0], 0).count_params()
    assert quick["parameters"] != other["parameters"]
    assert pruned["recipe"]["name"] == "short-pruned-0.5"
    assert pruned["parameters"] < quick["parameters"]
    rows = (quick, other, pruned)
    assert all(row[name] > 0 for row in rows for name in ("MB", "ms", "ms to train"))


def test_costed_recipes_are_declared():
    assert [recipes.find(name).name for name in studies.COST_RECIPES] == studies.COST_RECIPES


def test_failed_study_writes_nothing(monkeypatch, tmp_path):
    def failing_study(pets, seed):
        yield {"trial": 0}
        raise ValueError("power cut")

    monkeypatch.setattr(ledger, "LEDGER", tmp_path / "runs.jsonl")
    monkeypatch.setattr(data, "load", lambda *_: "pets")
    monkeypatch.setattr(studies, "study_tuning", failing_study)
    assert cli.main(["study", "tuning"]) == 1
    assert list(tmp_path.iterdir()) == []
