"""The Oxford-IIIT Pet dataset: found or downloaded, checked, and read once into uint8 arrays.

``load`` is the one function that most readers need. It looks for a dataset that TensorFlow
Datasets (TFDS) has prepared already, then in its own cache, then on the network, and takes
synthetic pets if it finds nothing.
Outside this module masks hold 0 pet, 1 background, 2 border; only here are they 1, 2, 3.
"""

import http.client
import json
import os
import shutil
import tempfile
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from labkit import synthetic

REAL, SYNTHETIC = "oxford_iiit_pet", "synthetic"
SOURCES = ("auto", REAL, SYNTHETIC)
VERSION = "4.0.0"
HOST = "https://thor.robots.ox.ac.uk"  # where TFDS downloads the dataset from
SYNTHETIC_IMAGES = (1000, 300)  # train, test
NO_NETWORK = (
    "Connect to the network and run this again (a download of 0.8 GB), or set TFDS_DATA_DIR to a "
    "folder where TensorFlow Datasets has prepared it."
)


@dataclass(frozen=True)
class Split:
    """Images, masks and what is known about each, in one order.

    Attributes:
        images: uint8 ``[N, S, S, 3]``, 0-255, read from disk as it is used.
        masks: uint8 ``[N, S, S, 1]``: 0 pet, 1 background, 2 border.
        table: arrays ``[N]`` by name: ``name``, ``breed``, ``species`` (strings), ``height`` and
            ``width`` (of the original image, in pixels).
    """

    images: np.ndarray
    masks: np.ndarray
    table: dict

    def __len__(self):
        return len(self.images)

    def select(self, indices):
        """The split of these images: a slice, or an array of indices or booleans."""
        table = {key: column[indices] for key, column in self.table.items()}
        part = Split(self.images[indices], self.masks[indices], table)
        if len(part) == 0:
            raise ValueError(f"the selection of {len(self)} images is empty: select at least one")
        return part


class Pets(NamedTuple):
    """What ``load`` gives: two splits, and where they came from."""

    train: Split
    test: Split
    source: str


# --- the three sources ---------------------------------------------------------------------


def load(source="auto", image_size=128, limit=None):
    """The dataset as compact arrays.

    Args:
        source: "oxford_iiit_pet" (the real one, or an error), "synthetic", or "auto": the real
            one if it is prepared or can be downloaded, else synthetic pets. ``LABKIT_DATA`` in
            the environment says what "auto" means.
        image_size: S, the side in pixels that every image is resized to.
        limit: (train, test), how many images to use at most; None for all, of synthetic pets
            1,000 and 300.

    Returns:
        ``Pets(train, test, source)``. The first call reads every image once and keeps the arrays
        in a cache folder (``LABKIT_CACHE``, or ``~/.cache/labkit``); later calls only open them,
        also where the dataset is not, and TensorFlow is not installed.

    Raises:
        ValueError: for an unknown source, a size below 1 or an empty split.
        ConnectionError: if the real dataset was asked for and can't be had.
    """
    _check_size(image_size)
    if limit is not None and (np.shape(limit) != (2,) or min(limit) < 1):
        raise ValueError(f"limit is {limit}: use (train, test), at least one image each")
    if _asked(source) != SYNTHETIC and not _is_prepared() and (folders := _cached(image_size)):
        return _limited(*map(open_split, folders), REAL, limit)
    source = find_source(source)
    if source == SYNTHETIC:
        counts = [
            min(pair) for pair in zip(limit or SYNTHETIC_IMAGES, SYNTHETIC_IMAGES, strict=True)
        ]
        code = zlib.crc32(Path(synthetic.__file__).read_bytes())  # redrawn when the drawing changes
        key = f"synthetic-{code:08x}-{counts[0]}-{counts[1]}"
    else:
        splits = json.loads((prepared_folder() / "dataset_info.json").read_text())["splits"]
        counts = [_count(splits, name) for name in ("train", "test")]
        key = f"{REAL}-{VERSION}-{sum(int(part['numBytes']) for part in splits)}"
    folder = cache_folder() / f"{key}-{image_size}px"
    train = _open_or_prepare(folder / "train", source, counts[0], image_size)
    test = _open_or_prepare(folder / "test", source, counts[1], image_size)
    return _limited(train, test, source, limit)


def _limited(train, test, source, limit):
    if limit is not None:
        train, test = train.select(slice(limit[0])), test.select(slice(limit[1]))
    return Pets(train, test, source)


def find_source(source="auto"):
    """The source that ``source`` means here, "oxford_iiit_pet" or "synthetic"; downloads if needed.

    Prints a line when synthetic pets stand in for the real ones. Errors as ``load``.
    """
    source = _asked(source)
    if source == SYNTHETIC:
        return SYNTHETIC
    if _is_prepared():
        return REAL
    if reachable(HOST):
        _download()
        return REAL
    if source == REAL:
        missing = f"{REAL} is not in {prepared_folder()} and {HOST} can't be reached"
        raise ConnectionError(f"{missing}. {NO_NETWORK}")
    print(f"Using synthetic pets: the real dataset is not here and can't be reached. {NO_NETWORK}")
    return SYNTHETIC


def _asked(source):
    """A source as asked for, "auto" replaced by ``LABKIT_DATA`` where that is set; checked."""
    asked_by = "source"
    if source == "auto" and os.environ.get("LABKIT_DATA"):
        asked_by, source = "LABKIT_DATA", os.environ["LABKIT_DATA"]
    if source not in SOURCES:
        raise ValueError(f"{asked_by} is {source!r}: use one of {', '.join(SOURCES)}")
    return source


def reachable(url, seconds=2.0):
    """Whether a server answers at ``url`` within ``seconds``; TFDS itself would try for minutes."""
    try:
        request = urllib.request.Request(url, method="HEAD")
        urllib.request.urlopen(request, timeout=seconds).close()
    except urllib.error.HTTPError:
        return True  # it answered, if only to refuse the bare address
    except (OSError, http.client.HTTPException):  # no answer, or not one of a web server
        return False
    return True


def prepared_folder():
    """Where TFDS keeps the dataset once it is prepared: in ``TFDS_DATA_DIR``, or at home.

    Looking there spares a second start the seconds that importing TFDS takes.
    """
    home = os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets"
    return Path(home).expanduser() / REAL / VERSION


def _is_prepared():
    return (prepared_folder() / "dataset_info.json").exists()


def _cached(image_size):
    """Folders of the real train and test split in the cache, or None: what a machine needs that
    has neither TFDS nor TensorFlow."""
    for folder in sorted(cache_folder().glob(f"{REAL}-{VERSION}-*-{image_size}px")):
        if _is_complete(folder / "train") and _is_complete(folder / "test"):
            return folder / "train", folder / "test"
    return None


def _count(splits, name):
    """Number of images of a split, from TFDS's ``dataset_info.json``."""
    part = next(part for part in splits if part["name"] == name)
    return sum(int(length) for length in part["shardLengths"])


def _builder():
    import tensorflow_datasets as tfds

    return tfds.builder(f"{REAL}:{VERSION}", data_dir=prepared_folder().parents[1])


def _download():
    """Let TFDS download and prepare the dataset; it keeps the files that are complete."""
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
    from tensorflow_datasets.core.download.util import DownloadError

    builder = _builder()
    downloads = prepared_folder().parents[1] / "downloads"
    print(f"Downloading {REAL} to {prepared_folder()}: 0.8 GB, once.")
    try:
        builder.download_and_prepare()
    except NonMatchingChecksumError as error:
        raise ValueError(
            f"a downloaded file is not the published one: delete {downloads} and run this again "
            f"({error})"
        ) from error
    except (OSError, DownloadError) as error:
        raise ConnectionError(
            f"the download stopped ({error}). Run this again: files that are complete in "
            f"{downloads} are kept"
        ) from error


def examples(split, source="auto", count=None):
    """The raw examples of TFDS, before any change, as a ``tf.data.Dataset`` of dicts.

    Args:
        split: "train" or "test".
        source: as for ``load``; but compact arrays in the cache won't do here, so that "auto"
            gives drawn examples where only they are.
        count: how many at most; None for all.

    Returns:
        Dicts with ``image`` uint8 ``[H, W, 3]``, ``segmentation_mask`` uint8 ``[H, W, 1]`` (1, 2,
        3), ``label``, ``species``, ``file_name`` and ``head_bbox``. Sizes differ.
    """
    import tensorflow as tf

    _check_split(split)
    if count is not None and count < 1:
        raise ValueError(f"count is {count}: use a whole number of at least 1, or None for all")
    if find_source(source) == REAL:
        return _builder().as_dataset(split=split if count is None else f"{split}[:{count}]")
    count = count or SYNTHETIC_IMAGES[split == "test"]
    first = next(synthetic.examples(1, split=split))
    kinds = {key: tf.type_spec_from_value(tf.constant(value)) for key, value in first.items()}
    kinds["label"] = kinds["species"] = tf.TensorSpec((), tf.int64)
    kinds["image"] = tf.TensorSpec((None, None, 3), tf.uint8)
    kinds["segmentation_mask"] = tf.TensorSpec((None, None, 1), tf.uint8)
    dataset = tf.data.Dataset.from_generator(
        lambda: synthetic.examples(count, split=split), output_signature=kinds
    )
    return dataset.apply(tf.data.experimental.assert_cardinality(count))


def _check_split(split):
    if split not in ("train", "test"):
        raise ValueError(f'split is {split!r}: use "train" or "test"')


# --- compact arrays ------------------------------------------------------------------------


def cache_folder():
    """Where compact arrays are kept: ``LABKIT_CACHE``, or ``~/.cache/labkit``."""
    return Path(os.environ.get("LABKIT_CACHE") or Path.home() / ".cache" / "labkit")


def _open_or_prepare(folder, source, count, image_size):
    if not _is_complete(folder):
        rows = _rows(folder.name, source, count, image_size)
        save_split(rows, folder, count, image_size, f"reading {folder.name} images, once")
    return open_split(folder)


def _is_complete(folder):
    return all((folder / name).exists() for name in ("images.npy", "masks.npy", "table.json"))


def _rows(split, source, count, image_size):
    """Raw examples as NumPy, with the names of breed and species."""
    if source == SYNTHETIC:
        size = (image_size, image_size)
        for row in synthetic.examples(count, split=split, size=size):
            yield row, synthetic.BREEDS[row["label"]]
        return
    builder = _builder()
    breeds = builder.info.features["label"].names
    for row in builder.as_dataset(split=split).as_numpy_iterator():
        yield {**row, "file_name": row["file_name"].decode()}, breeds[row["label"]]


def save_split(rows, folder, count, image_size, title="reading images"):
    """Write a split's compact arrays, all or nothing.

    Args:
        rows: pairs (TFDS example, breed name).
        folder: a pathlib.Path; it appears when the last row is written.
        count: N, the number of rows.
        image_size: S, the side in pixels.

    Raises:
        OSError: if the disk is full; nothing is left behind.
        ValueError: for an example that is not one, by its file name.
    """
    pixels = image_size * image_size
    work = _work_folder(folder, count * pixels * 4)
    try:
        table = {key: [] for key in ("name", "breed", "species", "height", "width")}
        # Rows are appended with plain writes: a memory map would crash Python on a full disk.
        with open(work / "images.npy", "wb") as images, open(work / "masks.npy", "wb") as masks:
            _start_array(images, (count, image_size, image_size, 3))
            _start_array(masks, (count, image_size, image_size, 1))
            for row, breed in tqdm(rows, title, count, leave=False, mininterval=1):
                image, mask = _prepare_row(row, image_size)
                images.write(image.tobytes())
                masks.write(mask.tobytes())
                _describe(table, row, breed)
        if len(table["name"]) != count:
            raise ValueError(f"{len(table['name'])} images came where {count} were announced")
        (work / "table.json").write_text(json.dumps(table))
        _publish(work, folder)
    except OSError as error:
        raise _cant_write(folder, error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _work_folder(folder, need):
    """A new folder beside ``folder``, where ``need`` bytes are free."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder.parent).free
        if free < need:
            raise OSError(f"it needs {need / 1e6:.0f} MB and {free / 1e6:.0f} MB are free")
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        work.chmod(0o755)  # a cache that several people share has to be readable for all
    except OSError as error:
        raise _cant_write(folder, error) from error
    return work


def _cant_write(folder, error):
    return OSError(
        f"can't write the image cache in {folder.parent} ({error}): free some space, or set "
        "LABKIT_CACHE to another folder"
    )


def _prepare_row(row, image_size):
    try:
        return prepare(row["image"], row["segmentation_mask"], image_size)
    except ValueError as error:
        raise ValueError(f"{row['file_name']}: {error}") from error


def _start_array(file, shape):
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _describe(table, row, breed):
    table["name"].append(Path(row["file_name"]).stem)
    table["breed"].append(breed)
    table["species"].append(("cat", "dog")[int(row["species"])])
    table["height"].append(row["image"].shape[0])
    table["width"].append(row["image"].shape[1])


def _publish(work, folder):
    """Give the finished folder its name; if another process was faster, its copy is as good."""
    try:
        work.rename(folder)
    except OSError:
        if not _is_complete(folder):  # somebody deleted a part of it
            shutil.rmtree(folder, ignore_errors=True)
            work.rename(folder)


def open_split(folder):
    """A split from its compact arrays, memory-mapped: opening takes milliseconds."""
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
    """One raw example made ready: checked, resized, labels 1, 2, 3 turned into 0, 1, 2.

    Args:
        image: uint8 ``[H, W, 3]``.
        mask: uint8 ``[H, W, 1]``, values 1 pet, 2 background, 3 border.
        image_size: S, the side in pixels.

    Returns:
        image uint8 ``[S, S, 3]`` (bilinear with antialiasing), mask uint8 ``[S, S, 1]`` (nearest
        neighbour, because a mean of labels is not a label).

    Raises:
        ValueError: naming the shape or the value that does not fit, and the remedy.
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
            f"the mask has shape {list(mask.shape)} and its image {list(image.shape)}: "
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
    """Labels 1, 2, 3 of the dataset as classes 0, 1, 2, uint8 of the same shape.

    Raises ValueError for any other value: subtracting 1 from a uint8 0 would give 255.
    """
    mask = np.asarray(mask)
    strange = sorted(set(np.unique(mask).tolist()) - {1, 2, 3})
    if strange:
        raise ValueError(
            f"the mask holds {strange[:5]}: the dataset's labels are 1 pet, 2 background, "
            "3 border. A mask is resized by nearest neighbour; one of 0, 1, 2 is normalised already"
        )
    return (mask - 1).astype(np.uint8)


def read_image(file, image_size=128):
    """Any picture file, such as a photo of your own pet, as an image that the model takes.

    Args:
        file: a path or an open binary file: JPEG, PNG, ... in colour, grey, CMYK or with alpha
            (transparent parts become white), turned as the camera noted.
        image_size: S, the side in pixels.

    Returns:
        uint8 ``[S, S, 3]``.

    Raises:
        ValueError: if the file is no picture, or a damaged one; for a size below 1.
        FileNotFoundError: if there is no such file.
    """
    _check_size(image_size)
    try:
        with Image.open(file) as picture:
            picture = ImageOps.exif_transpose(picture)
            if picture.mode.startswith("I"):  # grey with 16 bits, which convert would cut off
                picture = Image.fromarray((np.asarray(picture) // 257).astype(np.uint8))
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                white = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(white, picture)
            picture = picture.convert("RGB")
    except FileNotFoundError:
        raise
    except UnidentifiedImageError as error:
        raise ValueError(f"{file} is not a picture that can be read: use JPEG or PNG") from error
    except Exception as error:  # on a damaged file Pillow raises nearly anything
        raise ValueError(f"{file} is damaged or too large ({error}): save it again") from error
    return np.asarray(picture.resize((image_size, image_size), Image.Resampling.BILINEAR))


# --- validation split -----------------------------------------------------------------------


def hold_out(split):
    """Part a train split into two, for training and validation: (train, val).

    Of the real dataset, the images named in ``labkit/validation.txt`` are for validation: a tenth
    of each breed, the same in every run on every machine. Of other splits, what ``stratify``
    gives.
    """
    fixed = (Path(__file__).parent / "validation.txt").read_text().split()
    chosen = np.isin(split.table["name"], fixed)
    if not chosen.any():
        return stratify(split)
    return split.select(~chosen), split.select(chosen)


def stratify(split, share=0.1):
    """Part a split into two, breed by breed.

    Args:
        split: a ``Split``.
        share: of each breed's images that go to the second part.

    Returns:
        Two splits without a common image. The same split gives the same parts.
    """
    if not 0 < share < 1:
        raise ValueError(f"share is {share}: use a number between 0 and 1, such as 0.1")
    # In the order of the breeds, every so many-th image: each breed gives its share.
    order = np.argsort(split.table["breed"], kind="stable")
    steps = np.floor(np.arange(len(split) + 1) * share)
    chosen = np.zeros(len(split), bool)
    chosen[order[np.diff(steps) > 0]] = True
    if not chosen.any():
        raise ValueError(f"share {share} of {len(split)} images is less than one: use a larger one")
    return split.select(~chosen), split.select(chosen)
