"""Every chapter and lab runs without errors, and compared cells reproduce their outputs.

Notebooks come from the store (book/_tools/store.py); missing ones are executed.
"""

from functools import cache

import execute
import nbformat
import notebooks
import pytest
import store
from nbval.plugin import coalesce_streams
from settings import Settings
from tidy import CHECKED

SETTINGS = Settings.of_tests()
IGNORED = ("metadata", "execution_count")
each_notebook = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if notebooks.is_slow(name) else ())
        for name in notebooks.all_names()
    ],
)


@cache
def executed(name):
    """Path of an executed notebook, and its inputs."""
    jobs, failures = execute.up_to_date([name], SETTINGS)
    if failures:
        pytest.fail("\n".join(map(str, failures)))
    return jobs[name].path, jobs[name].inputs


def contents(outputs):
    """What a page shows of a cell's outputs."""
    return [
        {key: value for key, value in output.items() if key not in IGNORED}
        for output in coalesce_streams(outputs)
    ]


@each_notebook
def test_notebook_runs_and_reproduces_outputs(name):
    path, _ = executed(name)
    executed_cells = {cell.id: cell for cell in nbformat.read(path, as_version=4).cells}
    for cell in notebooks.source(name).cells:
        if CHECKED in cell.metadata.get("tags", []):
            assert contents(executed_cells[cell.id].outputs) == contents(cell.outputs), cell.id


@each_notebook
def test_key_covers_loaded_and_opened_files(name):
    path, inputs = executed(name)
    record = store.record(path)
    modules = [module.replace(".", "/") for module in record["modules"]]
    assert modules
    assert [m for m in modules if not {f"{m}.py", f"{m}/__init__.py"} & inputs.keys()] == []
    opened = {file for file in record["files"] if not file.endswith(".py")}
    assert {file for file in opened if "egg-info" not in file} <= inputs.keys()


def test_each_chapter_has_notebook():
    numbers = [name[:2] for name in notebooks.names() if name[0].isdigit()]
    assert numbers == [f"{number:02}" for number in range(15)]
