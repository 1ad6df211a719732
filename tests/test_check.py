"""The checks of the labs: what a student is told, whatever the answer does."""

import json
import queue
import sys

import jupyter_client
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import check
from labkit.check import NotDone, Task, hand_in, task, waiting
from labkit.check import metrics as lab
from labkit.check.mistakes import NEGATED, Edit, Symptom, edits, result
from labkit.check.question import Question
from labkit.check.text import short


@task(
    "9.1",
    cases=((np.array([1, 2, 3]),), (np.array([0.5]),)),
    mistakes=(Edit("2 * value", "value**2", "This is the square."), NEGATED),
)
def double(value):
    return 2 * value


DOUBLE = double


def test_a_right_answer_is_correct():
    answer = DOUBLE(lambda value: value + value)
    assert answer.passed and repr(answer) == "✓ Task 9.1, double: correct."


def test_a_wrong_answer_says_what_was_tried_expected_and_got():
    answer = DOUBLE(lambda value: value + 1)
    assert not answer.passed
    assert repr(answer).splitlines() == [
        "✗ Task 9.1, double: incorrect.",
        "  Tried: double(value=[1, 2, 3])",
        "  Expected: [2, 4, 6]",
        "  Got: [2, 3, 4]",
        "  Hint: The shape is right, the values are not. Work out the tried case by hand.",
    ]


def test_the_reference_is_called_once_for_each_case():
    calls = []
    task = Task("9.2", "f", ((1,), (2,)), lambda value: calls.append(value) or 2 * value)
    for factor in (2, 3, 2):
        assert task(lambda value, factor=factor: factor * value).passed == (factor == 2)
    assert calls == [1, 2]


def test_a_known_mistake_has_a_hint_of_its_own():
    assert DOUBLE(lambda value: value * value).hint == "This is the square."


def test_two_mistakes_at_once_get_both_hints():
    hint = DOUBLE(lambda value: -(value**2)).hint
    assert hint == "This is the square. The sign is reversed."


def test_edits_that_exclude_each_other_are_not_combined():
    mistakes = edits("""
        2 * value => 3 * value
            Three times.
        2 * value => 4 * value
            Four times,
            on two lines.
    """)
    task = Task("9.2", "double", DOUBLE.cases, DOUBLE.reference, mistakes)
    assert task.mutant(*mistakes) is None
    assert task(lambda value: 4 * value).hint == "Four times, on two lines."
    assert "by hand" in task(lambda value: 7 * value).hint


def test_an_edit_without_an_arrow_is_rejected():
    with pytest.raises(ValueError, match="'2 value' has no '=>'"):
        edits("2 value\n  A hint.")


def test_a_mistake_around_the_reference():
    tasks = result(lambda value: value + 1, "One too many."), result(lambda v: v / 0.0, "Endless.")
    task = Task("9.2", "double", DOUBLE.cases, DOUBLE.reference, tasks)
    assert task(lambda value: value * 2 + 1).hint == "One too many."


def test_a_mistake_told_by_a_part_of_what_is_measured():
    sizes = Symptom("Twice as many.", size=lambda n: 2 * n)
    adapter = lambda function, n: {"size": len(function(n)), "sum": sum(function(n))}  # noqa: E731
    task = Task("9.2", "ones", ((2,), (3,)), lambda n: [1] * n, (sizes,), adapter)
    assert task(lambda n: [1] * n).passed
    assert task(lambda n: [5] * 2 * n).hint == "Twice as many."
    assert task(lambda n: [5] * n).hint.startswith("sum:")


def test_a_mistake_that_raises_explains_the_same_error_alone():
    mistake = Edit("2 * value", "{}[value]", "No such key.")
    task = Task("9.2", "double", ((1,),), DOUBLE.reference, (mistake,))
    assert task(lambda value: {}[value]).hint == "No such key."
    assert task(lambda value: unknown).hint.startswith("A name is not defined")  # noqa: F821


def test_the_first_case_that_fails_is_told():
    answer = DOUBLE(lambda value: 2 * value if len(value) > 1 else value)
    assert answer.tried == "double(value=[0.5])"


@pytest.mark.parametrize("unsolved", [..., None])
def test_a_missing_answer_is_not_attempted(unsolved):
    assert DOUBLE(unsolved).state == "not attempted"


def test_a_stub_is_not_attempted():
    def double(value):
        raise NotDone("9.1")

    assert repr(DOUBLE(double)) == "○ Task 9.1, double: not attempted."


def test_an_error_around_a_stub_is_not_attempted():
    def double(value):
        raise RuntimeError(f"in user code: {NotDone('9.1')}")

    assert DOUBLE(double).state == "not attempted"


def test_a_result_in_the_place_of_the_function_is_told_apart():
    assert "without parentheses" in DOUBLE(np.array([2, 4])).hint


@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit(3), RecursionError(), KeyError("a")]
)
def test_an_answer_that_fails_is_an_answer(error):
    def double(value):
        raise error

    assert type(error).__name__ in DOUBLE(double).got


def test_a_changed_argument_is_found_and_spoils_no_other_case():
    def double(value):
        value *= 0
        return value

    assert "Work on a copy" in DOUBLE(double).hint
    assert DOUBLE.cases[0][0].tolist() == [1, 2, 3]


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


@given(values)
def test_no_result_makes_a_check_raise(value):
    answer = DOUBLE(lambda _: value)
    assert not answer.passed
    assert repr(answer) and answer._repr_html_()


class Unruly:
    """What fails whatever is asked of it."""

    def __array__(self, *_, **__):
        return 1 / 0

    def __repr__(self):
        return f"{1 / 0}"


class UnrulyError(Exception):
    __str__ = Unruly.__repr__


def nest(depth):
    return (nest(depth - 1),) if depth else ()


UNRULY = {
    "a number too large for a float": 10**400,
    "a number too long for a text": 10**5000,
    "an object": Unruly(),
    "an object in a list": [Unruly()],
    "an object in a tuple": (Unruly(), 1),
    "a tuple in a tuple in a tuple": nest(900),
    "texts in an array": np.array(["1"] * 50),
}


@pytest.mark.parametrize("name", UNRULY)
def test_no_unruly_result_makes_a_check_raise(name):
    answer = DOUBLE(lambda _: UNRULY[name])
    assert not answer.passed
    assert answer.got in repr(answer) and answer.hint in answer._repr_html_()


def test_an_error_without_a_text_is_an_answer():
    def double(value):
        raise UnrulyError

    assert DOUBLE(double).got == "UnrulyError: something of type UnrulyError"


def test_a_case_that_has_to_fail():
    def root(value):
        if value < 0:
            raise ValueError(value)
        return value**0.5

    task = Task("9.2", "root", ((4,), (-1,)), root)
    assert task(root).passed
    answer = task(lambda value: abs(value) ** 0.5)
    assert answer.expected == "an error" and "has to raise an error" in answer.hint


@pytest.mark.parametrize("wanted", [True, "seven", None])
def test_an_array_in_the_place_of_a_plain_value_is_wrong(wanted):
    task = Task("9.6", "f", ((1,),), lambda _: {"value": wanted})
    assert not task(lambda _: {"value": np.array([True, False])}).passed
    assert task(lambda _: {"value": wanted}).passed


def test_an_integer_type_can_be_required():
    task = Task("9.3", "ones", ((2,),), lambda n: np.ones(n, int), integer=True)
    assert task(lambda n: np.ones(n, "uint8")).passed
    assert "integer type" in task(lambda n: np.ones(n)).hint


def test_axes_of_length_one_count_if_asked():
    case = ((2,),), lambda n: np.ones((1, n))
    assert Task("9.4", "ones", *case)(np.ones).passed
    assert "(1, 2)" in Task("9.4", "ones", *case, strict=True)(np.ones).hint


def test_parts_are_compared_by_name():
    task = Task(
        "9.5",
        "halve",
        ((3,),),
        lambda n: n / 2,
        adapter=lambda function, n: {"value": function(n), "kind": type(function(n)).__name__},
    )
    assert task(lambda n: n / 2).passed
    assert task(lambda n: n // 2).hint.startswith("value:")
    assert task(lambda n: np.float64(n / 2)).hint == "kind: 'float64' is not 'float'."


def test_a_hint_is_never_longer_than_a_screen_of_text():
    huge = np.arange(10_000).reshape(100, 100)
    assert short(huge) == "int64 array of shape (100, 100), from 0 to 9999"
    assert len(short("a" * 5000)) < 250
    assert len(short(("a" * 5000,) * 5000)) < 1100
    assert len(short({f"part {n}": "a" * 5000 for n in range(5000)})) < 1100


def test_an_error_is_never_longer_than_a_screen_of_text():
    def double(value):
        raise ValueError("a" * 5000)

    assert len(DOUBLE(double).got) < 600


def test_an_answer_is_safe_as_html():
    answer = DOUBLE(lambda value: "<script>alert(1)</script>")
    assert "<script>" not in answer._repr_html_()


def test_a_question_wants_words():
    question = Question("9.9", "why", words=3)
    assert question("because it is").passed
    assert question("because because because").got == "1"
    assert question(["because"]).expected == "a text, in quotes"


def test_the_hand_in_lists_every_task_of_the_lab_in_order():
    shown = hand_in(lab, {"iou_coefficient": lab.iou_coefficient.reference, "which_score": 3})
    numbers = [answer.number for answer in shown.answers]
    assert numbers == sorted(numbers) and len(numbers) >= 4
    states = {answer.name: answer.state for answer in shown.answers}
    assert states["iou_coefficient"] == "correct"
    assert states["dice_coefficient"] == "not attempted"
    assert states["which_score"] == "incorrect"
    assert f"1 of {len(numbers)} tasks are correct." in repr(shown)
    assert "Download .ipynb" in shown._repr_html_()


# --- a notebook in which tasks are open -----------------------------------------------------------


@pytest.fixture(scope="module")
def kernel():
    manager, client = jupyter_client.manager.start_new_kernel(kernel_name="python3")
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(client, source):
    """Status and texts of a cell."""
    asked = client.execute(source)
    said = []
    while True:
        message = client.get_iopub_msg(timeout=60)
        if message["parent_header"].get("msg_id") != asked:
            continue
        content = message["content"]
        if message["msg_type"] == "status" and content["execution_state"] == "idle":
            break
        said += [content.get("text") or content.get("data", {}).get("text/markdown")]
        said += [content.get("ename")]
    while True:
        try:
            reply = client.get_shell_msg(timeout=60)
        except queue.Empty:
            raise AssertionError("no reply") from None
        if reply["parent_header"].get("msg_id") == asked:
            return reply["content"]["status"], [text for text in said if text]


def test_cells_wait_for_a_task_and_the_others_run(kernel):
    stub = "from labkit.check import NotDone\ndef f(x):\n    raise NotDone('9.1')"
    assert run(kernel, stub)[0] == "ok"
    run(kernel, "y = 'old'\nz = 1")
    assert run(kernel, "z = 2\ny = f(3)\nw = y") == ("ok", ["*This cell waits for task 9.1.*"])
    assert run(kernel, "y") == ("ok", ["*This cell waits for task 9.1.*"])
    assert run(kernel, "v = [w]") == ("ok", ["*This cell waits for task 9.1.*"])
    assert run(kernel, "assert z == 2")[0] == "ok"  # what the cell had done before stays
    status, said = run(kernel, "missing_name")
    assert (status, said) == ("error", ["NameError"])
    status, said = run(kernel, "1 / 0")
    assert (status, said) == ("error", ["ZeroDivisionError"])
    assert run(kernel, "def f(x):\n    return x\ny = f(3)\nassert y == 3")[0] == "ok"


def test_names_that_a_cell_sets_are_found():
    source = (
        "a = 1\nfor b, c in []:\n    d = 2\nwith x as e:\n    pass\n[f for f in []]\ndef g(): h = 1"
    )
    assert waiting.unset(source, 1) == ["a", "b", "c", "d", "e", "g"]
    assert waiting.unset(source, 2)[0] == "b"
    assert waiting.unset("%pip install x", 1) == []


def test_outside_a_notebook_nothing_is_hooked(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    waiting.start()
    assert json.dumps(check.__all__)
