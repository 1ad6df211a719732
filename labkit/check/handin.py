"""The end of a lab: the state of every task, and how to hand it in."""

from labkit.check.answer import SIGNS
from labkit.check.engine import Task
from labkit.check.question import Question

HOW = (
    "To hand in: save the notebook, then download it. In Colab: File, Download, Download .ipynb. "
    "In Jupyter: File, Download."
)


def tasks(lab):
    """The tasks of a lab's module by number."""
    tasks = [value for value in vars(lab).values() if isinstance(value, Task | Question)]
    return {task.number: task for task in sorted(tasks, key=lambda task: task.number)}


def hand_in(lab, namespace):
    """The answers to every task of a lab, as a table.

    Args:
        lab: a module of ``labkit.check``.
        namespace: the student's functions by name, in a notebook ``globals()``.
    """
    answers = [task(namespace.get(task.name, ...)) for task in tasks(lab).values()]
    return HandIn(answers)


class HandIn:
    """A table of answers, and how to hand in."""

    def __init__(self, answers):
        self.answers = answers

    def __repr__(self):
        lines = [f"{a.number} {a.name}: {a.state}" for a in self.answers]
        done = sum(answer.passed for answer in self.answers)
        return "\n".join([*lines, f"{done} of {len(self.answers)} tasks are correct.", HOW])

    def _repr_html_(self):
        rows = "".join(
            f"<tr><td>{SIGNS[a.state]}</td><td>{a.number}</td><td>{a.name}</td><td>{a.state}</td></tr>"
            for a in self.answers
        )
        *_, done, how = repr(self).splitlines()
        return f"<table>{rows}</table><p>{done}</p><p>{how}</p>"
