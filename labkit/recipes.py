"""Declared runs on the real data, and the ledger that keeps their results.

A recipe is plain data. ``run`` trains it from the compact arrays, scores it once on the official
test split, and appends one row to ``book/results/runs.jsonl``. No weights and no image is kept.
"""

import json
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np

from labkit import classes, data, losses, metrics, profile, training
from labkit.batches import Batches
from labkit.models.unet import unet_model


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes a training but its seed."""

    name: str
    pixel_range: tuple[int, int]
    momentum: float
    batch_size: int
    learning_rate: float
    epochs: int
    image_size: int = 128


RECIPES = {
    # As the laboratory work trains: frozen MobileNetV2, Adam, no augmentation, the last weights.
    "laboratory": Recipe(
        "laboratory",
        pixel_range=(0, 1),
        momentum=0.99,
        batch_size=64,
        learning_rate=1e-3,
        epochs=10,
    ),
}
LEDGER = Path(__file__).parents[1] / "book" / "results" / "runs.jsonl"  # in a clone

# Reported by the laboratory work; its IoU and Dice are of class 1, which is the background, and
# averaged over images.
LABORATORY_WORK = {
    "loss": 0.2698,
    "accuracy": 0.8993,
    "background IoU per image": 0.8832,
    "background Dice per image": 0.9338,
}


def find(name):
    """The recipe of this name; raises ValueError for an unknown one."""
    if name not in RECIPES:
        raise ValueError(f"recipe is {name!r}: use one of {', '.join(RECIPES)}")
    return RECIPES[name]


def run(recipe, seed=0, source=data.REAL, limit=None, ledger=LEDGER):
    """Train a recipe, score it on the test split, append a row to the ledger.

    An interrupted run goes on from its last epoch when it is called again.

    Args:
        recipe: a ``Recipe``.
        seed: of the decoder's first weights and of the order of the images.
        source, limit: as for ``labkit.data.load``.
        ledger: the file that the row is appended to; None for no file.

    Returns:
        The row, a dict that JSON can hold.
    """
    code = commit()  # asked first: files may change while the run goes on
    pets = data.load(source, recipe.image_size, limit)
    model = unet_model(
        image_size=recipe.image_size,
        pixel_range=recipe.pixel_range,
        momentum=recipe.momentum,
        seed=seed,
    )
    train_ds = Batches(pets.train, recipe.batch_size, seed=seed)
    trained = training.train(
        model,
        train_ds,
        epochs=recipe.epochs,
        name=f"{recipe.name}-{seed}",
        optimizer=keras.optimizers.Adam(recipe.learning_rate),
    )
    row = {
        "recipe": asdict(recipe),
        "seed": seed,
        "source": pets.source,
        "images": [len(pets.train), len(pets.test)],
        "date": datetime.now(UTC).date().isoformat(),
        "commit": code,
        "versions": profile.versions(),
        "device": profile.device(),
        "seconds": sum(trained.history["seconds"]),
        "history": trained.history,
        "test": score(model, pets.test),
    }
    if ledger is not None:
        append(row, Path(ledger))
    return row


def course_model(pets, epochs):
    """The model of chapter 5 and its ``Run``: loaded if that chapter trained it, else trained.

    Args:
        pets: from ``labkit.data.load``.
        epochs: of the profile, ``profile.current().epochs``.
    """
    train, val = data.hold_out(pets.train)
    train_ds, val_ds = Batches(train, 32, seed=0), Batches(val, 32)
    model = unet_model(seed=0)
    trained = training.train(model, train_ds, val_ds, epochs=epochs, name="course")
    return model, trained


def score(model, split):
    """Scores of a model on a split, a flat dict of floats.

    ``loss`` (cross-entropy, the mean over all pixels), ``accuracy`` and ``mean IoU`` (pooled); IoU
    and Dice of each class, "pooled" and "per image".
    """
    pred_masks, loss = np.empty(split.masks.shape, "uint8"), 0.0
    for part, logits in training.predict_logits(model, split):
        pred_masks[part] = np.argmax(logits, axis=-1)[..., np.newaxis]
        loss += float(losses.CrossEntropy()(split.masks[part], logits)) * len(logits)
    scores = {
        "loss": loss / len(split),
        "accuracy": metrics.accuracy(split.masks, pred_masks),
        "mean IoU": metrics.mean_iou(split.masks, pred_masks),
    }
    for kind, how in (("IoU", metrics.iou), ("Dice", metrics.dice)):
        for average, words in (("pooled", "pooled"), ("image", "per image")):
            values = how(split.masks, pred_masks, average)
            for name, value in zip(classes.NAMES, values, strict=True):
                scores[f"{name} {kind} {words}"] = float(value)
    return scores


def commit():
    """The git commit of the code in the working folder, "+" behind it if files were changed."""
    try:
        ask = {"capture_output": True, "text": True, "check": True}
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], **ask).stdout.strip()
        changed = subprocess.run(["git", "diff", "--stat", "HEAD", "--", "labkit"], **ask).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed.strip() else "")


def append(row, ledger):
    """Add a row to a ledger, one line of JSON."""
    ledger.parent.mkdir(parents=True, exist_ok=True)
    with open(ledger, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def rows(ledger=LEDGER):
    """All rows of a ledger, oldest first, as dicts.

    Raises FileNotFoundError, with the command that makes a row, if there is no ledger.
    """
    ledger = Path(ledger)
    if not ledger.exists():
        raise FileNotFoundError(
            f"{ledger} is not there: install labkit from a clone of the course, whose ledger has "
            "rows; `labkit run laboratory` adds one"
        )
    return [json.loads(line) for line in ledger.read_text(encoding="utf-8").splitlines() if line]


def comparison(row, reported=LABORATORY_WORK):
    """Reported figures beside those of a run, as a pandas table."""
    import pandas as pd

    table = pd.DataFrame(
        {"laboratory work": reported, "run here": {key: row["test"][key] for key in reported}}
    )
    table["difference"] = table["run here"] - table["laboratory work"]
    return table.round(4)


def summary(row):
    """Scores of a run by class, as a pandas table: IoU and Dice, pooled and per image."""
    import pandas as pd

    columns = [f"{kind} {how}" for kind in ("IoU", "Dice") for how in ("pooled", "per image")]
    test = row["test"]
    values = [[test[f"{name} {column}"] for column in columns] for name in classes.NAMES]
    table = pd.DataFrame(values, index=classes.NAMES, columns=columns)
    table.loc["mean"] = np.mean(values, axis=0)
    return table.round(4)
