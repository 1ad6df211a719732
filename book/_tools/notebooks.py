"""The notebooks of the course: their names and their sources."""

import labs
import nbformat
import paths
import yaml
from IPython.core.inputtransformer2 import TransformerManager

SLOW = ("10_skips", "12_architectures", "13_methods")


def toc():
    """Return the pages of ``_toc.yml`` as paths without suffix."""
    return [contents()["root"], *parts()]


def parts():
    """Return the part of the book, such as "Core", of each page except the first."""
    return {
        page["file"]: part["caption"]
        for part in contents()["parts"]
        for chapter in part["chapters"]
        for page in with_sections(chapter)
    }


def contents():
    """Return the content of ``_toc.yml``."""
    return yaml.safe_load((paths.ROOT / "_toc.yml").read_text(encoding="utf-8"))


def with_sections(page):
    """Return an entry of the table of contents, followed by its sections."""
    return [page, *(inner for one in page.get("sections", ()) for inner in with_sections(one))]


def names():
    """Return the names of the book's notebooks, such as "04_metrics" and "back/runs"."""
    pages = [page.removeprefix("book/") for page in toc()]
    return [page for page in pages if (paths.BOOK / f"{page}.ipynb").exists()]


def lab_names():
    """Return the names of the labs, such as "labs/04_metrics"."""
    return [f"labs/{name}" for name in labs.CHECKS]


def all_names():
    """Return the names of the book's notebooks and of the labs."""
    return [*names(), *lab_names()]


def is_slow(name):
    """Return whether ``make test`` leaves a notebook to ``make test-all``."""
    return name in SLOW or (name in lab_names() and name != "labs/04_metrics")


def source(name):
    """Return a notebook without outputs; a lab is generated from its chapter."""
    if name.startswith("labs/"):
        return labs.lab(name.removeprefix("labs/"))
    return parse((paths.BOOK / f"{name}.ipynb").read_text(encoding="utf-8"))


def parse(text):
    """Return a notebook from the text of its file; cells without an id get one.

    Editors that write an older format, such as Google Colab, save no ids.
    """
    notebook = nbformat.reads(text, as_version=4)
    for number, cell in enumerate(notebook.cells):
        cell.setdefault("id", f"cell-{number}")
    notebook.nbformat_minor = 5  # the first with ids
    return notebook


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def code_of(notebook):
    """Return the code of all cells as plain Python; magics become function calls."""
    plain = TransformerManager().transform_cell
    return "\n".join(plain(cell.source) for cell in code_cells(notebook))
