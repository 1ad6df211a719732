"""Shared fixtures. Tests use only temporary folders and need no network."""

import os
import socket
from pathlib import Path

import numpy as np
import pytest

from labkit import data, download

pytest_plugins = ["tests.slow"]
FOLDERS = ("TFDS_DATA_DIR", "KERAS_HOME", "LABKIT_CACHE", "LABKIT_RUNS")
TFDS_DATA_DIR = os.environ.get("TFDS_DATA_DIR")  # before the tests replace it


def pytest_collection_modifyitems(items):
    """Runs the notebooks first: they take longest, and the other tests fill the remaining time."""
    items.sort(key=lambda item: item.path.name != "test_notebooks.py")


def pytest_configure(config):
    """Uses a quarter of Hypothesis's default number of examples in the default run."""
    from hypothesis import settings

    settings.register_profile("few", max_examples=25, deadline=None)
    settings.register_profile("all", deadline=None)
    settings.load_profile("few" if config.getoption("slow") == "no" else "all")


@pytest.fixture(scope="module", autouse=True)
def _sealed(tmp_path_factory):
    """Empty folders and no remote hosts for each test file.

    It has module scope, so that it also applies to module-scoped fixtures.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in FOLDERS:
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        for name in ("LABKIT_DATA", "LABKIT_PROFILE"):
            patch.delenv(name, raising=False)
        patch.setenv("no_proxy", "*")
        look_up = socket.getaddrinfo

        def look_up_local(host, *args, **kwargs):
            if host not in ("127.0.0.1", "::1", "localhost", None):
                raise socket.gaierror(f"tests have no network: {host} is unknown")
            return look_up(host, *args, **kwargs)

        patch.setattr(socket, "getaddrinfo", look_up_local)
        yield


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Empty folders for one test, set in the environment; returns their parent."""
    for name in FOLDERS:
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    return tmp_path


@pytest.fixture
def course_root(tmp_path, monkeypatch):
    """An empty folder that the book's tools use instead of the repository."""
    import keys
    import paths

    folders = {name: path for name, path in vars(paths).items() if isinstance(path, Path)}
    for name, path in folders.items():
        monkeypatch.setattr(paths, name, tmp_path / path.relative_to(folders["ROOT"]))
    keys.clear_cache()
    yield tmp_path
    monkeypatch.undo()
    keys.clear_cache()


@pytest.fixture(scope="module")
def real_data(_sealed):
    """The real dataset for this file's tests, which are skipped if it is missing."""
    if not TFDS_DATA_DIR or not (Path(TFDS_DATA_DIR) / download.REAL / download.VERSION).is_dir():
        pytest.skip("the real dataset is not in TFDS_DATA_DIR")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", TFDS_DATA_DIR)
        yield


@pytest.fixture(scope="module")
def eager():
    """Runs this file's tests eagerly: compiling takes longer than a few training steps."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def compiled(eager):
    """Compiles functions in one test of a file that uses ``eager``."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(False)
    yield
    tf.config.run_functions_eagerly(True)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Outcome and run of ``trainings.train`` without interruption."""
    from tests.trainings import outcome, tiny_model, train

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_RUNS", str(tmp_path_factory.mktemp("uninterrupted")))
        model = tiny_model()
        run = train(model)
        return outcome(model, run), run


@pytest.fixture(scope="session")
def make_split():
    """A function that returns a split of ``count`` images without files.

    Image i is filled with the number i, and its mask with i % 3.
    """

    def make(count, image_size=8):
        images = np.ones((count, image_size, image_size, 3), np.uint8)
        images *= np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1)
        columns = {
            "name": [f"pet_{number}" for number in range(count)],
            "breed": [f"breed_{number % 4}" for number in range(count)],
            "species": [("cat", "dog")[number % 2] for number in range(count)],
            "height": [image_size] * count,
            "width": [image_size] * count,
        }
        table = {key: np.array(column) for key, column in columns.items()}
        return data.Split(images, images[..., :1] % 3, table)

    return make


@pytest.fixture(scope="session")
def random_batch():
    """Four random images of 32x32 pixels and random masks."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 32, 32, 3), np.uint8)
    return images, rng.integers(0, 3, (4, 32, 32, 1), np.uint8)


@pytest.fixture
def ledger_file(monkeypatch, tmp_path):
    """The path of a ledger that does not exist yet, in place of the repository's."""
    monkeypatch.setattr("labkit.experiments.ledger.LEDGER", tmp_path / "runs.jsonl")
    return tmp_path / "runs.jsonl"


@pytest.fixture(scope="session")
def tiny_unet():
    """A function that builds a one-layer model with the inputs, outputs and some arguments of
    a U-Net."""
    import keras

    def build(num_classes=3, image_size=32, seed=0, **_):
        start = keras.initializers.GlorotUniform(seed)
        return keras.Sequential(
            [
                keras.Input((image_size, image_size, 3)),
                keras.layers.Rescaling(1 / 255),
                keras.layers.Conv2D(4, 3, padding="same", kernel_initializer=start, name="encoder"),
                keras.layers.Conv2D(num_classes, 3, padding="same", kernel_initializer=start),
            ]
        )

    return build


@pytest.fixture(scope="module")
def short_encoder():
    """Replaces Keras's MobileNetV2 with a network of a tenth of its layers and random weights.

    Its taps have the names, sizes and channels of the real ones, so ``labkit`` builds the same
    decoders on it; building a U-Net takes a tenth of a second. Returns the real MobileNetV2.
    """
    from keras import applications

    real = applications.MobileNetV2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(applications, "MobileNetV2", short_mobilenet)
        patch.setattr("labkit.models.encoder.fill", no_weights)
        yield real


@pytest.fixture(scope="module", params=["short", pytest.param("real", marks=pytest.mark.slow)])
def either_encoder(request, short_encoder):
    """``short_encoder``, and in slow tests also the real encoder."""
    from labkit.models import weights

    with pytest.MonkeyPatch.context() as patch:
        if request.param == "real":
            patch.setattr("keras.applications.MobileNetV2", short_encoder)
            patch.setattr("labkit.models.encoder.fill", weights.fill)
        yield


@pytest.fixture
def short_encoder_here(monkeypatch):
    """``short_encoder`` for one test of a file that uses the real encoder."""
    monkeypatch.setattr("keras.applications.MobileNetV2", short_mobilenet)
    monkeypatch.setattr("labkit.models.encoder.fill", no_weights)


@pytest.fixture
def real_encoder(short_encoder, monkeypatch):
    """The real encoder for one test of a file that uses ``short_encoder``."""
    from labkit.models import weights

    monkeypatch.setattr("keras.applications.MobileNetV2", short_encoder)
    monkeypatch.setattr("labkit.models.encoder.fill", weights.fill)


def no_weights(encoder, part):
    """The weights of the course's model fit the real encoder only."""


SHORT = (  # name, stride and filters of each convolution
    ("Conv1", 2, 8),
    ("block_1_expand", 1, 96),
    ("block_3_expand", 2, 144),
    ("block_6_expand", 2, 192),
    ("block_10_expand", 1, 8),
    ("block_13_expand", 2, 576),
    ("block_16_project", 2, 320),
)


def short_mobilenet(input_tensor, input_shape, include_top, weights):
    """MobileNetV2's taps, with convolutions whose kernels have the size of their strides."""
    import keras
    from keras import layers

    assert not include_top and weights is None
    assert input_shape == input_tensor.shape[1:]
    x = input_tensor
    for name, strides, channels in SHORT:
        options = {"strides": strides, "padding": "same", "use_bias": False}
        x = layers.Conv2D(channels, strides, name=name, **options)(x)
        if name == "Conv1":
            x = layers.BatchNormalization(momentum=0.999, name="bn_Conv1")(x)
        if name != "block_16_project":
            x = layers.ReLU(6.0, name=f"{name}_relu")(x)
    return keras.Model(keras.utils.get_source_inputs(input_tensor), x)
