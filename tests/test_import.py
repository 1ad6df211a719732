"""Packages loaded by imports, and dependencies between the package's modules."""

import logging
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

import graph
import pytest

HEAVY = {
    *("IPython", "PIL", "jax", "keras", "matplotlib", "numpy", "pandas"),
    *("scipy", "tensorflow", "tensorflow_datasets", "torch"),
}
LAYERS = (  # imports go to an earlier layer, or stay inside one
    {"cells", "classes", "profile", "synthetic"},  # neither Keras nor TensorFlow
    {"download", "folders", "pictures", "problems", "runs", "splits"},
    {"augment", "batches", "data", "losses", "metrics", "photos", "plots", "training"},
    *({name} for name in ("models", "analysis", "methods", "experiments", "check", "grade", "cli")),
)


def loaded_by(statement):
    """Heavy packages that a new Python process has loaded after a statement."""
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return HEAVY & set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import labkit", set()),
        ("import labkit.cli", set()),
        ("from labkit import profile", set()),
        ("from labkit import classes, synthetic", {"numpy"}),
        ("from labkit import data", {"numpy", "PIL"}),
        (
            "from labkit.experiments import ledger; ledger.rows('laboratory'); ledger.study('few')",
            {"numpy", "pandas", "scipy"},
        ),
    ],
)
def test_import_loads_only_needed_packages(statement, allowed):
    assert loaded_by(statement) - allowed == set()


def test_loaded_by_detects_heavy_packages():
    assert loaded_by("import numpy") == {"numpy"}


MODULES, GRAPH = graph.modules(), graph.graph()


def test_package_has_no_import_cycles():
    order = list(TopologicalSorter(GRAPH).static_order())  # raises CycleError
    assert order.index("labkit.augment") < order.index("labkit.batches")
    assert order.index("labkit.models.encoder") < order.index("labkit.models.unet")


def test_import_cycle_is_detected():
    codes = {
        "labkit.a": "from labkit import b",
        "labkit.b": "def later():\n    from labkit.a import thing",
    }
    imports = {name: graph.imports_of(code, codes) for name, code in codes.items()}
    assert imports == {"labkit.a": {"labkit.b"}, "labkit.b": {"labkit.a"}}
    with pytest.raises(CycleError):
        TopologicalSorter(imports).prepare()


def test_relative_import_raises():
    with pytest.raises(ValueError, match="relative"):
        graph.imports_of("from . import data", MODULES)


def test_closure_includes_indirect_imports():
    modules = graph.closure("from labkit.models.unet import unet_model")
    assert {"labkit", "labkit.models", "labkit.models.unet", "labkit.models.encoder"} < set(modules)
    assert "labkit.experiments.ledger" not in modules
    assert graph.closure("import numpy") == []


def layer(name):
    """Layer number of a module; the package itself is below all layers, for its version."""
    part = name.partition("labkit")[2].strip(".").partition(".")[0]
    numbers = [number for number, names in enumerate(LAYERS) if part in names]
    assert len(numbers) == (part != ""), f"{name}: give it one of LAYERS"
    return numbers[0] if numbers else -1


def test_imports_go_to_earlier_layers():
    upward = {
        (name, other)
        for name, imported in GRAPH.items()
        for other in imported
        if layer(other) > layer(name)
    }
    assert upward == set()


def test_layers_list_all_modules():
    parts = {name.split(".")[1] for name in MODULES if "." in name}
    assert set().union(*LAYERS) == parts


def test_models_do_not_import_skips():
    names = {name for name in GRAPH if name.startswith("labkit.models.")}
    assert not any("labkit.models.skips" in GRAPH[name] for name in names)


def test_nothing_imports_cli():
    assert not any("labkit.cli" in imported for imported in GRAPH.values())


def test_only_retracing_warning_is_hidden(caplog):
    logger = logging.getLogger("tensorflow")
    with caplog.at_level(logging.WARNING, logger="tensorflow"):
        logger.warning("5 out of the last 5 calls triggered tf.function retracing.")
        logger.warning("Something else.")
    assert "Something else." in caplog.messages
    assert not any("retracing" in message for message in caplog.messages)
