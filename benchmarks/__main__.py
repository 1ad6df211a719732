"""All comparisons of the course, as ratios with their spread.

    python -m benchmarks            about 20 minutes on 2 cores; let the machine do nothing else
    python -m benchmarks --record   and keep the result for the page on performance

Needs the real dataset. Compares with segmentation_models.pytorch where another Python has it
(PEER_PYTHON, or the one that runs this), and with ONNX Runtime where it is installed:

    pip install onnx onnxruntime tf2onnx
    pip install torch segmentation-models-pytorch

Processes alternate, so that a machine whose speed drifts treats all alike; a ratio is taken within
a round, and the spread is from round to round.
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
RECORD = Path(__file__).parents[1] / "book" / "results" / "benchmarks.jsonl"


def main():
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--record", action="store_true")
    options = options.parse_args()
    speeds = [speed_round(number) for number in range(options.rounds)]
    quality = [quality_round(number) for number in range(options.rounds)]
    result = {
        **about(),
        "floor": ask("floor"),
        "speeds": speeds,
        "quality": quality,
    }
    result["ratios"] = ratios(result)
    for title, (low, middle, high) in result["ratios"].items():
        print(f"{title:64} {middle:5.2f}  ({low:.2f} to {high:.2f})")
    if options.record:
        with open(RECORD, "a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
        print(f"Recorded in {RECORD}.")


def about():
    """Where and when."""
    from labkit import profile

    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": profile.commit(),
        "machine": profile.machine(),
        "versions": profile.versions() | peers(),
    }


def peers():
    """Versions of what labkit is compared with, as their own Python has them."""
    code = "from importlib.metadata import version; print(version({!r}))"
    found = {}
    for python in {sys.executable, PEER_PYTHON}:
        for name in PEERS:
            command = [python, "-c", code.format(name)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode == 0:
                found[name] = done.stdout.strip()
    return found


def speed_round(number):
    """Images a second of every worker, one process after the other."""
    found = {name: ask(name) for name in workers.WORKERS if name not in ("smp", "floor")}
    try:
        found["smp"] = ask("smp", PEER_PYTHON)
    except subprocess.CalledProcessError as error:
        print(f"no peer: {error.stderr.strip().splitlines()[-1]}", file=sys.stderr)
    return found


def quality_round(number):
    """Two epochs of the laboratory work's recipe, and the whole of the fast one."""
    from labkit.experiments import recipes

    runs = (("laboratory", 2), ("fast", recipes.find("fast").epochs))
    return {
        name: output([sys.executable, "-m", "benchmarks.quality", name, str(epochs)], name)
        for name, epochs in runs
    }


def ask(worker, python=sys.executable):
    return output([python, "-m", "benchmarks.workers", worker], worker)


def output(command, title):
    """What a process prints as JSON in its last line."""
    print(f"measuring {title} ...", file=sys.stderr, flush=True)
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=quiet)
    return json.loads(done.stdout.strip().splitlines()[-1])


# --- ratios --------------------------------------------------------------------------------------


def ratios(result):
    """(lowest, middle, highest) of each comparison over the rounds; above 1, labkit is ahead."""
    found = {}
    for title, of_round in COMPARISONS.items():
        values = [of_round(one) for one in rounds(result)]
        values = [value for value in values if value is not None]
        if values:
            found[title] = min(values), statistics.median(values), max(values)
    return found


def rounds(result):
    """Each round with what belongs to it."""
    for speeds, quality in zip(result["speeds"], result["quality"], strict=True):
        yield {"floor": result["floor"], "quality": quality, **speeds}


def time_to_quality(one):
    """Ten epochs of the laboratory work, the first of which is slower, over the fast recipe.

    None if the fast recipe has not reached the goal.
    """
    if any(one["quality"]["fast"][name] < goal for name, goal in GOAL.items()):
        return None
    first, second = one["quality"]["laboratory"]["seconds"]
    return (first + 9 * second) / sum(one["quality"]["fast"]["seconds"])


def best(found, *starts):
    """The highest rate among names that begin so."""
    return max(value for name, value in found.items() if name.startswith(starts))


def over_peer(worker, count):
    """Images a second in batches of ``count``, the best way of each."""

    def ratio(one):
        if "smp" not in one:
            return None
        mine, theirs = (
            max(rate for way, rate in one[name].items() if way.endswith(f"batch {count}"))
            for name in (worker, "smp")
        )
        return mine / theirs

    return ratio


def training_over_peer(one):
    return one["whole"]["train"] / best(one["smp"], "train") if "smp" in one else None


def over_floor(name):
    """How many times longer a step takes than its arithmetic at matrix-product speed."""

    def ratio(one):
        needed = one["floor"][f"{name} GFLOP an image"] / one["floor"]["float32 GFLOP/s"]
        return 1 / one[name]["train"] / needed

    return ratio


COMPARISONS = {
    "time to the laboratory work's quality: laboratory / fast": time_to_quality,
    "training, images/s: U-Net trained whole / smp in its better precision": training_over_peer,
    "prediction, batch 1: U-Net of standard / smp": over_peer("predict", 1),
    "prediction, batch 32: U-Net of standard / smp": over_peer("predict", 32),
    "prediction, batch 1: U-Net of fast / smp": over_peer("predict_light", 1),
    "prediction, batch 32: U-Net of fast / smp": over_peer("predict_light", 32),
    "distance to the floor, laboratory: time / arithmetic": over_floor("laboratory"),
    "distance to the floor, standard: time / arithmetic": over_floor("standard"),
    "distance to the floor, fast: time / arithmetic": over_floor("fast"),
}

if __name__ == "__main__":
    main()
