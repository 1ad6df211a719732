"""The store of executed notebooks: what makes one stale, and how stale ones are executed."""

import os
import signal
import subprocess
import sys
import time

import execute
import graph
import nbformat
import pytest
import store
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

SETTINGS = store.Settings({"profile": "smoke", "data": "synthetic"}, dict(os.environ))


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A small course in the place of this one: its folder."""
    package = tmp_path / "labkit"
    (tmp_path / "book").mkdir()
    (package / "experiments" / "results").mkdir(parents=True)
    (package / "experiments" / "results" / "runs.jsonl").write_text("{}")
    (package / "experiments" / "__init__.py").write_text("")
    (package / "__init__.py").write_text('"""A package."""')
    (package / "metrics.py").write_text(
        '"""Scores."""\n\n\ndef iou():\n    """Doc."""\n    return 1\n'
    )
    (package / "data.py").write_text("")
    (package / "experiments" / "ledger.py").write_text("from labkit import metrics")
    (package / "validation.txt").write_text("a")
    (tmp_path / "requirements.txt").write_text("numpy==2.0")
    monkeypatch.setattr(store, "ROOT", tmp_path)
    monkeypatch.setattr(store, "BOOK", tmp_path / "book")
    monkeypatch.setattr(store, "BUILD", tmp_path / "_build")
    monkeypatch.setattr(store, "EXECUTED", tmp_path / "_build" / "executed")
    monkeypatch.setattr(graph, "PACKAGE", package)
    store.read_anew()
    yield tmp_path
    monkeypatch.undo()
    store.read_anew()


def write(course, name, *codes, tags=()):
    """A notebook of these code cells with words between them."""
    cells = [new_markdown_cell("Words.", id="words")]
    cells += [
        new_code_cell(code, id=f"c{number}", metadata={"tags": list(tags)})
        for number, code in enumerate(codes)
    ]
    nbformat.write(new_notebook(cells=cells), course / "book" / f"{name}.ipynb")


def key(name="one"):
    store.read_anew()
    return store.key(store.inputs(name, SETTINGS))


def edit(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


# --- keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("book/one.ipynb", "Words.", "Other words."),
        ("labkit/metrics.py", '"""Doc."""', '"""Another docstring."""'),
        ("labkit/metrics.py", "return 1", "return 1  # a comment"),
        ("labkit/data.py", "", "a = 1"),
        ("labkit/validation.txt", "a", "b"),
        ("labkit/experiments/results/runs.jsonl", "{}", "{1}"),
    ],
)
def test_what_has_no_say_in_the_outputs_leaves_a_notebook_in_the_store(course, file, before, after):
    write(course, "one", "from labkit import metrics\nmetrics.iou()")
    was = key()
    edit(course / file, before, after)
    assert key() == was


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("book/one.ipynb", "metrics.iou()", "metrics.iou() + 1"),
        ("labkit/metrics.py", "return 1", "return 2"),
        ("labkit/__init__.py", '"""A package."""', "a = 1"),
        ("labkit/experiments/results/runs.jsonl", "{}", "{1}"),
        ("requirements.txt", "2.0", "2.1"),
    ],
)
def test_what_shapes_the_outputs_makes_a_notebook_stale(course, file, before, after):
    write(
        course,
        "one",
        "from labkit import metrics\nfrom labkit.experiments import ledger\nmetrics.iou()",
    )
    was = key()
    edit(course / file, before, after)
    assert key() != was


def test_a_tag_that_changes_the_execution_makes_a_notebook_stale(course):
    write(course, "one", "1 / 0")
    was = key()
    write(course, "one", "1 / 0", tags=["hide-input"])
    assert key() == was
    write(course, "one", "1 / 0", tags=["raises-exception"])
    assert key() != was


def test_a_docstring_that_a_notebook_shows_makes_it_stale(course):
    write(course, "one", "from labkit import metrics\nshow(metrics.iou)")
    was = key()
    edit(course / "labkit/metrics.py", '"""Scores."""', '"""A docstring that is not shown."""')
    assert key() == was
    edit(course / "labkit/metrics.py", '"""Doc."""', '"""Another docstring."""')
    assert key() != was


def test_another_profile_is_another_key(course):
    write(course, "one", "1")
    other = store.Settings({**SETTINGS.values, "profile": "quick"}, {})
    assert store.key(store.inputs("one", other)) != key()


def test_a_notebook_that_loads_a_model_is_stale_when_the_one_that_trains_it_is(course):
    write(course, store.TRAINS, "1")
    write(course, "one", "recipes.course_model(pets, 1)")
    assert (store.follows("one"), store.follows(store.TRAINS)) == (store.TRAINS, None)
    was = key()
    write(course, store.TRAINS, "2")
    assert key() != was


def test_magics_are_no_obstacle(course):
    write(course, "one", "%matplotlib inline\nfrom labkit import metrics", "!ls")
    assert "labkit/metrics.py" in store.inputs("one", SETTINGS)


def test_settings_follow_the_environment(monkeypatch, folders):
    monkeypatch.setenv("LABKIT_PROFILE", "smoke")
    monkeypatch.setenv("LABKIT_DATA", "synthetic")
    monkeypatch.setenv("LABKIT_RUNS", "my-runs")
    monkeypatch.setenv("KERAS_HOME", "keras")
    monkeypatch.chdir(folders)
    found = store.Settings.of_book()
    assert (found.values["profile"], found.values["data"]) == ("smoke", "synthetic")
    assert not found.values["weights"]
    assert "LABKIT_RUNS" not in found.environment
    assert found.environment["KERAS_HOME"] == str(folders / "keras")
    (folders / "keras" / "models").mkdir(parents=True)
    (folders / "keras/models/mobilenet_v2_weights_tf_kernels_1.0_128_no_top.h5").touch()
    assert store.Settings.of_book().values["weights"]
    monkeypatch.setenv("LABKIT_PROFILE", "soup")
    with pytest.raises(ValueError, match="LABKIT_PROFILE is 'soup'"):
        store.Settings.of_book()


# --- executing -----------------------------------------------------------------------------------


def run(*names):
    store.read_anew()
    return execute.up_to_date(names, SETTINGS)


def test_what_is_in_the_store_is_not_executed_again(course, capsys):
    write(course, "one", "1 + 1")
    jobs, failures = run("one")
    assert failures == []
    cell = nbformat.read(jobs["one"].path, as_version=4).cells[1]
    assert cell.outputs[0].data == {"text/plain": "2"} and cell.execution_count == 1
    assert "To execute: one: not executed yet." in capsys.readouterr().out
    assert run("one")[1] == []
    assert capsys.readouterr().out == "All 1 notebooks are in the store.\n"


def test_the_first_line_says_why(course, capsys):
    write(course, "one", "from labkit import metrics")
    write(course, "two", "2")
    run("one", "two")
    edit(course / "labkit/metrics.py", "return 1", "return 2")
    write(course, "two", "3")
    capsys.readouterr()
    run("one", "two")
    said = "To execute: one: labkit/metrics.py changed; two: its code changed. In the store: 0."
    assert capsys.readouterr().out.splitlines()[0] == said


def test_a_failure_names_notebook_cell_and_error_and_the_others_go_on(course):
    write(course, "bad", "a = 1", "a / 0")
    write(course, "good", "1")
    jobs, failures = run("bad", "good")
    assert [str(one) for one in failures] == [
        "FAULT bad, cell c1 (a / 0): ZeroDivisionError: division by zero"
    ]
    assert jobs["good"].path.exists() and not jobs["bad"].path.exists()


def test_a_kernel_that_dies_is_a_failure(course):
    write(course, "bad", "import os\nos._exit(1)")
    _, failures = run("bad")
    assert failures[0].name == "bad" and "died" in failures[0].error


def test_a_cell_that_raises_on_purpose_is_no_failure_and_an_explorer_is_left_out(course):
    write(course, "one", "1 / 0", tags=["raises-exception"])
    write(course, "two", "1 / 0", tags=["skip-execution"])
    assert run("one", "two")[1] == []


def test_what_ran_while_its_sources_changed_is_not_kept(course):
    path = str(course / "labkit" / "metrics.py")
    write(course, "one", f"from labkit import metrics\nopen({path!r}, 'a').write('a = 1')")
    jobs, failures = run("one")
    assert "its sources changed while it ran" in failures[0].error
    assert not jobs["one"].path.exists()


def test_models_are_there_for_the_notebook_that_loads_them(course):
    trains = 'import os\nos.makedirs("runs/course")\nname="course"'
    write(course, store.TRAINS, trains)
    write(course, "one", 'import os\nos.listdir("runs")  # as recipes.course_model() does')
    jobs, failures = run("one")
    assert failures == [] and list(jobs) == [store.TRAINS, "one"]
    cell = nbformat.read(jobs["one"].path, as_version=4).cells[1]
    assert cell.outputs[0].data == {"text/plain": "['course']"}


def test_what_waits_for_a_failed_notebook_says_so(course):
    write(course, store.TRAINS, "1 / 0")
    write(course, "one", "# recipes.course_model()")
    _, failures = run("one")
    assert f"not executed, because {store.TRAINS} failed" in [one.error for one in failures]


def test_the_record_has_what_was_loaded_and_opened(course):
    read = graph.ROOT / "README.md"  # what is watched is the folder of this project
    write(course, "one", f"from labkit import metrics\nopen({str(read)!r}).close()")
    jobs, failures = run("one")
    assert failures == []
    found = store.record(jobs["one"].path)
    assert found["modules"] == ["labkit", "labkit.metrics"] and "README.md" in found["files"]
    assert set(found["cells"]) == {"c0"}


def test_only_the_newest_versions_are_kept(course):
    for number in range(store.KEPT + 2):
        store.save("one", f"key{number}", new_notebook(), {"inputs": {}}, course / "none")
        time.sleep(0.02)
    kept = {path.stem for path in (store.EXECUTED / "one").iterdir()}
    assert kept == {f"key{number}" for number in range(2, store.KEPT + 2)}


INTERRUPTED = """
import sys
sys.path[:0] = {paths}
import execute, graph, store
from pathlib import Path
course = Path({course!r})
store.ROOT, store.BOOK, store.BUILD = course, course / "book", course / "_build"
store.EXECUTED, graph.PACKAGE = store.BUILD / "executed", course / "labkit"
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a process behind "&" ignores
execute.up_to_date(["fast", "slow"], store.Settings({{}}, dict(os.environ)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal there")
def test_an_interrupt_keeps_what_is_finished_and_leaves_no_kernel(course):
    write(course, "fast", "1")
    told = course / "pid"
    write(
        course,
        "slow",
        f"import os, time\nopen({str(told)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)",
    )
    code = INTERRUPTED.format(paths=sys.path, course=str(course))
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    wait_for(
        lambda: told.exists() and told.read_text() and list(store.EXECUTED.glob("fast/*.ipynb"))
    )
    process.send_signal(signal.SIGINT)
    assert process.wait(120) != 0
    assert not list(store.EXECUTED.glob("slow/*.ipynb"))
    wait_for(lambda: not alive(int(told.read_text())))
    assert not list((course / "_build").glob("work-*"))


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = f"/proc/{pid}/stat"  # a zombie is not alive
    return not os.path.exists(status) or open(status).read().rsplit(")")[-1].split()[0] != "Z"
