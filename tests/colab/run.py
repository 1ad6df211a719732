"""Run every published notebook with the packages of Google Colab.

    make test-colab
    make test-colab NOTEBOOKS="04_metrics labs/04_metrics"

Each notebook runs as a student opens it: in an empty folder, with an empty home, and without files
of the course except those that its first cell installs. The fork is a bare repository whose only
commit is the working folder. The run fails if a cell raises, if labkit comes from another commit,
or if the version of an installed package changes. The times of the first cells are only shown:
here they install from a folder and not from the network.
"""

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import metadata
from pathlib import Path

import nbformat
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "book" / "_tools"), str(ROOT)]
import address as addresses  # noqa: E402
import kernel  # noqa: E402
import publish  # noqa: E402

DROPPED = ("PYTHONPATH", "TFDS_DATA_DIR", "KERAS_HOME", "LABKIT_CACHE", "LABKIT_RUNS", "MPLBACKEND")
COMMIT = "from labkit import profile; profile.commit()"


def main(names):
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # otherwise a debugger warns at each start
    before = installed()
    faults = differences_from_colab(before)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder).resolve()
        address, commit = fork(folder / "fork.git")
        install(address, commit)
        publish.write_notebooks(address, commit, folder / "colab", names)
        notebooks = list((folder / "colab").rglob("*.ipynb"))
        notebooks.sort(key=lambda path: -path.stat().st_size)  # the longest first
        print(f"{len(notebooks)} notebooks, two at a time. Seconds of the first cell, and of all:")
        with ProcessPoolExecutor(2) as pool:
            faults += filter(None, pool.map(partial(run, commit=commit), notebooks))
    after = installed()
    before.pop("labkit", None)
    faults += [
        f"a notebook changed {name} from {version} to {after.get(name)}"
        for name, version in before.items()
        if after.get(name) != version
    ]
    print(f"Packages added: {', '.join(sorted(set(after) - set(before))) or 'none'}.")
    for fault in faults:
        print(f"FAULT {fault}")
    print("Some checks failed." if faults else "All notebooks run, and no package has changed.")
    return 1 if faults else 0


def fork(folder):
    """Create a repository with the working folder as its only commit: (address, commit)."""
    commit = publish.commit_of(ROOT, "The working folder")
    publish.git("init", "--quiet", "--bare", "--initial-branch=main", folder)
    publish.git("push", "--quiet", folder, f"{commit}:refs/heads/main")
    return addresses.find(str(folder)), commit


def install(address, commit):
    """Install the package, so that notebooks running at the same time do not install it twice."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    source = f"git+{address.clone}@{commit}"
    subprocess.run([*pip, "--force-reinstall", "--no-deps", source], check=True)


# --- packages ------------------------------------------------------------------------------------


def installed():
    """Return the versions of installed packages by name."""
    return {
        canonicalize_name(one.metadata["Name"]): one.version for one in metadata.distributions()
    }


def differences_from_colab(versions):
    """Return the differences from Colab's versions, as a list of texts."""
    lines = Path(__file__).with_name("requirements.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    there = {name: versions.get(canonicalize_name(name)) for name, _ in pins}
    return [
        f"{name} is {there[name]}, and Colab has {version}: remove .venv-colab"
        for name, version in pins
        if there[name] != version
    ]


# --- one notebook --------------------------------------------------------------------------------


def run(path, commit):
    """Run all cells of a notebook and print its times; returns what is wrong, or None."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(COMMIT))
    nbformat.write(notebook, path)
    fault, times = execute(path, commit)
    name = f"{path.parent.name}/{path.stem}"
    first = f"{times[0]:6.1f} {sum(times):6.0f}" if times else " " * 13
    print(f"{first}  {name}{'  FAULT' if fault else ''}", flush=True)
    return f"{name}: {fault}" if fault else None


def execute(path, commit):
    """Execute a notebook in an empty folder with an empty home: (what is wrong, seconds)."""
    with tempfile.TemporaryDirectory(prefix=f"{path.stem}-") as folder:
        work, home = Path(folder).resolve() / "content", Path(folder).resolve() / "home"
        work.mkdir()
        home.mkdir()
        kept = {name: value for name, value in os.environ.items() if name not in DROPPED}
        small = {"LABKIT_PROFILE": "smoke", "LABKIT_DATA": "synthetic", "HOME": str(home)}
        done = subprocess.run(
            [sys.executable, kernel.__file__, path, path, work],
            env=kept | small,
            capture_output=True,
            text=True,
        )
    if done.returncode:
        return done.stderr.strip().splitlines()[-1], []
    last = json.loads(done.stdout.splitlines()[-1])
    if "error" in last:
        return f"cell {last['id']} ({last['line']}): {last['error']}", []
    used = nbformat.read(path, as_version=4).cells[-1].outputs[0].data["text/plain"].strip("'")
    fault = None if commit.startswith(used) else f"labkit is that of commit {used}"
    return fault, list(last["cells"].values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
