"""Figures: contents, titles, legends and errors; every figure is closed."""

import base64
import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from matplotlib.colors import to_rgb
from PIL import Image

from labkit import classes, plots

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 6, 8, 3), np.uint8)
MASKS, PRED_MASKS = np.random.default_rng(1).integers(0, 3, (2, 4, 6, 8, 1), np.uint8)
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


def tick_labels(axis):
    return [label.get_text() for label in axis.get_yticklabels()]


def image_data(axis):
    (picture,) = axis.get_images()
    return np.asarray(picture.get_array())


def titles(figure):
    return [axis.get_title() for axis in figure.axes]


def looks(axis):
    """The different combinations of marker, line and color, which tell models apart."""
    return {(line.get_marker(), line.get_linestyle(), line.get_color()) for line in axis.lines}


def assert_shows(axis, picture):
    np.testing.assert_array_equal(image_data(axis), picture)


# --- samples -------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3])
def test_display_sample_shows_images_with_titles_and_legend(count):
    figure = plots.display_sample([IMAGES[0], MASKS[0], PRED_MASKS[0][..., 0]][:count])
    assert titles(figure) == ["image", "true mask", "predicted mask"][:count]
    expected = [
        IMAGES[0],
        classes.PETS.color_mask(MASKS[0]),
        classes.PETS.color_mask(PRED_MASKS[0]),
    ]
    for axis, picture in zip(figure.axes, expected, strict=False):
        assert_shows(axis, picture)
        assert not axis.axison
    assert legend_labels(figure) == list(classes.NAMES)
    colors = [patch.get_facecolor()[:3] for patch in figure.legends[0].get_patches()]
    assert colors == [to_rgb(color) for color in classes.COLORS]
    assert figure.get_facecolor() == (1, 1, 1, 1) and figure.get_figwidth() == plots.WIDTH
    figure.canvas.draw()  # Matplotlib can lay it out


def test_display_sample_accepts_titles_and_float_pixels():
    clipped = np.full((2, 2, 3), [[-5.0, 128.0, 300.0]])
    figure = plots.display_sample([IMAGES[0] + np.float32(0.3), clipped], ["a", "b"])
    assert titles(figure) == ["a", "b"]
    assert_shows(figure.axes[0], IMAGES[0])
    assert_shows(figure.axes[1], np.full((2, 2, 3), [0, 128, 255]))


@pytest.mark.parametrize(("num", "rows"), [(1, 1), (3, 3), (9, 4)])
def test_show_predictions_has_row_per_example(num, rows):
    figure = plots.show_predictions(IMAGES, MASKS, PRED_MASKS, num)
    assert len(figure.axes) == 3 * rows
    assert titles(figure) == ["image", "true mask", "predicted mask"] + [""] * 3 * (rows - 1)
    assert legend_labels(figure) == list(classes.NAMES)
    image, mask, pred_mask = figure.axes[-3:]
    assert_shows(image, IMAGES[rows - 1])
    assert_shows(mask, classes.PETS.color_mask(MASKS[rows - 1]))
    assert_shows(pred_mask, classes.PETS.color_mask(PRED_MASKS[rows - 1]))


@pytest.mark.parametrize("class_name", classes.NAMES)
def test_overlay_colors_pixels_by_error(class_name):
    k, before = classes.PETS.number(class_name), IMAGES[0].copy()
    figure = plots.overlay(IMAGES[0], MASKS[0], PRED_MASKS[0][..., 0], class_name)
    np.testing.assert_array_equal(IMAGES[0], before)
    gray = before.mean(-1, keepdims=True).repeat(3, -1) / 255
    true, predicted = MASKS[0] == k, PRED_MASKS[0] == k
    for name, area in (
        ("found", true & predicted),
        ("missed", true & ~predicted),
        ("false alarm", predicted & ~true),
    ):
        assert area.any()
        blend = 0.35 * gray + 0.65 * np.array(to_rgb(plots.ERRORS[name]))
        gray = np.where(area, blend, gray)
    np.testing.assert_allclose(image_data(figure.axes[0]), gray)
    expected = [f"{class_name} {name}" for name in ("missed", "false alarm", "found")]
    assert legend_labels(figure) == expected


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
    with pytest.raises(ValueError, match=r"\(5, 8, .\).* same height and width"):
        plots.overlay(*pictures)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: plots.display_sample([IMAGES[0], np.full((6, 8), 3)]), r"holds \[3\]"),
        (lambda: plots.display_sample([IMAGES[0], IMAGES[0][..., :2]]), r"got \(6, 8, 2\)"),
        (lambda: plots.overlay(IMAGES[0], MASKS[0], MASKS[0], "dog"), "'dog'"),
        (lambda: plots.training_curves(HISTORY, ["loss", "dice"]), "'dice': .*loss, val_loss"),
    ],
)
def test_invalid_arguments_raise(make, match):
    with pytest.raises(ValueError, match=match):
        make()


# --- training curves and confusion matrix --------------------------------------------------------


def test_training_curves_show_training_and_validation():
    figure = plots.training_curves(HISTORY)
    assert titles(figure) == ["loss", "mean IoU"]
    assert [axis.get_xlabel() for axis in figure.axes] == ["epoch"] * 2
    lines = figure.axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["training", "validation"]
    for line, key in zip(lines, ("loss", "val_loss"), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(line.get_ydata(), HISTORY[key])
    assert len(figure.axes[1].get_lines()) == 1  # no val_mean_iou
    assert figure.axes[-1].get_legend() is not None
    figure.canvas.draw()
    assert titles(plots.training_curves(HISTORY, ["seconds"])) == ["seconds"]


def test_confusion_matrix_shows_shares_of_true_class():
    axis = plots.confusion_matrix([[3, 1, 0], [0, 5, 0], [0, 0, 0]]).axes[0]
    shares = [[75, 25, 0], [0, 100, 0], [0, 0, 0]]  # no border: no division by zero
    np.testing.assert_allclose(image_data(axis), shares)
    words = [text.get_text() for text in axis.texts]
    assert words == [f"{share:.1f} %" for row in shares for share in row]
    names = [label.get_text() for label in axis.get_xticklabels()]
    assert names == tick_labels(axis) == list(classes.NAMES)
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("predicted class", "true class")


# --- runs ----------------------------------------------------------------------------------------


def test_compare_runs_marks_each_run():
    groups = {
        "one": [{"test": {"accuracy": 0.5, "mean IoU": 0.2}}],
        "two": [{"test": {"accuracy": value, "mean IoU": 0.3}} for value in (0.6, 0.7)],
    }
    figure = plots.compare_runs(groups, ("accuracy", "mean IoU"))
    (axis,) = figure.axes
    assert tick_labels(axis) == ["mean IoU", "accuracy"]
    marks = {(tuple(line.get_xdata()), tuple(line.get_ydata())) for line in axis.lines}
    assert marks == {((0.5,), (1,)), ((0.2,), (0,)), ((0.6, 0.7), (1, 1)), ((0.3, 0.3), (0, 0))}
    assert legend_labels(figure) == ["one", "two"]
    first, second = axis.lines[0], axis.lines[2]
    assert first.get_marker() != second.get_marker()  # distinguishable without color


def test_many_runs_and_models_look_different():
    groups = {f"run {number}": [{"test": {"accuracy": number / 12}}] for number in range(12)}
    models = pd.DataFrame({"MB": range(1, 16), "mean IoU": 0.5}, index=map(str, range(15)))
    for figure, count in (
        (plots.compare_runs(groups, ["accuracy"]), 12),
        (plots.trade_off({"models": models}, "MB"), 15),
    ):
        assert len(looks(figure.axes[0])) == count == len(legend_labels(figure))


def test_differences_show_seeds_and_intervals():
    lines = {
        ("none", "mean IoU"): {"mean": -0.2, "low": -0.3, "high": -0.1, "seed 0": -0.25},
        ("sum", "mean IoU"): {"mean": 0.1, "low": 0.0, "high": 0.2, "seed 0": 0.05},
    }
    table = pd.DataFrame.from_dict(lines, "index").rename_axis(["runs", "score"])
    (axis,) = plots.differences(table).axes
    assert tick_labels(axis) == ["none", "sum"]
    assert axis.yaxis_inverted()  # the first is on top
    assert axis.get_title() == "mean IoU"
    marks = {(round(x, 9), y) for line in axis.lines for x, y in line.get_xydata()}
    for place, line in enumerate(lines.values()):
        assert {(value, place) for value in line.values()} <= marks


def test_search_marks_first_and_best_trials():
    columns = {"rate": [0.01, 0.1, 0.5], "dice": [0.5, 0.02, 0.9], "mean IoU": [0.4, 0.7, 0.6]}
    space = {"rate": (0.01, 1.0), "dice": (0.0, 1.0)}
    axes = plots.search(pd.DataFrame(columns), space).axes
    assert [axis.get_xscale() for axis in axes] == ["log", "linear"]
    for axis, name in zip(axes, space, strict=True):
        assert axis.get_xlabel() == name
        trials, first, best = axis.lines
        np.testing.assert_array_equal(trials.get_xdata(), columns[name])
        assert first.get_xydata().tolist() == [[columns[name][0], 0.4]]
        assert best.get_xydata().tolist() == [[columns[name][1], 0.7]]
        assert len(looks(axis)) == 3


def test_trade_off_marks_models():
    columns = {"MB": [10, 20], "mean IoU": [0.7, 0.8], "low": [0.6, 0.75], "high": [0.8, 0.85]}
    models = pd.DataFrame(columns, index=["small", "large"])
    figure = plots.trade_off({"models": models}, "MB")
    (axis,) = figure.axes
    assert axis.get_xscale() == "log"
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("MB", "mean IoU")
    assert sorted(legend_labels(figure)) == ["large", "small"]
    points = [line.get_xydata().tolist() for line in axis.lines]
    assert [[10, 0.7]] in points and [[20, 0.8]] in points
    ends = [path.vertices[:, 1].tolist() for bars in axis.collections for path in bars.get_paths()]
    assert ends == [pytest.approx([0.6, 0.8]), pytest.approx([0.75, 0.85])]


# --- frames --------------------------------------------------------------------------------------


def frame_tags(values, **options):
    """The parsed frames and the slider of ``plots.frames`` for small figures."""
    shown = plots.frames(lambda value: plots.new_figure(height=0.5)[0], values, "a < b", **options)
    page = BeautifulSoup(shown.data, "html.parser")
    return page.select(".frame"), page.input, page


@pytest.mark.parametrize("count", [1, 2, 3, plots.MOST_FRAMES])
def test_frames_show_the_middle_one_and_hide_others(count):
    frames, slider, _ = frame_tags(range(count))
    assert [frame.p.text for frame in frames] == [str(value) for value in range(count)]
    shown = [frame.p.text for frame in frames if not frame.has_attr("hidden")]
    assert shown == [str(count // 2)] == [slider["value"]] == [slider["aria-valuetext"]]
    assert (slider["min"], slider["max"]) == ("0", str(count - 1))


def test_smoke_profile_draws_the_middle_frame_alone(monkeypatch):
    monkeypatch.setenv("LABKIT_PROFILE", "smoke")
    (frame,), slider, _ = frame_tags(range(5))
    assert frame.p.text == slider["aria-valuetext"] == "2" and not frame.has_attr("hidden")


def test_frames_have_pictures_sentences_and_escaped_text():
    frames, slider, page = frame_tags([0.5, 0.7], say='IoU > {}, "good"'.format)
    assert [frame.img["alt"] for frame in frames] == ['IoU > 0.5, "good"', 'IoU > 0.7, "good"']
    assert "a < b" in page.label.text and slider["aria-valuetext"] == 'IoU > 0.7, "good"'
    for frame in frames:
        kind, _, data = frame.img["src"].partition(",")
        assert kind == "data:image/webp;base64"
        picture = Image.open(io.BytesIO(base64.b64decode(data)))
        assert picture.format == "WEBP" and picture.width == plots.FRAME_DOTS * plots.WIDTH


@pytest.mark.parametrize("count", [0, plots.MOST_FRAMES + 1])
def test_number_of_frames_is_limited(count):
    with pytest.raises(ValueError, match=f"there are {count} values: give 1 to 25"):
        plots.frames(None, range(count), "value")
