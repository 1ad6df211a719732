"""What isolates is found, and nothing runs without it unless a teacher says so."""

import subprocess
from pathlib import Path

import pytest
from conftest import GOOD

from labkit.grade import container, isolation, sandbox
from labkit.grade.grader import grade
from labkit.grade.sandbox import Limits, Unsafe


@pytest.fixture
def nothing_here(monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)


def refuse():
    raise Unsafe("not here")


def test_bubblewrap_comes_before_docker(monkeypatch):
    monkeypatch.setattr(sandbox, "check", lambda: None)
    monkeypatch.setattr(container, "check", lambda: None)
    assert isolation.select_backend() is sandbox.Sandbox
    monkeypatch.setattr(sandbox, "check", refuse)
    assert isolation.select_backend() is container.Container


def test_who_trusts_the_submissions_still_isolates_them_where_that_is_possible(monkeypatch):
    monkeypatch.setattr(sandbox, "check", lambda: None)
    assert isolation.select_backend(no_sandbox=True) is sandbox.Sandbox


@pytest.mark.usefixtures("nothing_here")
def test_with_neither_the_way_out_is_told():
    with pytest.raises(Unsafe, match="bubblewrap.*Docker.*--no-sandbox"):
        isolation.select_backend()
    assert isolation.select_backend(no_sandbox=True) is isolation.Unsandboxed


ENDLESS = "while True:\n    pass"


def test_a_trusted_submission_is_graded_and_its_time_is_limited(write):
    assert grade(write(GOOD), None, backend=isolation.Unsandboxed).points == 2
    waits = write("import time\ntime.sleep(1000)")
    found = grade(waits, None, limits=Limits(seconds=5), backend=isolation.Unsandboxed)
    assert found.problem == "took longer than 5 s"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="the system tells of no process")
def test_the_computing_of_a_trusted_submission_is_limited_where_it_can_be_seen(write):
    limits = Limits(cpu_seconds=1, seconds=60)
    found = grade(write(ENDLESS), None, limits=limits, backend=isolation.Unsandboxed)
    assert found.problem == "computed for longer than 1 s"


def says(returncode=0, stdout="", stderr=""):
    done = subprocess.CompletedProcess([], returncode, stdout, stderr)
    return lambda *words, **options: done


def test_a_docker_that_does_not_run_is_told(monkeypatch):
    monkeypatch.setattr(container.shutil, "which", lambda name: "docker")
    monkeypatch.setattr(container, "docker", says(1, stderr="Cannot connect"))
    with pytest.raises(Unsafe, match="Docker does not run: Cannot connect"):
        container.check()


def test_an_image_that_can_not_be_made_is_told(monkeypatch, capsys):
    monkeypatch.setattr(container.shutil, "which", lambda name: "docker")
    answers = {
        "info": says(),
        "container": says(),
        "image": says(1),
        "build": says(1, stderr="no network"),
    }
    monkeypatch.setattr(container, "docker", lambda *words, **options: answers[words[0]]())
    with pytest.raises(Unsafe, match="can't make the image:\nno network"):
        container.check()
    assert "some minutes" in capsys.readouterr().err


def test_a_docker_that_can_not_start_a_container_is_told(monkeypatch):
    """Such as one that may not see labkit's folder: it is not each submission that is wrong."""
    monkeypatch.setattr(container.shutil, "which", lambda name: "docker")
    answers = {"run": says(125, stderr="mounts denied")}
    monkeypatch.setattr(
        container, "docker", lambda *words, **options: answers.get(words[0], says())()
    )
    with pytest.raises(Unsafe, match="Docker can't isolate here: mounts denied"):
        container.check()


def test_a_sandbox_that_does_not_start_is_not_the_submission_s_fault(write):
    def broken(module, limits):
        raise OSError("no sandbox today")

    with pytest.raises(OSError, match="no sandbox today"):
        grade(write(GOOD), None, backend=broken)


def test_the_image_has_the_versions_that_are_here():
    import keras

    assert f"keras=={keras.__version__} " in container.dockerfile()
    assert "optuna" not in container.dockerfile()  # only what labkit itself needs


@pytest.mark.parametrize(
    ("text", "expected"),
    [("00:00:03", 3), ("01:02", 62), ("01:00:00", 3600), ("2-00:00:01", 172801)],
)
def test_time_as_ps_says_it(text, expected):
    assert container.seconds(text) == expected
