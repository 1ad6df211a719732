"""Tables with a row for each image, and statistics of their scores and attributes."""

import numpy as np
import pandas as pd

from labkit import metrics, training
from labkit.analysis import attributes
from labkit.classes import PETS


def per_image(split, pred_masks):
    """Scores and attributes of every image.

    Args:
        split: a ``labkit.data.Split``.
        pred_masks: uint8 ``[N, S, S, 1]``, from ``training.predict_masks``.

    Returns:
        A pandas table, one row per image in the split's order: the split's table without sizes;
        ``accuracy`` and the IoU of each class (``pet IoU`` ...; NaN for a class absent from both
        mask and prediction); and for pets the attributes of ``attributes.describe``.
    """
    training.check_split(split, len(split.classes))
    matrices = metrics.confusion(split.masks, pred_masks, len(split.classes), split.classes.ignored)
    columns = {key: split.table[key] for key in split.table if key not in ("height", "width")}
    rows = pd.DataFrame(columns, index=range(len(split)))
    rows["accuracy"] = metrics.accuracy_from(matrices)
    ious = metrics.iou_from(matrices, empty=np.nan)
    for name, iou in zip(split.classes.names, ious.T, strict=True):
        rows[f"{name} IoU"] = iou
    return rows.join(attributes.table(split)) if split.classes == PETS else rows


def interval(values, seed=0, draws=1000):
    """Mean of some values and its bootstrap 95 % interval: (mean, low, high), floats.

    The interval shows how the mean varies with other images of the same kind. NaN values are left
    out; ValueError if nothing remains. Source: Efron (1979).
    """
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    if len(values) == 0:
        raise ValueError("every value is NaN or there are none: pass at least one number")
    rng = np.random.default_rng(seed)
    means = rng.choice(values, (draws, len(values))).mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def verdict(low, high):
    """A text: what the 95 % interval of a correlation with IoU or of a difference in IoU shows."""
    if low <= 0 <= high:
        return "no direction is shown"
    direction = "higher" if low > 0 else "lower"
    return f"more goes with {direction} IoU"


def by_group(rows, group, score="pet IoU"):
    """Mean score of each group with its bootstrap interval, lowest mean first.

    A pandas table with the columns ``images``, ``mean``, ``low``, ``high``. Images whose score is
    NaN do not count, and a group that has only those is left out.
    """
    scored = rows.dropna(subset=[score])
    statistics = {
        name: (len(group_rows), *interval(group_rows[score]))
        for name, group_rows in scored.groupby(group, observed=True)
    }
    columns = ["images", "mean", "low", "high"]
    return pd.DataFrame.from_dict(statistics, "index", columns=columns).sort_values("mean")


# --- correlation of attributes with the score ---------------------------------------------------


def associations(rows, names, score="pet IoU", draws=1000, seed=0):
    """Correlation of image attributes with the score, each alone and with the others held fixed.

    Values are replaced by ranks, so that any monotonic relation counts and outliers do not.
    ``alone`` is Spearman's correlation. ``others held`` is the coefficient of a linear regression
    of the score on all attributes: the change of the score, in standard deviations, per standard
    deviation of the attribute, with the others fixed. Intervals come from the bootstrap over images
    and are widened for the number of attributes (Bonferroni), so that *all* intervals of a column
    hold at once with 95 % confidence.

    Args:
        rows: a pandas table with a row for each image; rows with a NaN are left out.
        names: of the attributes, columns of ``rows``.
        score: another column.
        draws, seed: of the bootstrap.

    Returns:
        A pandas table, one row per attribute, strongest first: ``alone``, ``low``, ``high``,
        ``others held``, ``held low``, ``held high``. 0 for an attribute that does not vary.

    Raises:
        ValueError: if fewer than three rows are left.
    """
    ranks = rows[[*names, score]].dropna().rank().to_numpy()  # [N, K + 1]
    if len(ranks) < 3:
        raise ValueError(f"{len(ranks)} rows without a NaN: a correlation needs at least 3")
    rng = np.random.default_rng(seed)
    samples = [_coefficients(rng.choice(ranks, len(ranks))) for _ in range(draws)]  # [draws, 2, K]
    tail = 0.05 / len(names) / 2
    low, high = np.quantile(samples, [tail, 1 - tail], axis=0)
    alone, others_held = _coefficients(ranks)
    columns = {"alone": alone, "low": low[0], "high": high[0]}
    columns |= {"others held": others_held, "held low": low[1], "held high": high[1]}
    table = pd.DataFrame(columns, index=list(names))
    return table.sort_values("others held", key=abs, ascending=False)


def _coefficients(ranks):
    """Correlations of the last column with each other one, and its regression on all: ``[2, K]``.

    0 for a column that does not vary.
    """
    standardized = ranks - ranks.mean(0)
    standardized /= np.maximum(standardized.std(0), 1e-12)
    x, y = standardized[:, :-1], standardized[:, -1]
    return np.stack([x.T @ y / len(y), np.linalg.lstsq(x, y, rcond=None)[0]])


def by_quantile(rows, name, score="pet IoU"):
    """Mean score by fifths of an attribute, lowest first, with the columns of ``by_group``.

    The index holds the limits of each fifth. Fewer than five rows if many images share a value.
    """
    fifths = pd.qcut(rows[name], 5, duplicates="drop")
    return by_group(rows, fifths, score).sort_index()
