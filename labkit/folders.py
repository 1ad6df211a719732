"""A dataset of your own: photographs and masks in folders, as train and test split.

``from_folders`` pairs the files by name, finds out what the values of the masks mean, divides the
photographs, and stores both splits as compact arrays.
"""

import json
import re
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
    strata_name,
    stratified_order,
)

IGNORE_NAME = "ignore"
MANY = 32  # different values, more than most datasets have classes
MASK_ENDING = re.compile(r"[ _.-](masks?|labels?|labelIds|seg|segmentation|gt)$", re.IGNORECASE)
SHOWN = 10  # files that are named in a message


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
        are divided without random numbers, stratified by the classes that occur. What
        the values mean is printed, and which files are left out because they have no partner,
        can't be read or do not fit.

    Raises:
        ValueError: if no pair is left, the values of the masks are no classes, or a split is empty.
        FileNotFoundError: if a folder does not exist.
    """
    height, width = sides(image_size)
    if not 0 < test_share < 1:
        raise ValueError(f"test_share is {test_share}: use a number between 0 and 1, such as 0.2")
    if isinstance(masks, dict) and classes is not None:
        raise ValueError("masks is a dict, whose keys name the classes: leave classes out")
    pairs, problems = find_pairs(images, masks)
    folder = cache_folder() / _key(pairs, classes, image_size, test_share, tiles)
    parts = folder / "train", folder / "test"
    about = folder / "about.json"
    if not (about.exists() and all(map(is_complete, parts))):
        pairs, surveyed, unusable = survey(pairs, has_colors(pairs, classes))
        if not pairs:
            reasons = "; ".join([*problems, *unusable][:SHOWN])
            raise ValueError(f"no pair of an image and its mask is left: {reasons}")
        meaning = of_folders(masks) if isinstance(masks, dict) else find_meaning(surveyed, classes)
        in_test = choose_test(surveyed, meaning, test_share)
        for part, chosen in zip(parts, (~in_test, in_test), strict=True):
            own = [pair for pair, is_in in zip(pairs, chosen, strict=True) if is_in]
            rows = read_rows(own, meaning, (height, width), tiles)
            shapes = [one.shape for one, is_in in zip(surveyed, chosen, strict=True) if is_in]
            count = sum(len(corners(shape, (height, width))) if tiles else 1 for shape in shapes)
            save_split(rows, part, count, (height, width), f"reading {part.name} images, once")
        about.write_text(json.dumps({"unusable": unusable, **meaning.to_json()}))
    stored = json.loads(about.read_text())
    meaning = Meaning.from_json(stored)
    _report(meaning, [*problems, *stored["unusable"]])
    result = FolderSplits(*(open_split(part, meaning.classes) for part in parts), str(images))
    result.pairs = {pair.image.stem: pair for pair in pairs}
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


def _report(meaning, problems):
    print(meaning.sentence())
    if problems:
        print(f"Left out, {len(problems)}: {'; '.join(problems[:SHOWN])}", end="")
        print(f"; and {len(problems) - SHOWN} more." if len(problems) > SHOWN else ".")


def _key(pairs, classes, image_size, test_share, tiles):
    """The name of the cache folder: other files, or other arguments, give another one."""
    files = [file for pair in pairs for file in (pair.image, *pair.masks.values())]
    stamps = [
        (str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns) for file in files
    ]
    settings = repr((stamps, [list(pair.masks) for pair in pairs], classes, test_share, tiles))
    return f"folders-{zlib.crc32(settings.encode()):08x}-{size_name(image_size)}"


# --- pairs of files ------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """A photograph and its mask files: {None: file}, or {class name: file}."""

    image: Path
    masks: dict


def find_pairs(images, masks):
    """Pairs of files of one name, and sentences about the others: (list of ``Pair``, list)."""
    problems = []
    photos = _by_stem(images, lambda stem: stem, problems)
    folders = masks if isinstance(masks, dict) else {None: masks}
    kinds = {
        name: _by_stem(folder, lambda stem: _mask_stem(stem, photos), problems)
        for name, folder in folders.items()
    }
    stems = set().union(*kinds.values())
    problems += [f"{photos[stem].name} has no mask" for stem in photos if stem not in stems]
    for files in kinds.values():
        problems += [
            f"{file.name} has no image" for stem, file in files.items() if stem not in photos
        ]
    pairs = [
        Pair(photo, {name: files[stem] for name, files in kinds.items() if stem in files})
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
        if file.suffix.lower() not in SUFFIXES or file.name.startswith("."):
            continue
        stem = stem_of(file.stem)
        if stem in files:
            problems.append(f"{file.name} has the same name as {files[stem].name}")
        else:
            files[stem] = file
    if not files:
        raise ValueError(f"{folder} has no picture: put JPEG or PNG files there")
    return files


def _mask_stem(stem, photos):
    return stem if stem in photos else MASK_ENDING.sub("", stem)


# --- reading masks -------------------------------------------------------------------------


@dataclass(frozen=True)
class Surveyed:
    """What a first look at a pair tells.

    Attributes:
        shape: height and width of the photograph, in pixels.
        values: the values of the mask and their numbers of pixels; colors as 0xRRGGBB + 256.
    """

    shape: tuple
    values: Counter


def has_colors(pairs, classes):
    """Whether the colors of the masks are their values, not the numbers of gray or palette."""
    if isinstance(classes, dict):
        return any(not isinstance(value, int) for value in classes.values())
    files = [pair.masks[None] for pair in pairs if None in pair.masks]
    return any(map(_is_colored, files))


def survey(pairs, colored):
    """Look at all pairs: (those that can be used, their ``Surveyed``, sentences about others)."""
    usable, surveyed, problems = [], [], []
    for pair in tqdm(pairs, "looking at masks", leave=False, mininterval=1):
        try:
            height, width = read_image(pair.image, None).shape[:2]
            mask = read_mask(pair, colored)
            _check_shapes(pair, (height, width), mask.shape)
        except ValueError as error:
            problems.append(str(error))
            continue
        values, counts = np.unique(mask, return_counts=True)
        usable.append(pair)
        surveyed.append(
            Surveyed(
                (height, width), Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))
            )
        )
    return usable, surveyed, problems


def _check_shapes(pair, image, mask):
    """Raise ValueError unless the mask is the image in another resolution."""
    (height, width), (mask_height, mask_width) = image, mask
    if abs(height * mask_width - width * mask_height) <= max(height, width, *mask):
        return
    names = f"{pair.image.name} is {width}x{height} and its mask {mask_width}x{mask_height}"
    turned = abs(height * mask_height - width * mask_width) <= max(height, width, *mask)
    raise ValueError(names + (": one of them is turned" if turned else ": they do not fit"))


def _is_colored(file):
    """Whether a mask has colors that are not gray. A palette's colors only show its numbers."""
    try:
        with Image.open(file) as picture:
            if picture.mode in ("1", "L", "LA", "P", "I", "I;16", "F"):
                return False
            red, green, blue = np.moveaxis(np.asarray(picture.convert("RGB")), -1, 0)
    except Exception:  # for a damaged file Pillow raises many types; survey names it
        return False
    return bool((red != green).any() or (green != blue).any())


def read_mask(pair, colored=False):
    """The values of a mask, int32 ``[H, W]``.

    Numbers for gray and palette pictures; for colored ones 256 + 0xRRGGBB. With a file for each
    class, k + 1 where the k-th class is, 0 elsewhere.
    """
    if None in pair.masks:
        return _read_values(pair.masks[None], colored)
    mask = None
    for number, file in enumerate(pair.masks.values(), start=1):
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
            if colored:
                red, green, blue = np.moveaxis(np.asarray(picture.convert("RGB"), np.int32), -1, 0)
                return 256 + (red << 16 | green << 8 | blue)
            if picture.mode not in ("P", "1", "L", "I", "I;16", "F"):
                picture = picture.convert("L")
            values = np.asarray(picture).astype(np.int32)
            return _black_or_white(values) if lossy else values
    except Exception as error:
        raise ValueError(f"{file.name} can't be read as a mask ({error})") from error


def _black_or_white(values):
    """Values of a JPEG file as 0 and 255, if nearly all are close to one of them."""
    close = np.minimum(values, 255 - values) < 64
    return np.where(values > 127, 255, 0) if close.mean() > 0.95 else values


# --- the meaning of values -----------------------------------------------------------------


@dataclass(frozen=True)
class Meaning:
    """The classes of masks, and the class number of each value that masks hold."""

    classes: Classes
    numbers: dict
    colored: bool

    def to_json(self):
        """A dict that JSON can hold."""
        names, colors, ignore = self.classes.names, self.classes.colors, self.classes.ignore
        return {
            "classes": {"names": names, "colors": colors, "ignore": ignore},
            "numbers": list(self.numbers.items()),
            "colored": self.colored,
        }

    @staticmethod
    def from_json(stored):
        """The ``Meaning`` that was stored."""
        return Meaning(Classes(**stored["classes"]), dict(stored["numbers"]), stored["colored"])

    def apply(self, values):
        """Class numbers, uint8, for the values of a mask, int32."""
        found, places = np.unique(values, return_inverse=True)
        numbers = np.array([self.numbers[value] for value in found.tolist()], np.uint8)
        return numbers[places].reshape(values.shape)

    def sentence(self):
        """What the values mean."""
        names = (*self.classes.names, *[IGNORE_NAME] * (IGNORE - len(self.classes)), IGNORE_NAME)
        parts = [f"{_shown(value)} is {names[number]}" for value, number in self.numbers.items()]
        return f"In the masks, {', '.join(parts)}."


def _shown(value):
    """A value as a user knows it: a number, or a color such as #FF0000."""
    return str(value) if value < 256 else f"#{value - 256:06X}"


def of_folders(folders):
    """The ``Meaning`` of masks with a folder for each class."""
    names = (BACKGROUND_NAME, *folders)
    return Meaning(Classes(names), {number: number for number in range(len(names))}, False)


def find_meaning(surveyed, classes):
    """The ``Meaning`` of the values that were found; raises ValueError for values that fit none."""
    counts = sum((one.values for one in surveyed), Counter())
    values, colored = sorted(counts), min(counts) >= 256
    if len(values) > max(MANY, len(classes or ()) + 1):
        raise ValueError(
            f"the masks hold {len(values)} different values, from {_shown(values[0])} to "
            f"{_shown(values[-1])}: save them as PNG, not JPEG, and resize them by nearest neighbor"
        )
    if isinstance(classes, dict):
        return _given(values, classes, colored)
    if isinstance(classes, Classes):
        return _named(values, classes, colored)
    if classes is not None:
        return _named(values, Classes(tuple(classes)), colored)
    return _guessed(values, counts, colored)


def _is_color(value):
    return isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value) is not None


def _given(values, classes, colored):
    """The meaning that a dict gives: name -> number or color."""
    numbers, names, colors = {}, [], []
    for name, value in classes.items():
        value = _as_number(name, value)
        if name == IGNORE_NAME:
            numbers[value] = IGNORE
            continue
        numbers[value] = len(names)
        names.append(name)
        colors.append(_shown(value) if value >= 256 else None)
    unknown = [value for value in values if value not in numbers]
    if unknown:
        raise ValueError(
            f"the masks hold {', '.join(map(_shown, unknown[:5]))}, and classes has "
            f"{', '.join(map(_shown, numbers))}: give each value a name, or call it "
            f'"{IGNORE_NAME}"'
        )
    ignore = IGNORE in numbers.values()
    return Meaning(
        Classes(tuple(names), None if None in colors else tuple(colors), ignore), numbers, colored
    )


def _as_number(name, value):
    """A value of a mask as ``read_mask`` returns it, from a number, "#RRGGBB" or (r, g, b)."""
    if _is_color(value):
        value = rgb(value)
    if np.shape(value) == (3,):
        red, green, blue = map(int, value)
        return 256 + (red << 16 | green << 8 | blue)
    if isinstance(value, (int, np.integer)) and 0 <= value < 256:
        return int(value)
    raise ValueError(f'class {name!r} has the value {value!r}: use 0 to 255 or "#RRGGBB"')


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
        known = ", ".join(f'"{name}": ...' for name in classes.names)
        raise ValueError(
            f"the masks hold {', '.join(map(_shown, values[:8]))}, and there are {count} names: "
            f"say which value each has, classes={{{known}}}"
        )
    if classes.ignore:
        numbers[IGNORE] = IGNORE
    return Meaning(classes, numbers, colored)


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
        return Meaning(Classes((BACKGROUND_NAME, "object")), {values[0]: 0, values[1]: 1}, False)
    ignore = len(values) > 2 and values[-1] == IGNORE and values[-2] < MANY
    shown = values[:-1] if ignore else values
    numbers = {value: number for number, value in enumerate(shown)}
    numbers |= {IGNORE: IGNORE} if ignore else {}
    return Meaning(
        Classes(tuple(f"class {value}" for value in shown), ignore=ignore), numbers, False
    )


# --- rows of a split -----------------------------------------------------------------------


def choose_test(surveyed, meaning, share):
    """Whether each photograph is in the test split: bool ``[N]``, stratified by classes."""
    count = len(meaning.classes)
    present = [{meaning.numbers[value] for value in one.values} for one in surveyed]
    strata = [strata_name(np.isin(np.arange(count), list(numbers))) for numbers in present]
    steps = np.floor(np.arange(len(strata) + 1) * share + 0.5)
    in_test = np.zeros(len(strata), bool)
    in_test[stratified_order(strata)[np.diff(steps) > 0]] = True
    if in_test.all() or not in_test.any():
        raise ValueError(
            f"test_share {share} of {len(strata)} photographs leaves a split empty: use more "
            "photographs or another share"
        )
    return in_test


def read_rows(pairs, meaning, shape, tiles):
    """Yield the rows that ``save_split`` takes, one for each photograph or tile."""
    for pair in pairs:
        image, mask = read_pair(pair, meaning)
        height, width = image.shape[:2]
        name = pair.image.stem
        row = {"name": name, "photo": name, "height": height, "width": width}
        if not tiles:
            yield *resize(image, mask, shape), row
            continue
        _, mask = resize(image, mask, (height, width))
        image, mask = (pad(values, shape) for values in (image, mask))
        for top, left in corners((height, width), shape):
            window = slice(top, top + shape[0]), slice(left, left + shape[1])
            yield image[window], mask[window], row | {"name": f"{name}_{top}_{left}"}


def read_pair(pair, meaning):
    """The image uint8 ``[H, W, 3]`` and the class numbers uint8 ``[h, w, 1]`` of a pair."""
    mask = meaning.apply(read_mask(pair, meaning.colored))
    return read_image(pair.image, None), mask[..., np.newaxis]


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
