"""Requests from the grader to one submission in its container."""

import builtins
import json

from labkit.check.answer import NotDone
from labkit.check.engine import Outcome
from labkit.grade.container import Container
from labkit.grade.process import ENDED, Limits
from labkit.grade.serialization import MOST, decode, encode


class Ended(RuntimeError):
    """Raised if the submission's process ended or its reply is invalid; the text says why."""


class Session:
    """A worker in a container, as a context manager that kills all its processes on exit.

    Every method raises ``Ended`` if the submission exceeded a limit or ended its process.

    Args:
        limits: of the container.
        backend: ``container.Container`` or a class with its interface.
    """

    def __init__(self, limits=Limits(), backend=Container):
        self.container = backend("labkit.grade.worker", limits)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.container.end()

    def run(self, cells):
        """Run the source of each cell; returns each cell's error as text, or None."""
        errors = as_list(self.ask("run", cells=list(cells)), len(cells))
        return [None if error is None else str(error)[:500] for error in errors]

    def outcomes(self, name, task, lab=None):
        """An ``Outcome`` of the notebook's function ``name`` for each case of a task.

        Args:
            name: of the student's function.
            task: a ``labkit.check.Task``.
            lab: the module of ``labkit.check`` with the task; None for a hidden task, whose cases
                are sent to the worker and whose answers are not.
        """
        request = {"lab": lab, "number": task.number}
        if lab is None:
            request = {"cases": [encode(case) for case in task.cases]}
        replies = as_list(self.ask("attempt", name=name, **request), len(task.cases))
        try:
            return [as_outcome(reply) for reply in replies]
        except (KeyError, TypeError, ValueError) as error:
            raise Ended(
                "its answers can't be read"
            ) from error  # without the error's text, which may quote a hidden case

    def value(self, name):
        """The value of a variable, ``...`` if it is not set."""
        encoded = self.ask("value", name=name)
        try:
            return ... if encoded is None else decode(encoded)
        except ValueError:
            return ...

    def ask(self, do, **request):
        """Send a request and return its reply, which is untrusted."""
        process = self.container.process
        self.container.asked = True
        try:
            process.stdin.write(json.dumps({"do": do, **request}).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline(MOST)
            if not line.endswith(b"\n"):
                raise Ended("it answers more than can be read" if len(line) == MOST else self.why())
            if self.container.ended:  # after it had sent this reply
                raise Ended(self.container.ended)
            return json.loads(line)
        except (OSError, ValueError, RecursionError) as error:
            raise Ended(self.why()) from error
        finally:
            self.container.asked = False

    def why(self):
        """End the container and return the reason for a missing reply."""
        self.container.end(ENDED)
        return self.container.ended


def as_list(reply, length):
    if not isinstance(reply, list) or len(reply) != length:
        raise Ended("its answers can't be read")
    return reply


def as_outcome(reply):
    """The ``Outcome`` in a reply."""
    error = None if reply["error"] is None else as_error(*map(str, reply["error"]))
    return Outcome(decode(reply["value"]), error, bool(reply["changed"]))


def as_error(name, text, kind):
    """An exception of this name and text, of a subclass of a built-in class of this name."""
    if name == "NotDone":
        return NotDone("0.0")
    kind = getattr(builtins, kind, None)
    if (
        not isinstance(kind, type)
        or not issubclass(kind, Exception)
        or issubclass(kind, (UnicodeError, ExceptionGroup))  # which take other arguments
    ):
        kind = Exception
    name = name if name.isidentifier() else "Error"
    return type(name, (kind,), {"__str__": lambda _: text})(text)  # KeyError's own adds quotes
