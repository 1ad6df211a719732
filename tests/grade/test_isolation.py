"""Isolation: selecting a backend, running without one, and Docker's failures."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import GOOD

from labkit.grade import container, isolation, sandbox
from labkit.grade.grader import grade
from labkit.grade.sandbox import Limits, Unsafe


def raise_unsafe():
    raise Unsafe("not here")


def test_bubblewrap_is_preferred_to_docker(monkeypatch):
    monkeypatch.setattr(sandbox, "check", lambda: None)
    monkeypatch.setattr(container, "check", lambda: None)
    assert isolation.select_backend() is sandbox.Sandbox
    assert isolation.select_backend(no_sandbox=True) is sandbox.Sandbox
    monkeypatch.setattr(sandbox, "check", raise_unsafe)
    assert isolation.select_backend() is container.Container


def test_select_backend_without_backends_raises(monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    with pytest.raises(Unsafe, match="bubblewrap.*Docker.*--no-sandbox"):
        isolation.select_backend()
    assert isolation.select_backend(no_sandbox=True) is isolation.Unsandboxed


def test_unsandboxed_submission_has_time_limit(write):
    assert grade(write(GOOD), None, backend=isolation.Unsandboxed).points == 2
    waiting = write("import time\ntime.sleep(1000)")
    result = grade(waiting, None, limits=Limits(seconds=5), backend=isolation.Unsandboxed)
    assert result.problem == "took longer than 5 s"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="the system tells of no process")
def test_unsandboxed_submission_has_cpu_limit(write):
    limits = Limits(cpu_seconds=1, seconds=60)
    result = grade(
        write("while True:\n    pass"), None, limits=limits, backend=isolation.Unsandboxed
    )
    assert result.problem == "computed for longer than 1 s"


@pytest.mark.parametrize(
    ("failing", "reason"),
    [
        (["info"], "Docker does not run: refused"),
        (["image", "build"], "can't make the image:\nrefused"),
        (["run"], "Docker can't isolate here: refused"),  # labkit's folder may not be mounted
    ],
)
def test_docker_failure_raises(monkeypatch, capsys, failing, reason):
    def docker(command, *_, **__):
        return subprocess.CompletedProcess([], int(command in failing), "", "refused")

    monkeypatch.setattr(container.shutil, "which", lambda name: "docker")
    monkeypatch.setattr(container, "docker", docker)
    with pytest.raises(Unsafe, match=reason):
        container.check()
    assert ("some minutes" in capsys.readouterr().err) == ("build" in failing)


def test_sandbox_start_failure_is_not_graded(write):
    def failing_backend(module, limits):
        raise OSError("no sandbox today")

    with pytest.raises(OSError, match="no sandbox today"):
        grade(write(GOOD), None, backend=failing_backend)


def test_dockerfile_pins_installed_versions():
    assert f"numpy=={np.__version__} " in container.dockerfile()
    assert "optuna" not in container.dockerfile()  # only labkit's requirements


def test_seconds_parses_ps_times():
    times = {"00:00:03": 3, "01:02": 62, "01:00:00": 3600, "2-00:00:01": 172801}
    assert {text: container.seconds(text) for text in times} == times
