"""What the code of a notebook uses, by its syntax trees: the package's own solutions, say.

Names are followed through imports, other names and functions of the notebook. What is hidden, in a
text for ``exec`` for example, can't be followed; that it is hidden is noted.
"""

import ast
import importlib
import symtable
import warnings

from IPython.core.inputtransformer2 import TransformerManager

GIVEN = ("labkit.classes", "labkit.check.NotDone")  # every task may use them
SOLUTIONS = {"reference", "mistakes", "mutant", "expected", "compute", "_outcomes", "__dict__"}
UNUSUAL = (
    "labkit.grade",
    "inspect",
    "importlib",
    "gc",
    "sys.modules",
    "__import__",
    "exec",
    "eval",
)
LONGEST = 500_000  # characters of code that are read; the longest lab has 30,000


class Unreadable(ValueError):
    """Raised for code that can't be followed; the text is a note."""


def notes(notebook, tasks):
    """What a teacher should look at, a list of texts.

    Args:
        notebook: a ``Notebook``.
        tasks: by number; the function of a task is found by its name.
    """
    found = []
    for number, task in tasks.items():
        given = (*GIVEN, *getattr(task, "given", ()))
        names = among(notebook.uses(task.name), ["labkit"])
        if own := [name for name in names if not within(name, given)]:
            found.append(f"task {number} uses {', '.join(own)}")
    if unusual := sorted(filter(is_unusual, notebook.names())):
        found.append(f"its code uses {', '.join(unusual)}")
    return found


def is_unusual(name):
    """Whether a full name may lead to the solutions in ``labkit.check``, or hide what is used."""
    leads = within(name, ["labkit.check"]) and not SOLUTIONS.isdisjoint(name.split("."))
    return leads or within(name, UNUSUAL)


def among(names, others):
    """Those of some full names that are one of the others, or lie within one; sorted."""
    return sorted(name for name in names if within(name, others))


def within(name, others):
    return any(name == other or name.startswith(f"{other}.") for other in others)


class Notebook:
    """The code of a notebook as syntax trees.

    Args:
        cells: the sources of code cells. Those that are not Python are left out.

    Raises ``Unreadable`` if the code is too long, or nested too deep.
    """

    def __init__(self, cells):
        if sum(map(len, cells)) > LONGEST:
            raise Unreadable("its code is too long to be searched for names")
        self.full = {}  # by name: the full name of what it was imported as, or set to
        self.defined = {}  # by name: the trees that define it
        try:
            self.trees = [tree for tree in map(parsed, cells) if tree]
            for node in (node for tree in self.trees for node in ast.walk(tree)):
                self.add(node)
        except (RecursionError, MemoryError) as error:
            raise Unreadable("its code is nested too deep to be searched for names") from error

    def add(self, node):
        """Note what a node imports, defines or sets."""
        if isinstance(node, ast.Import):
            for name in node.names:
                top = name.name.partition(".")[0]
                self.full[name.asname or top] = name.name if name.asname else top
        elif isinstance(node, ast.ImportFrom):
            for name in node.names:
                names = public(node.module) if name.name == "*" else [name.name]
                self.full |= {name.asname or one: f"{node.module}.{one}" for one in names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self.defined.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value:
            for target in getattr(node, "targets", None) or [node.target]:
                if isinstance(target, ast.Name):
                    self.defined.setdefault(target.id, []).append(node.value)
                    if within(full := self.full_name(node.value), self.full.values()):
                        self.full[target.id] = full

    def full_name(self, node):
        """The full name of a chain such as ``a.b.c``; "" for any other node."""
        parts = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self.full.get(node.id, node.id), *reversed(parts)])

    def uses(self, name):
        """The full names that a name of the notebook leads to, a set."""
        found, left, seen = set(), {name}, set()
        while left:
            name = left.pop()
            seen.add(name)
            if name in self.full and name not in self.defined:
                found.add(self.full[name])
            names = set().union(*map(self.names_in, self.defined.get(name, ())))
            found |= names
            left |= names - seen
        return found

    def names(self):
        """All full names in the notebook, a set."""
        return self.by_text().union(self.full.values(), *map(self.names_in, self.trees))

    def by_text(self):
        """The names of labkit that the notebook asks for an attribute by its text."""
        calls = (node for tree in self.trees for node in ast.walk(tree) if is_getattr(node))
        return {f"{self.full_name(call.args[0])}.__dict__" for call in calls}

    def names_in(self, tree):
        """The full names in a tree, without those that are local to its functions; a set."""
        nodes = list(ast.walk(tree))  # a chain comes before its parts
        imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
        here = {one.asname or one.name.partition(".")[0] for node in imports for one in node.names}
        try:
            here |= not_local(symtable.symtable(ast.unparse(tree), "cell", "exec"))
        except (RecursionError, MemoryError, SyntaxError, ValueError) as error:
            raise Unreadable("its code is nested too deep to be searched for names") from error
        parts = {node.value for node in nodes if isinstance(node, ast.Attribute)}
        chains = {self.full_name(node) for node in nodes if node not in parts}
        known = {self.full.get(name, name) for name in here}
        return {chain for chain in chains if within(chain, known)}


def is_getattr(node):
    names = ("getattr", "vars")
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") in names and node.args


def not_local(table):
    """The names that a symbol table uses and that no function in it sets."""
    top = table.get_type() == "module"
    names = {
        symbol.get_name()
        for symbol in table.get_symbols()
        if (symbol.is_referenced() if top else symbol.is_global())
    }
    return names.union(*map(not_local, table.get_children()))


def public(module):
    """The names that ``from module import *`` sets, of a module of labkit."""
    if not within(str(module), ["labkit"]):
        return []
    try:
        found = importlib.import_module(module)
    except ImportError:
        return []
    return getattr(found, "__all__", None) or [n for n in vars(found) if not n.startswith("_")]


def parsed(cell):
    """The syntax tree of a cell, without its magics; None if it is not Python."""
    with warnings.catch_warnings(action="ignore"):  # of escapes such as "\\d"
        try:
            return ast.parse(TransformerManager().transform_cell(cell))
        except (SyntaxError, ValueError):
            return None
