"""Cache keys of executed notebooks.

A key is a hash of everything that affects a notebook's outputs: its code cells, the modules of
labkit that they import (without docstrings and comments), the files that these modules read, the
pinned versions in requirements.txt, and the settings.
"""

import ast
import hashlib
import json
from functools import cache

import graph
import notebooks
import paths

# Files that a module reads at run time, as paths from the repository's root.
READS = {
    "labkit.data": ["labkit/validation.txt"],
    "labkit.experiments.ledger": ["labkit/experiments/results"],
    "labkit.models.weights": ["labkit/models/trained.npz"],
}


def key(inputs):
    """Return a key of 16 characters from the result of ``inputs``."""
    return digest(inputs)[:16]


def digest(value):
    """Return the SHA-256 hash of a value that JSON can represent."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def inputs(name, settings):
    """Return everything that affects a notebook's outputs, as a dict of hashes and values."""
    notebook = notebooks.source(name)
    code = notebooks.code_of(notebook)
    found = {"code": digest([executed_part(cell) for cell in notebooks.code_cells(notebook)])}
    for module in graph.closure(code):
        found[graph.modules()[module].relative_to(paths.ROOT).as_posix()] = module_hash(module)
        for file in READS.get(module, ()):
            found |= file_hashes(paths.ROOT / file)
    for shown, text in shown_sources(code).items():
        found[f"the source of {shown}"] = digest(text)
    found |= file_hashes(paths.ROOT / "requirements.txt") | {"settings": settings.values}
    return found


def executed_part(cell):
    """Return what affects the execution of a code cell: id, source and whether it may raise."""
    return [cell.id, cell.source, "raises-exception" in cell.metadata.get("tags", [])]


@cache
def module_hash(module):
    """Return a hash of a module's syntax tree, which has no comments, without docstrings."""
    tree = ast.parse(graph.modules()[module].read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return digest(ast.dump(tree))


def file_hashes(path):
    """Return the hash of a file, or of each file in a folder, by its path from the root."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {
        file.relative_to(paths.ROOT).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file()
    }


def shown_sources(code):
    """Return the sources that a notebook displays with ``show(module.name)``, by their full name.

    Docstrings of these functions and classes affect the page, so they belong in the key.
    """
    tree = ast.parse(code)
    aliases, found = labkit_aliases(tree), {}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name("show"), args=[ast.Attribute(ast.Name(alias), wanted)]) if (
                aliases.get(alias) in graph.modules()
            ):
                text = graph.modules()[aliases[alias]].read_text(encoding="utf-8")
                parts = [p for p in ast.parse(text).body if getattr(p, "name", "") == wanted]
                segments = [ast.get_source_segment(text, part) for part in parts]
                found[f"{aliases[alias]}.{wanted}"] = segments
    return found


def labkit_aliases(tree):
    """Return what a syntax tree imports from labkit: full names by the names in use."""
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "labkit"
        for alias in node.names
    }


def clear_cache():
    """Forget the source files that were read, because they may have changed."""
    for function in (graph.modules, graph.graph, module_hash):
        function.cache_clear()
