"""A dataset of your own: photographs and masks in folders, as train and test split.

``from_folders`` pairs the files by name, finds out what the values of the masks mean, divides the
photographs, and stores both splits as compact arrays.
"""

import json
import os
import re
import unicodedata
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from labkit.classes import BACKGROUND_NAME, IGNORE, Classes, rgb
from labkit.pictures import SUFFIXES, read_image
from labkit.splits import (
    Splits,
    cache_folder,
    is_complete,
    open_split,
    resize,
    save_split,
    sides,
    size_name,
    spread,
    strata_name,
    stratified_order,
)

IGNORE_NAME = "ignore"
COLOR = 1 << 24  # a color is the value COLOR + 0xRRGGBB, above all numbers
MANY = 32  # different values, more than most datasets have classes
MASK_ENDING = re.compile(r"[ _.-](masks?|labels?|labelIds|seg|segmentation|gt)$", re.IGNORECASE)
SHOWN = 10  # files that are named in a message
CODE = ("folders.py", "pictures.py", "splits.py")  # decides on pixels and on the division


def from_folders(images, masks, classes=None, image_size=128, test_share=0.2, tiles=False):
    """Load photographs and masks of your own.

    Args:
        images: a folder of pictures.
        masks: a folder with a mask for each image, of the same name ("a.jpg" and "a.png" or
            "a_mask.png"); or a dict with a folder for each class, whose files are not 0 where the
            class is (later classes cover earlier ones, and the rest is "background"). Save masks
            as PNG: JPEG changes values, and only black and white ones can be told apart.
        classes: names in the order of the values, such as ("background", "cell"), for masks that
            count from 0 or 1 or hold 0 and 255; or a dict that gives each name its value or color,
            such as {"background": 0, "cell": 255} or {"cell": "#ff0000", "ignore": "#ffffff"},
            where "ignore" names pixels that count in no loss and no score; or None: every value is
            a class.
        image_size: S or (H, W), in pixels, that every image is resized to.
        test_share: the share of the photographs in the test split.
        tiles: cut photographs into tiles of ``image_size`` instead of resizing them. Tiles of one
            photograph stay in one split.

    Returns:
        ``FolderSplits(train, test, source)``, stored in the cache folder; see
        ``labkit.data.load``. Its ``read(name)`` gives a photograph in its own size. Photographs
        are divided without random numbers, stratified by the classes that occur. What the values
        mean is printed, and which files are left out because they have no partner, can't be read
        or do not fit.

    Raises:
        ValueError: if no pair is left, the values of the masks are no classes, or a split is empty.
        FileNotFoundError: if a folder does not exist.
    """
    size = sides(image_size)
    if not isinstance(test_share, float) or not 0 < test_share < 1:
        raise ValueError(f"test_share is {test_share!r}: use a number between 0 and 1, such as 0.2")
    if isinstance(masks, dict) and classes is not None:
        raise ValueError("masks is a dict, whose keys name the classes: leave classes out")
    classes = checked(classes)
    pairs, problems = find_pairs(images, masks)
    folder = cache_folder() / _key(pairs, masks, classes, size, test_share, tiles)
    about = folder / "about.json"
    if not (about.exists() and is_complete(folder / "train") and is_complete(folder / "test")):
        write_splits(pairs, problems, masks, classes, size, test_share, tiles, folder)
    stored = json.loads(about.read_text())
    meaning = Meaning.from_json(stored["meaning"])
    _report(meaning, [*problems, *stored["unusable"]], stored["notes"])
    splits = (open_split(folder / name, meaning.classes) for name in ("train", "test"))
    result = FolderSplits(*splits, str(images))
    usable = set(stored["photos"])
    result.pairs = {pair.image.stem: pair for pair in pairs if pair.image.stem in usable}
    result.meaning = meaning
    return result


class FolderSplits(Splits):
    """Train and test split of photographs in folders."""

    def read(self, name):
        """A photograph and its mask in the photograph's own size.

        Args:
            name: of the photograph, as in the column ``photo`` of a split's table.

        Returns:
            image uint8 ``[H, W, 3]``, mask uint8 ``[H, W]`` of class numbers, 255 where ignored.
        """
        if name not in self.pairs:
            raise ValueError(f"there is no photograph {name!r} in {self.source}")
        image, mask = read_pair(self.pairs[name], self.meaning)
        return image, resize(image, mask, image.shape[:2])[1][..., 0]


def checked(classes):
    """``classes`` as None, ``Classes``, a dict or a tuple; raises ValueError for anything else."""
    if classes is None or isinstance(classes, Classes):
        return classes
    if isinstance(classes, dict) and classes:
        return classes
    if isinstance(classes, (list, tuple, np.ndarray)):
        names = tuple(classes)
        if IGNORE_NAME in names:
            raise ValueError(
                f'"{IGNORE_NAME}" needs a value: give each name its value in a dict, such as '
                f'{{"background": 0, "cell": 1, "{IGNORE_NAME}": 255}}'
            )
        return Classes(names)
    raise ValueError(f"classes is {classes!r}: use a tuple of names, or a dict of name and value")


def write_splits(pairs, problems, masks, classes, size, test_share, tiles, folder):
    """Read all files and write both splits, and then ``about.json``, into the cache folder."""
    by_class = isinstance(masks, dict)
    pairs, surveyed, unusable = survey(pairs, has_colors(pairs, classes))
    if not pairs:
        reasons = "; ".join([*problems, *unusable][:SHOWN])
        raise ValueError(f"no pair of an image and its mask is left: {reasons}")
    counts = sum((one.values for one in surveyed), Counter())
    check_palettes(surveyed)
    meaning = of_folders(masks) if by_class else find_meaning(counts, classes)
    in_test = choose_test(surveyed, meaning, test_share)
    for name, chosen in (("train", ~in_test), ("test", in_test)):
        own = [pair for pair, is_in in zip(pairs, chosen, strict=True) if is_in]
        shapes = [one.shape for one, is_in in zip(surveyed, chosen, strict=True) if is_in]
        count = sum(len(corners(shape, size)) if tiles else 1 for shape in shapes)
        rows = read_rows(own, meaning, size, tiles)
        save_split(rows, folder / name, count, size, f"reading {name} images, once")
    present = {meaning.numbers[value] for value in counts}
    names = meaning.classes.names
    absent = [name for number, name in enumerate(names) if number not in present]
    notes = [f"No mask has {', '.join(absent)}."] if absent else []
    doubtful = [one.name for one in surveyed if one.doubtful]
    if doubtful:
        notes.append(
            f"The camera turned {', '.join(doubtful[:SHOWN])}, and their masks have no such mark: "
            "look whether they fit."
        )
    about = {"meaning": meaning.to_json(), "unusable": unusable, "notes": notes}
    about["photos"] = [pair.image.stem for pair in pairs]
    partial = folder / f"about-{os.getpid()}.json"
    partial.write_text(json.dumps(about))
    partial.replace(folder / "about.json")  # at once: another process may read it


def _report(meaning, problems, notes):
    print(meaning.sentence(), *notes)
    if problems:
        print(f"Left out, {len(problems)}: {'; '.join(problems[:SHOWN])}", end="")
        print(f"; and {len(problems) - SHOWN} more." if len(problems) > SHOWN else ".")


def _key(pairs, masks, classes, size, test_share, tiles):
    """The name of the cache folder: other files, arguments or code give another one."""
    files = [file for pair in pairs for file in (pair.image, *pair.masks.values())]
    stats = [file.stat() for file in files]
    stamps = [
        (str(file.absolute()), stat.st_size, stat.st_mtime_ns)
        for file, stat in zip(files, stats, strict=True)
    ]
    kinds = list(masks) if isinstance(masks, dict) else []
    code = b"".join(Path(__file__).with_name(name).read_bytes() for name in CODE)
    settings = repr((stamps, [list(pair.masks) for pair in pairs], kinds))
    settings += repr((classes, test_share, tiles))
    return f"folders-{zlib.crc32(settings.encode() + code):08x}-{size_name(size)}"


# --- pairs of files ------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """A photograph and its mask files: {0: file}, or {class number: file}."""

    image: Path
    masks: dict

    @property
    def by_class(self):
        """Whether there is a file for each class; they are numbered from 1."""
        return 0 not in self.masks


def find_pairs(images, masks):
    """Pairs of files of one name, and sentences about the others: (list of ``Pair``, list)."""
    problems = []
    photos = _by_stem(images, lambda stem: stem, problems)
    folders = dict(enumerate(masks.values(), 1)) if isinstance(masks, dict) else {0: masks}
    if any(Path(folder).resolve() == Path(images).resolve() for folder in folders.values()):
        raise ValueError(f"{images} has images and masks: move the masks to a folder of their own")
    kinds = {
        number: _by_stem(folder, lambda stem: _mask_stem(stem, photos), problems)
        for number, folder in folders.items()
    }
    stems = set().union(*kinds.values())
    problems += [f"{photos[stem].name} has no mask" for stem in photos if stem not in stems]
    found = [item for files in kinds.values() for item in files.items()]
    problems += [f"{file.name} has no image" for stem, file in found if stem not in photos]
    pairs = [
        Pair(photo, {number: files[stem] for number, files in kinds.items() if stem in files})
        for stem, photo in photos.items()
        if stem in stems
    ]
    return pairs, problems


def _by_stem(folder, stem_of, problems):
    """The pictures of a folder by stem, sorted; a second file of one stem is a problem."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: give the one with the pictures")
    files = {}
    for file in sorted(folder.iterdir()):
        if file.is_dir():
            problems.append(f"{file.name} is a folder in {folder.name}")
        if not file.is_file() or file.suffix.lower() not in SUFFIXES or file.name.startswith("."):
            continue
        stem = stem_of(unicodedata.normalize("NFC", file.stem))  # macOS writes letters apart
        if stem in files:
            problems.append(f"{file.name} has the same name as {files[stem].name}")
        else:
            files[stem] = file
    if not files:
        raise ValueError(f"{folder} has no picture: put JPEG or PNG files there")
    return files


def _mask_stem(stem, photos):
    """The name of the photograph of a mask: without an ending such as _mask or .jpg."""
    without = Path(stem).stem if Path(stem).suffix.lower() in SUFFIXES else stem
    choices = stem, without, MASK_ENDING.sub("", without)
    return next((choice for choice in choices if choice in photos), choices[-1])


# --- reading masks -------------------------------------------------------------------------


@dataclass(frozen=True)
class Surveyed:
    """What a first look at a pair tells.

    Attributes:
        name: of the photograph's file.
        shape: height and width of the photograph, in pixels.
        values: the values of the mask and their numbers of pixels.
        palette: the colors (RGB) of the values, if the mask has a palette.
        doubtful: whether only the photograph is turned by its Exif data.
    """

    name: str
    shape: tuple
    values: Counter
    palette: dict
    doubtful: bool


def has_colors(pairs, classes):
    """Whether the colors of the masks are their values, not the numbers of gray or palette."""
    if isinstance(classes, dict):
        return any(not isinstance(value, (int, np.integer)) for value in classes.values())
    return any(_is_colored(pair.masks[0]) for pair in pairs if not pair.by_class)


def _is_colored(file):
    """Whether a mask has colors that are not gray. A palette's colors only show its numbers."""
    try:
        with Image.open(file) as picture:
            if picture.mode in ("1", "L", "LA", "P", "F") or picture.mode.startswith("I"):
                return False
            red, green, blue = np.moveaxis(np.asarray(picture.convert("RGB")), -1, 0)
    except Exception:  # for a damaged file Pillow raises many types; survey names it
        return False
    return bool((red != green).any() or (green != blue).any())


def survey(pairs, colored):
    """Look at all pairs: (those that can be used, their ``Surveyed``, sentences about others)."""
    usable, surveyed, problems = [], [], []
    for pair in tqdm(pairs, "looking at masks", leave=False, mininterval=1):
        try:
            shape = read_image(pair.image, None).shape[:2]
            mask = read_mask(pair, colored)
            _check_shapes(pair, shape, mask.shape)
        except ValueError as error:
            problems.append(str(error))
            continue
        values, counts = (column.tolist() for column in np.unique(mask, return_counts=True))
        palette = {} if colored or pair.by_class else _palette(pair.masks[0], values)
        turned = _orientation(pair.image) not in (1, *map(_orientation, pair.masks.values()))
        counter = Counter(dict(zip(values, counts, strict=True)))
        usable.append(pair)
        surveyed.append(Surveyed(pair.image.name, shape, counter, palette, turned))
    return usable, surveyed, problems


def _check_shapes(pair, image, mask):
    """Raise ValueError unless the mask is the image in another resolution."""
    (height, width), (mask_height, mask_width) = image, mask
    if abs(height * mask_width - width * mask_height) <= max(height, width, *mask):
        return
    names = f"{pair.image.name} is {width}x{height} and its mask {mask_width}x{mask_height}"
    if abs(height * mask_height - width * mask_width) <= max(height, width, *mask):
        raise ValueError(f"{names}: one of them is turned, so save both without Exif data")
    raise ValueError(f"{names}: they do not fit")


def _orientation(file):
    """The Exif orientation of a picture; 1 is upright."""
    with Image.open(file) as picture:
        return picture.getexif().get(0x0112, 1)


def _palette(file, values):
    """The colors (RGB) of these values of a mask with a palette; {} for another mask."""
    with Image.open(file) as picture:
        if picture.mode != "P":
            return {}
        colors = np.reshape(picture.getpalette("RGB"), (-1, 3)).tolist()
    return {value: tuple(colors[value]) for value in values if value < len(colors)}


def check_palettes(surveyed):
    """Raise ValueError if a value has different colors in two masks: then colors are the values."""
    first = {}
    for one in surveyed:
        for value, color in one.palette.items():
            known, name = first.setdefault(value, (color, one.name))
            if known != color:
                colors = [f"#{r:02X}{g:02X}{b:02X}" for r, g, b in (known, color)]
                raise ValueError(
                    f"in the masks, {value} is {colors[0]} for {name} and {colors[1]} for "
                    f"{one.name}: give the classes by color, such as "
                    f'classes={{"background": "#000000", "cell": "{colors[0]}"}}'
                )


def read_mask(pair, colored=False):
    """The values of a mask, int32 ``[H, W]``.

    Numbers for gray and palette pictures; for colored ones ``COLOR`` + 0xRRGGBB. With a file for
    each class, its number where the class is, 0 elsewhere.
    """
    if not pair.by_class:
        return _read_values(pair.masks[0], colored)
    mask = None
    for number, file in pair.masks.items():
        inside = _read_values(file, False) > 0
        mask = np.zeros(inside.shape, np.int32) if mask is None else mask
        if mask.shape != inside.shape:
            raise ValueError(f"the masks of {pair.image.name} have different sizes")
        mask[inside] = number
    return mask


def _read_values(file, colored):
    try:
        with Image.open(file) as picture:
            lossy = picture.format == "JPEG"
            picture = ImageOps.exif_transpose(picture)
            visible = True
            if picture.mode in ("LA", "RGBA", "PA"):  # what is transparent was not drawn
                visible = np.asarray(picture.getchannel("A")) > 127
            if colored:
                red, green, blue = np.moveaxis(np.asarray(picture.convert("RGB"), np.int32), -1, 0)
                return COLOR + np.where(visible, red << 16 | green << 8 | blue, 0)
            whole = ("P", "1", "L", "F")
            if picture.mode not in whole and not picture.mode.startswith("I"):
                picture = picture.convert("L")
            values = np.asarray(picture)
    except Exception as error:
        raise ValueError(f"{file.name} can't be read as a mask ({error})") from error
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        raise ValueError(f"{file.name} holds {values.max()}, not whole numbers")
    values = np.where(visible, values.astype(np.int32), 0)
    return _black_or_white(values) if lossy else values


def _black_or_white(values):
    """Values of a JPEG file as 0 and 255, if nearly all are close to one of them."""
    close = np.minimum(values, 255 - values) < 64
    return np.where(values > 127, 255, 0) if close.mean() > 0.95 else values


def read_pair(pair, meaning):
    """The image uint8 ``[H, W, 3]`` and the class numbers uint8 ``[h, w, 1]`` of a pair."""
    values = read_mask(pair, meaning.colored)
    return read_image(pair.image, None), meaning.apply(values, pair.image.name)[..., np.newaxis]


# --- the meaning of values -----------------------------------------------------------------


@dataclass(frozen=True)
class Meaning:
    """The classes of masks, and the class number of each value that masks hold."""

    classes: Classes
    numbers: dict
    colored: bool = False

    def to_json(self):
        """A dict that JSON can hold."""
        return {
            "classes": vars(self.classes),
            "numbers": list(self.numbers.items()),
            "colored": self.colored,
        }

    @staticmethod
    def from_json(stored):
        """The ``Meaning`` that was stored."""
        return Meaning(Classes(**stored["classes"]), dict(stored["numbers"]), stored["colored"])

    def apply(self, values, name):
        """Class numbers, uint8, for the values of a mask, int32; ``name`` is for the error."""
        numbers = np.full(values.shape, -1, np.int16)
        for value, number in self.numbers.items():
            numbers[values == value] = number
        if numbers.min() < 0:
            new = _shown(int(values[numbers < 0][0]))
            raise ValueError(f"the mask of {name} has changed and holds {new}: load it again")
        return numbers.astype(np.uint8)

    def sentence(self):
        """What the values mean."""
        names = {IGNORE: IGNORE_NAME} | dict(enumerate(self.classes.names))
        parts = [f"{_shown(value)} is {names[number]}" for value, number in self.numbers.items()]
        return f"In the masks, {', '.join(parts)}."


def _shown(value):
    """A value as a user knows it: a number, or a color such as #FF0000."""
    return str(value) if value < COLOR else f"#{value - COLOR:06X}"


def of_folders(folders):
    """The ``Meaning`` of masks with a folder for each class."""
    names = [BACKGROUND_NAME, *(name for name in folders if name != IGNORE_NAME)]
    numbers = {0: 0}
    for value, name in enumerate(folders, 1):
        numbers[value] = IGNORE if name == IGNORE_NAME else names.index(name)
    return Meaning(Classes(names, ignore=IGNORE_NAME in folders), numbers)


def find_meaning(counts, classes):
    """The ``Meaning`` of the values that were found; raises ValueError for values that fit none.

    Args:
        counts: the number of pixels of each value.
        classes: see ``checked``.
    """
    values, colored = sorted(counts), min(counts) >= COLOR
    if len(values) > max(MANY, len(classes or ()) + 1):
        raise ValueError(
            f"the masks hold {len(values)} different values, from {_shown(values[0])} to "
            f"{_shown(values[-1])}: save them as PNG, not JPEG, and resize them by nearest neighbor"
        )
    if isinstance(classes, dict):
        return _given(values, classes, colored)
    if classes is not None:
        return _named(values, classes, colored)
    return _guessed(values, counts, colored)


def _given(values, classes, colored):
    """The meaning that a dict gives: name -> number or color."""
    numbers, names, colors = {}, [], []
    for name, value in classes.items():
        value = _as_number(name, value, colored)
        if value in numbers:
            raise ValueError(f"two classes have the value {_shown(value)}: give each its own")
        numbers[value] = IGNORE if name == IGNORE_NAME else len(names)
        if name != IGNORE_NAME:
            names.append(name)
            colors.append(_shown(value))
    unknown = [value for value in values if value not in numbers]
    if unknown:
        raise ValueError(
            f"the masks hold {', '.join(map(_shown, unknown[:5]))}, and classes has "
            f"{', '.join(map(_shown, numbers))}: give each value a name, or call it "
            f'"{IGNORE_NAME}"'
        )
    colors = tuple(colors) if colored else None
    return Meaning(Classes(names, colors, IGNORE_NAME in classes), numbers, colored)


def _as_number(name, value, colored):
    """A value of a mask as ``read_mask`` returns it, from a number, "#RRGGBB" or (r, g, b)."""
    if isinstance(value, str) and re.fullmatch("#[0-9a-fA-F]{6}", value):
        value = rgb(value)
    whole = isinstance(value, (int, np.integer)) and value >= 0
    if whole and colored:  # a gray value among colors
        value = (value,) * 3
    if np.shape(value) == (3,) and all(0 <= part < 256 for part in value):
        red, green, blue = map(int, value)
        return COLOR + (red << 16 | green << 8 | blue)
    if whole and value < COLOR:
        return int(value)
    raise ValueError(f'class {name!r} has the value {value!r}: use a number or "#RRGGBB"')


def _named(values, classes, colored):
    """The meaning if only names are given: values from 0 or 1 up, or as many values as names."""
    count = len(classes)
    small = [value for value in values if not (classes.ignore and value == IGNORE)]
    if set(small) <= set(range(count)):
        numbers = {value: value for value in range(count)}
    elif set(small) <= set(range(1, count + 1)):
        numbers = {value: value - 1 for value in range(1, count + 1)}
    elif count == 2 and set(small) <= {0, 255}:
        numbers = {0: 0, 255: 1}
    elif len(small) == count and not colored:
        numbers = {value: number for number, value in enumerate(small)}
    else:
        known = [f'"{name}": ...' for name in (*classes.names, IGNORE_NAME)]
        raise ValueError(
            f"the masks hold {', '.join(map(_shown, values[:8]))}, and there are {count} names: "
            f"say which value each has, classes={{{', '.join(known)}}}"
        )
    if classes.ignore:
        numbers[IGNORE] = IGNORE
    return Meaning(classes, numbers)


def _guessed(values, counts, colored):
    """The meaning if nothing is given: every value is a class."""
    if len(values) < 2:
        raise ValueError(
            f"all masks hold only {_shown(values[0])}: draw at least two classes, and save them as "
            "PNG"
        )
    if colored:
        values = sorted(values, key=counts.get, reverse=True)  # the background is often largest
        names = tuple(map(_shown, values))
        numbers = {value: number for number, value in enumerate(values)}
        return Meaning(Classes(names, names), numbers, True)
    if values in ([0, 255], [0, 1]):
        return Meaning(Classes((BACKGROUND_NAME, "object")), {values[0]: 0, values[1]: 1})
    ignore = len(values) > 2 and values[-1] == IGNORE and values[-2] < MANY
    shown = values[:-1] if ignore else values
    numbers = {value: number for number, value in enumerate(shown)}
    numbers |= {IGNORE: IGNORE} if ignore else {}
    return Meaning(Classes([f"class {value}" for value in shown], ignore=ignore), numbers)


# --- rows of a split -----------------------------------------------------------------------


def choose_test(surveyed, meaning, share):
    """Whether each photograph is in the test split: bool ``[N]``, stratified by classes."""
    count = len(meaning.classes)
    present = [{meaning.numbers[value] for value in one.values} for one in surveyed]
    strata = [strata_name(np.isin(np.arange(count), list(numbers))) for numbers in present]
    in_test = np.zeros(len(strata), bool)
    in_test[spread(stratified_order(strata), share, start=0.5)] = True
    if in_test.all() or not in_test.any():
        raise ValueError(
            f"test_share {share} of {len(strata)} photographs leaves a split empty: use more "
            "photographs or another share"
        )
    return in_test


def read_rows(pairs, meaning, size, tiles):
    """Yield the rows that ``save_split`` takes, one for each photograph or tile."""
    for pair in pairs:
        image, mask = read_pair(pair, meaning)
        shape, name = image.shape[:2], pair.image.stem
        row = {"name": name, "photo": name, "height": shape[0], "width": shape[1]}
        if not tiles:
            yield *resize(image, mask, size), row
            continue
        _, mask = resize(image, mask, shape)
        image, mask = (pad(values, size) for values in (image, mask))
        for top, left in corners(shape, size):
            window = slice(top, top + size[0]), slice(left, left + size[1])
            yield image[window], mask[window], row | {"name": f"{name}_{top}_{left}"}


def corners(shape, tile, overlap=0):
    """Upper left corners (top, left) of tiles that cover a photograph.

    Args:
        shape: height and width of the photograph, in pixels.
        tile: height and width of a tile.
        overlap: the least number of pixels that neighbors share; the last tile of a row or column
            ends at the edge, so it may share more.
    """
    steps = []
    for side, length in zip(shape, tile, strict=True):
        last = max(0, side - length)
        count = 1 + -(-last // (length - overlap))
        steps.append(np.linspace(0, last, count).round().astype(int).tolist())
    return [(top, left) for top in steps[0] for left in steps[1]]


def pad(values, shape):
    """An array ``[H, W, C]`` mirrored beyond its lower and right side, if it is smaller."""
    extra = [(0, max(0, side - length)) for side, length in zip(shape, values.shape, strict=False)]
    return np.pad(values, [*extra, (0, 0)], mode="symmetric")
