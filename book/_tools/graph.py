"""Which modules of labkit a piece of code imports, directly or not, read from the sources."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "labkit"


def module_name(path):
    """``labkit/models/unet.py`` -> "labkit.models.unet"."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules():
    """Source files of labkit by module name."""
    return {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports_of(code, known):
    """Names of those ``known`` modules that some source code imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError("write imports from labkit in full, so that they can be found")
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & set(known)
            found |= inner or {node.module}
    return found & set(known)


@cache
def graph():
    """The modules that each module of labkit imports itself."""
    return {
        name: imports_of(path.read_text("utf-8"), modules()) for name, path in modules().items()
    }


def closure(code):
    """Sorted names of all modules of labkit that are loaded when some code runs."""
    found, ahead = set(), imports_of(code, modules())
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            # Python imports the packages around a module first.
            packages = {name[:place] for place, letter in enumerate(name) if letter == "."}
            ahead |= graph()[name] | packages
    return sorted(found)
