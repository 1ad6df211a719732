"""Studies: their rows can be written as JSON and match what was trained."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from labkit import classes, cli, data
from labkit.experiments import declared, ledger, recipes, studies, tuning
from labkit.methods import cascade, export
from labkit.models.unet import unet_model
from labkit.models.unetpp import unetpp_model
from labkit.runs.folder import Run

pytestmark = pytest.mark.usefixtures("eager", "short_encoder")
FEW = (8, 8, 8, 8)


@pytest.fixture(scope="module")
def pets(_sealed):
    return data.load(data.SYNTHETIC, 64, (12, 4))


@pytest.fixture
def fit_calls(monkeypatch):
    """Replaces training by building small networks; returns the arguments of each call."""
    calls = []

    def build(recipe, seed):
        make = unetpp_model if recipe.architecture == "UNet++" else unet_model
        filters = FEW[recipe.enlarge - 1 :]
        options = {"narrow": recipe.narrow, "enlarge": recipe.enlarge, "seed": seed}
        return make(image_size=recipe.image_size, weights=None, filters=filters, **options)

    def fit(recipe, seed, train, model=None):
        calls.append((recipe, seed, train, model))
        run = Run({"seconds": [1.0] * recipe.epochs}, "folder", {})
        return model or build(recipe, seed), run

    small_recipes = {name: replace(recipes.find(name), image_size=64) for name in declared.RECIPES}
    monkeypatch.setattr(recipes, "find", small_recipes.get)
    monkeypatch.setattr(recipes, "build", build)
    monkeypatch.setattr(recipes, "fit", fit)
    monkeypatch.setattr(studies, "BASE", recipes.find("short"))
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
    assert full.images.shape == (12, 64, 64, 3)
    boxes = cascade.bounding_boxes(pets.train.masks)
    np.testing.assert_array_equal(crops.images, cascade.crops(pets.train, boxes, 96).images)
    assert 0 <= row["test"]["mean IoU"] <= 1
    assert row["ms"] > 0 and row["ms of one network"] > 0


def test_design_study_scores_validation_images(pets, fit_calls, monkeypatch):
    monkeypatch.setattr(studies, "DESIGN", replace(studies.DESIGN, image_size=64))
    rows = via_json(studies.study_design(pets, 1))
    expected = [title for titles in studies.DESIGN_EPOCHS.values() for title in titles]
    assert [row["design"] for row in rows] == expected
    assert len({row["recipe"]["name"] for row in rows}) == len(rows)
    train, val = data.hold_out(pets.train)
    assert all(len(call[2]) == len(train) and call[1] == 1 for call in fit_calls)
    chosen = recipes.find("standard")
    for row in rows:
        network = [row["recipe"][name] for name in ("narrow", "enlarge", "filters")]
        if row["design"] == "plain":
            assert network == [False, 1, [512, 256, 128, 64]]
        if row["design"] == "enlarged, narrow skips":
            assert network == [chosen.narrow, chosen.enlarge, list(chosen.filters)]
        assert row["seconds"] == row["recipe"]["epochs"]
        assert ("narrow" in row["multiply-adds"]) == row["recipe"]["narrow"]
        low, high = row["intervals"]["mean IoU"]
        assert low <= row["validation"]["mean IoU"] <= high


def test_export_study_has_row_per_file(pets, fit_calls, monkeypatch):
    def compare(model, split, images):
        assert len(images) == 12 and split is pets.test
        return pd.DataFrame({"MB": [2.0, 1.0], "same": [1.0, 0.9]}, ["Keras", "LiteRT"])

    monkeypatch.setattr(export, "compare", compare)
    _, row = via_json(studies.study_export(pets, 0))
    assert row.pop("recipe")["name"] == "short"
    assert row == {"file": "LiteRT", "MB": 1.0, "same": 0.9}


def test_tuning_study_uses_train_split_only(pets, monkeypatch):
    def search(recipe, split, trials, seed):
        assert split is pets.train and trials == studies.TRIALS and seed == 3
        return pd.DataFrame([{"dice": 0.5, "mean IoU": 0.6}, {"dice": 0.1, "mean IoU": 0.7}])

    monkeypatch.setattr(tuning, "search", search)
    _, row = via_json(studies.study_tuning(pets, 3))
    assert row.pop("recipe")["epochs"] == studies.TRIAL.epochs < studies.BASE.epochs
    assert row == {"trial": 1, "dice": 0.1, "mean IoU": 0.7}
    tuning.check(studies.TRIAL, studies.TRIALS, tuning.SPACE)


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
    for number, name in enumerate(("augmented", "fine_tune", "pretrained"), start=1):
        changed = [k for k in range(4) if not getattr(fit_calls[k][0], name)]
        assert changed == [number]


def test_seam_changes_colors_at_mask_outline(pets):
    gray = replace(pets.test, images=np.full_like(pets.test.images, 128))
    masks = np.full_like(gray.masks, classes.BACKGROUND)
    masks[:, 16:48, 16:48] = classes.PET
    colors = studies.with_seam(gray, masks, seed=0).images.astype(int)
    inside, outside = colors[:, 32, 32], colors[:, 4, 4]
    assert (inside != outside).any(axis=-1).all()
    assert (colors[:, 20, 20] == inside).all() and (colors[:, 60, 60] == outside).all()
    assert (colors == studies.with_seam(gray, masks, seed=0).images).all()


def test_seam_study_has_row_per_seam_and_recipe(pets, fit_calls, monkeypatch):
    monkeypatch.setattr(studies, "SEAM_IMAGES", 2)
    rows = via_json(studies.study_seam(pets, 0))
    assert [row["seam"] for row in rows] == ["none", "outline", "beside it"] * 2
    names = [row["recipe"]["name"] for row in rows]
    assert names == ["short"] * 3 + ["short-augmentation-apart"] * 3
    assert all(row["images"] == 2 and 0 <= row["test"]["mean IoU"] <= 1 for row in rows)


@pytest.mark.slow
def test_depths_study_has_row_per_depth(pets, fit_calls):
    full_model, *pruned = via_json(studies.study_depths(pets, 0))
    assert [row["depth"] for row in (full_model, *pruned)] == [0, 1, 2, 3, 4]
    sizes = [row["parameters"] for row in pruned]
    assert sizes == sorted(set(sizes)) and sizes[-1] <= full_model["parameters"]
    assert all(0 <= row["test"]["mean IoU"] <= 1 for row in pruned)
    assert full_model["recipe"]["name"] == "short-unetpp"


@pytest.mark.slow
def test_cost_study_has_row_per_recipe(pets, monkeypatch):
    declared = [recipes.find(name) for name in ("quick", "short-aff-unet")]
    small = [replace(x, image_size=64, batch_size=4, filters=FEW) for x in declared]
    monkeypatch.setattr(recipes, "find", {recipe.name: recipe for recipe in small}.get)
    monkeypatch.setattr(studies, "COST_RECIPES", [recipe.name for recipe in small])
    monkeypatch.setattr(export, "ROUNDS", 1)
    monkeypatch.setattr(studies, "BASE", replace(small[0], name="short"))
    monkeypatch.setattr(studies, "SHARES", (0.0, 0.5))
    rows = quick, other, pruned = via_json(studies.study_cost(pets, 0))
    names = [row["recipe"]["name"] for row in rows]
    assert names == ["quick", "short-aff-unet", "short-pruned-0.5"]
    assert quick["parameters"] == recipes.build(small[0], 0).count_params()
    assert pruned["parameters"] < quick["parameters"] != other["parameters"]
    assert all(row[name] > 0 for row in rows for name in ("MB", "ms", "ms to train"))


def test_costed_recipes_and_studies_of_command_exist():
    assert [recipes.find(name).name for name in studies.COST_RECIPES] == studies.COST_RECIPES
    assert all(callable(getattr(studies, f"study_{name}")) for name in cli.STUDIES)


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def ready(monkeypatch, ledger_file):
    """Data and ImageNet's weights for the command, which are not used."""
    monkeypatch.setattr(data, "load", lambda *_: "pets")
    monkeypatch.setattr(cli, "check_encoder", lambda *_: None)


@pytest.mark.usefixtures("ready")
def test_command_adds_rows_with_provenance(monkeypatch, capsys):
    monkeypatch.setattr(studies, "study_tuning", lambda pets, seed: iter([{"trial": 0}]))
    assert cli.main(["study", "tuning", "--seeds", "0", "4"]) == 0
    assert "tuning, seed 4: rows added" in capsys.readouterr().out
    lines = ledger.study_file("tuning").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [(row["seed"], row["trial"]) for row in rows] == [(0, 0), (4, 0)]
    assert {"started", "commit", "machine"} < set(rows[0])


@pytest.mark.usefixtures("ready")
def test_failed_study_writes_nothing(monkeypatch, ledger_file):
    def failing_study(pets, seed):
        yield {"trial": 0}
        raise ValueError("power cut")

    monkeypatch.setattr(studies, "study_tuning", failing_study)
    assert cli.main(["study", "tuning"]) == 1
    assert list(ledger_file.parent.iterdir()) == []


def test_unknown_study_raises(capsys):
    with pytest.raises(SystemExit):
        cli.main(["study", "soup"])
    assert "'soup'" in capsys.readouterr().err
