"""Which tests are run when: slow ones if they are asked for, or if their code has changed."""

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
def ran(pytester, monkeypatch):
    """A function that runs a fast and a slow test: how many passed and failed."""
    monkeypatch.setattr(slow, "PASSED", pytester.path / "passed.json")
    monkeypatch.setattr(slow, "name", lambda path: Path(path).name)
    monkeypatch.setattr(slow.store, "ROOT", pytester.path)

    def run(*options, passes=True):
        pytester.makepyfile(test_file=FILE.format(passes=passes))
        pytester.makeini("[pytest]\ntestpaths = .")
        found = pytester.inline_run("-p", "tests.slow", "-p", "no:xdist", *options)
        passed, _, failed = found.countoutcomes()
        return passed, failed

    return run


def test_slow_tests_run_when_they_are_asked_for(ran):
    assert ran() == (1, 0)
    assert ran("--slow") == (2, 0)


def test_a_slow_test_that_passed_runs_again_only_after_a_change(ran):
    assert ran("--slow=changed") == (2, 0)
    assert ran("--slow=changed") == (1, 0)
    assert ran("--slow=changed", passes="1") == (2, 0)


def test_a_slow_test_that_failed_runs_again(ran):
    assert ran("--slow=changed", passes=False) == (1, 1)
    assert ran("--slow=changed", passes=False) == (1, 1)


def test_a_part_of_the_tests_is_not_taken_for_all(ran):
    assert ran("--slow=changed", "-k", "nothing") == (0, 0)
    assert ran("--slow=changed") == (2, 0)
