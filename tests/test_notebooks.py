"""Every notebook runs to its end, and the compared cells give what they gave."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BOOK = Path(__file__).parents[1] / "book"
THREADS = ("OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
NOTEBOOKS = sorted([*BOOK.glob("*.ipynb"), *BOOK.glob("back/*.ipynb"), *BOOK.glob("labs/*.ipynb")])


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_notebook_runs_through_nbval(notebook, tmp_path):
    settings = {
        "LABKIT_PROFILE": "smoke",
        "LABKIT_DATA": "synthetic",
        "LABKIT_CACHE": str(tmp_path / "cache"),
        "LABKIT_RUNS": str(tmp_path / "runs"),
        "KERAS_HOME": str(tmp_path / "keras"),
        # Two notebooks run at a time on two cores: threads that wait for each other cost most.
        **dict.fromkeys(THREADS, "1"),
    }
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-cell-timeout=300"]
    options = ["-p", "no:xdist", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    done = subprocess.run(
        [*command, *options, str(notebook)],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        cwd=BOOK.parent,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def test_there_is_a_notebook_for_each_chapter():
    chapters = [path.stem[:2] for path in NOTEBOOKS if path.parent == BOOK]
    assert chapters == ["01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12"]
