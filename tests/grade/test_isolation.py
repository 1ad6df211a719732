"""Isolation: selecting an engine, running without one, and failures of engines."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import GOOD

from labkit.grade import container
from labkit.grade.container import Unsafe
from labkit.grade.grader import grade
from labkit.grade.process import Limits, Process


@pytest.fixture
def engine(monkeypatch):
    """A function that lets every engine refuse some of its commands, and records all.

    Code runs in its containers; with ``limits=False`` they also get too much memory.
    """

    def refuse(*refused, installed=("podman", "docker"), limits=True):
        calls = []

        def call(engine, *words, **_):
            calls.append((engine, words))
            code = int(words[0] in refused or f"{engine[0]} {words[0]}" in refused)
            output = "works\n" if limits else "works\nexceeded\n"
            return subprocess.CompletedProcess([], code, "" if code else output, "refused")

        which = {name: f"/usr/bin/{name}" for name in installed}.get
        monkeypatch.setattr(container.shutil, "which", which)
        monkeypatch.setattr(container, "call", call)
        return calls

    return refuse


def test_podman_is_preferred_to_docker(engine):
    engine()
    assert container.select_backend().engine == ("podman",)
    assert container.select_backend(no_container=True).engine == ("podman",)
    engine("podman run")
    assert container.select_backend().engine == ("docker",)
    engine(installed=["docker"])
    assert container.select_backend().engine == ("docker",)


def test_without_engines_nothing_is_graded_unless_it_is_trusted(engine):
    engine(installed=[])
    with pytest.raises(Unsafe, match="apt install podman.*--no-container"):
        container.select_backend()
    assert container.select_backend(no_container=True) is Process


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (["info"], "docker: it does not run: refused"),
        (["image", "build"], "docker: it can't make the image:\nrefused"),
        (["run"], "docker: it can't isolate here: refused"),  # it may not mount labkit's folder
    ],
)
def test_failure_of_docker_raises(engine, capsys, refused, reason):
    engine(*refused, installed=["docker"])
    with pytest.raises(Unsafe, match=reason):
        container.select_backend()
    assert ("some minutes" in capsys.readouterr().err) == ("build" in refused)


def test_engine_that_does_not_limit_memory_is_not_used(engine):
    """As Podman does without root on Linux systems with control groups of version 1."""
    engine(limits=False)
    reason = "podman: it does not limit memory here. refused.*docker: it does not limit memory"
    with pytest.raises(Unsafe, match=reason):
        container.select_backend()


def test_trial_leaves_no_file(backend, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    container.check(backend.engine)
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_trial_needs_more_memory_than_its_limit():
    assert "exceeded" in subprocess.check_output([sys.executable, "-c", container.TRIAL], text=True)


@pytest.mark.parametrize("engine", container.ENGINES)
def test_a_container_has_no_network_no_rights_and_limits(engine):
    limits = Limits(memory=7, disk=5, threads=3)
    _, *words = container.command(engine, "name", limits, "/tmp/x")
    text = " ".join(words)
    for option in (
        *("--network none", "--read-only", "--cap-drop ALL", "no-new-privileges"),
        "--log-driver none",  # else what it writes would fill the disk
        *("--memory 17", "--memory-swap 17", "--pids-limit 3", "size=5", "--ulimit fsize=5:5"),
    ):
        assert option in text
    volumes = [words[k + 1] for k, word in enumerate(words) if word == "--volume"]
    assert volumes and all(volume.endswith(":ro") for volume in volumes)


def test_each_container_has_another_user():
    users = set()
    for _ in range(100):
        _, *words = container.command(container.ENGINES[0], "name", Limits(), "/tmp/x")
        users.add(words[words.index("--user") + 1])
    assert len(users) == 100 and "0" not in users


def test_trusted_submission_has_a_time_limit(write):
    assert grade(write(GOOD), None, backend=Process).points == 2
    waiting = write("import time\ntime.sleep(1000)")
    result = grade(waiting, None, limits=Limits(seconds=5), backend=Process)
    assert result.problem == "took longer than 5 s"


def test_failure_to_start_is_not_graded(write):
    def failing_backend(module, limits):
        raise OSError("no container today")

    with pytest.raises(OSError, match="no container today"):
        grade(write(GOOD), None, backend=failing_backend)


def test_dockerfile_pins_installed_versions():
    assert f"numpy=={np.__version__} " in container.dockerfile()
    assert "optuna" not in container.dockerfile()  # only labkit's requirements


def test_everyone_may_write_into_the_private_folder_of_the_image():
    assert f"mkdir --mode 1777 {container.PRIVATE}" in container.dockerfile()
