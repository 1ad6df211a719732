"""Runs one notebook inside the container and returns the results of its functions.

    python -m labkit.grade.worker

Reads requests from standard input and replies on the original standard output, one line of JSON
each. The notebook's own output is discarded. The grader trusts nothing from here, since the
notebook can change all of it.
"""

import json
import os

from labkit.grade.serialization import decode, encode, text_of


def main():
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # input() gets no data, and endless output takes no memory
        os.dup2(null, stream)
    work = Work()
    for line in requests:
        request = json.loads(line)
        reply = getattr(work, request.pop("do"))(**request)
        replies.write(json.dumps(reply).encode() + b"\n")
        replies.flush()


class Work:
    """The requests that the worker answers, one method each."""

    def __init__(self):
        from IPython.core.interactiveshell import InteractiveShell

        self.shell = InteractiveShell.instance()

    def run(self, cells):
        """Run cells; returns the error of each as text, or None."""
        return [self.run_cell(source) for source in cells]

    def run_cell(self, source):
        try:
            result = self.shell.run_cell(source, store_history=False)
            error = result.error_before_exec or result.error_in_exec
        except BaseException as raised:  # IPython lets SystemExit and KeyboardInterrupt pass
            error = raised
        return None if error is None else ": ".join(described(error)[:2])

    def value(self, name):
        """A variable of the notebook, encoded; None if it is not set."""
        value = self.shell.user_ns.get(name, ...)
        return None if value is ... else encode(value)

    def attempt(self, name, cases=None, lab=None, number=None):
        """Outcomes of a function: for given cases, or for those of a task of labkit's own."""
        from labkit.check.engine import Task
        from labkit.check.handin import tasks

        if cases is None:
            import importlib

            task = tasks(importlib.import_module(f"labkit.check.{lab}"))[number]
        else:
            task = Task("", name, tuple(map(decode, cases)))
        function = self.shell.user_ns.get(name)
        if not callable(function):
            missing = {"value": encode(None), "error": ["NotDone", name, ""], "changed": False}
            return [missing] * len(task.cases)
        return [as_reply(task.attempt(function, case)) for case in task.cases]


def as_reply(outcome):
    error = None if outcome.error is None else described(outcome.error)
    try:
        value = encode(outcome.value)
    except RecursionError:  # a list in itself
        value = {"other": text_of(outcome.value)}
    return {"value": value, "error": error, "changed": outcome.changed}


def described(error):
    """The name of an error, its text, and the name of the built-in class that it is one of."""
    kind = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
    return [type(error).__name__, text_of(error, str), kind.__name__]


if __name__ == "__main__":
    main()
