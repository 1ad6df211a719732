"""Collections of answers that students might give."""

import pytest


class Answers(list):
    """Functions by decorator, as parameters of a test: task, function, words of the hint.

    Args:
        judge: what the test does with each, such as ``passes``.
    """

    def __init__(self, judge):
        self.judge = judge

    def __call__(self, task, hint=""):
        def add(function):
            name = f"{task.number} {function.__name__.replace('_', ' ')}"
            self.append(pytest.param(task, function, hint, id=name))
            return function

        return add

    def test(self):
        """The test that gets them one by one, also those that come after it."""

        @pytest.mark.parametrize(("task", "function", "hint"), self)
        def test(task, function, hint):
            self.judge(task, function, hint)

        return test


def passes(task, function, hint=""):
    answer = task(function)
    assert answer.passed, answer


def fails(task, function, hint):
    """The answer is wrong, and its hint has these words in it."""
    assert hint, "say which words of the hint are expected"
    answer = task(function)
    assert answer.state == "incorrect", answer
    assert hint in answer.hint, answer
    assert answer.expected and answer.got, answer


def gets_both_hints(task, function, hints):
    """The answer makes two mistakes, and its hint has the words of both."""
    answer = task(function)
    assert answer.state == "incorrect" and all(hint in answer.hint for hint in hints), answer
