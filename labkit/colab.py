"""Google Colab: what the first cell of a published notebook does once it has fetched the course.

A runtime of Colab ends without warning, with all its files. What is worth keeping goes to a
folder that outlives it. Outside Colab the same calls work with a folder of the computer.
"""

import importlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

DRIVE = Path("/content/drive")  # where Colab shows a Google Drive
KEPT = {"LABKIT_CACHE": "cache", "LABKIT_RUNS": "runs", "KERAS_HOME": "keras"}


def set_up(keep="", install=()):
    """Make the course ready in this kernel; to call it again does no harm.

    Args:
        keep: a folder for data, trainings and downloaded weights, made if it is not there; ""
            leaves them where they go by themselves.
        install: names of packages that have to be there.

    Raises:
        ValueError: for a folder on Google Drive outside Colab.
        ImportError: if a package can't be installed beside those that are there.
    """
    course = str(Path(__file__).parents[1])  # for commands such as !python -m labkit.cli info
    there = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([course, *filter(None, there)]))
    if keep:
        keep_in(Path(keep).expanduser().absolute())
    if missing := [name for name in install if importlib.util.find_spec(name) is None]:
        add_packages(missing)


def keep_in(folder):
    """Let data, trainings and weights go to a folder; mounts Google Drive if it is there."""
    if folder.is_relative_to(DRIVE):
        mount(folder)
    for setting, name in KEPT.items():
        os.environ[setting] = str(folder / name)
        (folder / name).mkdir(parents=True, exist_ok=True)
    print(f"Data, trainings and weights are kept in {folder}.")


def mount(folder):
    """Show the reader's Google Drive as a folder; Colab asks for leave, once a runtime."""
    try:
        from google.colab import drive
    except ImportError as error:
        raise ValueError(
            f"KEEP is {str(folder)!r}, a Google Drive, and this is not Colab: name a folder of "
            "this computer"
        ) from error
    drive.mount(str(DRIVE))


def add_packages(names):
    """Install packages with everything that is installed held at its version.

    So pip fails rather than change what Colab's own packages need.
    """
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    there = [*pip, "list", "--format=freeze"]
    listed = subprocess.run(there, capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder) / "installed.txt"
        held.write_text(listed)
        command = [*pip, "install", "--quiet", "--constraint", str(held), *names]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ImportError(
            f"{', '.join(names)} can't be installed beside what is here: {done.stderr.strip()}"
        )
    importlib.invalidate_caches()
