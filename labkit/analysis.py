"""From predictions to knowledge: one table with a row for each image, and figures from it."""

import numpy as np
import pandas as pd

from labkit import classes, metrics


def table(split, pred_masks):
    """Scores and attributes of every image.

    Args:
        split: a ``labkit.data.Split``.
        pred_masks: uint8 ``[N, S, S, 1]``, from ``training.predict_masks``.

    Returns:
        A pandas table, one row an image in the split's order: ``name``, ``breed``, ``species``;
        ``accuracy`` and the IoU of each class (``pet IoU`` ...; a class that is absent from mask
        and prediction scores 1); ``pet share`` of the true pet in the picture; ``coat contrast``,
        the standard deviation of lightness inside the true pet (0-1).
    """
    matrices = metrics.confusion(split.masks, pred_masks)
    rows = pd.DataFrame({key: split.table[key] for key in ("name", "breed", "species")})
    rows["accuracy"] = metrics.accuracy_from(matrices)
    for name, column in zip(classes.NAMES, metrics.iou_from(matrices).T, strict=True):
        rows[f"{name} IoU"] = column
    true_pet = split.masks[..., 0] == classes.PET  # [N, S, S]
    rows["pet share"] = true_pet.mean((1, 2))
    rows["coat contrast"] = [
        coat_contrast(image, pet) for image, pet in zip(split.images, true_pet, strict=True)
    ]
    return rows


def coat_contrast(image, pet):
    """Standard deviation of lightness where ``pet`` is true, 0-1; NaN if that is nowhere.

    Lightness is the mean of the strongest and the weakest of red, green and blue (as in HSL).
    """
    if not pet.any():
        return np.nan
    pixels = image[pet].astype(float) / 255  # [P, 3]
    return float(((pixels.max(-1) + pixels.min(-1)) / 2).std())


def interval(values, seed=0, draws=1000):
    """Mean of some values and its bootstrap 95 % interval: (mean, low, high), floats.

    The interval tells how far the mean would move with other images of the same kind.
    Source: Efron (1979). NaN values are left out.
    """
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    if len(values) == 0:
        raise ValueError("there is no value to take the mean of")
    rng = np.random.default_rng(seed)
    means = rng.choice(values, (draws, len(values))).mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def by_group(rows, group, score="pet IoU"):
    """Mean score of each group with its interval, worst first: ``images``, ``mean``, ``low``,
    ``high``."""
    found = {
        name: (len(part), *interval(part[score]))
        for name, part in rows.groupby(group, observed=True)
    }
    summary = pd.DataFrame.from_dict(found, "index", columns=["images", "mean", "low", "high"])
    return summary.sort_values("mean")
