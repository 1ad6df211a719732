"""The settings of a recipe, and the recipes of the course as data.

This module imports no Keras, because the ledger needs it and has to load fast. ``recipes`` checks
the settings and trains with them.
"""

from dataclasses import dataclass, replace

# Names in ``recipes.ARCHITECTURES`` and ``skips.VARIANTS``.
ARCHITECTURES = (
    "unet",
    "UNet++",
    "Attention U-Net",
    "TransUNet",
    "LFT-UNet",
    "AFF-UNet",
    "full-resolution U-Net",
    "DeepLabV3+",
)
SKIP_VARIANTS = (
    *("all", "none", "none, wide", "not 8", "not 16", "not 32", "not 64"),
    *("sum", "swapped", "blurred"),
)
SKIPS = "unet, skips: "  # followed by one of ``SKIP_VARIANTS``: also an architecture
LOSSES = ("cross-entropy", "focal", "with Tversky", "with boundary")


@dataclass(frozen=True)
class Settings:
    """Everything that shapes a training except its seed. Defaults are those of the laboratory work.

    Attributes:
        name: of the recipe.
        epochs, batch_size: of the training.
        learning_rate: constant, or the peak of a one-cycle schedule.
        one_cycle: use a one-cycle schedule (``training.one_cycle``).
        weight_decay: above 0, use AdamW instead of Adam.
        loss: a key of ``LOSSES``.
        dice: weight of an additional Dice loss.
        averaging: momentum of the moving average of weights (EMA), 0 for none.
        augmented: move and recolor the images (``labkit.augment``): False, or a key of
            ``AUGMENTATIONS``.
        flips_at_end: the number of last epochs that are augmented by flips alone.
        fine_tune: train the encoder's convolutions too: True for all, or the name of the first
            layer to train.
        encoder_rate: factor of the learning rate for the encoder; needs weight decay.
        pixel_range, momentum, filters, narrow, enlarge: of the model, see ``unet_model``.
        architecture: a key of ``ARCHITECTURES``, or "unet, skips: " and one of ``skips.VARIANTS``.
        pretrained: start from ImageNet weights if available.
        gradients: record gradient norms by depth in each epoch.
        image_size: S, in pixels.
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
    flips_at_end: int = 0
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


LIGHT = (128, 128, 64, 32)  # filters of a lighter decoder, for quick runs
# Settings that all recipes but the laboratory work's share.
COURSE = {"batch_size": 32, "one_cycle": True, "pixel_range": (-1, 1), "momentum": 0.9}
QUICK = Settings("quick", epochs=3, weight_decay=1e-4, **COURSE)
PLAIN = Settings(
    "plain",
    **COURSE | {"batch_size": 16},
    epochs=20,
    weight_decay=1e-3,
    dice=0.5,
    averaging=0.99,
    augmented=True,
    fine_tune=True,
    encoder_rate=0.3,
)
# The best settings of ``labkit study tuning`` with seed 0, rounded.
TUNED = {"learning_rate": 3.6e-3, "encoder_rate": 0.032, "weight_decay": 7e-5, "dice": 0.85}
# The network of the course: chosen by ``labkit study design``.
NETWORK = {"enlarge": 2, "narrow": True, "filters": (128, 64, 32)}
STANDARD = Settings(
    "standard",
    **COURSE | NETWORK | TUNED | {"batch_size": 16},
    epochs=10,
    averaging=0.99,
    augmented="flips",
    fine_tune="block_3",
)
# Longer, with half of the full augmentation until the last quarter.
BEST = replace(STANDARD, name="best", epochs=20, augmented="mild", flips_at_end=5)
# One epoch of small batches. The average of weights would lag behind.
FAST = replace(STANDARD, name="fast", epochs=1, batch_size=8, averaging=0.0)
DECLARED = [
    # The training of the laboratory work: frozen MobileNetV2, Adam, no augmentation.
    Settings("laboratory"),
    # The plain network with a frozen encoder, three epochs.
    QUICK,
    # The scores of the laboratory work with the plain network: a lighter decoder, the encoder
    # trained from its tenth block on, two epochs.
    Settings(
        "plain-fast",
        **COURSE | {"batch_size": 16},
        epochs=2,
        weight_decay=1e-4,
        fine_tune="block_10",
        encoder_rate=0.3,
        filters=LIGHT,
    ),
    PLAIN,
    STANDARD,
    BEST,
    FAST,
]


def skips_recipe(prefix, variant):
    """The recipe name of a skip variant: ("skips", "none, wide") -> "skips-none-wide"."""
    return f"{prefix}-{slug(variant)}"


def slug(name):
    """A name in the form of recipe names: "none, wide" -> "none-wide", "UNet++" -> "unetpp"."""
    return name.lower().replace("+", "p").replace(",", "").replace(" ", "-")


# What skip connections do: all variants in a short training of a light decoder, and some of
# them with a randomly initialized encoder.
DECLARED += [
    replace(QUICK, name=skips_recipe("skips", name), architecture=SKIPS + name, filters=LIGHT)
    for name in SKIP_VARIANTS
]
DECLARED += [
    replace(
        QUICK,
        name=skips_recipe("scratch", name),
        architecture=SKIPS + name,
        filters=LIGHT,
        epochs=4,
        pretrained=False,
        gradients=True,
    )
    for name in ("all", "none", "none, wide", "not 8", "not 64")
]
# Ways to improve: the plain recipe with six epochs and a light decoder, one setting changed.
SHORT = replace(PLAIN, name="short", epochs=6, filters=LIGHT)
DECLARED += [
    SHORT,
    *(
        replace(SHORT, name=f"short-{slug(name)}", architecture=name)
        for name in ARCHITECTURES
        if name != SHORT.architecture
    ),
    *(replace(SHORT, name=f"short-{slug(name)}", loss=name, dice=0.0) for name in LOSSES),
    replace(SHORT, name="short-without-augmentation", augmented=False),
    *(
        replace(SHORT, name=f"short-augmentation-{name}", augmented=name)
        for name in ("adaptive", "apart")
    ),
    replace(SHORT, name="short-frozen", fine_tune=False),
    replace(SHORT, name="short-tuned", **TUNED),
    # The best of the architectures above, with the full budget.
    replace(PLAIN, name="plain-attention-u-net", architecture="Attention U-Net"),
    # The largest gains among the short recipes, combined, with the full budget.
    replace(PLAIN, name="combined", architecture="full-resolution U-Net", **TUNED),
]
# The same comparisons on the course's network, in one epoch.
DECLARED += [
    *(
        replace(FAST, name=skips_recipe("fast-skips", name), architecture=SKIPS + name)
        for name in ("none", "not 16", "not 32", "not 64")
    ),
    *(
        replace(FAST, name=f"fast-{slug(name)}", architecture=name)
        for name in ARCHITECTURES
        if name != FAST.architecture
    ),
]
RECIPES = {recipe.name: recipe for recipe in DECLARED}


def find(name):
    """The settings of the recipe of this name; raises ValueError if there is none."""
    if name not in RECIPES:
        raise ValueError(f"recipe is {name!r}: use one of {', '.join(RECIPES)}")
    return RECIPES[name]
