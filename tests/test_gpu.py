"""Decisions of ``make test-gpu``, tested without a GPU."""

import json
import subprocess
from pathlib import Path

import nbformat
import pytest

from tests import gpu

ON_GPU = {"device": "GPU", "peak memory": {"host": 2.0, "device": 3.5}}
LARGE = {"device": "GPU", "peak memory": {"host": 2.0, "device": 9.0}}
ON_CPU = {"device": "CPU", "peak memory": {"host": 2.0}}


@pytest.mark.parametrize(
    ("result", "faults"),
    [
        (gpu.Result("a", 100, records=[ON_GPU, ON_GPU]), []),
        (gpu.Result("a", 100), []),
        (gpu.Result("a", 100, trains=True), ["no training was recorded"]),
        (gpu.Result("a", 100, "Traceback"), ["nbval found an error"]),
        (gpu.Result("a", 901, records=[ON_GPU]), ["took over 15 minutes"]),
        (gpu.Result("a", 9, records=[ON_GPU, LARGE]), ["took over 8 GB of device memory"]),
        (gpu.Result("a", 9, records=[ON_GPU, ON_CPU]), ["1 of 2 trainings not on the GPU"]),
        (gpu.Result("a", 9, records=[{"history": {}}]), ["1 of 1 trainings not on the GPU"]),
    ],
)
def test_result_faults(result, faults):
    assert result.faults() == faults
    assert result.line().endswith(faults[0] if faults else "passed")


@pytest.mark.parametrize(
    ("device", "records", "status"), [("GPU", [ON_GPU], 0), ("GPU", [ON_CPU], 1), ("CPU", None, 1)]
)
def test_exit_status(device, records, status, monkeypatch, capsys):
    monkeypatch.setattr("labkit.profile.device", lambda: device)
    monkeypatch.setattr(gpu, "run", lambda name: gpu.Result(name, 61.4, records=records))
    assert gpu.main() == status
    lines = capsys.readouterr().out.splitlines()
    if device == "GPU":
        assert lines[1].split()[:4] == ["00_first_masks", "61", "1", "2.0"]
    else:
        assert len(lines) == 1  # no notebook is run


def test_run_uses_full_profile_and_reads_records(monkeypatch):
    def nbval(command, env, **options):
        assert env["LABKIT_PROFILE"] == "full" and "--nbval-lax" in command
        folder = Path(env["LABKIT_RUNS"]) / "course-1234"
        folder.mkdir()
        (folder / "history.json").write_text(json.dumps(ON_GPU))
        return subprocess.CompletedProcess(command, 1, "a cell failed", "")

    monkeypatch.setattr(subprocess, "run", nbval)
    result = gpu.run("05_training")
    assert (result.name, result.log, result.records) == ("05_training", "a cell failed", [ON_GPU])
    assert result.trains


@pytest.mark.parametrize(("backend", "skipped"), [("tensorflow", 0), ("torch", 1)])
def test_other_backends_do_not_write_litert(backend, skipped, monkeypatch):
    def nbval(command, **options):
        cells = nbformat.read(command[-1], as_version=4).cells
        tagged = [cell for cell in cells if "nbval-skip" in cell.metadata.get("tags", [])]
        assert len(tagged) == skipped and all(".tflite" in cell.source for cell in tagged)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr("keras.backend.backend", lambda: backend)
    monkeypatch.setattr(subprocess, "run", nbval)
    assert not gpu.run("09_own").log


@pytest.mark.parametrize(("backend", "count"), [("tensorflow", 0), ("torch", 2)])
def test_other_backends_do_not_run_notebooks_about_tensorflow(backend, count, monkeypatch, capsys):
    monkeypatch.setattr("keras.backend.backend", lambda: backend)
    monkeypatch.setattr("labkit.profile.device", lambda: "GPU")
    monkeypatch.setattr(gpu, "run", lambda name: gpu.Result(name, 61.4, records=[ON_GPU]))
    assert gpu.main() == 0
    assert capsys.readouterr().out.count("not run: it is about TensorFlow") == count


def test_timeout_is_a_fault(monkeypatch):
    def nbval(command, timeout, **options):
        raise subprocess.TimeoutExpired(command, timeout)

    clock = iter([0.0, 960.0])
    monkeypatch.setattr(subprocess, "run", nbval)
    monkeypatch.setattr(gpu.time, "perf_counter", lambda: next(clock))
    assert "took over 15 minutes" in gpu.run("01_theory").faults()
