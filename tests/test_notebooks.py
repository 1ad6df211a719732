"""Every chapter and lab runs without errors, and compared cells reproduce their outputs.

Notebooks come from the store (book/_tools/store.py); missing ones are executed.
"""

from functools import cache
from types import SimpleNamespace

import execute
import nbformat
import pytest
import store
from nbval.plugin import IPyNbCell, coalesce_streams
from tidy import CHECKED

NOTEBOOKS = [*store.names(), *store.lab_names()]
SETTINGS = store.Settings.of_tests()
each_notebook = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if store.is_slow(name) else ())
        for name in NOTEBOOKS
    ],
)


@cache
def executed(name):
    """Path of an executed notebook, and its inputs."""
    jobs, failures = execute.up_to_date([name], SETTINGS)
    if failures:
        pytest.fail("\n".join(map(str, failures)))
    return jobs[name].path, jobs[name].inputs


def difference(stored, actual):
    """Differences that nbval finds between the outputs of a cell, or None."""
    differences = []
    cell = SimpleNamespace(
        parent=SimpleNamespace(skip_compare=("metadata", "output_type", "execution_count")),
        colors=SimpleNamespace(FAIL="", ENDC="", OKBLUE=""),
        sanitize=lambda value: value,
        format_output_compare=lambda key, left, right: differences.append((key, left, right)),
        comparison_traceback=differences,
    )
    outputs = [coalesce_streams(outputs) for outputs in (actual, stored)]
    if IPyNbCell.compare_outputs(cell, *outputs):
        return None
    return differences or cell.comparison_traceback


@each_notebook
def test_notebook_runs_and_reproduces_outputs(name):
    path, _ = executed(name)
    executed_cells = {cell.id: cell for cell in nbformat.read(path, as_version=4).cells}
    for cell in store.source(name).cells:
        if CHECKED in cell.metadata.get("tags", []):
            assert difference(cell.outputs, executed_cells[cell.id].outputs) is None, cell.id


@each_notebook
def test_key_covers_loaded_and_opened_files(name):
    path, inputs = executed(name)
    record = store.record(path)
    loaded = {f"{module.replace('.', '/')}.py" for module in record["modules"]}
    packages = {f"{module.replace('.', '/')}/__init__.py" for module in record["modules"]}
    covered = {part for part in inputs if part in loaded | packages}
    assert len(covered) == len(record["modules"]) > 0
    opened = {file for file in record["files"] if not file.endswith(".py")}
    assert {file for file in opened if "egg-info" not in file} <= set(inputs)


def test_difference_detects_changed_output():
    first, second = (
        [nbformat.v4.new_output("execute_result", {"text/plain": text})] for text in "12"
    )
    assert difference(first, first) is None
    assert difference(first, second) == [("text/plain", "1", "2")]
    assert difference(first, []) is not None


def test_each_chapter_has_notebook():
    numbers = [name[:2] for name in NOTEBOOKS if name[0].isdigit()]
    assert numbers == [f"{number:02}" for number in range(1, 13)]
