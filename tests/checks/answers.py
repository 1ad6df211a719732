"""Collections of answers that students might give."""

import pytest


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


def passes(task, function, words=()):
    answer = task(function)
    assert answer.passed, answer


def fails(task, function, words):
    """The answer is wrong, and its hint has these words, a tuple of those of two mistakes."""
    assert words, "say which words of the hint are expected"
    answer, words = task(function), [words] if isinstance(words, str) else words
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
