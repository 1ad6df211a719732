"""Figures of the course: samples, predictions, errors, learning curves, comparisons of runs.

Most functions return a Matplotlib figure, which a notebook shows as the value of its cell. Figures
are narrow, to be readable on a phone, and white, to be readable on a dark page.
"""

import base64
import io
import itertools
from html import escape
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from PIL import Image

from labkit import profile
from labkit.classes import PETS, rgb

WIDTH = 6.0  # inches; 11-point text stays readable on a phone, at half the size
SAMPLE_TITLES = ("image", "true mask", "predicted mask")
ERRORS = {  # label: color; distinct for color-blind readers, from dark to light
    "missed": "#0072B2",
    "false alarm": "#D55E00",
    "found": "#F0E442",
}

MOST_FRAMES = 25  # of one slider, whose pictures the page holds all
FRAME_DOTS = 120  # per inch: twenty photographs take about 300 kB
# A slider shows its picture, and its sentence to screen readers.
SLIDE = """
const frames = [...this.closest('figure').querySelectorAll('.frame')];
frames.forEach((frame, number) => { frame.hidden = number != this.value; });
this.setAttribute('aria-valuetext', frames[this.value].textContent.trim());
"""


def new_figure(rows=1, columns=1, height=2.4, **options):
    """A figure and its axes; ``height`` is the height of one row in inches.

    The figure is closed in pyplot: a cell that ends with it shows it only once, and a long notebook
    does not keep it in memory.
    """
    size = (WIDTH, height * rows)
    figure, axes = plt.subplots(
        rows, columns, figsize=size, facecolor="white", layout="constrained", **options
    )
    plt.close(figure)
    return figure, axes


def display_sample(display_list, titles=None, classes=PETS):
    """Image, true mask and optional predicted mask, side by side with a legend.

    Args:
        display_list: an image uint8 ``[H, W, 3]``, then one or two masks ``[H, W]`` or
            ``[H, W, 1]``.
        titles: one per picture; None for "image", "true mask", "predicted mask".
        classes: what the numbers in the masks mean.
    """
    titles = titles or SAMPLE_TITLES
    figure, axes = new_figure(1, len(display_list), squeeze=False)
    for axis, picture, title in zip(axes[0], display_list, titles, strict=False):
        show_picture(axis, picture, title, classes)
    class_legend(figure, classes)
    return figure


def show_predictions(images, masks, pred_masks, num=3, classes=PETS):
    """``num`` rows of image, true mask and predicted mask, with a legend.

    Args:
        images: uint8 ``[N, H, W, 3]``.
        masks, pred_masks: class numbers ``[N, H, W, 1]``.
        num: the number of rows.
        classes: what the numbers in the masks mean.
    """
    num = min(num, len(images))
    figure, axes = new_figure(num, 3, height=2.0, squeeze=False)
    for row, trio in enumerate(zip(images[:num], masks, pred_masks, strict=False)):
        for axis, picture, title in zip(axes[row], trio, SAMPLE_TITLES, strict=True):
            show_picture(axis, picture, None if row else title, classes)
    class_legend(figure, classes)
    return figure


def show_findings(findings, *splits, num=6):
    """Image and mask of the first findings of ``data.check``, with the problem as title.

    Args:
        findings: a pandas table, from ``data.check(*splits)``; choose rows to see others.
        splits: the same splits.
        num: the largest number of images.
    """
    rows = findings.dropna(subset="index").drop_duplicates(["split", "index"]).head(num)
    if len(rows) == 0:
        raise ValueError("no finding concerns an image: there is nothing to show")
    figure, axes = new_figure(-(-len(rows) // 2), 4, height=2.4, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    pairs = axes.reshape(-1, 2)
    for (left, right), row in zip(pairs, rows.to_dict("records"), strict=False):
        split, index = splits[row["split"]], row["index"]
        show_picture(left, split.images[index], fill(row["problem"].split(":")[0], 20))
        show_picture(right, split.masks[index], row["name"], split.classes)
    class_legend(figure, splits[0].classes)
    return figure


def show_picture(axis, picture, title=None, classes=PETS):
    """Show an image ``[H, W, 3]`` or a mask ``[H, W]`` or ``[H, W, 1]``, without ticks."""
    picture = np.asarray(picture)
    is_image = picture.ndim == 3 and picture.shape[-1] == 3
    if is_image and picture.dtype != np.uint8:
        picture = np.clip(np.round(picture), 0, 255).astype(np.uint8)
    axis.imshow(picture if is_image else classes.color_mask(picture), interpolation="nearest")
    axis.set_title(title, fontsize=11)
    axis.set_axis_off()


def class_legend(figure, classes=PETS):
    """Add a legend of the classes below the figure."""
    _legend(figure, dict(zip(classes.names, classes.colors, strict=True)))


def overlay(image, mask, pred_mask, class_name=None, axis=None, classes=PETS):
    """The image in gray, with correct and wrong pixels of one class in color.

    Args:
        image: uint8 ``[H, W, 3]``.
        mask, pred_mask: class numbers ``[H, W]`` or ``[H, W, 1]``.
        class_name: the class to compare; None for the first that is not the background.
        axis: draws here, without a legend; None makes a new figure with a legend.
        classes: what the numbers in the masks mean.
    """
    class_name = classes.main if class_name is None else class_name
    k = classes.number(class_name)
    true, predicted = np.squeeze(mask) == k, np.squeeze(pred_mask) == k
    if not np.shape(image)[:2] == true.shape == predicted.shape:
        shapes = f"image {np.shape(image)}, mask {np.shape(mask)}, pred_mask {np.shape(pred_mask)}"
        raise ValueError(f"{shapes}: use one image and two masks of the same height and width")
    areas = {
        "found": true & predicted,
        "missed": true & ~predicted,
        "false alarm": predicted & ~true,
    }
    gray = np.asarray(image).mean(-1, keepdims=True).repeat(3, axis=-1) / 255
    for name, area in areas.items():
        gray[area] = 0.35 * gray[area] + 0.65 * np.array(rgb(ERRORS[name])) / 255
    if axis is not None:
        axis.imshow(gray, interpolation="nearest")
        axis.set_axis_off()
        return axis.figure
    figure, axis = new_figure(height=3.6)
    axis.imshow(gray, interpolation="nearest")
    axis.set_axis_off()
    error_legend(figure, class_name)
    return figure


def error_legend(figure, class_name="pet"):
    """Add a legend of the colors of ``overlay`` below the figure."""
    _legend(figure, {f"{class_name} {name}": color for name, color in ERRORS.items()})


def _legend(figure, colors):
    """Add a legend of colors by label below the figure."""
    swatches = [
        Patch(facecolor=color, edgecolor="black", label=label) for label, color in colors.items()
    ]
    options = {"ncols": 4 if len(colors) == 4 else 3, "frameon": False, "fontsize": 11}
    figure.legend(handles=swatches, loc="outside lower center", columnspacing=1, **options)


def training_curves(history, keys=("loss", "mean_iou")):
    """Learning curves from a ``Run``'s history: training dashed, validation solid.

    Raises ValueError if the history lacks a key.
    """
    missing = [key for key in keys if key not in history]
    if missing:
        raise ValueError(f"the history has no {missing[0]!r}: use one of {', '.join(history)}")
    figure, axes = new_figure(1, len(keys), height=2.8, squeeze=False)
    for axis, key in zip(axes[0], keys, strict=True):
        epochs = range(1, len(history[key]) + 1)
        axis.plot(epochs, history[key], "o--", color="#D55E00", label="training")
        if f"val_{key}" in history:
            axis.plot(epochs, history[f"val_{key}"], "s-", color="#0072B2", label="validation")
        axis.set_xlabel("epoch", fontsize=11)
        axis.set_title(key.replace("_", " ").replace("iou", "IoU"), fontsize=11)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    axes[0][-1].legend(fontsize=10)
    return figure


def compare_runs(groups, names):
    """Test scores of groups of runs, one line per score and one marker per run.

    Args:
        groups: ledger rows by title, such as ``{"laboratory": ledger.rows("laboratory")}``.
        names: the scores to show.
    """
    figure, axis = new_figure(height=0.6 + 0.5 * len(names))
    # Five markers and four colors: a pair repeats only after twenty groups.
    markers = itertools.cycle("os^DP")
    colors = itertools.cycle(("#D55E00", "#0072B2", "#009E73", "#CC79A7"))
    for title, rows in groups.items():
        marker, color = next(markers), next(colors)
        for y, name in enumerate(reversed(names)):
            values = [row["test"][name] for row in rows]
            label = title if y == 0 else None
            axis.plot(values, [y] * len(values), marker, color=color, alpha=0.7, label=label)
    axis.set_yticks(range(len(names)), reversed(names), fontsize=11)
    axis.set_xlabel("score", fontsize=11)
    axis.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=11)
    return figure


def differences(table):
    """A figure of ``ledger.differences``: one panel per score, one line per group of runs.

    Light dots are seeds; the dark tick is their mean, with its 95 % interval.
    """
    titles, names = (table.index.unique(level) for level in ("runs", "score"))
    height = 1.1 + 0.32 * len(titles)
    figure, axes = new_figure(1, len(names), height, squeeze=False, sharey=True)
    for axis, name in zip(axes[0], names, strict=True):
        rows, y = table.xs(name, level="score").loc[titles], np.arange(len(titles))
        errors = [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
        axis.plot(rows.filter(like="seed"), y, "o", color="#56B4E9", ms=5)
        axis.errorbar(rows["mean"], y, xerr=errors, fmt="|", color="#0072B2", ms=12, capsize=3)
        axis.axvline(0, color="black", lw=1)
        axis.set_title(fill(name, 14), fontsize=11)
        axis.set_xlabel("difference")
        axis.locator_params(axis="x", nbins=4 if len(names) < 3 else 2)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.grid(axis="x", alpha=0.3)
    axes[0][0].set_yticks(y, titles, fontsize=11)
    axes[0][0].set_ylim(len(titles) - 0.5, -0.5)  # the first group on top
    return figure


def trade_off(series, cost, score="mean IoU"):
    """Score against cost: one marker per model, the cost on a logarithmic axis.

    Args:
        series: pandas tables by title, one row per model, with the columns ``cost`` and ``score``;
            the optional columns ``low`` and ``high`` are drawn as an interval.
        cost: a column, and the label of its axis.
        score: a column, and the label of its axis.
    """
    figure, axis = new_figure(height=5.0)
    markers, colors = itertools.cycle("osD^v<P"), itertools.cycle(("#0072B2", "#D55E00", "#009E73"))
    for table in series.values():
        for name, row in table.iterrows():
            errors = (
                [[row[score] - row["low"]], [row["high"] - row[score]]] if "low" in row else None
            )
            look = {"fmt": next(markers), "color": next(colors), "capsize": 3, "ms": 8}
            axis.errorbar(row[cost], row[score], yerr=errors, label=name, **look)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel(cost, fontsize=11)
    axis.set_ylabel(score, fontsize=11)
    axis.grid(alpha=0.3, which="both")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=11)
    return figure


def search(table, space, score="mean IoU"):
    """A figure of ``tuning.search``: one panel per setting, one dot per trial.

    The square is the first trial, the star the best one. A setting that was searched on a
    logarithmic scale has a logarithmic axis.

    Args:
        table: one row per trial, with a column for each setting and for the score.
        space: the limits (low, high) of each setting, as ``tuning.SPACE``.
        score: the column of the score.
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


def associations(table):
    """A figure of ``analysis.associations``: each attribute alone, and with the others held."""
    figure, axis = new_figure(height=0.5 + 0.42 * len(table))
    columns = (("alone", "low", "high"), ("others held", "held low", "held high"))
    for shift, color, marker, (estimate, low, high) in zip(
        (0.13, -0.13), ("#E69F00", "#0072B2"), "so", columns, strict=True
    ):
        errors = [table[estimate] - table[low], table[high] - table[estimate]]
        y = np.arange(len(table))[::-1] + shift  # the strongest on top
        look = {"fmt": marker, "color": color, "capsize": 3, "label": estimate}
        axis.errorbar(table[estimate], y, xerr=errors, **look)
    axis.axvline(0, color="black", lw=1)
    axis.set_yticks(np.arange(len(table))[::-1], table.index)
    axis.set_xlabel("strength: more of it goes with lower (left) or higher (right) score")
    axis.grid(axis="x", alpha=0.3)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def confusion_matrix(matrix, classes=PETS):
    """Confusion matrix, in percent of the pixels of each true class.

    Args:
        matrix: pixel counts ``[C, C]``, rows true, columns predicted.
        classes: the C classes.
    """
    matrix = np.asarray(matrix, float)
    percent = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    figure, axis = new_figure(height=3.6)
    picture = axis.imshow(percent, cmap="cividis", vmin=0, vmax=100)
    names, many = classes.names, len(matrix) > 5
    axis.set_xticks(range(len(names)), names, fontsize=11, rotation=90 if many else 0)
    axis.set_yticks(range(len(names)), names, fontsize=11)
    axis.set_xlabel("predicted class", fontsize=11)
    axis.set_ylabel("true class", fontsize=11)
    for (i, j), value in np.ndenumerate(percent if len(matrix) <= 8 else np.empty((0, 0))):
        color = "black" if value > 55 else "white"
        axis.text(j, i, f"{value:.1f} %", ha="center", va="center", color=color, fontsize=11)
    figure.colorbar(picture, ax=axis, label="% of the true class")
    return figure


def frames(draw, values, label, say=str):
    """A figure for each value, and a slider between them, which also works on a page.

    The first picture is the one in the middle. It is all that paper or a page without scripts has,
    and all that the profile ``smoke`` draws.

    Args:
        draw: a function from a value to a Matplotlib figure.
        values: at most 25; the page holds a picture for each.
        label: of the slider, such as "threshold".
        say: a function from a value to a sentence about its figure, which stands below it and is
            its text for screen readers.

    Returns:
        HTML that a notebook shows as the value of its cell.

    Raises:
        ValueError: for no values, or more than 25.
    """
    from IPython.display import HTML  # only here: it is slow to import

    values = list(values)
    if not 1 <= len(values) <= MOST_FRAMES:
        raise ValueError(f"there are {len(values)} values: give 1 to {MOST_FRAMES}")
    if profile.current().name == "smoke":  # one picture shows that the cell runs
        values = values[len(values) // 2 :][:1]
    middle = len(values) // 2
    pictures = []
    for number, value in enumerate(values):
        hidden, sentence = "" if number == middle else " hidden", escape(say(value))
        pictures.append(
            f'<div class="frame"{hidden}><img src="{_webp(draw(value))}" alt="{sentence}" '
            f'style="max-width: 100%; height: auto" width="{100 * WIDTH:.0f}">'
            f'<p aria-hidden="true">{sentence}</p></div>'
        )
    slider = (
        f'<label style="display: block">{escape(label)} <input type="range" min="0" '
        f'max="{len(values) - 1}" value="{middle}" aria-valuetext="{escape(say(values[middle]))}" '
        f'style="width: 100%; max-width: {100 * WIDTH:.0f}px; display: block" '
        f'oninput="{escape(SLIDE)}"></label>'
    )
    return HTML(f'<figure class="frames">{"".join(pictures)}{slider}</figure>')


def _webp(figure):
    """A figure as an address that holds its picture."""
    dots, picture = io.BytesIO(), io.BytesIO()
    figure.savefig(dots, dpi=FRAME_DOTS)
    Image.open(dots).convert("RGB").save(picture, "WEBP", quality=50, method=6)
    return "data:image/webp;base64," + base64.b64encode(picture.getvalue()).decode()
