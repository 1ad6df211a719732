"""Slow tests: marked ``slow``, run when they are asked for or when what they guard has changed.

    pytest                  the others
    pytest --slow           all tests
    pytest --slow=changed   the others, and slow ones that have not passed for the code as it is now

A file of tests has passed for its own text, for all modules of labkit that it imports, directly or
not, and for the tools of the book.
"""

import json
from pathlib import Path

import graph
import store

TOOLS = Path(store.__file__).parent
PASSED = store.EXECUTED / "slow-tests.json"  # files, each with the key it passed for


def pytest_addoption(parser):
    parser.addoption(
        "--slow", nargs="?", const="all", default="no", choices=("no", "changed", "all")
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: left out by `make test`")
    config.pluginmanager.register(Record(config.getoption("slow")), "slow-record")


def pytest_collection_modifyitems(config, items):
    asked = config.getoption("slow")
    if asked == "all":
        return
    known, due = passed(), {}
    wanted, others = [], []
    for item in items:
        if asked == "changed" and item.path not in due:  # a key takes a moment
            due[item.path] = known.get(name(item.path)) != key(item.path)
        wanted_now = due.get(item.path) or not item.get_closest_marker("slow")
        (wanted if wanted_now else others).append(item)
    items[:] = wanted
    if others:
        config.hook.pytest_deselected(items=others)


def passed():
    return json.loads(PASSED.read_text()) if PASSED.exists() else {}


def name(path):
    return Path(path).relative_to(store.ROOT).as_posix()


def key(path):
    """A hash of a file of tests and of the code that it tests."""
    code = Path(path).read_text(encoding="utf-8")
    if Path(path).name == "test_notebooks.py":  # it tests what the notebooks are made of
        settings = store.Settings.of_tests()
        everything = [*store.names(), *store.lab_names()]
        return store.digest([store.key(store.inputs(name, settings)) for name in everything])
    tools = [tool.read_text(encoding="utf-8") for tool in sorted(TOOLS.glob("*.py"))]
    modules = [store.module_hash(module) for module in graph.closure(code)]
    return store.digest([code, modules, tools])


class Record:
    """Notes which files had slow tests, and whether all of them passed."""

    def __init__(self, asked):
        self.asked, self.ran, self.failed = asked, set(), set()

    def pytest_runtest_logreport(self, report):
        if "slow" in report.keywords:
            file = report.nodeid.partition("::")[0]
            self.ran.add(file)
            if report.failed:
                self.failed.add(file)

    def pytest_sessionfinish(self, session):
        # Files or words that were named leave out tests; a worker of several knows a part of them.
        whole = session.config.args_source.name != "ARGS" and not session.config.option.keyword
        if hasattr(session.config, "workerinput") or self.asked == "no" or not whole:
            return
        now = {file: key(store.ROOT / file) for file in self.ran - self.failed}
        PASSED.parent.mkdir(parents=True, exist_ok=True)
        store.write(PASSED, json.dumps(passed() | now, indent=1))
