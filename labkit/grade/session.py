"""One submission in its sandbox, asked from outside."""

import builtins
import json

from labkit.check.answer import NotDone
from labkit.check.engine import Outcome
from labkit.grade.sandbox import Limits, Sandbox
from labkit.grade.serialization import MOST, decode, encode


class Ended(RuntimeError):
    """The submission's process is gone, or says what can't be understood; the text says why."""


class Session:
    """A worker in a sandbox; a context manager, at whose end all that runs inside is gone.

    Every method raises ``Ended`` if the submission broke a limit or ended its process.

    Args:
        limits: what it may use.
        backend: where it runs: ``Sandbox``, or a class like it.
    """

    def __init__(self, limits=Limits(), backend=Sandbox):
        self.sandbox = backend("labkit.grade.worker", limits)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sandbox.end()

    def run(self, cells):
        """Run the source of each cell; its error in a line of text for each, or None."""
        found = self.ask("run", cells=list(cells))
        return [None if error is None else str(error)[:500] for error in as_list(found, len(cells))]

    def outcomes(self, name, task, lab=None):
        """What the notebook's ``name`` does with the cases of a task.

        Args:
            name: of the student's function.
            task: a ``labkit.check.Task``.
            lab: the module of ``labkit.check`` that the task is from; None for a hidden task,
                whose cases are sent in and whose answers stay outside.
        """
        what = {"lab": lab, "number": task.number}
        if lab is None:
            what = {"cases": [encode(case) for case in task.cases]}
        replies = as_list(self.ask("attempt", name=name, **what), len(task.cases))
        try:
            return [as_outcome(reply) for reply in replies]
        except (KeyError, TypeError, ValueError) as error:
            raise Ended("its answers can't be read") from error  # what it says may be a hidden case

    def value(self, name):
        """The value of a variable, ``...`` if it is not set."""
        found = self.ask("value", name=name)
        try:
            return ... if found is None else decode(found)
        except ValueError:
            return ...

    def ask(self, do, **request):
        """One request and its reply, which is not to be trusted."""
        process = self.sandbox.process
        try:
            process.stdin.write(json.dumps({"do": do, **request}).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline(MOST)
            if not line.endswith(b"\n"):
                raise Ended("it answers more than can be read" if len(line) == MOST else self.why())
            if self.sandbox.ended:  # a reply that was under way
                raise Ended(self.sandbox.ended)
            return json.loads(line)
        except (OSError, ValueError, RecursionError) as error:
            raise Ended(self.why()) from error

    def why(self):
        """Why there is no reply."""
        self.sandbox.end("it ended its process")
        return self.sandbox.ended


def as_list(found, length):
    if not isinstance(found, list) or len(found) != length:
        raise Ended("its answers can't be read")
    return found


def as_outcome(reply):
    """An ``Outcome`` from a reply."""
    error = None if reply["error"] is None else as_error(*map(str, reply["error"]))
    return Outcome(decode(reply["value"]), error, bool(reply["changed"]))


def as_error(name, text):
    """An exception of this name and text, made here: one of Python's own, or a plain one."""
    if name == "NotDone":
        return NotDone("0.0")
    kind = getattr(builtins, name, None)
    if (
        isinstance(kind, type)
        and issubclass(kind, Exception)
        and not issubclass(kind, UnicodeError)
    ):
        return kind(text)
    return type(name if name.isidentifier() else "Error", (Exception,), {})(text)
