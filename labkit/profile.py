"""Profiles (how much a notebook computes), the device, versions, and where files are kept."""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

from labkit import __version__

CLONE = Path(__file__).parents[1]
DRIVE = Path("/content/drive")  # where Colab mounts a Google Drive
# Environment variables, and the subfolder of ``keep_in`` that each is set to.
SUBFOLDERS = {"LABKIT_CACHE": "cache", "LABKIT_RUNS": "runs", "KERAS_HOME": "keras"}


def home():
    """The user's home folder; the folder for temporary files where the system knows none."""
    with suppress(RuntimeError):
        return Path.home()
    return Path(tempfile.gettempdir())


def expand(path):
    """A path without a leading ``~``, which stands for the home folder."""
    path = Path(path)
    return home().joinpath(*path.parts[1:]) if path.parts[:1] == ("~",) else path


@dataclass(frozen=True)
class Profile:
    """How much a notebook computes.

    Attributes:
        name: the key in ``PROFILES``.
        epochs: of a training.
        images: the number of (train, test) images, or None for all.
        eager: train without compiling, which would take longer than a very short training.
    """

    name: str
    epochs: int
    images: tuple[int, int] | None
    eager: bool = False

    def counts(self):
        """The number of images as text: "32 train, 16 test", or "all"."""
        return "{} train, {} test".format(*self.images) if self.images else "all"


PROFILES = {
    "full": Profile("full", epochs=10, images=None),  # the laboratory work's ten epochs
    "quick": Profile("quick", epochs=3, images=(1200, 500)),  # "Training" in 5 minutes on 2 cores
    "smoke": Profile("smoke", epochs=2, images=(32, 16), eager=True),
}


def device():
    """The device that the Keras backend uses: "GPU" or "CPU"."""
    import keras

    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        has_gpu = torch.cuda.is_available()
    elif backend == "jax":
        import jax

        has_gpu = jax.default_backend() == "gpu"
    else:
        import tensorflow as tf

        has_gpu = bool(tf.config.list_physical_devices("GPU"))
    if not has_gpu:
        _warn_of_unused_gpu(backend)
    return "GPU" if has_gpu else "CPU"


GPU_BUILDS = {
    "tensorflow": "'tensorflow[and-cuda]' with pip (on Windows, inside WSL2)",
    "torch": "a build of torch for your CUDA version, see pytorch.org",
    "jax": "'jax[cuda12]' with pip",
}


@cache
def _warn_of_unused_gpu(backend):
    """Say once that the machine has a GPU which the backend does not use, unless it is hidden."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if hidden or os.environ.get("JAX_PLATFORMS") == "cpu":
        return
    if name := nvidia_gpu():
        remedy = f"install {GPU_BUILDS[backend]}"
        print(f"{backend} does not use the GPU of this machine, {name}: {remedy}", file=sys.stderr)


def nvidia_gpu():
    """The name of the first NVIDIA GPU, as its driver gives it; "" if there is none."""
    try:
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.partition("\n")[0].strip() if done.returncode == 0 else ""


def current():
    """The profile that ``LABKIT_PROFILE`` names; by default ``full`` on a GPU, else ``quick``.

    Raises ValueError for an unknown name.
    """
    name = os.environ.get("LABKIT_PROFILE") or ("full" if device() == "GPU" else "quick")
    if name not in PROFILES:
        raise ValueError(f"LABKIT_PROFILE is {name!r}: use one of {', '.join(PROFILES)}")
    return PROFILES[name]


def versions():
    """Versions of Python and of the packages that a result depends on, as a dict of strings."""
    installed = {"python": platform.python_version(), "labkit": __version__}
    for package in ("tensorflow", "keras", "numpy", "tensorflow-datasets"):
        installed[package] = _version(package)
    if installed["tensorflow"] == "not installed":  # tensorflow-cpu is the build without GPU code
        installed["tensorflow"] = _version("tensorflow-cpu")
    if os.environ.get("KERAS_BACKEND") in ("jax", "torch"):
        installed[os.environ["KERAS_BACKEND"]] = metadata.version(os.environ["KERAS_BACKEND"])
    return installed


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def machine():
    """The name of the GPU, or of the processor with its number of available cores."""
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
        lines = Path("/proc/cpuinfo").read_text().splitlines()  # only on Linux
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def peak_memory():
    """Peak memory of this process so far, in GB: ``host``, and ``device`` on a GPU.

    On Windows, where Python's standard library can't measure it, the dict has no ``host``.
    """
    peaks = {}
    try:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peaks["host"] = round(peak * unit / 1e9, 2)
    except ImportError:
        pass
    if device() == "GPU":
        peaks["device"] = round(_gpu_peak() / 1e9, 2)
    return peaks


def _gpu_peak():
    """Peak GPU memory in bytes, as the backend counts it."""
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
    """The git commit of this package's code, with "+" appended if files were changed or added.

    Outside a clone, the commit that pip installed the package from, or "unknown".
    """
    options = {"cwd": CLONE, "capture_output": True, "text": True, "check": True}
    try:
        # A package installed inside another project's clone must not report that project's commit.
        subprocess.run(["git", "ls-files", "--error-unmatch", "labkit"], **options)
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], **options).stdout.strip()
        code = ["labkit", ":!labkit/experiments/results"]  # a run adds its row to the results
        changed = subprocess.run(["git", "status", "--porcelain", "--", *code], **options).stdout
    except (OSError, subprocess.CalledProcessError):
        return _installed_commit()
    return head + ("+" if changed.strip() else "")


def _installed_commit():
    """The commit that pip recorded when it installed this package, or "unknown"."""
    try:
        source = json.loads(metadata.distribution("labkit").read_text("direct_url.json"))
        return source["vcs_info"]["commit_id"][:12]
    except (metadata.PackageNotFoundError, TypeError, KeyError):
        return "unknown"


def device_type(model):
    """The device that holds a model's weights, where it trains: "GPU" or "CPU"."""
    value = model.weights[0].value
    device = value.devices() if hasattr(value, "devices") else value.device  # devices() is JAX's
    return "GPU" if re.search("gpu|cuda", str(device), re.IGNORECASE) else "CPU"


PROVENANCE = ("commit", "versions", "backend", "device", "machine", "date", "peak memory")


def provenance(model):
    """Code version, device and date of a model's training, for a row of the ledger.

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
    """The part of ``provenance`` that changes during a training."""
    return {"date": datetime.now(UTC).date().isoformat(), "peak memory": peak_memory()}


def keep_in(folder):
    """Keep data, trainings and downloaded weights in a folder that outlives a Colab runtime.

    Args:
        folder: a path, created if it does not exist; on Google Drive, which is mounted first, or
            elsewhere. "" keeps the default locations.

    Raises:
        ValueError: for a folder on Google Drive outside Colab.
    """
    if not folder:
        return
    folder = expand(folder).absolute()
    if folder.is_relative_to(DRIVE):
        _mount_drive(folder)
    for setting, name in SUBFOLDERS.items():
        os.environ[setting] = str(folder / name)
        (folder / name).mkdir(parents=True, exist_ok=True)
    print(f"Data, trainings and weights are kept in {folder}.")


def _mount_drive(folder):
    """Mount the user's Google Drive; Colab asks for permission once per runtime."""
    try:
        from google.colab import drive
    except ImportError as error:
        raise ValueError(
            f"{folder} is on Google Drive, but this is not Colab: use a folder on this computer"
        ) from error
    drive.mount(str(DRIVE))


def overview():
    """Profile, device and versions as a table of one column, for the top of a notebook."""
    import pandas as pd

    profile = current()
    rows = {"profile": profile.name, "epochs": profile.epochs, "images": profile.counts()}
    rows |= {"device": device()} | versions()
    return pd.DataFrame({"this run": {key: str(value) for key, value in rows.items()}})
