"""What the package asks for, against what students have, and what ``make`` does about it."""

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
    found = requirements(lines)
    assert all(str(pin.specifier).startswith("==") for pin in found.values())
    return {canonicalize_name(name): str(pin.specifier)[2:] for name, pin in found.items()}


def test_colab_needs_no_other_version_of_anything():
    needed = requirements(PROJECT["dependencies"])
    needed.pop("importlib_resources")  # for Python 3.11 alone; Colab has 3.13
    colab = pins("tests/colab/requirements.txt")
    colab["tensorflow"] = colab["tensorflow-cpu"]
    for name, wanted in needed.items():
        assert wanted.specifier.contains(Version(colab[name])), name


def test_the_book_pins_exact_versions_within_the_ranges():
    pinned = pins("requirements.txt")
    extras = PROJECT["optional-dependencies"]
    needed = [*PROJECT["dependencies"], *extras["book"], *extras["improve"], *extras["test"]]
    for wanted in requirements(needed).values():
        assert wanted.specifier.contains(pinned[canonicalize_name(wanted.name)]), wanted.name


def test_a_sandbox_takes_the_build_of_tensorflow_that_is_here(monkeypatch):
    def version(name):
        if name == "tensorflow":
            raise metadata.PackageNotFoundError(name)
        return "2.18.1" if name == "tensorflow-cpu" else "1.0"

    monkeypatch.setattr(metadata, "version", version)
    found = container.pins()
    assert "tensorflow-cpu==2.18.1" in found and "keras==1.0" in found


def test_a_package_that_is_missing_here_is_named(monkeypatch):
    monkeypatch.setattr(metadata, "requires", lambda name: ["no-such-package>=1"])
    with pytest.raises(metadata.PackageNotFoundError, match="no-such-package"):
        container.pins()


# --- make ----------------------------------------------------------------------------------------

FAKE = """#!/bin/sh
if [ "$1" = -V ]; then echo Python {version}; else echo "{name} $*" >> calls; fi
"""


@pytest.fixture
def course(tmp_path):
    """A folder with the course's Makefile and Pythons that only note what they are called for."""
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
    """What ``make`` calls Python for there; what called these tests tells it nothing."""
    kept = {
        key: value for key, value in os.environ.items() if key != "PYTHON" and "MAKE" not in key
    }
    (folder / "calls").write_text("")
    subprocess.run(["make", *words], cwd=folder, env=kept, capture_output=True, check=True)
    return (folder / "calls").read_text().splitlines()


def test_what_is_installed_is_not_installed_again(course):
    assert make(course, "book", "CHAPTER=04") == ["python book/_tools/build.py 04"]


def test_a_python_that_is_named_takes_the_place_of_the_one_before(course):
    assert "other -m venv --clear .venv" in make(course, "book", "PYTHON=./other")
    for words in (["PYTHON=./same"], []):
        assert make(course, "book", *words) == ["python book/_tools/build.py"]


@pytest.mark.parametrize("words", [["-B"], ["-B", "PYTHON=./same"]])
def test_the_environment_is_never_deleted_without_another_python(course, words):
    calls = make(course, *words, "lint")
    assert calls[-1] == "python book/_tools/lint.py"
    assert not any("venv --clear" in call for call in calls)


def test_changed_requirements_are_installed_on_top(course):
    os.utime(course / "requirements.txt", (2e9, 2e9))
    calls = make(course, "lint")
    assert "install" in calls[0] and not any("--clear" in call for call in calls)
