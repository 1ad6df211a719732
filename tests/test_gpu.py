"""Decisions of ``make test-gpu``, tested without a GPU."""

import json
from pathlib import Path

import pytest

from tests import gpu

ON_GPU = {"device": "GPU", "peak memory": {"host": 2.0, "device": 3.5}}
LARGE = {"device": "GPU", "peak memory": {"host": 2.0, "device": 9.0}}
ON_CPU = {"device": "CPU", "peak memory": {"host": 2.0}}


def test_no_gpu_runs_nothing(monkeypatch, capsys):
    monkeypatch.setattr(gpu, "run", lambda name: pytest.fail("a notebook was run"))
    monkeypatch.setattr("labkit.profile.device", lambda: "CPU")
    assert gpu.main() == 1
    output = capsys.readouterr().out
    assert "No GPU is seen by Keras's backend tensorflow: make test-gpu can't be run here" in output


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


def test_result_line():
    line = gpu.Result("02_data", 61.4, records=[ON_GPU, ON_CPU]).line()
    assert line.split()[:5] == ["02_data", "61", "2", "2.0", "3.5"]
    assert line.endswith("1 of 2 trainings not on the GPU")


@pytest.mark.parametrize(("records", "status"), [([ON_GPU], 0), ([ON_CPU], 1)])
def test_exit_status(records, status, monkeypatch, capsys):
    monkeypatch.setattr("labkit.profile.device", lambda: "GPU")
    monkeypatch.setattr(gpu, "run", lambda name: gpu.Result(name, 1, records=records))
    assert gpu.main() == status
    assert "01_theory" in capsys.readouterr().out


def test_run_uses_full_profile_and_reads_records(monkeypatch):
    def nbval(command, env, **options):
        assert env["LABKIT_PROFILE"] == "full" and "--nbval-lax" in command
        folder = Path(env["LABKIT_RUNS"]) / "course-1234"
        folder.mkdir()
        (folder / "history.json").write_text(json.dumps(ON_GPU))
        return gpu.subprocess.CompletedProcess(command, 1, "a cell failed", "")

    monkeypatch.setattr(gpu.subprocess, "run", nbval)
    result = gpu.run("05_training")
    assert (result.name, result.log, result.records) == ("05_training", "a cell failed", [ON_GPU])
    assert result.trains


def test_timeout_is_reported(monkeypatch):
    def nbval(command, timeout, **options):
        raise gpu.subprocess.TimeoutExpired(command, timeout)

    clock = iter([0.0, 960.0])
    monkeypatch.setattr(gpu.subprocess, "run", nbval)
    monkeypatch.setattr(gpu.time, "perf_counter", lambda: next(clock))
    assert "took over 15 minutes" in gpu.run("01_theory").faults()
