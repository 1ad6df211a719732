"""Execute the notebooks that are not in the store, two at a time.

python book/_tools/execute.py             the notebooks of `make test`
python book/_tools/execute.py --slow      all notebooks and labs, as for `make test-all`
python book/_tools/execute.py 04_metrics  one notebook
"""

import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import keys
import nbformat
import notebooks
import paths
import store
from settings import Settings

JOBS = 2  # notebooks at a time
THREADS = ("OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
CHILD = Path(__file__).with_name("kernel.py")


@dataclass(frozen=True)
class Job:
    """A notebook to execute.

    Attributes:
        name: of the notebook.
        key: of its inputs.
        inputs: from ``keys.inputs``.
    """

    name: str
    key: str
    inputs: dict

    @property
    def path(self):
        """Path of the executed notebook, which may not exist yet."""
        return store.place(self.name, self.key)


@dataclass(frozen=True)
class Failure:
    """Why a notebook was not executed; ``cell`` is the one that failed."""

    name: str
    error: str
    cell: str = ""

    def __str__(self):
        where = f", cell {self.cell}" if self.cell else ""
        return f"FAULT {self.name}{where}: {self.error}"


def job(name, settings):
    """Return the job of a notebook for its sources as they are now."""
    inputs = keys.inputs(name, settings)
    return Job(name, keys.key(inputs), inputs)


def up_to_date(names, settings):
    """Execute the notebooks that are not in the store, and print why.

    Args:
        names: of notebooks.
        settings: a ``Settings``.

    Returns:
        The jobs by name, and a list of ``Failure``. A failure does not stop the other notebooks.
    """
    jobs = {name: job(name, settings) for name in names}
    stale = [one for one in jobs.values() if not one.path.exists()]
    if not stale:
        print(f"All {len(jobs)} notebooks are in the store.")
        return jobs, []
    print(f"To execute: {reasons(stale)}. In the store: {len(jobs) - len(stale)}.", flush=True)
    return jobs, Run(stale, settings).all()


def reasons(stale):
    """Return why jobs are executed: "07_errors, 08_trust: labkit/metrics.py changed"."""
    by_reason = {}
    for one in stale:
        by_reason.setdefault(store.reason(one.name, one.inputs), []).append(one.name)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in by_reason.items())


def seconds(name):
    """Return the seconds of a notebook's last run, or 60 without one."""
    earlier = store.versions(name)
    return store.record(earlier[-1])["seconds"] if earlier else 60


class Run:
    """Executes jobs in threads that each wait for a child process."""

    def __init__(self, stale, settings):
        self.ahead = sorted(stale, key=lambda one: -seconds(one.name))
        self.total, self.settings = len(stale), settings
        self.working, self.failures, self.processes = {}, [], {}
        self.environment = kernel_environment(settings, min(JOBS, len(stale)))
        self.lock = threading.Lock()
        self.screen = Screen()

    def all(self):
        """Execute all jobs and return the failures. An interrupt also stops the kernels."""
        workers = [threading.Thread(target=self.work, daemon=True) for _ in range(JOBS)]
        for worker in workers:
            worker.start()
        try:
            while any(worker.is_alive() for worker in workers):
                workers[0].join(0.5)
                workers[-1].join(0.5)
                self.screen.show(self.progress())
        finally:
            self.stop()
            self.screen.end()
        return self.failures

    def stop(self):
        """Drop the remaining jobs and end the child processes."""
        with self.lock:
            self.ahead.clear()
            for process in self.processes.values():
                process.terminate()  # nbclient then ends its kernel

    def work(self):
        """Execute jobs until none is left."""
        while one := self.take():
            try:
                failure = self.execute(one)
            except Exception as error:  # such as a full disk; the other jobs continue
                failure = Failure(one.name, f"{type(error).__name__}: {error}")
            with self.lock:
                del self.working[one.name]
                self.failures += [failure] if failure else []

    def take(self):
        """Return the next job; None when no job is left."""
        with self.lock:
            if not self.ahead:
                return None
            one = self.ahead.pop(0)
            self.working[one.name] = (0, 0, time.monotonic())
            return one

    def execute(self, one):
        """Execute a job and save its result in the store; returns a ``Failure`` or None."""
        paths.BUILD.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="work-", dir=paths.BUILD) as folder:
            folder = Path(folder)
            before, after, work = folder / "before.ipynb", folder / "after.ipynb", folder / "work"
            nbformat.write(notebooks.source(one.name), before)
            work.mkdir()
            record = self.run_child(one.name, [before, after, work])
            if "error" in record:
                cell = f"{record['id']} ({record['line']})" if record.get("id") else ""
                return Failure(one.name, record["error"], cell)
            if self.has_changed(one):
                return Failure(one.name, "its sources changed while it ran: run this again")
            notebook, about = nbformat.read(after, as_version=4), {"inputs": one.inputs} | record
            store.save(one.name, one.key, notebook, about)
        self.screen.line(f"[{self.done() + 1}/{self.total}] {one.name}: {record['seconds']:.0f} s")
        return None

    def has_changed(self, one):
        """Return whether the sources of a job have changed since its key was computed."""
        with self.lock:
            keys.clear_cache()
            return job(one.name, self.settings).key != one.key

    def run_child(self, name, files):
        """Execute a notebook in a child process; returns its last line of output, a dict."""
        command = [sys.executable, str(CHILD), *map(str, files)]
        process = subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        errors = queue.SimpleQueue()
        reader = threading.Thread(target=lambda: errors.put(process.stderr.read()), daemon=True)
        reader.start()
        with self.lock:
            self.processes[name] = process
        last = {}
        for line in process.stdout:
            last = json.loads(line)
            if "cell" in last:
                self.working[name] = (last["cell"], last["of"], self.working[name][2])
        code = process.wait()
        with self.lock:
            del self.processes[name]
        if code or "cell" in last or not last:
            text = errors.get(timeout=10).strip().splitlines() or [f"it ended with {code}"]
            return {"error": "\n".join(text[-10:])}  # the end of a traceback
        return last

    def done(self):
        """Return the number of finished jobs."""
        return self.total - len(self.ahead) - len(self.working)

    def progress(self):
        """Return the running notebooks with their cells and seconds, as a line."""
        now = time.monotonic()
        parts = [
            f"{name} cell {cell}/{of}, {now - start:.0f} s"
            for name, (cell, of, start) in list(self.working.items())
        ]
        return f"[{self.done()}/{self.total}] {' · '.join(parts)}"


def kernel_environment(settings, jobs):
    """Return the environment variables of kernels, of which so many run at a time."""
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    environment = settings.environment
    path = os.pathsep.join(filter(None, [str(paths.ROOT), environment.get("PYTHONPATH")]))
    # A debugger that ipykernel loads writes a warning at each start.
    fixed = {"PYTHONPATH": path, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    return environment | dict.fromkeys(THREADS, threads) | fixed


class Screen:
    """A progress line: replaced in place on a terminal, printed every 30 seconds in a log."""

    def __init__(self, every=30):
        self.every, self.shown, self.width = every, time.monotonic(), 0
        self.replaces = sys.stdout.isatty()

    def show(self, text):
        """Show the progress."""
        if self.replaces:
            text = text[: shutil.get_terminal_size().columns - 1]
            print(f"\r{text.ljust(self.width)}", end="", flush=True)
            self.width = len(text)
        elif time.monotonic() - self.shown > self.every:
            self.line(text)

    def line(self, text):
        """Print a line that is not replaced."""
        print(f"\r{text.ljust(self.width)}" if self.replaces else text, flush=True)
        self.shown = time.monotonic()

    def end(self):
        """Remove the progress line from a terminal."""
        if self.replaces:
            print(f"\r{' ' * self.width}\r", end="", flush=True)


def main(names):
    everything = notebooks.all_names()
    if names == ["--slow"]:
        names = everything
    if unknown := sorted(set(names) - set(everything)):
        print(f"{unknown[0]!r} is no notebook: use one of {', '.join(everything)}")
        return 2
    chosen = names or [name for name in everything if not notebooks.is_slow(name)]
    _, failures = up_to_date(chosen, Settings.of_tests())
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("Interrupted. Finished notebooks are kept.")
