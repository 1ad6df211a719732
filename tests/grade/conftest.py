"""A small lab with two tasks, and fixtures that write submissions to it."""

import json
import os
import sys
from functools import cache

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from labkit.check import task
from labkit.check.mistakes import Edit
from labkit.check.question import Question
from labkit.grade import collect, container, course, grader


@task(
    "9.1",
    cases=((np.array([1, 2, 3]),), (7,)),
    mistakes=(Edit("2 * value", "value**2", "This is the square."),),
)
def double(value):
    return 2 * value


TASKS = {"9.1": double, "9.2": Question("9.2", "why", words=3)}
GOOD = "def double(x):\n    return x + x\n\nwhy = 'because it is so'"


@pytest.fixture(autouse=True)
def small_lab(monkeypatch):
    """Replaces a lab's tasks with those above, whose cases are sent to the container."""
    for module in (grader, course):
        monkeypatch.setattr(module, "tasks_of", lambda lab: TASKS)


@cache
def available():
    """The class of containers here, or the reason why there is none.

    Only on GitHub, Docker's image may be made, which takes minutes.
    """
    engines = [
        engine
        for engine in container.ENGINES
        if os.environ.get("CI") or not container.has_image(engine)
    ]
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(container, "ENGINES", engines)
            return container.select_backend(), ""
    except container.Unsafe as reason:
        return None, str(reason)


@pytest.fixture
def backend():
    """A class of containers. On GitHub's Linux runners there has to be one."""
    found, reason = available()
    if found is None and os.environ.get("CI") and sys.platform == "linux":
        pytest.fail(reason)
    if found is None:
        pytest.skip(reason)
    return found


@pytest.fixture
def needs_container(backend, monkeypatch):
    """Lets the grader use containers."""
    monkeypatch.setattr(grader.Container, "engine", backend.engine)


@pytest.fixture
def write_raw(tmp_path):
    """A function that writes any content to an .ipynb file and returns its ``Submission``."""

    def make(content, name="student.ipynb"):
        path = tmp_path / "class" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content) if isinstance(content, dict | list) else content
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return collect.Submission(path.stem, path)

    return make


@pytest.fixture
def write(write_raw):
    """A function that writes a notebook of the given cells and returns its ``Submission``."""

    def make(*cells, name="student.ipynb", **metadata):
        notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells], metadata=metadata)
        return write_raw(nbformat.writes(notebook), name)

    return make
