"""How much work a notebook does: a lot on a GPU, minutes on a laptop, seconds in a test."""

import os
import platform
from dataclasses import dataclass
from importlib import metadata

from labkit import __version__


@dataclass(frozen=True)
class Profile:
    """A budget. ``images`` is (train, test), or None for all that there are."""

    name: str
    epochs: int
    images: tuple[int, int] | None


PROFILES = {
    "full": Profile("full", epochs=10, images=None),  # the laboratory work's ten epochs
    "quick": Profile("quick", epochs=3, images=None),
    "smoke": Profile("smoke", epochs=2, images=(64, 32)),
}


def device():
    """What the Keras backend computes on: "GPU" or "CPU"."""
    import keras

    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        found = torch.cuda.is_available()
    elif backend == "jax":
        import jax

        found = jax.default_backend() == "gpu"
    else:
        import tensorflow as tf

        found = bool(tf.config.list_physical_devices("GPU"))
    return "GPU" if found else "CPU"


def current():
    """The profile in force: ``LABKIT_PROFILE``, or ``full`` on a GPU and ``quick`` without one.

    Raises ValueError if ``LABKIT_PROFILE`` names no profile.
    """
    name = os.environ.get("LABKIT_PROFILE") or ("full" if device() == "GPU" else "quick")
    if name not in PROFILES:
        raise ValueError(f"LABKIT_PROFILE is {name!r}: use one of {', '.join(PROFILES)}")
    return PROFILES[name]


def versions():
    """Versions of Python and of the packages that a result depends on, as a dict of strings."""
    found = {"python": platform.python_version(), "labkit": __version__}
    for package in ("tensorflow", "keras", "numpy", "tensorflow-datasets"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def overview():
    """Profile, device and versions as a table of one column, to show at a notebook's top."""
    import pandas as pd

    run = current()
    rows = {"profile": run.name, "epochs": run.epochs, "device": device(), **versions()}
    return pd.DataFrame({"this run": {key: str(value) for key, value in rows.items()}})
