"""What a notebook runs with: how much work it does, the machine, versions, and where files go."""

import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from labkit import __version__

CLONE = Path(__file__).parents[1]
DRIVE = Path("/content/drive")  # where Colab mounts a Google Drive
KEPT = {"LABKIT_CACHE": "cache", "LABKIT_RUNS": "runs", "KERAS_HOME": "keras"}


@dataclass(frozen=True)
class Profile:
    """A budget.

    Attributes:
        name: of the profile.
        epochs: of a training.
        images: (train, test), or None for all that there are.
        eager: train without compiling, which takes longer than a very short training.
    """

    name: str
    epochs: int
    images: tuple[int, int] | None
    eager: bool = False

    def counts(self):
        """``images`` in words."""
        return "{} train, {} test".format(*self.images) if self.images else "all"


PROFILES = {
    "full": Profile("full", epochs=10, images=None),  # the laboratory work's ten epochs
    "quick": Profile("quick", epochs=3, images=(1200, 500)),  # chapter 5 in 3 minutes on 2 cores
    "smoke": Profile("smoke", epochs=2, images=(32, 16), eager=True),
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
        found[package] = _version(package)
    if found["tensorflow"] == "not installed":  # the same package, without its GPU parts
        found["tensorflow"] = _version("tensorflow-cpu")
    if os.environ.get("KERAS_BACKEND") in ("jax", "torch"):
        found[os.environ["KERAS_BACKEND"]] = metadata.version(os.environ["KERAS_BACKEND"])
    return found


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def machine():
    """What computes, in words: the graphics card, or the processor and how many cores it lends."""
    if device() == "GPU":
        return _gpu_name()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {cores} core{'s' if cores > 1 else ''}"


def _gpu_name():
    import keras

    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        return torch.cuda.get_device_name()
    if backend == "jax":
        import jax

        return jax.devices()[0].device_kind
    import tensorflow as tf

    first = tf.config.list_physical_devices("GPU")[0]
    return tf.config.experimental.get_device_details(first).get("device_name", "GPU")


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()  # Linux: the marketing name
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def peak_memory():
    """Most memory that this process has held so far, in GB: ``host``, and ``device`` on a GPU.

    Windows does not tell it to Python's standard library: there the dict has no ``host``.
    """
    found = {}
    try:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found["host"] = round(peak * unit / 1e9, 2)
    except ImportError:
        pass
    if device() == "GPU":
        found["device"] = round(_gpu_peak() / 1e9, 2)
    return found


def _gpu_peak():
    """Bytes, counted by the backend."""
    import keras

    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        return torch.cuda.max_memory_allocated()
    if backend == "jax":
        import jax

        return jax.devices()[0].memory_stats()["peak_bytes_in_use"]
    import tensorflow as tf

    return tf.config.experimental.get_memory_info("GPU:0")["peak"]


def commit():
    """The git commit of this package's code, "+" behind it if files were changed or added.

    Where the package was installed from a repository, that commit; "unknown" elsewhere.
    """
    ask = {"cwd": CLONE, "capture_output": True, "text": True, "check": True}
    try:
        # Installed in a folder of another project's clone, it would be given that one's commit.
        subprocess.run(["git", "ls-files", "--error-unmatch", "labkit"], **ask)
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], **ask).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain", "--", "labkit"], **ask).stdout
    except (OSError, subprocess.CalledProcessError):
        return _installed_commit()
    return head + ("+" if changed.strip() else "")


def _installed_commit():
    """What pip wrote down when it installed this package from a repository, or "unknown"."""
    try:
        source = json.loads(metadata.distribution("labkit").read_text("direct_url.json"))
        return source["vcs_info"]["commit_id"][:12]
    except (metadata.PackageNotFoundError, TypeError, KeyError):
        return "unknown"


def device_type(model):
    """Where a model's weights lie, which is where it trains: "GPU" or "CPU"."""
    value = model.weights[0].value
    device = value.devices() if hasattr(value, "devices") else value.device  # JAX has the first
    return "GPU" if re.search("gpu|cuda", str(device), re.IGNORECASE) else "CPU"


def provenance(model):
    """Where, when and by which code a model is trained, for a row of the ledger.

    Returns:
        ``commit``, ``versions``, ``backend``, ``device`` ("GPU" or "CPU"), ``machine``, ``date``
        (UTC), and ``peak memory`` so far, in GB.
    """
    import keras

    return {
        "commit": commit(),
        "versions": versions(),
        "backend": keras.backend.backend(),
        "device": device_type(model),
        "machine": machine(),
        **date_and_memory(),
    }


def date_and_memory():
    """The part of ``provenance`` that changes while a training goes on."""
    return {"date": datetime.now(UTC).date().isoformat(), "peak memory": peak_memory()}


def keep_in(folder):
    """Keep data, trainings and downloaded weights in a folder; mounts Google Drive if it is there.

    For a runtime that ends without warning, such as Colab's.

    Args:
        folder: a path, made if it does not exist; "" leaves files where they go by default.

    Raises:
        ValueError: for a folder on Google Drive outside Colab.
    """
    if not folder:
        return
    folder = Path(folder).expanduser().absolute()
    if folder.is_relative_to(DRIVE):
        _mount_drive(folder)
    for setting, name in KEPT.items():
        os.environ[setting] = str(folder / name)
        (folder / name).mkdir(parents=True, exist_ok=True)
    print(f"Data, trainings and weights are kept in {folder}.")


def _mount_drive(folder):
    """Mount the user's Google Drive; Colab asks for permission once a runtime."""
    try:
        from google.colab import drive
    except ImportError as error:
        raise ValueError(
            f"{folder} is on Google Drive, and this is not Colab: use a folder of this computer"
        ) from error
    drive.mount(str(DRIVE))


def overview():
    """Profile, device and versions as a table of one column, to show at a notebook's top."""
    import pandas as pd

    run = current()
    rows = {"profile": run.name, "epochs": run.epochs, "images": run.counts(), "device": device()}
    rows |= versions()
    return pd.DataFrame({"this run": {key: str(value) for key, value in rows.items()}})
