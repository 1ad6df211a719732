"""Run every published notebook where the packages are those of Google Colab.

    make test-colab
    make test-colab NOTEBOOKS="04_metrics labs/04_metrics"

Each notebook is opened as a student opens it: in an empty folder, with an empty home, with no
file of the course but those that its first cell installs. What stands for the fork is a bare
repository with the working folder as its only commit. The run fails if a cell raises, if labkit
came from somewhere else, or if a package has another version afterwards. The times of the first
cells are shown, not judged: here the course comes from a folder and not from the network.
"""

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from functools import partial
from importlib import metadata
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "book" / "_tools"), str(ROOT)]
import address as addresses  # noqa: E402
import publish  # noqa: E402

CELL = 600  # seconds
DROPPED = ("PYTHONPATH", "TFDS_DATA_DIR", "KERAS_HOME", "LABKIT_CACHE", "LABKIT_RUNS", "MPLBACKEND")
COMMIT = "from labkit import profile; profile.commit()"


def main(names):
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # else a debugger warns at each start
    before = installed()
    faults = not_as_in_colab(before)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder).resolve()
        address, commit = fork(folder / "fork.git")
        install(address, commit)
        publish.write_notebooks(address, commit, folder / "colab", names)
        paths = sorted((folder / "colab").rglob("*.ipynb"), key=longest_first)
        print(f"{len(paths)} notebooks, two at a time. Seconds of the first cell, and of all:")
        with ProcessPoolExecutor(2) as pool:
            for fault in pool.map(partial(run, commit=commit), paths):
                faults += [fault] if fault else []
    after = installed()
    before.pop("labkit", None)
    faults += changes(before, after)
    print(f"Packages added: {', '.join(sorted(set(after) - set(before))) or 'none'}.")
    for fault in faults:
        print(f"FAULT {fault}")
    print("Something is not as in Colab." if faults else "All run, and no package has changed.")
    return 1 if faults else 0


def fork(folder):
    """A repository that holds the working folder as it is: its address and its commit."""
    commit = publish.commit_of(ROOT, "The working folder")
    publish.git("init", "--quiet", "--bare", "--initial-branch=main", folder)
    publish.git("push", "--quiet", folder, f"{commit}:refs/heads/main")
    return addresses.find(str(folder)), commit


def install(address, commit):
    """The package, before two notebooks that run at the same time do it: they find it there."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    source = f"git+{address.clone}@{commit}"
    subprocess.run([*pip, "--force-reinstall", "--no-deps", source], check=True)


def longest_first(path):
    """So that no long notebook is left alone at the end."""
    return -path.stat().st_size


# --- packages ------------------------------------------------------------------------------------


def installed():
    """Versions by name of what is installed here."""
    found = metadata.distributions()
    return {normal(one.metadata["Name"]): one.version for one in found}


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def not_as_in_colab(there):
    """What differs from the versions of Colab, in words."""
    lines = (Path(__file__).parent / "requirements.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    return [
        f"{name} is {there.get(normal(name))}, and Colab has {version}: remove .venv-colab"
        for name, version in pins.items()
        if there.get(normal(name)) != version
    ]


def changes(before, after):
    """What a notebook did to packages that were there, in words."""
    return [
        f"a notebook changed {name} from {version} to {after.get(name)}"
        for name, version in before.items()
        if after.get(name) != version
    ]


# --- one notebook --------------------------------------------------------------------------------


def run(path, commit):
    """Run a notebook from its first cell to its last; returns what is wrong, or None."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(COMMIT))
    fault = execute(notebook, path.stem, commit)
    first, *_ = seconds = [took(cell) for cell in notebook.cells if "execution" in cell.metadata]
    name = f"{path.parent.name}/{path.stem}"
    print(f"{first:6.1f} {sum(seconds):6.0f}  {name}{'  FAULT' if fault else ''}", flush=True)
    return f"{name}: {fault}" if fault else None


def execute(notebook, name, commit):
    """Run the cells in a new folder with a new home; returns what is wrong, or None."""
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        work, home = Path(folder).resolve() / "content", Path(folder) / "home"
        work.mkdir()
        home.mkdir()
        client = NotebookClient(
            notebook,
            timeout=CELL,
            kernel_name="python3",
            skip_cells_with_tag="",  # explorers too: Colab runs them
            resources={"metadata": {"path": str(work)}},
        )
        try:
            # TensorFlow's log would stand between the lines of the table.
            client.execute(env=environment(home), stderr=subprocess.DEVNULL)
        except CellExecutionError as error:
            return f"{where(notebook)}: {error.ename}: {error.evalue}"
        except (CellTimeoutError, DeadKernelError) as error:
            return f"{where(notebook)}: {error}"
        used = notebook.cells[-1].outputs[0].data["text/plain"].strip("'")
        return None if commit.startswith(used) else f"labkit is that of commit {used}"


def environment(home):
    """Of a student's kernel: those that keep the test short, and off the dataset."""
    kept = {name: value for name, value in os.environ.items() if name not in DROPPED}
    small = {"LABKIT_PROFILE": "smoke", "LABKIT_DATA": "synthetic"}
    return kept | small | {"HOME": str(home)}


def took(cell):
    """Seconds that a cell ran."""
    times = cell.metadata.execution
    start = times.get("iopub.execute_input") or times.get("iopub.status.busy")
    end = times.get("shell.execute_reply") or times.get("iopub.status.idle") or start
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def where(notebook):
    """The cell that ran last, in words."""
    ran = [cell for cell in notebook.cells if "execution" in cell.metadata]
    cell = ran[-1] if ran else notebook.cells[1]
    return f"cell {cell.id} ({cell.source.splitlines()[0]})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
