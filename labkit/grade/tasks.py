"""The tasks of a lab, and the hidden tasks of a teacher."""

import importlib
import importlib.util

from labkit.check import handin
from labkit.check.answer import INCORRECT, Answer
from labkit.check.engine import Task, call


def tasks_of(lab):
    """The tasks of a module of ``labkit.check`` by number."""
    return handin.tasks(importlib.import_module(f"labkit.check.{lab}"))


def hidden_tasks(path, tasks):
    """The hidden tasks in a teacher's Python file, by number.

    Raises ValueError if there are none, if one is not among the lab's ``tasks``, if one can't be
    checked from outside a container, or if its reference returns a value in no case.
    """
    spec = importlib.util.spec_from_file_location("hidden", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    hidden = handin.tasks(module)
    if not hidden:
        raise ValueError(f"{path} defines no labkit.check.Task")
    if unknown := sorted(hidden.keys() - tasks.keys()):
        raise ValueError(f"{path} has task {', '.join(unknown)}, and the lab has no such task")
    for number, task in hidden.items():
        if not isinstance(task, Task) or not isinstance(tasks[number], Task):
            raise ValueError(
                f"{path} has task {number}, a question, which a teacher reads: leave it out"
            )
        if task.adapter is not call:
            raise ValueError(
                f"{path} has adapter= in task {number}, which can't run in a container: remove it "
                "and let the reference return numbers, texts or arrays"
            )
        outcomes = task.outcomes(task.reference)
        if all(outcome.error for outcome in outcomes):  # whoever raises, too, would pass
            why = f": {outcomes[0].text()}" if outcomes else ""
            raise ValueError(
                f"{path} has task {number}, whose reference returns a value in no case{why}"
            )
    return hidden


def withheld(task):
    """The ``Answer`` where a hidden check is not passed: what was tried stays the teacher's."""
    return Answer(task.number, task.name, INCORRECT, hint="A hidden check is not passed.")
