"""Masks and cut-outs of photographs: sizes, files that can't be read, the command."""

import re
import sys
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from labkit import classes, cli, models, photos
from labkit.models import trained, transunet


class Brightness:
    """A model that takes bright pixels for pet and dark ones for background."""

    input_shape = (None, 16, 16, 3)
    output_shape = (None, 16, 16, 3)

    def predict_on_batch(self, images):
        assert images.shape == (1, 16, 16, 3)
        gray = np.asarray(images, "float32").mean(-1) - 127.5
        return np.stack([gray, -gray, np.full_like(gray, -1000)], axis=-1)


def half(height, width):
    """A photograph whose left half is white and whose right half is black."""
    photo = np.zeros((height, width, 3), np.uint8)
    photo[:, : width // 2] = 255
    return photo


@given(height=st.integers(1, 70), width=st.integers(1, 70))
def test_mask_has_size_of_photo(height, width):
    mask = photos.segment(Brightness(), half(height, width))
    assert mask.shape == (height, width) and mask.dtype == np.uint8


def test_mask_is_where_the_photo_has_it():
    mask = photos.segment(Brightness(), half(48, 96))
    left, right = mask[:, :44], mask[:, 52:]
    assert (left == classes.PET).all() and (right == classes.BACKGROUND).all()


class Tiled(Brightness):
    """The same model, which records the tiles."""

    def __init__(self):
        self.tiles = []

    def predict_on_batch(self, images):
        self.tiles += list(images)
        gray = np.asarray(images, "float32").mean(-1) - 127.5
        return np.stack([gray, -gray, np.full_like(gray, -1000)], axis=-1)


@given(height=st.integers(1, 70), width=st.integers(1, 70))
def test_tiles_give_the_mask_of_every_pixel(height, width):
    """The model looks at single pixels, so that tiles change nothing."""
    rng = np.random.default_rng(height)
    photo = rng.integers(0, 256, (height, width, 3)).astype("uint8")
    model = Tiled()
    mask = photos.segment(model, photo, tiles=True)
    expected = np.where(photo.astype("float32").mean(-1) > 127.5, classes.PET, classes.BACKGROUND)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, expected)
    assert {tile.shape for tile in model.tiles} == {(16, 16, 3)}


def test_overlapping_tiles_are_blended_by_distance_from_their_edges():
    """Each tile says pet with a logit of its number, and its weight is largest in its center."""

    class Numbered(Brightness):
        def predict_on_batch(self, images):
            logits = np.zeros((len(images), 16, 16, 3), "float32")
            logits[0, ..., classes.PET] = logits[1:, ..., classes.BACKGROUND] = 5
            return logits

    mask = photos.segment(Numbered(), np.zeros((16, 28, 3), "uint8"), tiles=True)
    # Two tiles, from columns 0 and 12: in the shared columns 12 to 15 the nearer center decides.
    assert (mask[:, :14] == classes.PET).all() and (mask[:, 14:] == classes.BACKGROUND).all()


def test_cut_out_is_opaque_on_pet_and_border():
    mask = np.array([[classes.PET, classes.BACKGROUND, classes.BORDER]])
    photo = np.arange(9, dtype="uint8").reshape(1, 3, 3)
    cutout = photos.cut_out(photo, mask)
    assert cutout[0, :, 3].tolist() == [255, 0, 255]
    np.testing.assert_array_equal(cutout[..., :3], photo)


def uploads(*files):
    """The values of a FileUpload of ipywidgets 8 and of 7 for (name, content) pairs."""
    new = tuple({"name": name, "content": memoryview(content)} for name, content in files)
    old = {name: {"metadata": {"name": name}, "content": content} for name, content in files}
    return [SimpleNamespace(value=value) for value in (new, old)]


def test_last_uploaded_photo_is_read_in_its_size():
    files = []
    for number, size in enumerate([(4, 6), (5, 3)]):
        buffer = BytesIO()
        Image.fromarray(half(*size)).save(buffer, "PNG")
        files.append((f"{number}.png", buffer.getvalue()))
    for upload in uploads(*files):
        np.testing.assert_array_equal(photos.uploaded(upload), half(5, 3))


def test_nothing_uploaded_is_none_and_a_text_is_named():
    for upload in uploads():
        assert photos.uploaded(upload) is None
    for upload in uploads(("notes.txt", b"no picture")):
        with pytest.raises(ValueError, match="^notes.txt is not a picture"):
            photos.uploaded(upload)


@pytest.fixture
def folder(tmp_path):
    """A folder of pictures, two of which have the same stem and two of which can't be read."""
    folder = tmp_path / "holiday"
    folder.mkdir()
    for name in ("cat.png", "cat.jpg", "dog.gif"):
        Image.fromarray(half(20, 30)).save(folder / name)
    (folder / "phone.HEIC").write_bytes(b"no picture")
    whole = (folder / "cat.jpg").read_bytes()
    (folder / "broken.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("no picture either")
    return folder


def test_folder_is_segmented_and_unreadable_files_are_named(folder, tmp_path):
    output = tmp_path / "new" / "masks"
    count, reasons = photos.write_all(Brightness(), [folder, tmp_path / "gone.jpg"], output)
    names = {"cat.png", "cat.jpg", "dog"}
    kinds = ("mask", "cutout")
    assert {file.name for file in output.iterdir()} == {
        f"{name}_{kind}.png" for name in names for kind in kinds
    }
    assert count == 3
    for name, text in (("gone", "not exist"), ("HEIC", "use JPEG or PNG"), ("broken", "damaged")):
        assert sum(name in reason and text in reason for reason in reasons) == 1
    assert len(reasons) == 3
    with Image.open(output / "dog_mask.png") as picture:
        assert picture.size == (30, 20)
        assert set(np.unique(np.asarray(picture))) == {classes.PET, classes.BACKGROUND}
        assert picture.convert("RGB").getpixel((0, 0)) == (0xE6, 0x9F, 0x00)
    with Image.open(output / "dog_cutout.png") as picture:
        assert picture.mode == "RGBA"


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b", "x.jpg", "x.png"]), min_size=1, max_size=4),
        unique_by=tuple,
    )
)
def test_names_of_results_differ(parts):
    files = [Path("/top", *names) for names in parts]
    assert len(set(photos.names_for(files))) == len(files)


def test_results_do_not_go_to_the_photographs(folder):
    with pytest.raises(ValueError, match="use another folder for the results"):
        photos.write_all(Brightness(), [folder], folder)


def test_command_takes_a_model_and_its_classes(folder, tmp_path, capsys):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(2, 1)])
    file, output = str(tmp_path / "own.keras"), tmp_path / "masks"
    model.save(file)
    call = ["segment", str(folder / "dog.gif"), "--output", str(output), "--model", file]
    assert cli.main([*call, "--tiles", "--classes", "sky", "tree"]) == 0
    assert [path.name for path in output.iterdir()] == ["dog_mask.png"]  # no background: no cut-out
    assert cli.main(call) == 1
    assert "the model has 2 classes, and 3 names are given" in capsys.readouterr().err


class Own(keras.layers.Layer):
    """A layer that the command does not have."""

    def call(self, x):
        return x


@pytest.mark.parametrize(
    ("size", "layer", "reason"),
    [
        (16, Own(), "class 'Own'.*call labkit.photos.write_all"),
        (None, keras.layers.Identity(), r"input is \(None, None, None, 3\).*keras.Input"),
    ],
)
def test_command_names_a_model_that_it_can_not_use(folder, tmp_path, capsys, size, layer, reason):
    file = str(tmp_path / "own.keras")
    keras.Sequential([keras.Input((size, size, 3)), layer, keras.layers.Conv2D(3, 1)]).save(file)
    assert cli.main(["segment", str(folder / "dog.gif"), "--model", file]) == 1
    assert re.search(reason, capsys.readouterr().err)


def test_command_loads_a_model_with_a_layer_of_labkit(tmp_path, monkeypatch):
    """Nothing has imported the layer's module yet."""
    file = str(tmp_path / "own.keras")
    keras.Sequential([keras.Input((4, 6)), transunet.Positions()]).save(file)
    monkeypatch.setattr(models, "transunet", transunet)
    monkeypatch.delitem(sys.modules, transunet.__name__)
    monkeypatch.delitem(keras.saving.get_custom_objects(), "labkit.transunet>Positions")
    assert cli.load_model(file).layers[0].name == "positions"


def test_command_says_what_it_wrote(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(trained, "trained_unet", Brightness)
    output = str(tmp_path / "masks")
    assert cli.main(["segment", str(folder / "dog.gif"), "--output", output]) == 0
    assert f"segmented: 1. Their masks and cut-outs are in {output}" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert cli.main(["segment", str(tmp_path / "empty"), "--output", output]) == 1
    assert "empty has no picture" in capsys.readouterr().err
