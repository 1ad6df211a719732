"""The settings of a recipe and their defaults.

This module imports no Keras, because the ledger needs it and has to load fast.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """The settings of a training. ``recipes.Recipe`` explains and checks them.

    Defaults are those of the laboratory work.
    """

    name: str
    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 1e-3
    one_cycle: bool = False
    weight_decay: float = 0.0
    dice: float = 0.0
    averaging: float = 0.0
    augmented: bool | str = False
    fine_tune: bool | str = False
    encoder_rate: float = 1.0
    pixel_range: tuple[int, int] = (0, 1)
    momentum: float = 0.99
    filters: tuple[int, ...] = (512, 256, 128, 64)
    narrow: bool = False
    enlarge: int = 1
    image_size: int = 128
    architecture: str = "unet"
    pretrained: bool = True
    gradients: bool = False
    loss: str = "cross-entropy"

    def __post_init__(self):
        for name in ("pixel_range", "filters"):  # JSON has no tuples
            object.__setattr__(self, name, tuple(getattr(self, name)))
