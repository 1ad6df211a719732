"""Run every notebook on a GPU, in the full profile: ``make test-gpu``.

A notebook fails if nbval finds an error, if it takes longer than ``LIMIT`` or more memory than
``MEMORY``, or if one of its trainings did not run on the GPU. ``KERAS_BACKEND=jax`` or ``torch``
chooses another backend.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "book" / "_tools"))
import store  # noqa: E402

LIMIT = 15 * 60  # seconds a notebook
MEMORY = {"host": 6, "device": 8}  # GB, half of what a free runtime of Google Colab has
TRAINS = re.compile(r"training\.train\(|recipes\.(fit|course_model)\(")


@dataclass(frozen=True)
class Result:
    """What one notebook did: ``records`` are the ``history.json`` of its trainings, which it must
    have if it ``trains``."""

    name: str
    seconds: float
    log: str = ""  # of nbval, if it found an error
    records: list = field(default_factory=list)
    trains: bool = False

    def faults(self):
        """What is wrong, in words."""
        elsewhere = sum(record.get("device") != "GPU" for record in self.records)
        over = {
            f"took over {most} GB of {kind} memory": self.peak(kind) > most
            for kind, most in MEMORY.items()
        }
        found = over | {
            "nbval found an error": bool(self.log),
            "no training was recorded": self.trains and not self.records,
            f"took over {LIMIT // 60} minutes": self.seconds > LIMIT,
            f"{elsewhere} of {len(self.records)} trainings not on the GPU": elsewhere,
        }
        return [fault for fault, there in found.items() if there]

    def peak(self, kind):
        """Most memory in GB that the notebook held when a training ended."""
        return max((r.get("peak memory", {}).get(kind, 0) for r in self.records), default=0)

    def line(self):
        """Of the table: name, seconds, trainings, peak memory, faults."""
        numbers = f"{self.seconds:8.0f} {len(self.records):10}"
        numbers += f" {self.peak('host'):10.1f} {self.peak('device'):10.1f}"
        return f"{self.name:26} {numbers}  {'; '.join(self.faults()) or 'passed'}"


def refusal(device, backend):
    """Why nothing can be run here, or None."""
    if device == "GPU":
        return None
    return (
        f"No GPU is seen by Keras's backend {backend}: make test-gpu can't be run here. Run it on "
        "a machine with one, with a backend that is installed for it: tensorflow[and-cuda], or "
        "KERAS_BACKEND=jax with jax[cuda12], or KERAS_BACKEND=torch."
    )


def run(name):
    """Run a notebook through nbval, with a folder of trainings of its own; gives a ``Result``."""
    notebook = store.source(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "notebook.ipynb"
        nbformat.write(notebook, path)
        settings = {"LABKIT_PROFILE": "full", "LABKIT_RUNS": folder}
        command = [sys.executable, "-m", "pytest", "--nbval-lax", f"--nbval-cell-timeout={LIMIT}"]
        start, log = time.perf_counter(), ""
        try:
            done = subprocess.run(
                [*command, "-p", "no:xdist", "-p", "no:cacheprovider", str(path)],
                env={**os.environ, **settings},
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=LIMIT + 60,
            )
            log = done.stdout[-5000:] + done.stderr[-2000:] if done.returncode else ""
        except subprocess.TimeoutExpired:
            pass  # the seconds say so
        seconds = time.perf_counter() - start
        records = [json.loads(path.read_text()) for path in Path(folder).rglob("history.json")]
    code = store.code_of(notebook)
    trains = "/" not in name and bool(TRAINS.search(code))  # a lab's may wait for a task
    return Result(name, seconds, log, records, trains)


def main():
    """Run all; returns the exit status."""
    import keras

    from labkit import profile

    if reason := refusal(profile.device(), keras.backend.backend()):
        print(reason)
        return 1
    print(f"{'notebook':26} {'seconds':>8} {'trainings':>10} {'host, GB':>10} {'GPU, GB':>10}")
    failed = False
    for name in [*store.names(), *store.lab_names()]:
        result = run(name)
        print(result.line(), result.log, sep="\n" if result.log else "", flush=True)
        failed = failed or bool(result.faults())
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
