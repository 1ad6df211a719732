"""Run all benchmarks of the course and print ratios with their range.

    python -m benchmarks            20 to 45 minutes on 2 cores of an idle machine
    python -m benchmarks --record   also keeps the result for the page on performance

Needs the real dataset. Compares with segmentation_models.pytorch if the Python of the environment
variable PEER_PYTHON (by default this one) has it, and with ONNX Runtime if it is installed:

    pip install onnx onnxruntime tf2onnx
    pip install torch segmentation-models-pytorch

Each round runs all processes once, so that a drift of the machine's speed affects all alike. A
ratio is computed within a round, and its range is over the rounds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import workers
from benchmarks.quality import GOAL

PEERS = ("onnxruntime", "torch", "segmentation_models_pytorch")
PEER_PYTHON = os.environ.get("PEER_PYTHON", sys.executable)
RESULTS = Path(__file__).parents[1] / "labkit" / "experiments" / "results"
RECORD = RESULTS / "benchmarks.jsonl"


def main():
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--record", action="store_true")
    options = options.parse_args()
    speeds = [speed_round() for _ in range(options.rounds)]
    quality = [quality_round() for _ in range(options.rounds)]
    floor = run_worker("floor")
    result = {**provenance(), "floor": floor, "speeds": speeds, "quality": quality}
    result["ratios"] = ratios(result)
    for title, (low, middle, high) in result["ratios"].items():
        print(f"{title:64} {middle:5.2f}  ({low:.2f} to {high:.2f})")
    if options.record:
        with open(RECORD, "a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
        print(f"Recorded in {RECORD}.")


def provenance():
    """Return date, commit, machine and versions."""
    from labkit import profile

    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": profile.commit(),
        "machine": profile.machine(),
        "versions": profile.versions() | peer_versions(),
    }


def peer_versions():
    """Return the versions of the packages that labkit is compared with, as far as installed."""
    code = "from importlib.metadata import version; print(version({!r}))"
    found = {}
    for python in {sys.executable, PEER_PYTHON}:
        for name in PEERS:
            command = [python, "-c", code.format(name)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode == 0:
                found[name] = done.stdout.strip()
    return found


def speed_round():
    """Return the images per second of every worker."""
    found = {}
    for name in workers.WORKERS:
        python = PEER_PYTHON if name.startswith("smp") else sys.executable
        try:
            if name != "floor":
                found[name] = run_worker(name, python)
        except subprocess.CalledProcessError as error:
            if not name.startswith("smp"):
                raise
            print(
                f"{name} was not measured: {error.stderr.strip().splitlines()[-1]}", file=sys.stderr
            )
    return found


def quality_round():
    """Train two epochs of the laboratory work's recipe, and all epochs of the fast one."""
    from labkit.experiments import recipes

    runs = (("laboratory", 2), ("fast", recipes.find("fast").epochs))
    return {
        name: run_json([sys.executable, "-m", "benchmarks.quality", name, str(epochs)], name)
        for name, epochs in runs
    }


def run_worker(name, python=sys.executable):
    """Return the measurements of a worker."""
    return run_json([python, "-m", "benchmarks.workers", name], name)


def run_json(command, title):
    """Run a process and return the JSON of its last line of output."""
    print(f"measuring {title} ...", file=sys.stderr, flush=True)
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=quiet)
    return json.loads(done.stdout.strip().splitlines()[-1])


# --- ratios --------------------------------------------------------------------------------------


def ratios(result):
    """Return (minimum, median, maximum) of each comparison over the rounds.

    labkit is faster where a ratio is above 1, except for the distances to the floor.
    """
    found = {}
    for title, of_round in COMPARISONS.items():
        values = [of_round(one) for one in rounds(result)]
        values = [value for value in values if value is not None]
        if values:
            found[title] = min(values), statistics.median(values), max(values)
    return found


def rounds(result):
    """Yield the measurements of each round."""
    for speeds, quality in zip(result["speeds"], result["quality"], strict=True):
        yield {"floor": result["floor"], "quality": quality, **speeds}


def time_to_quality(one):
    """Return the ratio of training times: ten epochs of the laboratory work to the fast recipe.

    The first epoch, which is slower, is counted once. None if the fast recipe missed the goal.
    """
    if any(one["quality"]["fast"][name] < goal for name, goal in GOAL.items()):
        return None
    first, second = one["quality"]["laboratory"]["seconds"]
    return (first + 9 * second) / sum(one["quality"]["fast"]["seconds"])


def over_peer(size, kind):
    """Return a function that compares rates with smp's, for images of ``size`` in the encoder.

    Each side has the fastest of its precisions and runtimes; the ratio is None without smp.

    Args:
        size: 128 or 256.
        kind: "train", "batch 1" or "batch 32", as in the names of the rates.
    """

    def ratio(one):
        if f"smp_{size}" not in one:
            return None
        ours, theirs = (
            max(rate for way, rate in one[f"{name}_{size}"].items() if kind in way.split(", "))
            for name in ("unet", "smp")
        )
        return ours / theirs

    return ratio


def over_floor(name):
    """Return a function: time of a training step over that of its arithmetic at peak speed.

    Peak speed is that of a large matrix product.
    """

    def ratio(one):
        needed = one["floor"][f"{name} GFLOP an image"] / one["floor"]["float32 GFLOP/s"]
        return 1 / one[name]["train"] / needed

    return ratio


COMPARISONS = {
    "time to the laboratory work's quality: laboratory / fast": time_to_quality,
    "training at 128 pixels: U-Net / smp": over_peer(128, "train"),
    "training at 256 pixels: U-Net / smp": over_peer(256, "train"),
    "prediction at 128 pixels, batch 1: U-Net / smp": over_peer(128, "batch 1"),
    "prediction at 128 pixels, batch 32: U-Net / smp": over_peer(128, "batch 32"),
    "prediction at 256 pixels, batch 1: U-Net / smp": over_peer(256, "batch 1"),
    "prediction at 256 pixels, batch 32: U-Net / smp": over_peer(256, "batch 32"),
    "distance to the floor, laboratory: time / arithmetic": over_floor("laboratory"),
    "distance to the floor, standard: time / arithmetic": over_floor("standard"),
    "distance to the floor, fast: time / arithmetic": over_floor("fast"),
}

if __name__ == "__main__":
    main()
