"""The sandbox on machines without bubblewrap, such as a Mac: one Docker container per submission.

The image contains the packages that ``labkit`` needs, in the installed versions. ``labkit`` itself
is mounted read-only, and nothing else of this machine.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import uuid
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from labkit.grade.sandbox import (
    FILES,
    NOBODY,
    PRIVATE,
    SETTINGS,
    THREADS,
    Limits,
    Sandbox,
    Unsafe,
)

LABEL = "labkit-grade"


def check():
    """Raise ``Unsafe`` with a remedy unless Docker can isolate; build the image if needed."""
    if shutil.which("docker") is None:
        raise Unsafe("Docker is not here (docs.docker.com/get-docker)")
    if (result := docker("info")).returncode:
        raise Unsafe(f"Docker does not run: {result.stderr.strip()}")
    # Stopped containers remain if a grader is killed.
    docker("container", "prune", "--force", "--filter", f"label={LABEL}")
    if not image_is_here():
        print("Making an image for Docker, once: some minutes.", file=sys.stderr)
        result = docker("build", "--tag", image(), "-", input=dockerfile())
        if result.returncode:
            log = "\n".join((result.stdout + result.stderr).splitlines()[-5:])
            raise Unsafe(f"Docker can't make the image:\n{log}")
    try_out()


def try_out():
    """Raise ``Unsafe`` unless a container can import labkit; else every submission would fail."""
    name = new_name()
    command = [
        *isolation(name, Limits())[1:],
        image(),
        "python",
        "-c",
        "import labkit.grade.worker",
    ]
    result = docker(*command)
    docker("rm", "--force", name)
    if result.returncode:
        raise Unsafe(f"Docker can't isolate here: {result.stderr.strip()}")


def image_is_here():
    return docker("image", "inspect", image()).returncode == 0


def docker(*arguments, **options):
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, **options)


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


def dockerfile():
    """The text of the Dockerfile."""
    version = ".".join(map(str, sys.version_info[:2]))
    return f"FROM python:{version}-slim\nRUN pip install --no-cache-dir {' '.join(pins())}\n"


def image():
    """The image's name, with a hash of the Dockerfile."""
    return f"{LABEL}:{hashlib.sha256(dockerfile().encode()).hexdigest()[:12]}"


def new_name():
    """A unique name for a container."""
    return f"{LABEL}-{uuid.uuid4().hex}"


class Container(Sandbox):
    """A ``Sandbox`` in a Docker container."""

    own = 1  # Docker's own init
    pause = 0.3  # each check runs a docker command

    def start(self, module):
        self.name = new_name()
        return subprocess.Popen(
            [*isolation(self.name, self.limits), image(), "python", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # only the grader gets Ctrl+C, and it cleans up
        )

    def used(self):
        lines = docker("top", self.name, "-eo", "pid,time,rss").stdout.splitlines()[1:]
        table = [line.split() for line in lines]
        cpu_time = sum(seconds(time) for _, time, _ in table)
        return len(table) - self.own, cpu_time, 1024 * sum(int(rss) for *_, rss in table)

    def end(self, why=None):
        if self.ended is None and self.out_of_memory():  # killed by the kernel
            why = f"took more than {self.limits.memory / 1024**3:.1f} GB of memory"
        self.ended = self.ended or why
        docker("rm", "--force", self.name)
        self.process.wait()

    def out_of_memory(self):
        return "true" in docker("inspect", "--format", "{{.State.OOMKilled}}", self.name).stdout


def isolation(name, limits):
    """The ``docker run`` command up to the image's name."""
    words = ["docker", "run", "--interactive", "--init", "--name", name, "--label", LABEL]
    words += ["--network", "none", "--read-only", "--cap-drop", "ALL", "--ipc", "private"]
    words += ["--security-opt", "no-new-privileges", "--user", f"{NOBODY}:{NOBODY}"]
    memory = f"{limits.memory + 2 * limits.disk}"  # files in tmpfs count as memory
    words += ["--memory", memory, "--memory-swap", memory, "--pids-limit", str(THREADS)]
    words += ["--ulimit", "core=0", "--ulimit", f"fsize={limits.disk}"]
    words += ["--ulimit", f"nofile={FILES}"]
    words += ["--shm-size", str(limits.disk), "--workdir", PRIVATE]
    words += ["--tmpfs", f"{PRIVATE}:uid={NOBODY},gid={NOBODY},size={limits.disk}"]
    package = Path(__file__).parents[1]
    words += ["--mount", f"type=bind,source={package},target=/course/labkit,readonly"]
    for key, value in {**SETTINGS, "PYTHONPATH": "/course"}.items():
        words += ["--env", f"{key}={value}"]
    return words


def seconds(text):
    """Seconds from the time format of ps: "01:02", "00:01:02" or "1-00:01:02"."""
    days, _, rest = text.rpartition("-")
    total = 0
    for part in re.findall(r"\d+", rest):
        total = 60 * total + int(part)
    return total + 86400 * int(days or 0)
