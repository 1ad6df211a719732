"""The benchmarks: comparisons, FLOP counts and rates."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest

from benchmarks import __main__ as command
from benchmarks import workers
from labkit.analysis import probes
from labkit.models.unet import unet_model

UNET = {
    "Keras float32, train": 25.0,
    "Keras float32, batch 1": 30.0,
    "ONNX Runtime float32, batch 1": 60.0,
    "Keras float32, batch 32": 90.0,
}
SMP = {
    "float32, train": 20.0,
    "bfloat16, train": 50.0,
    "float32, batch 1": 40.0,
    "float32, batch 32": 100.0,
    "bfloat16, batch 32": 180.0,
}
SPEEDS = {
    **{name: {"train": 25.0} for name in ("laboratory", "standard", "fast")},
    **{"unet_128": UNET, "smp_128": SMP},
    "unet_256": {name: rate / 2 for name, rate in UNET.items()},
    "smp_256": {name: rate / 4 for name, rate in SMP.items()},
}
FAST = {"seconds": [12.0, 8.0], "accuracy": 0.9, "mean IoU": 0.74}
QUALITY = {"laboratory": {"seconds": [14.0, 10.0]}, "fast": FAST}
FLOOR = {"float32 GFLOP/s": 100.0, **{f"{n} GFLOP an image": 2.0 for n in workers.WORKERS}}
TIME = "time to the laboratory work's quality: laboratory / fast"


def ratios(speeds=SPEEDS, quality=QUALITY):
    return command.ratios({"floor": FLOOR, "speeds": [speeds], "quality": [quality]})


@pytest.mark.parametrize(
    ("title", "ratio"),
    [
        (TIME, (14 + 9 * 10) / 20),
        ("training at 128 pixels: U-Net / smp", 0.5),
        ("prediction at 128 pixels, batch 1: U-Net / smp", 1.5),
        ("prediction at 256 pixels, batch 32: U-Net / smp", 1.0),
        ("distance to the floor, fast: time / arithmetic", 2.0),
    ],
)
def test_ratios(title, ratio):
    assert ratios()[title] == (ratio,) * 3


def test_comparisons_without_result_are_omitted():
    missed = {**QUALITY, "fast": {**FAST, "mean IoU": 0.73}}
    assert ratios().keys() - ratios(quality=missed).keys() == {TIME}
    without_peer = ratios({name: value for name, value in SPEEDS.items() if "smp" not in name})
    assert TIME in without_peer and not any("smp" in title for title in without_peer)


def test_round_measures_all_comparisons(monkeypatch):
    monkeypatch.setattr(command, "run_worker", lambda name, *_: SPEEDS[name])
    assert command.speed_round() == SPEEDS
    assert command.RECORD.exists()


def test_peer_versions_come_from_peer_python(monkeypatch):
    monkeypatch.setattr(command, "PEER_PYTHON", sys.executable)
    installed = {name for name in command.PEERS if importlib.util.find_spec(name)}
    assert set(command.peer_versions()) == installed


def test_training_flops_are_three_forward_passes():
    model = unet_model(image_size=32, weights=None)
    all_trainable = workers.training_flops(model)
    model.get_layer("encoder").trainable = False
    encoder = 2 * probes.multiply_adds(model)["encoder"]
    assert all_trainable - workers.training_flops(model) == 2 * encoder > 0


def test_rate_ignores_two_warm_up_calls(monkeypatch):
    clock = [0.0]
    seconds = iter([9.0, 9.0, 0.5, 1.0, 0.5, 1.0])
    monkeypatch.setattr(workers, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def step():
        clock[0] += next(seconds)

    assert workers.rate(step, images=7, seconds=2.5) == 4 * 7 / 3.0
