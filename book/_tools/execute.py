"""Execute the notebooks whose outputs are not in the store, two at a time.

python book/_tools/execute.py             what `make test` needs
python book/_tools/execute.py --slow      what `make test-all` needs: all chapters and labs
python book/_tools/execute.py 04_metrics  this one
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

import nbformat
import store

JOBS = 2
THREADS = ("OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
CHILD = Path(__file__).with_name("kernel.py")


@dataclass(frozen=True)
class Job:
    """A notebook to execute: ``inputs`` gives its key, ``after`` is one that has to be first."""

    name: str
    key: str
    inputs: dict
    after: str | None

    @property
    def path(self):
        """Where the executed notebook lies or will lie."""
        return store.place(self.name, self.key)


@dataclass(frozen=True)
class Failure:
    name: str
    error: str
    cell: str = ""

    def __str__(self):
        where = f", cell {self.cell}" if self.cell else ""
        return f"FAULT {self.name}{where}: {self.error}"


def job(name, settings):
    found = store.inputs(name, settings)
    return Job(name, store.key(found), found, store.follows(name))


def up_to_date(names, settings):
    """Execute what is stale; returns jobs by name, and a list of ``Failure``.

    The first line says what is stale and why. What is finished is kept, whatever comes after.
    """
    jobs = [job(name, settings) for name in with_what_they_load(names)]
    stale = [one for one in jobs if not one.path.exists()]
    if not stale:
        print(f"All {len(jobs)} notebooks are in the store.")
        return {one.name: one for one in jobs}, []
    print(f"To execute: {whys(stale)}. In the store: {len(jobs) - len(stale)}.", flush=True)
    failures = Run(stale, settings).all()
    return {one.name: one for one in jobs}, failures


def whys(stale):
    """Why notebooks are stale, in words: "06_errors, 09_trust: labkit/metrics.py changed"."""
    by_reason = {}
    for one in stale:
        by_reason.setdefault(store.reason(one.name, one.inputs), []).append(one.name)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in by_reason.items())


def with_what_they_load(names):
    """Names in order, each behind the one whose model it loads."""
    before = [store.follows(name) for name in names]
    return list(dict.fromkeys([*filter(None, before), *names]))


def in_order(stale):
    """What others wait for, then the longest, as far as earlier runs tell."""
    waited_for = {one.after for one in stale}
    return sorted(stale, key=lambda one: (one.name not in waited_for, -seconds(one)))


def seconds(one):
    """Seconds of the last run; a minute where there was none."""
    earlier = sorted(one.path.parent.glob("*.json"), key=os.path.getmtime)
    return store.record(earlier[-1])["seconds"] if earlier else 60


class Run:
    """Some jobs, executed by threads that each wait for a process."""

    def __init__(self, stale, settings):
        self.ahead, self.total, self.settings = in_order(stale), len(stale), settings
        self.working, self.failures, self.processes = {}, [], {}
        at_once = min(JOBS, len(stale))
        threads = str(max(1, (os.cpu_count() or 1) // at_once))
        environment = settings.environment
        path = os.pathsep.join(filter(None, [str(store.ROOT), environment.get("PYTHONPATH")]))
        # A debugger that ipykernel loads would warn at each start.
        fixed = {"PYTHONPATH": path, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        self.environment = environment | dict.fromkeys(THREADS, threads) | fixed
        self.lock = threading.Condition()
        self.screen = Screen()

    def all(self):
        """Execute all; returns the failures. An interrupt ends the kernels and goes on up."""
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
        with self.lock:
            self.ahead.clear()
            for process in self.processes.values():
                process.terminate()  # nbclient ends its kernel then

    def work(self):
        while one := self.take():
            try:
                failure = self.execute(one)
            except Exception as error:  # a full disk, say: the others go on
                failure = Failure(one.name, f"{type(error).__name__}: {error}")
            with self.lock:
                del self.working[one.name]
                self.failures += [failure] if failure else []
                self.lock.notify_all()

    def take(self):
        """The next job that waits for none; None when no job is left."""
        with self.lock:
            while self.ahead:
                open_ones = {one.name for one in self.ahead} | set(self.working)
                ready = [one for one in self.ahead if one.after not in open_ones]
                if ready:
                    self.ahead.remove(ready[0])
                    self.working[ready[0].name] = (0, 0, time.monotonic())
                    return ready[0]
                self.lock.wait(1)
        return None

    def execute(self, one):
        """Execute a job into the store; returns a ``Failure`` or None."""
        if one.after in [failure.name for failure in self.failures]:
            return Failure(one.name, f"not executed, because {one.after} failed")
        store.BUILD.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="work-", dir=store.BUILD) as folder:
            folder = Path(folder)
            before, after, work = folder / "before.ipynb", folder / "after.ipynb", folder / "work"
            nbformat.write(store.source(one.name), before)
            work.mkdir()
            models = self.models_for(one)
            if models.exists():
                shutil.copytree(models, work / "runs")
            last = self.follow(one.name, [before, after, work])
            if "error" in last:
                cell = f"{last['id']} ({last['line']})" if last.get("id") else ""
                return Failure(one.name, last["error"], cell)
            if self.has_changed(one):
                return Failure(one.name, "its sources changed while it ran: call this again")
            notebook = nbformat.read(after, as_version=4)
            store.save(one.name, one.key, notebook, {"inputs": one.inputs} | last, work / "runs")
        self.screen.line(f"[{self.done() + 1}/{self.total}] {one.name}: {last['seconds']:.0f} s")
        return None

    def has_changed(self, one):
        """Whether somebody edited what the notebook is made of."""
        with self.lock:
            store.read_anew()
            return job(one.name, self.settings).key != one.key

    def models_for(self, one):
        """The folder of trained models that a notebook starts with; may be missing."""
        if one.after is None:
            return Path("none")
        return store.place(one.after, one.inputs[f"chapter {one.after}"]).with_suffix(".runs")

    def follow(self, name, paths):
        """Execute in a process of its own, note each cell; returns its last line, a dict."""
        command = [sys.executable, str(CHILD), *map(str, paths)]
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
            return {"error": text[-1]}
        return last

    def done(self):
        return self.total - len(self.ahead) - len(self.working)

    def progress(self):
        """What is under way: notebooks, cells and seconds."""
        now = time.monotonic()
        parts = [
            f"{name} cell {cell}/{of}, {now - start:.0f} s"
            for name, (cell, of, start) in list(self.working.items())
        ]
        return f"[{self.done()}/{self.total}] {' · '.join(parts)}"


class Screen:
    """A line of progress that is replaced on a terminal; in a log, one now and then."""

    def __init__(self, every=30):
        self.every, self.shown, self.width = every, time.monotonic(), 0
        self.replaces = sys.stdout.isatty()

    def show(self, text):
        if self.replaces:
            text = text[: shutil.get_terminal_size().columns - 1]
            print(f"\r{text.ljust(self.width)}", end="", flush=True)
            self.width = len(text)
        elif time.monotonic() - self.shown > self.every:
            self.line(text)

    def line(self, text):
        """A line that stays."""
        print(f"\r{text.ljust(self.width)}" if self.replaces else text, flush=True)
        self.shown = time.monotonic()

    def end(self):
        if self.replaces:
            print(f"\r{' ' * self.width}\r", end="", flush=True)


def main(names):
    everything = [*store.names(), *store.lab_names()]
    if names == ["--slow"]:
        names = everything
    if unknown := sorted(set(names) - set(everything)):
        print(f"{unknown[0]!r} is no notebook: use one of {', '.join(everything)}")
        return 2
    chosen = names or [name for name in everything if not store.is_slow(name)]
    _, failures = up_to_date(chosen, store.Settings.of_tests())
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("Interrupted. What was executed is kept.")
