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


def requirements(lines):
    return {r.name: r for r in map(Requirement, lines)}


def pins(file):
    """Exact versions of a file of requirements, by name."""
    lines = [line for line in (ROOT / file).read_text().splitlines() if not line.startswith("#")]
    pinned = requirements(lines)
    assert all(str(pin.specifier).startswith("==") for pin in pinned.values())
    return {canonicalize_name(name): str(pin.specifier)[2:] for name, pin in pinned.items()}


def test_dependencies_allow_colab_versions():
    needed = requirements(PROJECT["dependencies"])
    needed.pop("importlib_resources")  # for Python 3.11 alone; Colab has 3.13
    colab = pins("tests/colab/requirements.txt")
    colab["tensorflow"] = colab["tensorflow-cpu"]
    for name, wanted in needed.items():
        assert wanted.specifier.contains(Version(colab[name])), name


def test_book_pins_are_within_ranges():
    pinned = pins("requirements.txt")
    extras = PROJECT["optional-dependencies"]
    needed = [*PROJECT["dependencies"], *extras["book"], *extras["improve"], *extras["test"]]
    for wanted in requirements(needed).values():
        assert wanted.specifier.contains(pinned[canonicalize_name(wanted.name)]), wanted.name


def test_sandbox_uses_installed_tensorflow_build(monkeypatch):
    def version(name):
        if name == "tensorflow":
            raise metadata.PackageNotFoundError(name)
        return "2.18.1" if name == "tensorflow-cpu" else "1.0"

    monkeypatch.setattr(metadata, "version", version)
    pinned = container.pins()
    assert "tensorflow-cpu==2.18.1" in pinned and "keras==1.0" in pinned


def test_missing_package_raises(monkeypatch):
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


def test_installed_packages_are_not_reinstalled(course):
    assert make(course, "book", "CHAPTER=04") == ["python book/_tools/build.py 04"]


def test_other_python_replaces_environment(course):
    assert "other -m venv --clear .venv" in make(course, "book", "PYTHON=./other")
    for words in (["PYTHON=./same"], []):
        assert make(course, "book", *words) == ["python book/_tools/build.py"]


@pytest.mark.parametrize("words", [["-B"], ["-B", "PYTHON=./same"]])
def test_environment_is_kept_with_same_python(course, words):
    calls = make(course, *words, "lint")
    assert calls[-1] == "python book/_tools/lint.py"
    assert not any("venv --clear" in call for call in calls)


def test_changed_requirements_are_installed(course):
    os.utime(course / "requirements.txt", (2e9, 2e9))
    calls = make(course, "lint")
    assert "install" in calls[0] and not any("--clear" in call for call in calls)
