"""Figures of the course: samples, predictions, errors, curves, confusion.

Each function returns a Matplotlib figure, white behind and narrow, so that it can be read on a
phone and on a dark page; a notebook shows it as the value of its cell.
"""

import itertools
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from labkit import classes

WIDTH = 6.0  # inches; text of 11 points stays readable when a phone shows it at half the size
SAMPLE_TITLES = ("image", "true mask", "predicted mask")
ERRORS = {  # name, colour; distinct for colour-blind readers, dark to light
    "missed": "#0072B2",
    "false alarm": "#D55E00",
    "found": "#F0E442",
}


def new_figure(rows=1, columns=1, height=2.4, **options):
    """A figure and its axes; ``height`` is that of one row, in inches.

    It is taken off pyplot's list of open figures: a cell that ends with it shows it once, and a
    long notebook keeps no figure in memory.
    """
    size = (WIDTH, height * rows)
    figure, axes = plt.subplots(
        rows, columns, figsize=size, facecolor="white", layout="constrained", **options
    )
    plt.close(figure)
    return figure, axes


def display_sample(display_list, titles=None):
    """Image, true mask and, if there is one, predicted mask, side by side with a legend.

    Args:
        display_list: an image uint8 ``[H, W, 3]``, then one or two masks ``[H, W]`` or
            ``[H, W, 1]`` of classes 0-2.
        titles: one for each; None for "image", "true mask", "predicted mask".
    """
    titles = titles or SAMPLE_TITLES
    figure, axes = new_figure(1, len(display_list), squeeze=False)
    for axis, picture, title in zip(axes[0], display_list, titles, strict=False):
        show_picture(axis, picture, title)
    class_legend(figure)
    return figure


def show_predictions(images, masks, pred_masks, num=3):
    """``num`` rows of image, true mask and predicted mask, with a legend.

    Args:
        images: uint8 ``[N, H, W, 3]``.
        masks, pred_masks: classes ``[N, H, W, 1]``.
    """
    num = min(num, len(images))
    figure, axes = new_figure(num, 3, height=2.0, squeeze=False)
    for row, trio in enumerate(zip(images[:num], masks, pred_masks, strict=False)):
        for axis, picture, title in zip(axes[row], trio, SAMPLE_TITLES, strict=True):
            show_picture(axis, picture, None if row else title)
    class_legend(figure)
    return figure


def show_picture(axis, picture, title=None):
    """An image ``[H, W, 3]`` or a mask ``[H, W]`` or ``[H, W, 1]`` in one axis, without ticks."""
    picture = np.asarray(picture)
    is_image = picture.ndim == 3 and picture.shape[-1] == 3
    if is_image and picture.dtype != np.uint8:
        picture = np.clip(np.round(picture), 0, 255).astype(np.uint8)
    axis.imshow(picture if is_image else classes.colour_mask(picture), interpolation="nearest")
    axis.set_title(title, fontsize=11)
    axis.set_axis_off()


def class_legend(figure):
    """The three classes and their colours under the figure."""
    swatches = [
        Patch(facecolor=colour, edgecolor="black", label=name)
        for name, colour in zip(classes.NAMES, classes.COLOURS, strict=True)
    ]
    figure.legend(handles=swatches, loc="outside lower center", ncols=3, frameon=False, fontsize=11)


def overlay(image, mask, pred_mask, class_name="pet", axis=None):
    """Where the prediction of one class is right and wrong, over the grey image.

    Args:
        image: uint8 ``[H, W, 3]``.
        mask, pred_mask: classes ``[H, W]`` or ``[H, W, 1]``.
        class_name: the class that counts.
        axis: draw here, without a legend; None makes a figure.
    """
    k = classes.number(class_name)
    true, predicted = np.squeeze(mask) == k, np.squeeze(pred_mask) == k
    if not np.shape(image)[:2] == true.shape == predicted.shape:
        shapes = f"image {np.shape(image)}, mask {np.shape(mask)}, pred_mask {np.shape(pred_mask)}"
        raise ValueError(f"{shapes}: give one image and two masks of one height and width")
    areas = {
        "found": true & predicted,
        "missed": true & ~predicted,
        "false alarm": predicted & ~true,
    }
    grey = np.asarray(image).mean(-1, keepdims=True).repeat(3, axis=-1) / 255
    for name, area in areas.items():
        colour = np.array([int(ERRORS[name][i : i + 2], 16) for i in (1, 3, 5)]) / 255
        grey[area] = 0.35 * grey[area] + 0.65 * colour
    if axis is not None:
        axis.imshow(grey, interpolation="nearest")
        axis.set_axis_off()
        return axis.figure
    figure, axis = new_figure(height=3.6)
    axis.imshow(grey, interpolation="nearest")
    axis.set_axis_off()
    error_legend(figure, class_name)
    return figure


def error_legend(figure, class_name="pet"):
    """What the colours of ``overlay`` mean, under the figure."""
    swatches = [
        Patch(facecolor=colour, edgecolor="black", label=f"{class_name} {name}")
        for name, colour in ERRORS.items()
    ]
    figure.legend(handles=swatches, loc="outside lower center", ncols=3, frameon=False, fontsize=11)


def training_curves(history, keys=("loss", "mean_iou")):
    """Curves by epoch of a ``Run``'s history: training dashed, validation solid.

    Raises ValueError if the history lacks a key.
    """
    missing = [key for key in keys if key not in history]
    if missing:
        raise ValueError(f"the history has no {missing[0]!r}, but {', '.join(history)}")
    figure, axes = new_figure(1, len(keys), height=2.8, squeeze=False)
    for axis, key in zip(axes[0], keys, strict=True):
        epochs = range(1, len(history[key]) + 1)
        axis.plot(epochs, history[key], "o--", color="#D55E00", label="training")
        if f"val_{key}" in history:
            axis.plot(epochs, history[f"val_{key}"], "s-", color="#0072B2", label="validation")
        axis.set_xlabel("epoch", fontsize=11)
        axis.set_title(key.replace("_", " "), fontsize=11)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    axes[0][-1].legend(fontsize=10)
    return figure


def compare_runs(groups, names, on="test"):
    """Scores of several runs, a line a score: one mark for each run, so that seeds can be seen.

    Args:
        groups: rows of the ledger by title, such as ``{"laboratory": ledger.rows("laboratory")}``.
        names: of scores.
        on: the scores' key in a row.
    """
    figure, axis = new_figure(height=0.6 + 0.5 * len(names))
    # Five marks and four colours: the first look that comes again is the twenty-first.
    marks = itertools.cycle("os^DP")
    colours = itertools.cycle(("#D55E00", "#0072B2", "#009E73", "#CC79A7"))
    for title, rows in groups.items():
        marker, colour = next(marks), next(colours)
        for height, name in enumerate(reversed(names)):
            values = [row[on][name] for row in rows]
            label = title if height == 0 else None
            axis.plot(values, [height] * len(values), marker, color=colour, alpha=0.7, label=label)
    axis.set_yticks(range(len(names)), reversed(names), fontsize=11)
    axis.set_xlabel("score", fontsize=11)
    axis.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=11)
    return figure


def differences(found):
    """A figure of ``ledger.differences``: a panel a score, a line a group of runs.

    Light dots are seeds; the dark stroke is their mean, with its 95 % interval.
    """
    titles, names = (found.index.unique(level) for level in ("runs", "score"))
    height = 1.1 + 0.32 * len(titles)
    figure, axes = new_figure(1, len(names), height, squeeze=False, sharey=True)
    for axis, name in zip(axes[0], names, strict=True):
        lines, places = found.xs(name, level="score").loc[titles], np.arange(len(titles))
        reach = [lines["mean"] - lines["low"], lines["high"] - lines["mean"]]
        axis.plot(lines.filter(like="seed"), places, "o", color="#56B4E9", ms=5)
        axis.errorbar(lines["mean"], places, xerr=reach, fmt="|", color="#0072B2", ms=12, capsize=3)
        axis.axvline(0, color="black", lw=1)
        axis.set_title(fill(name, 14), fontsize=11)
        axis.locator_params(axis="x", nbins=4 if len(names) < 3 else 2)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.grid(axis="x", alpha=0.3)
    axes[0][0].set_yticks(places, titles, fontsize=11)
    axes[0][0].set_ylim(len(titles) - 0.5, -0.5)  # the first line on top
    return figure


def trade_off(series, across, score="mean IoU", joined=()):
    """Quality against what it costs: a mark for each model, the cost on a logarithmic axis.

    Args:
        series: pandas tables by title, with a line a model and the columns ``across`` and
            ``score``; where there are ``low`` and ``high``, they are drawn as an interval.
        across: the column of the cost, and the label of its axis.
        score: the column of the quality.
        joined: titles of tables whose models are steps of one series: a line, one legend entry.
    """
    figure, axis = new_figure(height=5.0)
    marks, shades = itertools.cycle("osD^v<P"), itertools.cycle(("#0072B2", "#D55E00", "#009E73"))
    strokes = itertools.product(("-", "--", ":"), ("black", "#CC79A7", "#56B4E9"))
    lines = itertools.cycle(strokes)
    for title, table in series.items():
        if title in joined:
            style, colour = next(lines)
            look = {"color": colour, "ls": style, "marker": ".", "ms": 9, "lw": 1.2}
            axis.plot(table[across], table[score], **look, label=title)
            continue
        for name, row in table.iterrows():
            reach = (
                [[row[score] - row["low"]], [row["high"] - row[score]]] if "low" in row else None
            )
            look = {"fmt": next(marks), "color": next(shades), "capsize": 3, "ms": 8, "label": name}
            axis.errorbar(row[across], row[score], yerr=reach, **look)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel(across, fontsize=11)
    axis.set_ylabel(score, fontsize=11)
    axis.grid(alpha=0.3, which="both")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=11)
    return figure


def search(table, space, score="mean IoU"):
    """A figure of ``tuning.search``: a panel a setting, a dot a trial.

    The square is the first trial, the star the best one. The axis of a setting that was searched by
    its logarithm is logarithmic.

    Args:
        table: a line a trial, with a column a setting and the score.
        space: the limits (low, high) of each setting, as ``tuning.SPACE``.
        score: a column.
    """
    figure, axes = new_figure(1, len(space), height=2.6, squeeze=False, sharey=True)
    first, best = table.index[0], table[score].idxmax()
    for axis, (name, (low, _)) in zip(axes[0], space.items(), strict=True):
        axis.plot(table[name], table[score], "o", color="#56B4E9", label="trial")
        axis.plot(table[name][first], table[score][first], "s", color="#D55E00", label="first")
        axis.plot(table[name][best], table[score][best], "*", ms=14, color="#0072B2", label="best")
        if low > 0:
            axis.set_xscale("log")
        axis.set_xlabel(name.replace("_", " "), fontsize=11)
        axis.margins(0.1)
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel(score, fontsize=11)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def associations(found):
    """A figure of ``analysis.associations``: each attribute alone, and with the others held."""
    figure, axis = new_figure(height=0.5 + 0.42 * len(found))
    ways = (("alone", "low", "high"), ("others held", "held low", "held high"))
    for shift, colour, mark, (way, low, high) in zip(
        (0.13, -0.13), ("#E69F00", "#0072B2"), "so", ways, strict=True
    ):
        reach = [found[way] - found[low], found[high] - found[way]]
        places = np.arange(len(found))[::-1] + shift  # the strongest on top
        axis.errorbar(found[way], places, xerr=reach, fmt=mark, color=colour, capsize=3, label=way)
    axis.axvline(0, color="black", lw=1)
    axis.set_yticks(np.arange(len(found))[::-1], found.index)
    axis.set_xlabel("strength: more of it goes with lower (left) or higher (right) score")
    axis.grid(axis="x", alpha=0.3)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def confusion_matrix(matrix):
    """Where the pixels of each true class went, in per cent of the class.

    Args:
        matrix: pixel counts ``[C, C]``, rows true, columns predicted.
    """
    matrix = np.asarray(matrix, float)
    share = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    figure, axis = new_figure(height=3.6)
    picture = axis.imshow(share, cmap="cividis", vmin=0, vmax=100)
    names = classes.NAMES[: len(matrix)]
    axis.set_xticks(range(len(names)), names, fontsize=11)
    axis.set_yticks(range(len(names)), names, fontsize=11)
    axis.set_xlabel("predicted class", fontsize=11)
    axis.set_ylabel("true class", fontsize=11)
    for (i, j), value in np.ndenumerate(share):
        colour = "black" if value > 55 else "white"
        axis.text(j, i, f"{value:.1f} %", ha="center", va="center", color=colour, fontsize=11)
    figure.colorbar(picture, ax=axis, label="% of the true class")
    return figure
