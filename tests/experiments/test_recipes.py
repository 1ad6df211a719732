"""Recipes: the declared ones, the rows of their runs, and the models they build."""

import json
from dataclasses import asdict, replace
from datetime import date

import keras
import numpy as np
import pytest

from labkit import data, download, losses, training
from labkit.batches import Batches
from labkit.experiments import declared, ledger, recipes, tuning
from labkit.experiments.recipes import Recipe
from labkit.models import encoder, skips
from labkit.models.encoder import keep_averages
from labkit.models.unet import FILTERS, PLAIN, unet_model
from labkit.runs.folder import Run

pytestmark = [
    pytest.mark.usefixtures("eager", "short_encoder"),
    pytest.mark.filterwarnings("ignore:Even though the .*tf.data:UserWarning"),
]
SMALL = {"image_size": 32, "filters": (16, 12, 8, 8)}
TINY = replace(recipes.find("laboratory"), name="tiny", batch_size=6, epochs=1, **SMALL)
TINY_DATA = {"source": data.SYNTHETIC, "limit": (6, 4)}
PROVENANCE = {"date", "commit", "versions", "backend", "device", "machine", "peak memory"}


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

    monkeypatch.setitem(recipes.ARCHITECTURES, "unet", build)
    return calls


# --- the declared recipes ------------------------------------------------------------------------


def test_networks_of_recipes_are_those_of_the_model():
    def network(name):
        return {option: getattr(recipes.find(name), option) for option in PLAIN}

    assert network("laboratory") == PLAIN
    assert network("standard") == {"filters": FILTERS, "narrow": True, "enlarge": 2}


def test_recipes_are_found_by_name_and_json_serializable():
    for name, recipe in declared.RECIPES.items():
        assert vars(recipes.find(name)) == vars(recipe) and recipe.name == name
        assert Recipe(**json.loads(json.dumps(asdict(recipe)))) == recipes.find(name)
    different = {tuple(vars(recipe).items())[1:] for recipe in declared.RECIPES.values()}
    assert len(different) == len(declared.RECIPES)  # a row of the ledger belongs to one recipe
    with pytest.raises(ValueError, match="recipe is 'lab': use one of laboratory"):
        recipes.find("lab")


def changed_settings(recipe):
    """The settings that differ from the short or plain recipe it is a variant of."""
    plain = vars(recipes.find(recipe.name.split("-")[0]))
    return {key for key, value in vars(recipe).items() if value != plain[key]} - {"name"}


def test_variant_recipes_change_one_setting():
    for name, recipe in declared.RECIPES.items():
        if name.startswith(("short-", "plain-")) and name not in ("short-tuned", "plain-fast"):
            assert changed_settings(recipe) in (
                {"architecture"}, {"dice"}, {"loss", "dice"}, {"augmented"}, {"fine_tune"}
            )  # fmt: skip


def test_tuned_recipe_is_best_trial():
    assert changed_settings(recipes.find("short-tuned")) == set(tuning.SPACE)
    trials = ledger.study("tuning")
    best = trials.loc[trials[trials["seed"] == 0]["mean IoU"].idxmax()]
    for name in tuning.SPACE:
        assert getattr(recipes.find("short-tuned"), name) == pytest.approx(best[name], rel=0.02)


def test_declared_names_are_those_that_can_be_trained():
    assert list(recipes.ARCHITECTURES) == list(declared.ARCHITECTURES)
    assert list(recipes.LOSSES) == list(declared.LOSSES)
    assert list(skips.VARIANTS) == list(declared.SKIP_VARIANTS)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"loss": "hinge"}, "loss is 'hinge': use one of 'cross-entropy', 'focal'"),
        ({"architecture": "resnet"}, "architecture is 'resnet': use one of 'unet', 'UNet"),
        ({"architecture": "unet, skips: some"}, "skips: some': use .*'unet, skips: none, wide'"),
        ({"augmented": "much"}, "augmented is 'much': use one of False, True, 'mild', 'flips'"),
        ({"encoder_rate": 0.3}, "encoder_rate is 0.3, .* weight_decay"),
    ],
)
def test_invalid_recipe_raises(settings, match):
    with pytest.raises(ValueError, match=match):
        Recipe("mine", **settings)


# --- runs ----------------------------------------------------------------------------------------


def test_row_has_recipe_scores_and_provenance(row):
    others = {"recipe", "seed", "source", "images", "seconds", "history"}
    assert set(row) == PROVENANCE | others | {"test", "test intervals", "test with flips"}
    assert Recipe(**json.loads(json.dumps(row))["recipe"]) == TINY
    assert (row["seed"], row["source"], row["images"]) == (1, "synthetic", [6, 4])
    assert row["backend"] == "tensorflow" and row["device"] in ("CPU", "GPU")
    assert {"python", "tensorflow", "keras", "numpy"} <= set(row["versions"])
    assert abs((date.today() - date.fromisoformat(row["date"])).days) <= 1
    assert len(row["history"]["loss"]) == TINY.epochs
    assert row["seconds"] == sum(row["history"]["seconds"]) > 0
    assert row["test"].keys() == row["test intervals"].keys() == row["test with flips"].keys()
    for name, (low, high) in row["test intervals"].items():
        assert low <= row["test"][name] <= high, name


def test_validation_run_does_not_use_test_split(unet_calls, monkeypatch):
    pets = data.load(data.SYNTHETIC, 32, (20, 3))
    hidden = data.Splits(pets.train, None, pets.source)
    monkeypatch.setattr(data, "load", lambda *_: hidden)
    row = recipes.run(TINY, on="validation", source=data.SYNTHETIC)
    assert row["images"] == [18, 2] and "test" not in row
    assert set(row["validation"]) == set(row["validation intervals"])


def test_invalid_split_and_missing_data_raise(folders, monkeypatch):
    with pytest.raises(ValueError, match="on is 'train': use one of test, validation"):
        recipes.run(TINY, on="train", **TINY_DATA)
    monkeypatch.setattr(download, "problem_for_tfds", lambda url: "is away")
    with pytest.raises(ConnectionError, match="oxford_iiit_pet"):
        recipes.run(TINY)


def test_repeated_run_is_loaded_with_same_scores_and_provenance(row, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: pytest.fail("it was trained again"))
    for name, value in (("commit", "later"), ("machine", "another"), ("peak_memory", {"host": 1})):
        monkeypatch.setattr(training.profile, name, lambda value=value: value)
    loaded = recipes.run(TINY, seed=1, **TINY_DATA)
    for name in PROVENANCE | {"history"}:
        assert loaded[name] == row[name]
    assert loaded["test"] == pytest.approx(row["test"], rel=1e-5)


def test_averaged_weights_are_used_also_after_loading(unet_calls, folders):
    recipe = replace(TINY, weight_decay=1e-4, averaging=0.9, epochs=2, learning_rate=0.05)
    split = data.load(data.SYNTHETIC, 32, (12, 4)).train
    averaged, loaded, plain = (
        recipes.fit(variant, 0, split)[0].get_weights()[0]
        for variant in (recipe, recipe, replace(recipe, averaging=0.0))
    )
    np.testing.assert_allclose(loaded, averaged, rtol=1e-5)
    assert not np.allclose(plain, averaged, rtol=1e-3)


def test_recipe_configures_model_batches_and_optimizer(unet_calls, folders, monkeypatch):
    used = {}

    def train(model, train_ds, **options):
        used.update(options, train_ds=train_ds)
        return Run({"loss": [1.0], "seconds": [2.0]}, folders, {"commit": "abc"})

    monkeypatch.setattr(training, "train", train)
    model_settings = {
        **{"image_size": 32, "fine_tune": True, "pixel_range": (-1, 1)},
        **{"momentum": 0.5, "filters": (8, 4, 4), "narrow": True, "enlarge": 2},
    }
    recipe = Recipe("mine", epochs=7, batch_size=2, learning_rate=0.25, **model_settings)
    row = recipes.run(recipe, seed=4, **TINY_DATA)
    assert (row["seconds"], row["commit"]) == (2.0, "abc")
    assert unet_calls == [{**model_settings, "seed": 4, "weights": "auto"}]
    assert (used["epochs"], used["name"], used["callbacks"]) == (7, "mine-4", [])
    train_ds, optimizer = used["train_ds"], used["optimizer"]
    assert (train_ds.batch_size, train_ds.seed, train_ds.augmented) == (2, 4, False)
    assert len(train_ds.split) == 6
    assert type(optimizer) is keras.optimizers.Adam and float(optimizer.learning_rate) == 0.25
    assert type(used["loss"]) is losses.CrossEntropy
    richer = {"augmented": True, "weight_decay": 0.1, "averaging": 0.5, "dice": 0.3}
    recipes.run(replace(recipe, **richer, one_cycle=True, encoder_rate=0.2), seed=4, **TINY_DATA)
    optimizer = used["optimizer"]
    assert used["train_ds"].augmented and used["loss"].weights == [1.0, 0.3]
    assert (optimizer.weight_decay, optimizer.slow_rate) == (0.1, 0.2)
    assert (optimizer.use_ema, optimizer.ema_momentum) == (True, 0.5)
    assert max(float(optimizer._learning_rate(step)) for step in range(21)) == 0.25


def test_row_on_real_data_needs_imagenet_weights(folders, monkeypatch):
    pets = data.load(data.SYNTHETIC, 32, (20, 3))._replace(source=data.REAL)
    monkeypatch.setattr(data, "load", lambda *_: pets)
    monkeypatch.setattr(encoder, "problem_for_keras", lambda url: "is away")
    with pytest.raises(ConnectionError, match="ImageNet weights .* is away"):
        recipes.run(recipes.find("standard"), source=data.REAL)


def test_last_epochs_have_flips_alone(unet_calls, folders, monkeypatch):
    seen, get = [], Batches.__getitem__

    def record(batches, index):
        seen.append((batches.epoch, batches.augmented))
        return get(batches, index)

    monkeypatch.setattr(Batches, "__getitem__", record)
    recipe = replace(TINY, epochs=3, augmented="mild", flips_at_end=2)
    recipes.run(recipe, **TINY_DATA)
    mild, flips = (recipes.AUGMENTATIONS[name] for name in ("mild", "flips"))
    assert set(seen) == {(0, mild), (1, flips), (2, flips)}


def test_lower_rate_applies_to_pretrained_encoder_only(real_encoder):
    model = unet_model(image_size=32, weights=None)
    recipe, encoder = recipes.find("standard"), model.get_layer("encoder")
    assert recipes.optimizer(recipe, model, train_ds=range(3)).slow_rate == 1
    keep_averages(encoder)  # as a pretrained encoder does
    optimizer = recipes.optimizer(recipe, model, train_ds=range(3))
    assert optimizer.slow_rate == recipe.encoder_rate < 1
    assert set(optimizer.slow) == {variable.path for variable in encoder.trainable_variables}
    assert len(model.trainable_variables) > len(optimizer.slow) > 50


def test_recipe_records_gradient_norms(folders, short_encoder_here):
    recipe = replace(recipes.find("scratch-none"), epochs=1, batch_size=4, **SMALL)
    row = recipes.run(recipe, source="synthetic", limit=(4, 2))
    (first,) = row["history"]["gradient Conv1"]
    assert first > 0


def test_initial_weights_change_run_folder(folders, tiny_unet):
    split = data.load(data.SYNTHETIC, 32, (6, 4)).train
    further = replace(TINY, learning_rate=0.0)  # so that training keeps the weights
    first, second, again = (
        recipes.fit(further, 0, split, tiny_unet(seed=seed)) for seed in (1, 2, 2)
    )
    assert first[1].folder != second[1].folder and again[1] == second[1]
    expected = tiny_unet(seed=2).get_weights()[0]
    np.testing.assert_allclose(again[0].get_weights()[0], expected, rtol=1e-6)


# --- the parts of a recipe ------------------------------------------------------------------------


def test_recipe_sets_skips_and_pretraining():
    model = recipes.build(recipes.find("scratch-not-8"), seed=1)
    names = [layer.name for layer in model.layers]
    assert "skip_16" in names and "skip_8" not in names
    assert model.get_layer("encoder").trainable


@pytest.mark.parametrize("name", ["unet", "UNet++"])
def test_build_architecture(name):
    recipe = Recipe("mine", architecture=name, image_size=32, pretrained=False, filters=(8,) * 4)
    model = recipes.build(recipe, 0)
    assert model.output_shape == (None, 32, 32, 3)
    assert model.name == declared.slug(name)
    assert recipes.unet_model is recipes.ARCHITECTURES["unet"] is unet_model


@pytest.mark.parametrize("name", [*recipes.LOSSES, "registered here"])
def test_build_each_loss(name, monkeypatch):
    monkeypatch.setitem(recipes.LOSSES, "registered here", losses.Dice)
    mask, logits = np.zeros((1, 8, 8, 1)), np.ones((1, 8, 8, 3), "float32")
    plain, with_dice = (
        float(recipes.loss(Recipe("mine", loss=name, dice=weight))(mask, logits))
        for weight in (0.0, 2.0)
    )
    assert with_dice - plain == pytest.approx(2 * float(losses.Dice()(mask, logits)))
