"""The ``labkit`` command."""

import json
import sys
from dataclasses import replace
from importlib import metadata
from types import SimpleNamespace

import pandas as pd
import pytest

from labkit import cli, profile


@pytest.fixture
def fake_recipes(monkeypatch, tmp_path):
    """``labkit.experiments.recipes`` without training; records its calls."""
    from labkit.experiments import ledger, recipes

    called = []

    def run(recipe, seed, on):
        called.append((recipe.name, seed, on))
        return {"row": len(called), "commit": "abc", on: {}}

    monkeypatch.setattr(ledger, "LEDGER", tmp_path / "runs.jsonl")
    monkeypatch.setattr(recipes, "run", run)
    for name in ("comparison", "summary", "with_intervals"):
        table = pd.DataFrame({name: [0.5]})
        monkeypatch.setattr(ledger, name, lambda row, table=table: table)
    return SimpleNamespace(called=called, module=recipes, ledger=ledger)


def test_info_shows_environment(folders, monkeypatch, capsys):
    monkeypatch.setenv("LABKIT_PROFILE", "smoke")
    assert cli.main(["info"]) == 0
    shown = capsys.readouterr().out
    for part in ("profile", "smoke", "device", "tensorflow", "labkit"):
        assert part in shown
    assert f"{folders / 'tfds_data_dir' / 'oxford_iiit_pet' / '4.0.0'}: not there" in shown
    assert str(folders / "labkit_cache") in shown


def test_info_finds_prepared_dataset(folders, capsys):
    prepared = folders / "tfds_data_dir" / "oxford_iiit_pet" / "4.0.0"
    prepared.mkdir(parents=True)
    (prepared / "dataset_info.json").write_text("{}")
    assert cli.main(["info"]) == 0
    assert f"{prepared}: there" in capsys.readouterr().out


def test_error_is_one_line(monkeypatch, capsys):
    monkeypatch.setenv("LABKIT_PROFILE", "fast")
    assert cli.main(["info"]) == 1
    error = capsys.readouterr().err
    assert error == "labkit: LABKIT_PROFILE is 'fast': use one of full, quick, smoke\n"


def test_run_rejects_unknown_recipe(fake_recipes, capsys):
    assert cli.main(["run", "soup"]) == 1
    assert "recipe is 'soup': use one of laboratory" in capsys.readouterr().err
    assert fake_recipes.called == []


def test_run_checks_ledger_folder_before_training(fake_recipes, monkeypatch, capsys):
    ledger = fake_recipes.ledger.LEDGER.parent / "nowhere" / "runs.jsonl"
    monkeypatch.setattr(fake_recipes.ledger, "LEDGER", ledger)
    assert cli.main(["run", "laboratory"]) == 1
    assert str(ledger.parent) in capsys.readouterr().err
    assert fake_recipes.called == []


def test_run_trains_recipe_and_adds_row(fake_recipes, capsys):
    assert cli.main(["run", "laboratory", "--seed", "3"]) == 0
    assert fake_recipes.called == [("laboratory", 3, "test")]
    shown = capsys.readouterr().out
    assert "comparison" in shown and "summary" in shown and "with_intervals" in shown
    path = fake_recipes.ledger.LEDGER
    assert f"Row added to {path}." in shown
    (row,) = map(json.loads, path.read_text().splitlines())
    assert row == {"row": 1, "commit": "abc", "test": {}}


def test_run_scores_on_validation(fake_recipes, capsys):
    assert cli.main(["run", "laboratory", "--split", "validation"]) == 0
    assert fake_recipes.called == [("laboratory", 0, "validation")]
    assert (
        "comparison" not in capsys.readouterr().out
    )  # the comparison is with results on the test split


def test_run_skips_recorded_training(fake_recipes, monkeypatch, capsys):
    monkeypatch.setattr(fake_recipes.ledger, "holds", lambda *_: True)
    assert cli.main(["run", "laboratory", "--seed", "3"]) == 0
    assert fake_recipes.called == []
    assert "laboratory, seed 3, is in" in capsys.readouterr().out


def test_run_adds_no_second_row_for_loaded_training(fake_recipes, monkeypatch, capsys):
    monkeypatch.setattr(profile, "commit", lambda: "def")
    monkeypatch.setattr(fake_recipes.ledger, "holds", lambda *run: run[-1] == "abc")
    assert cli.main(["run", "laboratory", "--seed", "3"]) == 0
    assert fake_recipes.called == [("laboratory", 3, "test")]
    assert "has the row of this training. Delete its folder" in capsys.readouterr().out
    assert not fake_recipes.ledger.LEDGER.exists()


def test_queue_groups_by_seed_and_continues_after_failure(fake_recipes, monkeypatch, capsys):
    commands = []

    def run(command):
        commands.append(command[3:])
        return SimpleNamespace(returncode=int(command[4:7] == ["laboratory", "--seed", "1"]))

    monkeypatch.setattr(cli.subprocess, "run", run)
    assert cli.main(["run", "laboratory", "quick", "--seeds", "1", "2"]) == 1
    queue = [(1, "laboratory"), (1, "quick"), (2, "laboratory"), (2, "quick")]
    assert commands == [["run", r, "--seed", str(s), "--split", "test"] for s, r in queue]
    assert "labkit: 1 of 4 runs failed: laboratory 1" in capsys.readouterr().err


def test_queue_rejects_unknown_recipe(fake_recipes, monkeypatch, capsys):
    monkeypatch.setattr(cli.subprocess, "run", lambda *_: pytest.fail("it started"))
    assert cli.main(["run", "laboratory", "soup"]) == 1
    assert "recipe is 'soup'" in capsys.readouterr().err


def test_diverged_training_adds_no_row(fake_recipes, monkeypatch, capsys):
    def run(recipe, seed, on):
        raise ValueError("the loss became nan in epoch 2")

    monkeypatch.setattr(fake_recipes.module, "run", run)
    assert cli.main(["run", "laboratory"]) == 1
    assert "the loss became nan" in capsys.readouterr().err
    assert not fake_recipes.ledger.LEDGER.exists()


@pytest.mark.parametrize("error", [ConnectionError("no data"), ImportError("pip install it")])
def test_missing_requirement_is_reported_in_one_line(error, fake_recipes, monkeypatch, capsys):
    def run(recipe, seed, on):
        raise error

    monkeypatch.setattr(fake_recipes.module, "run", run)
    assert cli.main(["run", "laboratory"]) == 1
    assert capsys.readouterr().err == f"labkit: {error}\n"


@pytest.mark.parametrize(
    "arguments", [[], ["dance"], ["run"], ["run", "laboratory", "--seed", "x"]]
)
def test_invalid_arguments_show_usage(arguments, capsys):
    with pytest.raises(SystemExit) as excinfo:
        cli.main(arguments)
    assert excinfo.value.code == 2
    assert "usage: labkit" in capsys.readouterr().err


def test_entry_point_is_main(monkeypatch, capsys):
    (entry,) = metadata.entry_points(group="console_scripts", name="labkit")
    assert entry.load() is cli.main
    monkeypatch.setattr(sys, "argv", ["labkit", "--help"])
    with pytest.raises(SystemExit) as excinfo:
        entry.load()()
    assert excinfo.value.code == 0
    shown = capsys.readouterr().out
    assert "info" in shown and "run" in shown


@pytest.fixture
def no_data(monkeypatch, tmp_path):
    """A temporary ledger; loading data fails the test."""
    from labkit import data
    from labkit.experiments import ledger

    monkeypatch.setattr(ledger, "LEDGER", tmp_path / "runs.jsonl")
    monkeypatch.setattr(data, "load", lambda *_: pytest.fail("the data was loaded"))
    return monkeypatch


@pytest.mark.parametrize(
    "words",
    [
        ["run", "quick"],
        ["images", "quick"],
        ["similarity", "quick", "fast"],
        ["study", "few"],
        ["shades"],
    ],
    ids=lambda words: words[0],
)
def test_missing_clone_prevents_training(words, no_data, tmp_path, capsys):
    from labkit.experiments import ledger, recipes

    no_data.setattr(ledger, "LEDGER", tmp_path / "missing" / "runs.jsonl")
    no_data.setattr(recipes, "fit", lambda *_: pytest.fail("it was trained"))
    assert cli.main(words) == 1
    assert "not in a clone of the course" in capsys.readouterr().err


def test_similarity_checks_recipes_before_loading(no_data, capsys):
    assert cli.main(["similarity", "quick", "soup"]) == 1
    assert "recipe is 'soup'" in capsys.readouterr().err


@pytest.fixture
def tiny_setup(folders, monkeypatch, make_split, eager, short_encoder):
    """Tiny recipes for any name, a tiny dataset and a temporary ledger."""
    from labkit import data
    from labkit.experiments import ledger, recipes

    pets = data.Pets(make_split(6, 32), make_split(4, 32), "synthetic")
    monkeypatch.setattr(data, "load", lambda *_: pets)
    tiny = recipes.Recipe("tiny", epochs=1, batch_size=3, image_size=32, filters=(4, 4, 4, 4))
    monkeypatch.setattr(recipes, "find", lambda name: replace(tiny, name=name, pretrained=False))
    monkeypatch.setattr(ledger, "LEDGER", folders / "runs.jsonl")
    return ledger


def test_images_writes_row_per_test_image(tiny_setup, capsys):
    assert cli.main(["images", "mine", "--seed", "3"]) == 0
    file = tiny_setup.images_file("mine", 3)
    assert file.name == "images-mine-3.csv.gz" and str(file) in capsys.readouterr().out
    rows = pd.read_csv(file)
    assert len(rows) == 4
    assert {"name", "pet IoU", "shades", "outline"} <= set(rows.columns)


def test_similarity_compares_recipes_and_seeds(tiny_setup, monkeypatch):
    from labkit.experiments import recipes

    # Initial weights differ by seed, as trained weights do, and take no training.
    monkeypatch.setattr(recipes, "fit", lambda recipe, seed, _: (recipes.build(recipe, seed), None))
    assert cli.main(["similarity", "one", "two", "--seeds", "0", "1"]) == 0
    rows = [json.loads(line) for line in tiny_setup.similarity_file().read_text().splitlines()]
    assert [row["seed"] for row in rows] == [0, 1]
    for row in rows:
        assert row["recipes"] == ["one", "two"]
        # The two recipes differ in name only, so their networks are equal.
        assert row["CKA"] == pytest.approx(dict.fromkeys(("8", "16", "32", "64"), 1), abs=1e-4)
        assert max(row["CKA of another seed"].values()) < 0.999


ONNX = "ONNX files need three packages: pip install onnx onnxruntime tf2onnx\n"


@pytest.mark.parametrize(
    ("study", "package", "remedy"),
    [
        ("tuning", "optuna", "the search needs Optuna: pip install optuna\n"),
        ("export", "onnxruntime", ONNX),
        ("export", "tf2onnx", ONNX),
    ],
)
def test_study_checks_packages_before_training(study, package, remedy, no_data, capsys):
    no_data.setitem(sys.modules, package, None)
    assert cli.main(["study", "few", study]) == 1
    error = capsys.readouterr().err
    assert error.startswith("labkit: ") and error.endswith(remedy) and error.count("\n") == 1


@pytest.mark.parametrize("study", ["cost", "depths", "export", "pruning"])
def test_study_checks_backend_before_training(study, no_data, capsys):
    no_data.setattr("keras.backend.backend", lambda: "torch")
    assert cli.main(["study", study]) == 1
    error = capsys.readouterr().err
    assert "LiteRT files need the TensorFlow backend, and the backend is torch" in error
