"""Measure the time to grade a class.

    python -m benchmarks.grading                     100 notebooks of the lab on metrics
    python -m benchmarks.grading 05_training --size 2 --solved

Without ``--solved``, the notebooks have 0, 1, 2, ... all tasks solved, in turn.
"""

import argparse
import os
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import nbformat

sys.path.insert(0, str(Path(__file__).parents[1] / "book" / "_tools"))
import labs


def main():
    options = argparse.ArgumentParser(prog="python -m benchmarks.grading", description=__doc__)
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument("lab", nargs="?", default="04_metrics", choices=labs.CHECKS)
    options.add_argument("--size", type=int, default=100)
    options.add_argument("--solved", action="store_true", help="all tasks of all notebooks")
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_class(options.lab, options.size, Path(folder) / "class", options.solved)
        start = time.monotonic()
        results = grade(options.lab, Path(folder))
        seconds = time.monotonic() - start
    cores = len(os.sched_getaffinity(0))
    print(f"{len(results)} notebooks of {options.lab}, {cores} cores: {seconds / 60:.1f} min")
    points = sum(result.points for result in results)
    print(f"{seconds / len(results):.1f} s per notebook; points {points}")
    print(f"memory of the grader: {getrusage(RUSAGE_SELF).ru_maxrss / 1024**2:.2f} GB")
    print("problems:", sorted({result.problem for result in results} - {""}) or "none")


def grade(lab, folder):
    from labkit.grade import course

    return course.grade_class(folder / "class", labs.CHECKS[lab], folder / "graded")


def write_class(lab, size, folder, solved=False):
    """Write ``size`` notebooks of a lab into a folder, each with some tasks solved, or all."""
    folder.mkdir()
    tasks = len(labs.solutions(labs.chapter(lab)))
    for number, done in enumerate(islice(cycle(range(solved * tasks, tasks + 1)), size)):
        notebook = partly_solved(lab, done)
        notebook.cells[-1].source += f"\nstudent = {number}"
        nbformat.write(notebook, folder / f"student {number:03}.ipynb")


def partly_solved(lab, done):
    """Return a lab with the chapter's solutions of its first ``done`` tasks."""
    solved = list(labs.solutions(labs.chapter(lab)).values())[:done]
    solutions = {cell.id: cell.source for cell in solved}
    notebook = labs.lab(lab)
    for cell in notebook.cells:
        cell.source = solutions.get(cell.id, cell.source)
    return notebook


if __name__ == "__main__":
    main()
