"""What a notebook does while tasks are open: a cell that needs one waits, and the rest goes on.

A cell that calls an unsolved function would end with a traceback, and "run all" would stop there.
In its place a line says which task the cell waits for. Names that it would have set are taken
away, so that no later cell works with old values; a cell that misses one of them waits as well.
"""

import ast
import sys

from labkit.check.answer import open_task


class Waiting:
    """The hooks of one IPython shell."""

    def __init__(self, shell):
        self.shell = shell
        self.names = {}  # a name that was not set -> the task that it waits for
        self.traceback, shell.showtraceback = shell.showtraceback, self.show
        self.source = ""
        shell.events.register("pre_run_cell", self.begin)
        shell.events.register("post_run_cell", self.forgive)

    def begin(self, info):
        """Called by IPython before each cell."""
        self.source = info.raw_cell

    def show(self, exc_tuple=None, *args, **options):
        """In the place of IPython's ``showtraceback``, for cells and for callbacks of widgets."""
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
        """Called by IPython after each cell: one that waits has not failed."""
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
    return sys.maxsize  # in no line of it: a widget called something that a cell made


def unset(source, stopped):
    """Names that a cell's source sets in statements that end at or after a line."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:  # such as a line for the shell
        return []
    late = [statement for statement in statements if statement.end_lineno >= stopped]
    nodes = [node for statement in late for node in own(statement)]
    names = [node.id for node in nodes if isinstance(node, ast.Name)]
    names += [node.name for node in nodes if not isinstance(node, ast.Name)]
    return list(dict.fromkeys(names))


def own(node):
    """What a statement sets in the cell's own namespace, not inside its functions."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node]
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return [node]
    if isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        return []
    return [found for child in ast.iter_child_nodes(node) for found in own(child)]


def start():
    """Put the hooks into the notebook that this runs in, if it is one; a second time, nothing."""
    if "IPython" not in sys.modules:
        return
    from IPython import get_ipython

    shell = get_ipython()
    if shell is not None and not hasattr(shell, "labkit_waiting"):
        shell.labkit_waiting = Waiting(shell)
