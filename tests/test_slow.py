"""Selection of slow tests with ``--slow`` and ``--slow=changed``."""

from pathlib import Path

import pytest

from tests import slow

pytest_plugins = ["pytester"]
FILE = """
import pytest


def test_fast():
    pass


@pytest.mark.slow
def test_slow():
    assert {passes}
"""


@pytest.fixture
def run_tests(pytester, monkeypatch):
    """A function that runs a fast and a slow test; it returns how many passed and failed."""
    monkeypatch.setattr(slow, "PASSED", pytester.path / "passed.json")
    monkeypatch.setattr(slow, "name", lambda path: Path(path).name)
    monkeypatch.setattr(slow.paths, "ROOT", pytester.path)

    def run(*options, passes=True):
        pytester.makepyfile(test_file=FILE.format(passes=passes))
        pytester.makeini("[pytest]\ntestpaths = .")
        result = pytester.inline_run("-p", "tests.slow", "-p", "no:xdist", *options)
        passed, _, failed = result.countoutcomes()
        return passed, failed

    return run


def test_key_covers_helpers_and_modules_that_are_not_imported(tmp_path, monkeypatch):
    modules = slow.modules_of("import importlib\nfrom labkit.check import Task")
    assert {"labkit.check.skips", "labkit.check.own", "labkit.classes"} < set(modules)
    assert "labkit.grade.worker" in slow.modules_of("from labkit.grade.session import Session")
    assert slow.modules_of("from labkit import classes") == ["labkit", "labkit.classes"]
    monkeypatch.setattr(slow.paths, "ROOT", tmp_path)
    test, helper = tmp_path / "tests" / "test_a.py", tmp_path / "tests" / "part" / "helper.py"
    helper.parent.mkdir(parents=True)
    test.write_text("")
    helper.write_text("x = 1")
    before = slow.key(test)
    helper.write_text("x = 2")
    assert slow.key(test) != before


def test_slow_option_runs_slow_tests(run_tests):
    assert run_tests() == (1, 0)
    assert run_tests("--slow") == (2, 0)


def test_changed_option_skips_recorded_tests(run_tests):
    assert run_tests("--slow=changed", passes=False) == (1, 1)
    assert run_tests("--slow=changed", passes=False) == (1, 1)  # a failure is not recorded
    assert run_tests("--slow=changed", "-k", "nothing") == (0, 0)  # nor is a part of the tests
    assert run_tests("--slow=changed") == (2, 0)
    assert run_tests("--slow=changed") == (1, 0)
    assert run_tests("--slow=changed", passes="1") == (2, 0)  # the code has changed
