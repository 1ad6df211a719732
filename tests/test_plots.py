"""Figures: contents, titles, legends and errors; every figure is closed."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from labkit import classes, plots

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 6, 8, 3), np.uint8)
MASKS = np.random.default_rng(1).integers(0, 3, (4, 6, 8, 1), np.uint8)
PRED_MASKS = np.random.default_rng(2).integers(0, 3, (4, 6, 8, 1), np.uint8)
HISTORY = {
    "loss": [3.0, 2.0, 1.0],
    "val_loss": [4.0, 3.0, 2.0],
    "mean_iou": [0.1, 0.2, 0.3],
    "seconds": [1.0, 1.0, 1.0],
}


@pytest.fixture(autouse=True)
def _figures_are_closed():
    plt.close("all")
    yield
    assert plt.get_fignums() == []


def legend_labels(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def image_data(axis):
    (picture,) = axis.get_images()
    return np.asarray(picture.get_array())


def titles(figure):
    return [axis.get_title() for axis in figure.axes]


def blend(gray, error):
    return 0.35 * gray + 0.65 * np.array(to_rgb(plots.ERRORS[error]))


# --- samples -------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3])
def test_display_sample_shows_images_with_titles(count):
    pictures = [IMAGES[0], MASKS[0], PRED_MASKS[0][..., 0]][:count]
    figure = plots.display_sample(pictures)
    assert titles(figure) == ["image", "true mask", "predicted mask"][:count]
    assert legend_labels(figure) == ["pet", "background", "border"]
    expected = [IMAGES[0], classes.color_mask(MASKS[0]), classes.color_mask(PRED_MASKS[0])]
    for axis, picture in zip(figure.axes, expected, strict=False):
        np.testing.assert_array_equal(image_data(axis), picture)
        assert not axis.axison
    figure.canvas.draw()  # Matplotlib can lay it out


def test_display_sample_accepts_titles():
    assert titles(plots.display_sample([IMAGES[0], MASKS[0]], ["a", "b"])) == ["a", "b"]


def test_figure_background_and_width():
    figure = plots.display_sample([IMAGES[0]])
    assert figure.get_facecolor() == (1, 1, 1, 1)
    assert figure.get_figwidth() == plots.WIDTH


def test_legend_colors_match_masks():
    (legend,) = plots.display_sample([IMAGES[0], MASKS[0]]).legends
    shown = [patch.get_facecolor()[:3] for patch in legend.get_patches()]
    assert shown == [to_rgb(color) for color in classes.COLORS]


def test_float_pixels_are_converted_to_bytes():
    figure = plots.display_sample([IMAGES[0] + np.float32(0.3)])
    np.testing.assert_array_equal(image_data(figure.axes[0]), IMAGES[0])
    figure = plots.display_sample([np.full((2, 2, 3), [[-5.0, 128.0, 300.0]])])
    np.testing.assert_array_equal(image_data(figure.axes[0])[0, 0], [0, 128, 255])


@pytest.mark.parametrize(("num", "rows"), [(1, 1), (3, 3), (9, 4)])
def test_show_predictions_has_row_per_example(num, rows):
    figure = plots.show_predictions(IMAGES, MASKS, PRED_MASKS, num)
    assert len(figure.axes) == 3 * rows
    assert titles(figure) == ["image", "true mask", "predicted mask"] + [""] * 3 * (rows - 1)
    assert legend_labels(figure) == list(classes.NAMES)
    last = figure.axes[-3:]
    np.testing.assert_array_equal(image_data(last[0]), IMAGES[rows - 1])
    np.testing.assert_array_equal(image_data(last[1]), classes.color_mask(MASKS[rows - 1]))
    np.testing.assert_array_equal(image_data(last[2]), classes.color_mask(PRED_MASKS[rows - 1]))


@pytest.mark.parametrize(
    ("mask", "match"),
    [
        (np.full((6, 8), 3), r"holds \[3\], but classes are 0, 1, 2"),
        (np.zeros((6, 8, 2), int), r"shape \[H, W\] or \[H, W, 1\], got \(6, 8, 2\)"),
    ],
)
def test_display_sample_rejects_invalid_mask(mask, match):
    with pytest.raises(ValueError, match=match):
        plots.display_sample([IMAGES[0], mask])


# --- overlay -------------------------------------------------------------------------------------


def test_overlay_colors_pixels_by_error():
    mask = np.array([[0, 0, 1, 2]])
    pred_mask = np.array([[0, 1, 0, 2]])  # found, missed, false alarm, not of the class
    image = np.full((1, 4, 3), 100, np.uint8)
    gray = 100 / 255
    masks = (mask[..., np.newaxis], pred_mask)  # with and without the last axis
    picture = image_data(
        plots.overlay(image.repeat(2, 0), *(m.repeat(2, 0) for m in masks)).axes[0]
    )
    expected = [blend(gray, name) for name in ("found", "missed", "false alarm")] + [[gray] * 3]
    np.testing.assert_allclose(picture, [expected] * 2)


def test_overlay_matches_confusion_matrix():
    k = classes.number("border")
    picture = image_data(plots.overlay(0 * IMAGES[0], MASKS[0], PRED_MASKS[0], "border").axes[0])
    true, pred = MASKS[0][..., 0] == k, PRED_MASKS[0][..., 0] == k
    areas = {"found": true & pred, "missed": true & ~pred, "false alarm": pred & ~true}
    for name, area in areas.items():
        same = np.isclose(picture, blend(0, name)).all(-1)
        np.testing.assert_array_equal(same, area, err_msg=name)
        assert area.any()


def test_overlay_does_not_modify_image():
    before = IMAGES.copy()
    plots.overlay(IMAGES[0], MASKS[0], PRED_MASKS[0])
    np.testing.assert_array_equal(IMAGES, before)


def test_overlay_legend_names_class():
    words = legend_labels(plots.overlay(IMAGES[0], MASKS[0], PRED_MASKS[0], "border"))
    assert words == ["border missed", "border false alarm", "border found"]


def test_overlay_on_axis_has_no_legend():
    figure, axes = plots.new_figure(1, 2)
    assert plots.overlay(IMAGES[0], MASKS[0], PRED_MASKS[0], axis=axes[1]) is figure
    assert len(axes[1].get_images()) == 1 and not axes[0].get_images()
    assert figure.legends == []
    plots.error_legend(figure)
    assert legend_labels(figure) == ["pet missed", "pet false alarm", "pet found"]


@pytest.mark.parametrize("wrong", [0, 1, 2], ids=["image", "mask", "pred_mask"])
def test_overlay_rejects_different_sizes(wrong):
    pictures = [IMAGES[0], MASKS[0], PRED_MASKS[0]]
    pictures[wrong] = pictures[wrong][:5]
    match = r"\(5, 8, .\).*: use one image and two masks of the same height and width"
    with pytest.raises(ValueError, match=match):
        plots.overlay(*pictures)


def test_overlay_rejects_unknown_class():
    with pytest.raises(ValueError, match="unknown class 'dog': use one of pet"):
        plots.overlay(IMAGES[0], MASKS[0], PRED_MASKS[0], "dog")


# --- training curves and confusion matrix --------------------------------------------------------


def test_training_curves_show_training_and_validation():
    figure = plots.training_curves(HISTORY)
    assert titles(figure) == ["loss", "mean iou"]
    assert [axis.get_xlabel() for axis in figure.axes] == ["epoch"] * 2
    lines = figure.axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["training", "validation"]
    for line, key in zip(lines, ("loss", "val_loss"), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(line.get_ydata(), HISTORY[key])
    assert len(figure.axes[1].get_lines()) == 1  # no val_mean_iou
    assert figure.axes[-1].get_legend() is not None
    figure.canvas.draw()


def test_training_curves_show_selected_keys():
    assert titles(plots.training_curves(HISTORY, ["seconds"])) == ["seconds"]


def test_training_curves_reject_missing_key():
    with pytest.raises(ValueError, match="no 'dice': use one of loss, val_loss, mean_iou, seconds"):
        plots.training_curves(HISTORY, ["loss", "dice"])


def test_confusion_matrix_shows_shares_of_true_class():
    figure = plots.confusion_matrix([[3, 1, 0], [0, 5, 0], [0, 0, 0]])
    axis = figure.axes[0]
    shares = [[75, 25, 0], [0, 100, 0], [0, 0, 0]]  # no border: no division by zero
    np.testing.assert_allclose(image_data(axis), shares)
    words = [text.get_text() for text in axis.texts]
    assert words == [f"{share:.1f} %" for row in shares for share in row]
    for ticks in (axis.get_xticklabels(), axis.get_yticklabels()):
        assert [tick.get_text() for tick in ticks] == list(classes.NAMES)
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("predicted class", "true class")


# --- runs ----------------------------------------------------------------------------------------


def test_compare_runs_marks_each_run():
    groups = {
        "one": [{"test": {"accuracy": 0.5, "mean IoU": 0.2}}],
        "two": [{"test": {"accuracy": value, "mean IoU": 0.3}} for value in (0.6, 0.7)],
    }
    figure = plots.compare_runs(groups, ("accuracy", "mean IoU"))
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["mean IoU", "accuracy"]
    marks = {(tuple(line.get_xdata()), tuple(line.get_ydata())) for line in axis.lines}
    assert ((0.6, 0.7), (1, 1)) in marks and ((0.2,), (0,)) in marks and len(marks) == 4
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["one", "two"]
    first, second = axis.lines[0], axis.lines[2]
    assert first.get_marker() != second.get_marker()  # distinguishable without color


def test_compare_runs_distinguishes_many_runs():
    groups = {f"run {number}": [{"test": {"accuracy": number / 12}}] for number in range(12)}
    figure = plots.compare_runs(groups, ["accuracy"])
    (axis,) = figure.axes
    assert [line.get_xdata()[0] * 12 for line in axis.lines] == pytest.approx(range(12))
    assert len({(line.get_marker(), line.get_color()) for line in axis.lines}) == 12
    assert len(figure.legends[0].get_texts()) == 12


def test_differences_show_seeds_and_intervals():
    lines = {
        ("none", "mean IoU"): {"mean": -0.2, "low": -0.3, "high": -0.1, "seed 0": -0.25},
        ("sum", "mean IoU"): {"mean": 0.1, "low": 0.0, "high": 0.2, "seed 0": 0.05},
    }
    table = pd.DataFrame.from_dict(lines, "index").rename_axis(["runs", "score"])
    (axis,) = plots.differences(table).axes
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["none", "sum"]
    assert axis.yaxis_inverted()  # the first is on top
    assert axis.get_title() == "mean IoU"
    marks = {(x, y) for line in axis.lines for x, y in zip(*line.get_data(), strict=True)}
    for place, (_, line) in enumerate(lines.items()):
        assert {(value, place) for value in line.values()} <= {(round(x, 9), y) for x, y in marks}


def test_search_marks_first_and_best_trials():
    table = pd.DataFrame(
        {"rate": [0.01, 0.1, 0.5], "dice": [0.5, 0.02, 0.9], "mean IoU": [0.4, 0.7, 0.6]}
    )
    figure = plots.search(table, {"rate": (0.01, 1.0), "dice": (0.0, 1.0)})
    rate, dice = figure.axes
    assert (rate.get_xlabel(), dice.get_xlabel()) == ("rate", "dice")
    assert (rate.get_xscale(), dice.get_xscale()) == ("log", "linear")
    for axis, name in ((rate, "rate"), (dice, "dice")):
        trials, first, best = axis.lines
        np.testing.assert_array_equal(trials.get_xdata(), table[name])
        assert (first.get_xdata()[0], first.get_ydata()[0]) == (table[name][0], 0.4)
        assert (best.get_xdata()[0], best.get_ydata()[0]) == (table[name][1], 0.7)
    assert len({line.get_marker() for line in rate.lines}) == 3


def test_trade_off_marks_models_and_joins_series():
    models = pd.DataFrame(
        {"MB": [10, 20], "mean IoU": [0.7, 0.8], "low": [0.6, 0.75], "high": [0.8, 0.85]},
        index=["small", "large"],
    )
    steps = pd.DataFrame({"MB": [2, 5, 10], "mean IoU": [0.5, 0.6, 0.7]})
    figure = plots.trade_off({"models": models, "pruned": steps}, "MB", joined=["pruned"])
    (axis,) = figure.axes
    assert axis.get_xscale() == "log"
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("MB", "mean IoU")
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(labels) == ["large", "pruned", "small"]
    points = [line.get_xydata().tolist() for line in axis.lines]
    assert [[10, 0.7]] in points and [[20, 0.8]] in points
    assert [[2, 0.5], [5, 0.6], [10, 0.7]] in points
    ends = [path.vertices[:, 1].tolist() for bars in axis.collections for path in bars.get_paths()]
    assert ends == [pytest.approx([0.6, 0.8]), pytest.approx([0.75, 0.85])]


def test_trade_off_models_look_different():
    models = pd.DataFrame({"MB": range(1, 16), "mean IoU": 0.5}, index=map(str, range(15)))
    (axis,) = plots.trade_off({"models": models}, "MB").axes
    assert len({(line.get_marker(), line.get_color()) for line in axis.lines}) == 15


def test_trade_off_series_look_different():
    steps = pd.DataFrame({"MB": [2, 5], "mean IoU": [0.5, 0.6]})
    series = {f"series {number}": steps for number in range(7)}
    figure = plots.trade_off(series, "MB", joined=list(series))
    looks = [(line.get_linestyle(), line.get_color()) for line in figure.axes[0].lines]
    assert len(set(looks)) == 7 == len(figure.legends[0].get_texts())
