"""Execute one notebook in a new kernel.

    python book/_tools/kernel.py NOTEBOOK OUTPUT FOLDER

``execute.py`` starts this as a child process. The kernel's working directory is FOLDER. Standard
output has a line of JSON at the start of each cell; the last line has the error that stopped the
notebook, or a record of the run: times, and the modules and files that it loaded.
"""

import ast
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import paths
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

CELL_TIMEOUT = 900  # seconds: training on two cores takes minutes
# Code of the first cell: records the files that are opened.
RECORD_FILES = """
def _record_files():
    import sys
    opened = set()

    def note(event, arguments):
        if event == "open" and isinstance(arguments[0], str):
            opened.add(arguments[0])

    sys.addaudithook(note)
    return opened

_opened = _record_files()
"""
# Figures with two pixels for each pixel of the page, for sharp screens.
SHARP_FIGURES = """
get_ipython().run_line_magic("config", "InlineBackend.figure_formats = ['retina']")
"""
# Code of the last cell.
SHOW_RECORD = """
import json as _json, sys as _sys
_json.dumps({"modules": sorted(_sys.modules), "files": sorted(_opened)})
"""
# Made or installed files, which do not affect a page.
IGNORED = ("_build/", ".venv", ".git/")


def main(path, output, folder):
    notebook = nbformat.read(path, as_version=4)
    cells, start, times = list(notebook.cells), time.monotonic(), {}
    codes = (RECORD_FILES + SHARP_FIGURES, SHOW_RECORD)
    record, show = (nbformat.v4.new_code_cell(code) for code in codes)
    notebook.cells = [record, *cells, show]
    try:
        execute(notebook, folder, times)
    except CellExecutionError as error:
        return report(**last_cell(notebook), error=f"{error.ename}: {error.evalue}")
    except (CellTimeoutError, RuntimeError) as error:  # RuntimeError: the kernel died
        return report(**last_cell(notebook), error=str(error))
    except AssertionError:  # of jupyter_client, if the kernel dies between two messages
        return report(**last_cell(notebook), error="Kernel died")
    loaded = loaded_from_project(ast.literal_eval(show.outputs[0].data["text/plain"]))
    notebook.cells = cells
    number_cells(cells)
    nbformat.write(notebook, output)
    spent = os.times()
    return report(
        seconds=round(time.monotonic() - start, 1),
        computing=round(spent.children_user + spent.children_system, 1),  # 0 on Windows
        cells={cell.id: times[cell.id] for cell in cells if cell.id in times},
        **loaded,
    )


def execute(notebook, folder, times):
    """Execute a notebook, with a second kernel if the first one does not start.

    Kernels that start at the same moment can choose the same port, and then one of them dies.
    """
    log = subprocess.DEVNULL  # TensorFlow writes to standard error
    try:
        new_client(notebook, folder, times).execute(stderr=log)
    except RuntimeError:
        if times:  # it started and then died
            raise
        new_client(notebook, folder, times).execute(stderr=log)


def new_client(notebook, folder, times):
    """Return a client that reports each cell and writes its seconds into ``times``."""
    count = len(notebook.cells) - 2  # without the first and the last cell, which are added

    def started(cell, cell_index):
        report(cell=min(cell_index, count), of=count)

    def executing(cell, cell_index):
        times[cell.id] = -time.monotonic()

    def executed(cell, cell_index, execute_reply):
        times[cell.id] = round(times[cell.id] + time.monotonic(), 2)

    return NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": folder}},
        on_cell_start=started,
        on_cell_execute=executing,
        on_cell_executed=executed,
    )


def report(**values):
    """Print a line of JSON."""
    print(json.dumps(values), flush=True)


def last_cell(notebook):
    """Return the id and the first line of the cell that was executed last."""
    executed = [cell for cell in notebook.cells if cell.get("execution_count")]
    if len(executed) < 2:  # the kernel died in the notebook's first cell
        return {"id": notebook.cells[1].id, "line": ""}
    return {"id": executed[-1].id, "line": executed[-1].source.partition("\n")[0]}


def loaded_from_project(text):
    """Return labkit's modules and the project's files among those that a kernel has loaded."""
    record, files = json.loads(text), set()
    for name in record["files"]:
        path = Path(name)
        if path.is_absolute() and path.is_relative_to(paths.ROOT):
            files.add(path.relative_to(paths.ROOT).as_posix())
    kept = [name for name in files if not name.startswith(IGNORED) and "__pycache__" not in name]
    modules = [name for name in record["modules"] if name.partition(".")[0] == "labkit"]
    return {"modules": modules, "files": sorted(kept)}


def number_cells(cells):
    """Set execution counts as if the recording cell had not been executed."""
    for number, cell in enumerate((c for c in cells if c.cell_type == "code"), start=1):
        if cell.execution_count:
            cell.execution_count = number
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = number


if __name__ == "__main__":
    main(*sys.argv[1:])
