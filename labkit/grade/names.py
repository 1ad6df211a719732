"""What the code of a notebook uses, by its syntax trees: the package's own solutions, say.

Names are followed through imports, other names and functions of the notebook. Whoever wants to can
hide what is used, in a text for ``exec`` for example: only that it may be hidden is noted then.
"""

import ast
import builtins
import importlib
import symtable
from itertools import pairwise

from labkit.check.syntax import parsed

GIVEN = ("labkit.classes", "labkit.check.NotDone")  # every task may use them
SOLUTIONS = {"reference", "mistakes", "mutant"}  # attributes of a task
UNUSUAL = (
    *("labkit.grade", "inspect", "importlib", "builtins", "sys.modules", "gc.get_objects"),
    *("gc.get_referrers", "gc.get_referents", "exec", "eval", "compile", "__import__"),
)
LONGEST = 200_000  # characters of code that are searched; the longest lab has 30,000
SHOWN = 5  # names in a note
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Unreadable(ValueError):
    """Raised for code that can't be searched; the text is a note."""


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
            found.append(f"task {number} uses {shown(own)}")
    names = notebook.all_names()
    if unusual := [*among(names, UNUSUAL), *sorted(filter(is_solution, names))]:
        found.append(f"its code uses {shown(unusual)}")
    return found


def is_solution(name):
    """Whether a full name may be that of an attribute of a task."""
    root, *parts = name.split(".")
    return root in ("labkit", "") and not SOLUTIONS.isdisjoint(parts)


def shown(names):
    """Some names as text, without those that the next one begins with."""
    names = [one for one, after in pairwise([*names, ""]) if not after.startswith(f"{one}.")]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def among(names, others):
    """Those of some full names that are one of the others, or lie within one; sorted."""
    return sorted(name for name in names if within(name, others))


def within(name, others):
    return any(name == other or name.startswith(f"{other}.") for other in others)


class Notebook:
    """The code of a notebook as syntax trees. Cells that are not Python are left out.

    Raises ``Unreadable`` if the code is too long, or nested too deep.
    """

    def __init__(self, cells):
        if sum(map(len, cells)) > LONGEST:
            raise Unreadable("its code is too long to be searched for names")
        self.imported = {}  # by name: the full name of what it was imported as
        self.defined = {}  # by name: the trees that define it; the last definition counts
        self.stars = []  # modules outside of labkit of which everything was imported
        self.found = {}  # by tree: the names in it
        try:
            self.trees = [tree for tree in map(parsed, cells) if tree]
            for tree in self.trees:
                for node in of_module(tree):
                    self.add(node)
        except (RecursionError, MemoryError) as error:
            raise Unreadable("its code is nested too deep to be searched for names") from error

    def add(self, node):
        """Note what a node of a cell's top level imports, defines or sets."""
        if isinstance(node, ast.Import | ast.ImportFrom):
            names, stars = imports(node)
            self.stars = [*self.stars, *stars][:SHOWN]
            for name, full in names.items():
                self.set(name, full)
        elif isinstance(node, FUNCTIONS):
            self.set(node.name, node)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                self.bind(target, node.value)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value:
            self.bind(node.target, node.value)
        elif isinstance(node, ast.For):
            self.bind(node.target, node.iter)

    def bind(self, target, value):
        """Note that a target stands for a value; an item or attribute adds to what is there."""
        root, parts = chain(value)
        if isinstance(target, ast.Name) and root in self.imported:
            self.set(target.id, full_name(self.imported[root], parts))  # another name for it
            return
        for part in ast.walk(target):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                self.set(part.id, value)
            elif isinstance(part, ast.Name):
                self.defined.setdefault(part.id, []).append(value)

    def set(self, name, meaning):
        """Let a name mean a full name or a tree, and nothing that it meant before."""
        self.imported.pop(name, None)
        self.defined.pop(name, None)
        if isinstance(meaning, str):
            self.imported[name] = meaning
        else:
            self.defined[name] = [meaning]

    def uses(self, name):
        """The full names that a name of the notebook leads to, a set."""
        found, left, seen = set(), {name}, set()
        if name in self.imported:
            found.add(self.imported[name])
        while left:
            name = left.pop()
            seen.add(name)
            for tree in self.defined.get(name, ()):
                names, defined = self.names_in(tree)
                found |= names
                left |= defined - seen
        return found

    def all_names(self):
        """The full names in all cells, a set."""
        return set().union(*(self.names_in(tree)[0] for tree in self.trees))

    def names_in(self, tree):
        """The full names in a tree, and names that the notebook defines; without local ones."""
        if tree not in self.found:
            try:
                self.found[tree] = self.search(tree)
            except (RecursionError, MemoryError) as error:
                raise Unreadable("its code is nested too deep to be searched for names") from error
        return self.found[tree]

    def search(self, tree):
        nodes = list(ast.walk(tree))
        own = {}  # what the tree itself imports, inside of a function perhaps
        for node in nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                own |= imports(node)[0]
        outside, imported = not_local(tree) | own.keys(), self.imported | own
        inner = {node.value for node in nodes if isinstance(node, ast.Attribute)}
        names, defined = set(), set()
        for node in nodes:
            if isinstance(node, ast.Call):
                names |= by_text(node, imported)
            if not isinstance(node, ast.Name | ast.Attribute) or node in inner:
                continue
            root, parts = chain(node)
            if root not in imported and SOLUTIONS & {*parts}:
                names.add(full_name("", parts))
            if root not in outside:
                continue
            if root in self.defined and root not in own:
                defined.add(root)
            elif root in imported:
                names.add(full_name(imported[root], parts))
            elif hasattr(builtins, root):
                names.add(full_name(root, parts))
            else:
                names |= {full_name(f"{module}.{root}", parts) for module in self.stars}
        return names, defined


def of_module(node):
    """The nodes within a node, without those within its functions and classes; in order."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, FUNCTIONS):
            yield from of_module(child)


def imports(node):
    """What an import sets, full names by name; and modules outside of labkit, for ``import *``."""
    if isinstance(node, ast.Import):
        tops = ((one, one.name.partition(".")[0]) for one in node.names)
        return {one.asname or top: one.name if one.asname else top for one, top in tops}, []
    if node.names[0].name != "*":
        return {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}, []
    if not within(str(node.module), ["labkit"]):
        return {}, [node.module]
    return {name: f"{node.module}.{name}" for name in public(node.module)}, []


def public(module):
    """The names that ``from module import *`` sets, of a module of labkit."""
    try:
        found = importlib.import_module(module)
    except ImportError:
        return []
    return getattr(found, "__all__", None) or [n for n in vars(found) if not n.startswith("_")]


def chain(node):
    """The first name of a chain such as ``a.b.c``, or "", and the attributes."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id if isinstance(node, ast.Name) else ""), parts[::-1]


def full_name(root, parts):
    """A chain as text, of which the beginning is enough; keras is part of TensorFlow, too."""
    name = ".".join([root, *parts[:10]])[:200]
    return name.removeprefix("tensorflow.") if within(name, ["tensorflow.keras"]) else name


def by_text(call, imported):
    """What ``getattr`` or ``vars`` may take from the checks of labkit."""
    if not call.args or chain(call.func)[0] not in ("getattr", "vars"):
        return set()
    root, parts = chain(call.args[0])
    name = full_name(imported.get(root, ""), parts)
    return {f"{name}.reference"} if within(name, ["labkit.check"]) else set()


def not_local(tree):
    """The names in a tree that no function in it sets."""
    try:
        return outer_names(symtable.symtable(ast.unparse(tree), "cell", "exec"))
    except (SyntaxError, ValueError):  # code that does not run
        return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def outer_names(table):
    top = table.get_type() == "module"
    names = {
        symbol.get_name()
        for symbol in table.get_symbols()
        if (symbol.is_referenced() if top else symbol.is_global())
    }
    return names.union(*map(outer_names, table.get_children()))
