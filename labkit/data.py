"""The Oxford-IIIT Pet dataset: downloaded if needed, checked, and stored as uint8 arrays.

Most readers need only ``load``. It uses the first of these that is available: the dataset as
prepared by TensorFlow Datasets (TFDS), its own cache, a download, and synthetic pets.
Outside this module masks hold 0 pet, 1 background, 2 border; only here are they 1, 2, 3.
"""

import os
import zlib
from pathlib import Path

import numpy as np

from labkit import download, synthetic
from labkit.download import REAL, VERSION
from labkit.folders import from_folders
from labkit.pictures import read_image
from labkit.problems import check
from labkit.splits import (
    Split,
    Splits,
    cache_folder,
    count_photos,
    folds,
    is_complete,
    join,
    open_split,
    resize,
    save_split,
    sides,
    size_name,
    stratify,
)

__all__ = [  # what other modules and notebooks use
    "Split",
    "Splits",
    "cache_folder",
    "check",
    "examples",
    "find_source",
    "folds",
    "from_folders",
    "hold_out",
    "is_here",
    "join",
    "load",
    "normalize_mask",
    "prepare",
    "read_image",
    "stratify",
]

SYNTHETIC = "synthetic"
SOURCES = ("auto", REAL, SYNTHETIC)
SYNTHETIC_IMAGES = (1000, 300)  # train, test


# --- sources -------------------------------------------------------------------------------


def load(source="auto", image_size=128, limit=None):
    """Load the dataset as compact arrays.

    Args:
        source: "oxford_iiit_pet" (the real dataset, or an error), "synthetic", or "auto": the real
            dataset if it is prepared, cached or can be downloaded, else synthetic pets. The
            environment variable ``LABKIT_DATA`` replaces "auto".
        image_size: S or (H, W), the sides in pixels that every image is resized to.
        limit: (train, test), the maximum number of images; None for all, which is 1,000 and 300
            for synthetic pets.

    Returns:
        ``Splits(train, test, source)``. The first call reads every image and stores the arrays in a
        cache folder (``LABKIT_CACHE``, or ``~/.cache/labkit``). Later calls only open them, which
        needs neither the dataset nor TensorFlow.

    Raises:
        ValueError: for an unknown source, a size below 1 or an empty split.
        ConnectionError: if the real dataset is requested and can't be downloaded.
    """
    sides(image_size)
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
    folder = cache_folder() / f"{key}-{size_name(image_size)}"
    train = _open_or_prepare(folder / "train", source, counts[0], image_size)
    test = _open_or_prepare(folder / "test", source, counts[1], image_size)
    return _limit(train, test, source, limit)


def _limit(train, test, source, limit):
    if limit is not None:
        train, test = train.select(slice(limit[0])), test.select(slice(limit[1]))
    return Splits(train, test, source)


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
    for folder in sorted(cache_folder().glob(f"{REAL}-{VERSION}-*-{size_name(image_size)}")):
        if is_complete(folder / "train") and is_complete(folder / "test"):
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
        total = download.split_info()[split]["count"]
        wanted = split if count is None else f"{split}[:{min(count, total)}]"
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


def _open_or_prepare(folder, source, count, image_size):
    if not is_complete(folder):
        rows = prepared(_read_rows(folder.name, source, count, image_size), image_size)
        save_split(rows, folder, count, image_size, f"reading {folder.name} images, once")
    return open_split(folder)


def _read_rows(split, source, count, image_size):
    """Yield pairs (raw example with NumPy values, breed name)."""
    if source == SYNTHETIC:
        for example in synthetic.examples(count, split=split, size=sides(image_size)):
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


def prepared(rows, image_size):
    """Yield (image, mask, dict for the table) for pairs (TFDS example, breed name).

    Raises ValueError for an invalid example, named by its file.
    """
    for example, breed in rows:
        try:
            image, mask = prepare(example["image"], example["segmentation_mask"], image_size)
        except ValueError as error:
            raise ValueError(f"{example['file_name']}: {error}") from error
        yield image, mask, _table_row(example, breed)


def _table_row(example, breed):
    return {
        "name": Path(example["file_name"]).stem,
        "breed": breed,
        "species": ("cat", "dog")[int(example["species"])],
        "height": example["image"].shape[0],
        "width": example["image"].shape[1],
    }


# --- one image -----------------------------------------------------------------------------


def prepare(image, mask, image_size=128):
    """Check and resize one raw example, and map its labels 1, 2, 3 to 0, 1, 2.

    Args:
        image: uint8 ``[H, W, 3]``.
        mask: uint8 ``[H, W, 1]``, values 1 pet, 2 background, 3 border.
        image_size: S or (H, W), in pixels.

    Returns:
        image uint8 ``[S, S, 3]`` (bilinear with antialiasing), mask uint8 ``[S, S, 1]`` (nearest
        neighbor, because a mean of labels is not a label).

    Raises:
        ValueError: for a wrong shape, dtype or label.
    """
    height, width = sides(image_size)
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
    return resize(image, mask, (height, width))


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


# --- validation split -----------------------------------------------------------------------


def hold_out(split):
    """Divide a train split into training and validation: (train, val).

    For the real dataset, ``labkit/validation.txt`` lists the validation images: a tenth of each
    breed, the same in every run. For other data, ``stratify`` chooses a tenth, at least one.
    Raises ValueError for a single photograph.
    """
    val_names = (Path(__file__).parent / "validation.txt").read_text().split()
    is_val = np.isin(split.table.get("name", ()), val_names)
    if not is_val.any():
        count = count_photos(split)
        if count == 1:
            raise ValueError("one photograph can't be divided: use at least two")
        return stratify(split, max(0.1, 1 / count))
    return split.select(~is_val), split.select(is_val)
