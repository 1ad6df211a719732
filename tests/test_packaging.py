"""What the package asks for, against what students have."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
# Google Colab's runtime of August 2026, from the package list that Google publishes.
COLAB = {
    "ipywidgets": "7.7.1",
    "keras": "3.13.2",
    "matplotlib": "3.10.0",
    "numpy": "2.1.3",
    "pandas": "2.2.3",
    "pillow": "11.3.0",
    "tensorflow": "2.20.0",
    "tensorflow-datasets": "4.9.10",
    "tqdm": "4.67.3",
}


def requirements(lines):
    return {r.name: r for r in map(Requirement, lines)}


def test_colab_needs_no_other_version_of_anything():
    needed = requirements(PROJECT["dependencies"])
    needed.pop("importlib_resources")  # for Python 3.11 alone; Colab has 3.13
    assert set(needed) == set(COLAB)
    for name, version in COLAB.items():
        assert needed[name].specifier.contains(Version(version)), name


def test_the_book_pins_exact_versions_within_the_ranges():
    text = (Path(__file__).parents[1] / "requirements.txt").read_text()
    pins = requirements(line for line in text.splitlines() if not line.startswith("#"))
    assert all(str(pin.specifier).startswith("==") for pin in pins.values())
    extras = PROJECT["optional-dependencies"]
    for wanted in requirements(PROJECT["dependencies"] + extras["book"] + extras["test"]).values():
        pin = pins[wanted.name.replace("_", "-")]
        assert wanted.specifier.contains(str(pin.specifier)[2:]), wanted.name
