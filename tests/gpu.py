"""Run every notebook on a GPU, in the full profile: ``make test-gpu``.

A notebook fails if nbval finds an error, if it takes longer than ``LIMIT`` or more memory than
``MEMORY``, or if one of its trainings did not run on the GPU. ``KERAS_BACKEND=jax`` or ``torch``
selects another backend. Then notebooks about TensorFlow and cells that write LiteRT files, which
need TensorFlow, are not run.
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
import notebooks  # noqa: E402

LIMIT = 15 * 60  # seconds per notebook
MEMORY = {"host": 6, "device": 8}  # GB, half of what a free runtime of Google Colab has
# JAX warns of 64-bit numbers, and nbval takes that for a wrong output.
SETTINGS = {"LABKIT_PROFILE": "full", "PYTHONWARNINGS": "ignore"}
TENSORFLOW = re.compile("^import tensorflow", re.MULTILINE)
LITERT = ".tflite"
TRAINS = re.compile(r"training\.train\(|recipes\.fit\(")


@dataclass(frozen=True)
class Result:
    """The run of a notebook.

    Attributes:
        name: of the notebook.
        seconds: of the run.
        log: of nbval, if it found an error.
        records: the contents of ``history.json`` of each training.
        trains: whether there has to be a record.
    """

    name: str
    seconds: float
    log: str = ""
    records: list = field(default_factory=list)
    trains: bool = False

    def faults(self):
        """Return what is wrong, as a list of texts."""
        elsewhere = sum(record.get("device") != "GPU" for record in self.records)
        faults = {
            f"took over {most} GB of {kind} memory": self.peak(kind) > most
            for kind, most in MEMORY.items()
        } | {
            "nbval found an error": bool(self.log),
            "no training was recorded": self.trains and not self.records,
            f"took over {LIMIT // 60} minutes": self.seconds > LIMIT,
            f"{elsewhere} of {len(self.records)} trainings not on the GPU": elsewhere,
        }
        return [fault for fault, found in faults.items() if found]

    def peak(self, kind):
        """Return the peak memory of the trainings in GB."""
        return max((r.get("peak memory", {}).get(kind, 0) for r in self.records), default=0)

    def line(self):
        """Return the notebook's line of the table."""
        numbers = f"{self.seconds:8.0f} {len(self.records):10}"
        numbers += f" {self.peak('host'):10.1f} {self.peak('device'):10.1f}"
        return f"{self.name:26} {numbers}  {'; '.join(self.faults()) or 'passed'}"


def run(name):
    """Run a notebook with nbval in an empty folder for trainings; returns a ``Result``."""
    notebook = notebooks.source(name)
    if not on_tensorflow():
        for cell in notebooks.code_cells(notebook):
            if LITERT in cell.source:
                cell.metadata["tags"] = [*cell.metadata.get("tags", []), "nbval-skip"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "notebook.ipynb"
        nbformat.write(notebook, path)
        command = [sys.executable, "-m", "pytest", "--nbval-lax", f"--nbval-cell-timeout={LIMIT}"]
        start, log = time.perf_counter(), ""
        try:
            done = subprocess.run(
                [*command, "-p", "no:xdist", "-p", "no:cacheprovider", str(path)],
                env=os.environ | SETTINGS | {"LABKIT_RUNS": folder},
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=LIMIT + 60,
            )
            log = done.stdout[-5000:] + done.stderr[-2000:] if done.returncode else ""
        except subprocess.TimeoutExpired:
            pass  # a fault by its seconds
        seconds = time.perf_counter() - start
        records = [json.loads(path.read_text()) for path in Path(folder).rglob("history.json")]
    # A lab may not train before its tasks are solved.
    trains = "/" not in name and bool(TRAINS.search(notebooks.code_of(notebook)))
    return Result(name, seconds, log, records, trains)


def on_tensorflow():
    """Return whether TensorFlow is Keras's backend."""
    import keras

    return keras.backend.backend() == "tensorflow"


def main():
    """Run all notebooks; returns the exit status."""
    import keras

    from labkit import profile

    if profile.device() != "GPU":
        print(
            f"Keras's backend {keras.backend.backend()} sees no GPU. Run this on a machine with "
            "one and a backend that is installed for it: tensorflow[and-cuda], or "
            "KERAS_BACKEND=jax with jax[cuda12], or KERAS_BACKEND=torch."
        )
        return 1
    print(f"{'notebook':26} {'seconds':>8} {'trainings':>10} {'host, GB':>10} {'GPU, GB':>10}")
    failed = False
    for name in notebooks.all_names():
        if not on_tensorflow() and TENSORFLOW.search(notebooks.code_of(notebooks.source(name))):
            print(f"{name:26} not run: it is about TensorFlow")
            continue
        result = run(name)
        print(result.line(), result.log, sep="\n" if result.log else "", flush=True)
        failed = failed or bool(result.faults())
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
