"""What shapes the outputs of a notebook, and the store of executed notebooks.

    _build/executed/NAME/KEY.ipynb   an executed notebook
    _build/executed/NAME/KEY.json    what its key was made of, and what its run loaded and opened
    _build/executed/NAME/KEY.runs/   its trained models, if other notebooks load them

A key is a hash of everything that shapes the outputs: the code cells, the modules of labkit that
they import (without docstrings and comments), the files that these read, the exact versions in
requirements.txt, the settings, and the key of a notebook whose trained model is loaded.
"""

import ast
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import graph
import labs
import nbformat
import yaml
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
BUILD = ROOT / "_build"
EXECUTED = BUILD / "executed"
KEPT = 4  # executed versions of a notebook: some profiles, real and drawn pets
TRAINS = "05_training"  # its model is what others load
SLOW = ("10_architectures", "11_methods")
LOADS = ("recipes.course_model(", 'name="course"')
# Files that a module reads when a notebook calls it, as paths from ROOT.
READS = {
    "labkit.data": ["labkit/validation.txt"],
    "labkit.experiments.ledger": ["labkit/experiments/results"],
}
RANDOM = """
import pathlib, sys
import keras
from labkit.models.encoder import WEIGHTS_FILE

keras.utils.set_random_seed(0)
size = {"input_shape": (128, 128, 3), "include_top": False}
folder = pathlib.Path(sys.argv[1]) / "models"
folder.mkdir()
keras.applications.MobileNetV2(**size, weights=None).save(folder / WEIGHTS_FILE)
"""
WORDS = {"code": "its code", "settings": "settings"}


@dataclass(frozen=True)
class Settings:
    """What a run of notebooks depends on beside the sources.

    Attributes:
        values: that shape the outputs, by name; they are part of every key.
        environment: variables for the kernels.
    """

    values: dict
    environment: dict = field(repr=False)

    @classmethod
    def of_book(cls):
        """As the environment says. Gets the dataset ready, which may take a download.

        Raises ValueError for a setting that means nothing, ConnectionError as ``data.load``.
        """
        from labkit import data, profile

        environment = dict(os.environ)
        environment.pop("LABKIT_RUNS", None)  # a reader's own trainings stay out of the book
        for name in ("TFDS_DATA_DIR", "KERAS_HOME", "LABKIT_CACHE"):  # kernels work elsewhere
            if environment.get(name):
                environment[name] = str(Path(environment[name]).expanduser().resolve())
        # An NVIDIA driver stands for a GPU: asking Keras would take seconds, each time.
        default = profile.PROFILES["full" if shutil.which("nvidia-smi") else "quick"]
        budget = profile.current() if environment.get("LABKIT_PROFILE") else default
        environment["LABKIT_PROFILE"] = budget.name
        values = {
            "profile": budget.name,
            "data": data.load(limit=budget.images).source,
            "weights": weights_are_here(environment),
            "backend": environment.get("KERAS_BACKEND") or "tensorflow",
            "python": python(),
        }
        return cls(values, environment)

    @classmethod
    def of_tests(cls):
        """The shortest profile, drawn pets, no network, nothing from the user's folders.

        Random numbers stand for ImageNet's weights: an encoder without weights would be trained.
        """
        values = {"profile": "smoke", "data": "synthetic", "weights": "random", "explorers": True}
        nowhere = "http://127.0.0.1:9"
        mine = {
            "LABKIT_PROFILE": "smoke",
            "LABKIT_DATA": "synthetic",
            "COURSE_EXPLORERS": "yes",
            "LABKIT_CACHE": str(BUILD / "cache"),
            "KERAS_HOME": str(random_weights()),
            "http_proxy": nowhere,
            "https_proxy": nowhere,
            "no_proxy": "",
        }
        dropped = ("LABKIT_RUNS", "TFDS_DATA_DIR", "KERAS_BACKEND")
        kept = {name: value for name, value in os.environ.items() if name not in dropped}
        return cls(values | {"backend": "tensorflow", "python": python()}, kept | mine)


def python():
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def random_weights():
    """A folder as Keras keeps it, with random weights of MobileNetV2; made once."""
    home = EXECUTED / "random-weights"
    if not (home / "models").exists():
        EXECUTED.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=EXECUTED))
        subprocess.run(
            [sys.executable, "-c", RANDOM, str(work)], check=True, stderr=subprocess.DEVNULL
        )
        with contextlib.suppress(OSError):  # another process was faster
            work.rename(home)
        shutil.rmtree(work, ignore_errors=True)
    return home


def weights_are_here(environment):
    """Whether notebooks find MobileNetV2's weights, in Keras's folder or by a download."""
    home = Path(environment.get("KERAS_HOME") or Path.home() / ".keras")
    if any(home.glob("models/mobilenet_v2_weights_*_no_top.h5")):
        return True
    from labkit import data

    return data.reachable("https://storage.googleapis.com/tensorflow/keras-applications/")


# --- notebooks -----------------------------------------------------------------------------------


def names():
    """Names of the notebooks in the book's table of contents: "04_metrics", "back/runs"."""
    pages = [page.removeprefix("book/") for page in toc()]
    return [page for page in pages if (BOOK / f"{page}.ipynb").exists()]


def toc():
    """The pages of ``_toc.yml``, as paths without an ending."""
    found = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter for part in found["parts"] for chapter in part["chapters"]]
    return [found["root"], *(page["file"] for one in chapters for page in with_sections(one))]


def with_sections(page):
    """A page of the table of contents, and those below it."""
    return [page, *(inner for one in page.get("sections", ()) for inner in with_sections(one))]


def lab_names():
    return [f"labs/{name}" for name in labs.CHECKS]


def is_slow(name):
    """Whether `make test` leaves a notebook to `make test-all`, and to the book."""
    return name in SLOW or (name in lab_names() and name != "labs/04_metrics")


def source(name):
    """A notebook of the book; that of a lab is made from its chapter."""
    if name.startswith("labs/"):
        return labs.lab(name.removeprefix("labs/"))
    return nbformat.read(BOOK / f"{name}.ipynb", as_version=4)


def code_of(notebook):
    """The code of all cells as plain Python."""
    plain = TransformerManager().transform_cell  # magics become calls
    return "\n".join(plain(cell.source) for cell in notebook.cells if cell.cell_type == "code")


def follows(name):
    """The notebook whose trained model this one loads, or None."""
    cells = source(name).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    return TRAINS if name != TRAINS and any(call in code for call in LOADS) else None


# --- keys ----------------------------------------------------------------------------------------


def inputs(name, settings):
    """Everything that shapes a notebook's outputs: a hash or a value by its name."""
    notebook = source(name)
    code = code_of(notebook)
    found = {"code": digest([executed_part(cell) for cell in code_cells(notebook)])}
    for module in graph.closure(code):
        found[graph.modules()[module].relative_to(ROOT).as_posix()] = module_hash(module)
        for file in READS.get(module, ()):
            found |= file_hashes(ROOT / file)
    found |= {f"the source of {shown}": digest(text) for shown, text in shown_sources(code).items()}
    found |= file_hashes(ROOT / "requirements.txt") | {"settings": settings.values}
    if before := follows(name):
        found[f"chapter {before}"] = key(inputs(before, settings))
    return found


def read_anew():
    """Forget the sources that were read, because they may have changed."""
    for function in (graph.modules, graph.graph, module_hash):
        function.cache_clear()


def key(found):
    """A key of 16 characters from ``inputs``."""
    return digest(found)[:16]


def digest(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def executed_part(cell):
    """Of a code cell, what changes its execution."""
    tags = {"skip-execution", "raises-exception"} & set(cell.metadata.get("tags", []))
    return [cell.id, cell.source, sorted(tags)]


@cache
def module_hash(module):
    """Of a module's syntax tree without docstrings; comments are not in it anyway."""
    tree = ast.parse(graph.modules()[module].read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return digest(ast.dump(tree))


def file_hashes(path):
    """Hashes of a file, or of all files in a folder, by their path from ROOT."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {
        file.relative_to(ROOT).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file()
    }


def shown_sources(code):
    """Sources that a notebook shows, docstrings and all, by calls ``show(module.name)``."""
    tree, imported = ast.parse(code), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "labkit":
            for alias in node.names:
                imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    found = {}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name("show"), args=[ast.Attribute(ast.Name(short), wanted)]) if (
                imported.get(short) in graph.modules()
            ):
                text = graph.modules()[imported[short]].read_text(encoding="utf-8")
                parts = [p for p in ast.parse(text).body if getattr(p, "name", "") == wanted]
                segments = [ast.get_source_segment(text, part) for part in parts]
                found[f"{imported[short]}.{wanted}"] = segments
    return found


# --- the store -----------------------------------------------------------------------------------


def place(name, code):
    """Path of an executed notebook; beside it lie its record and its trained models."""
    return EXECUTED / name / f"{code}.ipynb"


def record(path):
    """What is kept beside an executed notebook: its inputs, seconds, modules and files."""
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def save(name, code, notebook, about, runs):
    """Put an executed notebook into the store; it is there whole or not at all."""
    path = place(name, code)
    path.parent.mkdir(parents=True, exist_ok=True)
    if name == TRAINS:
        shutil.rmtree(path.with_suffix(".runs"), ignore_errors=True)
        if runs.exists():
            shutil.copytree(runs, path.with_suffix(".runs"))
    write(path.with_suffix(".json"), json.dumps(about, indent=1))
    write(path, nbformat.writes(notebook))
    for old in sorted(path.parent.glob("*.ipynb"), key=os.path.getmtime)[:-KEPT]:
        for file in (old, old.with_suffix(".json")):
            file.unlink(missing_ok=True)
        shutil.rmtree(old.with_suffix(".runs"), ignore_errors=True)


def write(path, text):
    """Replace a file in one step."""
    work = path.with_name(f".{path.name}.{os.getpid()}")
    work.write_text(text, encoding="utf-8")
    os.replace(work, path)


def reason(name, found):
    """Why a notebook with these inputs has to be executed, in a few words."""
    paths = sorted((EXECUTED / name).glob("*.ipynb"), key=os.path.getmtime, reverse=True)
    earlier = [record(path)["inputs"] for path in paths]
    same = [one for one in earlier if one["settings"] == found["settings"]]
    if not earlier:
        return "not executed yet"
    before = (same or earlier)[0]
    if before["settings"] != found["settings"]:
        pairs = found["settings"].items()
        changed = [f"{k} is {v}" for k, v in pairs if before["settings"].get(k) != v]
        return f"not executed yet where {', '.join(changed)}"
    changed = [part for part in {**found, **before} if found.get(part) != before.get(part)]
    more = f" and {len(changed) - 1} more" if changed[1:] else ""
    return f"{WORDS.get(changed[0], changed[0])}{more} changed"
