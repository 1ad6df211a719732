"""Dependencies of the package and the book, and their installation by ``make``."""

import os
import shutil
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from labkit.grade import container

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins(file):
    """Exact versions of a file of requirements, by name."""
    lines = [line for line in (ROOT / file).read_text().splitlines() if not line.startswith("#")]
    pinned = {canonicalize_name(r.name): str(r.specifier) for r in map(Requirement, lines)}
    assert all(version.startswith("==") for version in pinned.values())
    return {name: Version(version[2:]) for name, version in pinned.items()}


def check_ranges(extras, pinned):
    """Check that the pinned versions are within the ranges of the dependencies and the extras."""
    ranges = [*PROJECT["dependencies"], *sum(map(PROJECT["optional-dependencies"].get, extras), [])]
    for wanted in map(Requirement, ranges):
        assert wanted.specifier.contains(pinned[canonicalize_name(wanted.name)]), wanted.name


def test_pinned_versions_are_within_ranges():
    check_ranges(["book", "improve", "test"], pins("requirements.txt"))
    colab = pins("tests/colab/requirements.txt")
    colab["tensorflow"] = colab["tensorflow-cpu"]
    colab["importlib-resources"] = Version("5")  # only Python 3.11 needs it; Colab has 3.13
    check_ranges([], colab)


def test_container_uses_installed_tensorflow_build(monkeypatch):
    def version(name):
        if name == "tensorflow":
            raise metadata.PackageNotFoundError(name)
        return "2.18.1" if name == "tensorflow-cpu" else "1.0"

    monkeypatch.setattr(metadata, "version", version)
    assert {"tensorflow-cpu==2.18.1", "keras==1.0"} < set(container.pins())
    monkeypatch.undo()
    monkeypatch.setattr(metadata, "requires", lambda name: ["no-such-package>=1"])
    with pytest.raises(metadata.PackageNotFoundError, match="no-such-package"):
        container.pins()


# --- make ----------------------------------------------------------------------------------------

FAKE = """#!/bin/sh
if [ "$1" = -V ]; then echo Python {version}; else echo "{name} $*" >> calls; fi
"""


@pytest.fixture
def course(tmp_path):
    """A folder with the course's Makefile and fake Pythons that record their calls."""
    if not shutil.which("make"):
        pytest.skip("there is no make")
    fakes = {".venv/bin/python": "3.11.9", "same": "3.11.9", "other": "3.12.1"}
    for name, version in fakes.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(FAKE.format(name=file.name, version=version))
        file.chmod(0o755)
    for name in ("requirements.txt", "pyproject.toml", ".venv/installed"):
        (tmp_path / name).touch()
    shutil.copy(ROOT / "Makefile", tmp_path)
    return tmp_path


def make(folder, *words):
    """Python calls of ``make`` in a folder, independent of an outer ``make``."""
    kept = {
        key: value for key, value in os.environ.items() if key != "PYTHON" and "MAKE" not in key
    }
    (folder / "calls").write_text("")
    subprocess.run(["make", *words], cwd=folder, env=kept, capture_output=True, check=True)
    return (folder / "calls").read_text().splitlines()


def test_only_another_python_replaces_environment(course):
    build = ["python book/_tools/build.py 04"]
    book = ("book", "CHAPTER=04")
    assert make(course, *book) == build
    calls = make(course, *book, "PYTHON=./other")
    assert "other -m venv --clear .venv" in calls and calls[-1:] == build
    assert make(course, *book, "PYTHON=./same") == build
    assert make(course, *book) == build


@pytest.mark.parametrize("words", [[], ["-B"], ["-B", "PYTHON=./same"]])
def test_changed_requirements_are_installed_in_same_environment(course, words):
    os.utime(course / "requirements.txt", (2e9, 2e9))
    calls = make(course, *words, "lint")
    assert "install" in calls[0] and not any("--clear" in call for call in calls)
    assert calls[-1] == "python book/_tools/lint.py"
