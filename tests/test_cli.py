"""The ``labkit`` command."""

import io
import json
import sys
from dataclasses import replace
from importlib import metadata
from types import SimpleNamespace

import pandas as pd
import pytest

from labkit import cli, data, profile


@pytest.fixture
def ledger(monkeypatch, tmp_path):
    """The ledger's module with a temporary file; loading data fails the test."""
    from labkit.experiments import ledger

    monkeypatch.setattr(ledger, "LEDGER", tmp_path / "runs.jsonl")
    monkeypatch.setattr(data, "load", lambda *_: pytest.fail("the data was loaded"))
    return ledger


@pytest.fixture
def runs(ledger, monkeypatch):
    """Replaces training; returns the recipe, seed and split of each run."""
    calls = []

    def run(recipe, seed, on):
        calls.append((recipe.name, seed, on))
        return {"row": len(calls), "commit": "abc", on: {}}

    monkeypatch.setattr("labkit.experiments.recipes.run", run)
    for name in ("comparison", "summary", "with_intervals"):
        table = pd.DataFrame({name: [0.5]})
        monkeypatch.setattr(ledger, name, lambda row, table=table: table)
    return calls


def test_info_shows_environment(folders, monkeypatch, capsys):
    monkeypatch.setenv("LABKIT_PROFILE", "smoke")
    prepared = folders / "tfds_data_dir" / "oxford_iiit_pet" / "4.0.0"
    assert cli.main(["info"]) == 0
    before = capsys.readouterr().out
    for part in ("smoke", "device", "tensorflow", "labkit", str(folders / "labkit_cache")):
        assert part in before
    assert f"{prepared}: not there" in before
    prepared.mkdir(parents=True)
    (prepared / "dataset_info.json").write_text("{}")
    assert cli.main(["info"]) == 0
    assert f"{prepared}: there" in capsys.readouterr().out


# --- runs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["test", "validation"])
def test_run_trains_recipe_and_adds_row(split, ledger, runs, capsys):
    assert cli.main(["run", "laboratory", "--seeds", "3", "--split", split]) == 0
    assert runs == [("laboratory", 3, split)]
    shown = capsys.readouterr().out
    assert "summary" in shown and "with_intervals" in shown
    assert ("comparison" in shown) == (split == "test")  # the laboratory work has no other scores
    (row,) = map(json.loads, ledger.LEDGER.read_text().splitlines())
    assert row == {"row": 1, "commit": "abc", split: {}}


def test_recorded_run_is_not_repeated(ledger, runs, monkeypatch):
    monkeypatch.setattr(profile, "commit", lambda: "def")
    for commit, count in (("def", 0), ("abc", 1)):  # recorded by this code; loaded from a folder
        monkeypatch.setattr(ledger, "holds", lambda *run, commit=commit: run[-1] == commit)
        assert cli.main(["run", "laboratory"]) == 0
        assert len(runs) == count
    assert not ledger.LEDGER.exists()


def test_queue_groups_by_seed_and_continues_after_failure(ledger, monkeypatch, capsys):
    commands = []

    def run(command):
        commands.append(command[3:])
        return SimpleNamespace(returncode=int(command[4:7] == ["laboratory", "--seeds", "1"]))

    monkeypatch.setattr(cli.subprocess, "run", run)
    assert cli.main(["run", "laboratory", "quick", "--seeds", "1", "2"]) == 1
    queue = [(1, "laboratory"), (1, "quick"), (2, "laboratory"), (2, "quick")]
    assert commands == [["run", r, "--seeds", str(s), "--split", "test"] for s, r in queue]
    assert "1 of 4 runs failed: laboratory 1" in capsys.readouterr().err


# --- errors --------------------------------------------------------------------------------------


def raises(error):
    def action(*_):
        raise error

    return action


def error_line(words, capsys, status=1):
    """Run a command that fails; returns its only line on standard error."""
    assert cli.main(words) == status
    error = capsys.readouterr().err
    assert error.startswith("labkit: ") and error.count("\n") == 1
    return error


@pytest.mark.parametrize("error", [ValueError("nan"), ConnectionError("no"), ImportError("pip")])
def test_failed_run_is_reported_in_one_line(error, ledger, monkeypatch, capsys):
    monkeypatch.setattr("labkit.experiments.recipes.run", raises(error))
    assert str(error) in error_line(["run", "laboratory"], capsys)
    assert not ledger.LEDGER.exists()


def test_interrupted_command_ends_with_one_line(monkeypatch, capsys):
    monkeypatch.setattr(cli, "show_info", raises(KeyboardInterrupt))
    assert (
        error_line(["info"], capsys, status=130)
        == "labkit: interrupted; finished results are kept\n"
    )


@pytest.mark.parametrize(
    "words", [["run", "soup"], ["run", "laboratory", "soup"], ["similarity", "quick", "soup"]]
)
def test_unknown_recipe_prevents_training(words, runs, monkeypatch, capsys):
    monkeypatch.setattr(cli.subprocess, "run", lambda *_: pytest.fail("it started"))
    assert "recipe is 'soup'" in error_line(words, capsys)
    assert runs == []


@pytest.mark.parametrize(
    "words", ["run quick", "images quick", "similarity quick fast", "study few", "shades"]
)
def test_missing_clone_prevents_training(words, ledger, runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ledger, "LEDGER", tmp_path / "missing" / "runs.jsonl")
    monkeypatch.setattr("labkit.experiments.recipes.fit", lambda *_: pytest.fail("trained"))
    assert str(tmp_path / "missing") in error_line(words.split(), capsys)
    assert runs == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("images quick", "ImageNet"),
        ("similarity scratch-all quick", "ImageNet"),
        ("study few cost", "ImageNet"),
        ("shades", "ImageNet"),
        ("images scratch-all", "the data is loaded"),
        ("study cost", "the data is loaded"),
    ],
)
def test_missing_imagenet_weights_prevent_results_of_another_encoder(
    words, reason, ledger, folders, monkeypatch, capsys
):
    monkeypatch.setattr(data, "load", raises(ValueError("the data is loaded")))
    monkeypatch.setattr("labkit.experiments.recipes.fit", lambda *_: pytest.fail("trained"))
    assert reason in error_line(words.split(), capsys)


@pytest.mark.parametrize("seeds", ["0", "1 1", "0 1 0"])
def test_a_model_is_not_compared_with_itself(seeds, ledger, capsys):
    words = ["similarity", "quick", "fast", "--seeds", *seeds.split()]
    assert f"seeds are {seeds}: use at least two different" in error_line(words, capsys)


@pytest.mark.parametrize(
    ("study", "package"), [("tuning", "optuna"), ("export", "onnxruntime"), ("export", "tf2onnx")]
)
def test_study_checks_packages_before_training(study, package, ledger, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    remedy = error_line(["study", "few", study], capsys).partition("pip install ")[2]
    assert package in remedy


@pytest.mark.parametrize("study", ["cost", "depths", "export", "pruning"])
def test_study_checks_backend_before_training(study, ledger, monkeypatch, capsys):
    monkeypatch.setattr("keras.backend.backend", lambda: "torch")
    assert "torch" in error_line(["study", study], capsys)


@pytest.mark.parametrize(
    ("words", "status", "shown"),
    [
        ([], 2, "usage: labkit"),
        (["dance"], 2, "usage: labkit"),
        (["run"], 2, "usage: labkit"),
        (["run", "laboratory", "--seeds", "x"], 2, "usage: labkit"),
        (["--help"], 0, "info"),
    ],
)
def test_installed_command_shows_usage(words, status, shown, monkeypatch, capsys):
    (entry,) = metadata.entry_points(group="console_scripts", name="labkit")
    monkeypatch.setattr(sys, "argv", ["labkit", *words])
    with pytest.raises(SystemExit) as excinfo:
        entry.load()()
    assert excinfo.value.code == status
    captured = capsys.readouterr()
    assert shown in captured.out + captured.err


# --- tables --------------------------------------------------------------------------------------


@pytest.fixture
def tiny_recipes(ledger, folders, monkeypatch, make_split, eager, short_encoder):
    """A tiny recipe for any name, and a tiny dataset."""
    from labkit.experiments import recipes

    pets = data.Splits(make_split(6, 32), make_split(4, 32), "synthetic")
    monkeypatch.setattr(data, "load", lambda *_: pets)
    tiny = recipes.Recipe("tiny", epochs=1, batch_size=3, image_size=32, filters=(4, 4, 4, 4))
    monkeypatch.setattr(recipes, "find", lambda name: replace(tiny, name=name, pretrained=False))
    return recipes


def test_images_writes_row_per_test_image(tiny_recipes, ledger, capsys):
    assert cli.main(["images", "mine", "--seed", "3"]) == 0
    file = ledger.images_file("mine", 3)
    assert file.name == "images-mine-3.csv.gz" and str(file) in capsys.readouterr().out
    rows = pd.read_csv(file)
    assert len(rows) == 4
    assert {"name", "pet IoU", "shades", "outline"} <= set(rows.columns)


def test_similarity_compares_recipes_and_seeds(tiny_recipes, ledger, monkeypatch):
    # Initial weights differ by seed, as trained weights do, and take no training.
    build = tiny_recipes.build
    monkeypatch.setattr(tiny_recipes, "fit", lambda recipe, seed, _: (build(recipe, seed), None))
    assert cli.main(["similarity", "one", "two", "--seeds", "0", "1"]) == 0
    rows = [json.loads(line) for line in ledger.similarity_file().read_text().splitlines()]
    assert [row["seed"] for row in rows] == [0, 1]
    for row in rows:
        assert row["recipes"] == ["one", "two"]
        # The two recipes differ in name only, so their networks are equal.
        assert row["CKA"] == pytest.approx(dict.fromkeys(("8", "16", "32", "64"), 1), abs=1e-4)
        assert max(row["CKA of another seed"].values()) < 0.999


def test_console_without_a_sign_shows_another(monkeypatch, tmp_path):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp1251"))
    monkeypatch.setattr(cli, "show_info", lambda options: print("± ✓ Иванов é"))
    assert cli.main(["info"]) == 0
    sys.stdout.flush()
    assert raw.getvalue().decode("cp1251").strip() == "± ? Иванов ?"
