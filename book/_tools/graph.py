"""The import graph of labkit, read from its sources."""

import ast
from functools import cache

import paths


@cache
def modules():
    """Return the source files of labkit by module name."""
    return {module_name(path): path for path in sorted(paths.PACKAGE.rglob("*.py"))}


def module_name(path):
    """Return the module name of a source file: ``labkit/models/unet.py`` -> labkit.models.unet."""
    parts = path.relative_to(paths.PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(code, known):
    """Return which ``known`` modules some source code imports, including inside functions.

    Raises:
        ValueError: for a relative import.
    """
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError("relative imports of labkit are not supported: use absolute ones")
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & set(known)
            found |= inner or {node.module}
    return found & set(known)


@cache
def graph():
    """Return the modules that each module of labkit imports directly."""
    return {
        name: imports_of(path.read_text("utf-8"), modules()) for name, path in modules().items()
    }


def closure(code):
    """Return the sorted names of labkit's modules that some code imports, also indirectly."""
    found, ahead = set(), imports_of(code, modules())
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            # Python also imports the packages that contain a module.
            packages = {name[:place] for place, letter in enumerate(name) if letter == "."}
            ahead |= graph()[name] | packages
    return sorted(found)
