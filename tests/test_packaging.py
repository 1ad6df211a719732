"""What the package asks for, against what students have."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

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
