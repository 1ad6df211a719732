"""Datasets in folders: pairs, values of masks, sizes, tiles, and what is wrong with them."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from labkit import cells, data, folders
from labkit.classes import IGNORE, Classes

NAMES = ("background", "cell", "nucleus", "dividing")
VALUES = {  # what tools write for the classes 0 to 3
    "numbers": (0, 1, 2, 3),
    "from 1": (1, 2, 3, 4),
    "gray": (0, 85, 170, 255),
}
COLORS = ((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255))


@pytest.fixture(autouse=True)
def own_cache(folders):
    """Empty folders for each test."""


@pytest.fixture
def place(tmp_path):
    """An empty folder with the folders "images" and "masks"."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    return tmp_path


def quarters(height=24, width=32, count=4):
    """A mask of ``count`` vertical stripes, uint8 ``[H, W]``."""
    return np.repeat((np.arange(width) * count // width)[None], height, 0).astype("uint8")


def add(place, name, mask=None, image=None, suffix=".png", mask_name=None):
    """Write an image, whose brightness shows its number, and its mask (an array or a picture)."""
    if mask is not None:
        picture = mask if isinstance(mask, Image.Image) else Image.fromarray(mask)
        picture.save(place / "masks" / f"{mask_name or name}{suffix}")
    if image is None:
        height, width = quarters().shape
        image = np.full((height, width, 3), 20 * (sum(map(ord, name)) % 12), "uint8")
    if image is not False:
        Image.fromarray(image).save(place / "images" / f"{name}.jpg")


def class_folders(place):
    """Three images, and an empty folder for each of two classes."""
    parts = {"cell": place / "cell", "nucleus": place / "nucleus"}
    for folder in parts.values():
        folder.mkdir()
    for name in "abc":
        add(place, name)
    return parts


def load(place, classes=None, **options):
    options = {"image_size": (24, 32), "test_share": 0.34} | options
    return data.from_folders(place / "images", place / "masks", classes, **options)


def assert_is_quarters(split, count=4):
    for mask in split.masks:
        np.testing.assert_array_equal(mask[..., 0], quarters(count=count))


# --- the values of masks -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("mode", ["L", "P"])
def test_masks_of_numbers(place, kind, mode, capsys):
    for name in "abc":
        picture = Image.fromarray(np.array(VALUES[kind], "uint8")[quarters()])
        if mode == "P":
            picture.putpalette(list(range(256)) * 3)
        add(place, name, picture)
    train, test, source = load(place, NAMES)
    assert (len(train), len(test), source) == (2, 1, str(place / "images"))
    assert train.classes == test.classes == Classes(NAMES)
    assert_is_quarters(train)
    assert f"{VALUES[kind][3]} is dividing" in capsys.readouterr().out


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA", "P"])
def test_masks_of_0_and_255(place, mode, capsys):
    for name in "abc":
        picture = Image.fromarray(255 * quarters(count=2)).convert(mode)
        add(place, name, picture)
    train = load(place).train
    assert train.classes == Classes(("background", "object"))
    assert_is_quarters(train, 2)
    assert load(place, ("sky", "tree")).train.classes.names == ("sky", "tree")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_masks_of_colors(place, mode):
    for name in "abc":
        picture = Image.fromarray(np.array(COLORS, "uint8")[quarters()]).convert(mode)
        add(place, name, picture)
    hexes = ("#000000", "#FF0000", "#00ff00", "#0000FF")
    for given_colors in (hexes, COLORS):
        train = load(place, dict(zip(NAMES, given_colors, strict=True))).train
        if mode == "P" and given_colors is hexes:
            assert train.classes.colors == ("#000000", "#FF0000", "#00FF00", "#0000FF")
        assert train.classes.names == NAMES
        assert_is_quarters(train)


def test_black_and_white_jpeg_masks(place):
    for name in "abc":
        add(place, name, 255 * quarters(count=2), suffix=".jpg")
    assert_is_quarters(load(place).train, 2)


def test_hidden_files_are_no_masks(place, capsys):
    for name in "abc":
        add(place, name, quarters())
        (place / "masks" / f"._{name}.png").write_bytes(b"of the system")
    load(place, NAMES)
    assert "Left out" not in capsys.readouterr().out


def test_colors_that_are_not_given_are_found(place):
    for name in "abc":
        mask = quarters()
        mask[mask == 3] = 0  # black is most common
        add(place, name, np.array(COLORS, "uint8")[mask])
    classes = load(place).train.classes
    assert classes.names == classes.colors
    assert classes.names[0] == "#000000" and set(classes.names[1:]) == {"#FF0000", "#00FF00"}


def test_dict_gives_meaning_and_ignored_value(place):
    for name in "abc":
        add(place, name, np.array([7, 9, 255], "uint8")[quarters(count=3)])
    train = load(place, {"road": 9, "rest": 7, "ignore": 255}).train
    assert train.classes == Classes(("road", "rest"), ignore=True)
    assert np.unique(train.masks).tolist() == [0, 1, IGNORE]
    assert (train.masks[0, :, 0] == 1).all() and (train.masks[0, :, -1] == IGNORE).all()


def test_every_value_is_a_class_by_default(place):
    for name in "abc":
        add(place, name, np.array([0, 1, 4, 255], "uint8")[quarters()])
    classes = load(place).train.classes
    assert classes.names == ("class 0", "class 1", "class 4") and classes.ignore


def test_a_folder_for_each_class(place):
    parts = class_folders(place)
    for name in "abc":
        Image.fromarray(255 * (quarters() >= 1).astype("uint8")).save(parts["cell"] / f"{name}.png")
        Image.fromarray((quarters() >= 2).astype("uint8")).save(parts["nucleus"] / f"{name}.png")
    train = data.from_folders(place / "images", parts, image_size=(24, 32), test_share=0.34).train
    assert train.classes.names == ("background", "cell", "nucleus")
    np.testing.assert_array_equal(train.masks[0, ..., 0], np.minimum(quarters(), 2))


# --- sizes, orientation, tiles -------------------------------------------------------------------


def test_image_and_mask_are_turned_as_the_camera_says(place):
    image, mask = np.zeros((24, 32, 3), "uint8"), quarters(count=2)
    image[mask == 1] = 200
    for name in "abc":
        for kind, array in (("images", image), ("masks", mask)):
            picture = Image.fromarray(array)
            exif = picture.getexif()
            exif[0x0112] = 6  # turn right
            picture.save(place / kind / f"{name}.{'jpg' if kind == 'images' else 'png'}", exif=exif)
    train = load(place, ("left", "right"), image_size=(32, 24)).train
    upper = train.masks[0, :16] == 0
    assert upper.all() and (train.masks[0, 16:] == 1).all()
    assert train.images[0, :14].mean() < 20 and train.images[0, 18:].mean() > 180


def test_mask_may_have_another_resolution(place):
    for name in "abc":
        add(place, name, quarters(48, 64))
    assert_is_quarters(load(place, NAMES).train)


def test_sizes_of_photographs_may_differ(place):
    for number, name in enumerate("abc"):
        size = 24 + 8 * number, 64 - 8 * number
        add(place, name, quarters(*size), np.zeros((*size, 3), "uint8"))
    train = load(place, NAMES).train
    assert train.images.shape == (2, 24, 32, 3)
    assert sorted(
        load(place, NAMES).test.table["height"].tolist() + train.table["height"].tolist()
    ) == [
        24,
        32,
        40,
    ]


def test_photographs_are_read_in_their_own_size(place):
    for number, name in enumerate("abc"):
        size = 24 + 8 * number, 64
        add(place, name, quarters(48 + 16 * number, 128), np.full((*size, 3), 50, "uint8"))
    own = load(place, NAMES)
    image, mask = own.read("c")
    assert image.shape == (40, 64, 3)
    np.testing.assert_array_equal(mask, quarters(40, 64))
    assert set(own.train.table["photo"]) | set(own.test.table["photo"]) == set("abc")
    with pytest.raises(ValueError, match="no photograph 'd'"):
        own.read("d")


def test_tiles_of_a_photograph_stay_in_one_split(place):
    rng = np.random.default_rng(0)
    for name in "abcdef":
        size = rng.integers(20, 70, 2)
        image = rng.integers(0, 256, (*size, 3)).astype("uint8")
        add(place, name, quarters(*size), image)
    train, test, _ = load(place, NAMES, image_size=16, tiles=True)
    photos = [set(split.table["photo"]) for split in (train, test)]
    assert photos[0] | photos[1] == set("abcdef") and not photos[0] & photos[1]
    inner, val = data.hold_out(train)
    assert not set(inner.table["photo"]) & set(val.table["photo"])
    for number, (one, other) in enumerate(data.folds(train, 3)):
        assert not set(one.table["photo"]) & set(other.table["photo"]), number


@given(st.tuples(*[st.integers(1, 90)] * 2), st.tuples(*[st.integers(1, 40)] * 2), st.data())
def test_corners_cover_photograph(shape, tile, draw):
    overlap = draw.draw(st.integers(0, min(tile) - 1))
    corners = folders.corners(shape, tile, overlap)
    covered = np.zeros(np.maximum(shape, tile), bool)
    for top, left in corners:
        covered[top : top + tile[0], left : left + tile[1]] = True
    assert covered.all() and min(min(corner) for corner in corners) >= 0
    rows = sorted({top for top, _ in corners})
    assert all(after - before <= tile[0] - overlap for before, after in itertools.pairwise(rows))


# --- files that do not fit -----------------------------------------------------------------------


def test_files_without_partner_are_named_and_left_out(place, capsys):
    for name in "abc":
        add(place, name, quarters())
    add(place, "lonely")
    add(place, "maskonly", quarters(), image=False)
    (place / "images" / "notes.txt").write_text("no picture")
    train, test, _ = load(place, NAMES)
    assert len(train) + len(test) == 3
    printed = capsys.readouterr().out
    assert "Left out, 2: lonely.jpg has no mask; maskonly.png has no image." in printed


def test_only_ten_are_named(place, capsys):
    for name in "abc":
        add(place, name, quarters())
    for number in range(13):
        add(place, f"x{number}")
    load(place, NAMES)
    printed = capsys.readouterr().out
    assert printed.count("has no mask") == 10 and "and 3 more." in printed


@pytest.mark.parametrize("name", ["a_mask", "a-label", "a.seg", "a_Masks", "a_gt"])
def test_mask_may_have_an_ending(place, name):
    add(place, "a", quarters(), mask_name=name)
    for other in "bc":
        add(place, other, quarters())
    train, test, _ = load(place, NAMES)
    assert len(train) + len(test) == 3


def broken(place, name):
    file = place / name
    file.write_bytes(file.read_bytes()[:60])


BAD = {  # a change of good folders, and the reason that is given for the file that is left out
    "damaged image": (lambda place: broken(place, "images/a.jpg"), "a.jpg"),
    "damaged mask": (lambda place: broken(place, "masks/a.png"), "a.png can't be read as a mask"),
    "turned mask": (
        lambda place: add(place, "a", quarters(32, 24)),
        "a.jpg is 32x24 and its mask 24x32: one of them is turned",
    ),
    "mask of another photograph": (
        lambda place: add(place, "a", quarters(10, 32)),
        "a.jpg is 32x24 and its mask 32x10: they do not fit",
    ),
    "two images of one name": (
        lambda place: Image.new("RGB", (32, 24)).save(place / "images" / "a.png"),
        "a.png has the same name as a.jpg",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_file_is_left_out_with_reason(place, kind, capsys):
    for name in "abcd":
        add(place, name, quarters())
    change, reason = BAD[kind]
    change(place)
    train, test, _ = load(place, NAMES)
    assert len(train) + len(test) == (4 if "two" in kind else 3)
    assert reason in capsys.readouterr().out
    load(place, NAMES)  # from the cache
    assert reason in capsys.readouterr().out


def jpeg_masks(place):
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 3, (24, 32)).astype("uint8") * 120
    for name in "abc":
        add(place, name, mask, suffix=".jpg")


def masks_of(*values):
    def write(place):
        for name in "abc":
            add(place, name, np.array(values, "uint8")[quarters(count=len(values))])

    return write


WRONG = {  # what is written, the classes, and a part of the error
    "JPEG masks": (jpeg_masks, None, "different values.*PNG, not JPEG"),
    "too few names": (masks_of(0, 1, 2), ("a", "b"), "hold 0, 1, 2, and there are 2 names"),
    "value without a name": (
        masks_of(0, 128),
        {"a": 0, "b": 255},
        "hold 128, and classes has 0, 255",
    ),
    "colors without names": (
        lambda place: [add(place, name, np.array(COLORS, "uint8")[quarters()]) for name in "abc"],
        NAMES,
        "hold #000000, #0000FF",
    ),
    "one value": (masks_of(3), None, "all masks hold only 3"),
    "bad color": (masks_of(0, 1), {"a": "red", "b": 1}, "'a' has the value 'red'"),
    "no pair": (
        lambda place: (add(place, "a"), add(place, "b", quarters(), image=False)),
        None,
        "no pair.*a.jpg has no mask; b.png has no image",
    ),
    "one photograph": (lambda place: add(place, "a", quarters()), NAMES, "leaves a split empty"),
    "empty folder": (lambda place: None, None, "images has no picture"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_dataset_is_refused(place, kind):
    write, classes, match = WRONG[kind]
    write(place)
    with pytest.raises(ValueError, match=match):
        load(place, classes)
    assert not list(data.cache_folder().rglob("*.npy"))


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="photos is not a folder"):
        data.from_folders(tmp_path / "photos", tmp_path)


@pytest.mark.parametrize("share", [0, 1, -0.2])
def test_invalid_share_raises(place, share):
    with pytest.raises(ValueError, match=f"test_share is {share}"):
        load(place, test_share=share)


def test_folders_of_classes_name_the_classes(place):
    with pytest.raises(ValueError, match="leave classes out"):
        data.from_folders(place, {"cell": place}, NAMES)


# --- masks that are easily misread ---------------------------------------------------------------


def test_class_folders_may_lack_files(place):
    parts = class_folders(place)
    for name in "abc":
        Image.fromarray(255 * quarters(count=2)).save(parts["nucleus"] / f"{name}.png")
    Image.fromarray(255 * (1 - quarters(count=2))).save(parts["cell"] / "c.png")
    own = data.from_folders(place / "images", parts, image_size=(24, 32), test_share=0.34)
    assert np.unique(own.read("a")[1]).tolist() == [0, 2]
    assert np.unique(own.read("c")[1]).tolist() == [1, 2]
    other = {"cell": parts["cell"], "dog": parts["nucleus"]}
    again = data.from_folders(place / "images", other, image_size=(24, 32), test_share=0.34)
    assert again.train.classes.names == ("background", "cell", "dog")


def test_class_folder_may_be_ignored(place):
    parts = {"cell": place / "masks", "ignore": place / "unsure"}
    parts["ignore"].mkdir()
    for name in "abc":
        add(place, name, 255 * (quarters() == 1).astype("uint8"))
        Image.fromarray(255 * (quarters() == 2).astype("uint8")).save(place / f"unsure/{name}.png")
    own = data.from_folders(place / "images", parts, image_size=(24, 32), test_share=0.34)
    assert own.train.classes == Classes(("background", "cell"), ignore=True)
    assert np.unique(own.train.masks).tolist() == [0, 1, IGNORE]


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparent_pixels_are_not_drawn(place, mode):
    for name in "abc":
        mask = quarters(count=2)
        picture = Image.new(mode, mask.shape[::-1], "white")
        picture.putalpha(Image.fromarray(255 * mask))
        add(place, name, picture)
    assert_is_quarters(load(place).train, 2)
    parts = {"cell": place / "masks"}
    own = data.from_folders(place / "images", parts, image_size=(24, 32), test_share=0.34)
    assert_is_quarters(own.train, 2)


@pytest.mark.parametrize("values", [(0, 1000), (300, 301)])
@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_large_numbers(place, values, mode):
    for name in "abc":
        array = np.array(values)[quarters(count=2)]
        dtype = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}[mode]
        add(place, name, Image.fromarray(array.astype(dtype)), suffix=".tif")
    train = load(place, {"a": values[0], "b": values[1]}).train
    assert_is_quarters(train, 2)


def test_decimals_are_left_out_with_reason(place):
    for name in "abc":
        add(place, name, (quarters(count=2) / 2).astype("float32"), suffix=".tif")
    with pytest.raises(ValueError, match=r"a.tif holds 0.5, not whole numbers"):
        load(place)


def test_palettes_that_differ_ask_for_colors(place):
    for number, name in enumerate("abcd"):
        red_first = [255, 0, 0, 0, 0, 0]
        mask = quarters(count=2)
        picture = Image.fromarray(1 - mask if number % 2 else mask)
        picture.putpalette(red_first if number % 2 else red_first[3:] + red_first[:3])
        add(place, name, picture)
    with pytest.raises(ValueError, match="0 is #000000 for a.jpg and #FF0000 for b.jpg.*by color"):
        load(place, ("background", "cell"))
    train = load(place, {"background": "#000000", "cell": "#ff0000"}).train
    assert_is_quarters(train, 2)


def test_numbers_among_colors_are_gray(place):
    for name in "abc":
        add(place, name, np.array(COLORS, "uint8")[quarters(count=2)])
    assert_is_quarters(load(place, {"background": 0, "cell": "#ff0000"}).train, 2)


def test_numpy_numbers_are_numbers(place):
    for name in "abc":
        add(place, name, 255 * quarters(count=2))
    assert_is_quarters(load(place, {"a": np.int64(0), "b": np.uint8(255)}).train, 2)
    assert load(place, np.array(["a", "b"])).train.classes.names == ("a", "b")


def test_absent_class_is_named(place, capsys):
    for name in "abc":
        add(place, name, quarters(count=2) + 1)
    load(place, ("a", "b", "c"))
    assert "No mask has a." in capsys.readouterr().out


def test_photograph_that_only_the_camera_turned_is_named(place, capsys):
    for name in "abc":
        add(place, name, quarters())
    picture = Image.open(place / "images/b.jpg")
    exif = picture.getexif()
    exif[0x0112] = 3
    picture.save(place / "images/b.jpg", exif=exif)
    load(place, NAMES)
    assert "The camera turned b.jpg, and their masks have no such mark" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["h.jpg", "é", "é"])
def test_names_that_tools_change(place, name):
    for other in "ab":
        add(place, other, quarters())
    add(place, "h" if name == "h.jpg" else "é", quarters(), mask_name=name)
    train, test, _ = load(place, NAMES)
    assert len(train) + len(test) == 3


def test_folders_inside_are_named(place, capsys):
    for name in "abc":
        add(place, name, quarters())
    (place / "images" / "more.png").mkdir()
    load(place, NAMES)
    assert "Left out, 1: more.png is a folder in images." in capsys.readouterr().out


def test_one_folder_for_both_is_refused(place):
    add(place, "a", quarters())
    with pytest.raises(ValueError, match="has images and masks: move the masks"):
        data.from_folders(place / "images", place / "images")


@pytest.mark.parametrize(
    ("classes", "match"),
    [
        ("bg", "use a tuple of names"),
        ({}, "use a tuple of names"),
        ({"a", "b"}, "use a tuple of names"),
        (("a", "ignore"), '"ignore" needs a value'),
        ({"a": 0, "b": 1, "c": 1}, "two classes have the value 1"),
        ([f"{n}" for n in range(256)], "use at most 255"),
    ],
)
def test_invalid_classes_raise(place, classes, match):
    for name in "abc":
        add(place, name, quarters(count=2))
    with pytest.raises(ValueError, match=match):
        load(place, classes)


def test_changed_mask_is_named_when_it_is_read(place):
    for name in "abc":
        add(place, name, quarters())
    own = load(place, NAMES)
    add(place, "b", quarters() + 3)
    with pytest.raises(ValueError, match="the mask of b.jpg has changed and holds 4"):
        own.read("b")


def test_half_written_description_is_not_used(place):
    for name in "abc":
        add(place, name, quarters())
    load(place, NAMES)
    (about,) = data.cache_folder().rglob("about.json")
    assert [file.name for file in about.parent.iterdir() if "about" in file.name] == ["about.json"]
    about.unlink()
    assert_is_quarters(load(place, NAMES).train)


# --- cache ---------------------------------------------------------------------------------------


def test_second_call_reads_no_picture(place, monkeypatch):
    for name in "abc":
        add(place, name, quarters())
    first = load(place, NAMES)
    monkeypatch.setattr(folders, "read_image", lambda *_: pytest.fail("an image was read again"))
    again = load(place, NAMES)
    np.testing.assert_array_equal(first.train.masks, again.train.masks)
    assert again.train.classes == first.train.classes


def test_changed_mask_is_read_again(place):
    for name in "abc":
        add(place, name, quarters())
    load(place, NAMES)
    for name in "abc":
        add(place, name, quarters()[:, ::-1].copy())
    assert load(place, NAMES).train.masks[0, 0, 0] == 3


@pytest.mark.parametrize("name", ["folders.py", "pictures.py", "splits.py"])
def test_other_code_reads_again(place, monkeypatch, name):
    for photo in "abc":
        add(place, photo, quarters())
    load(place, NAMES)
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda file: read(file) + b"#" * (file.name == name))
    load(place, NAMES)
    assert len(list(data.cache_folder().iterdir())) == 2


# --- dividing ------------------------------------------------------------------------------------


def test_rare_class_is_in_both_splits(place):
    """Four of 20 photographs show the third class."""
    rng = np.random.default_rng(0)
    for number in range(20):
        mask = quarters(count=3 if number % 5 == 0 else 2)
        add(place, f"{number:02}", mask, rng.integers(0, 256, (24, 32, 3)).astype("uint8"))
    train, test, _ = load(place, ("a", "b", "rare"), test_share=0.25)
    assert (len(train), len(test)) == (15, 5)
    assert [(split.masks == 2).any((1, 2, 3)).sum() for split in (train, test)] == [3, 1]
    for inner, val in data.folds(train, 3):
        assert len(inner) + len(val) == 15
        assert (val.masks == 2).any((1, 2, 3)).sum() == 1


def test_invalid_number_of_folds_raises(make_split):
    with pytest.raises(ValueError, match="count is 9: use 2 to 6"):
        next(data.folds(make_split(6), 9))


# --- check ---------------------------------------------------------------------------------------


def small(images, masks, classes):
    names = np.array([f"p{number}" for number in range(len(images))])
    return data.Split(images, masks, {"name": names}, classes)


@pytest.fixture
def good():
    """Four random images with masks of three classes in blocks."""
    rng = np.random.default_rng(0)
    images = np.kron(rng.integers(0, 256, (4, 4, 4, 3)), np.ones((1, 8, 8, 1))).astype("uint8")
    masks = np.repeat(quarters(32, 32, 3)[None, ..., None], 4, 0)
    return small(images, masks, Classes(("a", "b", "c")))


def problems(*splits):
    return data.check(*splits)["problem"].tolist()


def test_good_dataset_has_no_problem(good):
    assert problems(good) == []


def test_check_names_what_is_wrong(good):
    def changed(value, index=1):
        masks = good.masks.copy()
        masks[index] = value
        return small(good.images, masks, good.classes)

    table = data.check(changed(2))
    assert table.to_dict("records") == [
        {"split": 0, "index": 1, "name": "p1", "problem": "the whole mask is c"}
    ]
    assert "the mask holds [7]: the 3 classes are 0 to 2" in problems(changed(7))[0]
    ignoring = changed(IGNORE)
    ignoring = small(ignoring.images, ignoring.masks, Classes(("a", "b", "c"), ignore=True))
    assert problems(ignoring) == ["the whole mask is ignored"]
    shapes = small(good.images[:, :16], good.masks, good.classes)
    assert "images have shape (4, 16, 32, 3) and masks (4, 32, 32, 1)" in problems(shapes)[0]
    empty = data.Split(good.images[:0], good.masks[:0], {}, good.classes)
    assert problems(good, empty) == ["the split is empty: use at least one image"]


def test_check_finds_interpolated_mask(good):
    mask = Image.fromarray(np.array([0, 2], "uint8")[quarters(8, 8, 2)])
    blurred = np.asarray(mask.resize((32, 32), Image.Resampling.BILINEAR))
    assert 1 in blurred
    masks = good.masks.copy()
    masks[2] = blurred[..., None]
    assert problems(small(good.images, masks, good.classes)) == [
        "class b is only a thin line between others: was the mask resized by interpolation?"
    ]


def test_check_counts_rare_class(good):
    masks = np.minimum(good.masks, 1)
    masks[0, :2, :2] = 2
    found = problems(small(good.images, masks, good.classes))
    assert found == ["class c has only 4 pixels, in 1 images: no score of it can be relied on"]


def test_check_finds_test_image_among_train_images(good):
    rng = np.random.default_rng(1)
    noisy = np.clip(good.images[2] + rng.normal(0, 4, good.images[2].shape), 0, 255)
    images = np.stack([255 - good.images[0], noisy.astype("uint8")])
    test = small(images, good.masks[:2], good.classes)
    table = data.check(good, test)
    assert table[["split", "index"]].values.tolist() == [[1, 1]]
    assert table["problem"][0] == "looks like p2 in split 0: a test image must not be a train image"


def test_check_names_one_other_for_each_image(good):
    images = np.repeat(good.images[:1], 5, 0)
    masks = np.repeat(good.masks[:1], 5, 0)
    table = data.check(small(images, masks, good.classes))
    assert table["index"].tolist() == [1, 2, 3, 4]
    assert set(table["problem"]) == {"looks like p0"}


def test_check_does_not_compare_pictures_of_one_color(good):
    images = np.full_like(good.images, 250)
    assert problems(small(images, good.masks, good.classes)) == []


def test_check_of_ring_to_ignore_is_no_interpolation(good):
    masks = good.masks.copy()
    masks[0, 10:20, 10] = 1
    masks[0, 10:20, 11:13] = IGNORE
    masks[0, ..., 0][quarters(32, 32, 3) == 1] = 0
    masks[0, 10:20, 10] = 1
    classes = Classes(("a", "b", "c"), ignore=True)
    assert problems(small(good.images, masks, classes)) == []


def test_check_needs_splits_of_the_same_classes(good):
    other = small(good.images, good.masks, Classes(("x", "y", "z")))
    for splits in ((), (good, other)):
        with pytest.raises(ValueError, match="one or more splits of the same classes"):
            data.check(*splits)


# --- cells ---------------------------------------------------------------------------------------


def test_cells_are_drawn_again_the_same():
    for one, other in zip(cells.draw(3), cells.draw(3), strict=True):
        np.testing.assert_array_equal(one, other)
    image, mask = cells.draw(3)
    assert image.shape == (*mask.shape, 3) and image.dtype == mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {0, 1, 2, 3}
    assert cells.draw(3, seed=1)[1].shape != mask.shape or (cells.draw(3, 1)[1] != mask).any()


def test_dividing_cells_are_rare():
    masks = [cells.draw(index)[1] for index in range(20)]
    shares = [sum((mask == k).sum() for mask in masks) for k in range(4)] / np.sum(
        [mask.size for mask in masks]
    )
    assert shares[0] > shares[1] > shares[2] > shares[3] > 0 and shares[3] < 0.01


def test_written_cells_are_loaded(tmp_path, capsys):
    images, masks = cells.write(tmp_path, 5)
    train, test, _ = data.from_folders(images, masks, NAMES, image_size=64)
    assert (len(train), len(test)) == (4, 1)
    assert train.classes.names == cells.CELLS.names
    with pytest.raises(ValueError, match="use whole numbers from 0 up"):
        cells.draw(-1)
