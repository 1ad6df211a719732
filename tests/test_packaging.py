"""What the package asks for, against what students have."""

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
    for wanted in requirements(PROJECT["dependencies"] + extras["book"] + extras["test"]).values():
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
