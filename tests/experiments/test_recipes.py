"""Recipes: the declared ones, the rows of their runs, and the models they build."""

import json
from dataclasses import asdict, replace
from datetime import date

import keras
import numpy as np
import pytest

from labkit import data, download, losses, training
from labkit.experiments import ledger, recipes, tuning
from labkit.experiments.recipes import Recipe
from labkit.models.unet import FILTERS, unet_model
from labkit.runs.folder import Run

pytestmark = [
    pytest.mark.usefixtures("eager", "short_encoder"),
    pytest.mark.filterwarnings("ignore:Even though the .*tf.data:UserWarning"),
]
SMALL = {"image_size": 32, "filters": (16, 12, 8, 8)}
TINY = replace(recipes.find("laboratory"), name="tiny", batch_size=6, epochs=1, **SMALL)
TINY_DATA = {"source": data.SYNTHETIC, "limit": (6, 4)}
ROW_KEYS = {
    *("recipe", "seed", "source", "images", "date", "commit", "versions", "backend", "device"),
    *("machine", "seconds", "peak memory", "history"),
}


@pytest.fixture(scope="module")
def row(_sealed, either_encoder):
    """The row of a small run."""
    return recipes.run(TINY, seed=1, **TINY_DATA)


@pytest.fixture
def unet_calls(monkeypatch, tiny_unet):
    """Replaces the U-Net with a small model; returns the options of each call."""
    calls = []

    def build(**options):
        calls.append(options)
        return tiny_unet(**options)

    monkeypatch.setattr(recipes, "unet_model", build)  # used by course_model
    monkeypatch.setitem(recipes.ARCHITECTURES, "unet", build)
    return calls


# --- the declared recipes ------------------------------------------------------------------------


def test_laboratory_recipe_settings():
    recipe = recipes.find("laboratory")
    assert (recipe.pixel_range, recipe.momentum) == ((0, 1), 0.99)
    assert (recipe.batch_size, recipe.learning_rate, recipe.epochs) == (64, 1e-3, 10)
    assert (recipe.image_size, recipe.filters) == (128, FILTERS)


def test_recipes_are_found_by_name_and_json_serializable():
    for name, recipe in recipes.RECIPES.items():
        assert recipes.find(name) is recipe and recipe.name == name
        assert Recipe(**json.loads(json.dumps(asdict(recipe)))) == recipe


def test_standard_recipe_keeps_laboratory_architecture():
    """The same encoder, decoder and image size, so that only the training is compared."""
    laboratory, standard = recipes.find("laboratory"), recipes.find("standard")
    assert (laboratory.filters, laboratory.image_size) == (standard.filters, standard.image_size)
    assert standard.fine_tune and standard.augmented and standard.one_cycle and standard.dice > 0


def test_unknown_recipe_raises():
    with pytest.raises(ValueError, match="recipe is 'lab': use one of laboratory"):
        recipes.find("lab")


# --- runs ----------------------------------------------------------------------------------------


def test_row_is_unchanged_by_ledger(row, tmp_path):
    ledger.append(row, tmp_path / "runs.jsonl")
    assert ledger.rows(ledger=tmp_path / "runs.jsonl") == [json.loads(json.dumps(row))]


def test_row_has_recipe_and_provenance(row):
    assert set(row) == ROW_KEYS | {"test", "test intervals", "test with flips"}
    assert Recipe(**row["recipe"]) == TINY
    assert (row["seed"], row["source"], row["images"]) == (1, "synthetic", [6, 4])
    assert row["backend"] == "tensorflow" and row["device"] in ("CPU", "GPU")
    assert {"python", "tensorflow", "keras", "numpy"} <= set(row["versions"])
    assert abs((date.today() - date.fromisoformat(row["date"])).days) <= 1
    assert len(row["history"]["loss"]) == TINY.epochs
    assert row["seconds"] == sum(row["history"]["seconds"]) > 0


def test_every_score_has_interval(row):
    assert row["test"].keys() == row["test intervals"].keys() == row["test with flips"].keys()
    for name, (low, high) in row["test intervals"].items():
        assert low <= row["test"][name] <= high, name


def test_validation_run_does_not_use_test_split(unet_calls, monkeypatch):
    pets = data.load(data.SYNTHETIC, 32, (20, 3))
    hidden = data.Pets(pets.train, None, pets.source)
    monkeypatch.setattr(data, "load", lambda *_: hidden)
    row = recipes.run(TINY, on="validation", source=data.SYNTHETIC)
    assert row["images"] == [18, 2] and "test" not in row
    assert set(row["validation"]) == set(row["validation intervals"])


def test_unknown_split_raises():
    with pytest.raises(ValueError, match="on is 'train': use one of test, validation"):
        recipes.run(TINY, on="train", **TINY_DATA)


def test_repeated_run_is_loaded_with_same_scores(row, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("it was trained again"))
    loaded = recipes.run(TINY, seed=1, **TINY_DATA)
    assert loaded["history"] == row["history"]
    assert loaded["test"] == pytest.approx(row["test"], rel=1e-5)


def test_loaded_run_keeps_provenance(row, monkeypatch):
    monkeypatch.setattr(training.profile, "commit", lambda: "later")
    monkeypatch.setattr(training.profile, "machine", lambda: "another")
    monkeypatch.setattr(training.profile, "peak_memory", lambda: {"host": 1e6})
    loaded = recipes.run(TINY, seed=1, **TINY_DATA)
    names = ("commit", "machine", "date", "versions", "backend", "device", "peak memory")
    assert {name: loaded[name] for name in names} == {name: row[name] for name in names}


def test_averaged_weights_are_used_also_after_loading(unet_calls, folders):
    recipe = replace(TINY, weight_decay=1e-4, averaging=0.9, epochs=2, learning_rate=0.05)
    split = data.load(data.SYNTHETIC, 32, (12, 4)).train
    model, _ = recipes.fit(recipe, 0, split)
    loaded, _ = recipes.fit(recipe, 0, split)
    plain, _ = recipes.fit(replace(recipe, averaging=0.0), 0, split)
    np.testing.assert_allclose(loaded.get_weights()[0], model.get_weights()[0], rtol=1e-5)
    assert not np.allclose(plain.get_weights()[0], model.get_weights()[0], rtol=1e-3)


def test_recipe_configures_model_batches_and_optimizer(unet_calls, folders, monkeypatch):
    train_options = {}

    def train(model, train_ds, **options):
        train_options.update(options, train_ds=train_ds)
        return Run({"loss": [1.0], "seconds": [2.0]}, folders, {"commit": "abc"})

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
    row = recipes.run(recipe, seed=4, **TINY_DATA)
    (options_of_unet,) = unet_calls
    expected = {"image_size": 32, "fine_tune": True, "pixel_range": (-1, 1), "momentum": 0.5}
    assert options_of_unet == {**expected, "seed": 4, "filters": (8, 4, 4, 4), "weights": "auto"}
    assert (train_options["epochs"], train_options["name"]) == (7, "mine-4")
    assert (train_options["train_ds"].batch_size, train_options["train_ds"].seed) == (2, 4)
    assert len(train_options["train_ds"].split) == 6 and not train_options["train_ds"].augmented
    assert type(train_options["optimizer"]) is keras.optimizers.Adam
    assert float(train_options["optimizer"].learning_rate) == 0.25
    assert type(train_options["loss"]) is losses.CrossEntropy
    assert train_options["callbacks"] == []
    assert (row["seconds"], row["commit"]) == (2.0, "abc")
    richer = replace(recipe, augmented=True, weight_decay=0.1, averaging=0.5, dice=0.3)
    recipes.run(replace(richer, one_cycle=True, encoder_rate=0.2), seed=4, **TINY_DATA)
    assert train_options["train_ds"].augmented
    assert (train_options["optimizer"].weight_decay, train_options["optimizer"].slow_rate) == (
        0.1,
        0.2,
    )
    assert (train_options["optimizer"].use_ema, train_options["optimizer"].ema_momentum) == (
        True,
        0.5,
    )
    assert max(float(train_options["optimizer"]._learning_rate(step)) for step in range(21)) == 0.25
    assert train_options["loss"].weights == [1.0, 0.3]


def test_lower_rate_applies_to_encoder_only(real_encoder):
    model = unet_model(image_size=32, weights=None)
    optimizer = recipes.optimizer(recipes.find("standard"), model, train_ds=range(3))
    encoder = model.get_layer("encoder").trainable_variables
    assert set(optimizer.slow) == {variable.path for variable in encoder}
    assert len(model.trainable_variables) > len(optimizer.slow) > 50


def test_missing_real_data_raises(folders, monkeypatch):
    monkeypatch.setattr(download, "problem_for_tfds", lambda url: "is away")
    with pytest.raises(ConnectionError, match="oxford_iiit_pet is not in"):
        recipes.run(TINY)


# --- the course's model --------------------------------------------------------------------------


def test_course_model_is_trained_once_then_loaded(folders, unet_calls, tiny_unet, monkeypatch):
    pets = data.load(data.SYNTHETIC, 32, (20, 2))
    model, trained = recipes.course_model(pets, epochs=1)
    assert unet_calls == [{"seed": 0}] and trained.folder.name.startswith("course-")
    assert {"val_mean_iou", "mean_iou"} <= set(trained.history)
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("it was trained again"))
    loaded_model, loaded = recipes.course_model(pets, epochs=1)
    assert loaded == trained
    np.testing.assert_equal(loaded_model.get_weights(), model.get_weights())
    start = tiny_unet(seed=0).get_weights()
    assert not np.array_equal(loaded_model.get_weights()[0], start[0])


# --- the parts of a recipe ------------------------------------------------------------------------


def test_recipes_use_course_unet():
    assert recipes.unet_model is unet_model
    assert recipes.ARCHITECTURES["unet"] is unet_model


def test_recipe_sets_skips_and_pretraining():
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
def test_build_each_architecture(name):
    recipe = Recipe("mine", architecture=name, image_size=32, pretrained=False, filters=(8,) * 4)
    assert recipes.build(recipe, 0).output_shape == (None, 32, 32, 3)


def changed_settings(recipe):
    """The settings that differ from the short or standard recipe it is a variant of."""
    plain = vars(recipes.find(recipe.name.split("-")[0]))
    return {key for key, value in vars(recipe).items() if value != plain[key]} - {"name"}


def test_variant_recipes_change_one_setting():
    for name, recipe in recipes.RECIPES.items():
        if name.startswith(("short-", "standard-")) and name != "short-tuned":
            assert changed_settings(recipe) in (
                {"architecture"}, {"dice"}, {"loss", "dice"}, {"augmented"}, {"fine_tune"}
            )  # fmt: skip


def test_tuned_recipe_is_best_trial():
    assert changed_settings(recipes.find("short-tuned")) == set(tuning.SPACE)
    trials = ledger.study("tuning")
    best = trials.loc[trials[trials["seed"] == 0]["mean IoU"].idxmax()]
    for name in tuning.SPACE:
        assert getattr(recipes.find("short-tuned"), name) == pytest.approx(best[name], rel=0.02)


@pytest.mark.parametrize("name", recipes.LOSSES)
def test_build_each_loss(name):
    mask, logits = np.zeros((1, 8, 8, 1)), np.ones((1, 8, 8, 3), "float32")
    without_dice = recipes.loss(Recipe("mine", loss=name))(mask, logits)
    with_dice = recipes.loss(Recipe("mine", loss=name, dice=2.0))(mask, logits)
    assert float(with_dice - without_dice) == pytest.approx(2 * float(losses.Dice()(mask, logits)))


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
def test_invalid_recipe_raises(settings, match):
    with pytest.raises(ValueError, match=match):
        Recipe("mine", **settings)
    with pytest.raises(ValueError, match=match):
        replace(TINY, **settings)


def test_custom_loss_can_be_registered(monkeypatch):
    monkeypatch.setitem(recipes.LOSSES, "mine", losses.Dice)
    recipe = Recipe("own", loss="mine")
    assert type(recipes.loss(recipe)) is losses.Dice


def test_recipe_records_gradient_norms(folders, short_encoder_here):
    recipe = replace(recipes.find("scratch-none"), epochs=1, batch_size=4, **SMALL)
    row = recipes.run(recipe, source="synthetic", limit=(4, 2))
    (first,) = row["history"]["gradient Conv1"]
    assert first > 0


def test_initial_weights_change_run_folder(folders, tiny_unet):
    split = data.load(data.SYNTHETIC, 32, (6, 4)).train
    further = replace(TINY, learning_rate=0.0)  # so that training keeps the weights
    models = [tiny_unet(seed=seed) for seed in (1, 2)]
    initial_kernels = [model.get_weights()[0] for model in models]
    runs = [recipes.fit(further, 0, split, model)[1] for model in models]
    assert runs[0].folder != runs[1].folder
    loaded_model, loaded = recipes.fit(further, 0, split, tiny_unet(seed=2))
    assert loaded == runs[1]
    np.testing.assert_allclose(loaded_model.get_weights()[0], initial_kernels[1], rtol=1e-6)
