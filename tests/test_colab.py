"""What the first cell of a published notebook does once it has fetched the course."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from labkit import colab, data, training


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Puts the settings back after each test."""
    for name in ("PYTHONPATH", *colab.KEPT):
        monkeypatch.setenv(name, "before")


@pytest.fixture
def drive(monkeypatch, tmp_path):
    """Colab's module for Google Drive, which notes where it is asked to mount one."""
    google, package, module = (ModuleType(n) for n in ("google", "google.colab", "drive"))
    module.mounted = []
    module.mount = module.mounted.append
    package.drive, google.colab = module, package
    monkeypatch.setitem(sys.modules, "google", google)
    monkeypatch.setitem(sys.modules, "google.colab", package)
    monkeypatch.setattr(colab, "DRIVE", tmp_path / "drive")
    return module


def test_without_a_folder_nothing_moves():
    colab.set_up()
    assert os.environ["LABKIT_CACHE"] == os.environ["LABKIT_RUNS"] == "before"


def test_commands_find_the_course(tmp_path):
    colab.set_up()
    colab.set_up()
    course = str(Path(colab.__file__).parents[1])
    assert os.environ["PYTHONPATH"] == os.pathsep.join([course, "before"])
    code = "import labkit; print(labkit.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert Path(done.stdout.strip()).parent == Path(colab.__file__).parent


def test_a_folder_keeps_data_trainings_and_weights(tmp_path, drive, capsys):
    colab.set_up(str(tmp_path / "kept"))
    colab.set_up(str(tmp_path / "kept"))
    assert data.cache_folder() == tmp_path / "kept" / "cache"
    assert training.runs_folder() == tmp_path / "kept" / "runs"
    assert os.environ["KERAS_HOME"] == str(tmp_path / "kept" / "keras")
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["cache", "keras", "runs"]
    assert str(tmp_path / "kept") in capsys.readouterr().out
    assert drive.mounted == []


def test_a_folder_on_google_drive_is_mounted_first(tmp_path, drive):
    colab.set_up(str(tmp_path / "drive" / "MyDrive" / "course"))
    assert drive.mounted == [str(tmp_path / "drive")]
    assert training.runs_folder() == tmp_path / "drive" / "MyDrive" / "course" / "runs"


def test_google_drive_outside_colab_is_told_in_words():
    with pytest.raises(ValueError, match="/content/drive/MyDrive/a.* this is not Colab"):
        colab.set_up("/content/drive/MyDrive/a")


# --- packages ------------------------------------------------------------------------------------


@pytest.fixture
def pip(monkeypatch):
    """In the place of pip: notes what it is asked to install, and with what held."""
    asked, answer = [], {"returncode": 0, "stderr": ""}

    def run(command, **_):
        if "list" in command:
            return subprocess.CompletedProcess(command, 0, stdout="numpy==2.1.3\n", stderr="")
        held = Path(command[command.index("--constraint") + 1]).read_text()
        asked.append((command[command.index("--constraint") + 2 :], held))
        return subprocess.CompletedProcess(command, **answer, stdout="")

    monkeypatch.setattr(colab.subprocess, "run", run)
    return asked, answer


def test_missing_packages_are_installed_with_all_others_held(pip):
    colab.set_up(install=["numpy", "not_to_be_found"])
    assert pip[0] == [(["not_to_be_found"], "numpy==2.1.3\n")]


def test_packages_that_are_there_are_left_alone(pip):
    colab.set_up(install=["numpy", "keras"])
    assert pip[0] == []


def test_a_package_that_needs_other_versions_is_refused_in_words(pip):
    pip[1].update(returncode=1, stderr="it needs numpy 9")
    with pytest.raises(ImportError, match="not_to_be_found can't be installed.*needs numpy 9"):
        colab.set_up(install=["not_to_be_found"])
