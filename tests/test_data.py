"""The dataset: where it comes from, how one example and a split are made ready, what goes wrong."""

import errno
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from labkit import data, synthetic

properties = settings(deadline=None, max_examples=50)
BREEDS = ["Abyssinian", "beagle", "Bengal"]


def row(number, height=40, width=30):
    """A raw example as TFDS gives it: flat colour, a pet in the upper left quarter."""
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


class FakeBuilder:
    """Stands for the TFDS builder: three examples to train, two to test."""

    info = SimpleNamespace(features={"label": SimpleNamespace(names=BREEDS)})
    counts = {"train": 3, "test": 2}

    def __init__(self, error=None):
        self.error = error

    def download_and_prepare(self):
        if self.error:
            raise self.error
        splits = [
            {"name": name, "shardLengths": [str(count - 1), "1"], "numBytes": "100"}
            for name, count in self.counts.items()
        ]
        data.prepared_folder().mkdir(parents=True)
        path = data.prepared_folder() / "dataset_info.json"
        path.write_text(json.dumps({"splits": splits}))

    def as_dataset(self, split):
        split, _, last = split.removesuffix("]").partition("[:")
        first, count = {"train": 0, "test": 10}[split], int(last or self.counts[split])
        raw = [row(first + number, 40 + number, 30) for number in range(count)]
        encoded = [{**one, "file_name": one["file_name"].encode()} for one in raw]
        return SimpleNamespace(as_numpy_iterator=lambda: iter(encoded))


@pytest.fixture
def prepared(folders, monkeypatch):
    """The real dataset, as if TFDS had prepared it; a small one."""
    FakeBuilder().download_and_prepare()
    monkeypatch.setattr(data, "_builder", FakeBuilder)
    monkeypatch.setattr(data, "reachable", lambda url: pytest.fail("the network was asked"))


@pytest.fixture
def offline(folders, monkeypatch):
    monkeypatch.setattr(data, "_download", lambda: pytest.fail("a download was tried"))
    monkeypatch.setattr(data, "reachable", lambda url: False)


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def assert_same(one, other):
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.masks, other.masks)
    assert {key: column.tolist() for key, column in one.table.items()} == {
        key: column.tolist() for key, column in other.table.items()
    }


# --- masks ---------------------------------------------------------------------------------


@given(arrays.arrays(np.uint8, (3, 4, 1), elements=st.integers(1, 3)))
def test_labels_1_2_3_become_0_1_2(mask):
    before, normalised = mask.copy(), data.normalize_mask(mask)
    assert normalised.dtype == np.uint8
    np.testing.assert_array_equal(normalised, before.astype(int) - 1)
    np.testing.assert_array_equal(mask, before)


@pytest.mark.parametrize("dtype", ["int8", "int64", "float32", "float64"])
def test_labels_may_have_any_type_of_number(dtype):
    normalised = data.normalize_mask(np.array([[3, 1], [2, 2]], dtype))
    assert normalised.dtype == np.uint8 and normalised.tolist() == [[2, 0], [1, 1]]


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
def test_any_other_label_is_named_with_the_remedy(mask, named):
    with pytest.raises(ValueError, match=f"holds {named}: .* 1 pet, 2 background, 3 border.*near"):
        data.normalize_mask(mask)


# --- one example ---------------------------------------------------------------------------


def test_an_example_of_the_right_size_is_only_checked_and_renumbered():
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
def test_a_smaller_mask_has_each_label_at_its_place(blocks, high, wide):
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
def test_a_larger_mask_repeats_its_labels(labels, times):
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
def test_resizing_invents_no_label(height, width, values):
    labels = np.random.default_rng(0).choice(sorted(values), (height, width, 1))
    image, mask = data.prepare(np.zeros((height, width, 3), np.uint8), labels, 32)
    assert image.shape == (32, 32, 3) and mask.shape == (32, 32, 1)
    assert image.dtype == mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {value - 1 for value in values}


@properties
@given(height=st.integers(40, 200), width=st.integers(40, 200))
def test_image_and_mask_stay_in_the_same_place(height, width):
    labels = np.full((height, width, 1), 2, np.uint8)
    labels[height // 4 : height // 2, width // 3 : width] = 1
    image = np.where(labels == 1, 200, 50).astype(np.uint8).repeat(3, axis=-1)
    image, mask = data.prepare(image, labels, 40)
    is_pet = mask[..., 0] == 0
    assert np.mean((image[..., 1] > 125) != is_pet) < 0.06  # at the edges alone
    found = np.argwhere(is_pet).mean(0) + 0.5
    expected = 40 * np.argwhere(labels[..., 0] == 1).mean(0) / (height, width)
    np.testing.assert_allclose(found, expected, atol=1.2)


def test_a_smaller_image_takes_the_mean_of_what_it_covers():
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, ::2] = 200  # stripes, which a plain bilinear resize would turn into moire
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
def test_what_is_no_image_is_named_with_the_remedy(shape, dtype, named):
    with pytest.raises(ValueError, match=f"got {named}: open other pictures with .*read_image"):
        data.prepare(np.zeros(shape, dtype), np.ones((8, 8, 1), np.uint8), 8)


@pytest.mark.parametrize("shape", [(8, 8), (8, 9, 1), (9, 8, 1), (8, 8, 3), (4, 4, 1)])
def test_a_mask_of_another_shape_is_named_with_its_image(shape):
    with pytest.raises(ValueError) as said:
        data.prepare(np.zeros((8, 8, 3), np.uint8), np.ones(shape, np.uint8), 8)
    for part in (str(list(shape)), "[8, 8, 3]", "expected a mask of [8, 8, 1]"):
        assert part in str(said.value)


def test_a_mask_is_checked_before_it_is_resized():
    labels = np.ones((40, 40, 1), np.uint8)
    labels[3, 3] = 0  # resizing would lose this pixel
    with pytest.raises(ValueError, match=r"holds \[0\]"):
        data.prepare(np.zeros((40, 40, 3), np.uint8), labels, 8)


@pytest.mark.parametrize("image_size", [0, -1, 64.0, "64", None, (64, 64)])
def test_a_size_that_is_no_whole_number_of_pixels_is_named(image_size, folders):
    example = np.zeros((8, 8, 3), np.uint8), np.ones((8, 8, 1), np.uint8)
    for call in (
        lambda: data.prepare(*example, image_size),
        lambda: data.read_image("never.opened", image_size),
        lambda: data.load("synthetic", image_size),
    ):
        with pytest.raises(ValueError) as said:
            call()
        assert f"image_size is {image_size!r}: use a whole number" in str(said.value)


# --- a reader's own picture ----------------------------------------------------------------


def picture_file(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    file.seek(0)
    return file


RED = (200, 30, 40)


@pytest.mark.parametrize(
    ("mode", "colour", "kind", "expected"),
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
    ],
)
def test_a_picture_of_any_kind_becomes_rgb(mode, colour, kind, expected):
    image = data.read_image(picture_file(Image.new(mode, (30, 20), colour), kind), 16)
    assert image.shape == (16, 16, 3) and image.dtype == np.uint8
    np.testing.assert_allclose(image, np.broadcast_to(expected, image.shape), atol=3)


@pytest.mark.parametrize("transparent", [None, 1])
def test_a_palette_becomes_its_colours_and_its_transparent_one_white(transparent):
    picture = Image.new("P", (20, 20), 1)
    picture.putpalette([0, 0, 0, *RED])
    options = {} if transparent is None else {"transparency": transparent}
    image = data.read_image(picture_file(picture, "GIF", **options), 8)
    expected = RED if transparent is None else (255, 255, 255)
    np.testing.assert_array_equal(image, np.broadcast_to(expected, image.shape))


def test_a_picture_of_one_pixel_fills_the_image():
    image = data.read_image(picture_file(Image.new("RGB", (1, 1), RED)), 8)
    np.testing.assert_array_equal(image, np.broadcast_to(RED, (8, 8, 3)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_the_camera_noted(orientation):
    stands = Image.new("RGB", (16, 16), "black")
    stands.paste("white", (0, 0, 8, 4))  # at the top, left
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose that the camera applied
    stored = stands.transpose(undo[orientation]) if orientation > 1 else stands
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = data.read_image(picture_file(stored, exif=exif), 16)
    np.testing.assert_array_equal(image, np.asarray(stands))


def test_a_picture_may_be_a_path_or_an_open_file(tmp_path):
    path = tmp_path / "pet.png"
    path.write_bytes(picture_file(Image.new("RGB", (9, 7), RED)).getvalue())
    with open(path, "rb") as file:
        images = [data.read_image(given, 8) for given in (path, str(path), file)]
    assert all((image == RED).all() for image in images)


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8))
STORED = {kind: picture_file(NOISE, kind).getvalue() for kind in ("PNG", "JPEG", "GIF", "BMP")}


@settings(deadline=None, max_examples=150)
@given(kind=st.sampled_from(sorted(STORED)), share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_picture_is_refused_wherever_it_ends(kind, share):
    whole = STORED[kind]
    try:
        image = data.read_image(io.BytesIO(whole[: int(share * len(whole))]), 8)
    except ValueError as said:
        assert "is damaged" in str(said) or "is not a picture" in str(said)
    else:  # nothing but an end mark was cut off
        assert share > 0.9
        np.testing.assert_array_equal(image, data.read_image(io.BytesIO(whole), 8))


def test_a_damaged_picture_is_refused_whatever_pillow_raises():
    """One byte changed, at each place of the first 150: some give SyntaxError, others OSError."""
    exif = Image.Exif()
    exif[0x0112] = 6
    whole, causes = picture_file(NOISE, exif=exif).getvalue(), set()
    for place in range(150):
        damaged = whole[:place] + bytes([whole[place] ^ 0x81]) + whole[place + 1 :]
        try:
            assert data.read_image(io.BytesIO(damaged), 8).shape == (8, 8, 3)
        except ValueError as said:
            assert "is damaged" in str(said) or "is not a picture" in str(said)
            causes.add(type(said.__cause__))
    assert len(causes) > 1


@pytest.mark.parametrize("error", [SyntaxError, TypeError, ValueError, OSError, MemoryError])
def test_any_error_of_pillow_is_told_as_damage(monkeypatch, error):
    def broken(picture):
        raise error("broken chunk")

    monkeypatch.setattr(data.ImageOps, "exif_transpose", broken)
    with pytest.raises(ValueError, match=r"damaged or too large \(broken chunk\): save it"):
        data.read_image(picture_file(NOISE), 8)


def test_a_truncated_picture_is_named_with_the_remedy(tmp_path):
    path = tmp_path / "pet.jpg"
    path.write_bytes(STORED["JPEG"][: len(STORED["JPEG"]) // 2])
    with pytest.raises(ValueError, match=r"pet\.jpg is damaged or too large .*save it again"):
        data.read_image(path)


@pytest.mark.parametrize("content", [b"", b"a text about pets", b"<svg/>"])
def test_a_file_that_is_no_picture_is_named_with_the_remedy(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"notes\.txt is not a picture .*use JPEG or PNG"):
        data.read_image(path)


def test_a_missing_picture_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.jpg"):
        data.read_image(tmp_path / "nowhere.jpg")


def test_a_picture_that_would_fill_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match="damaged or too large"):
        data.read_image(picture_file(Image.new("RGB", (9, 9))))


# --- where the dataset comes from ----------------------------------------------------------


def test_synthetic_pets_need_no_network(folders, monkeypatch):
    monkeypatch.setattr(data, "reachable", lambda url: pytest.fail("the network was asked"))
    assert data.find_source("synthetic") == "synthetic"


@pytest.mark.parametrize("source", ["auto", "oxford_iiit_pet"])
def test_a_prepared_dataset_is_taken_without_asking_the_network(prepared, source):
    assert data.find_source(source) == "oxford_iiit_pet"


def test_the_real_dataset_or_an_error(offline):
    with pytest.raises(ConnectionError) as said:
        data.load("oxford_iiit_pet")
    for part in (str(data.prepared_folder()), data.HOST, "set TFDS_DATA_DIR", "network"):
        assert part in str(said.value)


def test_auto_falls_back_on_synthetic_pets_and_says_so(offline, capsys):
    pets = data.load(image_size=32, limit=(3, 2))
    assert pets.source == "synthetic" and (len(pets.train), len(pets.test)) == (3, 2)
    said = capsys.readouterr().out
    assert said.startswith("Using synthetic pets: ") and "TFDS_DATA_DIR" in said


def test_the_environment_says_what_auto_means(prepared, monkeypatch, capsys):
    monkeypatch.setenv("LABKIT_DATA", "synthetic")
    assert data.find_source() == "synthetic"
    assert data.find_source("oxford_iiit_pet") == "oxford_iiit_pet"
    assert capsys.readouterr().out == ""  # it was asked for, so there is nothing to explain


def test_the_environment_may_insist_on_the_real_dataset(offline, monkeypatch):
    monkeypatch.setenv("LABKIT_DATA", "oxford_iiit_pet")
    with pytest.raises(ConnectionError):
        data.find_source()


@pytest.mark.parametrize("source", ["real", "", None, "Synthetic"])
def test_an_unknown_source_is_named(source):
    with pytest.raises(ValueError, match=f"source is {source!r}: use one of auto, oxford_iiit"):
        data.load(source)


def test_an_unknown_source_in_the_environment_is_named_with_its_variable(monkeypatch):
    monkeypatch.setenv("LABKIT_DATA", "real")
    with pytest.raises(ValueError, match="LABKIT_DATA is 'real': use one of auto, oxford_iiit"):
        data.load()


def test_a_reachable_host_means_a_download_once(folders, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(data, "reachable", lambda url: asked.append(url) or True)
    monkeypatch.setattr(data, "_builder", FakeBuilder)
    assert data.find_source() == data.find_source("oxford_iiit_pet") == "oxford_iiit_pet"
    assert asked == [data.HOST]
    assert f"Downloading oxford_iiit_pet to {data.prepared_folder()}" in capsys.readouterr().out


def download_errors():
    """What TFDS raises, made late: importing it takes seconds."""
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
    from tensorflow_datasets.core.download.util import DownloadError

    again = (ConnectionError, "Run this again", "complete")
    return {
        "another file": (NonMatchingChecksumError("images"), ValueError, "delete {}", "run this"),
        "lost connection": (ConnectionResetError("reset"), *again),
        "time-out": (TimeoutError("too late"), *again),
        "full disk": (OSError(errno.ENOSPC, "No space left"), *again),
        "moved host": (DownloadError("HTTP code: 404"), *again),
    }


@pytest.mark.parametrize(
    "case", ["another file", "lost connection", "time-out", "full disk", "moved host"]
)
@pytest.mark.parametrize("source", ["auto", "oxford_iiit_pet"])
def test_a_download_that_fails_says_what_to_do(folders, monkeypatch, source, case):
    cause, kind, *remedies = download_errors()[case]
    monkeypatch.setattr(data, "reachable", lambda url: True)
    monkeypatch.setattr(data, "_builder", lambda: FakeBuilder(cause))
    with pytest.raises(kind) as said:
        data.find_source(source)
    assert str(cause) in str(said.value) and said.value.__cause__ is cause
    for remedy in remedies:
        assert remedy.format(folders / "tfds_data_dir" / "downloads") in str(said.value)


def test_prepared_data_is_looked_for_where_tfds_puts_it(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert data.prepared_folder() == tmp_path / "oxford_iiit_pet" / "4.0.0"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", "~/pets")
    assert data.prepared_folder() == tmp_path / "pets" / "oxford_iiit_pet" / "4.0.0"
    monkeypatch.delenv("TFDS_DATA_DIR")
    expected = tmp_path / "tensorflow_datasets" / "oxford_iiit_pet" / "4.0.0"
    assert data.prepared_folder() == expected


# --- is a server there? --------------------------------------------------------------------


@contextmanager
def server(answer):
    """A web server on this machine that gives one answer to everything; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            answer(self)

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}/"
        finally:
            running.shutdown()
            thread.join()


def answer_with(status):
    def answer(request):
        request.send_response(status)
        request.end_headers()

    return answer


@pytest.mark.parametrize("status", [200, 403, 404, 405, 500])
def test_a_server_is_reachable_whatever_it_answers(status):
    with server(answer_with(status)) as address:
        assert data.reachable(address) is True


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-OpenSSH_9\r\n\r\n", b"220 mail is here\r\n\r\n"])
def test_what_is_no_web_server_is_not_reachable(said):
    with server(lambda request: request.wfile.write(said)) as address:
        assert data.reachable(address) is False


@contextmanager
def listening(backlog):
    with socket.socket() as waiting:
        waiting.bind(("127.0.0.1", 0))
        if backlog is not None:
            waiting.listen(backlog)
        yield f"http://127.0.0.1:{waiting.getsockname()[1]}/"


def test_a_closed_port_is_not_reachable():
    with listening(None) as address:
        assert data.reachable(address) is False


def test_a_server_that_never_answers_is_given_up():
    with listening(1) as address:
        assert data.reachable(address, seconds=0.2) is False


def test_a_host_that_nobody_knows_is_not_reachable():
    assert data.reachable("https://nowhere.invalid") is False


# --- load ----------------------------------------------------------------------------------


def test_load_gives_compact_arrays_and_a_table(folders):
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


def test_load_reads_the_real_dataset_in_its_order(prepared):
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


def test_a_limit_takes_the_first_images(prepared):
    whole, part = data.load(image_size=16), data.load(image_size=16, limit=(2, 1))
    assert_same(part.train, whole.train.select(slice(2)))
    assert_same(part.test, whole.test.select(slice(1)))
    assert [len(split) for split in data.load(image_size=16, limit=(99, 99))[:2]] == [3, 2]


@pytest.mark.parametrize("limit", [(0, 5), (5, 0), (-1, 3), (5,), 5, (5, 5, 5)])
def test_a_limit_that_leaves_a_split_empty_is_named(limit):
    with pytest.raises(ValueError) as said:
        data.load("synthetic", limit=limit)
    assert f"limit is {limit}: use (train, test), at least one image each" in str(said.value)


def test_arrays_are_read_from_disk_and_cannot_be_changed(folders):
    images = data.load("synthetic", 32, (2, 2)).train.images
    assert isinstance(images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_the_second_load_only_opens_what_the_first_wrote(prepared, monkeypatch):
    first = data.load(image_size=16)
    monkeypatch.setattr(data, "prepare", lambda *args: pytest.fail("an image was read again"))
    monkeypatch.setattr(data, "_builder", lambda: pytest.fail("TFDS was asked again"))
    second = data.load(image_size=16)
    assert_same(first.train, second.train)
    assert_same(first.test, second.test)
    assert second.train.images.filename == first.train.images.filename


def test_another_size_source_or_count_has_its_own_arrays(prepared):
    calls = [("auto", 16), ("auto", 32), ("synthetic", 32, (2, 2)), ("synthetic", 32, (3, 2))]
    files = {Path(data.load(*call).train.images.filename) for call in calls}
    assert len(files) == 4
    assert all(data.cache_folder() in file.parents for file in files)


def test_synthetic_pets_are_drawn_anew_when_the_drawing_changes(folders, monkeypatch):
    before = data.load("synthetic", 32, (2, 2)).train.images.filename
    changed = folders / "synthetic.py"
    changed.write_text(Path(synthetic.__file__).read_text("utf-8") + "\n# another line\n")
    monkeypatch.setattr(synthetic, "__file__", str(changed))
    assert data.load("synthetic", 32, (2, 2)).train.images.filename != before


@pytest.mark.parametrize("lost", ["images.npy", "masks.npy", "table.json"])
def test_a_cache_that_lost_a_file_is_written_anew(prepared, lost):
    before = data.load(image_size=16)
    kept = np.array(before.train.images)
    (Path(before.train.images.filename).parent / lost).unlink()
    np.testing.assert_array_equal(data.load(image_size=16).train.images, kept)


def test_the_cache_will_do_where_the_dataset_and_tensorflow_are_not(prepared, monkeypatch):
    before = data.load(image_size=16)
    (data.prepared_folder() / "dataset_info.json").unlink()
    monkeypatch.setattr(data, "_builder", lambda: pytest.fail("TFDS was asked"))
    for source in ("auto", data.REAL):
        pets = data.load(source, 16, limit=(3, 2))
        assert (pets.source, len(pets.train), len(pets.test)) == (data.REAL, 3, 2)
        np.testing.assert_array_equal(pets.train.images, before.train.images[:3])
    monkeypatch.setattr(data, "reachable", lambda url: False)
    assert data.load(image_size=32, limit=(1, 1)).source == data.SYNTHETIC  # another size


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "here"))
    assert data.cache_folder() == tmp_path / "here"
    monkeypatch.delenv("LABKIT_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data.cache_folder() == tmp_path / ".cache" / "labkit"


def test_two_processes_may_load_at_the_same_time(folders):
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


def test_what_was_saved_is_what_is_opened(tmp_path):
    folder = tmp_path / "new" / "train"
    data.save_split(rows(3), folder, 3, 16)
    split = data.open_split(folder)
    assert split.images[:, 0, 0, 0].tolist() == [0, 10, 20]
    assert split.table["species"].tolist() == ["cat", "dog", "cat"]
    assert files_in(tmp_path) == [
        "new/train/" + n for n in ("images.npy", "masks.npy", "table.json")
    ]


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_a_shared_cache_can_be_read_by_all(tmp_path):
    data.save_split(rows(1), tmp_path / "train", 1, 8)
    assert (tmp_path / "train").stat().st_mode & 0o055 == 0o055


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, ValueError])
def test_an_interrupted_save_leaves_nothing_and_a_later_one_works(tmp_path, error):
    def interrupted():
        yield from rows(2)
        assert files_in(tmp_path)  # it has begun to write
        raise error("stop")

    with pytest.raises(error, match="stop"):
        data.save_split(interrupted(), tmp_path / "train", 3, 8)
    assert list(tmp_path.iterdir()) == []
    data.save_split(rows(3), tmp_path / "train", 3, 8)
    assert len(data.open_split(tmp_path / "train")) == 3


@pytest.mark.parametrize("came", [0, 2, 4])
def test_a_save_of_fewer_or_more_images_than_announced_is_refused(tmp_path, came):
    with pytest.raises(ValueError, match=f"{came} images came where 3 were announced"):
        data.save_split(rows(came), tmp_path / "train", 3, 8)
    assert list(tmp_path.iterdir()) == []


def test_an_example_that_is_none_is_refused(tmp_path):
    bad = row(1)
    bad["segmentation_mask"][0, 0] = 0
    with pytest.raises(ValueError, match=r"holds \[0\]") as said:
        data.save_split([(row(0), "beagle"), (bad, "beagle")], tmp_path / "train", 2, 8)
    assert "pet_1" in str(said.value)
    assert list(tmp_path.iterdir()) == []


class FullDisk(io.RawIOBase):
    """A file that nothing fits into, as an open file behaves when the disk is full."""

    def writable(self):
        return True

    def write(self, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fail(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fill_disk(patch, where):
    """Let the disk be full at one moment of a save."""
    if where == "before":
        patch.setattr(data.shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    elif where == "folder":
        patch.setattr(data.tempfile, "mkdtemp", fail)
    elif where == "images":
        full = io.BufferedWriter(FullDisk(), 64)
        patch.setattr(data, "open", lambda *args: full, raising=False)
    elif where == "table":
        patch.setattr(data.Path, "write_text", fail)
    elif where == "name":
        patch.setattr(data.Path, "rename", fail)


@pytest.mark.parametrize("where", ["before", "folder", "images", "table", "name"])
def test_a_full_disk_leaves_nothing_and_a_later_load_works(folders, monkeypatch, where):
    with monkeypatch.context() as patch:
        fill_disk(patch, where)
        with pytest.raises(OSError, match=r"cache in .*free some space, or set LABKIT_CACHE") as no:
            data.load("synthetic", 32, (3, 2))
    assert str(data.cache_folder()) in str(no.value)
    assert files_in(folders) == []
    assert not [path for path in folders.rglob("*") if path.name.startswith(".")]
    assert len(data.load("synthetic", 32, (3, 2)).train) == 3


def test_the_space_that_is_missing_is_told(folders, monkeypatch):
    usage = SimpleNamespace(free=3_000_000)
    monkeypatch.setattr(data.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match="needs 4 MB and 3 MB are free"):
        data.save_split(rows(0), data.cache_folder() / "train", 1000, 32)
    usage.free = 5_000_000
    data.save_split(rows(3), data.cache_folder() / "train", 3, 32)


def test_a_cache_folder_that_is_a_file_is_named_with_the_remedy(folders):
    data.cache_folder().write_text("not a folder")
    with pytest.raises(OSError, match="can't write the image cache in .*set LABKIT_CACHE"):
        data.load("synthetic", 32, (3, 2))


def test_two_threads_may_save_the_same_split(tmp_path):
    both_are_writing = threading.Barrier(2)

    def save(number):
        def slow():
            yield from rows(2)
            both_are_writing.wait(timeout=60)
            yield rows(3)[2]

        data.save_split(slow(), tmp_path / "train", 3, 8)
        return data.open_split(tmp_path / "train")

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(save, range(2))
    assert_same(one, other)
    assert one.images[:, 0, 0, 0].tolist() == [0, 10, 20]
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_the_slower_of_two_saves_leaves_the_copy_of_the_faster_one(tmp_path):
    folder = tmp_path / "train"

    there = []

    def overtaken():
        yield from rows(3)
        data.save_split(rows(3), folder, 3, 8)
        there.append((folder / "images.npy").stat().st_ino)

    data.save_split(overtaken(), folder, 3, 8)
    assert (folder / "images.npy").stat().st_ino == there[0]
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
def test_select_takes_images_masks_and_table_alike(make_split, indices, numbers):
    part = make_split(5).select(indices)
    assert len(part) == len(numbers)
    assert part.images[:, 0, 0, 0].tolist() == numbers
    assert part.masks[:, 0, 0, 0].tolist() == [number % 3 for number in numbers]
    assert part.table["name"].tolist() == [f"pet_{number}" for number in numbers]
    assert part.table["species"].tolist() == [("cat", "dog")[number % 2] for number in numbers]


@pytest.mark.parametrize("indices", [slice(0), np.array([], int), np.zeros(5, bool), slice(9, 12)])
def test_an_empty_selection_is_refused(make_split, indices):
    with pytest.raises(ValueError, match="selection of 5 images is empty: select at least one"):
        make_split(5).select(indices)


@properties
@given(count=st.integers(2, 120), share=st.floats(0.01, 0.99))
def test_held_out_images_are_never_trained_on(make_split, count, share):
    if count * share < 1.01:
        return  # refused: see below
    train, val = data.stratify(make_split(count, 1), share)
    parts = [part.images[:, 0, 0, 0].tolist() for part in (train, val)]
    assert sorted(parts[0] + parts[1]) == list(range(count))
    assert parts == [sorted(part) for part in parts]  # the split's order is kept
    assert abs(len(val) - count * share) <= 1.01
    for breed in np.unique(val.table["breed"]):
        there, held = (np.sum(part.table["breed"] == breed) for part in (train, val))
        assert abs(held - share * (there + held)) <= 1.01  # each breed gives its share
    again = data.stratify(make_split(count, 1), share)
    assert_same(train, again[0])
    assert_same(val, again[1])


def test_each_breed_gives_its_share(make_split):
    train, val = data.stratify(make_split(80), 0.1)  # 20 images of each of 4 breeds
    breeds, counts = np.unique(val.table["breed"], return_counts=True)
    assert len(breeds) == 4 and counts.tolist() == [2] * 4
    assert len(train) == 72


def test_breeds_of_few_images_still_give_a_validation_split(make_split):
    train, val = data.stratify(make_split(12), 0.1)  # three of each breed
    assert (len(train), len(val)) == (11, 1)


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, 10, float("nan")])
def test_a_share_that_is_none_is_named(make_split, share):
    with pytest.raises(ValueError, match=f"share is {share}: use a number between 0 and 1"):
        data.stratify(make_split(8), share)


@pytest.mark.parametrize(("count", "share"), [(1, 0.5), (8, 0.1)])
def test_a_share_of_less_than_one_image_is_an_error(make_split, count, share):
    with pytest.raises(ValueError, match=f"share {share} of {count} images is less than one: use"):
        data.stratify(make_split(count), share)


def test_the_validation_split_of_the_real_dataset_is_that_of_the_file(make_split):
    names = (Path(data.__file__).parent / "validation.txt").read_text().split()
    six = make_split(6)
    table = {"name": np.array([*"ab", names[7], *"cd", names[0]])}
    split = data.Split(six.images, six.masks, table)
    train, val = data.hold_out(split)
    assert val.table["name"].tolist() == [names[7], names[0]]
    assert train.table["name"].tolist() == [*"abcd"]


def test_the_file_of_validation_images_is_a_tenth_of_each_breed(real_data):
    train = data.load(data.REAL).train
    kept, val = data.hold_out(train)
    assert (len(kept), len(val)) == (3312, 368)
    breeds, counts = np.unique(val.table["breed"], return_counts=True)
    assert len(breeds) == 37 and set(counts) <= {9, 10}
    assert sorted(val.table["name"]) == sorted(data.stratify(train)[1].table["name"])


def test_other_splits_are_parted_by_breed(make_split):
    train, val = data.hold_out(make_split(80))
    assert_same(val, data.stratify(make_split(80))[1])
    assert len(train) == 72


# --- raw examples --------------------------------------------------------------------------


def test_raw_synthetic_examples_come_as_tfds_gives_real_ones(folders):
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
    for one, drawn in zip(
        dataset.as_numpy_iterator(), synthetic.examples(3, split="test"), strict=True
    ):
        np.testing.assert_array_equal(one["image"], drawn["image"])
        np.testing.assert_array_equal(one["segmentation_mask"], drawn["segmentation_mask"])
        assert one["file_name"].decode() == drawn["file_name"]
        assert set(np.unique(one["segmentation_mask"])) == {1, 2, 3}


@pytest.mark.parametrize(("split", "count"), [("train", 1000), ("test", 300)])
def test_without_a_count_all_synthetic_examples_come(folders, split, count):
    assert len(data.examples(split, "synthetic")) == count


@pytest.mark.parametrize(("count", "numbers"), [(None, [0, 1, 2]), (2, [0, 1])])
def test_raw_real_examples_are_those_of_tfds(prepared, count, numbers):
    raw = data.examples("train", count=count).as_numpy_iterator()
    assert [one["file_name"].decode() for one in raw] == [f"pet_{n}.jpg" for n in numbers]


def test_drawn_examples_stand_in_where_only_the_cache_is(prepared, monkeypatch, capsys):
    data.load()
    shutil.rmtree(data.prepared_folder())
    monkeypatch.setattr(data, "reachable", lambda url: False)
    assert data.load().source == "oxford_iiit_pet"
    assert len(list(data.examples("train", count=2))) == 2
    assert "Using synthetic pets" in capsys.readouterr().out
    with pytest.raises(ConnectionError, match="set TFDS_DATA_DIR"):
        data.examples("train", "oxford_iiit_pet", count=2)


@pytest.mark.parametrize("split", ["val", "Train", "", None])
def test_an_unknown_split_is_named(split):
    with pytest.raises(ValueError, match=f'split is {split!r}: use "train" or "test"'):
        data.examples(split, "synthetic")


@pytest.mark.parametrize("count", [0, -3])
def test_a_count_below_one_is_named(count):
    with pytest.raises(ValueError, match=f"count is {count}: use a whole number of at least 1"):
        data.examples("train", "synthetic", count)


# --- the real dataset, where it is -----------------------------------------------------------

ALL_BACKGROUND = {
    *("Egyptian_Mau_162", "Egyptian_Mau_165", "Egyptian_Mau_196", "leonberger_18"),
    *("miniature_pinscher_14", "saint_bernard_15", "saint_bernard_108"),
}


@pytest.fixture(scope="module")
def pets(real_data):
    yield data.load("oxford_iiit_pet", image_size=128)
    shutil.rmtree(data.cache_folder())  # 0.5 GB


@pytest.mark.xdist_group("real data")
def test_the_real_dataset_has_its_official_splits(pets):
    assert (len(pets.train), len(pets.test)) == (3680, 3669)
    names = [set(split.table["name"]) for split in pets[:2]]
    assert len(names[0]) == 3680 and len(names[1]) == 3669 and not names[0] & names[1]
    assert len(np.unique(pets.train.table["breed"])) == 37


@pytest.mark.xdist_group("real data")
def test_the_real_masks_have_the_known_shares(pets):
    counts = np.bincount(pets.train.masks.ravel(), minlength=3)
    assert len(counts) == 3
    np.testing.assert_allclose(counts / counts.sum(), (0.300, 0.587, 0.114), atol=0.005)


@pytest.mark.xdist_group("real data")
def test_seven_real_masks_are_known_to_be_all_background(pets):
    empty = (pets.train.masks == 1).all((1, 2, 3))
    assert set(pets.train.table["name"][empty]) == ALL_BACKGROUND
