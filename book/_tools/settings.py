"""Settings of a run of notebooks: the environment of the kernels and what affects their outputs."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import paths

# Saves MobileNetV2 with random weights in a folder as Keras's cache has it.
SAVE_RANDOM_WEIGHTS = """
import pathlib, sys
import keras
from labkit.models.encoder import WEIGHTS_FILE

keras.utils.set_random_seed(0)
size = {"input_shape": (128, 128, 3), "include_top": False}
folder = pathlib.Path(sys.argv[1]) / "models"
folder.mkdir()
keras.applications.MobileNetV2(**size, weights=None).save(folder / WEIGHTS_FILE)
"""


@dataclass(frozen=True)
class Settings:
    """Settings of a run of notebooks.

    Attributes:
        values: what affects the outputs, by name; a part of every key.
        environment: environment variables of the kernels.
    """

    values: dict
    environment: dict = field(repr=False)

    @classmethod
    def of_book(cls):
        """Return the settings that the environment asks for; prepares the dataset.

        Raises:
            ValueError: for an invalid setting.
            ConnectionError: if the dataset can't be downloaded, see ``labkit.data.load``.
        """
        from labkit import data, profile

        environment = dict(os.environ)
        environment.pop("LABKIT_RUNS", None)  # the book does not load a reader's own trainings
        for name in ("TFDS_DATA_DIR", "KERAS_HOME", "LABKIT_CACHE"):
            if environment.get(name):  # kernels have another working directory
                environment[name] = str(Path(environment[name]).expanduser().resolve())
        # An NVIDIA driver is taken for a GPU, because asking Keras takes seconds.
        default = profile.PROFILES["full" if shutil.which("nvidia-smi") else "quick"]
        budget = profile.current() if environment.get("LABKIT_PROFILE") else default
        environment["LABKIT_PROFILE"] = budget.name
        values = {
            "profile": budget.name,
            "data": data.load(limit=budget.images).source,
            "weights": has_imagenet_weights(environment),
            "backend": environment.get("KERAS_BACKEND") or "tensorflow",
            "python": python_version(),
        }
        return cls(values, environment)

    @classmethod
    def of_tests(cls):
        """Return settings with the shortest profile, synthetic data and no network.

        Nothing of the user's folders is used. Random numbers replace ImageNet's weights, because
        labkit trains an encoder that has no weights.
        """
        values = {"profile": "smoke", "data": "synthetic", "weights": "random"}
        no_server = "http://127.0.0.1:9"
        changed = {
            "LABKIT_PROFILE": "smoke",
            "LABKIT_DATA": "synthetic",
            "LABKIT_CACHE": str(paths.BUILD / "cache"),
            "KERAS_HOME": str(random_weights()),
            "http_proxy": no_server,
            "https_proxy": no_server,
            "no_proxy": "",
        }
        dropped = ("LABKIT_RUNS", "TFDS_DATA_DIR", "KERAS_BACKEND")
        kept = {name: value for name, value in os.environ.items() if name not in dropped}
        values |= {"backend": "tensorflow", "python": python_version()}
        return cls(values, kept | changed)


def python_version():
    """Return the version of this Python, such as "3.12"."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def random_weights():
    """Return a Keras home folder that has random weights of MobileNetV2; it is made once."""
    home = paths.EXECUTED / "random-weights"
    if not (home / "models").exists():
        paths.EXECUTED.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=paths.EXECUTED))
        command = [sys.executable, "-c", SAVE_RANDOM_WEIGHTS, str(work)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        with contextlib.suppress(OSError):  # another process has made it
            work.rename(home)
        shutil.rmtree(work, ignore_errors=True)
    return home


def has_imagenet_weights(environment):
    """Return whether MobileNetV2's weights are in Keras's folder or can be downloaded."""
    from labkit import download, profile

    home = profile.expand(environment.get("KERAS_HOME") or profile.home() / ".keras")
    if any(home.glob("models/mobilenet_v2_weights_*_1.0_224_no_top.h5")):
        return True
    url = "https://storage.googleapis.com/tensorflow/keras-applications/"
    return download.problem_for_keras(url) is None
