"""The Oxford-IIIT Pet dataset: downloaded if needed, checked, and stored as uint8 arrays.

Most readers need only ``load``. It uses the first of these that is available: the dataset as
prepared by TensorFlow Datasets (TFDS), its own cache, a download, and synthetic pets.
Outside this module masks hold 0 pet, 1 background, 2 border; only here are they 1, 2, 3.
"""

import json
import os
import shutil
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from labkit import download, profile, synthetic
from labkit.download import REAL, VERSION

SYNTHETIC = "synthetic"
SOURCES = ("auto", REAL, SYNTHETIC)
SYNTHETIC_IMAGES = (1000, 300)  # train, test


@dataclass(frozen=True)
class Split:
    """Images, masks and their metadata, in the same order.

    Attributes:
        images: uint8 ``[N, S, S, 3]``, 0-255, read from disk on access.
        masks: uint8 ``[N, S, S, 1]``: 0 pet, 1 background, 2 border.
        table: arrays ``[N]`` by column: ``name``, ``breed``, ``species`` (strings), ``height`` and
            ``width`` (of the original image, in pixels).
    """

    images: np.ndarray
    masks: np.ndarray
    table: dict

    def __len__(self):
        return len(self.images)

    def select(self, indices):
        """The split at ``indices``: a slice, or an array of integers or booleans."""
        table = {key: column[indices] for key, column in self.table.items()}
        subset = Split(self.images[indices], self.masks[indices], table)
        if len(subset) == 0:
            raise ValueError(f"none of {len(self)} images is selected: select at least one")
        return subset


def join(first, second):
    """The images of two splits of one size as one split; the columns that both tables have."""
    table = {
        key: np.concatenate([first.table[key], second.table[key]])
        for key in first.table
        if key in second.table
    }
    images, masks = (
        np.concatenate([getattr(split, name) for split in (first, second)])
        for name in ("images", "masks")
    )
    return Split(images, masks, table)


class Pets(NamedTuple):
    """What ``load`` returns: two splits and the source of their images."""

    train: Split
    test: Split
    source: str


# --- sources -------------------------------------------------------------------------------


def load(source="auto", image_size=128, limit=None):
    """Load the dataset as compact arrays.

    Args:
        source: "oxford_iiit_pet" (the real dataset, or an error), "synthetic", or "auto": the real
            dataset if it is prepared, cached or can be downloaded, else synthetic pets. The
            environment variable ``LABKIT_DATA`` replaces "auto".
        image_size: S, the side in pixels that every image is resized to.
        limit: (train, test), the maximum number of images; None for all, which is 1,000 and 300
            for synthetic pets.

    Returns:
        ``Pets(train, test, source)``. The first call reads every image and stores the arrays in a
        cache folder (``LABKIT_CACHE``, or ``~/.cache/labkit``). Later calls only open them, which
        needs neither the dataset nor TensorFlow.

    Raises:
        ValueError: for an unknown source, a size below 1 or an empty split.
        ConnectionError: if the real dataset is requested and can't be downloaded.
    """
    _check_size(image_size)
    if limit is not None and (np.shape(limit) != (2,) or min(limit) < 1):
        raise ValueError(f"limit is {limit}: use (train, test), at least one image each")
    use_cache = _requested(source) != SYNTHETIC and not download.is_prepared()
    if use_cache and (folders := _cached_folders(image_size)):
        if os.environ.get("TFDS_DATA_DIR"):  # it may be mistyped
            print(
                f"There is no {REAL} in TFDS_DATA_DIR, {os.environ['TFDS_DATA_DIR']}: using the "
                f"arrays in {folders[0].parent}."
            )
        return _limit(*map(open_split, folders), REAL, limit)
    source = find_source(source)
    if source == SYNTHETIC:
        counts = [
            min(pair) for pair in zip(limit or SYNTHETIC_IMAGES, SYNTHETIC_IMAGES, strict=True)
        ]
        code = zlib.crc32(Path(synthetic.__file__).read_bytes())  # other code may draw other pets
        key = f"synthetic-{code:08x}-{counts[0]}-{counts[1]}"
    else:
        splits = download.split_info()
        counts = [splits[name]["count"] for name in ("train", "test")]
        key = f"{REAL}-{VERSION}-{sum(int(split['numBytes']) for split in splits.values())}"
    folder = cache_folder() / f"{key}-{image_size}px"
    train = _open_or_prepare(folder / "train", source, counts[0], image_size)
    test = _open_or_prepare(folder / "test", source, counts[1], image_size)
    return _limit(train, test, source, limit)


def _limit(train, test, source, limit):
    if limit is not None:
        train, test = train.select(slice(limit[0])), test.select(slice(limit[1]))
    return Pets(train, test, source)


def find_source(source="auto"):
    """Resolve ``source`` to "oxford_iiit_pet" or "synthetic"; download the dataset if needed.

    Prints a line when synthetic pets replace the real ones. Raises the errors of ``load``.
    """
    source = _requested(source)
    if source == SYNTHETIC:
        return SYNTHETIC
    if download.is_prepared():
        return REAL
    problem = download.problem_for_tfds(download.HOST)
    if problem is None:
        download.download()
        return REAL
    problem = f"{REAL} is not in {download.prepared_folder()}, and {download.HOST} {problem}."
    if source == REAL:
        raise ConnectionError(problem)
    print(f"Using synthetic pets: {problem}")
    return SYNTHETIC


def _requested(source):
    """``source`` after a check; ``LABKIT_DATA``, if it is set, replaces "auto"."""
    name = "source"
    if source == "auto" and os.environ.get("LABKIT_DATA"):
        name, source = "LABKIT_DATA", os.environ["LABKIT_DATA"]
    if source not in SOURCES:
        raise ValueError(f"{name} is {source!r}: use one of {', '.join(SOURCES)}")
    return source


def is_here(image_size=128):
    """Whether the real dataset can be loaded without a download."""
    return download.is_prepared() or _cached_folders(image_size) is not None


def _cached_folders(image_size):
    """Cache folders of the real train and test split, or None if they are not complete."""
    for folder in sorted(cache_folder().glob(f"{REAL}-{VERSION}-*-{image_size}px")):
        if _is_complete(folder / "train") and _is_complete(folder / "test"):
            return folder / "train", folder / "test"
    return None


def examples(split, source="auto", count=None):
    """The raw examples of TFDS as a ``tf.data.Dataset`` of dicts.

    Args:
        split: "train" or "test".
        source: as for ``load``, except that the cache is not used: it holds no raw examples.
        count: the maximum number of examples; None for all.

    Returns:
        Dicts with ``image`` uint8 ``[H, W, 3]``, ``segmentation_mask`` uint8 ``[H, W, 1]`` (1, 2,
        3), ``label``, ``species``, ``file_name`` and ``head_bbox``. Sizes differ.
    """
    import tensorflow as tf

    _check_split(split)
    if count is not None and count < 1:
        raise ValueError(f"count is {count}: use a whole number of at least 1, or None for all")
    if find_source(source) == REAL:
        download.check_prepared(split)
        wanted = split if count is None else f"{split}[:{count}]"
        return download.builder().as_dataset(split=wanted)
    count = count or SYNTHETIC_IMAGES[split == "test"]
    first = next(synthetic.examples(1, split=split))
    signature = {key: tf.type_spec_from_value(tf.constant(value)) for key, value in first.items()}
    signature["label"] = signature["species"] = tf.TensorSpec((), tf.int64)
    signature["image"] = tf.TensorSpec((None, None, 3), tf.uint8)
    signature["segmentation_mask"] = tf.TensorSpec((None, None, 1), tf.uint8)
    dataset = tf.data.Dataset.from_generator(
        lambda: synthetic.examples(count, split=split), output_signature=signature
    )
    return dataset.apply(tf.data.experimental.assert_cardinality(count))


def _check_split(split):
    if split not in ("train", "test"):
        raise ValueError(f'split is {split!r}: use "train" or "test"')


# --- compact arrays ------------------------------------------------------------------------


def cache_folder():
    """The folder of the compact arrays: ``LABKIT_CACHE``, or ``~/.cache/labkit``."""
    return profile.expand(os.environ.get("LABKIT_CACHE") or profile.home() / ".cache" / "labkit")


def _open_or_prepare(folder, source, count, image_size):
    if not _is_complete(folder):
        rows = _read_rows(folder.name, source, count, image_size)
        save_split(rows, folder, count, image_size, f"reading {folder.name} images, once")
    return open_split(folder)


def _is_complete(folder):
    return all((folder / name).exists() for name in ("images.npy", "masks.npy", "table.json"))


def _read_rows(split, source, count, image_size):
    """Yield pairs (raw example with NumPy values, breed name)."""
    if source == SYNTHETIC:
        size = (image_size, image_size)
        for example in synthetic.examples(count, split=split, size=size):
            yield example, synthetic.BREEDS[example["label"]]
        return
    download.check_prepared(split)
    builder = download.builder()
    breeds = builder.info.features["label"].names
    for example in _read_records(builder.as_dataset(split=split), split):
        yield {**example, "file_name": example["file_name"].decode()}, breeds[example["label"]]


def _read_records(dataset, split):
    """Yield the examples of a dataset; a damaged record raises ValueError."""
    from tensorflow.errors import DataLossError, InvalidArgumentError

    try:
        yield from dataset.as_numpy_iterator()
    except (DataLossError, InvalidArgumentError) as error:
        raise download.damaged(download.prepared_folder() / f"{REAL}-{split}.tfrecord-*") from error


def save_split(rows, folder, count, image_size, title="reading images"):
    """Write the compact arrays of a split; after an error, no file is left.

    Args:
        rows: pairs (TFDS example, breed name).
        folder: a pathlib.Path, which exists only once all rows are written.
        count: N, the number of rows.
        image_size: S, the side in pixels.

    Raises:
        OSError: if the disk is full or the folder can't be written.
        ValueError: for an invalid example, named by its file, or a number of rows other than N.
    """
    pixels = image_size * image_size
    temporary = _temporary_folder(folder, count * pixels * 4)
    try:
        table = {key: [] for key in ("name", "breed", "species", "height", "width")}
        # Plain writes raise an error on a full disk; a memory map would crash Python.
        with (
            open(temporary / "images.npy", "wb") as images,
            open(temporary / "masks.npy", "wb") as masks,
        ):
            _write_header(images, (count, image_size, image_size, 3))
            _write_header(masks, (count, image_size, image_size, 1))
            for example, breed in tqdm(rows, title, count, leave=False, mininterval=1):
                image, mask = _prepare_example(example, image_size)
                images.write(image.tobytes())
                masks.write(mask.tobytes())
                _add_to_table(table, example, breed)
        if len(table["name"]) != count:
            raise ValueError(f"expected {count} images, got {len(table['name'])}")
        (temporary / "table.json").write_text(json.dumps(table))
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


def _prepare_example(example, image_size):
    try:
        return prepare(example["image"], example["segmentation_mask"], image_size)
    except ValueError as error:
        raise ValueError(f"{example['file_name']}: {error}") from error


def _write_header(file, shape):
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _add_to_table(table, example, breed):
    table["name"].append(Path(example["file_name"]).stem)
    table["breed"].append(breed)
    table["species"].append(("cat", "dog")[int(example["species"])])
    table["height"].append(example["image"].shape[0])
    table["width"].append(example["image"].shape[1])


def _move(temporary, folder):
    """Rename the finished folder, unless another process has written the same one by now."""
    try:
        temporary.rename(folder)
    except OSError:
        if not _is_complete(folder):  # some of its files were deleted
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)


def open_split(folder):
    """Open a split's compact arrays as memory maps, which takes milliseconds."""
    table = json.loads((folder / "table.json").read_text())
    return Split(
        np.load(folder / "images.npy", mmap_mode="r"),
        np.load(folder / "masks.npy", mmap_mode="r"),
        {key: np.array(column) for key, column in table.items()},
    )


# --- one image -----------------------------------------------------------------------------


def _check_size(image_size):
    if not isinstance(image_size, int) or image_size < 1:
        raise ValueError(f"image_size is {image_size!r}: use a whole number of pixels, such as 128")


def prepare(image, mask, image_size=128):
    """Check and resize one raw example, and map its labels 1, 2, 3 to 0, 1, 2.

    Args:
        image: uint8 ``[H, W, 3]``.
        mask: uint8 ``[H, W, 1]``, values 1 pet, 2 background, 3 border.
        image_size: S, the side in pixels.

    Returns:
        image uint8 ``[S, S, 3]`` (bilinear with antialiasing), mask uint8 ``[S, S, 1]`` (nearest
        neighbor, because a mean of labels is not a label).

    Raises:
        ValueError: for a wrong shape, dtype or label.
    """
    _check_size(image_size)
    image, mask = np.asarray(image), np.asarray(mask)
    if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f"an image is uint8 [H, W, 3], got {image.dtype} {list(image.shape)}: open other "
            "pictures with labkit.data.read_image"
        )
    if mask.shape != (*image.shape[:2], 1):
        raise ValueError(
            f"the mask has shape {list(mask.shape)}, but its image has {list(image.shape)}: "
            f"expected a mask of {[*image.shape[:2], 1]}"
        )
    mask = normalize_mask(mask)
    size = (image_size, image_size)
    if image.shape[:2] == size:
        return image, mask
    image = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    mask = Image.fromarray(mask[..., 0]).resize(size, Image.Resampling.NEAREST)
    return np.asarray(image), np.asarray(mask)[..., np.newaxis]


def normalize_mask(mask):
    """Map the dataset's labels 1, 2, 3 to classes 0, 1, 2, uint8 of the same shape.

    Raises ValueError for any other value: subtracting 1 from a uint8 0 would give 255.
    """
    mask = np.asarray(mask)
    invalid = sorted(set(np.unique(mask).tolist()) - {1, 2, 3})
    if invalid:
        raise ValueError(
            f"the mask holds {invalid[:5]}: the dataset's labels are 1 pet, 2 background, "
            "3 border. Resize masks by nearest neighbor; a mask of 0, 1, 2 is already normalized"
        )
    return (mask - 1).astype(np.uint8)


def read_image(file, image_size=128):
    """Read a picture file, such as a photo of your own pet, as an image of the model's size or its
    own.

    Args:
        file: a path or an open binary file: JPEG, PNG, ... in color, gray, CMYK or with alpha
            (transparent parts become white). The Exif orientation is applied. Gray values of more
            than 8 bits are scaled from the smallest range that holds them: 10, 12, 14 or 16
            bits, or the largest value.
        image_size: S, the side in pixels; None for the picture's own height and width.

    Returns:
        uint8 ``[S, S, 3]`` or ``[H, W, 3]``.

    Raises:
        ValueError: if the file is not a picture or is damaged; for a size below 1.
        FileNotFoundError: if the file does not exist.
    """
    if image_size is not None:
        _check_size(image_size)
    name = getattr(file, "name", file) if hasattr(file, "read") else file
    try:
        with Image.open(file) as picture:
            picture = ImageOps.exif_transpose(picture)
            if picture.mode[0] in "IF":  # more than 8 bits, which convert would clip
                picture = Image.fromarray(_to_8_bits(np.asarray(picture), picture.mode))
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                white = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(white, picture)
            picture = picture.convert("RGB")
    except (FileNotFoundError, UnknownRange):
        raise
    except UnidentifiedImageError as error:
        raise ValueError(f"{name} is not a picture in a known format: use JPEG or PNG") from error
    except Exception as error:  # for a damaged file Pillow raises many types
        raise ValueError(f"{name} is damaged or too large ({error}): save it again") from error
    if image_size is not None:
        picture = picture.resize((image_size, image_size), Image.Resampling.BILINEAR)
    return np.asarray(picture)


class UnknownRange(ValueError):
    """A picture has gray values without a known range."""


def _to_8_bits(gray, mode):
    """Gray values of more than 8 bits, or floats in 0-1 or 0-255, as uint8 of the same shape."""
    low, high = gray.min(), gray.max()
    if not (low >= 0 and np.isfinite(high)) or (mode == "F" and high > 255):
        raise UnknownRange(
            f"the picture has mode {mode} with values from {low} to {high}: save it with 8 bits"
        )
    if mode == "F":
        return np.rint(gray * (255 if high <= 1 else 1)).astype(np.uint8)
    ranges = [2**bits - 1 for bits in (8, 10, 12, 14, 16)]
    full = next((full for full in ranges if high <= full), high)
    return np.rint(gray * (255 / full)).astype(np.uint8)


# --- validation split -----------------------------------------------------------------------


def hold_out(split):
    """Divide a train split into training and validation: (train, val).

    For the real dataset, ``labkit/validation.txt`` lists the validation images: a tenth of each
    breed, the same in every run. For other data, ``stratify`` chooses them.
    """
    val_names = (Path(__file__).parent / "validation.txt").read_text().split()
    is_val = np.isin(split.table["name"], val_names)
    if not is_val.any():
        return stratify(split)
    return split.select(~is_val), split.select(is_val)


def stratify(split, share=0.1):
    """Divide a split in two, stratified by breed, without random numbers.

    Args:
        split: a ``Split``.
        share: the share of each breed's images in the second split.

    Returns:
        Two splits without a common image.
    """
    if not 0 < share < 1:
        raise ValueError(f"share is {share}: use a number between 0 and 1, such as 0.1")
    # Images at equal distances in the order of breeds: each breed gives its share.
    order = np.argsort(split.table["breed"], kind="stable")
    steps = np.floor(np.arange(len(split) + 1) * share)
    in_second = np.zeros(len(split), bool)
    in_second[order[np.diff(steps) > 0]] = True
    if not in_second.any():
        raise ValueError(f"share {share} of {len(split)} images is no image: use a larger share")
    return split.select(~in_second), split.select(in_second)
