"""Compare a student's answer with a reference solution, and name the mistake.

A task is data: cases to try, a reference solution, and known mistakes, most of them small edits of
the reference's source. If an answer gives what a mistaken reference gives in every case, the
mistake's hint fits; if no single mistake does, two at once are tried.

A check never raises and never prints. It returns an ``Answer``, which a notebook displays.
"""

import ast
import copy
import inspect
import itertools
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from labkit.check.answer import CORRECT, INCORRECT, NOT_ATTEMPTED, Answer, open_task
from labkit.check.mistakes import Edit, Symptom
from labkit.check.text import as_array, call_text, short, text_of


def call(function, *case):
    """The default adapter: call the function."""
    return function(*case)


def task(number, **options):
    """A decorator that makes a ``Task`` of a reference solution, a function or a class."""
    return lambda reference: Task(number, reference.__name__, reference=reference, **options)


@dataclass(frozen=True)
class Task:
    """A function or a class that the student writes.

    Raises ValueError for a case that is not a tuple.

    Attributes:
        number: such as "4.1".
        name: of the function.
        reference: the solution. Where it raises, the student's has to raise too.
        cases: tuples of arguments to try, the simplest first.
        mistakes: ``Edit``, ``Wrap`` and ``Symptom`` objects, the most specific first.
        adapter: what is compared is ``adapter(function, *case)``, for the student's function and
            the reference alike; by default the function is called. A dict or a tuple is compared
            part by part.
        strict: axes of length 1 at the end count; else they are dropped before the comparison, as a
            mask is ``[H, W]`` or ``[H, W, 1]``.
        tolerance: relative and absolute.
        given: what the task says to use of labkit, full names; a teacher gets no note on it.
    """

    number: str
    name: str
    cases: tuple
    reference: Callable | None = None
    mistakes: tuple = ()
    adapter: Callable = call
    strict: bool = False
    tolerance: float = 1e-4
    given: tuple = ()
    _outcomes: dict = field(default_factory=dict, init=False, repr=False, compare=False)
    _mutants: dict = field(default_factory=dict, init=False, repr=False, compare=False)
    _arrays: dict = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self):
        for case in self.cases:
            if not isinstance(case, tuple):  # every function would raise, and so pass
                raise ValueError(
                    f"task {self.number} has the case {short(case)}, which is not a tuple of "
                    "arguments: write cases=((a, b),), with a comma after each case"
                )

    def __call__(self, function):
        """The ``Answer`` to a student's function."""
        if function is ... or function is None:
            return self.answer(NOT_ATTEMPTED)
        if not callable(function):
            return self.answer(
                INCORRECT,
                expected="a function",
                got=f"{type(function).__name__}: {short(function)}",
                hint=f"Pass the function itself: {self.name}, without parentheses after it.",
            )
        return self.verdict(self.outcomes(function))

    def outcomes(self, function):
        """The ``Outcome`` of a function for each case."""
        return [self.attempt(function, case) for case in self.cases]

    def attempt(self, function, case):
        """The ``Outcome`` of a function for one case, on a copy of its arguments."""
        arguments = copy.deepcopy(case)
        try:
            with np.errstate(all="ignore"):
                value = self.adapter(function, *arguments)
        except (Exception, SystemExit) as error:  # whatever it does, the check goes on
            return Outcome(error=error)
        changed = any(
            not same(after, before) for after, before in zip(arguments, case, strict=True)
        )
        return Outcome(value, changed=changed)

    def verdict(self, outcomes):
        """The ``Answer`` to the outcomes of all cases, wherever they were computed."""
        self._arrays.clear()
        if any(open_task(outcome.error) for outcome in outcomes):
            return self.answer(NOT_ATTEMPTED)
        for number, outcome in enumerate(outcomes):
            wanted = self.expected(number)
            if fault := self.fault(outcome, wanted):
                return self.answer(
                    INCORRECT,
                    tried=call_text(self.name, self.reference, self.cases[number]),
                    expected="an error" if wanted.error else short(wanted.value),
                    got=outcome.text(),
                    hint=self.hint(outcomes, number) or fault,
                )
        return self.answer(CORRECT)

    def answer(self, state, **details):
        return Answer(self.number, self.name, state, **details)

    def expected(self, number, *mistakes):
        """The ``Outcome`` of the reference with these mistakes for a case, computed once.

        None if the mistakes can't be combined.
        """
        key = number, *mistakes
        if key not in self._outcomes:
            self._outcomes[key] = self.compute(self.cases[number], *mistakes)
        return self._outcomes[key]

    def compute(self, case, *mistakes):
        if mistakes and isinstance(mistakes[0], Symptom):
            return Outcome(mistakes[0].seen(*case))
        if mistakes not in self._mutants:
            self._mutants[mistakes] = self.mutant(*mistakes)
        function = self._mutants[mistakes]
        return function and self.attempt(function, case)

    def mutant(self, *mistakes):
        """The reference with these mistakes; None if an edit's text is no longer there."""
        if not mistakes:
            return self.reference
        source = source_of(self.reference)
        for edit in (mistake for mistake in mistakes if isinstance(mistake, Edit)):
            if edit.old not in source:
                return None
            source = source.replace(edit.old, edit.new)
        module = sys.modules.get(self.reference.__module__)  # None for a file of hidden checks
        namespace = dict(getattr(self.reference, "__globals__", None) or vars(module))
        try:
            exec(compile(source, f"<mutant of {self.name}>", "exec"), namespace)
        except SyntaxError:  # two edits of one place
            return None
        function = namespace[self.reference.__name__]
        for mistake in mistakes:
            if not isinstance(mistake, Edit):
                function = mistake.wrap(function)
        return function

    def hint(self, outcomes, failed):
        """The hint of the mistake, or of the two, that explain the outcomes, or None.

        Args:
            failed: the first case that failed, which rules out most mistakes.
        """
        order = [failed, *(number for number in range(len(outcomes)) if number != failed)]
        candidates = [(mistake,) for mistake in self.mistakes]
        if outcomes[failed].value is not None and not outcomes[failed].changed:
            combined = [mistake for mistake in self.mistakes if not isinstance(mistake, Symptom)]
            candidates += itertools.combinations(combined, 2)
        for mistakes in candidates:
            if all(self.explains(outcomes[number], number, mistakes) for number in order):
                return " ".join(dict.fromkeys(mistake.hint for mistake in mistakes))
        return None

    def explains(self, outcome, number, mistakes):
        """Whether mistakes give the outcome of a case."""
        mistaken = self.expected(number, *mistakes)
        if mistaken is None:
            return False
        if mistaken.error and not self.expected(number).error:
            same_error = type(mistaken.error).__name__ == type(outcome.error).__name__
            return same_error and len(mistakes) == 1
        return not self.fault(outcome, mistaken)

    def fault(self, outcome, wanted):
        """A general hint if an outcome is not the one wanted, else None."""
        if wanted.error:
            return None if outcome.error else "This input is invalid and has to raise an error."
        if outcome.error:
            return error_hint(outcome.error)
        if outcome.value is None:
            return "The function returns None. Does it end with a return?"
        if outcome.changed:
            return "The function changes what it is given. Work on a copy."
        return self.difference(outcome.value, wanted.value)

    def difference(self, got, wanted):
        """How two values differ, in words, or None if they agree."""
        if isinstance(wanted, tuple):
            if not isinstance(got, tuple | list) or len(got) != len(wanted):
                return f"{len(wanted)} values have to be returned, separated by commas."
            pairs = zip(got, wanted, strict=True)
            return next(filter(None, (self.difference(*pair) for pair in pairs)), None)
        if isinstance(wanted, dict):
            return self.difference_of_parts(got, wanted)
        if isinstance(wanted, str | bool | type(None)):
            return None if equal(got, wanted) else "Work out the tried case by hand."
        got, wanted = self.array_of(got), as_array(wanted)
        if got is None:
            return "The result is neither a number nor an array of numbers."
        if not self.strict:
            got, wanted = without_last_axes(got), without_last_axes(wanted)
        if got.shape != wanted.shape:
            return f"The shape is {got.shape}, and {wanted.shape} is expected."
        near = {"rtol": self.tolerance, "atol": self.tolerance, "equal_nan": True}
        if np.allclose(got.astype(float), wanted.astype(float), **near):
            return None
        if np.isnan(got.astype(float)).any():
            return (
                "The result contains NaN: from a division of 0 by 0, infinity minus infinity, the "
                "logarithm of a negative number, or a NaN in what is given."
            )
        return "The shape is right, the values are not. Work out the tried case by hand."

    def array_of(self, value):
        """``as_array``, once a value: a long list is compared with hundreds of mistakes."""
        known, array = self._arrays.get(id(value), (None, None))
        if known is not value:
            array = as_array(value)
            self._arrays[id(value)] = value, array  # the value is kept, so that its id is its own
        return array

    def difference_of_parts(self, got, wanted):
        """How the first part of a dict differs, or None."""
        if not isinstance(got, dict) or not wanted.keys() <= got.keys():
            return f"A dict with {', '.join(map(repr, wanted))} has to be returned."
        for name, part in wanted.items():
            if difference := self.difference(got[name], part):
                plain = isinstance(part, str | bool)
                text = f"{short(part)} is expected, not {short(got[name])}."
                return f"{name}: {text if plain else difference}"
        return None


@dataclass(frozen=True)
class Outcome:
    """What a function did with one case."""

    value: object = None
    error: BaseException | None = None
    changed: bool = False

    def text(self):
        if self.error is None:
            return short(self.value)
        first = (text_of(self.error).splitlines() or [""])[0]
        return f"{type(self.error).__name__}: {first}"[:500]


def source_of(reference):
    """The source of a function or class without its decorators."""
    source = textwrap.dedent(inspect.getsource(reference))
    return "\n".join(source.splitlines()[ast.parse(source).body[0].lineno - 1 :])


def without_last_axes(array):
    """An array without the axes of length 1 at its end."""
    while array.shape[-1:] == (1,):
        array = array[..., 0]
    return array


def equal(got, wanted):
    """Whether a value is this truth value or None, or this text, however it is spaced."""
    try:
        if isinstance(wanted, str):
            got, wanted = (" ".join(text.lower().split()).rstrip(".") for text in (got, wanted))
        return bool(got == wanted)
    except Exception:  # an array of several values has no truth value
        return False


def same(after, before):
    """Whether an argument is unchanged; arrays, lists and dicts are compared."""
    if isinstance(before, np.ndarray):
        floating = np.issubdtype(before.dtype, np.floating)
        return np.array_equal(after, before, equal_nan=floating)
    if isinstance(before, dict):
        return [*after] == [*before] and same([*after.values()], [*before.values()])
    if isinstance(before, list | tuple):
        return len(after) == len(before) and all(map(same, after, before))
    return not isinstance(before, str | int | float) or after == before or before != before  # NaN


# By name, which is all that is known of the class of an error in a container.
ERROR_HINTS = {
    "TypeError": "Compare the function's parameters, and their types, with those of the task.",
    "NameError": "A name is not defined inside the function. Is it spelled correctly and imported?",
    "AxisError": "The array has fewer axes. Print its shape.",
    "IndexError": "An index is out of range. Print the array's shape.",
    "AttributeError": "Something has another type than you expect. Print its type.",
    "ZeroDivisionError": "What should be returned when the divisor is 0?",
    "NotInPipeline": "This works eagerly, but not in a tf.data pipeline, where tensors have no "
    "values yet. Python's if and assert, and NumPy, need values; TensorFlow's functions do not.",
}


def error_hint(error):
    """What to look at after an error."""
    text = text_of(error)
    if "float" in text and "uint8" in text:
        return (
            "uint8 and float are mixed. Is the mask still uint8 after each step? Interpolation "
            "makes it float."
        )
    for kind in type(error).__mro__:
        if kind.__name__ in ERROR_HINTS:
            return ERROR_HINTS[kind.__name__]
    return "The function raises an error. Run it on the tried case, and read the last line."
