"""What a notebook's functions use, whatever they call it."""

import labs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.check import Task
from labkit.grade import grader, names
from labkit.grade.process import Process
from labkit.grade.tasks import tasks_of

IOU = {"4.1": Task("4.1", "iou", ()), "4.2": Task("4.2", "dice", ())}


def notes(*cells, tasks=IOU):
    return names.notes(names.Notebook(cells), tasks)


@pytest.mark.parametrize("name, lab", labs.CHECKS.items())
def test_the_solutions_of_the_book_get_no_note(name, lab):
    cells = [cell.source for cell in labs.chapter(name).cells if cell.cell_type == "code"]
    assert notes(*cells, tasks=tasks_of(lab)) == []


@pytest.mark.parametrize(
    "cells",
    [
        ["from labkit.metrics import iou as f", "def iou(a, b, k):\n    return f(a, b)[k]"],
        ["from labkit import metrics as m", "iou = lambda a, b, k: m.iou(a, b)[k]"],
        ["import labkit.metrics", "def iou(a, b, k):\n    return labkit.metrics.iou(a, b)[k]"],
        ["import labkit as l\nm = l.metrics\ng = m.iou\nh = g", "def iou(*x):\n    return h(*x)"],
        ["def iou(a, b, k):\n    from labkit.metrics import iou\n    return iou(a, b)[k]"],
        ["def iou(*x):\n    return helper(*x)", "import labkit\nhelper = labkit.metrics.iou"],
        ["from labkit.metrics import iou"],
        ["%pip install x", "from labkit.metrics import *\ndef dice():\n    dice = 1", "2 +"],
        ["%%time\nfrom labkit.metrics import iou as f", "%time a = 1\niou = lambda: f(1)\nx = !ls"],
        ["import labkit.metrics as m", "g, h = m.iou, 1", "def iou():\n    return g()"],
        ["import labkit.metrics as m", "for g in [m.iou]:\n    pass\niou = g", "def f(a, a): ..."],
        ["import labkit.metrics as m\nd = {}\nd['a'] = m.iou", "iou = lambda: d['a']()"],
        ["class H:\n    def run(self):\n        m.iou()", "import labkit.metrics as m\nh = H()"]
        + ["def iou():\n    return h.run()", "def f():\n    x = 1\n    global x"],
        ["try:\n    import labkit as l\nexcept ImportError:\n    !pip install l"]
        + ["iou = l.metrics.iou"],
        ["!pip install \\\n  l\nimport labkit as l\nprint('a'\n  'b=%d' % 1)\n%timeit -n 10 1 + 1"]
        + ["print?\ndef iou():  # why?\n    return l.metrics.iou(1)"],
        ["import labkit.metrics as m", "class iou:\n    def __call__(self, a):\n        m.iou(a)"],
    ],
)
def test_a_function_of_labkit_is_noted_by_any_name(cells):
    assert notes(*cells) == ["task 4.1 uses labkit.metrics.iou"]


@pytest.mark.parametrize(
    "cell",
    [
        "ax.spines.right.set_visible(False)\nimport numpy as np\nnp.reference",
        "from labkit import metrics, classes\nmetrics.iou(a)\ndef iou(a):\n    return classes.PET",
        "from labkit import metrics\ndef iou(metrics):\n    return metrics.iou",  # an argument
        "from labkit.check import metrics as c, hand_in\nc.iou(iou)\nhand_in(c, globals())",
        "def dice(a):\n    return iou(a)\ndef iou(a):\n    return dice(a)",
        "import gc\ngc.collect()\ndef inspect(a):\n    return a\ninspect(1)",
        "import labkit.metrics as m\ndef iou(a):\n    return m.iou(a)\ndef iou(a):\n    return 1",
        "import labkit.metrics as m\ndef f():\n    g = m.iou\ndef g(a): ...\niou = lambda: g(1)",
    ],
)
def test_other_code_gets_no_note(cell):
    assert notes(cell) == []


@pytest.mark.parametrize(
    "cell, name",
    [
        ("from labkit.check import metrics as c\nc.iou.reference", "labkit.check.metrics.iou.refe"),
        ("import labkit.check.metrics\nlabkit.check.metrics.iou.mutant()", "iou.mutant"),
        ("from labkit.check import metrics as c\nvars(c)", "labkit.check.metrics.reference"),
        ("from labkit.check import metrics as c\ngetattr(c.iou, 'ref' + n)", "iou.reference"),
        ("from inspect import getsource as g\ng(f)", "inspect.getsource"),
        ("import sys\nsys.modules['labkit']", "sys.modules"),
        ("def iou(a):\n    return eval('a')", "eval"),
        ("import builtins\nbuiltins.exec('')", "builtins.exec"),
        ("[t][0].reference", ".reference"),
        ("for s in [t]:\n    s.mutant(1)", ".mutant"),
        ("import gc\ngc.get_objects()", "gc.get_objects"),
    ],
)
def test_code_that_may_read_the_solutions_is_noted(cell, name):
    (note,) = notes(cell)
    assert note.startswith("its code uses") and name in note


@given(st.text(), st.text(alphabet="()[]{}=:. \nabimport*def,lambda%!?"))
def test_any_text_can_be_searched(one, other):
    names.Notebook([one, other]).all_names()


@pytest.mark.parametrize(
    "cell", ["x = 1\n" * 50_000, "x = " + "[" * 90 + "a" + ".b" * 3_000 + "]" * 90]
)
def test_code_that_can_not_be_searched_is_noted(cell):
    (note,), refused = grader.read([cell], IOU, ["sklearn"])
    assert "searched" in note and refused.keys() == IOU.keys()
    assert grader.read([cell], IOU, ())[1] == {}


def test_any_error_of_the_search_is_a_note(monkeypatch):
    monkeypatch.setattr(names, "notes", lambda *_: 1 / 0)
    assert grader.read(["x = 1"], IOU, ()) == (
        ("its code can't be searched: ZeroDivisionError",),
        {},
    )


def test_a_wrong_answer_keeps_its_hint(write):
    wrong = "import numpy as np\ndef double(x):\n    return np.square(x)"
    result = grader.grade(write(wrong), None, backend=Process, forbidden=["numpy"])
    assert result.answers["9.1"].hint == "This is the square."
    untouched = grader.grade(write("x = 1\n" * 50_000), None, backend=Process, forbidden=["numpy"])
    assert untouched.answers["9.1"].state == "not attempted"


@pytest.mark.parametrize(
    "cells",
    [
        ["%a\n" * 20_000],
        ["x = 1"] * 10_000,
        ["=".join(f"a{n}" for n in range(5_000)) + "=[" + "b," * 20_000 + "]"],
        [f"import m{n}\na{n} = q.x" for n in range(4_000)],
        [f"def f{n}():\n    return f{n + 1}()" for n in range(5_000)],
        ["import labkit.check.reference as a0", *(f"a{n + 1} = a{n}.b" for n in range(5_000))],
        [f"from a{n} import *\nx{n}" for n in range(5_000)],
    ],
)
def test_long_code_is_searched_in_little_time(cells):
    """The search runs in the process that grades the class."""
    found, _ = grader.read([*cells, "def iou():\n    return f0()"], IOU, ["sklearn"])
    assert sum(map(len, found)) < 2_000


@pytest.mark.parametrize(
    "code, name",
    [
        ("from sklearn.metrics import *\ndef iou(a):\n    return jaccard_score(a)", "sklearn"),
        ("import tensorflow as tf\niou = lambda a: tf.keras.losses.mse(a)", "keras.losses"),
        ("from tensorflow import keras\niou = keras.losses.mse", "keras.losses"),
    ],
)
def test_a_forbidden_name_is_found(code, name):
    assert names.among(names.Notebook([code]).uses("iou"), [name])


def test_a_task_that_uses_a_forbidden_name_is_not_correct(write):
    cells = "import numpy as np\ndef double(x):\n    return np.multiply(x, 2)\nwhy = 'it is so'"
    for forbidden, points in ((["numpy.multiply"], 1), (["numpy"], 1), (["num"], 2), ([], 2)):
        result = grader.grade(write(cells), None, backend=Process, forbidden=forbidden)
        assert result.points == points
        assert ("numpy.multiply" in result.answers["9.1"].hint) == (points == 1)


def test_a_function_that_is_missing_is_not_attempted(write):
    result = grader.grade(write("why = 'it is so'"), None, backend=Process)
    assert result.answers["9.1"].state == "not attempted"
    assert result.points == 1 and not result.problem
