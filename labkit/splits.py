"""Splits: images, masks and their table, stored as uint8 arrays that open in milliseconds."""

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from labkit import profile
from labkit.classes import PETS, Classes


@dataclass(frozen=True)
class Split:
    """Images, masks and their metadata, in the same order.

    Attributes:
        images: uint8 ``[N, H, W, 3]``, 0-255, read from disk on access.
        masks: uint8 ``[N, H, W, 1]``: for pets 0 pet, 1 background, 2 border.
        table: arrays ``[N]`` by column: ``name``, and for pets ``breed``, ``species`` (strings),
            ``height`` and ``width`` (of the original image, in pixels).
        classes: what the values of the masks mean.
    """

    images: np.ndarray
    masks: np.ndarray
    table: dict
    classes: Classes = PETS

    def __len__(self):
        return len(self.images)

    def select(self, indices):
        """The split at ``indices``: a slice, or an array of integers or booleans."""
        table = {key: column[indices] for key, column in self.table.items()}
        subset = Split(self.images[indices], self.masks[indices], table, self.classes)
        if len(subset) == 0:
            raise ValueError(f"none of {len(self)} images is selected: select at least one")
        return subset


class Splits(NamedTuple):
    """What ``load`` and ``from_folders`` return: two splits and the source of their images."""

    train: Split
    test: Split
    source: str


def join(first, second):
    """The images of two splits of one size as one split; the columns that both tables have.

    Raises ValueError if their classes differ.
    """
    if first.classes != second.classes:
        raise ValueError(
            f"the splits have classes {', '.join(first.classes.names)} and "
            f"{', '.join(second.classes.names)}: join splits of the same classes"
        )
    table = {
        key: np.concatenate([first.table[key], second.table[key]])
        for key in first.table
        if key in second.table
    }
    images, masks = (
        np.concatenate([getattr(split, name) for split in (first, second)])
        for name in ("images", "masks")
    )
    return Split(images, masks, table, first.classes)


# --- dividing ------------------------------------------------------------------------------


def stratify(split, share=0.1):
    """Divide a split in two, stratified by breed or by the classes that occur, without random
    numbers.

    Args:
        split: a ``Split``. Tiles of one photograph (column ``photo``) stay together.
        share: the share of the images in the second split.

    Returns:
        Two splits without a common image.
    """
    if not 0 < share < 1:
        raise ValueError(f"share is {share}: use a number between 0 and 1, such as 0.1")
    units = _photos(split)
    order = stratified_order(_strata(split, units))
    second = spread(order, share)
    if not len(second):
        raise ValueError(f"share {share} of {len(order)} images is no image: use a larger share")
    in_second = np.isin(units, second)
    return split.select(~in_second), split.select(in_second)


def folds(split, count=5):
    """Yield pairs (train, val) for cross-validation: each image is in exactly one ``val``.

    Args:
        split: a ``Split``. Tiles of one photograph (column ``photo``) stay together.
        count: the number of pairs, 2 to the number of images; stratified as by ``stratify``.
    """
    units = _photos(split)
    order = stratified_order(_strata(split, units))
    if not 2 <= count <= len(order):
        raise ValueError(f"count is {count}: use 2 to {len(order)}, the number of photographs")
    for number in range(count):
        in_val = np.isin(units, order[number::count])
        yield split.select(~in_val), split.select(in_val)


def stratified_order(strata):
    """Indices that sort the strata (strings); equal ones keep their order."""
    return np.argsort(strata, kind="stable")


def spread(order, share, start=0.0):
    """A share of the indices in ``order``, at equal distances: each stratum gives its share.

    ``start`` shifts them, by a part of the distance from 0 to 1.
    """
    steps = np.floor(np.arange(len(order) + 1) * share + start)
    return order[np.diff(steps) > 0]


def _photos(split):
    """The number of each image's photograph, 0 to P - 1: int ``[N]``."""
    if "photo" not in split.table:
        return np.arange(len(split))
    return np.unique(split.table["photo"], return_inverse=True)[1]


def count_photos(split):
    """The number of photographs, which is that of images if they are no tiles."""
    return int(_photos(split).max()) + 1


def _strata(split, units):
    """For each photograph its breed, or the classes that occur in it, as a string."""
    if "breed" in split.table:
        return split.table["breed"]
    occurring = occurrence(split)  # [N, C]
    return np.array(
        [strata_name(occurring[units == unit].any(0)) for unit in range(units.max() + 1)]
    )


def occurrence(split):
    """Whether each class occurs in each mask: bool ``[N, C]``."""
    count = len(split.classes)
    return np.array([np.isin(np.arange(count), mask) for mask in split.masks])


def strata_name(occurring):
    """A name for the set of classes that occur, bool ``[C]``; the last classes count most."""
    return "".join("01"[bool(occurs)] for occurs in occurring[::-1])


# --- arrays on disk ------------------------------------------------------------------------


def cache_folder():
    """The folder of the compact arrays: ``LABKIT_CACHE``, or ``~/.cache/labkit``."""
    return profile.expand(os.environ.get("LABKIT_CACHE") or profile.home() / ".cache" / "labkit")


def is_complete(folder):
    """Whether ``save_split`` has written this folder."""
    return all((folder / name).exists() for name in ("images.npy", "masks.npy", "table.json"))


def save_split(rows, folder, count, image_size, title="reading images"):
    """Write the compact arrays of a split; after an error, no file is left.

    Args:
        rows: of (image uint8 ``[H, W, 3]``, mask uint8 ``[H, W, 1]``, dict for the table).
        folder: a pathlib.Path, which exists only once all rows are written.
        count: N, the number of rows.
        image_size: S or (H, W), in pixels.

    Raises:
        OSError: if the disk is full or the folder can't be written.
        ValueError: for a number of rows other than N.
    """
    height, width = sides(image_size)
    temporary = _temporary_folder(folder, count * height * width * 4)
    try:
        table = []
        # Plain writes raise an error on a full disk; a memory map would crash Python.
        with (
            open(temporary / "images.npy", "wb") as images,
            open(temporary / "masks.npy", "wb") as masks,
        ):
            _write_header(images, (count, height, width, 3))
            _write_header(masks, (count, height, width, 1))
            for image, mask, row in tqdm(rows, title, count, leave=False, mininterval=1):
                images.write(image.tobytes())
                masks.write(mask.tobytes())
                table.append(row)
        if len(table) != count:
            raise ValueError(f"expected {count} images, got {len(table)}")
        columns = {key: [row[key] for row in table] for key in (table[0] if table else ())}
        (temporary / "table.json").write_text(json.dumps(columns))
        _move(temporary, folder)
    except OSError as error:
        raise _write_error(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary_folder(folder, size):
    """A new folder beside ``folder``, on a disk with at least ``size`` free bytes."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder.parent).free
        if free < size:
            raise OSError(f"it needs {size / 1e6:.0f} MB and {free / 1e6:.0f} MB are free")
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        temporary.chmod(0o755)  # mkdtemp's 0o700 would hide a shared cache from other users
    except OSError as error:
        raise _write_error(folder, error) from error
    return temporary


def _write_error(folder, error):
    return OSError(
        f"can't write the image cache in {folder.parent} ({error}): free some space, or set "
        "LABKIT_CACHE to another folder"
    )


def _write_header(file, shape):
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _move(temporary, folder):
    """Rename the finished folder, unless another process has written the same one by now."""
    try:
        temporary.rename(folder)
    except OSError:
        if not is_complete(folder):  # some of its files were deleted
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)


def open_split(folder, classes=PETS):
    """Open a split's compact arrays as memory maps, which takes milliseconds."""
    table = json.loads((folder / "table.json").read_text())
    return Split(
        np.load(folder / "images.npy", mmap_mode="r"),
        np.load(folder / "masks.npy", mmap_mode="r"),
        {key: np.array(column) for key, column in table.items()},
        classes,
    )


def sides(image_size):
    """Height and width of a size: S or (H, W), in pixels. Raises ValueError for anything else."""
    both = (image_size, image_size) if np.ndim(image_size) == 0 else tuple(image_size)
    whole = all(isinstance(side, (int, np.integer)) and side is not True for side in both)
    if len(both) != 2 or not whole or min(both) < 1:
        raise ValueError(
            f"image_size is {image_size!r}: use a whole number of pixels, such as 128, or "
            "(height, width)"
        )
    return int(both[0]), int(both[1])


def size_name(image_size):
    """A size in the name of a folder: "128px", "96x128px"."""
    height, width = sides(image_size)
    return f"{height}px" if height == width else f"{height}x{width}px"


def resize(image, mask, image_size):
    """An image (bilinear with antialiasing) and its mask (nearest neighbor) in another size.

    Args:
        image: uint8 ``[H, W, 3]``.
        mask: uint8 ``[H, W, 1]``; its sides may differ from the image's.
        image_size: S or (H, W), in pixels.
    """
    height, width = sides(image_size)
    if image.shape[:2] != (height, width):
        picture = Image.fromarray(image)
        image = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
    if mask.shape[:2] != (height, width):
        picture = Image.fromarray(mask[..., 0])
        mask = np.asarray(picture.resize((width, height), Image.Resampling.NEAREST))[..., None]
    return image, mask
