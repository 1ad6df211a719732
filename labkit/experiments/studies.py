"""Experiments of the electives that need more than one training of a recipe.

Each is a function of the data and a seed that yields rows, dicts that JSON can hold; ``labkit
study NAME`` appends them to a file of that name beside the ledger. Finished trainings are loaded,
not repeated. ``study_cost`` finishes no training: it only measures size and time.
"""

import itertools
import tempfile
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from keras import ops

from labkit import augment, data, profile
from labkit.analysis import probes, scores
from labkit.batches import Batches
from labkit.experiments import declared, recipes, tuning
from labkit.methods import cascade, export, pruning
from labkit.models import trained, unetpp, weights

BASE = declared.SHORT
SHARES = (0.0, 0.25, 0.5, 0.75, 0.9)  # of the decoder's channels, to prune
COARSE_SIZE, CROP_SIZE = 64, 96  # input sizes of a cascade's two networks, in pixels
# A short training of the tuned settings, with changes of the network and of the settings.
DESIGN = replace(
    declared.PLAIN, name="design", augmented="flips", fine_tune="block_3", **declared.TUNED
)
DESIGNS = {  # changes by title
    "plain": {},
    "narrow skips": {"narrow": True, "filters": (256, 128, 64, 32)},
    "enlarged": {"enlarge": 2, "filters": (256, 128, 64)},
    "enlarged, narrow skips": declared.NETWORK,
    "all augmentation": declared.NETWORK | {"augmented": True},
    "Dice weight 3": declared.NETWORK | {"dice": 3.0},
    "every layer trained": declared.NETWORK | {"fine_tune": True},
    "batches of 8": declared.NETWORK | {"batch_size": 8},
    "no average of weights": declared.NETWORK | {"averaging": 0.0},
}
DESIGN_EPOCHS = {  # titles by number of epochs: augmentation takes more than two to show
    2: tuple(title for title in DESIGNS if title != "all augmentation"),
    6: ("enlarged, narrow skips", "all augmentation"),
}
# More than flips, because photographs of users may differ more than those of the dataset.
SHIPPED = replace(declared.BEST, name="shipped", epochs=10, flips_at_end=3)
FEW_COUNTS = (100, 400)  # numbers of train images
FEW_STEPS = 400  # per training, for any number of images
FEW_CHANGES = {  # settings of the recipe
    "as it is": {},
    "no augmentation": {"augmented": False},
    "encoder frozen": {"fine_tune": False},
    "no pretrained weights": {"pretrained": False},
}
SEAM_IMAGES = 500  # evenly spaced in the test split
SEAM_SHIFT = 8  # pixels to the right
TRIALS = 16
TRIAL = replace(BASE, name="trial", epochs=2)
# Recipes that "What to try first" compares by cost.
COST_RECIPES = [
    "laboratory",
    "quick",
    "plain-fast",
    "plain",
    "standard",
    "plain-attention-u-net",
    "combined",
]
COST_RECIPES += [BASE.name, "short-frozen", "short-tuned"]
COST_RECIPES += [f"short-{declared.slug(name)}" for name in recipes.ARCHITECTURES if name != "unet"]


def run_metadata(seed):
    """Seed, start time (UTC), commit and machine, which every row of a study records."""
    return {
        "seed": seed,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": profile.commit(),
        "machine": profile.machine(),
    }


def study_pruning(pets, seed):
    """A row per share: size, time and scores of the pruned model, before and after one epoch."""
    model, _ = recipes.fit(BASE, seed, pets.train)
    models = [pruning.prune(model, share) for share in SHARES]
    for share, pruned, cost in zip(SHARES, models, costs(models), strict=True):
        row = {
            "recipe": asdict(BASE),
            "share": share,
            **cost,
            "before": scores.score(pruned, pets.test),
        }
        recipe = replace(BASE, name=pruned_name(share), epochs=1, learning_rate=3e-4)
        pruned, _ = recipes.fit(recipe, seed, pets.train, pruned)
        yield row | {"after": scores.score(pruned, pets.test)}


def pruned_name(share):
    """Name of the recipe that trains a pruned network further."""
    return f"{BASE.name}-pruned-{share}"


def costs(models):
    """Parameters, megabytes of the LiteRT file and milliseconds per image of each model."""
    with tempfile.TemporaryDirectory() as folder:
        files = [
            export.save(model, Path(folder) / f"{number}.tflite")
            for number, model in enumerate(models)
        ]
        sizes = [file.stat().st_size / 1e6 for file in files]
        times = export.milliseconds([export.load(file) for file in files], black_image(models[0]))
    return [
        {"parameters": model.count_params(), "MB": size, "ms": ms}
        for model, size, ms in zip(models, sizes, times, strict=True)
    ]


def black_image(model):
    """A black image ``[1, S, S, 3]`` of the model's input size, for measuring times."""
    return np.zeros((1, *model.input_shape[1:]), "uint8")


def study_cascade(pets, seed):
    """One row: scores and time of a cascade, and the time of a single network."""
    coarse = replace(BASE, name=f"{BASE.name}-coarse", image_size=COARSE_SIZE)
    full = cascade.full_boxes(len(pets.train))
    first, _ = recipes.fit(coarse, seed, cascade.crops(pets.train, full, COARSE_SIZE))
    close = replace(BASE, name=f"{BASE.name}-close", image_size=CROP_SIZE)
    boxes = cascade.bounding_boxes(pets.train.masks)
    second, _ = recipes.fit(close, seed, cascade.crops(pets.train, boxes, CROP_SIZE))
    model = cascade.Cascade(first, second)
    single = recipes.build(BASE, seed)  # untrained: weights do not change the time
    times = export.milliseconds([model, single], black_image(single))
    yield {
        "recipes": [asdict(coarse), asdict(close)],
        "test": scores.score(model, pets.test),
        "ms": times[0],
        "ms of one network": times[1],
        "parameters": first.count_params() + second.count_params(),
    }


def study_design(pets, seed):
    """A row for each number of epochs and each design: multiply-adds and validation scores."""
    train, val = data.hold_out(pets.train)
    for epochs, titles in DESIGN_EPOCHS.items():
        for title in titles:
            name = f"design-{declared.slug(title)}-{epochs}"
            recipe = replace(DESIGN, name=name, epochs=epochs, **DESIGNS[title])
            model, trained = recipes.fit(recipe, seed, train)
            counts = scores.tally(model, val)
            yield {
                "design": title,
                "recipe": asdict(recipe),
                "multiply-adds": probes.multiply_adds(model),
                "seconds": sum(trained.history["seconds"]),
                "validation": scores.summarize(counts),
                "intervals": scores.intervals(counts),
            }


def study_export(pets, seed):
    """A row per exported file: its size, time and scores."""
    model, _ = recipes.fit(BASE, seed, pets.train)
    table = export.compare(model, pets.test, pets.train.images[:64])
    for name, row in table.iterrows():
        yield {"recipe": asdict(BASE), "file": name, **row.to_dict()}


def study_shipped(pets, seed):
    """Train the model that comes with the course and write its weights; a row per test split.

    It learns from photographs and from drawn pets, so that it serves where only those are.
    """
    drawn = data.load(data.SYNTHETIC, SHIPPED.image_size)
    train = data.join(pets.train, drawn.train)
    model, run = recipes.fit(SHIPPED, seed, train)
    weights.save(model)
    model = trained.trained_unet()
    for source, split in ((pets.source, pets.test), (drawn.source, drawn.test)):
        counts = scores.tally(model, split)
        yield {
            "recipe": asdict(SHIPPED),
            "images": [len(train), len(split)],
            "source": source,
            "minutes": sum(run.history["seconds"]) / 60,
            "test": scores.summarize(counts),
            "intervals": scores.intervals(counts),
        }


def study_tuning(pets, seed):
    """A row per trial: its settings and its score on the validation images."""
    table = tuning.search(TRIAL, pets.train, TRIALS, seed=seed)
    for number, row in table.iterrows():
        yield {"recipe": asdict(TRIAL), "trial": number, **row.to_dict()}


def study_few(pets, seed):
    """A row for each number of train images and each change of the recipe.

    The seed draws the images. All trainings have the same number of steps, so fewer images are seen
    more often.
    """
    order = np.random.default_rng(seed).permutation(len(pets.train))
    for count in FEW_COUNTS:
        train = pets.train.select(np.sort(order[:count]))
        epochs = round(FEW_STEPS / len(Batches(train, BASE.batch_size)))
        for title, change in FEW_CHANGES.items():
            name = f"{BASE.name}-{count}-{declared.slug(title)}"
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
    """A row for each recipe and position of the seam, scored on the true masks.

    The seam is the step in color that ``augment.recolor_independently`` leaves. Does a network
    trained with it follow the seam even where it is not the outline?
    """
    test = pets.test.select(slice(None, None, max(1, len(pets.test) // SEAM_IMAGES)))
    splits = {
        "none": test,
        "outline": with_seam(test, test.masks, seed),
        "beside it": with_seam(test, np.roll(test.masks, SEAM_SHIFT, axis=2), seed),
    }
    for name in (BASE.name, f"{BASE.name}-augmentation-apart"):
        recipe = recipes.find(name)
        model, _ = recipes.fit(recipe, seed, pets.train)
        for seam, split in splits.items():
            yield {
                "recipe": asdict(recipe),
                "seam": seam,
                "images": len(split),
                "test": scores.score(model, split),
            }


def with_seam(split, masks, seed):
    """The split with animal and background, as these masks divide them, recolored separately."""
    images = np.asarray(split.images, "float32")
    rng = np.random.default_rng(seed)
    recolored = augment.recolor_independently(images, masks, rng, augment.Strength())
    recolored = ops.convert_to_numpy(recolored).round().astype("uint8")
    return replace(split, images=recolored)


def study_depths(pets, seed):
    """A row per depth: UNet++ pruned to it after training; depth 0 is the whole network."""
    recipe = recipes.find("short-unetpp")
    model, _ = recipes.fit(recipe, seed, pets.train)
    models = [model, *(unetpp.pruned(model, depth) for depth in (1, 2, 3, 4))]
    for depth, (pruned, cost) in enumerate(zip(models, costs(models), strict=True)):
        test = scores.score(pruned, pets.test)
        yield {"recipe": asdict(recipe), "depth": depth, **cost, "test": test}


def study_cost(pets, seed):
    """A row per recipe of ``COST_RECIPES`` and per pruned network: its size, and the time to
    predict one image and to train on one.

    The models are untrained, since weights do not change the time. A training step follows the
    recipe and includes making the batch.
    """
    cost_recipes = [recipes.find(name) for name in COST_RECIPES]
    models = [recipes.build(recipe, seed) for recipe in cost_recipes]
    for share in SHARES[1:]:
        cost_recipes.append(replace(BASE, name=pruned_name(share)))
        models.append(pruning.prune(recipes.build(BASE, seed), share))
    model_costs = costs(models)  # before training, which changes the models
    step_times = export.median_milliseconds(
        [
            training_step(recipe, model, pets.train)
            for recipe, model in zip(cost_recipes, models, strict=True)
        ]
    )
    for recipe, cost, ms in zip(cost_recipes, model_costs, step_times, strict=True):
        yield {"recipe": asdict(recipe), **cost, "ms to train": ms / recipe.batch_size}


def training_step(recipe, model, train):
    """A function that makes the next batch and trains on it."""
    train_ds = Batches(train, recipe.batch_size, seed=0, augmented=recipes.augmentation(recipe))
    model.compile(recipes.optimizer(recipe, model, train_ds), recipes.loss(recipe))
    indices = itertools.cycle(range(len(train_ds)))
    return lambda: model.train_on_batch(*train_ds[next(indices)])
