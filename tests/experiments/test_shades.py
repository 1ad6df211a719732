"""The shades experiment: its scores, training images and command."""

import numpy as np
import pandas as pd
import pytest

from labkit import cli
from labkit.experiments import ledger, shades


@pytest.fixture(scope="module")
def scores(_sealed, eager, short_encoder):
    return shades.experiment("varied", seed=1, animals=2, images=4, epochs=1, image_size=32)


def test_experiment_scores_each_animal_in_each_coat(scores):
    keys = ["coats", "seed", "shades", "contrast", "animal"]
    assert len(scores) == 24 * 2 and not scores.duplicated(keys).any()
    assert set(scores["coats"]) == {"varied"} and set(scores["seed"]) == {1}
    assert scores[["pet IoU", "mean IoU"]].stack().between(0, 1).all()
    # Contrast has no effect on one shade.
    one_shade = scores[scores["shades"] == 1].set_index(["animal", "contrast"])["pet IoU"]
    assert (one_shade.unstack().nunique(axis=1) == 1).all()


def test_plain_coats_model_trains_on_one_shade_only(monkeypatch):
    train_splits = {}

    def fit(recipe, seed, train):
        train_splits[recipe.name] = train
        raise InterruptedError  # training itself is tested above

    monkeypatch.setattr(shades.recipes, "fit", fit)
    for coats in shades.COATS:
        with pytest.raises(InterruptedError):
            shades.experiment(coats, seed=3, images=4, image_size=32)
    plain, varied = train_splits["plain-coats"], train_splits["varied-coats"]
    expected = shades.drawings(4, 32, seed=3, split="train", shades=1)
    np.testing.assert_array_equal(plain.images, expected.images)
    np.testing.assert_array_equal(plain.masks, varied.masks)
    assert (plain.images != varied.images).any()


def test_unknown_coats_raise():
    with pytest.raises(ValueError, match="coats is 'spotted': use one of varied, plain"):
        shades.experiment("spotted")


def test_command_writes_table_per_seed(monkeypatch, ledger_file, capsys):
    def experiment(coats, seed):
        return pd.DataFrame({"coats": [coats], "seed": [seed], "pet IoU": [0.123456]})

    monkeypatch.setattr(shades, "experiment", experiment)
    monkeypatch.setattr(cli, "check_encoder", lambda *_: None)
    assert cli.main(["shades", "--seeds", "4", "5"]) == 0
    table = pd.read_csv(ledger.shades_file(5))
    assert list(table["coats"]) == ["varied", "plain"] and set(table["seed"]) == {5}
    assert list(table["pet IoU"]) == [0.1235, 0.1235]
    assert f"2 scores are in {ledger.shades_file(4)}." in capsys.readouterr().out
