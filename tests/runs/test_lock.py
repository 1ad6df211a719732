"""The lock of a run's folder: waiting, processes that have ended, and folders taken over."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from labkit.runs import lock
from labkit.runs.lock import Lock


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Seconds become hundredths of seconds."""
    sleep = time.sleep
    monkeypatch.setattr(lock.time, "sleep", lambda seconds: sleep(seconds / 100))
    monkeypatch.setattr(lock, "BEAT", 0.02)
    monkeypatch.setattr(lock, "SILENCE", 0.5)


@pytest.fixture
def no_system_locks(monkeypatch):
    """As on Google Drive: neither links nor system locks work."""

    def refuse(*args, **options):
        raise OSError(95, "Operation not supported")

    for name in ("symlink", "link"):
        monkeypatch.setattr(os, name, refuse)
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(fcntl, "lockf", refuse)


def owned_by(folder, **owner):
    """Writes a lock file of another process."""
    content = {"token": "other", "computer": "far", "pid": 1, "started": 0.0, "beats": 0} | owner
    (folder / "training.lock").write_text(json.dumps(content))


def test_second_lock_waits_for_first(tmp_path, capsys, no_system_locks):
    events = []

    def second():
        with Lock(tmp_path / "run"):
            events.append("second")

    with Lock(tmp_path / "run"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(2 * lock.SILENCE)  # signs of life keep the lock
        events.append("first")
    thread.join()
    assert events == ["first", "second"]
    assert list((tmp_path / "run").iterdir()) == []
    output = capsys.readouterr().out
    assert output.count("waiting for it") == 1 and f"process {os.getpid()} on" in output


def test_lock_is_given_back_after_error(tmp_path):
    with pytest.raises(KeyboardInterrupt), Lock(tmp_path):
        raise KeyboardInterrupt
    with Lock(tmp_path) as taken:
        taken.check()


def test_ended_process_of_this_computer_loses_lock_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "SILENCE", 1e6)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    for owner in (
        {"pid": process.pid},  # ended
        {"pid": os.getpid()},  # this process, in an earlier call
        {"pid": os.getppid(), "started": 1.0},  # a new process has its number
    ):
        owned_by(tmp_path, computer=lock.computer(), **owner)
        with Lock(tmp_path) as taken:
            taken.check()


@pytest.mark.parametrize("content", [None, "", '{"pid"', "[]"])
def test_silent_process_of_another_computer_loses_lock(content, tmp_path, capsys):
    owned_by(tmp_path)
    if content is not None:
        (tmp_path / "training.lock").write_text(content)
    start = time.monotonic()
    with Lock(tmp_path):
        assert time.monotonic() - start > lock.SILENCE
    name = "process 1 on far" if content is None else "process 0 on unknown"
    assert f"is being trained by {name}: waiting" in capsys.readouterr().out


def test_living_process_of_another_computer_keeps_lock(tmp_path):
    ended, entered = threading.Event(), threading.Event()

    def wait():
        with Lock(tmp_path):
            entered.set()

    owned_by(tmp_path)
    waiting = threading.Thread(target=wait)
    waiting.start()
    for beats in range(20):
        owned_by(tmp_path, beats=beats)
        ended.wait(lock.SILENCE / 10)
    assert not entered.is_set()
    (tmp_path / "training.lock").unlink()
    waiting.join()
    assert entered.is_set()


@pytest.mark.parametrize("deleted", [True, False])
def test_check_notices_takeover(deleted, tmp_path):
    with Lock(tmp_path) as taken:
        if deleted:
            (tmp_path / "training.lock").unlink()
        else:
            owned_by(tmp_path)
        time.sleep(5 * lock.BEAT)
        with pytest.raises(OSError, match="has taken over"):
            taken.check()
    assert (tmp_path / "training.lock").exists() != deleted  # the other's file is left alone


def test_lock_that_changed_hands_is_not_removed(tmp_path):
    waiting = Lock(tmp_path)
    owned_by(tmp_path, token="new")
    waiting._remove("what the silent process wrote")
    assert "new" in (tmp_path / "training.lock").read_text()
    assert len(list(tmp_path.iterdir())) == 1


def test_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OSError, match="can't write to .*file.*set LABKIT_RUNS to another folder"),
        Lock(tmp_path / "file" / "run"),
    ):
        pass


def test_unreadable_lock_does_not_end_training(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(13, "for a moment")

    with Lock(tmp_path) as taken, monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "read_text", refuse)
        taken.check()
