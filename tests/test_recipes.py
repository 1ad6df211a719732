"""A recipe gives one whole row of the ledger, and the row gives the recipe back."""

import json
import subprocess
from dataclasses import asdict, fields, replace
from datetime import date
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from labkit import classes, data, losses, metrics, recipes, training
from labkit.models.unet import unet_model
from labkit.recipes import Recipe

pytestmark = pytest.mark.filterwarnings("ignore:Even though the .*tf.data:UserWarning")
TINY = replace(recipes.find("laboratory"), name="tiny", batch_size=6, epochs=1, image_size=32)
HERE = {"source": data.SYNTHETIC, "limit": (6, 4)}
ROW = {
    *("recipe", "seed", "source", "images", "date", "commit", "versions", "device", "seconds"),
    *("history", "test"),
}
SCORES = {
    *("loss", "accuracy", "mean IoU"),
    *(
        f"{name} {kind} {how}"
        for name in classes.NAMES
        for kind in ("IoU", "Dice")
        for how in ("pooled", "per image")
    ),
}
LEDGER = Path(__file__).parents[1] / recipes.LEDGER


@pytest.fixture(autouse=True, scope="module")
def _eager():
    """Without compiling, which takes longer than this training."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The row of one small run, and the ledger that holds it."""
    ledger = tmp_path_factory.mktemp("book") / "new" / "runs.jsonl"
    return recipes.run(TINY, seed=1, **HERE, ledger=ledger), ledger


def tiny_unet(num_classes=3, image_size=32, seed=0, **_):
    start = keras.initializers.GlorotUniform(seed)
    return keras.Sequential(
        [
            keras.Input((image_size, image_size, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(num_classes, 3, padding="same", kernel_initializer=start),
        ]
    )


@pytest.fixture
def no_unet(monkeypatch):
    """A model of one layer in the place of the U-Net; returns how each was asked for."""
    asked = []
    monkeypatch.setattr(
        recipes, "unet_model", lambda **options: asked.append(options) or tiny_unet(**options)
    )
    return asked


# --- the declared recipes ------------------------------------------------------------------------


def test_the_laboratory_work_s_recipe_is_what_the_laboratory_work_does():
    recipe = recipes.find("laboratory")
    assert (recipe.pixel_range, recipe.momentum) == ((0, 1), 0.99)
    assert (recipe.batch_size, recipe.learning_rate, recipe.epochs) == (64, 1e-3, 10)
    assert recipe.image_size == 128


def test_each_recipe_is_called_by_its_name_and_survives_json():
    for name, recipe in recipes.RECIPES.items():
        assert recipes.find(name) is recipe and recipe.name == name
        again = Recipe(**json.loads(json.dumps(asdict(recipe))))
        assert replace(again, pixel_range=tuple(again.pixel_range)) == recipe


def test_an_unknown_recipe_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match="recipe is 'lab': use one of laboratory"):
        recipes.find("lab")


# --- a run ---------------------------------------------------------------------------------------


def test_a_run_writes_one_row_that_json_gives_back(run):
    row, ledger = run
    assert ledger.read_text().endswith("}\n")
    assert recipes.rows(ledger) == [json.loads(json.dumps(row))]


def test_a_row_holds_its_recipe_whole_and_where_it_comes_from(run):
    row = run[0]
    assert set(row) == ROW
    assert Recipe(**row["recipe"]) == TINY
    assert (row["seed"], row["source"], row["images"]) == (1, "synthetic", [6, 4])
    assert row["device"] in ("CPU", "GPU")
    assert {"python", "tensorflow", "keras", "numpy"} <= set(row["versions"])
    assert abs((date.today() - date.fromisoformat(row["date"])).days) <= 1
    assert len(row["history"]["loss"]) == TINY.epochs
    assert row["seconds"] == sum(row["history"]["seconds"]) > 0


def test_a_row_s_scores_lie_where_scores_can(run):
    scores = run[0]["test"]
    assert set(scores) == SCORES
    for name, value in scores.items():
        assert type(value) is float and value >= 0, name
        assert value <= 1 or name == "loss", name


def test_the_same_run_again_is_loaded_and_appends_a_row_with_the_same_scores(
    run, tmp_path, monkeypatch
):
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("it was trained again"))
    ledger = tmp_path / "runs.jsonl"
    ledger.write_text(run[1].read_text())
    again = recipes.run(TINY, seed=1, **HERE, ledger=ledger)
    first, second = recipes.rows(ledger)
    assert first == json.loads(json.dumps(run[0]))
    assert second == json.loads(json.dumps(again))
    assert second["history"] == first["history"]
    for name in SCORES:
        assert second["test"][name] == pytest.approx(first["test"][name], rel=1e-5), name


def test_a_recipe_reaches_the_model_the_batches_and_the_optimizer(no_unet, folders, monkeypatch):
    seen = {}

    def train(model, train_ds, **options):
        seen.update(options, train_ds=train_ds)
        return training.Run({"loss": [1.0], "seconds": [2.0]}, folders)

    monkeypatch.setattr(training, "train", train)
    recipe = Recipe("mine", (-1, 1), 0.5, batch_size=2, learning_rate=0.25, epochs=7, image_size=32)
    row = recipes.run(recipe, seed=4, **HERE, ledger=None)
    assert no_unet == [{"image_size": 32, "pixel_range": (-1, 1), "momentum": 0.5, "seed": 4}]
    assert (seen["epochs"], seen["name"]) == (7, "mine-4")
    assert (seen["train_ds"].batch_size, seen["train_ds"].seed) == (2, 4)
    assert len(seen["train_ds"].split) == 6
    assert isinstance(seen["optimizer"], keras.optimizers.Adam)
    assert float(seen["optimizer"].learning_rate) == 0.25
    assert row["seconds"] == 2.0
    assert not list(folders.rglob("runs.jsonl"))  # ledger=None writes nothing


def test_the_real_data_is_not_replaced_by_synthetic_pets(folders, monkeypatch):
    monkeypatch.setattr(data, "reachable", lambda *_: False)
    with pytest.raises(ConnectionError, match="oxford_iiit_pet is not in"):
        recipes.run(TINY, ledger=None)


# --- scores --------------------------------------------------------------------------------------


def test_scores_are_those_of_the_predicted_masks(folders):
    split = data.load(data.SYNTHETIC, 32, (1, 5)).test
    model = tiny_unet()
    model.compile()
    scores = recipes.score(model, split)
    logits = model.predict_on_batch(split.images)
    pred_masks = logits.argmax(-1)[..., np.newaxis]
    loss = float(losses.CrossEntropy()(np.asarray(split.masks), logits))
    assert scores["loss"] == pytest.approx(loss, rel=1e-5)
    assert scores["accuracy"] == metrics.accuracy(split.masks, pred_masks)
    assert scores["mean IoU"] == metrics.mean_iou(split.masks, pred_masks)
    pooled, by_image = (metrics.iou(split.masks, pred_masks, how) for how in metrics.AVERAGES)
    assert [scores[f"{name} IoU pooled"] for name in classes.NAMES] == list(pooled)
    assert [scores[f"{name} IoU per image"] for name in classes.NAMES] == list(by_image)
    dice = metrics.dice(split.masks, pred_masks, "image")
    assert scores["border Dice per image"] == dice[classes.BORDER]


# --- the course's model --------------------------------------------------------------------------


def test_the_course_s_model_is_trained_once_and_loaded_afterwards(folders, no_unet, monkeypatch):
    pets = data.load(data.SYNTHETIC, 32, (20, 2))
    first, trained = recipes.course_model(pets, epochs=1)
    assert no_unet == [{"seed": 0}] and trained.folder.name.startswith("course-")
    assert {"val_mean_iou", "mean_iou"} <= set(trained.history)
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("it was trained again"))
    again, loaded = recipes.course_model(pets, epochs=1)
    assert loaded == trained
    np.testing.assert_equal(again.get_weights(), first.get_weights())
    start = tiny_unet(seed=0).get_weights()
    assert not np.array_equal(again.get_weights()[0], start[0])


# --- the ledger ----------------------------------------------------------------------------------


def test_rows_come_oldest_first_and_blank_lines_do_no_harm(tmp_path):
    ledger = tmp_path / "a" / "b" / "runs.jsonl"
    for number in range(3):
        recipes.append({"number": number, "name": "кот"}, ledger)
    ledger.write_text(ledger.read_text() + "\n")
    assert [row["number"] for row in recipes.rows(ledger)] == [0, 1, 2]
    assert recipes.rows(str(ledger))[0]["name"] == "кот"


def test_a_missing_ledger_is_an_error_that_says_how_to_make_one(tmp_path):
    match = "runs.jsonl is not there: .*`labkit run laboratory`"
    with pytest.raises(FileNotFoundError, match=match):
        recipes.rows(tmp_path / "runs.jsonl")


def test_comparison_puts_reported_figures_beside_those_of_the_run(run):
    table = recipes.comparison(run[0])
    assert list(table.columns) == ["laboratory work", "run here", "difference"]
    assert list(table.index) == list(recipes.LABORATORY_WORK)
    assert table.loc["accuracy", "laboratory work"] == 0.8993
    scores = run[0]["test"]
    assert table.loc["loss", "run here"] == round(scores["loss"], 4)
    difference = scores["accuracy"] - 0.8993
    assert table.loc["accuracy", "difference"] == pytest.approx(difference, abs=1e-4)
    other = recipes.comparison(run[0], {"pet IoU pooled": 0.5})
    assert list(other.index) == ["pet IoU pooled"]


def test_summary_has_each_class_and_their_mean(run):
    table = recipes.summary(run[0])
    assert list(table.index) == ["pet", "background", "border", "mean"]
    assert list(table.columns) == ["IoU pooled", "IoU per image", "Dice pooled", "Dice per image"]
    scores = run[0]["test"]
    assert table.loc["border", "Dice per image"] == round(scores["border Dice per image"], 4)
    by_class = [scores[f"{name} IoU pooled"] for name in classes.NAMES]
    assert table.loc["mean", "IoU pooled"] == pytest.approx(np.mean(by_class), abs=1e-4)


@pytest.mark.skipif(not LEDGER.exists(), reason="no run has been kept yet")
def test_every_row_of_the_repository_s_ledger_is_whole():
    kept = recipes.rows(LEDGER)
    assert kept
    for row in kept:
        assert set(row) >= ROW
        assert set(row["recipe"]) == {field.name for field in fields(Recipe)}
        assert asdict(Recipe(**row["recipe"])) == row["recipe"]
        assert set(row["test"]) >= SCORES
        assert row["source"] == data.REAL and row["images"] == [3680, 3669]
        assert len(row["history"]["loss"]) == row["recipe"]["epochs"]
        assert recipes.comparison(row).notna().all(axis=None)
        assert recipes.summary(row).to_numpy().max() <= 1


# --- the commit of a run -------------------------------------------------------------------------


def test_the_commit_says_whether_the_code_was_changed(tmp_path, monkeypatch):
    def git(*words):
        identity = ["-c", "user.name=n", "-c", "user.email=e"]
        subprocess.run(["git", *identity, *words], check=True, capture_output=True)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert recipes.commit() == "unknown"
    git("init")
    (tmp_path / "labkit").mkdir()
    (tmp_path / "labkit" / "a.py").write_text("1")
    (tmp_path / "other").write_text("1")
    git("add", ".")
    git("commit", "-m", "first")
    clean = recipes.commit()
    assert len(clean) == 12 and set(clean) <= set("0123456789abcdef")
    (tmp_path / "other").write_text("2")
    assert recipes.commit() == clean  # not part of the code
    (tmp_path / "labkit" / "a.py").write_text("2")
    assert recipes.commit() == clean + "+"


def test_without_git_the_commit_is_unknown(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert recipes.commit() == "unknown"


def test_a_run_uses_the_course_s_own_unet():
    assert recipes.unet_model is unet_model
