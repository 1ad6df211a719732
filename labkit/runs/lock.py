"""One process at a time trains in a folder, on network folders and Google Drive too.

A file in the folder names the process that trains in it and changes every few seconds. System locks
and symbolic links would not do: network folders and Google Drive lack them.
"""

import json
import os
import platform
import threading
import time
import uuid
from contextlib import suppress

import psutil

from labkit.runs.folder import shown, write_error

BEAT = 5  # seconds between two signs of life
SILENCE = 60  # seconds without one, after which the process of another computer counts as ended
_held = set()  # tokens of this process


class Lock:
    """The right to write to a run's folder, as a context manager.

    It waits while another process has the right, and says so. A process that has ended without
    giving it back loses it: at once on this computer, after a minute on another.

    Args:
        folder: of the run, created if it does not exist.
    """

    def __init__(self, folder):
        self.folder, self.file = folder, folder / "training.lock"
        self.token = uuid.uuid4().hex
        self.ended = threading.Event()

    def __enter__(self):
        self.seen, self.since = None, time.monotonic()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            while not self._take():
                self._wait()
        except OSError as error:
            raise write_error(self.folder, error) from error
        _held.add(self.token)
        self.thread = threading.Thread(target=self._beat, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.ended.set()
        self.thread.join()  # or it would write the file again
        _held.discard(self.token)
        if self._is_mine():
            with suppress(OSError):
                self.file.unlink()

    def check(self):
        """Raise OSError if another process has taken the folder over."""
        try:
            is_mine = self.token in self.file.read_text()
        except FileNotFoundError:
            is_mine = False
        except OSError:  # for a moment, as on a network folder
            return
        if not is_mine:
            raise OSError(
                f"another process has taken over {shown(self.folder)}, or the folder was deleted: "
                "this training has stopped, so that its files stay whole. Call train again"
            )

    def _take(self):
        """Create the file; returns whether it did not exist."""
        try:
            with open(self.file, "x") as file:
                file.write(self._content(0))
        except FileExistsError:
            return False
        return True

    def _content(self, beats):
        owner = {"token": self.token, "computer": computer(), "pid": os.getpid()}
        started = psutil.Process().create_time()
        return json.dumps(owner | {"started": started, "beats": beats})

    def _beat(self):
        beats, new = 0, self.file.with_name(f"{self.token}.lock")
        while not self.ended.wait(BEAT):
            beats += 1
            with suppress(OSError):  # Windows refuses while another process reads it
                if self._is_mine():
                    new.write_text(self._content(beats))
                    os.replace(new, self.file)

    def _is_mine(self):
        return self.token in (self._read() or "")

    def _read(self):
        with suppress(OSError):
            return self.file.read_text()
        return None

    def _wait(self):
        """Wait a second, or take the file away from a process that has ended."""
        content = self._read()
        if content is None:
            return
        owner = _owner(content)
        if content != self.seen:
            if self.seen is None and not has_ended(owner):
                name = f"process {owner['pid']} on {owner['computer'].split()[0]}"
                print(f"{shown(self.folder)} is being trained by {name}: waiting for it.")
            self.seen, self.since = content, time.monotonic()
        if has_ended(owner) or time.monotonic() - self.since > SILENCE:
            self._remove(content)
        else:
            time.sleep(1)

    def _remove(self, content):
        """Remove the file, unless another process has taken it over by now."""
        old = self.file.with_name(f"{self.token}.old")
        with suppress(FileNotFoundError):
            os.replace(self.file, old)
            if old.read_text() != content:
                os.replace(old, self.file)
            old.unlink(missing_ok=True)


def computer():
    """A text that identifies this computer, or this container."""
    parts = [platform.node(), hex(uuid.getnode())]
    with suppress(OSError):  # of Linux: two containers may have the same name
        parts += [os.readlink("/proc/self/ns/pid")]
    return " ".join(parts)


def _owner(content):
    """What a lock file says of its process."""
    unknown = {"token": "", "computer": "unknown", "pid": 0, "started": 0}
    with suppress(ValueError, TypeError):
        return unknown | json.loads(content)
    return unknown


def has_ended(owner):
    """Whether a lock's process has ended; False if it is another computer's."""
    if owner["computer"] != computer():
        return False
    if owner["pid"] == os.getpid():
        return owner["token"] not in _held
    try:
        process = psutil.Process(owner["pid"])
        is_other = process.create_time() != owner["started"]
        return is_other or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False
