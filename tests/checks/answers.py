"""Collections of answers that students might give, and the one verdict on each of them.

A notebook's check, ``labkit grade`` and otter have to agree.
"""

import json

import pytest

from labkit.grade import autograder
from labkit.grade.serialization import MOST
from labkit.grade.session import as_outcome
from labkit.grade.worker import as_reply


class Answers(list):
    """Functions as parameters of a test: task, function, words of the hint.

    Args:
        judge: what the test does with each, such as ``passes``.
    """

    def __init__(self, judge):
        self.judge = judge

    def __call__(self, task, words=(), /, **functions):
        """Adds functions by name, and returns a decorator that adds another."""
        for name, function in functions.items():
            self.append(pytest.param(task, function, words, id=f"{task.number} {name}"))

        def add(function):
            self(task, words, **{function.__name__: function})
            return function

        return add

    def test(self):
        """The test that gets them one by one, also those that come after it."""

        @pytest.mark.parametrize(("task", "function", "words"), self)
        def test(task, function, words):
            if task.number in ("2.3", "2.4"):
                pytest.importorskip("tensorflow")
            self.judge(task, function, words)

        return test


def verdict(task, function):
    """The ``Answer`` of a notebook's check, if ``labkit grade`` and otter say the same."""
    outcomes = task.outcomes(function)
    answer = task.verdict(outcomes)
    assert graded(task, outcomes) == answer
    lab = task.reference.__module__.rpartition(".")[2]
    try:
        autograder.ask(lab, task.number, {task.name: function})
        assert answer.passed, answer
    except autograder.NotPassed as shown:
        assert str(shown).splitlines()[0] == repr(answer).splitlines()[0]
    return answer


def graded(task, outcomes):
    """The ``Answer`` in ``labkit grade``, which gets the outcomes as text from another process."""
    text = json.dumps([as_reply(outcome) for outcome in outcomes])
    assert len(text) < MOST
    return task.verdict([as_outcome(reply) for reply in json.loads(text)])


def passes(task, function, words=()):
    answer = verdict(task, function)
    assert answer.passed, answer


def fails(task, function, words):
    """The answer is wrong, and its hint has these words, a tuple of those of two mistakes."""
    assert words, "say which words of the hint are expected"
    answer, words = verdict(task, function), [words] if isinstance(words, str) else words
    assert answer.state == "incorrect", answer
    assert all(word in answer.hint for word in words), answer
    assert answer.expected and answer.got, answer


class TensorFlow:
    """The module; a test that uses it is skipped where it is missing, as the course works so."""

    def __getattr__(self, name):
        if name.startswith("_"):  # pytest looks for its own marks
            raise AttributeError(name)
        return getattr(pytest.importorskip("tensorflow"), name)


tf = TensorFlow()
