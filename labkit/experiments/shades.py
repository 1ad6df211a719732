"""A controlled experiment on synthetic pets: how do the shades of a coat change the score?

The same animals are drawn in every number of shades and every contrast, with nothing else changed
(``labkit.synthetic``). A model trained on varied coats is compared with one trained on plain coats.
"""

import numpy as np
import pandas as pd

from labkit import classes, data, metrics, synthetic, training
from labkit.experiments import declared, recipes

COATS = {"varied": {}, "plain": {"shades": 1}}  # drawing options of the train images
SHADES = (1, 2, 3, 4, 5, 6)
CONTRASTS = (0.25, 0.5, 0.75, 1.0)


def experiment(coats, seed=0, animals=100, images=1000, epochs=8, image_size=128):
    """Train on one kind of coats and score test animals in every coat.

    Another call resumes an interrupted training.

    Args:
        coats: of the training, a key of ``COATS``.
        seed: of the training and its images. The test animals are the same for every seed.
        animals: number of animals in each of the 24 test coats.
        images, epochs: of the training.
        image_size: S, in pixels.

    Returns:
        A pandas table with a row for each animal in each coat: ``coats`` and ``seed`` of the
        training, ``shades``, ``contrast``, ``animal``, and its ``pet IoU`` and ``mean IoU``.

    Raises:
        ValueError: if ``coats`` is not a key of ``COATS``.
    """
    if coats not in COATS:
        raise ValueError(f"coats is {coats!r}: use one of {', '.join(COATS)}")
    settings = declared.COURSE | {"filters": declared.LIGHT, "weight_decay": 1e-4}
    recipe = recipes.Recipe(f"{coats}-coats", epochs=epochs, image_size=image_size, **settings)
    train = drawings(images, image_size, seed=seed, split="train", **COATS[coats])
    model, _ = recipes.fit(recipe, seed, train)
    tables = []
    for shades in SHADES:
        for contrast in CONTRASTS:
            coat = {"shades": shades, "contrast": contrast}
            test = drawings(animals, image_size, split="test", **coat)
            columns = {"coats": coats, "seed": seed, **coat} | score(model, test)
            tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def drawings(count, image_size=128, **options):
    """``count`` synthetic pets as a ``labkit.data.Split``, without a table of names.

    Args:
        count: number of pets.
        image_size: S, in pixels.
        options: as for ``synthetic.example``: seed, split, shades, contrast, background_contrast.
    """
    examples = synthetic.examples(count, size=(image_size, image_size), **options)
    pairs = [data.prepare(x["image"], x["segmentation_mask"], image_size) for x in examples]
    images, masks = (np.stack(arrays) for arrays in zip(*pairs, strict=True))
    return data.Split(images, masks, {})


def score(model, split):
    """Columns ``animal`` (0 to N - 1), ``pet IoU`` and ``mean IoU`` of each image, ``[N]``."""
    pred_masks = training.predict_masks(model, split)
    iou = metrics.iou_from(metrics.confusion(split.masks, pred_masks))  # [N, C]
    pet_iou = iou[:, classes.PET]
    return {"animal": np.arange(len(split)), "pet IoU": pet_iou, "mean IoU": iou.mean(axis=1)}
