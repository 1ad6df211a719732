"""Experiments of chapter 12 that are more than one training of a recipe.

Each is a function of the data and a seed that yields rows, dicts that JSON can hold; ``labkit
study NAME`` adds them to a file of that name beside the ledger. Trainings that were made here are
loaded. ``study_cost`` trains nothing to its end: it measures what models are compared by.
"""

import itertools
import tempfile
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from keras import ops

from labkit import augment, profile
from labkit.analysis import scores
from labkit.batches import Batches
from labkit.experiments import recipes, tuning
from labkit.methods import cascade, export, pruning
from labkit.models import unetpp

BASE = recipes.SHORT
SHARES = (0.0, 0.25, 0.5, 0.75, 0.9)  # of the decoder's channels
COARSE, CLOSE = 64, 96  # pixels that the two networks of a cascade see
FEW = (100, 400)  # train images
FEW_STEPS = 400  # of a training, whatever the number of its images
FEW_CHANGES = {  # of the recipe
    "as it is": {},
    "no augmentation": {"augmented": False},
    "encoder frozen": {"fine_tune": False},
    "no pretrained weights": {"pretrained": False},
}
SEAM_IMAGES = 500  # of the test split, evenly taken
SEAM_MOVED = 8  # pixels to the right
TRIALS = 16
TRIAL = replace(BASE, name="trial", epochs=2)
# Whose cost is measured: those that a figure of chapter 12 compares.
COSTED = ["laboratory", "quick", "fast", "standard", "standard-attention-u-net", "combined"]
COSTED += [BASE.name, "short-frozen", "short-tuned"]
COSTED += [f"short-{recipes.slug(name)}" for name in recipes.ARCHITECTURES if name != "unet"]


def run_metadata(seed):
    """What every row of a study says: where it comes from, and when it was begun (UTC)."""
    return {
        "seed": seed,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": profile.commit(),
        "machine": profile.machine(),
    }


def study_pruning(pets, seed):
    """A row a share: size, time and scores of the pruned model, before and after one more epoch."""
    model, _ = recipes.fit(BASE, seed, pets.train)
    models = [pruning.prune(model, share) for share in SHARES]
    for share, slim, price in zip(SHARES, models, costs(models), strict=True):
        row = {
            "recipe": asdict(BASE),
            "share": share,
            **price,
            "before": scores.score(slim, pets.test),
        }
        again = replace(BASE, name=pruned_name(share), epochs=1, learning_rate=3e-4)
        slim, _ = recipes.fit(again, seed, pets.train, slim)
        yield row | {"after": scores.score(slim, pets.test)}


def pruned_name(share):
    """Of the recipe that trains a pruned network further."""
    return f"{BASE.name}-pruned-{share}"


def costs(models):
    """Parameters, megabytes of the LiteRT file, and milliseconds for one image, of each model."""
    with tempfile.TemporaryDirectory() as folder:
        files = [
            export.save(model, Path(folder) / f"{number}.tflite")
            for number, model in enumerate(models)
        ]
        sizes = [file.stat().st_size / 1e6 for file in files]
        times = export.milliseconds([export.load(file) for file in files], no_image(models[0]))
    parts = zip(models, sizes, times, strict=True)
    return [{"parameters": one.count_params(), "MB": size, "ms": ms} for one, size, ms in parts]


def no_image(model):
    """A black picture ``[1, S, S, 3]`` in the size that a model takes: to measure times with."""
    return np.zeros((1, *model.input_shape[1:]), "uint8")


def study_cascade(pets, seed):
    """One row: scores and time of two networks, one after the other, and the time of one alone."""
    coarse = replace(BASE, name=f"{BASE.name}-coarse", image_size=COARSE)
    everything = cascade.whole(len(pets.train))
    first, _ = recipes.fit(coarse, seed, cascade.crops(pets.train, everything, COARSE))
    close = replace(BASE, name=f"{BASE.name}-close", image_size=CLOSE)
    found = cascade.boxes(pets.train.masks)
    second, _ = recipes.fit(close, seed, cascade.crops(pets.train, found, CLOSE))
    both = cascade.Cascade(first, second)
    alone = recipes.build(BASE, seed)  # untrained: weights do not change the time
    times = export.milliseconds([both, alone], no_image(alone))
    yield {
        "recipes": [asdict(coarse), asdict(close)],
        "test": scores.score(both, pets.test),
        "ms": times[0],
        "ms of one network": times[1],
        "parameters": first.count_params() + second.count_params(),
    }


def study_export(pets, seed):
    """A row a file: its size, time and scores."""
    model, _ = recipes.fit(BASE, seed, pets.train)
    table = export.compare(model, pets.test, pets.train.images[:64])
    for name, line in table.iterrows():
        yield {"recipe": asdict(BASE), "file": name, **line.to_dict()}


def study_tuning(pets, seed):
    """A row a trial: its settings and its score on the validation images."""
    table = tuning.search(TRIAL, pets.train, TRIALS, seed=seed)
    for number, line in table.iterrows():
        yield {"recipe": asdict(TRIAL), "trial": number, **line.to_dict()}


def study_few(pets, seed):
    """A row a number of train images, drawn by the seed, and a change of the recipe.

    Each training has the same number of steps, so that fewer images are seen more often.
    """
    order = np.random.default_rng(seed).permutation(len(pets.train))
    for count in FEW:
        train = pets.train.select(np.sort(order[:count]))
        epochs = round(FEW_STEPS / len(Batches(train, BASE.batch_size)))
        for title, change in FEW_CHANGES.items():
            name = f"{BASE.name}-{count}-{recipes.slug(title)}"
            recipe = replace(BASE, name=name, epochs=epochs, **change)
            model, _ = recipes.fit(recipe, seed, train)
            yield {
                "images": len(train),
                "change": title,
                "recipe": asdict(recipe),
                "train": scores.score(model, train),
                "test": scores.score(model, pets.test),
            }


def study_seam(pets, seed):
    """A row a recipe and a place of the seam: does a network look for the step in colour that
    ``augment.recolor_independently`` leaves, and follow it where it is wrong?

    Scored on the true masks, whatever the place.
    """
    test = pets.test.select(slice(None, None, max(1, len(pets.test) // SEAM_IMAGES)))
    places = {
        "none": test,
        "outline": seamed(test, test.masks, seed),
        "beside it": seamed(test, np.roll(test.masks, SEAM_MOVED, axis=2), seed),
    }
    for name in (BASE.name, f"{BASE.name}-augmentation-apart"):
        recipe = recipes.find(name)
        model, _ = recipes.fit(recipe, seed, pets.train)
        for place, split in places.items():
            found = scores.score(model, split)
            yield {"recipe": asdict(recipe), "seam": place, "images": len(split), "test": found}


def seamed(split, masks, seed):
    """A split whose images are recoloured apart along the outlines of some masks."""
    images = np.asarray(split.images, "float32")
    rng = np.random.default_rng(seed)
    changed = augment.recolor_independently(images, masks, rng, augment.Strength())
    changed = ops.convert_to_numpy(changed).round().astype("uint8")
    return replace(split, images=changed)


def study_depths(pets, seed):
    """A row a depth: UNet++ cut off after its training, and the whole, which is depth 0."""
    recipe = recipes.find("short-unetpp")
    model, _ = recipes.fit(recipe, seed, pets.train)
    parts = [model, *(unetpp.pruned(model, depth) for depth in (1, 2, 3, 4))]
    for depth, (part, price) in enumerate(zip(parts, costs(parts), strict=True)):
        found = scores.score(part, pets.test)
        yield {"recipe": asdict(recipe), "depth": depth, **price, "test": found}


def study_cost(pets, seed):
    """A row a recipe of ``COSTED``, and a row a pruned network: size, time to predict an image and
    to train on one.

    Untrained: weights do not change the time. Trained as by its recipe, with its batches' making.
    """
    found = [recipes.find(name) for name in COSTED]
    models = [recipes.build(recipe, seed) for recipe in found]
    for share in SHARES[1:]:
        found.append(replace(BASE, name=pruned_name(share)))
        models.append(pruning.prune(recipes.build(BASE, seed), share))
    prices = costs(models)  # before training, which changes the models
    pairs = zip(found, models, strict=True)
    steps = export.in_turns([training_step(recipe, model, pets.train) for recipe, model in pairs])
    for recipe, price, step in zip(found, prices, steps, strict=True):
        yield {"recipe": asdict(recipe), **price, "ms to train": step / recipe.batch_size}


def training_step(recipe, model, train):
    """A function that makes the next batch of a training and learns from it."""
    train_ds = Batches(train, recipe.batch_size, seed=0, augmented=recipes.augmentation(recipe))
    model.compile(recipes.optimizer(recipe, model, train_ds), recipes.loss(recipe))
    numbers = itertools.cycle(range(len(train_ds)))
    return lambda: model.train_on_batch(*train_ds[next(numbers)])
