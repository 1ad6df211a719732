"""The sandbox on machines without bubblewrap, such as a Mac: a Docker container a submission.

Its image holds the packages that ``labkit`` needs, in the versions that this Python has. ``labkit``
itself is shown to it read-only, and nothing else of this machine.
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
    """Raise ``Unsafe``, with the remedy, unless Docker can isolate here; make its image."""
    if shutil.which("docker") is None:
        raise Unsafe("Docker is not here (docs.docker.com/get-docker)")
    if (found := docker("info")).returncode:
        raise Unsafe(f"Docker does not run: {found.stderr.strip()}")
    # Of a grader that was killed; what runs stays.
    docker("container", "prune", "--force", "--filter", f"label={LABEL}")
    if not image_is_here():
        print("Making an image for Docker, once: some minutes.", file=sys.stderr)
        found = docker("build", "--tag", image(), "-", input=dockerfile())
        if found.returncode:
            why = "\n".join((found.stdout + found.stderr).splitlines()[-5:])
            raise Unsafe(f"Docker can't make the image:\n{why}")
    try_out()


def try_out():
    """Raise ``Unsafe`` unless a container starts and sees labkit: else each submission failed."""
    name = new_name()
    command = [
        *isolation(name, Limits())[1:],
        image(),
        "python",
        "-c",
        "import labkit.grade.worker",
    ]
    found = docker(*command)
    docker("rm", "--force", name)
    if found.returncode:
        raise Unsafe(f"Docker can't isolate here: {found.stderr.strip()}")


def image_is_here():
    return docker("image", "inspect", image()).returncode == 0


def docker(*words, **options):
    return subprocess.run(["docker", *words], capture_output=True, text=True, **options)


def pins():
    """What labkit depends on, in the versions that are installed here: "keras==3.15.1", ..."""
    needed = map(Requirement, metadata.requires("labkit"))
    kept = [one.name for one in needed if not one.marker or one.marker.evaluate({"extra": ""})]
    return [pin(name) for name in kept]


def pin(name):
    """A package in the version that is installed here; of TensorFlow, the build that is."""
    try:
        return f"{name}=={metadata.version(name)}"
    except metadata.PackageNotFoundError:
        if name != "tensorflow":
            raise
        return pin("tensorflow-cpu")


def dockerfile():
    """What the image is made of."""
    version = ".".join(map(str, sys.version_info[:2]))
    return f"FROM python:{version}-slim\nRUN pip install --no-cache-dir {' '.join(pins())}\n"


def image():
    """The image's name, which stands for its content."""
    return f"{LABEL}:{hashlib.sha256(dockerfile().encode()).hexdigest()[:12]}"


def new_name():
    """Of a container."""
    return f"{LABEL}-{uuid.uuid4().hex}"


class Container(Sandbox):
    """A ``Sandbox`` made by Docker."""

    own = 1  # Docker's own init
    pause = 0.3  # a look is a command of Docker's

    def start(self, module):
        self.name = new_name()
        return subprocess.Popen(
            [*isolation(self.name, self.limits), image(), "python", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl+C is for the grader, which tidies up
        )

    def used(self):
        lines = docker("top", self.name, "-eo", "pid,time,rss").stdout.splitlines()[1:]
        table = [line.split() for line in lines]
        computed = sum(seconds(time) for _, time, _ in table)
        return len(table) - self.own, computed, 1024 * sum(int(rss) for *_, rss in table)

    def end(self, why=None):
        if self.ended is None and self.out_of_memory():  # the kernel was first
            why = f"took more than {self.limits.memory / 1024**3:.1f} GB of memory"
        self.ended = self.ended or why
        docker("rm", "--force", self.name)
        self.process.wait()

    def out_of_memory(self):
        return "true" in docker("inspect", "--format", "{{.State.OOMKilled}}", self.name).stdout


def isolation(name, limits):
    """The command before the image's name."""
    words = ["docker", "run", "--interactive", "--init", "--name", name, "--label", LABEL]
    words += ["--network", "none", "--read-only", "--cap-drop", "ALL", "--ipc", "private"]
    words += ["--security-opt", "no-new-privileges", "--user", f"{NOBODY}:{NOBODY}"]
    memory = f"{limits.memory + 2 * limits.disk}"  # files in memory count here
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
    """Seconds from what ps says: "01:02", "00:01:02" or "1-00:01:02"."""
    days, _, rest = text.rpartition("-")
    total = 0
    for part in re.findall(r"\d+", rest):
        total = 60 * total + int(part)
    return total + 86400 * int(days or 0)
