"""Pytest plugin for tests that are marked ``slow``.

    pytest                  without slow tests
    pytest --slow           all tests
    pytest --slow=changed   without slow tests that have passed for the current code

The code of a test file is its own text, the helpers of tests, the modules of labkit that it
imports, directly or not, with the others of their packages, and the tools of the book.
"""

import json
from pathlib import Path

import graph
import keys
import notebooks
import paths
import store
from settings import Settings

PASSED = paths.EXECUTED / "slow-tests.json"  # test files with the key that they passed for


def pytest_addoption(parser):
    choices = ("no", "changed", "all")
    parser.addoption("--slow", nargs="?", const="all", default="no", choices=choices)


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: not run by `make test`")
    config.pluginmanager.register(Recorder(config.getoption("slow")), "slow-recorder")


def pytest_collection_modifyitems(config, items):
    slow = [item for item in items if item.get_closest_marker("slow")]
    if config.getoption("slow") == "all":
        return
    due = set()
    if config.getoption("slow") == "changed":
        files = {item.path for item in slow}
        due = {file for file in files if passed().get(name(file)) != key(file)}
    skipped = [item for item in slow if item.path not in due]
    items[:] = [item for item in items if item not in skipped]
    if skipped:
        config.hook.pytest_deselected(items=skipped)


def passed():
    """Return the keys that test files passed for."""
    return json.loads(PASSED.read_text()) if PASSED.exists() else {}


def name(path):
    """Return the path of a test file as its node id has it."""
    return Path(path).relative_to(paths.ROOT).as_posix()


def key(path):
    """Return a hash of a test file and the code that it tests."""
    if Path(path).name == "test_notebooks.py":  # tests all notebooks
        settings = Settings.of_tests()
        inputs = [keys.inputs(name, settings) for name in notebooks.all_names()]
        return keys.digest([keys.key(one) for one in inputs])
    code = Path(path).read_text(encoding="utf-8")
    shared = sorted(Path(store.__file__).parent.glob("*.py"))
    tests = sorted((paths.ROOT / "tests").rglob("*.py"))
    shared += [file for file in tests if not file.name.startswith("test_")]
    texts = [file.read_text("utf-8") for file in shared]
    modules = [keys.module_hash(module) for module in modules_of(code)]
    return keys.digest([code, modules, texts])


def modules_of(code):
    """Return the modules that code imports, and those that it may load by name or in a process:
    the others of their packages."""
    imported, known = graph.closure(code), graph.modules()
    packages = {name for name in imported if known[name].name == "__init__.py"} - {"labkit"}
    others = [name for name in known if name.rpartition(".")[0] in packages]
    return graph.closure("\n".join(f"import {name}" for name in imported + others))


class Recorder:
    """Records the files whose slow tests have all passed."""

    def __init__(self, option):
        self.option, self.ran, self.failed = option, set(), set()

    def pytest_runtest_logreport(self, report):
        if "slow" in report.keywords:
            file = report.nodeid.partition("::")[0]
            self.ran.add(file)
            if report.failed:
                self.failed.add(file)

    def pytest_sessionfinish(self, session):
        # A selection by file or keyword may leave out tests, and a worker runs a part of them.
        partial = session.config.args_source.name == "ARGS" or session.config.option.keyword
        if hasattr(session.config, "workerinput") or self.option == "no" or partial:
            return
        now = {file: key(paths.ROOT / file) for file in self.ran - self.failed}
        PASSED.parent.mkdir(parents=True, exist_ok=True)
        store.write(PASSED, json.dumps(passed() | now, indent=1))
