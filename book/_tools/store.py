"""The store of executed notebooks.

    _build/executed/NAME/KEY.ipynb   an executed notebook
    _build/executed/NAME/KEY.json    the inputs of its key, and a record of its run

The keys are those of ``keys.py``.
"""

import json
import os

import nbformat
import paths

KEPT = 4  # versions of a notebook: several profiles, with real and with synthetic data
INPUT_NAMES = {"code": "its code"}  # as messages name them; other inputs are files


def place(name, key):
    """Return the path of an executed notebook."""
    return paths.EXECUTED / name / f"{key}.ipynb"


def record(path):
    """Return the record of an executed notebook: its inputs, seconds, modules and files."""
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def save(name, key, notebook, about):
    """Add an executed notebook and delete the oldest versions.

    The notebook is written last and in one step, so an interruption leaves no incomplete entry.
    """
    path = place(name, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path.with_suffix(".json"), json.dumps(about, indent=1))
    write(path, nbformat.writes(notebook))
    for old in versions(name)[:-KEPT]:
        for file in (old, old.with_suffix(".json")):
            file.unlink(missing_ok=True)


def versions(name):
    """Return the paths of all versions of an executed notebook, oldest first."""
    return sorted((paths.EXECUTED / name).glob("*.ipynb"), key=os.path.getmtime)


def write(path, text):
    """Replace a file in one step."""
    work = path.with_name(f".{path.name}.{os.getpid()}")
    work.write_text(text, encoding="utf-8")
    os.replace(work, path)


def reason(name, inputs):
    """Return why a notebook with these inputs has to be executed, in a few words."""
    earlier = [record(path)["inputs"] for path in reversed(versions(name))]
    if not earlier:
        return "not executed yet"
    same_settings = [one for one in earlier if one["settings"] == inputs["settings"]]
    if not same_settings:
        before, now = earlier[0]["settings"], inputs["settings"]
        changed = [f"{key} is {value}" for key, value in now.items() if before.get(key) != value]
        return f"not executed yet where {', '.join(changed)}"
    before = same_settings[0]
    changed = [part for part in {**inputs, **before} if inputs.get(part) != before.get(part)]
    more = f" and {len(changed) - 1} more" if changed[1:] else ""
    return f"{INPUT_NAMES.get(changed[0], changed[0])}{more} changed"
