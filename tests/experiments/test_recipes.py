"""A recipe gives one whole row for the ledger, and the row gives the recipe back."""

import json
from dataclasses import asdict, replace
from datetime import date

import keras
import numpy as np
import pytest

from labkit import data, losses, training
from labkit.experiments import ledger, recipes, tuning
from labkit.experiments.recipes import Recipe
from labkit.models.unet import unet_model

pytestmark = [
    pytest.mark.usefixtures("eager", "short_encoder"),
    pytest.mark.filterwarnings("ignore:Even though the .*tf.data:UserWarning"),
]
FEW = {"image_size": 32, "filters": (16, 12, 8, 8)}
TINY = replace(recipes.find("laboratory"), name="tiny", batch_size=6, epochs=1, **FEW)
HERE = {"source": data.SYNTHETIC, "limit": (6, 4)}
ROW = {
    *("recipe", "seed", "source", "images", "date", "commit", "versions", "backend", "device"),
    *("machine", "seconds", "peak memory", "history"),
}


@pytest.fixture(scope="module")
def row(_sealed, either_encoder):
    """The row of one small run."""
    return recipes.run(TINY, seed=1, **HERE)


@pytest.fixture
def no_unet(monkeypatch, tiny_unet):
    """A model of one layer in the place of the U-Net; returns how each was asked for."""
    asked = []

    def unet(**options):
        asked.append(options)
        return tiny_unet(**options)

    monkeypatch.setattr(recipes, "unet_model", unet)  # of the course's own model
    monkeypatch.setitem(recipes.ARCHITECTURES, "unet", unet)
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
        assert Recipe(**json.loads(json.dumps(asdict(recipe)))) == recipe


def test_the_standard_recipe_differs_from_the_laboratory_work_s_in_the_training_alone():
    """Encoder, image size and decoder are the same, so that a comparison is of recipes."""
    first, second = recipes.find("laboratory"), recipes.find("standard")
    assert (first.filters, first.image_size) == (second.filters, second.image_size)
    assert second.fine_tune and second.augmented and second.one_cycle and second.dice > 0


def test_an_unknown_recipe_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match="recipe is 'lab': use one of laboratory"):
        recipes.find("lab")


# --- a run ---------------------------------------------------------------------------------------


def test_a_row_survives_the_ledger(row, tmp_path):
    ledger.append(row, tmp_path / "runs.jsonl")
    assert ledger.rows(ledger=tmp_path / "runs.jsonl") == [json.loads(json.dumps(row))]


def test_a_row_holds_its_recipe_whole_and_where_it_comes_from(row):
    assert set(row) == ROW | {"test", "test intervals", "test with flips"}
    assert Recipe(**row["recipe"]) == TINY
    assert (row["seed"], row["source"], row["images"]) == (1, "synthetic", [6, 4])
    assert row["backend"] == "tensorflow" and row["device"] in ("CPU", "GPU")
    assert {"python", "tensorflow", "keras", "numpy"} <= set(row["versions"])
    assert abs((date.today() - date.fromisoformat(row["date"])).days) <= 1
    assert len(row["history"]["loss"]) == TINY.epochs
    assert row["seconds"] == sum(row["history"]["seconds"]) > 0


def test_every_score_has_its_interval(row):
    assert row["test"].keys() == row["test intervals"].keys() == row["test with flips"].keys()
    for name, (low, high) in row["test intervals"].items():
        assert low <= row["test"][name] <= high, name


def test_a_run_for_a_choice_never_touches_the_test_split(no_unet, monkeypatch):
    pets = data.load(data.SYNTHETIC, 32, (20, 3))
    hidden = data.Pets(pets.train, None, pets.source)
    monkeypatch.setattr(data, "load", lambda *_: hidden)
    row = recipes.run(TINY, on="validation", source=data.SYNTHETIC)
    assert row["images"] == [18, 2] and "test" not in row
    assert set(row["validation"]) == set(row["validation intervals"])


def test_a_split_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="on is 'train': use one of test, validation"):
        recipes.run(TINY, on="train", **HERE)


def test_the_same_run_again_is_loaded_and_has_the_same_scores(row, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("it was trained again"))
    again = recipes.run(TINY, seed=1, **HERE)
    assert again["history"] == row["history"]
    assert again["test"] == pytest.approx(row["test"], rel=1e-5)


def test_a_loaded_run_s_row_says_who_trained_it(row, monkeypatch):
    monkeypatch.setattr(training.profile, "commit", lambda: "later")
    monkeypatch.setattr(training.profile, "machine", lambda: "another")
    monkeypatch.setattr(training.profile, "peak_memory", lambda: {"host": 1e6})
    again = recipes.run(TINY, seed=1, **HERE)
    names = ("commit", "machine", "date", "versions", "backend", "device", "peak memory")
    assert {name: again[name] for name in names} == {name: row[name] for name in names}


def test_averaged_weights_are_what_is_scored_also_when_the_run_is_loaded(no_unet, folders):
    recipe = replace(TINY, weight_decay=1e-4, averaging=0.9, epochs=2, learning_rate=0.05)
    split = data.load(data.SYNTHETIC, 32, (12, 4)).train
    model, _ = recipes.fit(recipe, 0, split)
    again, _ = recipes.fit(recipe, 0, split)
    plain, _ = recipes.fit(replace(recipe, averaging=0.0), 0, split)
    np.testing.assert_allclose(again.get_weights()[0], model.get_weights()[0], rtol=1e-5)
    assert not np.allclose(plain.get_weights()[0], model.get_weights()[0], rtol=1e-3)


def test_a_recipe_reaches_the_model_the_batches_and_the_optimizer(no_unet, folders, monkeypatch):
    seen = {}

    def train(model, train_ds, **options):
        seen.update(options, train_ds=train_ds)
        return training.Run({"loss": [1.0], "seconds": [2.0]}, folders, {"commit": "abc"})

    monkeypatch.setattr(training, "train", train)
    recipe = Recipe(
        "mine",
        epochs=7,
        batch_size=2,
        learning_rate=0.25,
        fine_tune=True,
        pixel_range=(-1, 1),
        momentum=0.5,
        filters=(8, 4, 4, 4),
        image_size=32,
    )
    row = recipes.run(recipe, seed=4, **HERE)
    (asked,) = no_unet
    wanted = {"image_size": 32, "fine_tune": True, "pixel_range": (-1, 1), "momentum": 0.5}
    assert asked == {**wanted, "seed": 4, "filters": (8, 4, 4, 4), "weights": "auto"}
    assert (seen["epochs"], seen["name"]) == (7, "mine-4")
    assert (seen["train_ds"].batch_size, seen["train_ds"].seed) == (2, 4)
    assert len(seen["train_ds"].split) == 6 and not seen["train_ds"].augmented
    assert type(seen["optimizer"]) is keras.optimizers.Adam
    assert float(seen["optimizer"].learning_rate) == 0.25
    assert type(seen["loss"]) is losses.CrossEntropy
    assert seen["callbacks"] == []
    assert (row["seconds"], row["commit"]) == (2.0, "abc")
    richer = replace(recipe, augmented=True, weight_decay=0.1, averaging=0.5, dice=0.3)
    recipes.run(replace(richer, one_cycle=True, encoder_rate=0.2), seed=4, **HERE)
    assert seen["train_ds"].augmented
    assert (seen["optimizer"].weight_decay, seen["optimizer"].slow_rate) == (0.1, 0.2)
    assert (seen["optimizer"].use_ema, seen["optimizer"].ema_momentum) == (True, 0.5)
    assert max(float(seen["optimizer"]._learning_rate(step)) for step in range(21)) == 0.25
    assert seen["loss"].weights == [1.0, 0.3]


def test_the_encoder_alone_has_the_lower_rate(real_encoder):
    model = unet_model(image_size=32, weights=None)
    optimizer = recipes.optimizer(recipes.find("standard"), model, train_ds=range(3))
    encoder = model.get_layer("encoder").trainable_variables
    assert set(optimizer.slow) == {variable.path for variable in encoder}
    assert len(model.trainable_variables) > len(optimizer.slow) > 50


def test_the_real_data_is_not_replaced_by_synthetic_pets(folders, monkeypatch):
    monkeypatch.setattr(data, "reachable", lambda *_: False)
    with pytest.raises(ConnectionError, match="oxford_iiit_pet is not in"):
        recipes.run(TINY)


# --- the course's model --------------------------------------------------------------------------


def test_the_course_s_model_is_trained_once_and_loaded_afterwards(
    folders, no_unet, tiny_unet, monkeypatch
):
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


# --- the parts of a recipe ------------------------------------------------------------------------


def test_a_run_uses_the_course_s_own_unet():
    assert recipes.unet_model is unet_model
    assert recipes.ARCHITECTURES["unet"] is unet_model


def test_a_recipe_names_its_skips_and_whether_its_encoder_is_pretrained():
    model = recipes.build(recipes.find("scratch-not-8"), seed=1)
    names = [layer.name for layer in model.layers]
    assert "skip_16" in names and "skip_8" not in names
    assert model.get_layer("encoder").trainable


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ("unet", "UNet++") else pytest.mark.slow)
        for name in recipes.ARCHITECTURES
    ],
)
def test_each_architecture_can_be_named_in_a_recipe(name):
    recipe = Recipe("mine", architecture=name, image_size=32, pretrained=False, filters=(8,) * 4)
    assert recipes.build(recipe, 0).output_shape == (None, 32, 32, 3)


def changed(recipe):
    """The names of all settings in which a short or standard recipe differs from the plain one."""
    plain = vars(recipes.find(recipe.name.split("-")[0]))
    return {key for key, value in vars(recipe).items() if value != plain[key]} - {"name"}


def test_recipes_that_improve_change_one_thing():
    for name, recipe in recipes.RECIPES.items():
        if name.startswith(("short-", "standard-")) and name != "short-tuned":
            assert changed(recipe) in (
                {"architecture"}, {"dice"}, {"loss", "dice"}, {"augmented"}, {"fine_tune"}
            )  # fmt: skip


def test_the_tuned_recipe_is_the_best_trial_of_the_search():
    assert changed(recipes.find("short-tuned")) == set(tuning.SPACE)
    trials = ledger.study("tuning")
    best = trials.loc[trials[trials["seed"] == 0]["mean IoU"].idxmax()]
    for name in tuning.SPACE:
        assert getattr(recipes.find("short-tuned"), name) == pytest.approx(best[name], rel=0.02)


@pytest.mark.parametrize("name", recipes.LOSSES)
def test_each_loss_can_be_named_in_a_recipe(name):
    mask, logits = np.zeros((1, 8, 8, 1)), np.ones((1, 8, 8, 3), "float32")
    alone = recipes.loss(Recipe("mine", loss=name))(mask, logits)
    with_dice = recipes.loss(Recipe("mine", loss=name, dice=2.0))(mask, logits)
    assert float(with_dice - alone) == pytest.approx(2 * float(losses.Dice()(mask, logits)))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"loss": "hinge"}, "loss is 'hinge': use one of 'cross-entropy', 'focal'"),
        ({"architecture": "resnet"}, "architecture is 'resnet': use one of 'unet', 'UNet"),
        ({"architecture": "unet, skips: some"}, "skips: some': use .*'unet, skips: none, wide'"),
        ({"augmented": "much"}, "augmented is 'much': use one of False, True, 'adaptive'"),
        ({"encoder_rate": 0.3}, "encoder_rate is 0.3, which needs weight_decay above 0"),
    ],
)
def test_a_recipe_that_can_not_be_trained_is_refused_as_it_is_made(settings, match):
    with pytest.raises(ValueError, match=match):
        Recipe("mine", **settings)
    with pytest.raises(ValueError, match=match):
        replace(TINY, **settings)


def test_a_loss_of_one_s_own_can_be_made_known(monkeypatch):
    monkeypatch.setitem(recipes.LOSSES, "mine", losses.Dice)
    recipe = Recipe("own", loss="mine")
    assert type(recipes.loss(recipe)) is losses.Dice


def test_a_recipe_that_asks_for_them_keeps_its_gradients(folders, short_encoder_here):
    recipe = replace(recipes.find("scratch-none"), epochs=1, batch_size=4, **FEW)
    row = recipes.run(recipe, source="synthetic", limit=(4, 2))
    (first,) = row["history"]["gradient Conv1"]
    assert first > 0


def test_what_is_trained_further_from_other_weights_is_another_training(folders, tiny_unet):
    split = data.load(data.SYNTHETIC, 32, (6, 4)).train
    further = replace(TINY, learning_rate=0.0)  # so that each ends as it began
    starts = [tiny_unet(seed=seed) for seed in (1, 2)]
    kept = [start.get_weights()[0] for start in starts]
    runs = [recipes.fit(further, 0, split, model)[1] for model in starts]
    assert runs[0].folder != runs[1].folder
    again, loaded = recipes.fit(further, 0, split, tiny_unet(seed=2))
    assert loaded == runs[1]
    np.testing.assert_allclose(again.get_weights()[0], kept[1], rtol=1e-6)
