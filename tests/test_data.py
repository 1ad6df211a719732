"""The dataset: sources, preparation, cache, splits and errors."""

import errno
import io
import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from labkit import data, download, pictures, splits, synthetic

properties = settings(deadline=None, max_examples=50)
BREEDS = ["Abyssinian", "beagle", "Bengal"]


def row(number, height=40, width=30):
    """A raw example as TFDS returns it: one color, a pet in the upper left quarter."""
    mask = np.full((height, width, 1), 2, np.uint8)
    mask[: height // 2, : width // 2] = 1
    return {
        "image": np.full((height, width, 3), 10 * number, np.uint8),
        "segmentation_mask": mask,
        "label": number % 3,
        "species": int(number % 3 == 1),
        "file_name": f"pet_{number}.jpg",
    }


def rows(count):
    return [(row(number), BREEDS[number % 3]) for number in range(count)]


def save(raw, folder, count, image_size):
    """Store raw rows as ``load`` does."""
    splits.save_split(data.prepared(raw, image_size), folder, count, image_size)


class FakeBuilder:
    """Stand-in for the TFDS builder: three training and two test examples."""

    info = SimpleNamespace(features={"label": SimpleNamespace(names=BREEDS)})
    counts = {"train": 3, "test": 2}

    def download_and_prepare(self):
        splits = [
            {"name": name, "shardLengths": [str(count - 1), "1"], "numBytes": "100"}
            for name, count in self.counts.items()
        ]
        folder = download.prepared_folder()
        folder.mkdir(parents=True)
        for name, count in self.counts.items():
            for number, length in enumerate((count - 1, 1)):
                file = folder / f"{data.REAL}-{name}.tfrecord-{number:05}-of-00002"
                file.write_bytes(bytes(16 * length))  # empty records
        path = download.prepared_folder() / "dataset_info.json"
        path.write_text(json.dumps({"splits": splits}))

    def as_dataset(self, split):
        split, _, last = split.removesuffix("]").partition("[:")
        first, count = {"train": 0, "test": 10}[split], int(last or self.counts[split])
        raw = [row(first + number, 40 + number, 30) for number in range(count)]
        encoded = [{**example, "file_name": example["file_name"].encode()} for example in raw]
        return SimpleNamespace(as_numpy_iterator=lambda: iter(encoded))


def no_network(url):
    pytest.fail("the network was asked")


@pytest.fixture
def prepared(folders, monkeypatch):
    """A small stand-in for the real dataset, as if TFDS had prepared it."""
    FakeBuilder().download_and_prepare()
    monkeypatch.setattr(download, "builder", FakeBuilder)
    monkeypatch.setattr(download, "problem_for_tfds", no_network)


@pytest.fixture
def offline(folders, monkeypatch):
    monkeypatch.setattr(download, "download", lambda: pytest.fail("a download was tried"))
    monkeypatch.setattr(download, "problem_for_tfds", lambda url: download.NO_NETWORK)


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def assert_splits_equal(actual, expected):
    np.testing.assert_array_equal(actual.images, expected.images)
    np.testing.assert_array_equal(actual.masks, expected.masks)
    assert {key: column.tolist() for key, column in actual.table.items()} == {
        key: column.tolist() for key, column in expected.table.items()
    }


# --- masks ---------------------------------------------------------------------------------


@given(arrays.arrays(np.uint8, (3, 4, 1), elements=st.integers(1, 3)))
def test_normalize_mask_subtracts_one(mask):
    before, normalized = mask.copy(), data.normalize_mask(mask)
    assert normalized.dtype == np.uint8
    np.testing.assert_array_equal(normalized, before.astype(int) - 1)
    np.testing.assert_array_equal(mask, before)


@pytest.mark.parametrize("dtype", ["int8", "int64", "float32", "float64"])
def test_normalize_mask_accepts_numeric_dtypes(dtype):
    normalized = data.normalize_mask(np.array([[3, 1], [2, 2]], dtype))
    assert normalized.dtype == np.uint8 and normalized.tolist() == [[2, 0], [1, 1]]


@pytest.mark.parametrize(
    ("mask", "named"),
    [
        (np.array([0, 1, 2], np.uint8), r"\[0\]"),
        (np.array([1, 255], np.uint8), r"\[255\]"),
        (np.array([1, 4, 7]), r"\[4, 7\]"),
        (np.array([-1, 1]), r"\[-1\]"),
        (np.array([1.5, 2, 2.5]), r"\[1.5, 2.5\]"),
        (np.array([1, np.nan]), r"\[nan\]"),
        (np.array([True, False]), r"\[False\]"),
        (np.arange(200), r"\[0, 4, 5, 6, 7\]"),
    ],
)
def test_normalize_mask_rejects_other_labels(mask, named):
    with pytest.raises(ValueError, match=f"holds {named}: .* 1 pet, 2 background, 3 border.*near"):
        data.normalize_mask(mask)


# --- single examples -----------------------------------------------------------------------


def test_prepare_keeps_pixels_at_target_size():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    labels = np.random.default_rng(1).integers(1, 4, (32, 32, 1), np.uint8)
    ready, mask = data.prepare(image, labels, 32)
    np.testing.assert_array_equal(ready, image)
    np.testing.assert_array_equal(mask, labels - 1)


@properties
@given(
    blocks=arrays.arrays(np.uint8, (8, 8), elements=st.integers(1, 3)),
    high=st.integers(1, 6),
    wide=st.integers(1, 6),
)
def test_prepare_downsamples_mask_exactly(blocks, high, wide):
    labels = blocks.repeat(high, axis=0).repeat(wide, axis=1)[..., None]
    _, mask = data.prepare(np.zeros((8 * high, 8 * wide, 3), np.uint8), labels, 8)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask[..., 0], blocks - 1)


@properties
@given(
    labels=arrays.arrays(
        np.uint8, st.tuples(*[st.integers(1, 8)] * 2, st.just(1)), elements=st.integers(1, 3)
    ),
    times=st.integers(1, 4),
)
def test_prepare_upsamples_mask_by_repetition(labels, times):
    height, width = labels.shape[:2]
    side = height * width * times  # divisible by both
    _, mask = data.prepare(np.zeros((height, width, 3), np.uint8), labels, side)
    expected = labels.repeat(side // height, axis=0).repeat(side // width, axis=1) - 1
    np.testing.assert_array_equal(mask, expected)


@properties
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    values=st.sets(st.integers(1, 3), min_size=1),
)
def test_resizing_adds_no_labels(height, width, values):
    labels = np.random.default_rng(0).choice(sorted(values), (height, width, 1))
    image, mask = data.prepare(np.zeros((height, width, 3), np.uint8), labels, 32)
    assert image.shape == (32, 32, 3) and mask.shape == (32, 32, 1)
    assert image.dtype == mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {value - 1 for value in values}


@properties
@given(height=st.integers(40, 200), width=st.integers(40, 200))
def test_resized_image_and_mask_are_aligned(height, width):
    labels = np.full((height, width, 1), 2, np.uint8)
    labels[height // 4 : height // 2, width // 3 : width] = 1
    image = np.where(labels == 1, 200, 50).astype(np.uint8).repeat(3, axis=-1)
    image, mask = data.prepare(image, labels, 40)
    is_pet = mask[..., 0] == 0
    assert np.mean((image[..., 1] > 125) != is_pet) < 0.06  # at the edges alone
    center = np.argwhere(is_pet).mean(0) + 0.5
    expected = 40 * np.argwhere(labels[..., 0] == 1).mean(0) / (height, width)
    np.testing.assert_allclose(center, expected, atol=1.2)


def test_downsampling_averages_pixels():
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, ::2] = 200  # stripes, which plain bilinear resizing would turn into moire
    ready, _ = data.prepare(image, np.ones((64, 64, 1), np.uint8), 8)
    assert np.ptp(ready.astype(int)) < 15 and abs(ready.mean() - 100) < 3


@pytest.mark.parametrize(
    ("shape", "dtype", "named"),
    [
        ((8, 8), "uint8", r"uint8 \[8, 8\]"),
        ((8, 8, 1), "uint8", r"uint8 \[8, 8, 1\]"),
        ((8, 8, 4), "uint8", r"uint8 \[8, 8, 4\]"),
        ((2, 8, 8, 3), "uint8", r"uint8 \[2, 8, 8, 3\]"),
        ((8, 8, 3), "float32", r"float32 \[8, 8, 3\]"),
    ],
)
def test_prepare_rejects_invalid_images(shape, dtype, named):
    with pytest.raises(ValueError, match=f"got {named}: open other pictures with .*read_image"):
        data.prepare(np.zeros(shape, dtype), np.ones((8, 8, 1), np.uint8), 8)


@pytest.mark.parametrize("shape", [(8, 8), (8, 9, 1), (9, 8, 1), (8, 8, 3), (4, 4, 1)])
def test_prepare_rejects_mask_of_other_shape(shape):
    with pytest.raises(ValueError) as excinfo:
        data.prepare(np.zeros((8, 8, 3), np.uint8), np.ones(shape, np.uint8), 8)
    for part in (str(list(shape)), "[8, 8, 3]", "expected a mask of [8, 8, 1]"):
        assert part in str(excinfo.value)


def test_mask_is_checked_before_resizing():
    labels = np.ones((40, 40, 1), np.uint8)
    labels[3, 3] = 0  # resizing would lose this pixel
    with pytest.raises(ValueError, match=r"holds \[0\]"):
        data.prepare(np.zeros((40, 40, 3), np.uint8), labels, 8)


@pytest.mark.parametrize("image_size", [0, -1, 64.0, "64", None, (64, 0), (64,) * 3])
def test_invalid_image_size_raises(image_size, folders):
    example = np.zeros((8, 8, 3), np.uint8), np.ones((8, 8, 1), np.uint8)
    for call in (
        lambda: data.prepare(*example, image_size),
        lambda: data.load("synthetic", image_size),
        lambda: data.read_image("never.opened", image_size),
    )[: 2 if image_size is None else 3]:  # a photograph may keep its own size
        with pytest.raises(ValueError) as excinfo:
            call()
        assert f"image_size is {image_size!r}: use a whole number" in str(excinfo.value)


# --- image files ---------------------------------------------------------------------------


def image_file(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    file.seek(0)
    return file


RED = (200, 30, 40)


@pytest.mark.parametrize(
    ("mode", "color", "kind", "expected"),
    [
        ("RGB", RED, "PNG", RED),
        ("RGB", RED, "JPEG", RED),
        ("L", 90, "PNG", (90, 90, 90)),
        ("L", 90, "JPEG", (90, 90, 90)),
        ("1", 1, "PNG", (255, 255, 255)),
        ("RGBA", (*RED, 255), "PNG", RED),
        ("RGBA", (*RED, 0), "PNG", (255, 255, 255)),
        ("RGBA", (0, 0, 0, 51), "PNG", (204, 204, 204)),
        ("LA", (0, 0), "PNG", (255, 255, 255)),
        ("CMYK", (0, 255, 255, 0), "JPEG", (255, 0, 0)),
        ("I;16", 257 * 90, "PNG", (90, 90, 90)),
        ("I;16", 1445, "TIFF", (90, 90, 90)),  # 12 bits
        ("I", 90, "TIFF", (90, 90, 90)),
        ("I", 2**24, "TIFF", (255, 255, 255)),
        ("F", 90 / 255, "TIFF", (90, 90, 90)),
        ("F", 90, "TIFF", (90, 90, 90)),
    ],
)
def test_read_image_converts_modes_to_rgb(mode, color, kind, expected):
    image = data.read_image(image_file(Image.new(mode, (30, 20), color), kind), 16)
    assert image.shape == (16, 16, 3) and image.dtype == np.uint8
    np.testing.assert_allclose(image, np.broadcast_to(expected, image.shape), atol=3)


@pytest.mark.parametrize("transparent", [None, 1])
def test_read_image_converts_palette_to_rgb(transparent):
    picture = Image.new("P", (20, 20), 1)
    picture.putpalette([0, 0, 0, *RED])
    options = {} if transparent is None else {"transparency": transparent}
    image = data.read_image(image_file(picture, "GIF", **options), 8)
    expected = RED if transparent is None else (255, 255, 255)
    np.testing.assert_array_equal(image, np.broadcast_to(expected, image.shape))


@pytest.mark.parametrize(("mode", "value"), [("I", -5), ("F", -0.5), ("F", 300), ("F", np.nan)])
def test_read_image_rejects_unknown_range(mode, value):
    match = f"mode {mode} with values from {value}.* to .*: save it with 8 bits"
    with pytest.raises(ValueError, match=match):
        data.read_image(image_file(Image.new(mode, (9, 9), value), "TIFF"), 8)


@given(st.integers(1, 2**31 - 1))
def test_read_image_keeps_order_of_deep_gray(high):
    ramp = np.linspace(0, high, 16).astype("int32").reshape(1, 16).repeat(16, axis=0)
    gray = data.read_image(image_file(Image.fromarray(ramp), "TIFF"), 16)[0, :, 0].astype(int)
    assert (np.diff(gray) >= 0).all()
    assert gray[-1] > 60 or high < 255


def test_read_image_keeps_size_on_request(tmp_path):
    pixels = np.arange(2 * 5 * 3, dtype="uint8").reshape(2, 5, 3)
    Image.fromarray(pixels).save(tmp_path / "small.png")
    np.testing.assert_array_equal(data.read_image(tmp_path / "small.png", None), pixels)


def test_read_image_upsamples_single_pixel():
    image = data.read_image(image_file(Image.new("RGB", (1, 1), RED)), 8)
    np.testing.assert_array_equal(image, np.broadcast_to(RED, (8, 8, 3)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_read_image_applies_exif_orientation(orientation):
    upright = Image.new("RGB", (16, 16), "black")
    upright.paste("white", (0, 0, 8, 4))  # at the top, left
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose that the camera applied
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = data.read_image(image_file(stored, exif=exif), 16)
    np.testing.assert_array_equal(image, np.asarray(upright))


def test_read_image_accepts_path_and_file(tmp_path):
    path = tmp_path / "pet.png"
    path.write_bytes(image_file(Image.new("RGB", (9, 7), RED)).getvalue())
    with open(path, "rb") as file:
        images = [data.read_image(given, 8) for given in (path, str(path), file)]
    assert all((image == RED).all() for image in images)


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8))
STORED = {kind: image_file(NOISE, kind).getvalue() for kind in ("PNG", "JPEG", "GIF", "BMP")}


@settings(deadline=None, max_examples=150)
@given(kind=st.sampled_from(sorted(STORED)), share=st.floats(0, 1, exclude_max=True))
def test_truncated_image_raises_at_any_length(kind, share):
    content = STORED[kind]
    try:
        image = data.read_image(io.BytesIO(content[: int(share * len(content))]), 8)
    except ValueError as error:
        assert "is damaged" in str(error) or "is not a picture" in str(error)
    else:  # only an end marker was cut off
        assert share > 0.9
        np.testing.assert_array_equal(image, data.read_image(io.BytesIO(content), 8))


def test_damaged_image_raises_value_error():
    """Changes each of the first 150 bytes: some raise SyntaxError in Pillow, others OSError."""
    exif = Image.Exif()
    exif[0x0112] = 6
    content, causes = image_file(NOISE, exif=exif).getvalue(), set()
    for place in range(150):
        damaged = content[:place] + bytes([content[place] ^ 0x81]) + content[place + 1 :]
        try:
            assert data.read_image(io.BytesIO(damaged), 8).shape == (8, 8, 3)
        except ValueError as error:
            assert "is damaged" in str(error) or "is not a picture" in str(error)
            causes.add(type(error.__cause__))
    assert len(causes) > 1


@pytest.mark.parametrize("error", [SyntaxError, TypeError, ValueError, OSError, MemoryError])
def test_pillow_errors_are_reported_as_damage(monkeypatch, error):
    def broken(picture):
        raise error("broken chunk")

    monkeypatch.setattr(pictures.ImageOps, "exif_transpose", broken)
    with pytest.raises(ValueError, match=r"damaged or too large \(broken chunk\): save it"):
        data.read_image(image_file(NOISE), 8)


def test_truncated_image_error_names_file(tmp_path):
    path = tmp_path / "pet.jpg"
    path.write_bytes(STORED["JPEG"][: len(STORED["JPEG"]) // 2])
    with pytest.raises(ValueError, match=r"pet\.jpg is damaged or too large .*save it again"):
        data.read_image(path)


@pytest.mark.parametrize("content", [b"", b"a text about pets", b"<svg/>"])
def test_read_image_rejects_other_files(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"notes\.txt is not a picture .*use JPEG or PNG"):
        data.read_image(path)


def test_read_image_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.jpg"):
        data.read_image(tmp_path / "nowhere.jpg")


def test_read_image_rejects_huge_image(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match="damaged or too large"):
        data.read_image(image_file(Image.new("RGB", (9, 9))))


# --- sources -------------------------------------------------------------------------------


def test_synthetic_source_needs_no_network(folders, monkeypatch):
    monkeypatch.setattr(download, "problem_for_tfds", no_network)
    assert data.find_source("synthetic") == "synthetic"


@pytest.mark.parametrize("source", ["auto", "oxford_iiit_pet"])
def test_prepared_dataset_needs_no_network(prepared, source):
    assert data.find_source(source) == "oxford_iiit_pet"


def test_unavailable_real_dataset_raises(offline):
    with pytest.raises(ConnectionError) as excinfo:
        data.load("oxford_iiit_pet")
    for part in (str(download.prepared_folder()), download.HOST, "set TFDS_DATA_DIR", "network"):
        assert part in str(excinfo.value)


def test_auto_falls_back_to_synthetic_with_notice(offline, capsys):
    pets = data.load(image_size=32, limit=(3, 2))
    assert pets.source == "synthetic" and (len(pets.train), len(pets.test)) == (3, 2)
    output = capsys.readouterr().out
    assert output.startswith("Using synthetic pets: ") and "TFDS_DATA_DIR" in output


def test_environment_overrides_auto(prepared, monkeypatch, capsys):
    monkeypatch.setenv("LABKIT_DATA", "synthetic")
    assert data.find_source() == "synthetic"
    assert data.find_source("oxford_iiit_pet") == "oxford_iiit_pet"
    assert capsys.readouterr().out == ""  # no notice for an explicit choice


def test_environment_can_require_real_dataset(offline, monkeypatch):
    monkeypatch.setenv("LABKIT_DATA", "oxford_iiit_pet")
    with pytest.raises(ConnectionError):
        data.find_source()


@pytest.mark.parametrize("source", ["real", "", None, "Synthetic"])
def test_unknown_source_raises(source):
    with pytest.raises(ValueError, match=f"source is {source!r}: use one of auto, oxford_iiit"):
        data.load(source)


def test_unknown_source_in_environment_raises(monkeypatch):
    monkeypatch.setenv("LABKIT_DATA", "real")
    with pytest.raises(ValueError, match="LABKIT_DATA is 'real': use one of auto, oxford_iiit"):
        data.load()


def test_reachable_host_is_downloaded_once(folders, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(download, "problem_for_tfds", asked.append)
    monkeypatch.setattr(download, "builder", FakeBuilder)
    assert data.find_source() == data.find_source("oxford_iiit_pet") == "oxford_iiit_pet"
    assert asked == [download.HOST]
    assert f"Downloading oxford_iiit_pet to {download.prepared_folder()}" in capsys.readouterr().out


# --- load ----------------------------------------------------------------------------------


def test_load_returns_arrays_and_table(folders):
    train, test, source = pets = data.load("synthetic", 32, (4, 3))
    assert source == "synthetic" and pets.train is train
    for split, count in ((train, 4), (test, 3)):
        assert len(split) == count
        assert split.images.shape == (count, 32, 32, 3) and split.images.dtype == np.uint8
        assert split.masks.shape == (count, 32, 32, 1) and split.masks.dtype == np.uint8
        assert set(np.unique(split.masks)) == {0, 1, 2}
        assert list(split.table) == ["name", "breed", "species", "height", "width"]
        assert all(column.shape == (count,) for column in split.table.values())
        assert set(split.table["species"]) <= {"cat", "dog"}
    drawn = next(synthetic.examples(1, split="test", size=(32, 32)))
    np.testing.assert_array_equal(test.images[0], drawn["image"])
    np.testing.assert_array_equal(test.masks[0], drawn["segmentation_mask"] - 1)
    assert test.table["name"][0] + ".jpg" == drawn["file_name"]
    assert test.table["breed"][0] == synthetic.BREEDS[drawn["label"]]


def test_load_keeps_real_dataset_order(prepared):
    train, test, source = data.load(image_size=16)
    assert source == "oxford_iiit_pet" and (len(train), len(test)) == (3, 2)
    assert train.images[:, 0, 0, 0].tolist() == [0, 10, 20]
    assert test.images[:, 0, 0, 0].tolist() == [100, 110]
    assert (train.masks[:, :7, :7] == 0).all() and (train.masks[:, 9:, 9:] == 1).all()
    table = {key: column.tolist() for key, column in train.table.items()}
    assert table == {
        "name": ["pet_0", "pet_1", "pet_2"],
        "breed": ["Abyssinian", "beagle", "Bengal"],
        "species": ["cat", "dog", "cat"],
        "height": [40, 41, 42],
        "width": [30, 30, 30],
    }


def test_limit_takes_first_images(prepared):
    full, limited = data.load(image_size=16), data.load(image_size=16, limit=(2, 1))
    assert_splits_equal(limited.train, full.train.select(slice(2)))
    assert_splits_equal(limited.test, full.test.select(slice(1)))
    assert [len(split) for split in data.load(image_size=16, limit=(99, 99))[:2]] == [3, 2]


@pytest.mark.parametrize("limit", [(0, 5), (5, 0), (-1, 3), (5,), 5, (5, 5, 5)])
def test_invalid_limit_raises(limit):
    with pytest.raises(ValueError) as excinfo:
        data.load("synthetic", limit=limit)
    assert f"limit is {limit}: use (train, test), at least one image each" in str(excinfo.value)


def test_arrays_are_read_only_memmaps(folders):
    images = data.load("synthetic", 32, (2, 2)).train.images
    assert isinstance(images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_second_load_uses_cache(prepared, monkeypatch):
    first = data.load(image_size=16)
    monkeypatch.setattr(data, "prepare", lambda *args: pytest.fail("an image was read again"))
    monkeypatch.setattr(download, "builder", lambda: pytest.fail("TFDS was asked again"))
    second = data.load(image_size=16)
    assert_splits_equal(first.train, second.train)
    assert_splits_equal(first.test, second.test)
    assert second.train.images.filename == first.train.images.filename


def test_cache_depends_on_size_source_and_count(prepared):
    calls = [("auto", 16), ("auto", 32), ("synthetic", 32, (2, 2)), ("synthetic", 32, (3, 2))]
    files = {Path(data.load(*call).train.images.filename) for call in calls}
    assert len(files) == 4
    assert all(data.cache_folder() in file.parents for file in files)


def test_cache_depends_on_synthetic_code(folders, monkeypatch):
    before = data.load("synthetic", 32, (2, 2)).train.images.filename
    changed = folders / "synthetic.py"
    changed.write_text(Path(synthetic.__file__).read_text("utf-8") + "\n# another line\n")
    monkeypatch.setattr(synthetic, "__file__", str(changed))
    assert data.load("synthetic", 32, (2, 2)).train.images.filename != before


@pytest.mark.parametrize("lost", ["images.npy", "masks.npy", "table.json"])
def test_incomplete_cache_is_rewritten(prepared, lost):
    before = data.load(image_size=16)
    kept = np.array(before.train.images)
    (Path(before.train.images.filename).parent / lost).unlink()
    np.testing.assert_array_equal(data.load(image_size=16).train.images, kept)


def test_cache_suffices_without_dataset_and_tfds(prepared, monkeypatch, capsys):
    before = data.load(image_size=16)
    (download.prepared_folder() / "dataset_info.json").unlink()
    monkeypatch.setattr(download, "builder", lambda: pytest.fail("TFDS was asked"))
    capsys.readouterr()
    for source in ("auto", data.REAL):
        pets = data.load(source, 16, limit=(3, 2))
        assert (pets.source, len(pets.train), len(pets.test)) == (data.REAL, 3, 2)
        np.testing.assert_array_equal(pets.train.images, before.train.images[:3])
    monkeypatch.setattr(download, "problem_for_tfds", lambda url: download.NO_NETWORK)
    message = capsys.readouterr().out  # the folder may be mistyped
    assert os.environ["TFDS_DATA_DIR"] in message and str(data.cache_folder()) in message
    assert data.load(image_size=32, limit=(1, 1)).source == data.SYNTHETIC  # another size


def test_cache_folder_follows_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "here"))
    assert data.cache_folder() == tmp_path / "here"
    monkeypatch.delenv("LABKIT_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data.cache_folder() == tmp_path / ".cache" / "labkit"


def test_two_processes_load_concurrently(folders):
    code = "from labkit import data; print(data.load('synthetic', 32, (40, 10)).train.images.sum())"
    calls = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    sums = [call.communicate()[0].strip() for call in calls]
    assert [call.returncode for call in calls] == [0, 0]
    assert sums == [str(data.load("synthetic", 32, (40, 10)).train.images.sum())] * 2
    assert len(files_in(data.cache_folder())) == 6


# --- writing the cache ---------------------------------------------------------------------


def test_saved_split_is_opened_unchanged(tmp_path):
    folder = tmp_path / "new" / "train"
    save(rows(3), folder, 3, 16)
    split = splits.open_split(folder)
    assert split.images[:, 0, 0, 0].tolist() == [0, 10, 20]
    assert split.table["species"].tolist() == ["cat", "dog", "cat"]
    assert files_in(tmp_path) == [
        "new/train/" + n for n in ("images.npy", "masks.npy", "table.json")
    ]


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_cache_is_readable_by_all_users(tmp_path):
    save(rows(1), tmp_path / "train", 1, 8)
    assert (tmp_path / "train").stat().st_mode & 0o055 == 0o055


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, ValueError])
def test_interrupted_save_leaves_no_files(tmp_path, error):
    def interrupted():
        yield from rows(2)
        assert files_in(tmp_path)  # writing has begun
        raise error("stop")

    with pytest.raises(error, match="stop"):
        save(interrupted(), tmp_path / "train", 3, 8)
    assert list(tmp_path.iterdir()) == []
    save(rows(3), tmp_path / "train", 3, 8)
    assert len(splits.open_split(tmp_path / "train")) == 3


@pytest.mark.parametrize("count", [0, 2, 4])
def test_save_rejects_wrong_image_count(tmp_path, count):
    with pytest.raises(ValueError, match=f"expected 3 images, got {count}"):
        save(rows(count), tmp_path / "train", 3, 8)
    assert list(tmp_path.iterdir()) == []


def test_save_rejects_invalid_example(tmp_path):
    bad = row(1)
    bad["segmentation_mask"][0, 0] = 0
    with pytest.raises(ValueError, match=r"holds \[0\]") as excinfo:
        save([(row(0), "beagle"), (bad, "beagle")], tmp_path / "train", 2, 8)
    assert "pet_1" in str(excinfo.value)
    assert list(tmp_path.iterdir()) == []


class FullDisk(io.RawIOBase):
    """A file whose writes fail as on a full disk."""

    def writable(self):
        return True

    def write(self, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def raise_disk_full(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fill_disk(patch, where):
    """Simulate a full disk at one step of a save."""
    if where == "before":
        patch.setattr(splits.shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    elif where == "folder":
        patch.setattr(splits.tempfile, "mkdtemp", raise_disk_full)
    elif where == "images":
        full = io.BufferedWriter(FullDisk(), 64)
        patch.setattr(splits, "open", lambda *args: full, raising=False)
    elif where == "table":
        patch.setattr(splits.Path, "write_text", raise_disk_full)
    elif where == "name":
        patch.setattr(splits.Path, "rename", raise_disk_full)


@pytest.mark.parametrize("where", ["before", "folder", "images", "table", "name"])
def test_full_disk_leaves_no_files(folders, monkeypatch, where):
    with monkeypatch.context() as patch:
        fill_disk(patch, where)
        with pytest.raises(
            OSError, match=r"cache in .*free some space, or set LABKIT_CACHE"
        ) as excinfo:
            data.load("synthetic", 32, (3, 2))
    assert str(data.cache_folder()) in str(excinfo.value)
    assert files_in(folders) == []
    assert not [path for path in folders.rglob("*") if path.name.startswith(".")]
    assert len(data.load("synthetic", 32, (3, 2)).train) == 3


def test_missing_disk_space_is_reported(folders, monkeypatch):
    usage = SimpleNamespace(free=3_000_000)
    monkeypatch.setattr(splits.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match="needs 4 MB and 3 MB are free"):
        save(rows(0), data.cache_folder() / "train", 1000, 32)
    usage.free = 5_000_000
    save(rows(3), data.cache_folder() / "train", 3, 32)


def test_cache_folder_that_is_file_raises(folders):
    data.cache_folder().write_text("not a folder")
    with pytest.raises(OSError, match="can't write the image cache in .*set LABKIT_CACHE"):
        data.load("synthetic", 32, (3, 2))


def test_two_threads_save_same_split(tmp_path):
    both_are_writing = threading.Barrier(2)

    def save_slowly(number):
        def slow():
            yield from rows(2)
            both_are_writing.wait(timeout=60)
            yield rows(3)[2]

        save(slow(), tmp_path / "train", 3, 8)
        return splits.open_split(tmp_path / "train")

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(save_slowly, range(2))
    assert_splits_equal(first, second)
    assert first.images[:, 0, 0, 0].tolist() == [0, 10, 20]
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_slower_save_keeps_faster_copy(tmp_path):
    folder = tmp_path / "train"

    inodes = []

    def overtaken():
        yield from rows(3)
        save(rows(3), folder, 3, 8)
        inodes.append((folder / "images.npy").stat().st_ino)

    save(overtaken(), folder, 3, 8)
    assert (folder / "images.npy").stat().st_ino == inodes[0]
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


# --- parts of a split ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("indices", "numbers"),
    [
        (slice(2), [0, 1]),
        (slice(None, None, 2), [0, 2, 4]),
        ([3, 0, 3], [3, 0, 3]),
        (np.array([4]), [4]),
        (np.array([False, True, False, True, False]), [1, 3]),
    ],
)
def test_select_applies_to_images_masks_and_table(make_split, indices, numbers):
    part = make_split(5).select(indices)
    assert len(part) == len(numbers)
    assert part.images[:, 0, 0, 0].tolist() == numbers
    assert part.masks[:, 0, 0, 0].tolist() == [number % 3 for number in numbers]
    assert part.table["name"].tolist() == [f"pet_{number}" for number in numbers]
    assert part.table["species"].tolist() == [("cat", "dog")[number % 2] for number in numbers]


@pytest.mark.parametrize("indices", [slice(0), np.array([], int), np.zeros(5, bool), slice(9, 12)])
def test_empty_selection_raises(make_split, indices):
    with pytest.raises(ValueError, match="none of 5 images is selected: select at least one"):
        make_split(5).select(indices)


@properties
@given(count=st.integers(2, 120), share=st.floats(0.01, 0.99))
def test_stratify_partitions_split(make_split, count, share):
    if count * share < 1.01:
        return  # rejected: see below
    train, val = data.stratify(make_split(count, 1), share)
    parts = [part.images[:, 0, 0, 0].tolist() for part in (train, val)]
    assert sorted(parts[0] + parts[1]) == list(range(count))
    assert parts == [sorted(part) for part in parts]  # the split's order is kept
    assert abs(len(val) - count * share) <= 1.01
    for breed in np.unique(val.table["breed"]):
        kept, held_out = (np.sum(part.table["breed"] == breed) for part in (train, val))
        assert abs(held_out - share * (kept + held_out)) <= 1.01  # each breed contributes its share
    repeated = data.stratify(make_split(count, 1), share)
    assert_splits_equal(train, repeated[0])
    assert_splits_equal(val, repeated[1])


def test_stratify_holds_out_share_of_each_breed(make_split):
    train, val = data.stratify(make_split(80), 0.1)  # 20 images of each of 4 breeds
    breeds, counts = np.unique(val.table["breed"], return_counts=True)
    assert len(breeds) == 4 and counts.tolist() == [2] * 4
    assert len(train) == 72


def test_stratify_with_few_images_per_breed(make_split):
    train, val = data.stratify(make_split(12), 0.1)  # three of each breed
    assert (len(train), len(val)) == (11, 1)


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, 10, float("nan")])
def test_invalid_share_raises(make_split, share):
    with pytest.raises(ValueError, match=f"share is {share}: use a number between 0 and 1"):
        data.stratify(make_split(8), share)


@pytest.mark.parametrize(("count", "share"), [(1, 0.5), (8, 0.1)])
def test_share_below_one_image_raises(make_split, count, share):
    with pytest.raises(ValueError, match=f"share {share} of {count} images is no image: use"):
        data.stratify(make_split(count), share)


def test_hold_out_uses_validation_file(make_split):
    names = (Path(data.__file__).parent / "validation.txt").read_text().split()
    six = make_split(6)
    table = {"name": np.array([*"ab", names[7], *"cd", names[0]])}
    split = data.Split(six.images, six.masks, table)
    train, val = data.hold_out(split)
    assert val.table["name"].tolist() == [names[7], names[0]]
    assert train.table["name"].tolist() == [*"abcd"]


def test_validation_file_is_stratified_tenth(real_data):
    train = data.load(data.REAL).train
    kept, val = data.hold_out(train)
    assert (len(kept), len(val)) == (3312, 368)
    breeds, counts = np.unique(val.table["breed"], return_counts=True)
    assert len(breeds) == 37 and set(counts) <= {9, 10}
    assert sorted(val.table["name"]) == sorted(data.stratify(train)[1].table["name"])


def test_hold_out_stratifies_other_splits(make_split):
    train, val = data.hold_out(make_split(80))
    assert_splits_equal(val, data.stratify(make_split(80))[1])
    assert len(train) == 72


def test_hold_out_needs_no_table_and_two_photographs(make_split):
    two = make_split(2)
    assert [len(part) for part in data.hold_out(data.Split(two.images, two.masks, {}))] == [1, 1]
    with pytest.raises(ValueError, match="one photograph can't be divided: use at least two"):
        data.hold_out(make_split(1))


# --- raw examples --------------------------------------------------------------------------


def test_synthetic_examples_match_tfds_schema(folders):
    dataset = data.examples("test", "synthetic", count=3)
    kinds = dataset.element_spec
    assert {key: kind.dtype.name for key, kind in kinds.items()} == {
        "file_name": "string",
        "head_bbox": "float32",
        "image": "uint8",
        "label": "int64",
        "segmentation_mask": "uint8",
        "species": "int64",
    }
    assert kinds["image"].shape == [None, None, 3]
    assert kinds["segmentation_mask"].shape == [None, None, 1]
    assert len(dataset) == 3
    for example, drawn in zip(
        dataset.as_numpy_iterator(), synthetic.examples(3, split="test"), strict=True
    ):
        np.testing.assert_array_equal(example["image"], drawn["image"])
        np.testing.assert_array_equal(example["segmentation_mask"], drawn["segmentation_mask"])
        assert example["file_name"].decode() == drawn["file_name"]
        assert set(np.unique(example["segmentation_mask"])) == {1, 2, 3}


@pytest.mark.parametrize(("split", "count"), [("train", 1000), ("test", 300)])
def test_examples_default_to_all_synthetic(folders, split, count):
    assert len(data.examples(split, "synthetic")) == count


@pytest.mark.parametrize(("count", "numbers"), [(None, [0, 1, 2]), (2, [0, 1]), (5000, [0, 1, 2])])
def test_real_examples_come_from_tfds(prepared, count, numbers):
    raw = data.examples("train", count=count).as_numpy_iterator()
    assert [example["file_name"].decode() for example in raw] == [f"pet_{n}.jpg" for n in numbers]


def test_examples_fall_back_to_synthetic_without_dataset(prepared, monkeypatch, capsys):
    data.load()
    shutil.rmtree(download.prepared_folder())
    monkeypatch.setattr(download, "problem_for_tfds", lambda url: download.NO_NETWORK)
    assert data.load().source == "oxford_iiit_pet"
    assert len(list(data.examples("train", count=2))) == 2
    assert "Using synthetic pets" in capsys.readouterr().out
    with pytest.raises(ConnectionError, match="set TFDS_DATA_DIR"):
        data.examples("train", "oxford_iiit_pet", count=2)


@pytest.mark.parametrize("split", ["val", "Train", "", None])
def test_unknown_split_raises(split):
    with pytest.raises(ValueError, match=f'split is {split!r}: use "train" or "test"'):
        data.examples(split, "synthetic")


@pytest.mark.parametrize("count", [0, -3])
def test_count_below_one_raises(count):
    with pytest.raises(ValueError, match=f"count is {count}: use a whole number of at least 1"):
        data.examples("train", "synthetic", count)


# --- real dataset, where available -----------------------------------------------------------

ALL_BACKGROUND = {
    *("Egyptian_Mau_162", "Egyptian_Mau_165", "Egyptian_Mau_196", "leonberger_18"),
    *("miniature_pinscher_14", "saint_bernard_15", "saint_bernard_108"),
}


@pytest.fixture(scope="module")
def pets(real_data):
    yield data.load("oxford_iiit_pet", image_size=128)
    shutil.rmtree(data.cache_folder())  # 0.5 GB


@pytest.mark.xdist_group("real data")
def test_real_dataset_has_official_splits(pets):
    assert (len(pets.train), len(pets.test)) == (3680, 3669)
    names = [set(split.table["name"]) for split in pets[:2]]
    assert len(names[0]) == 3680 and len(names[1]) == 3669 and not names[0] & names[1]
    assert len(np.unique(pets.train.table["breed"])) == 37


@pytest.mark.xdist_group("real data")
def test_real_masks_have_known_class_shares(pets):
    counts = np.bincount(pets.train.masks.ravel(), minlength=3)
    assert len(counts) == 3
    np.testing.assert_allclose(counts / counts.sum(), (0.300, 0.587, 0.114), atol=0.005)


@pytest.mark.xdist_group("real data")
def test_real_masks_that_are_all_background(pets):
    empty = (pets.train.masks == 1).all((1, 2, 3))
    assert set(pets.train.table["name"][empty]) == ALL_BACKGROUND
