"""A sandbox for untrusted code: no network, one private folder, limits on all resources.

On Linux it uses bubblewrap; ``container`` has an alternative for other systems. The code sees the
system's libraries, this Python and ``labkit``, all read-only, and a private folder in memory, but
no home folder, other submissions or hidden checks. Its resources are monitored from outside: code
that exceeds a limit is killed with all processes it started.
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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

try:
    import resource
except ImportError:  # Windows, where only ``Limits`` is used
    resource = None

PRIVATE = "/private"  # the private folder inside the sandbox
NOBODY = 65534
THREADS = 512  # of all submissions together: stops a fork bomb until it is noticed
FILES = 256  # open files per process: buffers of pipes and sockets are uncounted memory


@dataclass(frozen=True)
class Limits:
    """Limits on the resources of one submission.

    Attributes:
        cpu_seconds: CPU time of all its processes, which does not depend on the machine's load.
        seconds: wall-clock time, for submissions that only wait.
        memory: bytes of all its processes together, without files in memory.
        processes: number at the same time, without threads.
        disk: bytes each in its folder, in shared memory and in one file.
    """

    cpu_seconds: float = 240
    seconds: float = 900
    memory: int = 4 * 1024**3
    processes: int = 32
    disk: int = 256 * 1024**2


# By processor, from the kernel's tables: the audit architecture, the number of the system call
# clone, and the numbers of the refused calls. memfd_create, memfd_secret, shmget, semget and msgget
# make memory that belongs to no process. unshare, setns and clone3 can enter a user namespace, in
# which the code would be root and could mount; without clone3 the C library uses clone.
CALLS = {
    "x86_64": (0xC000003E, 56, (319, 447, 29, 64, 68, 272, 308, 435)),
    "aarch64": (0xC00000B7, 220, (279, 447, 194, 190, 186, 97, 268, 435)),
}
NEW_USER = 0x10000000  # CLONE_NEWUSER, the flag of clone for a user namespace
# Environment variables of the code in every kind of sandbox.
SETTINGS = {
    "HOME": PRIVATE,
    "TMPDIR": PRIVATE,
    "LANG": "C.UTF-8",
    "MPLBACKEND": "agg",
    "PIP_NO_INDEX": "1",  # fail at once, as there is no network
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "LABKIT_PROFILE": "smoke",
    "LABKIT_DATA": "synthetic",
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    **dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "2"),
}


class Unsafe(OSError):
    """Raised if code can't be isolated on this machine."""


def check():
    """Raise ``Unsafe`` with a remedy unless bubblewrap can isolate on this machine."""
    if shutil.which("bwrap") is None:
        raise Unsafe("bubblewrap is not here (Debian and Ubuntu: apt install bubblewrap)")
    with refused_calls() as fd:
        command = [*isolation(Limits(), fd), "/usr/bin/env", "true"]
        result = subprocess.run(command, capture_output=True, text=True, pass_fds=(fd,))
    if result.returncode:
        raise Unsafe(f"bubblewrap can't isolate here: {result.stderr.strip()}")


@contextmanager
def refused_calls():
    """The descriptor of an open file with the system call filter (seccomp) for bubblewrap.

    Inside, ``CALLS`` and a clone with ``NEW_USER`` fail as if the kernel did not have them, because
    what they make is invisible from outside. On other processors all calls pass.
    """
    load, equal, above, some, answer = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF instructions
    passes, fails = (answer, 0, 0, 0x7FFF0000), (answer, 0, 0, 0x00050000 | errno.ENOSYS)

    def refuse(test, value):
        return [(test, 0, 1, value), fails]  # steps to skip if the test is true, and if false

    steps = []
    if platform.machine() in CALLS:
        processor, clone, calls = CALLS[platform.machine()]
        steps = [(load, 0, 0, 4), (equal, 1, 0, processor), fails]
        steps += [(load, 0, 0, 0), *refuse(above, 0x40000000)]  # the x32 ABI has other numbers
        for call in calls:
            steps += refuse(equal, call)
        steps += [(equal, 0, 3, clone), (load, 0, 0, 16), *refuse(some, NEW_USER)]
    steps.append(passes)
    with tempfile.TemporaryFile() as file:
        file.write(b"".join(struct.pack("HBBI", *step) for step in steps))
        file.seek(0)
        yield file.fileno()


def isolation(limits, fd):
    """The bubblewrap command that another command follows to run isolated.

    Args:
        limits: ``Limits``.
        fd: descriptor of the filter, see ``refused_calls``.
    """
    shown = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache"]
    shown += ["/etc/fonts", "/etc/localtime", "/etc/alternatives"]
    shown += [sys.prefix, sys.base_prefix, str(Path(__file__).parents[1])]
    parents = {str(parent) for path in shown for parent in Path(path).parents} - {"/", *shown}
    binds = []
    for path in sorted(parents, key=len):  # with bubblewrap's defaults, NOBODY has no access
        binds += ["--perms", "0755", "--dir", path]
    for path in dict.fromkeys(shown):
        binds += ["--ro-bind-try", path, path]
    settings = SETTINGS | {
        "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    words = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]
    if root := os.geteuid() == 0:  # thread limits do not apply to root: run as nobody
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
    """A running Python module in the sandbox. ``ended`` says why it was killed, or is None."""

    own = 2  # processes of bubblewrap itself
    pause = 0.1  # seconds between two checks of the limits

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
        """Kill the process when it exceeds a limit, or when that can't be checked."""
        while self.process.poll() is None:
            try:
                reason = self.over()
            except Exception as error:  # otherwise the thread would end and leave it unwatched
                reason = self.ended = f"could not be watched: {type(error).__name__}"
                self.kill()  # first, since listing its child processes may fail as well
            if reason:
                self.end(reason)
                return
            time.sleep(self.pause)

    def over(self):
        """A text on the limit that is exceeded, or None."""
        if time.monotonic() - self.started > self.limits.seconds:
            return f"took longer than {self.limits.seconds:g} s"
        processes, seconds, memory_used = self.used()
        if seconds > self.limits.cpu_seconds:
            return f"computed for longer than {self.limits.cpu_seconds:g} s"
        if processes > self.limits.processes:
            return f"started more than {self.limits.processes} processes"
        if memory_used > self.limits.memory:
            return f"took more than {self.limits.memory / 1024**3:.1f} GB of memory"
        return None

    def used(self):
        """Number of processes, CPU seconds and bytes of memory in the sandbox."""
        tree = family(self.process.pid)
        return len(tree) - self.own, sum(map(cpu_seconds, tree)), sum(map(memory, tree))

    def end(self, why=None):
        """Kill all processes: the death of a PID namespace's first process ends the others."""
        self.ended = self.ended or why
        if self.process.poll() is not None:  # its number may be another process's by now
            return
        for pid in reversed(family(self.process.pid)[1:]):
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        self.kill()
        self.process.wait()

    def kill(self):
        """Kill bubblewrap and with it all processes inside.

        Also its process group: just after the start, its child would not die with it yet.
        """
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()


def lower(limits):
    """Set the kernel's limits: no core dumps, huge files, or floods of files or threads."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.disk, limits.disk))
    if os.geteuid() == 0:  # another user's own programs count too
        resource.setrlimit(resource.RLIMIT_NPROC, (THREADS, THREADS))
    os.nice(5)  # the grader has priority


def family(pid):
    """Ids of a process and all its descendants; without ``/proc``, of the process alone."""
    children = {}
    for entry in Path("/proc").glob("*"):  # empty without such a folder
        if entry.name.isdigit() and (parent := parent_of(entry.name)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    pids = [pid]
    for parent in pids:  # grows while it is read
        pids += children.get(parent, [])
    return pids


def read_proc(pid, file):
    """A file of a process in ``/proc``, b"" if it has ended. Process names can be any bytes."""
    try:
        return (Path("/proc") / str(pid) / file).read_bytes()
    except OSError:
        return b""


def stat(pid):
    """Fields of ``/proc/PID/stat`` after the name, from the state on; none if it has ended."""
    return read_proc(pid, "stat").rpartition(b")")[2].split()


def parent_of(pid):
    fields = stat(pid)
    return int(fields[1]) if fields else None


def cpu_seconds(pid):
    """CPU seconds of a process and its ended children."""
    fields = stat(pid)
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def memory(pid):
    """Bytes of private and shared memory of a process, without files.

    Page tables count, because reading untouched memory makes them grow.
    """
    fields = (b"RssAnon:", b"RssShmem:", b"VmPTE:")
    lines = read_proc(pid, "status").split(b"\n")  # names may contain all other line ends
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(fields))
