"""A controlled experiment on synthetic pets: what do the shades of a coat cost?

The same animals are drawn in each number of shades and in each contrast, and nothing else changes
(``labkit.synthetic``). A model that learned from varied coats is compared with one that saw plain
coats alone.
"""

import numpy as np
import pandas as pd

from labkit import classes, data, metrics, synthetic, training
from labkit.experiments import recipes

COATS = {"varied": {}, "plain": {"shades": 1}}  # how the animals of a training are drawn
SHADES = (1, 2, 3, 4, 5, 6)
CONTRASTS = (0.25, 0.5, 0.75, 1.0)


def experiment(coats, seed=0, animals=100, images=1000, epochs=8, image_size=128):
    """Train on one kind of coats and score test animals in every coat.

    A training that was interrupted goes on when this is called again.

    Args:
        coats: of the training, a key of ``COATS``.
        seed: of the training and of its drawings. The test animals are the same for each seed.
        animals: how many to draw in each of the 24 test coats.
        images, epochs: of the training.
        image_size: S, in pixels.

    Returns:
        A pandas table, a row for each animal in each coat: ``coats`` and ``seed`` of the training,
        ``shades``, ``contrast``, ``animal``, and its ``pet IoU`` and ``mean IoU``.

    Raises:
        ValueError: for an unknown kind of coats.
    """
    if coats not in COATS:
        raise ValueError(f"coats is {coats!r}: use one of {', '.join(COATS)}")
    settings = recipes.COURSE | {"filters": recipes.LIGHT, "weight_decay": 1e-4}
    recipe = recipes.Recipe(f"{coats}-coats", epochs=epochs, image_size=image_size, **settings)
    train = drawings(images, image_size, seed=seed, split="train", **COATS[coats])
    model, _ = recipes.fit(recipe, seed, train)
    parts = []
    for shades in SHADES:
        for contrast in CONTRASTS:
            coat = {"shades": shades, "contrast": contrast}
            tested = drawings(animals, image_size, split="test", **coat)
            parts.append(
                pd.DataFrame({"coats": coats, "seed": seed, **coat} | score(model, tested))
            )
    return pd.concat(parts, ignore_index=True)


def drawings(count, image_size=128, **options):
    """``count`` synthetic pets as a ``labkit.data.Split``, without a table of names.

    Args:
        count: how many.
        image_size: S, in pixels.
        options: as for ``synthetic.example``: seed, split, shades, contrast, background_contrast.
    """
    drawn = synthetic.examples(count, size=(image_size, image_size), **options)
    ready = [data.prepare(one["image"], one["segmentation_mask"], image_size) for one in drawn]
    images, masks = (np.stack(part) for part in zip(*ready, strict=True))
    return data.Split(images, masks, {})


def score(model, split):
    """Columns ``animal`` (0 to N - 1), ``pet IoU`` and ``mean IoU`` of each image, ``[N]``."""
    pred_masks = training.predict_masks(model, split)
    found = metrics.iou_from(metrics.confusion(split.masks, pred_masks))  # [N, C]
    pet = found[:, classes.PET]
    return {"animal": np.arange(len(split)), "pet IoU": pet, "mean IoU": found.mean(axis=1)}
