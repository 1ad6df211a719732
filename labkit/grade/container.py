"""A container for each submission: no network, one private folder, limits on all resources.

Podman or Docker isolates the code, with the engine's own filter of system calls. With Podman the
container has no image: it sees this machine's libraries, this Python and ``labkit``, all read-only.
Docker gets an image with the packages that ``labkit`` needs, in the installed versions.
"""

import hashlib
import itertools
import random
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from labkit.grade.process import ENDED, PACKAGE, SETTINGS, Limits, Process, popen

LABEL = "labkit-grade"
PRIVATE = "/private"  # the private folder inside
KILLED = 128 + 9  # the exit status of a shell whose command was killed
# Engines pass these on, which may contain a password.
PROXIES = [f"{name}_proxy" for name in ("http", "https", "ftp", "no", "all")]
PROXIES += [name.upper() for name in PROXIES]
FILES = 256  # open files of a process
# What a trial container does, and its memory. With what ``command`` adds for files in memory, it is
# more than labkit needs, and less than the trial takes.
MEMORY = 256 * 1024**2
TRIAL = """
from labkit.grade.worker import Work
Work()
print("works", flush=True)
taken = [b"x" * 2**20 for _ in range(2**10)]
print("exceeded")
"""
# In the order of preference. The second is for machines whose control groups are of both versions.
ENGINES = (
    ("podman",),
    ("podman", "--runtime=runc", "--cgroup-manager=cgroupfs"),
    ("docker",),
)
# Each container has a user of its own, because the kernel keeps some things by user: keys, locks.
USERS = itertools.cycle(random.sample(range(10_000, 60_000), 50_000))
# Outlives the module, which thus is not the container's first process: that one ignores signals.
INIT = ["/bin/sh", "-c", '"$@"; exit $?', "sh"]


class Unsafe(OSError):
    """Raised if code can't be isolated on this machine."""


# --- the engine ----------------------------------------------------------------------------------


def select_backend(no_container=False):
    """A class to run submissions with: ``Container`` with the first engine that works here.

    Args:
        no_container: return ``Process`` if no engine works.

    Raises:
        Unsafe: if no engine works; the text has the remedies.
    """
    reasons = []
    for engine in ENGINES:
        try:
            check(engine)
            return type("Container", (Container,), {"engine": engine})
        except Unsafe as reason:
            reasons.append(f"{' '.join(engine)}: {reason}")
    if no_container:
        return Process
    raise Unsafe(
        f"a submission could read and change your files. {'; '.join(reasons)}. Install Podman "
        "(Debian and Ubuntu: apt install podman) or Docker (docs.docker.com/get-docker). If you "
        "know every line of the notebooks: --no-container"
    )


def check(engine):
    """Raise ``Unsafe`` unless code can run in a container, and its memory is limited.

    Makes Docker's image if needed.
    """
    if shutil.which(engine[0]) is None:
        raise Unsafe("it is not installed")
    if has_image(engine):
        make_image(engine)
    # Stopped containers remain if a grader is killed. Young ones may be another grader's.
    old = ("--filter", f"label={LABEL}", "--filter", "until=1h")
    call(engine, "container", "prune", "--force", *old)
    name = new_name()
    with new_root() as folder:
        words = command(engine, name, Limits(memory=MEMORY), folder, "-c", TRIAL)
        result = call(*words, cwd=folder)  # where Podman's monitor writes a file "oom"
        call(engine, "rm", "--force", name)
    if "works" not in result.stdout:
        raise Unsafe(f"it can't isolate here: {result.stderr.strip()}")
    if "exceeded" in result.stdout:  # such as Podman without root, with control groups of version 1
        raise Unsafe(f"it does not limit memory here. {result.stderr.strip()}".strip())


def call(engine, *words, **options):
    """The result of a command of the engine, with its output as text; Ctrl+C does not reach it."""
    options |= {"capture_output": True, "text": True, "start_new_session": True}
    return subprocess.run([*engine, *words], **options)


def command(engine, name, limits, folder, *arguments):
    """The words that run Python with arguments in a new container.

    Args:
        engine: one of ``ENGINES``.
        name: of the container.
        limits: ``Limits``.
        folder: an empty one, in which Podman mounts what the container sees.
        *arguments: of Python.
    """
    words = ["run", "--interactive", "--name", name, "--label", LABEL, "--stop-timeout", "0"]
    words += ["--log-driver", "none"]  # else its output would fill this machine's disk
    words += ["--network", "none", "--read-only", "--cap-drop", "ALL", "--ipc", "private"]
    words += ["--security-opt", "no-new-privileges", "--user", str(next(USERS))]
    memory = str(limits.memory + 2 * limits.disk)  # files in memory count
    words += ["--memory", memory, "--memory-swap", memory, "--pids-limit", str(limits.threads)]
    ulimits = {"core": 0, "nofile": FILES, "fsize": limits.disk, "nproc": limits.threads}
    ulimits["cpu"] = round(limits.cpu_seconds) + 1  # of each process; ``over`` adds them up
    for kind, value in ulimits.items():
        words += ["--ulimit", f"{kind}={value}:{value}"]
    words += ["--shm-size", str(limits.disk), "--workdir", PRIVATE]
    words += ["--tmpfs", f"{PRIVATE}:size={limits.disk},mode=1777"]
    words += ["--cpu-shares", "512"]  # the grader has priority
    image = has_image(engine)
    settings = SETTINGS | dict.fromkeys(("HOME", "TMPDIR"), PRIVATE) | dict.fromkeys(PROXIES, "")
    settings["PYTHONPATH"] = "/course" if image else str(PACKAGE.parent)
    for key, value in settings.items():
        words += ["--env", f"{key}={value}"]
    if image:
        words += ["--volume", f"{PACKAGE}:/course/labkit:ro", image_name(), *INIT, "python"]
    else:
        words += [*mounts(), "--read-only-tmpfs=false", "--rootfs", folder, *INIT, sys.executable]
    return engine, *words, *arguments


def mounts():
    """The options for what a container without an image sees of this machine."""
    shown = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache"]
    shown += ["/etc/fonts", "/etc/localtime", "/etc/alternatives"]
    shown += [sys.prefix, sys.base_prefix, str(PACKAGE)]
    there = dict.fromkeys(path for path in shown if Path(path).exists())
    return [word for path in there for word in ("--volume", f"{path}:{path}:ro")]


def new_root():
    """A temporary folder that every user may enter, for Podman to mount into."""
    folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    Path(folder.name).chmod(0o755)
    return folder


def new_name():
    """A unique name for a container."""
    return f"{LABEL}-{uuid.uuid4().hex}"


# --- Docker's image ------------------------------------------------------------------------------


def has_image(engine):
    """Whether an engine needs an image."""
    return engine[0] == "docker"


def make_image(engine):
    """Make the image if it is not here; raises ``Unsafe`` with the end of the log."""
    if (result := call(engine, "info")).returncode:
        raise Unsafe(f"it does not run: {result.stderr.strip()}")
    if call(engine, "image", "inspect", image_name()).returncode == 0:
        return
    print("Making an image for Docker, once: some minutes.", file=sys.stderr)
    result = call(engine, "build", "--tag", image_name(), "-", input=dockerfile())
    if result.returncode:
        log = "\n".join((result.stdout + result.stderr).splitlines()[-5:])
        raise Unsafe(f"it can't make the image:\n{log}")


def image_name():
    """The image's name, with a hash of the Dockerfile."""
    return f"{LABEL}:{hashlib.sha256(dockerfile().encode()).hexdigest()[:12]}"


def dockerfile():
    """The text of the Dockerfile."""
    version = ".".join(map(str, sys.version_info[:2]))
    return (
        f"FROM python:{version}-slim\n"
        f"RUN pip install --no-cache-dir {' '.join(pins())}\n"
        # Else Docker makes this folder, in which only root may write, and the tmpfs takes its mode.
        f"RUN mkdir --mode 1777 {PRIVATE}\n"
    )


def pins():
    """The installed versions of labkit's dependencies: "keras==3.15.1", ..."""
    requirements = map(Requirement, metadata.requires("labkit"))
    return [
        pin(requirement.name)
        for requirement in requirements
        if not requirement.marker or requirement.marker.evaluate({"extra": ""})
    ]


def pin(name):
    """A package with its installed version; for TensorFlow, possibly the CPU build."""
    try:
        return f"{name}=={metadata.version(name)}"
    except metadata.PackageNotFoundError:
        if name != "tensorflow":
            raise
        return pin("tensorflow-cpu")


# --- a container ---------------------------------------------------------------------------------


class Container(Process):
    """A ``Process`` in a container, where all limits hold."""

    engine = ENGINES[0]

    def start(self, module):
        self.name, self.group = new_name(), None
        self.computed, self.active = 0.0, self.started  # CPU seconds, and when they last grew
        self.folder = new_root()
        engine, *words = command(
            self.engine, self.name, self.limits, self.folder.name, "-m", module
        )
        return popen([*engine, *words], cwd=self.folder.name)  # as in ``check``

    def over(self):
        now, computed = time.monotonic(), self.cpu_seconds()
        if computed is not None:
            if computed > self.limits.cpu_seconds:
                return f"computed for longer than {self.limits.cpu_seconds:g} s"
            if not self.asked or computed > self.computed + 0.01 * (now - self.active) + 0.01:
                self.computed, self.active = computed, now
            if now - self.active > self.limits.idle:
                return f"waited for {self.limits.idle:g} s without computing"
        return super().over()

    def cpu_seconds(self):
        """CPU time of the container, or None where its control group can't be seen, as on a Mac."""
        if self.group is None:
            shown = call(self.engine, "inspect", "--format", "{{.State.Pid}}", self.name)
            self.group = control_group(shown.stdout.strip())
        return self.group and group_cpu_seconds(self.group)

    def end(self, why=None):
        if why == ENDED and self.status() == KILLED:
            most = f"{self.limits.memory / 1024**3:.1f} GB"
            why = f"{ENDED}: it was killed, by itself or because it took more than {most} of memory"
        super().end(why)

    def status(self):
        """The exit status of a container that has ended, or None."""
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(timeout=5)

    def kill(self):
        with suppress(subprocess.TimeoutExpired):  # an engine that hangs does not stop the class
            call(self.engine, "rm", "--force", self.name, timeout=60)
        super().kill()  # the engine's command may still write what nobody reads


def control_group(pid):
    """The folder of a process's control group, None if there is none or it can't be seen."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    groups = {names: path for _, names, path in (line.split(":", 2) for line in lines)}
    version_1 = next((names for names in groups if "cpuacct" in names.split(",")), None)
    path = groups[version_1 or ""]
    if path == "/":  # of a process that has ended, or of another namespace
        return None
    return Path("/sys/fs/cgroup/cpuacct" if version_1 else "/sys/fs/cgroup") / path.lstrip("/")


def group_cpu_seconds(folder):
    """CPU time of a control group, in version 1 or 2; None if the group is gone."""
    try:
        if (folder / "cpuacct.usage").exists():
            return int((folder / "cpuacct.usage").read_text()) / 1e9
        words = (folder / "cpu.stat").read_text().split()
        return int(words[words.index("usage_usec") + 1]) / 1e6
    except OSError:
        return None
