"""The store of executed notebooks: cache keys, settings and execution."""

import base64
import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from unittest.mock import Mock

import execute
import kernel
import keys
import nbformat
import paths
import pytest
import store
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from settings import Settings

SETTINGS = Settings({"profile": "smoke", "data": "synthetic"}, dict(os.environ))
README = paths.ROOT / "README.md"
FILES = {
    "book/one.ipynb": "",
    "labkit/__init__.py": '"""A package."""',
    "labkit/metrics.py": '"""Scores."""\n\n\ndef iou():\n    """Doc."""\n    return 1\n',
    "labkit/data.py": "",
    "labkit/validation.txt": "a",
    "labkit/experiments/__init__.py": "",
    "labkit/experiments/ledger.py": "def rows():\n    from labkit import metrics",
    "labkit/experiments/results/runs.jsonl": "{}",
    "requirements.txt": "numpy==2.0",
}


@pytest.fixture
def course(course_root):
    """Folder of a small temporary course."""
    for name, text in FILES.items():
        (course_root / name).parent.mkdir(parents=True, exist_ok=True)
        (course_root / name).write_text(text)
    return course_root


def write_notebook(name, *codes, tags=()):
    """Write a notebook with a text cell and these code cells."""
    cells = [new_markdown_cell("Words.", id="words")]
    cells += [
        new_code_cell(code, id=f"c{number}", metadata={"tags": list(tags)})
        for number, code in enumerate(codes)
    ]
    nbformat.write(new_notebook(cells=cells), paths.BOOK / f"{name}.ipynb")


def edit(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


# --- keys ----------------------------------------------------------------------------------------


def key(settings=SETTINGS):
    keys.clear_cache()
    return keys.key(keys.inputs("one", settings))


METRICS = "from labkit import metrics\nmetrics.iou()"
SHOW = "from labkit import metrics\nshow(metrics.iou)"
LEDGER = "from labkit.experiments import ledger"
RUNS = "labkit/experiments/results/runs.jsonl"


@pytest.mark.parametrize(
    ("code", "file", "before", "after", "changes"),
    [
        (METRICS, "book/one.ipynb", "Words.", "Other words.", False),
        (METRICS, "book/one.ipynb", "metrics.iou()", "metrics.iou() + 1", True),
        (METRICS, "labkit/metrics.py", '"""Doc."""', '"""Another docstring."""', False),
        (METRICS, "labkit/metrics.py", "return 1", "return 1  # a comment", False),
        (METRICS, "labkit/metrics.py", "return 1", "return 2", True),
        (METRICS, "labkit/__init__.py", '"""A package."""', "a = 1", True),
        (METRICS, "labkit/data.py", "", "a = 1", False),  # not imported
        (METRICS, "labkit/validation.txt", "a", "b", False),
        (METRICS, RUNS, "{}", "{1}", False),
        (METRICS, "requirements.txt", "2.0", "2.1", True),
        (SHOW, "labkit/metrics.py", '"""Scores."""', '"""Not shown."""', False),
        (SHOW, "labkit/metrics.py", '"""Doc."""', '"""Another docstring."""', True),
        (LEDGER, RUNS, "{}", "{1}", True),
        (LEDGER, "labkit/metrics.py", "return 1", "return 2", True),  # imported in a function
        (f"%matplotlib inline\n!ls\n{METRICS}", "labkit/metrics.py", "return 1", "return 2", True),
    ],
)
def test_key_changes_with_inputs(course, code, file, before, after, changes):
    write_notebook("one", code)
    old_key = key()
    edit(course / file, before, after)
    assert (key() != old_key) == changes


def test_execution_tags_and_profile_change_key(course):
    write_notebook("one", "1 / 0")
    old_key = key()
    assert key(Settings({**SETTINGS.values, "profile": "quick"}, {})) != old_key
    write_notebook("one", "1 / 0", tags=["hide-input"])
    assert key() == old_key
    write_notebook("one", "1 / 0", tags=["raises-exception"])
    assert key() != old_key


def test_settings_follow_environment(monkeypatch, folders):
    weights = folders / "keras/models/mobilenet_v2_weights_tf_kernels_1.0_224_no_top.h5"
    variables = {"PROFILE": "smoke", "DATA": "synthetic", "RUNS": "my-runs"}
    for name, value in variables.items():
        monkeypatch.setenv(f"LABKIT_{name}", value)
    monkeypatch.setenv("KERAS_HOME", "keras")
    monkeypatch.chdir(folders)
    settings = Settings.of_book()
    assert (settings.values["profile"], settings.values["data"]) == ("smoke", "synthetic")
    assert not settings.values["weights"]
    assert "LABKIT_RUNS" not in settings.environment
    assert settings.environment["KERAS_HOME"] == str(folders / "keras")
    weights.parent.mkdir(parents=True)
    weights.touch()
    assert Settings.of_book().values["weights"]
    monkeypatch.setenv("LABKIT_PROFILE", "soup")
    with pytest.raises(ValueError, match="soup"):
        Settings.of_book()


# --- execution -----------------------------------------------------------------------------------


def run(*names):
    keys.clear_cache()
    return execute.up_to_date(names, SETTINGS)


def first_output(job):
    return nbformat.read(job.path, as_version=4).cells[1].outputs[0].data["text/plain"]


def test_stale_notebooks_are_executed_and_recorded(course, capsys):
    write_notebook("one", f"from labkit import metrics\nopen({str(README)!r}).close()\n1 + 1")
    write_notebook("two", "2")
    jobs, failures = run("one", "two")
    assert failures == [] and first_output(jobs["one"]) == "2"
    assert nbformat.read(jobs["one"].path, as_version=4).cells[1].execution_count == 1
    record = store.record(jobs["one"].path)
    assert record["modules"] == ["labkit", "labkit.metrics"] and "README.md" in record["files"]
    assert set(record["cells"]) == {"c0"}
    capsys.readouterr()
    assert run("one", "two")[1] == []
    assert len(capsys.readouterr().out.splitlines()) == 1  # nothing is executed
    edit(course / "labkit/metrics.py", "return 1", "return 2")
    write_notebook("two", "3")
    assert first_output(run("one", "two")[0]["two"]) == "3"
    reasons = capsys.readouterr().out.splitlines()[0]
    assert "one: labkit/metrics.py changed; two: its code changed" in reasons


def test_failure_is_reported_and_others_continue(course):
    write_notebook("bad", "a = 1", "a / 0")
    write_notebook("dead", "import os\nos._exit(1)")
    write_notebook("raising", "1 / 0", tags=["raises-exception"])
    jobs, failures = run("bad", "dead", "raising")
    faults = {failure.name: str(failure) for failure in failures}
    assert "cell c1 (a / 0): ZeroDivisionError: division by zero" in faults.pop("bad")
    assert "died" in faults.pop("dead") and not faults
    assert [name for name in jobs if jobs[name].path.exists()] == ["raising"]


def test_result_is_discarded_if_sources_change_during_run(course):
    path = str(course / "labkit" / "metrics.py")
    write_notebook("one", f"from labkit import metrics\nopen({path!r}, 'a').write('a = 1')")
    jobs, failures = run("one")
    assert "changed" in failures[0].error and not jobs["one"].path.exists()


def test_store_keeps_newest_versions(course):
    for number in range(store.KEPT + 2):
        store.save("one", f"key{number}", new_notebook(), {"inputs": {}})
        os.utime(store.place("one", f"key{number}"), (number, number))
    kept = {path.stem for path in (paths.EXECUTED / "one").iterdir()}
    assert kept == {f"key{number}" for number in range(2, store.KEPT + 2)}


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {path}
import execute, paths, settings
for name, folder in {folders}.items():
    setattr(paths, name, Path(folder))
signal.signal(signal.SIGINT, signal.default_int_handler)  # background processes ignore it
execute.up_to_date(["fast", "slow"], settings.Settings({{}}, dict(os.environ)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT")
def test_interrupt_keeps_finished_and_stops_kernels(course):
    pid_file = course / "pid"
    write_notebook("fast", "1")
    write_notebook(
        "slow",
        f"import os, time\nopen({str(pid_file)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)",
    )
    folders = {name: str(getattr(paths, name)) for name in dir(paths) if name.isupper()}
    code = INTERRUPTED.format(path=sys.path, folders=folders)
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    wait_for(lambda: pid_file.exists() and pid_file.read_text() and store.versions("fast"))
    process.send_signal(signal.SIGINT)
    assert process.wait(120) != 0
    assert not store.versions("slow")
    wait_for(lambda: not is_alive(int(pid_file.read_text())))
    assert not list(paths.BUILD.glob("work-*"))


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = f"/proc/{pid}/stat"  # a zombie is not alive
    return not os.path.exists(status) or open(status).read().rsplit(")")[-1].split()[0] != "Z"


@pytest.mark.parametrize("failures", [1, 2])
def test_kernel_whose_port_is_taken_starts_again_once(monkeypatch, capsys, course_root, failures):
    class Manager(AsyncKernelManager):
        def __init__(self, **options):
            super().__init__(stdin_port=ports.pop(0), cache_ports=False, **options)

    path = course_root / "one.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1", id="one")]), path)
    client = partial(NotebookClient, kernel_manager_class=Manager)
    monkeypatch.setattr(kernel, "NotebookClient", client)
    monkeypatch.setattr("nbclient.client.atexit", Mock())  # otherwise complains when pytest ends
    with socket.create_server(("127.0.0.1", 0)) as server:
        ports = [server.getsockname()[1]] * failures + [0]
        kernel.main(path, path, course_root)
    assert ("Kernel died" in capsys.readouterr().out) == (failures == 2)


def test_figures_are_sharp(course_root, tmp_path):
    """Two pixels for each pixel of the page, with the width in the page's pixels."""
    code = (
        "import matplotlib.pyplot as plt\nplt.figure(figsize=(2, 1))\nplt.plot([1, 2])\nplt.gcf()"
    )
    cell = new_code_cell(code, id="figure")
    path = course_root / "figure.ipynb"
    nbformat.write(new_notebook(cells=[cell]), path)
    done = subprocess.run(
        [sys.executable, kernel.__file__, path, path, course_root],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "error" not in done.stdout
    (executed,) = nbformat.read(path, as_version=4).cells
    shown = executed.outputs[-1]
    size, png = shown.metadata["image/png"], base64.b64decode(shown.data["image/png"])
    assert int.from_bytes(png[16:20]) // 2 == size["width"]
