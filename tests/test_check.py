"""The checks of the labs: what a student is told, whatever the answer does."""

from fractions import Fraction

import jupyter_client
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.check import NotDone, Task, hand_in, task, waiting
from labkit.check import metrics as lab
from labkit.check.mistakes import NEGATED, Edit, edits
from labkit.check.question import Question
from labkit.check.text import short


@task(
    "9.1",
    cases=((np.array([1, 2, 3]),), (np.array([0.5]),)),
    mistakes=(Edit("2 * value", "value**2", "This is the square."), NEGATED),
)
def double(value):
    return 2 * value


def double_task(*mistakes, cases=double.cases):
    return Task("9.2", "double", cases, double.reference, mistakes)


def raising(error):
    """An answer that raises."""

    def answer(value):
        raise error

    return answer


# --- answers -------------------------------------------------------------------------------------


def test_answer_shows_state_and_first_failed_case():
    right = double(lambda value: value + value)
    assert right.passed and repr(right) == "Task 9.1, double: correct."
    wrong = double(lambda value: value + 1)
    assert not wrong.passed
    assert repr(wrong).splitlines()[:4] == [
        "Task 9.1, double: incorrect.",
        "  Tried: double(value=[1, 2, 3])",
        "  Expected: [2, 4, 6]",
        "  Got: [2, 3, 4]",
    ]
    assert wrong.hint and wrong.hint in repr(wrong)
    second = double(lambda value: 2 * value if len(value) > 1 else value)
    assert second.tried == "double(value=[0.5])"


def test_reference_is_called_once_per_case():
    calls = []
    task = Task("9.2", "f", ((1,), (2,)), lambda value: calls.append(value) or 2 * value)
    for factor in (2, 3, 2):
        assert task(lambda value, factor=factor: factor * value).passed == (factor == 2)
    assert calls == [1, 2]


@pytest.mark.parametrize(
    "answer",
    [..., None, raising(NotDone("9.1")), raising(RuntimeError(f"in user code: {NotDone('9.1')}"))],
)
def test_unsolved_task_is_not_attempted(answer):
    assert double(answer).state == "not attempted"


class Unruly:
    """Raises whatever is asked of it."""

    def __array__(self, *_, **__):
        return 1 / 0

    def __repr__(self):
        return f"{1 / 0}"


class UnrulyError(Exception):
    __str__ = Unruly.__repr__


@pytest.mark.parametrize(
    "error", [ValueError("a" * 5000), SystemExit(3), RecursionError(), KeyError("a"), UnrulyError()]
)
def test_error_of_answer_is_shown(error):
    answer = double(raising(error))
    assert answer.got.startswith(type(error).__name__) and len(answer.got) < 600


def nest(depth):
    return (nest(depth - 1),) if depth else ()


UNRULY = {
    "too large for a float": 10**400,
    "too long for a text": 10**5000,
    "object": Unruly(),
    "object in a list": [Unruly()],
    "object in a tuple": (Unruly(), 1),
    "nested tuples": nest(900),
    "array of texts": np.array(["1"] * 50),
    "HTML": "<script>alert(1)</script>",
}


@pytest.mark.parametrize("name", UNRULY)
def test_check_survives_any_object(name):
    answer = double(lambda _: UNRULY[name])
    assert not answer.passed
    assert answer.got in repr(answer) and answer.hint in answer._repr_html_()
    assert "<script>" not in answer._repr_html_()


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


@given(values)
def test_check_survives_any_value(value):
    answer = double(lambda _: value)
    assert not answer.passed
    assert repr(answer) and answer._repr_html_()


def test_long_values_are_shortened():
    huge = np.arange(10_000).reshape(100, 100)
    assert short(huge) == "int64 array of shape (100, 100), from 0 to 9999"
    assert len(short("a" * 5000)) < 250
    assert len(short(("a" * 5000,) * 5000)) < 1100
    assert len(short({f"part {n}": "a" * 5000 for n in range(5000)})) < 1100


# --- hints ---------------------------------------------------------------------------------------


def set_to_zero(value):
    value *= 0
    return value


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda value: -(value**2), "This is the square. The sign is reversed."),
        (set_to_zero, "copy"),
        (np.array([2, 4]), "parentheses"),  # a result instead of the function
    ],
)
def test_hint_names_the_mistake(answer, hint):
    assert hint in double(answer).hint
    assert double.cases[0][0].tolist() == [1, 2, 3]


def test_edits_that_exclude_each_other_are_not_combined():
    mistakes = edits("""
        2 * value => 3 * value
            Three times.
        2 * value => 4 * value
            Four times,
            on two lines.
    """)
    task = double_task(*mistakes)
    assert task.mutant(*mistakes) is None
    assert task(lambda value: 4 * value).hint == "Four times, on two lines."
    assert "times" not in task(lambda value: 7 * value).hint
    with pytest.raises(ValueError, match="2 value"):
        edits("2 value\n  A hint.")


class Counted:
    """Three numbers, and how often they were read."""

    read = 0

    def __array__(self, *_, **__):
        self.read += 1
        return np.array([2, 4, 7])


def test_a_result_is_read_once_however_many_mistakes_there_are():
    """A reply of 2 MB would else take a minute."""
    mistakes = [Edit("2 * value", f"{n} * value", f"Factor {n}.") for n in range(3, 40)]
    result = Counted()
    answer = double_task(*mistakes, cases=double.cases[:1])(lambda _: result)
    assert not answer.passed and result.read <= 3  # and once for each text that shows it


def test_mistake_that_raises_explains_same_error_only():
    task = double_task(Edit("2 * value", "{}[value]", "No such key."), cases=((1,),))
    assert task(lambda value: {}[value]).hint == "No such key."
    assert "No such key." not in task(lambda value: unknown).hint  # noqa: F821


# --- comparison ----------------------------------------------------------------------------------


def root(value):
    if value < 0:
        raise ValueError(value)
    return value**0.5


def column(n):
    return np.ones((n, 1))


ROOT = Task("9.2", "root", ((4,), (-1,)), root)
COLUMN = Task("9.2", "column", ((2,),), column)
STRICT_COLUMN = Task("9.2", "column", ((2,),), column, strict=True)
PARTS = Task(
    "9.2",
    "halve",
    ((3,),),
    lambda n: n / 2,
    adapter=lambda function, n: {"value": function(n), "kind": type(function(n)).__name__},
)


@pytest.mark.parametrize(
    ("task", "right", "wrong", "hint"),
    [
        (ROOT, root, lambda value: abs(value) ** 0.5, "error"),
        (COLUMN, np.ones, lambda n: np.ones(n + 1), "shape"),
        (COLUMN, lambda n: [Fraction(1)] * n, lambda n: ["1"] * n, "neither a number"),
        (COLUMN, lambda n: [1.0] * n, lambda n: np.ones(n, complex), "neither a number"),
        (COLUMN, lambda n: [True] * n, lambda n: [b"1"] * n, "neither a number"),
        (STRICT_COLUMN, column, np.ones, "(2, 1)"),
        (PARTS, lambda n: n / 2, lambda n: n // 2, "value:"),
        (PARTS, lambda n: n / 2, lambda n: np.float64(n / 2), "not 'float64'"),
    ],
)
def test_results_are_compared(task, right, wrong, hint):
    assert task(right).passed
    answer = task(wrong)
    assert not answer.passed and hint in answer.hint


def changes(value):
    value["a"][0].sort()
    return 1


def test_arguments_of_any_kind_have_to_stay():
    case = ({"a": ([2, 1.5], np.array([1, np.nan]), "text", float("nan"))},)
    task = Task("9.2", "f", (case,), lambda value: 1)
    assert task(lambda value: 1).passed
    assert "Work on a copy" in task(changes).hint


@pytest.mark.parametrize("wanted", [True, "seven", None])
def test_array_instead_of_plain_value_is_wrong(wanted):
    task = Task("9.2", "f", ((1,),), lambda _: {"value": wanted})
    assert not task(lambda _: {"value": np.array([True, False])}).passed
    assert task(lambda _: {"value": wanted}).passed


def test_question_needs_words():
    question = Question("9.9", "why", words=3)
    assert question("because it is").passed
    assert question("because because because").got == "1"
    for wrong in (["because"], np.arange(6), pd.DataFrame({"score": [1, 2]})):
        assert question(wrong).state == "incorrect" and "quotes" in question(wrong).expected
    assert question(" \n").state == "not attempted"


def test_hand_in_lists_tasks_in_order():
    shown = hand_in(lab, {"iou_coefficient": lab.iou_coefficient.reference, "which_score": 3})
    numbers = [answer.number for answer in shown.answers]
    assert numbers == sorted(numbers) == [f"4.{n}" for n in range(1, 7)]
    states = {answer.name: answer.state for answer in shown.answers}
    assert states["iou_coefficient"] == "correct"
    assert states["dice_coefficient"] == "not attempted"
    assert states["which_score"] == "incorrect"
    assert f"1 of {len(numbers)}" in repr(shown) and shown._repr_html_()
    assert repr(shown).isascii()  # a console may lack other signs


# --- a notebook in which tasks are open -----------------------------------------------------------


@pytest.fixture(scope="module")
def kernel():
    manager, client = jupyter_client.manager.start_new_kernel(kernel_name="python3")
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(client, source):
    """Status of a cell, and the texts and names of errors that it shows."""
    shown = []

    def note(message):
        content = message["content"]
        texts = content.get("text"), content.get("data", {}).get("text/markdown")
        shown.extend(filter(None, [*texts, content.get("ename")]))

    reply = client.execute_interactive(source, timeout=60, output_hook=note)
    return reply["content"]["status"], shown


def test_cells_wait_for_a_task_and_others_run(kernel):
    stub = "from labkit.check import NotDone\ndef f(x):\n    raise NotDone('9.1')"
    assert run(kernel, stub)[0] == "ok"
    run(kernel, "y = 'old'\nz = 1")
    for waits in ("z = 2\ny = f(3)\nw = y", "y", "v = [w]"):
        status, (text,) = run(kernel, waits)
        assert status == "ok" and "9.1" in text
    assert run(kernel, "assert z == 2")[0] == "ok"  # set before the cell waited
    assert run(kernel, "missing_name") == ("error", ["NameError"])
    assert run(kernel, "1 / 0") == ("error", ["ZeroDivisionError"])
    assert run(kernel, "def f(x):\n    return x\ny = f(3)\nassert y == 3")[0] == "ok"


def test_names_that_a_cell_sets_are_found():
    source = "a = 1\nfor b, c in []:\n    d = 2\nwith x as e:\n    pass\n"
    source += "[f for f in []]\ndef g(): h = 1"
    assert waiting.unset(source, 1) == ["a", "b", "c", "d", "e", "g"]
    assert waiting.unset(source, 2)[0] == "b"
    assert waiting.unset("%%time\ny = 1", 1) == waiting.unset("!ls a \\\n  b\ny = 1", 2) == ["y"]
    assert waiting.unset("%pip install x", 1) == waiting.unset("not Python", 1) == []
