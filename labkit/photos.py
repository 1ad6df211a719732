"""Masks and cut-outs of photographs of any size."""

from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
from keras import ops
from PIL import Image
from tqdm import tqdm

from labkit import classes, data

# Of the files that are taken from a folder. HEIC, which Pillow can't read, is named as unreadable.
SUFFIXES = {".heic", ".heif"} | {
    suffix
    for suffix, kind in Image.registered_extensions().items()
    if kind in Image.OPEN and kind not in ("BUFR", "EPS", "GRIB", "HDF5", "MPEG")
}


def segment(model, photo):
    """The class of every pixel of a photograph.

    The photograph is resized to the model's size; the probabilities of the classes are resized
    back, so that outlines are smooth.

    Args:
        model: from images ``[B, S, S, 3]`` to logits ``[B, S, S, C]``.
        photo: uint8 ``[H, W, 3]``, such as ``data.read_image(file, None)``.

    Returns:
        A mask, uint8 ``[H, W]``.
    """
    height, width = model.input_shape[1:3]
    small = Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR)
    logits = model.predict_on_batch(np.asarray(small)[np.newaxis])[0]
    probabilities = ops.convert_to_numpy(ops.softmax(logits, axis=-1))
    size = photo.shape[1::-1]
    maps = [
        np.asarray(Image.fromarray(part).resize(size, Image.Resampling.BILINEAR))
        for part in np.moveaxis(probabilities, -1, 0)
    ]
    return np.argmax(maps, axis=0).astype("uint8")


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


def cut_out(photo, mask):
    """The animal alone, with its border: uint8 ``[H, W, 4]``, transparent elsewhere."""
    opaque = np.where(mask == classes.BACKGROUND, 0, 255).astype("uint8")
    return np.dstack([photo, opaque])


def write(model, file, folder, name):
    """Segment the photograph in a file; write ``NAME_mask.png`` and ``NAME_cutout.png``.

    A pixel of the mask is the number of its class, shown in the course's colors.
    """
    photo = data.read_image(file, None)
    mask = segment(model, photo)
    picture = Image.fromarray(mask)
    palette = classes.color_mask(np.arange(classes.NUM_CLASSES)[np.newaxis])
    picture.putpalette(palette.tobytes())
    picture.save(folder / f"{name}_mask.png")
    Image.fromarray(cut_out(photo, mask)).save(folder / f"{name}_cutout.png")


def write_all(model, paths, folder):
    """``write`` for each photograph among files and folders.

    Args:
        model: see ``segment``.
        paths: files, and folders whose pictures are taken.
        folder: for the results; it is made if necessary.

    Returns:
        (number of masks, reasons): a sentence for each file that could not be read.
    """
    files, reasons = find(paths)
    count = 0
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pairs = zip(files, names_for(files), strict=True)
    for file, name in tqdm(pairs, "segmenting", len(files), leave=False, disable=len(files) < 2):
        try:
            write(model, file, folder, name)
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
            found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
            if not found:
                reasons.append(f"{path} has no picture")
            files += found
        elif path.exists():
            files.append(path)
        else:
            reasons.append(f"{path} does not exist")
    once = {file.absolute(): file for file in files}  # a file may also be in a folder that is named
    return list(once.values()), reasons
