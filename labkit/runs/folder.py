"""Where trainings are kept, and what ``training.train`` returns."""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from labkit import profile


@dataclass(frozen=True)
class Run:
    """The result of ``training.train``.

    Attributes:
        history: a list of numbers by name, one an epoch: ``loss``, ``accuracy``, ``mean_iou``, the
            IoU of the first class that is not the background, such as ``pet_iou``, the same with
            ``val_``, and ``seconds``.
        folder: of the weights and the history, an absolute path.
        provenance: ``profile.provenance`` when it was trained, also if it was loaded.
        best_weights: file of the weights of the best epoch, for ``model.load_weights``.
    """

    history: dict
    folder: Path
    provenance: dict = field(default_factory=dict)
    best_weights: Path | None = None


class Diverged(ValueError):
    """The loss is not finite; ``folder`` has the epochs before."""

    def __init__(self, loss, epoch, folder):
        super().__init__(
            f"the loss became {loss} in epoch {epoch}: lower the learning rate. {shown(folder)} "
            "has the epochs before"
        )
        self.folder = folder


def runs_folder():
    """The folder of all runs: ``LABKIT_RUNS``, or ``runs`` in the working folder."""
    return profile.expand(os.environ.get("LABKIT_RUNS") or "runs").absolute()


def shown(path):
    """A path as text, from the working folder if it is inside."""
    with suppress(ValueError):
        return path.relative_to(Path.cwd()).as_posix()
    return str(path)


def write_error(folder, error):
    """An OSError that says what to do about a folder that can't be written."""
    return OSError(
        f"can't write to {folder} ({error}): free some space, or set LABKIT_RUNS to another folder"
    )
