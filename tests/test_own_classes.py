"""What takes a split works for any number of classes, unequal sides and ignored pixels."""

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from labkit import cells, data, losses, metrics, photos, plots, training
from labkit.analysis import attributes, calibration, robustness, scores, tables
from labkit.augment import Strength
from labkit.batches import Batches
from labkit.classes import IGNORE, PETS, Classes
from labkit.methods import cascade, export
from labkit.models.trained import trained_unet
from labkit.models.unet import unet_model

HEIGHT, WIDTH, COUNT = 16, 24, 6
pytestmark = pytest.mark.usefixtures("eager")


def classes_of(count, ignore):
    if count == 3:
        return Classes(PETS.names, PETS.colors, ignore)
    return Classes(("background", *(f"kind {number}" for number in range(1, count))), None, ignore)


@pytest.fixture(params=[(2, False), (3, False), (5, False), (5, True), (21, False)], ids=str)
def split(request):
    """Random images and masks; with ``ignore`` every third pixel is ignored."""
    count, ignore = request.param
    rng = np.random.default_rng(count)
    images = rng.integers(0, 256, (COUNT, HEIGHT, WIDTH, 3), "uint8")
    masks = rng.integers(0, count, (COUNT, HEIGHT, WIDTH, 1)).astype("uint8")
    if ignore:
        masks[rng.random(masks.shape) < 1 / 3] = IGNORE
    table = {"name": np.array([f"photo {number}" for number in range(COUNT)])}
    return data.Split(images, masks, table, classes_of(count, ignore))


@pytest.fixture
def model(split):
    keras.utils.set_random_seed(0)
    last = layers.Conv2D(len(split.classes), 1)
    return keras.Sequential([keras.Input((HEIGHT, WIDTH, 3)), layers.Rescaling(1 / 255), last])


def counted(split, pred_masks):
    """Right pixels, and pixels that count."""
    inside = split.masks != IGNORE
    return (split.masks == pred_masks)[inside].sum(), inside.sum()


def test_training_and_scores(split, model, tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path))
    train_ds = Batches(split, 4, seed=0, augmented=Strength())
    loss = losses.Sum([losses.CrossEntropy(), losses.Dice()], [1.0, 0.5])
    run = training.train(model, train_ds, Batches(split, 4), epochs=1, name="own", loss=loss)
    pred_masks = training.predict_masks(model, split)
    values = scores.score(model, split)
    right, total = counted(split, pred_masks)
    main = split.classes.main
    assert values["accuracy"] == pytest.approx(right / total)
    assert run.history["val_accuracy"] == [pytest.approx(right / total, rel=1e-5)]
    assert run.history["val_mean_iou"] == [pytest.approx(values["mean IoU"], rel=1e-5)]
    history_name = f"val_{main.replace(' ', '_')}_iou"
    assert run.history[history_name] == [pytest.approx(values[f"{main} IoU pooled"], rel=1e-5)]
    for name in split.classes.names:
        assert {f"{name} IoU pooled", f"{name} Dice per image", f"{name} boundary IoU"} < set(
            values
        )
    assert scores.intervals(scores.tally(model, split), draws=5).keys() == values.keys()


def test_tables_and_analyses(split, model):
    pred_masks = training.predict_masks(model, split)
    rows = tables.per_image(split, pred_masks)
    right, total = counted(split, pred_masks)
    inside = (split.masks != IGNORE).sum((1, 2, 3))
    assert np.sum(rows["accuracy"] * inside) / total == pytest.approx(right / total)
    assert [f"{name} IoU" for name in split.classes.names] == [
        column for column in rows if column.endswith(" IoU")
    ]
    histogram = calibration.confidence_histogram(model, split)
    assert histogram.counts.sum(0).tolist() == [total - right, right]
    table = robustness.table(model, split, ("blur", "rotation"))
    assert ((table >= 0) & (table <= 1)).all(axis=None)
    assert isinstance(data.check(split).to_string(), str)
    if split.classes != PETS:
        with pytest.raises(ValueError, match="attributes describe pets"):
            attributes.table(split)


def test_figures(split, model):
    pred_masks = training.predict_masks(model, split)
    names = split.classes.names
    one = [split.images[0], split.masks[0], pred_masks[0]]
    figures = [
        plots.display_sample(one, classes=split.classes),
        plots.show_predictions(split.images, split.masks, pred_masks, classes=split.classes),
    ]
    for figure in figures:
        assert [text.get_text() for text in figure.legends[0].texts] == list(names)
    figure = plots.overlay(*one, classes=split.classes)
    assert figure.legends[0].texts[0].get_text().startswith(split.classes.main)
    plots.overlay(*one, names[-1], classes=split.classes)
    matrix = metrics.confusion(split.masks, pred_masks, len(names), split.classes.ignored).sum(0)
    figure = plots.confusion_matrix(matrix, split.classes)
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == list(names)
    figure.canvas.draw()
    callback = training.DisplayCallback(split.images[0], split.masks[0], split.classes)
    callback.set_model(model)
    callback.on_epoch_end(0)
    assert len(callback.pred_masks) == 1


def test_photographs(split, model, tmp_path):
    count, reasons = photos.write_all(model, [], tmp_path, split.classes)
    assert (count, reasons) == (0, [])
    photo = np.zeros((50, 61, 3), "uint8")
    for tiles in (False, True):
        mask = photos.segment(model, photo, tiles)
        assert mask.shape == (50, 61) and len(np.unique(mask)) == 1
    assert photos.cut_out(photo, mask, split.classes).shape == (50, 61, 4)
    with pytest.raises(ValueError, match="classes, and 4 names are given"):
        photos.write_all(model, [], tmp_path, Classes(tuple("abcd")))


def test_dividing(split):
    train, val = data.stratify(split, 0.34)
    assert train.classes == val.classes == split.classes and len(val) == 2
    joined = data.join(train, val)
    assert joined.classes == split.classes and len(joined) == COUNT
    assert split.select(slice(2)).classes == split.classes


def test_cascade_and_export(split, model):
    boxes = cascade.bounding_boxes(split.masks, classes=split.classes)
    crops = cascade.crops(split, boxes, 16)
    assert crops.classes == split.classes and crops.images.shape == (COUNT, 16, 16, 3)
    table = export.compare(model, split, split.images[:2], {".keras": ()})
    assert f"{split.classes.main} IoU" in table


@pytest.mark.parametrize("count", [2, 5])
def test_networks_have_any_number_of_classes_and_unequal_sides(count, short_encoder_here):
    model = unet_model(count, (32, 48), weights=None)
    assert model.output_shape == (None, 32, 48, count)


def test_trained_network_keeps_all_but_its_last_layer_for_other_classes():
    pets, own = trained_unet(), trained_unet(4)
    assert own.output_shape[-1] == 4
    for before, after in zip(pets.weights[:-2], own.weights[:-2], strict=True):
        np.testing.assert_array_equal(before, after)


def test_splits_of_different_classes_do_not_join(split):
    other = data.Split(split.images, split.masks, split.table, Classes(("a", "b")))
    with pytest.raises(ValueError, match="classes background, kind 1|classes pet.*and a, b"):
        data.join(split, other)


def test_split_without_its_classes_is_refused():
    """Five classes, and a split that says it has pets."""
    masks = np.arange(64, dtype="uint8").reshape(1, 8, 8, 1) % 5
    split = data.Split(np.zeros((1, 8, 8, 3), "uint8"), masks, {})
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(5, 1)])
    with pytest.raises(ValueError, match="name the classes of the split"):
        scores.score(model, split)
    with pytest.raises(ValueError, match=r"hold \[3, 4\].*name the classes of the split"):
        tables.per_image(split, masks)


def test_absent_class_has_no_score():
    """Three classes, of which the third is in no mask and no prediction."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 8, 8, 3), "uint8")
    masks = rng.integers(0, 2, (2, 8, 8, 1)).astype("uint8")
    classes = Classes(("background", "cell", "rare"))
    split = data.Split(images, masks, {}, classes)
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(3, 1)])
    model.layers[-1].bias.assign([0, 0, -1e6])
    values = scores.score(model, split)
    absent = [name for name, value in values.items() if np.isnan(value)]
    assert {name for name in absent if name.startswith("rare")} == {
        name for name in values if name.startswith("rare")
    }
    known = [values[f"{name} IoU pooled"] for name in classes.names[:2]]
    assert values["mean IoU"] == pytest.approx(np.mean(known))


# --- losses --------------------------------------------------------------------------------------


LOSSES = [
    *(losses.CrossEntropy(), losses.CrossEntropy((1, 2, 0.5)), losses.Focal(0.5)),
    *(losses.Dice(), losses.Boundary()),
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_ignored_pixels_do_not_change_loss(loss):
    """What the network says about ignored pixels has no gradient."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    masks = rng.integers(0, 3, (2, 8, 8, 1))
    masks[:, :3] = IGNORE
    logits = tf.constant(rng.normal(size=(2, 8, 8, 3)), "float32")
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(masks, logits)
    gradient = tape.gradient(value, logits).numpy()
    assert np.all(gradient[:, :3] == 0) and np.all(np.abs(gradient[:, 3:]).sum(-1) > 0)
    changed = np.concatenate([rng.normal(size=(2, 3, 8, 3)), logits[:, 3:]], 1)
    assert float(loss(masks, changed.astype("float32"))) == pytest.approx(float(value), rel=1e-5)


def test_ignoring_all_pixels_gives_no_loss():
    masks, logits = np.full((1, 4, 4, 1), IGNORE), np.ones((1, 4, 4, 3), "float32")
    assert float(losses.CrossEntropy()(masks, logits)) == 0


def test_edge_of_ignored_pixels_is_no_outline():
    """One class, with and without an ignored block: there is no outline, so all is far from it."""
    masks, logits = np.zeros((1, 16, 16, 1), int), np.ones((1, 16, 16, 3), "float32")
    loss = losses.Boundary()
    whole = float(loss(masks, logits))
    masks[:, :, :8] = IGNORE
    assert float(loss(masks, logits)) == pytest.approx(whole)


def test_weighted_cross_entropy_is_weighted_mean():
    rng = np.random.default_rng(0)
    masks, logits = rng.integers(0, 3, (2, 4, 4, 1)), rng.normal(size=(2, 4, 4, 3))
    logits = logits.astype("float32")
    entropy = -np.take_along_axis(logits - np.log(np.exp(logits).sum(-1, keepdims=True)), masks, -1)
    weights = np.array([1, 1, 5])[masks]
    expected = (weights * entropy).sum() / weights.sum()
    assert float(losses.CrossEntropy((1, 1, 5))(masks, logits)) == pytest.approx(expected, rel=1e-5)


def test_invalid_weights_raise():
    with pytest.raises(ValueError, match="use 0 or more"):
        losses.CrossEntropy((1, -1))
    with pytest.raises(ValueError, match="2 weights and 3 classes"):
        losses.CrossEntropy((1, 1))(np.zeros((1, 2, 2, 1)), np.zeros((1, 2, 2, 3), "float32"))


# --- classes -------------------------------------------------------------------------------------


def test_main_and_background():
    assert (PETS.main, PETS.background) == ("pet", 1)
    assert (cells.CELLS.main, cells.CELLS.background) == ("cell", 0)
    assert Classes(("sky", "tree")).background is None


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((("one",),), "at least 2"),
        ((("a", "a"),), "only once"),
        (("ab",), "use strings"),
        (((1, 2),), "use strings"),
        ((("a", "b"), ("#000000",)), "2 classes and 1 colors"),
        ((("a", "b"), ("#000000", "red")), "color is 'red': use .#RRGGBB"),
    ],
)
def test_invalid_classes_raise(arguments, match):
    with pytest.raises(ValueError, match=match):
        Classes(*arguments)


def test_colors_of_many_classes_differ():
    colors = Classes(tuple(map(str, range(21)))).colors
    assert len(set(colors)) == 21 and all(len(color) == 7 for color in colors)


def test_ignored_pixels_are_gray():
    picture = Classes(("a", "b"), ignore=True).color_mask(np.array([[0, IGNORE]]))
    assert picture[0, 1].tolist() == [0x99] * 3


# --- the whole way -------------------------------------------------------------------------------


def whole_way():
    """The last Python block in the text of the chapter."""
    import nbformat
    import paths

    notebook = nbformat.read(paths.BOOK / "09_own.ipynb", as_version=4)
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    text = [text for text in texts if "```python" in text][-1]
    return text.split("```python\n")[1].split("```")[0]


MASKS = {  # names as the chapter writes them, and the value of each class in the masks
    "palette": ('("background", "cell", "nucleus", "dividing")', (0, 1, 2, 3)),
    "0 and 255": ('("background", "cell")', (0, 255)),
    "colors": ('{"background": "#000000", "cell": "#ff0000"}', ((0, 0, 0), (255, 0, 0))),
}


@pytest.mark.parametrize("kind", MASKS)
def test_block_of_the_chapter_makes_a_model_and_masks(
    kind, tiny_unet, tmp_path, monkeypatch, capsys
):
    """With 6 photographs in place of 30, a tiny network and one epoch."""
    names, values = MASKS[kind]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    images, masks = cells.write("my", 6)
    (tmp_path / "my/new").mkdir()
    (images / "cells_000.jpg").rename("my/new/one.jpg")  # so its mask has no image
    Image.new("RGB", (50, 40)).save("my/images/lonely.png")
    for file in masks.iterdir():
        numbers = np.minimum(np.asarray(Image.open(file)), len(values) - 1)
        picture = Image.fromarray(np.array(values, "uint8")[numbers])
        if kind == "palette":
            picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
        picture.save(file)
    block = whole_way()
    assert len([line for line in block.splitlines() if line]) <= 15
    given = block.split("names = ")[1].split("\n")[0]
    block = block.replace(given, names).replace("epochs=20", "epochs=1").replace(", 20, ", ", 1, ")
    monkeypatch.setattr(
        "labkit.models.trained.trained_unet", lambda count, fine_tune: tiny_unet(count, 128)
    )
    exec(block, {})
    printed = capsys.readouterr().out
    assert "Left out, 2: lonely.png has no mask; cells_000.png has no image." in printed
    with Image.open("out/one_mask.png") as mask, Image.open("my/new/one.jpg") as photo:
        assert mask.size == photo.size
    assert keras.saving.load_model("own.keras", compile=False).output_shape[-1] == len(values)
