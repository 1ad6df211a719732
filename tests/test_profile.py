"""Profiles, device, versions, folders and provenance."""

import os
import platform
import subprocess
import sys
import tempfile
from types import ModuleType, SimpleNamespace

import keras
import pytest

import labkit
from labkit import cli, data, download, profile, training


@pytest.mark.parametrize("name", ["full", "quick", "smoke"])
def test_environment_selects_profile(monkeypatch, name):
    monkeypatch.setenv("LABKIT_PROFILE", name)
    assert profile.current() is profile.PROFILES[name]
    assert profile.current().name == name


@pytest.mark.parametrize("variable", [None, ""])
@pytest.mark.parametrize(("device", "name"), [("GPU", "full"), ("CPU", "quick")])
def test_device_selects_default_profile(monkeypatch, device, name, variable):
    if variable is None:
        monkeypatch.delenv("LABKIT_PROFILE", raising=False)
    else:
        monkeypatch.setenv("LABKIT_PROFILE", variable)
    monkeypatch.setattr(profile, "device", lambda: device)
    assert profile.current().name == name


@pytest.mark.parametrize("name", ["fast", "Full", " smoke"])
def test_unknown_profile_raises(monkeypatch, name):
    monkeypatch.setenv("LABKIT_PROFILE", name)
    with pytest.raises(ValueError, match=f"LABKIT_PROFILE is '{name}': use one of full, quick"):
        profile.current()


def test_profiles_grow_from_smoke_to_full():
    smoke, quick, full = (profile.PROFILES[name] for name in ("smoke", "quick", "full"))
    assert smoke.images < quick.images and full.images is None
    assert smoke.counts() == "32 train, 16 test" and full.counts() == "all"
    assert smoke.epochs < quick.epochs < full.epochs == 10


def write_nvidia_smi(folder, monkeypatch, code):
    """Puts a program in the place of the NVIDIA driver's."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{code}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    profile._warn_of_unused_gpu.cache_clear()


@pytest.mark.skipif(os.name != "posix", reason="the program is a shell script")
@pytest.mark.parametrize("backend", ["tensorflow", "torch", "jax"])
def test_unused_gpu_is_named_once(tmp_path, monkeypatch, capsys, backend):
    fake_backends(monkeypatch, backend, has_gpu=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # as a cluster sets it
    write_nvidia_smi(tmp_path, monkeypatch, "echo Test GPU")
    assert [profile.device(), profile.device()] == ["CPU", "CPU"]
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{backend} does not use the GPU of this machine, Test GPU: install " in line


@pytest.mark.skipif(os.name != "posix", reason="the program is a shell script")
@pytest.mark.parametrize("case", ["used", "hidden", "driver without a GPU", "no driver"])
def test_no_line_without_unused_gpu(tmp_path, monkeypatch, capsys, case):
    fake_backends(monkeypatch, "tensorflow", has_gpu=case == "used")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    write_nvidia_smi(tmp_path, monkeypatch, "exit 9" if "driver" in case else "echo Test GPU")
    if case == "hidden":
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    if case == "no driver":
        monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    profile.device()
    assert capsys.readouterr().err == ""


# --- home folder ---------------------------------------------------------------------------------


def folders_of_package():
    """The folders that the package uses, with the variables that set them."""
    from labkit.models.encoder import keras_home
    from labkit.runs.folder import runs_folder

    return {
        "TFDS_DATA_DIR": lambda: download.prepared_folder().parents[1],
        "LABKIT_CACHE": data.cache_folder,
        "KERAS_HOME": keras_home,
        "LABKIT_RUNS": runs_folder,
    }


def test_tilde_in_settings_is_home(tmp_path, monkeypatch):
    monkeypatch.setattr(profile.Path, "home", lambda: tmp_path)
    for setting, folder in folders_of_package().items():
        monkeypatch.setenv(setting, "~/mine")
        assert folder() == tmp_path / "mine", setting


def test_unknown_home_uses_temporary_folder(monkeypatch, capsys):
    def unknown():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(profile.Path, "home", unknown)
    for setting, folder in folders_of_package().items():
        if setting != "LABKIT_RUNS":  # in the working folder
            monkeypatch.delenv(setting, raising=False)
            assert folder().is_relative_to(tempfile.gettempdir()), setting
    assert cli.main(["info"]) == 0
    assert tempfile.gettempdir() in capsys.readouterr().out


def fake_backends(monkeypatch, backend, has_gpu):
    """Select a backend with or without a GPU, and make imports of the others fail."""
    packages = {
        "torch": SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: has_gpu)),
        "jax": SimpleNamespace(default_backend=lambda: "gpu" if has_gpu else "cpu"),
        "tensorflow": SimpleNamespace(
            config=SimpleNamespace(list_physical_devices=lambda kind: [kind] * has_gpu)
        ),
    }
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    for name, package in packages.items():
        monkeypatch.setitem(sys.modules, name, package if name == backend else None)


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
@pytest.mark.parametrize(("has_gpu", "device"), [(True, "GPU"), (False, "CPU")])
def test_device_comes_from_backend(monkeypatch, backend, has_gpu, device):
    fake_backends(monkeypatch, backend, has_gpu)
    assert profile.device() == device


def test_versions_match_installed_packages():
    versions = profile.versions()
    packages = {"tensorflow", "keras", "numpy", "tensorflow-datasets"}
    assert set(versions) == {"python", "labkit"} | packages
    assert versions["labkit"] == labkit.__version__
    assert versions["python"] == platform.python_version()
    assert versions["keras"] == keras.__version__


def test_missing_package_is_reported(monkeypatch):
    def version(package):
        raise profile.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(profile.metadata, "version", version)
    assert profile.versions()["tensorflow"] == "not installed"


def test_tensorflow_cpu_counts_as_tensorflow(monkeypatch):
    def version(package):
        if package == "tensorflow":
            raise profile.metadata.PackageNotFoundError(package)
        return "2.21.0"

    monkeypatch.setattr(profile.metadata, "version", version)
    assert profile.versions()["tensorflow"] == "2.21.0"


def test_overview_shows_profile_device_and_versions(monkeypatch):
    monkeypatch.setenv("LABKIT_PROFILE", "smoke")
    monkeypatch.setattr(profile, "device", lambda: "GPU")
    shown = profile.overview()["this run"].to_dict()
    expected = {"profile": "smoke", "epochs": "2", "images": "32 train, 16 test", "device": "GPU"}
    assert shown == expected | profile.versions()


# --- folders -------------------------------------------------------------------------------------


@pytest.fixture
def drive(monkeypatch, tmp_path):
    """A fake of Colab's module for Google Drive that records mount points."""
    for name in profile.SUBFOLDERS:
        monkeypatch.setenv(name, "before")  # so that it is restored
    google, package, module = (ModuleType(n) for n in ("google", "google.colab", "drive"))
    module.mounted = []
    module.mount = module.mounted.append
    package.drive, google.colab = module, package
    monkeypatch.setitem(sys.modules, "google", google)
    monkeypatch.setitem(sys.modules, "google.colab", package)
    monkeypatch.setattr(profile, "DRIVE", tmp_path / "drive")
    return module


def test_empty_folder_changes_nothing(drive):
    profile.keep_in("")
    assert os.environ["LABKIT_CACHE"] == os.environ["LABKIT_RUNS"] == "before"


def test_keep_in_sets_data_runs_and_weights_folders(tmp_path, drive, capsys):
    profile.keep_in(str(tmp_path / "kept"))
    profile.keep_in(str(tmp_path / "kept"))
    assert data.cache_folder() == tmp_path / "kept" / "cache"
    assert training.runs_folder() == tmp_path / "kept" / "runs"
    assert os.environ["KERAS_HOME"] == str(tmp_path / "kept" / "keras")
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["cache", "keras", "runs"]
    assert str(tmp_path / "kept") in capsys.readouterr().out
    assert drive.mounted == []


def test_keep_in_mounts_google_drive(tmp_path, drive):
    profile.keep_in(str(tmp_path / "drive" / "MyDrive" / "course"))
    assert drive.mounted == [str(tmp_path / "drive")]
    assert training.runs_folder() == tmp_path / "drive" / "MyDrive" / "course" / "runs"


def test_google_drive_outside_colab_raises():
    with pytest.raises(ValueError, match="/content/drive/MyDrive/a is .* this is not Colab"):
        profile.keep_in("/content/drive/MyDrive/a")


# --- provenance -----------------------------------------------------------------------------------


def git(folder, *words):
    identity = ["-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A temporary clone of the package with ``labkit/a.py`` and ``other`` committed."""
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


def test_commit_marks_changed_code(clone):
    clean = profile.commit()
    assert len(clean) == 12 and set(clean) <= set("0123456789abcdef")
    (clone / "other").write_text("2")
    assert profile.commit() == clean  # not part of the code
    results = clone / "labkit" / "experiments" / "results"
    results.mkdir(parents=True)
    (results / "runs.jsonl").write_text("{}")
    assert profile.commit() == clean  # the row of an earlier run
    (clone / "labkit" / "a.py").write_text("2")
    assert profile.commit() == clean + "+"


def test_commit_marks_new_module(clone):
    clean = profile.commit()
    (clone / "labkit" / "new.py").write_text("1")
    assert profile.commit() == clean + "+"


def test_commit_is_independent_of_working_folder(clone, tmp_path, monkeypatch):
    clean = profile.commit()
    (clone / "labkit" / "a.py").write_text("2")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    git(elsewhere, "init")
    git(elsewhere, "commit", "--allow-empty", "-m", "of another project")
    for folder in (clone / "labkit", elsewhere):
        monkeypatch.chdir(folder)
        assert profile.commit() == clean + "+"


def test_commit_is_unknown_inside_other_project(clone, monkeypatch):
    (clone / ".venv" / "labkit").mkdir(parents=True)
    monkeypatch.setattr(profile, "CLONE", clone / ".venv")
    assert profile.commit() == "unknown"


def test_commit_is_unknown_without_git(monkeypatch):
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
def test_device_type_of_model(value, device):
    assert profile.device_type(Device(weights=[Device(value=value)])) == device
