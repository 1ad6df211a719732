"""Experiments of chapter 11 that are more than one training of a recipe.

Each is a function of the data and a seed that yields rows, dicts that JSON can hold; ``labkit
study NAME`` adds them to a file of that name beside the ledger. Trainings that were made here are
loaded.
"""

import tempfile
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from labkit import cascade, export, profile, pruning, recipes, scores, tuning

BASE = recipes.SHORT
SHARES = (0.0, 0.25, 0.5, 0.75, 0.9)  # of the decoder's channels
COARSE, CLOSE = 64, 96  # pixels that the two networks of a cascade see
TRIALS = 16
TRIAL = replace(BASE, name="trial", epochs=2)


def about(seed):
    """What every row says: where it comes from."""
    return {
        "seed": seed,
        "recipe": asdict(BASE),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": recipes.commit(),
        "machine": profile.machine(),
    }


def study_pruning(pets, seed):
    """A row a share: size, time and scores of the pruned model, before and after one more epoch."""
    model, _ = recipes.fit(BASE, seed, pets.train)
    for share in SHARES:
        slim = pruning.prune(model, share)
        row = {"share": share, **cost(slim), "before": scores.score(slim, pets.test)}
        again = replace(BASE, name=f"{BASE.name}-pruned-{share}", epochs=1, learning_rate=3e-4)
        slim, _ = recipes.fit(again, seed, pets.train, slim)
        yield row | {"after": scores.score(slim, pets.test)}


def cost(model):
    """Parameters, megabytes of the file, milliseconds for one image."""
    with tempfile.TemporaryDirectory() as folder:
        file = export.save(model, Path(folder) / "model.tflite")
        size = file.stat().st_size / 1e6
        spent = export.milliseconds(export.load(file), no_images(model, 20))
    return {"parameters": model.count_params(), "MB": size, "ms": spent}


def no_images(model, count):
    """Black pictures in the size that a model takes: to measure times with."""
    return np.zeros((count, *model.input_shape[1:]), "uint8")


def study_cascade(pets, seed):
    """One row: scores and time of two networks, one after the other, and the time of one alone."""
    recipe = replace(BASE, name=f"{BASE.name}-coarse", image_size=COARSE)
    first, _ = recipes.fit(
        recipe, seed, cascade.crops(pets.train, cascade.whole(len(pets.train)), COARSE)
    )
    recipe = replace(BASE, name=f"{BASE.name}-close", image_size=CLOSE)
    found = cascade.boxes(pets.train.masks)
    second, _ = recipes.fit(recipe, seed, cascade.crops(pets.train, found, CLOSE))
    both = cascade.Cascade(first, second)
    alone = recipes.build(BASE, seed)  # untrained: weights do not change the time
    yield {
        "sizes": [COARSE, CLOSE],
        "test": scores.score(both, pets.test),
        "ms": export.milliseconds(both, no_images(alone, 20)),
        "ms of one network": export.milliseconds(alone, no_images(alone, 20)),
        "parameters": first.count_params() + second.count_params(),
    }


def study_export(pets, seed):
    """A row a file: its size, time and scores."""
    model, _ = recipes.fit(BASE, seed, pets.train)
    table = export.compare(model, pets.test, pets.train.images[:64])
    for name, line in table.iterrows():
        yield {"file": name, **line.to_dict()}


def study_tuning(pets, seed):
    """A row a trial: its settings and its score on the validation images."""
    table = tuning.search(TRIAL, pets.train, TRIALS, seed=seed)
    for number, line in table.iterrows():
        yield {"trial": number, **line.to_dict()}
