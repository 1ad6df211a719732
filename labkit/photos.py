"""Masks and cut-outs of photographs of any size."""

from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
from keras import ops
from PIL import Image
from tqdm import tqdm

from labkit import data, folders
from labkit.classes import PETS
from labkit.pictures import SUFFIXES

BATCH = 16  # tiles that are predicted at once


def segment(model, photo, tiles=False):
    """The class of every pixel of a photograph, in its own size.

    Args:
        model: from images ``[B, H, W, 3]`` to logits ``[B, H, W, C]``.
        photo: uint8 ``[H, W, 3]``, such as ``data.read_image(file, None)``.
        tiles: False resizes the photograph to the model's size, and the probabilities of the
            classes back, so that outlines are smooth. True predicts overlapping tiles of the
            photograph as it is, for a model that was trained on tiles.

    Returns:
        A mask, uint8 ``[H, W]``.
    """
    if tiles:
        return _segment_tiles(model, photo)
    height, width = model.input_shape[1:3]
    small = Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR)
    size = photo.shape[1::-1]
    maps = [
        np.asarray(Image.fromarray(part).resize(size, Image.Resampling.BILINEAR))
        for part in np.moveaxis(_probabilities(model, np.asarray(small)[np.newaxis])[0], -1, 0)
    ]
    return np.argmax(maps, axis=0).astype("uint8")


def _segment_tiles(model, photo):
    """``segment`` by tiles that overlap by a quarter, blended where they do."""
    shape, (height, width) = model.input_shape[1:3], photo.shape[:2]
    padded = folders.pad(photo, shape)
    places = folders.corners(padded.shape[:2], shape, overlap=min(shape) // 4)
    # The edge of a tile lacks context, so its weight falls to almost nothing.
    rows, columns = (np.minimum(np.arange(1, side + 1), np.arange(side, 0, -1)) for side in shape)
    weight = np.outer(rows, columns)[..., np.newaxis].astype("float32")
    total = np.zeros((*padded.shape[:2], model.output_shape[-1]), "float32")
    for first in range(0, len(places), BATCH):
        windows = [
            (slice(top, top + shape[0]), slice(left, left + shape[1]))
            for top, left in places[first : first + BATCH]
        ]
        probabilities = _probabilities(model, np.stack([padded[window] for window in windows]))
        for window, tile in zip(windows, probabilities, strict=True):
            total[window] += weight * tile
    return total[:height, :width].argmax(-1).astype("uint8")


def _probabilities(model, images):
    """The probabilities of the classes, float32 ``[B, H, W, C]``."""
    return ops.convert_to_numpy(ops.softmax(model.predict_on_batch(images), axis=-1))


def uploaded(upload):
    """The last photograph that was chosen with an ``ipywidgets.FileUpload``, or None.

    Returns:
        uint8 ``[H, W, 3]``; see ``data.read_image`` for the errors.
    """
    chosen = upload.value
    if isinstance(chosen, dict):  # ipywidgets 7, which Colab has
        chosen = [{"name": name, **file} for name, file in chosen.items()]
    if not chosen:
        return None
    file = BytesIO(bytes(chosen[-1]["content"]))
    file.name = chosen[-1]["name"]  # for error messages
    return data.read_image(file, None)


def cut_out(photo, mask, classes=PETS):
    """The photograph without its background: uint8 ``[H, W, 4]``, transparent there.

    Raises ValueError if no class is called "background".
    """
    if classes.background is None:
        names = ", ".join(classes.names)
        raise ValueError(f"a cut-out needs a class called background, and there are {names}")
    opaque = np.where(mask == classes.background, 0, 255).astype("uint8")
    return np.dstack([photo, opaque])


def write(model, file, folder, name, classes=PETS, tiles=False):
    """Segment the photograph in a file; write ``NAME_mask.png`` and ``NAME_cutout.png``.

    A pixel of the mask is the number of its class, shown in the color of the class. There is a
    cut-out if a class is called "background". The other arguments are those of ``write_all``.
    """
    photo = data.read_image(file, None)
    mask = segment(model, photo, tiles)
    picture = Image.fromarray(mask)
    palette = classes.color_mask(np.arange(len(classes))[np.newaxis])
    picture.putpalette(palette.tobytes())
    picture.save(folder / f"{name}_mask.png")
    if classes.background is not None:
        Image.fromarray(cut_out(photo, mask, classes)).save(folder / f"{name}_cutout.png")


def write_all(model, paths, folder, classes=PETS, tiles=False):
    """``write`` for each photograph among files and folders.

    Args:
        model: see ``segment``.
        paths: files, and folders whose pictures are taken.
        folder: for the results; it is made if necessary.
        classes: of the model.
        tiles: see ``segment``.

    Returns:
        (number of masks, reasons): a sentence for each file that could not be read.

    Raises:
        ValueError: for a model of images of any size, or of another number of classes, and for a
            folder that has the photographs.
    """
    if len(model.input_shape) != 4 or None in model.input_shape[1:]:
        raise ValueError(
            f"the model's input is {model.input_shape}, and photographs are resized to a fixed "
            "size: build it with an input such as keras.Input((128, 128, 3))"
        )
    if model.output_shape[-1] != len(classes):
        raise ValueError(
            f"the model has {model.output_shape[-1]} classes, and {len(classes)} names are given "
            f"({', '.join(classes.names)}): give the names that it was trained with"
        )
    folder = Path(folder)
    if folder.resolve() in {Path(path).resolve() for path in paths}:
        raise ValueError(f"{folder} has the photographs: use another folder for the results")
    files, reasons = find(paths)
    count = 0
    folder.mkdir(parents=True, exist_ok=True)
    pairs = zip(files, names_for(files), strict=True)
    for file, name in tqdm(pairs, "segmenting", len(files), leave=False, disable=len(files) < 2):
        try:
            write(model, file, folder, name, classes, tiles)
            count += 1
        except (ValueError, OSError) as error:
            reasons.append(str(error))
    return count, reasons


def names_for(files):
    """A name for the results of each file: its stem, or more of its path if stems are equal."""
    ways = (
        lambda file: file.stem,
        lambda file: file.name,
        lambda file: f"{file.absolute().parent.name}_{file.name}",
    )
    counts = [Counter(map(way, files)) for way in ways]
    names = []
    for number, file in enumerate(files, start=1):
        tried = [way(file) for way in ways]
        unique = [name for name, count in zip(tried, counts, strict=True) if count[name] == 1]
        names.append([*unique, f"{number}_{file.name}"][0])
    return names


def find(paths):
    """The files among paths, with the pictures of folders: (files, reasons for missing ones)."""
    files, reasons = [], []
    for path in map(Path, paths):
        if path.is_dir():
            found = sorted(
                file
                for file in path.iterdir()
                if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
            )
            if not found:
                reasons.append(f"{path} has no picture")
            files += found
        elif path.exists():
            files.append(path)
        else:
            reasons.append(f"{path} does not exist")
    once = {file.absolute(): file for file in files}  # a file may also be in a folder that is named
    return list(once.values()), reasons
