"""Isolation: selecting a backend, running without one, and Docker's failures."""

import subprocess
from pathlib import Path

import pytest
from conftest import GOOD

from labkit.grade import container, isolation, sandbox
from labkit.grade.grader import grade
from labkit.grade.sandbox import Limits, Unsafe


@pytest.fixture
def no_backends(monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)


def raise_unsafe():
    raise Unsafe("not here")


def test_bubblewrap_is_preferred_to_docker(monkeypatch):
    monkeypatch.setattr(sandbox, "check", lambda: None)
    monkeypatch.setattr(container, "check", lambda: None)
    assert isolation.select_backend() is sandbox.Sandbox
    monkeypatch.setattr(sandbox, "check", raise_unsafe)
    assert isolation.select_backend() is container.Container


def test_no_sandbox_still_uses_available_backend(monkeypatch):
    monkeypatch.setattr(sandbox, "check", lambda: None)
    assert isolation.select_backend(no_sandbox=True) is sandbox.Sandbox


@pytest.mark.usefixtures("no_backends")
def test_select_backend_without_backends_raises():
    with pytest.raises(Unsafe, match="bubblewrap.*Docker.*--no-sandbox"):
        isolation.select_backend()
    assert isolation.select_backend(no_sandbox=True) is isolation.Unsandboxed


ENDLESS = "while True:\n    pass"


def test_unsandboxed_submission_has_time_limit(write):
    assert grade(write(GOOD), None, backend=isolation.Unsandboxed).points == 2
    waiting = write("import time\ntime.sleep(1000)")
    result = grade(waiting, None, limits=Limits(seconds=5), backend=isolation.Unsandboxed)
    assert result.problem == "took longer than 5 s"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="the system tells of no process")
def test_unsandboxed_submission_has_cpu_limit(write):
    limits = Limits(cpu_seconds=1, seconds=60)
    result = grade(write(ENDLESS), None, limits=limits, backend=isolation.Unsandboxed)
    assert result.problem == "computed for longer than 1 s"


def fake_docker(returncode=0, stdout="", stderr=""):
    completed = subprocess.CompletedProcess([], returncode, stdout, stderr)
    return lambda *args, **options: completed


def test_docker_not_running_raises(monkeypatch):
    monkeypatch.setattr(container.shutil, "which", lambda name: "docker")
    monkeypatch.setattr(container, "docker", fake_docker(1, stderr="Cannot connect"))
    with pytest.raises(Unsafe, match="Docker does not run: Cannot connect"):
        container.check()


def test_docker_build_failure_raises(monkeypatch, capsys):
    monkeypatch.setattr(container.shutil, "which", lambda name: "docker")
    answers = {
        "info": fake_docker(),
        "container": fake_docker(),
        "image": fake_docker(1),
        "build": fake_docker(1, stderr="no network"),
    }
    monkeypatch.setattr(container, "docker", lambda *args, **options: answers[args[0]]())
    with pytest.raises(Unsafe, match="can't make the image:\nno network"):
        container.check()
    assert "some minutes" in capsys.readouterr().err


def test_docker_run_failure_raises(monkeypatch):
    """For example, Docker may not mount labkit's folder; that is not the submissions' fault."""
    monkeypatch.setattr(container.shutil, "which", lambda name: "docker")
    answers = {"run": fake_docker(125, stderr="mounts denied")}
    monkeypatch.setattr(
        container, "docker", lambda *args, **options: answers.get(args[0], fake_docker())()
    )
    with pytest.raises(Unsafe, match="Docker can't isolate here: mounts denied"):
        container.check()


def test_sandbox_start_failure_is_not_graded(write):
    def failing_backend(module, limits):
        raise OSError("no sandbox today")

    with pytest.raises(OSError, match="no sandbox today"):
        grade(write(GOOD), None, backend=failing_backend)


def test_dockerfile_pins_installed_versions():
    import keras

    assert f"keras=={keras.__version__} " in container.dockerfile()
    assert "optuna" not in container.dockerfile()  # only labkit's requirements


@pytest.mark.parametrize(
    ("text", "expected"),
    [("00:00:03", 3), ("01:02", 62), ("01:00:00", 3600), ("2-00:00:01", 172801)],
)
def test_seconds_parses_ps_times(text, expected):
    assert container.seconds(text) == expected
