"""Profiles, the device, and the versions that a result depends on."""

import os
import platform
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import keras
import pytest

import labkit
from labkit import data, profile, training


@pytest.mark.parametrize("name", ["full", "quick", "smoke"])
def test_the_environment_chooses_the_profile(monkeypatch, name):
    monkeypatch.setenv("LABKIT_PROFILE", name)
    assert profile.current() is profile.PROFILES[name]
    assert profile.current().name == name


@pytest.mark.parametrize("variable", [None, ""])
@pytest.mark.parametrize(("device", "name"), [("GPU", "full"), ("CPU", "quick")])
def test_without_a_choice_the_device_decides(monkeypatch, device, name, variable):
    if variable is None:
        monkeypatch.delenv("LABKIT_PROFILE", raising=False)
    else:
        monkeypatch.setenv("LABKIT_PROFILE", variable)
    monkeypatch.setattr(profile, "device", lambda: device)
    assert profile.current().name == name


@pytest.mark.parametrize("name", ["fast", "Full", " smoke"])
def test_an_unknown_profile_is_named(monkeypatch, name):
    monkeypatch.setenv("LABKIT_PROFILE", name)
    with pytest.raises(ValueError, match=f"LABKIT_PROFILE is '{name}': use one of full, quick"):
        profile.current()


def test_profiles_grow_from_smoke_to_full():
    smoke, quick, full = (profile.PROFILES[name] for name in ("smoke", "quick", "full"))
    assert smoke.images < quick.images and full.images is None
    assert smoke.counts() == "32 train, 16 test" and full.counts() == "all"
    assert smoke.epochs < quick.epochs < full.epochs == 10


def fake_backends(monkeypatch, backend, found):
    """Let Keras run on ``backend``, whose package sees a GPU or not, and break the others."""
    packages = {
        "torch": SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: found)),
        "jax": SimpleNamespace(default_backend=lambda: "gpu" if found else "cpu"),
        "tensorflow": SimpleNamespace(
            config=SimpleNamespace(list_physical_devices=lambda kind: [kind] * found)
        ),
    }
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    for name, package in packages.items():
        monkeypatch.setitem(sys.modules, name, package if name == backend else None)


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
@pytest.mark.parametrize(("found", "device"), [(True, "GPU"), (False, "CPU")])
def test_the_backend_alone_says_which_device_there_is(monkeypatch, backend, found, device):
    fake_backends(monkeypatch, backend, found)
    assert profile.device() == device


def test_versions_are_those_installed():
    found = profile.versions()
    packages = {"tensorflow", "keras", "numpy", "tensorflow-datasets"}
    assert set(found) == {"python", "labkit"} | packages
    assert found["labkit"] == labkit.__version__
    assert found["python"] == platform.python_version()
    assert found["keras"] == keras.__version__


def test_a_missing_package_is_said_to_be_missing(monkeypatch):
    def version(package):
        raise profile.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(profile.metadata, "version", version)
    assert profile.versions()["tensorflow"] == "not installed"


def test_tensorflow_for_processors_alone_is_tensorflow(monkeypatch):
    def version(package):
        if package == "tensorflow":
            raise profile.metadata.PackageNotFoundError(package)
        return "2.21.0"

    monkeypatch.setattr(profile.metadata, "version", version)
    assert profile.versions()["tensorflow"] == "2.21.0"


def test_overview_tells_profile_device_and_versions(monkeypatch):
    monkeypatch.setenv("LABKIT_PROFILE", "smoke")
    monkeypatch.setattr(profile, "device", lambda: "GPU")
    shown = profile.overview()["this run"].to_dict()
    said = {"profile": "smoke", "epochs": "2", "images": "32 train, 16 test", "device": "GPU"}
    assert shown == said | profile.versions()


# --- where files go ------------------------------------------------------------------------------


@pytest.fixture
def drive(monkeypatch, tmp_path):
    """Colab's module for Google Drive, which records where it is asked to mount one."""
    for name in profile.KEPT:
        monkeypatch.setenv(name, "before")  # so that it is put back
    google, package, module = (ModuleType(n) for n in ("google", "google.colab", "drive"))
    module.mounted = []
    module.mount = module.mounted.append
    package.drive, google.colab = module, package
    monkeypatch.setitem(sys.modules, "google", google)
    monkeypatch.setitem(sys.modules, "google.colab", package)
    monkeypatch.setattr(profile, "DRIVE", tmp_path / "drive")
    return module


def test_without_a_folder_nothing_moves(drive):
    profile.keep_in("")
    assert os.environ["LABKIT_CACHE"] == os.environ["LABKIT_RUNS"] == "before"


def test_a_folder_keeps_data_trainings_and_weights(tmp_path, drive, capsys):
    profile.keep_in(str(tmp_path / "kept"))
    profile.keep_in(str(tmp_path / "kept"))
    assert data.cache_folder() == tmp_path / "kept" / "cache"
    assert training.runs_folder() == tmp_path / "kept" / "runs"
    assert os.environ["KERAS_HOME"] == str(tmp_path / "kept" / "keras")
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["cache", "keras", "runs"]
    assert str(tmp_path / "kept") in capsys.readouterr().out
    assert drive.mounted == []


def test_a_folder_on_google_drive_is_mounted_first(tmp_path, drive):
    profile.keep_in(str(tmp_path / "drive" / "MyDrive" / "course"))
    assert drive.mounted == [str(tmp_path / "drive")]
    assert training.runs_folder() == tmp_path / "drive" / "MyDrive" / "course" / "runs"


def test_google_drive_outside_colab_is_an_error():
    with pytest.raises(ValueError, match="/content/drive/MyDrive/a is .* this is not Colab"):
        profile.keep_in("/content/drive/MyDrive/a")


# --- provenance -----------------------------------------------------------------------------------


def git(folder, *words):
    identity = ["-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone in which the package seems to lie: ``labkit/a.py`` and ``other`` are committed."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    folder = tmp_path / "clone"
    (folder / "labkit").mkdir(parents=True)
    (folder / "labkit" / "a.py").write_text("1")
    (folder / "other").write_text("1")
    monkeypatch.setattr(profile, "CLONE", folder)
    git(folder, "init")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "first")
    return folder


def test_the_commit_says_whether_the_code_was_changed(clone):
    clean = profile.commit()
    assert len(clean) == 12 and set(clean) <= set("0123456789abcdef")
    (clone / "other").write_text("2")
    assert profile.commit() == clean  # not part of the code
    (clone / "labkit" / "a.py").write_text("2")
    assert profile.commit() == clean + "+"


def test_a_new_module_is_a_change_of_the_code(clone):
    clean = profile.commit()
    (clone / "labkit" / "new.py").write_text("1")
    assert profile.commit() == clean + "+"


def test_the_commit_is_the_package_s_own_wherever_it_is_asked_for(clone, tmp_path, monkeypatch):
    clean = profile.commit()
    (clone / "labkit" / "a.py").write_text("2")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    git(elsewhere, "init")
    git(elsewhere, "commit", "--allow-empty", "-m", "of another project")
    for folder in (clone / "labkit", elsewhere):
        monkeypatch.chdir(folder)
        assert profile.commit() == clean + "+"


def test_installed_inside_another_project_the_commit_is_unknown(clone, monkeypatch):
    (clone / ".venv" / "labkit").mkdir(parents=True)
    monkeypatch.setattr(profile, "CLONE", clone / ".venv")
    assert profile.commit() == "unknown"


def test_without_git_the_commit_is_unknown(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert profile.commit() == "unknown"


class Device:
    def __init__(self, **attributes):
        vars(self).update(attributes)


@pytest.mark.parametrize(
    ("value", "device"),
    [
        (Device(device="/job:localhost/replica:0/task:0/device:GPU:0"), "GPU"),
        (Device(device="/job:localhost/replica:0/task:0/device:CPU:0"), "CPU"),
        (Device(devices=lambda: {"CudaDevice(id=0)"}), "GPU"),
        (Device(devices=lambda: {"TFRT_CPU_0"}, device="TFRT_CPU_0"), "CPU"),
        (Device(device="cuda:0"), "GPU"),
    ],
)
def test_the_type_of_a_model_s_device(value, device):
    assert profile.device_type(Device(weights=[Device(value=value)])) == device
