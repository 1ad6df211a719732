"""The experiment on shades: the same animals in other coats, and two kinds of training."""

import numpy as np
import pandas as pd
import pytest

from labkit import cli
from labkit.experiments import ledger, shades


@pytest.fixture(scope="module")
def found(_sealed, eager, short_encoder):
    return shades.experiment("varied", seed=1, animals=2, images=4, epochs=1, image_size=32)


def test_each_animal_is_scored_in_each_coat(found):
    keys = ["coats", "seed", "shades", "contrast", "animal"]
    assert len(found) == 24 * 2 and not found.duplicated(keys).any()
    assert set(found["coats"]) == {"varied"} and set(found["seed"]) == {1}
    assert found[["pet IoU", "mean IoU"]].stack().between(0, 1).all()


def test_one_shade_has_no_contrast(found):
    one = found[found["shades"] == 1].set_index(["animal", "contrast"])["pet IoU"]
    assert (one.unstack().nunique(axis=1) == 1).all()


def test_the_model_that_is_to_see_plain_coats_sees_no_others(monkeypatch):
    seen = {}

    def fit(recipe, seed, train):
        seen[recipe.name] = train
        raise InterruptedError  # the training itself is tested above

    monkeypatch.setattr(shades.recipes, "fit", fit)
    for coats in shades.COATS:
        with pytest.raises(InterruptedError):
            shades.experiment(coats, seed=3, images=4, image_size=32)
    plain, varied = seen["plain-coats"], seen["varied-coats"]
    expected = shades.drawings(4, 32, seed=3, split="train", shades=1)
    np.testing.assert_array_equal(plain.images, expected.images)
    np.testing.assert_array_equal(plain.masks, varied.masks)
    assert (plain.images != varied.images).any()


def test_drawings_differ_in_nothing_but_the_coat():
    plain, patched = (shades.drawings(3, 64, split="test", shades=n, contrast=1.0) for n in (1, 6))
    np.testing.assert_array_equal(plain.masks, patched.masks)
    background = plain.masks[..., 0] == 1
    np.testing.assert_array_equal(plain.images[background], patched.images[background])
    assert (plain.images != patched.images).any()


def test_unknown_coats_are_refused():
    with pytest.raises(ValueError, match="coats is 'spotted': use one of varied, plain"):
        shades.experiment("spotted")


def test_the_command_writes_a_table_for_each_seed(monkeypatch, tmp_path, capsys):
    def experiment(coats, seed):
        return pd.DataFrame({"coats": [coats], "seed": [seed], "pet IoU": [0.123456]})

    monkeypatch.setattr(ledger, "LEDGER", tmp_path / "runs.jsonl")
    monkeypatch.setattr(shades, "experiment", experiment)
    assert cli.main(["shades", "--seeds", "4", "5"]) == 0
    table = pd.read_csv(tmp_path / "shades-5.csv.gz")
    assert list(table["coats"]) == ["varied", "plain"] and set(table["seed"]) == {5}
    assert list(table["pet IoU"]) == [0.1235, 0.1235]
    assert f"2 scores are in {tmp_path / 'shades-4.csv.gz'}." in capsys.readouterr().out


def test_the_command_looks_for_its_folder_before_it_trains(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(ledger, "LEDGER", tmp_path / "nowhere" / "runs.jsonl")
    monkeypatch.setattr(shades, "experiment", lambda *_: pytest.fail("it trained"))
    assert cli.main(["shades"]) == 1
    assert f"{tmp_path / 'nowhere'}, where results go, is not in a clone" in capsys.readouterr().err
