"""Keep a notebook running while tasks are unsolved.

A cell that calls an unsolved function would raise an error, and "run all" would stop there.
Instead, a line says which task the cell waits for. The names that it would have assigned are
deleted, so that no later cell uses old values; a cell that needs one of them waits as well.
"""

import ast
import sys

from labkit.check.answer import open_task
from labkit.check.syntax import parsed


class Waiting:
    """Hooks of an IPython shell."""

    def __init__(self, shell):
        self.shell = shell
        self.names = {}  # name that was not assigned -> the task that it waits for
        self.traceback, shell.showtraceback = shell.showtraceback, self.show
        self.source = ""
        shell.events.register("pre_run_cell", self.begin)
        shell.events.register("post_run_cell", self.forgive)

    def begin(self, info):
        """Called by IPython before each cell."""
        self.source = info.raw_cell

    def show(self, exc_tuple=None, *args, **options):
        """Replaces IPython's ``showtraceback``, for cells and for callbacks of widgets."""
        _, error, traceback = exc_tuple or sys.exc_info()
        number = self.task(error)
        if number is None:
            self.traceback(exc_tuple, *args, **options)
            return
        for name in unset(self.source, line(traceback, self.shell.user_ns)):
            self.names[name] = number
            self.shell.user_ns.pop(name, None)
        from IPython.display import Markdown, display

        display(Markdown(f"*This cell waits for task {number}.*"))

    def forgive(self, result):
        """Called by IPython after each cell: a waiting cell has not failed."""
        if self.task(result.error_in_exec) is not None:
            result.error_in_exec = None

    def task(self, error):
        """The number of the task that an error comes from, or None."""
        if number := open_task(error):
            return number
        if isinstance(error, NameError) and error.name not in self.shell.user_ns:
            return self.names.get(error.name)
        return None


def line(traceback, namespace):
    """The line of the cell in which an error came up, from 1."""
    while traceback is not None:
        if traceback.tb_frame.f_locals is namespace:
            return traceback.tb_lineno
        traceback = traceback.tb_next
    return sys.maxsize  # not in the cell: a widget called a function of an earlier cell


def unset(source, stopped):
    """Names that a cell assigns in statements that end at or after a line."""
    tree = parsed(source)
    late = [one for one in tree.body if one.end_lineno >= stopped] if tree else []
    nodes = [node for statement in late for node in own(statement)]
    names = [node.id for node in nodes if isinstance(node, ast.Name)]
    names += [node.name for node in nodes if not isinstance(node, ast.Name)]
    return list(dict.fromkeys(names))


def own(node):
    """Nodes that assign in the cell's namespace, not inside its functions."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node]
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return [node]
    if isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        return []
    return [inner for child in ast.iter_child_nodes(node) for inner in own(child)]


def start():
    """Install the hooks once, if this runs in a notebook."""
    if "IPython" not in sys.modules:
        return
    from IPython import get_ipython

    shell = get_ipython()
    if shell is not None and not hasattr(shell, "labkit_waiting"):
        shell.labkit_waiting = Waiting(shell)
