"""A process that runs one submission, and its limits. Without a container, nothing isolates it."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ENDED = "it ended its process"
PAUSE = 0.2  # seconds between two looks at the limits
PACKAGE = Path(__file__).parents[1]
# Environment variables of the process.
SETTINGS = {
    "LANG": "C.UTF-8",
    "MPLBACKEND": "agg",
    "PIP_NO_INDEX": "1",  # fail at once, as there is no network
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "LABKIT_PROFILE": "smoke",
    "LABKIT_DATA": "synthetic",
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    **dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "2"),
}


@dataclass(frozen=True)
class Limits:
    """Limits on the resources of one submission.

    Attributes:
        seconds: wall-clock time.
        cpu_seconds: CPU time of all its processes, which does not depend on the machine's load.
        idle: seconds in which it computes for less than a hundredth of them.
        memory: bytes of all its processes together, without files in memory.
        threads: number at the same time, of all its processes.
        disk: bytes each in its folder, in shared memory and in one file.
    """

    seconds: float = 900
    cpu_seconds: float = 240
    idle: float = 120
    memory: int = 4 * 1024**3
    threads: int = 512
    disk: int = 256 * 1024**2


class Process:
    """A running Python module, for trusted code: of the limits, only ``seconds`` holds.

    ``ended`` says why it was stopped, or is None.

    Args:
        module: name of the module.
        limits: ``Limits``.
    """

    running = set()  # all of them, so that an interrupted grader can end them
    asked = False  # whether the grader waits for it, or it for the grader

    def __init__(self, module, limits=Limits()):
        self.limits, self.ended, self.started = limits, None, time.monotonic()
        self.process = self.start(module)
        self.running.add(self)
        threading.Thread(target=self.watch, daemon=True).start()

    def start(self, module):
        """The process, with pipes for its input and output."""
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        own = dict.fromkeys(("HOME", "TMPDIR"), self.folder.name) | {"PYTHONPATH": PACKAGE.parent}
        environment = os.environ | SETTINGS | own
        return popen([sys.executable, "-m", module], cwd=self.folder.name, env=environment)

    def watch(self):
        """End the process when it exceeds a limit, or when that can't be seen."""
        while self.process.poll() is None:
            try:
                reason = self.over()
            except Exception as error:  # otherwise the thread would end and leave it unwatched
                reason = f"could not be watched: {type(error).__name__}"
            if reason:
                self.end(reason)
                return
            time.sleep(PAUSE)

    def over(self):
        """A text on the limit that is exceeded, or None."""
        if time.monotonic() - self.started > self.limits.seconds:
            return f"took longer than {self.limits.seconds:g} s"
        return None

    def end(self, why=None):
        """End the process and all that it started."""
        self.ended = self.ended or why
        self.kill()
        self.process.wait()
        self.folder.cleanup()
        self.running.discard(self)

    @classmethod
    def end_all(cls):
        """End every process that runs."""
        for process in tuple(cls.running):
            process.end("the grader was interrupted")

    def kill(self):
        if self.process.poll() is None:  # else its number may be another process's by now
            if hasattr(os, "killpg"):  # not on Windows
                with suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()


def popen(command, **options):
    """A command with pipes, which Ctrl+C does not reach: the grader gets it, and cleans up."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, start_new_session=True, **pipes, **options)
