"""The store of executed notebooks: cache keys and execution."""

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
    """Folder of a small temporary course."""
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


def write_notebook(course, name, *codes, tags=()):
    """Write a notebook with a text cell and these code cells."""
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
def test_irrelevant_change_keeps_key(course, file, before, after):
    write_notebook(course, "one", "from labkit import metrics\nmetrics.iou()")
    old_key = key()
    edit(course / file, before, after)
    assert key() == old_key


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
def test_relevant_change_changes_key(course, file, before, after):
    write_notebook(
        course,
        "one",
        "from labkit import metrics\nfrom labkit.experiments import ledger\nmetrics.iou()",
    )
    old_key = key()
    edit(course / file, before, after)
    assert key() != old_key


def test_execution_tag_changes_key(course):
    write_notebook(course, "one", "1 / 0")
    old_key = key()
    write_notebook(course, "one", "1 / 0", tags=["hide-input"])
    assert key() == old_key
    write_notebook(course, "one", "1 / 0", tags=["raises-exception"])
    assert key() != old_key


def test_shown_docstring_changes_key(course):
    write_notebook(course, "one", "from labkit import metrics\nshow(metrics.iou)")
    old_key = key()
    edit(course / "labkit/metrics.py", '"""Scores."""', '"""A docstring that is not shown."""')
    assert key() == old_key
    edit(course / "labkit/metrics.py", '"""Doc."""', '"""Another docstring."""')
    assert key() != old_key


def test_profile_changes_key(course):
    write_notebook(course, "one", "1")
    other = store.Settings({**SETTINGS.values, "profile": "quick"}, {})
    assert store.key(store.inputs("one", other)) != key()


def test_training_notebook_changes_keys_of_its_users(course):
    write_notebook(course, store.TRAINS, "1")
    write_notebook(course, "one", "recipes.course_model(pets, 1)")
    assert (store.follows("one"), store.follows(store.TRAINS)) == (store.TRAINS, None)
    old_key = key()
    write_notebook(course, store.TRAINS, "2")
    assert key() != old_key


def test_inputs_ignore_magics(course):
    write_notebook(course, "one", "%matplotlib inline\nfrom labkit import metrics", "!ls")
    assert "labkit/metrics.py" in store.inputs("one", SETTINGS)


def test_settings_follow_environment(monkeypatch, folders):
    monkeypatch.setenv("LABKIT_PROFILE", "smoke")
    monkeypatch.setenv("LABKIT_DATA", "synthetic")
    monkeypatch.setenv("LABKIT_RUNS", "my-runs")
    monkeypatch.setenv("KERAS_HOME", "keras")
    monkeypatch.chdir(folders)
    settings = store.Settings.of_book()
    assert (settings.values["profile"], settings.values["data"]) == ("smoke", "synthetic")
    assert not settings.values["weights"]
    assert "LABKIT_RUNS" not in settings.environment
    assert settings.environment["KERAS_HOME"] == str(folders / "keras")
    (folders / "keras" / "models").mkdir(parents=True)
    (folders / "keras/models/mobilenet_v2_weights_tf_kernels_1.0_128_no_top.h5").touch()
    assert store.Settings.of_book().values["weights"]
    monkeypatch.setenv("LABKIT_PROFILE", "soup")
    with pytest.raises(ValueError, match="LABKIT_PROFILE is 'soup'"):
        store.Settings.of_book()


# --- execution -----------------------------------------------------------------------------------


def run(*names):
    store.read_anew()
    return execute.up_to_date(names, SETTINGS)


def test_stored_notebook_is_not_executed_again(course, capsys):
    write_notebook(course, "one", "1 + 1")
    jobs, failures = run("one")
    assert failures == []
    cell = nbformat.read(jobs["one"].path, as_version=4).cells[1]
    assert cell.outputs[0].data == {"text/plain": "2"} and cell.execution_count == 1
    assert "To execute: one: not executed yet." in capsys.readouterr().out
    assert run("one")[1] == []
    assert capsys.readouterr().out == "All 1 notebooks are in the store.\n"


def test_output_states_reason_for_execution(course, capsys):
    write_notebook(course, "one", "from labkit import metrics")
    write_notebook(course, "two", "2")
    run("one", "two")
    edit(course / "labkit/metrics.py", "return 1", "return 2")
    write_notebook(course, "two", "3")
    capsys.readouterr()
    run("one", "two")
    expected = "To execute: one: labkit/metrics.py changed; two: its code changed. In the store: 0."
    assert capsys.readouterr().out.splitlines()[0] == expected


def test_failure_is_reported_and_others_continue(course):
    write_notebook(course, "bad", "a = 1", "a / 0")
    write_notebook(course, "good", "1")
    jobs, failures = run("bad", "good")
    assert [str(failure) for failure in failures] == [
        "FAULT bad, cell c1 (a / 0): ZeroDivisionError: division by zero"
    ]
    assert jobs["good"].path.exists() and not jobs["bad"].path.exists()


def test_dead_kernel_is_failure(course):
    write_notebook(course, "bad", "import os\nos._exit(1)")
    _, failures = run("bad")
    assert failures[0].name == "bad" and "died" in failures[0].error


def test_execution_tags_are_respected(course):
    write_notebook(course, "one", "1 / 0", tags=["raises-exception"])
    write_notebook(course, "two", "1 / 0", tags=["skip-execution"])
    assert run("one", "two")[1] == []


def test_result_is_discarded_if_sources_change_during_run(course):
    path = str(course / "labkit" / "metrics.py")
    write_notebook(course, "one", f"from labkit import metrics\nopen({path!r}, 'a').write('a = 1')")
    jobs, failures = run("one")
    assert "its sources changed while it ran" in failures[0].error
    assert not jobs["one"].path.exists()


def test_training_notebook_runs_before_its_users(course):
    trains = 'import os\nos.makedirs("runs/course")\nname="course"'
    write_notebook(course, store.TRAINS, trains)
    write_notebook(course, "one", 'import os\nos.listdir("runs")  # as recipes.course_model() does')
    jobs, failures = run("one")
    assert failures == [] and list(jobs) == [store.TRAINS, "one"]
    cell = nbformat.read(jobs["one"].path, as_version=4).cells[1]
    assert cell.outputs[0].data == {"text/plain": "['course']"}


def test_failed_training_notebook_skips_its_users(course):
    write_notebook(course, store.TRAINS, "1 / 0")
    write_notebook(course, "one", "# recipes.course_model()")
    _, failures = run("one")
    assert f"not executed, because {store.TRAINS} failed" in [failure.error for failure in failures]


def test_record_lists_modules_and_files(course):
    read = graph.ROOT / "README.md"  # only files of this project are recorded
    write_notebook(course, "one", f"from labkit import metrics\nopen({str(read)!r}).close()")
    jobs, failures = run("one")
    assert failures == []
    record = store.record(jobs["one"].path)
    assert record["modules"] == ["labkit", "labkit.metrics"] and "README.md" in record["files"]
    assert set(record["cells"]) == {"c0"}


def test_store_keeps_newest_versions(course):
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
def test_interrupt_keeps_finished_and_stops_kernels(course):
    write_notebook(course, "fast", "1")
    pid_file = course / "pid"
    write_notebook(
        course,
        "slow",
        f"import os, time\nopen({str(pid_file)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)",
    )
    code = INTERRUPTED.format(paths=sys.path, course=str(course))
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    wait_for(
        lambda: (
            pid_file.exists() and pid_file.read_text() and list(store.EXECUTED.glob("fast/*.ipynb"))
        )
    )
    process.send_signal(signal.SIGINT)
    assert process.wait(120) != 0
    assert not list(store.EXECUTED.glob("slow/*.ipynb"))
    wait_for(lambda: not alive(int(pid_file.read_text())))
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
