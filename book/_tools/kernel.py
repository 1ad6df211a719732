"""Execute one notebook in a kernel of its own; ``execute.py`` starts this, and reads its lines.

    python book/_tools/kernel.py NOTEBOOK TO FOLDER

The kernel works in FOLDER. Each cell is announced as a line of JSON; the last line has the error
that stopped the notebook, or else what its run loaded and opened.
"""

import ast
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parents[2]
CELL = 900  # seconds: training on two cores takes minutes
WATCH = """
def _watched():
    import sys
    opened = set()

    def note(event, arguments):
        if event == "open" and isinstance(arguments[0], str):
            opened.add(arguments[0])

    sys.addaudithook(note)
    return opened

_opened = _watched()
"""
# Widgets without a front end: nbclient can block for ever on their messages (jupyter/nbclient#312).
NO_MESSAGES = """
import comm as _comm
_comm.create_comm = _comm.DummyComm
"""
TOLD = """
import json as _json, sys as _sys
_json.dumps({"modules": sorted(_sys.modules), "files": sorted(_opened)})
"""


def main(path, to, folder):
    notebook = nbformat.read(path, as_version=4)
    body, start, times = list(notebook.cells), time.monotonic(), {}
    explorers = bool(os.environ.get("COURSE_EXPLORERS"))
    first = WATCH + NO_MESSAGES * explorers
    watch, told = (nbformat.v4.new_code_cell(code) for code in (first, TOLD))
    notebook.cells = [watch, *body, told]
    client = NotebookClient(
        notebook,
        timeout=CELL,
        kernel_name="python3",
        record_timing=False,
        skip_cells_with_tag="" if explorers else "skip-execution",  # dead on a page
        resources={"metadata": {"path": folder}},
        on_cell_start=lambda cell, cell_index: say(cell=min(cell_index, len(body)), of=len(body)),
        on_cell_execute=lambda cell, cell_index: times.update({cell.id: -time.monotonic()}),
        on_cell_executed=lambda cell, cell_index, execute_reply: times.update(
            {cell.id: round(times[cell.id] + time.monotonic(), 2)}
        ),
    )
    try:
        client.execute(stderr=subprocess.DEVNULL)  # TensorFlow's log
    except CellExecutionError as error:
        return say(**where(notebook), error=f"{error.ename}: {error.evalue}")
    except (CellTimeoutError, DeadKernelError) as error:
        return say(**where(notebook), error=str(error))
    about = trace(ast.literal_eval(told.outputs[0].data["text/plain"]))
    notebook.cells = body
    number_cells(body)
    nbformat.write(notebook, to)
    cells = {cell.id: times[cell.id] for cell in body if cell.id in times}
    spent = os.times()
    computing = round(spent.children_user + spent.children_system, 1)  # 0 on Windows
    seconds = round(time.monotonic() - start, 1)
    return say(seconds=seconds, computing=computing, cells=cells, **about)


def say(**words):
    print(json.dumps(words), flush=True)


def where(notebook):
    """The cell that was executed last: its id and its first line."""
    ran = [cell for cell in notebook.cells if cell.get("execution_count")]
    if len(ran) < 2:  # the kernel died before the first
        return {"id": notebook.cells[1].id, "line": ""}
    return {"id": ran[-1].id, "line": ran[-1].source.partition("\n")[0]}


def trace(text):
    """Of what a kernel loaded and opened, the modules of labkit and the files of the project."""
    told, files = json.loads(text), set()
    for name in told["files"]:
        path = Path(name)
        if path.is_absolute() and path.is_relative_to(ROOT):
            files.add(path.relative_to(ROOT).as_posix())
    apart = ("_build/", ".venv", ".git/")  # what is made, installed, or has no say in a page
    kept = [name for name in files if not name.startswith(apart) and "__pycache__" not in name]
    modules = [name for name in told["modules"] if name.partition(".")[0] == "labkit"]
    return {"modules": modules, "files": sorted(kept)}


def number_cells(cells):
    """Count the cells without the first, which watched."""
    for number, cell in enumerate((c for c in cells if c.cell_type == "code"), start=1):
        if cell.execution_count:
            cell.execution_count = number
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = number


if __name__ == "__main__":
    main(*sys.argv[1:])
