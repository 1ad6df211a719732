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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

try:
    import resource
except ImportError:  # Windows, which imports this file for its ``Limits``
    resource = None

PRIVATE = "/private"  # the folder inside
NOBODY = 65534
THREADS = 512  # of nobody, all submissions together: what holds a bomb until it is found
FILES = 256  # open in one process: what waits in pipes and sockets is memory that nobody counts


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    Attributes:
        cpu_seconds: of computing in all its processes, so that a busy machine costs no result.
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


# Numbers by processor, from the kernel's tables: what the processor is called in a filter; the call
# clone; and the calls that are refused. memfd_create, memfd_secret, shmget, semget and msgget make
# memory that belongs to no process. unshare, setns and clone3 lead into a space of one's own, where
# nobody is root and mounts what he likes; for clone3 the C library takes clone.
CALLS = {
    "x86_64": (0xC000003E, 56, (319, 447, 29, 64, 68, 272, 308, 435)),
    "aarch64": (0xC00000B7, 220, (279, 447, 194, 190, 186, 97, 268, 435)),
}
NEW_USER = 0x10000000  # among the flags of clone: such a space
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

    ``CALLS`` fail inside as if the kernel had none of them, and so does a clone with ``NEW_USER``:
    what they make could not be seen from outside. On other processors all calls pass.
    """
    load, equal, above, some, answer = 0x20, 0x15, 0x35, 0x45, 0x06  # what a kernel's filter can do
    passes, fails = (answer, 0, 0, 0x7FFF0000), (answer, 0, 0, 0x00050000 | errno.ENOSYS)

    def refuse(test, value):
        return [(test, 0, 1, value), fails]  # numbers of steps to pass over: if it holds, if not

    steps = []
    if platform.machine() in CALLS:
        processor, clone, calls = CALLS[platform.machine()]
        steps = [(load, 0, 0, 4), (equal, 1, 0, processor), fails]
        steps += [(load, 0, 0, 0), *refuse(above, 0x40000000)]  # another table of numbers
        for call in calls:
            steps += refuse(equal, call)
        steps += [(equal, 0, 3, clone), (load, 0, 0, 16), *refuse(some, NEW_USER)]
    steps.append(passes)
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
        """End the command when it is over a limit, or when it can't be told whether it is."""
        while self.process.poll() is None:
            try:
                found = self.over()
            except Exception as error:  # no thread may end here and leave a submission unwatched
                found = self.ended = f"could not be watched: {type(error).__name__}"
                self.kill()  # at once: to find what it started may fail as well
            if found:
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
        self.kill()
        self.process.wait()

    def kill(self):
        """Kill bubblewrap, and with it all inside.

        Its group too: in its first moments it has a child that would not yet go with it.
        """
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()


def lower(limits):
    """Limits that the kernel keeps: no memory dumps, no huge file, no flood of files or threads."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
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


def read_proc(pid, file):
    """What the system tells of a process, b"" if it has ended. Its name can be any bytes."""
    try:
        return (Path("/proc") / str(pid) / file).read_bytes()
    except OSError:
        return b""


def stat(pid):
    """Fields of a process behind its name, from its state on; none if it has ended."""
    return read_proc(pid, "stat").rpartition(b")")[2].split()


def parent_of(pid):
    found = stat(pid)
    return int(found[1]) if found else None


def cpu_seconds(pid):
    """Seconds that a process and its ended children have computed."""
    found = stat(pid)
    return sum(map(int, found[11:15])) / os.sysconf("SC_CLK_TCK") if found else 0.0


def memory(pid):
    """Bytes of memory that a process has of its own or shares with its family, files apart.

    The kernel's tables of a process's pages count: they grow where nothing but zeros is read.
    """
    counted = (b"RssAnon:", b"RssShmem:", b"VmPTE:")
    lines = read_proc(pid, "status").split(b"\n")  # a name may hold any other end of a line
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(counted))
