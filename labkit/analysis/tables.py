"""From predictions to knowledge: one table with a row for each image, and figures from it."""

import numpy as np
import pandas as pd

from labkit import classes, metrics
from labkit.analysis import attributes


def per_image(split, pred_masks):
    """Scores and attributes of every image.

    Args:
        split: a ``labkit.data.Split``.
        pred_masks: uint8 ``[N, S, S, 1]``, from ``training.predict_masks``.

    Returns:
        A pandas table, one row an image in the split's order: ``name``, ``breed``, ``species``;
        ``accuracy`` and the IoU of each class (``pet IoU`` ...; a class that is absent from mask
        and prediction scores 1); and what ``attributes.describe`` finds in image and mask.
    """
    matrices = metrics.confusion(split.masks, pred_masks)
    rows = pd.DataFrame({key: split.table[key] for key in ("name", "breed", "species")})
    rows["accuracy"] = metrics.accuracy_from(matrices)
    for name, column in zip(classes.NAMES, metrics.iou_from(matrices).T, strict=True):
        rows[f"{name} IoU"] = column
    return rows.join(attributes.table(split))


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


# --- which attributes go with the score ---------------------------------------------------------


def associations(rows, names, score="pet IoU", draws=1000, seed=0):
    """How some attributes of images go with their score, each alone and with the others held.

    Values are replaced by ranks, so that any rising or falling curve counts and a few odd images
    do not. ``alone`` is Spearman's correlation; ``others held`` is the coefficient of a linear
    regression of the score on all attributes: by how many standard deviations the score moves with
    one of the attribute while the others stay. Intervals come from the bootstrap over images; they
    are widened for the number of attributes (Bonferroni), so that with 95 % confidence *all* of a
    column hold at once.

    Args:
        rows: a pandas table with a row for each image; those with a NaN are left out.
        names: of the attributes, columns of ``rows``.
        score: another column.

    Returns:
        A pandas table, one row an attribute, strongest first: ``alone``, ``low``, ``high``,
        ``others held``, ``held low``, ``held high``. 0 for what is the same in every image.

    Raises:
        ValueError: if fewer than three rows are left.
    """
    ranks = rows[[*names, score]].dropna().rank().to_numpy()  # [N, K + 1]
    if len(ranks) < 3:
        raise ValueError(f"{len(ranks)} rows without a NaN: a correlation needs at least 3")
    rng = np.random.default_rng(seed)
    drawn = [_strengths(rng.choice(ranks, len(ranks))) for _ in range(draws)]  # draws of [2, K]
    outside = 0.05 / len(names) / 2
    low, high = np.quantile(drawn, [outside, 1 - outside], axis=0)
    found = _strengths(ranks)
    columns = ["alone", "low", "high", "others held", "held low", "held high"]
    numbers = [found[0], low[0], high[0], found[1], low[1], high[1]]
    coefficients = pd.DataFrame(dict(zip(columns, numbers, strict=True)), index=list(names))
    return coefficients.sort_values("others held", key=abs, ascending=False)


def _strengths(ranks):
    """Correlation of each column with the last, and regression of the last on all others.

    Both 0 for a column that does not vary.
    """
    standard = ranks - ranks.mean(0)
    standard /= np.maximum(standard.std(0), 1e-12)
    x, y = standard[:, :-1], standard[:, -1]
    return np.stack([x.T @ y / len(y), np.linalg.lstsq(x, y, rcond=None)[0]])


def by_quantile(rows, name, score="pet IoU"):
    """Mean score of the images in each fifth of an attribute, with intervals, lowest first.

    Fewer than five groups if many images share a value. The index says from where to where.
    """
    bins = pd.qcut(rows[name], 5, duplicates="drop")
    return by_group(rows, bins, score).sort_index()
