"""Every known mistake of every task: it is recognized, and its hint does not solve the task.

And the question that a lab ends with.
"""

import ast
import importlib
import itertools
import warnings

import numpy as np
import pytest
from keras.ops import convert_to_tensor

from labkit.check import Task, handin
from labkit.check.engine import call, source_of
from labkit.check.mistakes import Edit, Symptom
from labkit.cli import LABS


def tasks():
    for lab in LABS:
        for task in handin.tasks(importlib.import_module(f"labkit.check.{lab}")).values():
            if isinstance(task, Task):
                yield pytest.param(task, id=f"{task.number}-{task.name}")


each_task = pytest.mark.parametrize("task", list(tasks()))


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@each_task
def test_the_reference_is_correct(task):
    assert task(task.reference).passed


def with_numbers(value, change):
    """A function's result with a change to each of its plain numbers and arrays."""
    if isinstance(value, list | tuple):
        return type(value)(with_numbers(part, change) for part in value)
    if isinstance(value, dict):
        return {name: with_numbers(part, change) for name, part in value.items()}
    if isinstance(value, np.ndarray | np.generic | int | float) and not isinstance(value, bool):
        return change(np.asarray(value))
    return value


numeric_tasks = [
    param
    for param in tasks()
    if param.values[0].adapter is call
    and param.values[0].name not in ("fits", "verdict")  # a truth value, and a text
]


@pytest.mark.parametrize("task", numeric_tasks)
@pytest.mark.parametrize("kind", [str, complex])
def test_numbers_of_another_kind_are_not_accepted(task, kind):
    """NumPy reads numbers in text, and drops a part of complex ones."""
    values = [outcome.value for outcome in task.outcomes(task.reference)]
    changed = iter([with_numbers(value, lambda array: array.astype(kind)) for value in values])
    assert not task(lambda *_: next(changed)).passed


@pytest.mark.parametrize("task", numeric_tasks)
@pytest.mark.parametrize("kind", [np.ndarray.tolist, np.float32, np.longdouble, convert_to_tensor])
def test_numbers_may_have_any_type(task, kind):
    """Labels of 0 to 255 and scores fit float32; a Python list has no type."""
    values = [outcome.value for outcome in task.outcomes(task.reference)]
    changed = iter([with_numbers(value, kind) for value in values])
    assert task(lambda *_: next(changed)).passed


@each_task
def test_each_mistake_is_incorrect_and_gets_its_own_hint(task):
    """So no case is missing that would tell two mistakes apart."""
    for mistake in task.mistakes:
        if isinstance(mistake, Symptom):
            numbers = range(len(task.cases))
            assert not all(task.explains(task.expected(n), n, (mistake,)) for n in numbers)
            continue
        mutant = task.mutant(mistake)
        assert mutant, f"not in the reference: {mistake.old}"
        assert any(not outcome.error for outcome in task.outcomes(mutant)), mistake
        answer = task(mutant)
        assert (answer.state, answer.hint) == ("incorrect", mistake.hint), mistake


@each_task
def test_no_hint_holds_a_line_of_the_solution(task):
    nodes = ast.walk(ast.parse(source_of(task.reference)))
    code = {ast.unparse(node.value) for node in nodes if isinstance(node, ast.Return | ast.Assign)}
    for mistake, line in itertools.product(task.mistakes, code):
        assert len(line) < 12 or line not in mistake.hint, mistake.hint


@each_task
def test_mistakes_are_small(task):
    """An edit, not another solution."""
    for mistake in task.mistakes:
        if isinstance(mistake, Edit):
            assert mistake.hint and len(mistake.new) < 100, mistake


@pytest.mark.parametrize("lab", LABS)
def test_the_last_answer_of_a_lab_is_looked_at_for_its_length_alone(lab):
    *_, question = handin.tasks(importlib.import_module(f"labkit.check.{lab}")).values()
    count = 50 if lab == "skips" else 40
    words = [f"word{number}" for number in range(count)]
    assert question(" ".join(words)).passed
    assert question(...).state == "not attempted"
    assert f"{count} different words" in question(" ".join(words[1:] * 2)).expected
    assert "quotes" in question(words).expected
