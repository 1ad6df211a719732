"""Several devices give what one gives; tried with virtual devices of the processor."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from labkit import devices

WORK = Path(__file__).parent / "on_devices.py"
needs_jax = pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="JAX is not installed")
EACH = ["tensorflow", pytest.param("jax", marks=needs_jax)]


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, str(WORK), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(WORK.parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answers(process):
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err[-3000:]
    return json.loads(out.splitlines()[-1])


def assert_same(one, other):
    assert one["history"].keys() == other["history"].keys()
    for name, values in one["history"].items():
        assert values == pytest.approx(other["history"][name], rel=2e-3, abs=1e-5), name
    assert one["history"]["loss"] == pytest.approx(other["history"]["loss"], rel=1e-5)
    assert one["weights"] == pytest.approx(other["weights"], rel=1e-3)


@pytest.fixture(scope="module", params=EACH)
def found(request):
    """The backend, and what a process with two devices answers."""
    return request.param, answers(start(request.param, 2))


@pytest.mark.slow
def test_several_devices_train_as_one_does(found):
    _, given = found
    assert_same(given["all"], given["one"])


@pytest.mark.slow
def test_a_training_may_go_on_with_another_number_of_devices(found):
    _, given = found
    assert_same(given["resumed"], given["one"])


@pytest.mark.slow
def test_a_last_batch_without_equal_parts_is_refused_under_tensorflow(found):
    backend, given = found
    if backend != "tensorflow":
        pytest.skip("under JAX it is right: there each training here has such a batch")
    assert "the last batch of 11 images" in given["uneven"]
    assert "leave some out (split.select(slice(10)))" in given["uneven"]


@pytest.mark.slow
def test_more_devices_than_there_are_is_refused(found):
    backend, given = found
    assert f"devices is 3, but {backend} sees 2: cpu:0, cpu:1. Use at most" in given["too many"]


@pytest.mark.slow
@needs_jax
def test_two_processes_train_as_one_does(found):
    backend, given = found
    if backend != "jax":
        pytest.skip("Keras 3 trains on several machines under JAX alone")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = [start("jax", 2, port, number) for number in (0, 1)]
    for process in both:
        assert_same(answers(process)["two processes"], given["one"])


# --- what is refused, and where a model lies -----------------------------------------------------


@pytest.mark.parametrize("number", [0, -1, 1.5, True, "two"])
def test_no_number_of_devices_is_refused(number):
    with pytest.raises(ValueError, match='use a whole number from 1 up, "all", or None'):
        devices.choose(number)


def test_nothing_is_chosen_without_the_option():
    assert devices.choose(None) == []


def test_torch_is_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ValueError, match="not under torch: set KERAS_BACKEND=jax"):
        devices.choose(2)


@pytest.mark.parametrize(("size", "count", "use"), [(8, 3, 9), (1, 2, 2), (10, 4, 8)])
def test_batches_that_can_not_be_divided_are_refused(make_split, size, count, use):
    from labkit.batches import Batches

    with pytest.raises(ValueError, match=f"batch_size is {size}, .* use {use}, or"):
        devices.check_batches(Batches(make_split(24), size), count)


def test_one_device_trains_the_model_itself(tiny_unet):
    model = tiny_unet()
    with devices.shared(model, 1, None) as learner:
        assert learner is model


class Place:
    def __init__(self, **attributes):
        vars(self).update(attributes)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (Place(device="/job:localhost/replica:0/task:0/device:GPU:0"), "GPU"),
        (Place(device="/job:localhost/replica:0/task:0/device:CPU:0"), "CPU"),
        (Place(devices=lambda: {"CudaDevice(id=0)"}), "GPU"),
        (Place(devices=lambda: {"TFRT_CPU_0"}, device="TFRT_CPU_0"), "CPU"),
        (Place(device="cuda:0"), "GPU"),
    ],
)
def test_where_a_model_lies(value, place):
    assert devices.where(Place(weights=[Place(value=value)])) == place


def test_a_model_of_this_machine_lies_where_it_is(tiny_unet):
    assert devices.where(tiny_unet()) == "CPU"
