"""A place where a stranger's code can do no harm: no network, one folder, limits on all it uses.

On Linux bubblewrap makes it; ``container`` has another for where there is none. The code sees the
system's libraries, this Python and ``labkit``, all read-only, and a private folder in memory; no
home, no other submission, no hidden check. What it uses is watched from outside: whoever takes too
much time, memory or too many processes is ended with everything that it started.
"""

import errno
import os
import platform
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

try:
    import resource
except ImportError:  # Windows, which imports this file for its ``Limits``
    resource = None

PRIVATE = "/private"  # the folder inside
NOBODY = 65534
THREADS = 512  # of nobody, all submissions together: what holds a bomb until it is found


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    Attributes:
        cpu_seconds: of computing in all its processes, so that a busy machine costs no marks.
        seconds: from its start to its end, for those that only wait.
        memory: bytes in all its processes together, files in memory not counted.
        processes: at the same time, threads not counted.
        disk: bytes in its folder, in shared memory, and in one file.
    """

    cpu_seconds: float = 240
    seconds: float = 900
    memory: int = 4 * 1024**3
    processes: int = 32
    disk: int = 256 * 1024**2


# Numbers by processor, from the kernel's tables: what the processor is called in a filter, and the
# calls memfd_create, memfd_secret and shmget, which make memory that belongs to no process.
CALLS = {"x86_64": (0xC000003E, (319, 447, 29)), "aarch64": (0xC00000B7, (279, 447, 194))}
# What the code finds in its environment, wherever it runs.
SETTINGS = {
    "HOME": PRIVATE,
    "TMPDIR": PRIVATE,
    "LANG": "C.UTF-8",
    "MPLBACKEND": "agg",
    "PIP_NO_INDEX": "1",  # fails at once, where there is no network anyway
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "LABKIT_PROFILE": "smoke",
    "LABKIT_DATA": "synthetic",
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    **dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "2"),
}


class Unsafe(OSError):
    """There is nothing to isolate with."""


def check():
    """Raise ``Unsafe``, with the remedy, unless bubblewrap can isolate here."""
    if shutil.which("bwrap") is None:
        raise Unsafe("bubblewrap is not here (Debian and Ubuntu: apt install bubblewrap)")
    with refused_calls() as fd:
        try_out = [*isolation(Limits(), fd), "/usr/bin/env", "true"]
        done = subprocess.run(try_out, capture_output=True, text=True, pass_fds=(fd,))
    if done.returncode:
        raise Unsafe(f"bubblewrap can't isolate here: {done.stderr.strip()}")


@contextmanager
def refused_calls():
    """An open file with the filter of system calls for bubblewrap.

    ``CALLS`` fail inside as if the kernel had none of them; memory that they made could not be seen
    from outside. On other processors all calls pass.
    """
    load, equal, above, answer = 0x20, 0x15, 0x35, 0x06  # operations of the kernel's filters
    passes, fails = (answer, 0, 0, 0x7FFF0000), (answer, 0, 0, 0x00050000 | errno.ENOSYS)
    steps = [passes]
    if platform.machine() in CALLS:
        processor, calls = CALLS[platform.machine()]
        left = len(calls) + 1  # steps behind these up to the one that fails
        steps = [(load, 0, 0, 4), (equal, 0, left + 2, processor)]
        steps += [(load, 0, 0, 0), (above, left, 0, 0x40000000)]  # another table of numbers
        steps += [(equal, left - n - 1, 0, call) for n, call in enumerate(calls)]
        steps += [passes, fails]
    with tempfile.TemporaryFile() as file:
        file.write(b"".join(struct.pack("HBBI", *step) for step in steps))
        file.seek(0)
        yield file.fileno()


def isolation(limits, fd):
    """The command before the command: what bubblewrap shows to the code inside.

    Args:
        limits: ``Limits``.
        fd: of the filter, see ``refused_calls``.
    """
    shown = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache"]
    shown += ["/etc/fonts", "/etc/localtime", "/etc/alternatives"]
    shown += [sys.prefix, sys.base_prefix, str(Path(__file__).parents[1])]
    parents = {str(parent) for path in shown for parent in Path(path).parents} - {"/", *shown}
    binds = []
    for path in sorted(parents, key=len):  # as bubblewrap makes them, nobody could pass
        binds += ["--perms", "0755", "--dir", path]
    for path in dict.fromkeys(shown):
        binds += ["--ro-bind-try", path, path]
    settings = SETTINGS | {
        "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    words = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]
    if root := os.geteuid() == 0:  # root has no limit of threads, so the code runs as nobody
        words[1:2] = [f"--unshare-{name}" for name in ("ipc", "pid", "net", "uts", "cgroup-try")]
    for name, value in settings.items():
        words += ["--setenv", name, value]
    words += [*binds, "--proc", "/proc", "--dev", "/dev"]
    for folder in ("/dev/shm", PRIVATE):
        words += ["--perms", "0777", "--size", str(limits.disk), "--tmpfs", folder]
    words += ["--seccomp", str(fd), "--chdir", PRIVATE, "--remount-ro", "/dev", "--remount-ro", "/"]
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    drop += ["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
    return words + drop if root else words


class Sandbox:
    """A running Python module inside. ``ended`` says why it was ended, if it was."""

    own = 2  # processes that bubblewrap needs itself
    pause = 0.1  # seconds between two looks at what it uses

    def __init__(self, module, limits=Limits()):
        self.limits, self.ended = limits, None
        self.process = self.start(module)
        self.started = time.monotonic()
        threading.Thread(target=self.watch, daemon=True).start()

    def start(self, module):
        """The process, with pipes for its input and output."""
        with refused_calls() as fd:
            return subprocess.Popen(
                [*isolation(self.limits, fd), sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=(fd,),
                preexec_fn=lambda: lower(self.limits),
            )

    def watch(self):
        """End the command when it is over a limit."""
        while self.process.poll() is None:
            if found := self.over():
                self.end(found)
                return
            time.sleep(self.pause)

    def over(self):
        """Which limit is broken, in words, or None."""
        if time.monotonic() - self.started > self.limits.seconds:
            return f"took longer than {self.limits.seconds:g} s"
        processes, seconds, held = self.used()
        if seconds > self.limits.cpu_seconds:
            return f"computed for longer than {self.limits.cpu_seconds:g} s"
        if processes > self.limits.processes:
            return f"started more than {self.limits.processes} processes"
        if held > self.limits.memory:
            return f"took more than {self.limits.memory / 1024**3:.1f} GB of memory"
        return None

    def used(self):
        """Processes, seconds of computing and bytes of memory of all that runs inside."""
        tree = family(self.process.pid)
        return len(tree) - self.own, sum(map(cpu_seconds, tree)), sum(map(memory, tree))

    def end(self, why=None):
        """Kill all that runs inside: with the first process of its own space, the others go."""
        self.ended = self.ended or why
        if self.process.poll() is not None:  # its number may be another process's by now
            return
        for pid in reversed(family(self.process.pid)[1:]):
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        self.process.kill()
        self.process.wait()


def lower(limits):
    """Limits that the kernel keeps: no memory dumps, no huge file, no flood of threads."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.disk, limits.disk))
    if os.geteuid() == 0:  # another user's own programs count too
        resource.setrlimit(resource.RLIMIT_NPROC, (THREADS, THREADS))
    os.nice(5)  # whoever watches comes first


def family(pid):
    """A process and all below it, as far as the system tells."""
    children = {}
    for entry in Path("/proc").glob("*"):  # nothing where there is no such folder
        if entry.name.isdigit() and (parent := parent_of(entry.name)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def stat(pid):
    """Fields of a process behind its name, from its state on; none if it has ended."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def parent_of(pid):
    found = stat(pid)
    return int(found[1]) if found else None


def cpu_seconds(pid):
    """Seconds that a process and its ended children have computed."""
    found = stat(pid)
    return sum(map(int, found[11:15])) / os.sysconf("SC_CLK_TCK") if found else 0.0


def memory(pid):
    """Bytes of memory that a process has of its own or shares with its family, files apart."""
    try:
        lines = (Path("/proc") / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    kept = [line.split() for line in lines if line.startswith(("RssAnon:", "RssShmem:"))]
    return 1024 * sum(int(fields[1]) for fields in kept)
