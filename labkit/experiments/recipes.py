"""Declared trainings: a recipe is plain data, and ``run`` makes a row of the ledger from it."""

from dataclasses import asdict, dataclass, replace

import keras

from labkit import data, losses, training
from labkit.analysis import probes, scores
from labkit.augment import Strength
from labkit.batches import Batches
from labkit.methods.adaptive import Adaptive
from labkit.models import aff, attention, fullres, lft, skips, transunet, unetpp
from labkit.models.unet import FILTERS, unet_model

SPLITS = ("test", "validation")
# A half of a second loss, as the standard recipe has a half of Dice.
LOSSES = {
    "cross-entropy": losses.CrossEntropy,
    "focal": losses.Focal,
    "with Tversky": lambda: losses.Sum([losses.CrossEntropy(), losses.Tversky()], [1.0, 0.5]),
    "with boundary": lambda: losses.Sum([losses.CrossEntropy(), losses.Boundary()], [1.0, 0.5]),
}
AUGMENTATIONS = {
    "adaptive": "as strong as the network can bear, see labkit.methods.adaptive",
    "apart": "animal and background recoloured each for itself",
}
ARCHITECTURES = {
    "unet": unet_model,
    "UNet++": unetpp.unetpp_model,
    "Attention U-Net": attention.attention_unet,
    "TransUNet": transunet.transunet_model,
    "LFT-UNet": lft.lft_unet,
    "AFF-UNet": aff.aff_unet,
    "full-resolution U-Net": fullres.fullres_unet,
}
SKIPS = "unet, skips: "  # and one of ``skips.VARIANTS``: an architecture too


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes a training but its seed. What it does not say is as the laboratory
    work has it.

    Attributes:
        name: of the recipe.
        epochs, batch_size: of the training.
        learning_rate: constant, or the highest of a one-cycle schedule.
        one_cycle: rise to that rate and fall to zero (``training.one_cycle``).
        weight_decay: above 0, AdamW takes the place of Adam.
        loss: a key of ``LOSSES``.
        dice: weight of a Dice loss that is added to it.
        averaging: momentum of averaged weights (EMA), 0 for none.
        augmented: move and recolour the images (``labkit.augment``): True, or a key of
            ``AUGMENTATIONS``.
        fine_tune: train the encoder's convolutions too, all or those from a named layer on.
        encoder_rate: what the learning rate is multiplied by for them; needs weight decay.
        pixel_range, momentum, filters: of the model, see ``unet_model``.
        architecture: a key of ``ARCHITECTURES``, or "unet, skips: " and one of ``skips.VARIANTS``.
        pretrained: start from ImageNet's weights where they can be had.
        gradients: keep the size of the gradient by depth, epoch by epoch.
        image_size: S, in pixels.

    Raises ValueError for an unknown loss, architecture or way to augment, or an encoder's rate that
    nothing would come of.
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
    filters: tuple[int, ...] = FILTERS
    image_size: int = 128
    architecture: str = "unet"
    pretrained: bool = True
    gradients: bool = False
    loss: str = "cross-entropy"

    def __post_init__(self):
        for name in ("pixel_range", "filters"):  # JSON has no tuples
            object.__setattr__(self, name, tuple(getattr(self, name)))
        variants = [SKIPS + variant for variant in skips.VARIANTS]
        self._check("architecture", [*ARCHITECTURES, *variants])
        self._check("loss", LOSSES)
        self._check("augmented", [False, True, *AUGMENTATIONS])
        if self.encoder_rate != 1.0 and not self.weight_decay:
            raise ValueError(
                f"encoder_rate is {self.encoder_rate}, which needs weight_decay above 0: Adam, the "
                "optimizer without it, has one rate for all"
            )

    def _check(self, name, known):
        value = getattr(self, name)
        if value not in tuple(known):
            raise ValueError(f"{name} is {value!r}: use one of {', '.join(map(repr, known))}")


LIGHT = (128, 128, 64, 32)  # filters of a lighter decoder, for many runs
# What every recipe of the course's own has.
COURSE = {"batch_size": 32, "one_cycle": True, "pixel_range": (-1, 1), "momentum": 0.9}
QUICK = Recipe("quick", epochs=3, weight_decay=1e-4, **COURSE)
STANDARD = Recipe(
    "standard",
    **COURSE | {"batch_size": 16},
    epochs=20,
    weight_decay=1e-3,
    dice=0.5,
    averaging=0.99,
    augmented=True,
    fine_tune=True,
    encoder_rate=0.3,
)
DECLARED = [
    # As the laboratory work trains: frozen MobileNetV2, Adam, no augmentation.
    Recipe("laboratory"),
    # Chapter 5's training, for three epochs on all images.
    QUICK,
    # As good as the laboratory work, in the shortest time: a lighter decoder, the encoder
    # trained from its tenth block on, two epochs.
    Recipe(
        "fast",
        **COURSE | {"batch_size": 16},
        epochs=2,
        weight_decay=1e-4,
        fine_tune="block_10",
        encoder_rate=0.3,
        filters=LIGHT,
    ),
    # The course's own best.
    STANDARD,
]


def skips_recipe(prefix, variant):
    """Name of the recipe of a skip variant: ("skips", "none, wide") -> "skips-none-wide"."""
    return f"{prefix}-{slug(variant)}"


def slug(name):
    """A name as part of a recipe's: "none, wide" -> "none-wide", "UNet++" -> "unetpp"."""
    return name.lower().replace("++", "pp").replace(",", "").replace(" ", "-")


# What skips are for (chapter 7): each variant in a short training of a light decoder, and those
# that say something of training with an encoder that starts from random numbers.
DECLARED += [
    replace(QUICK, name=skips_recipe("skips", name), architecture=SKIPS + name, filters=LIGHT)
    for name in skips.VARIANTS
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
# What the search of ``labkit study tuning`` found best, seed 0, rounded.
TUNED = {"learning_rate": 3.6e-3, "encoder_rate": 0.032, "weight_decay": 7e-5, "dice": 0.85}
# Ways to improve: the standard recipe in six epochs and with a light decoder, one thing changed.
SHORT = replace(STANDARD, name="short", epochs=6, filters=LIGHT)
DECLARED += [
    SHORT,
    *(
        replace(SHORT, name=f"short-{slug(name)}", architecture=name)
        for name in ARCHITECTURES
        if name != SHORT.architecture
    ),
    *(replace(SHORT, name=f"short-{slug(name)}", loss=name, dice=0.0) for name in LOSSES),
    replace(SHORT, name="short-without-augmentation", augmented=False),
    *(replace(SHORT, name=f"short-augmentation-{name}", augmented=name) for name in AUGMENTATIONS),
    replace(SHORT, name="short-frozen", fine_tune=False),
    replace(SHORT, name="short-tuned", **TUNED),
    # The architecture of the list that did best of them, with the whole budget.
    replace(STANDARD, name="standard-attention-u-net", architecture="Attention U-Net"),
    # What gained most in the short recipes, together and with the whole budget.
    replace(STANDARD, name="combined", architecture="full-resolution U-Net", **TUNED),
]
RECIPES = {recipe.name: recipe for recipe in DECLARED}


def find(name):
    """The recipe of this name; raises ValueError for an unknown one."""
    if name not in RECIPES:
        raise ValueError(f"recipe is {name!r}: use one of {', '.join(RECIPES)}")
    return RECIPES[name]


def run(recipe, seed=0, on="test", source=data.REAL, limit=None):
    """Train a recipe, score it once, and describe the run as a row of the ledger.

    An interrupted run goes on from its last epoch when it is called again. A finished one is
    loaded and scored: its row has the commit, date and machine of its training.

    Args:
        recipe: a ``Recipe``.
        seed: of the decoder's first weights, the order of the images and their augmentation.
        on: "test" trains on the whole train split and scores on the test split; "validation"
            holds out a tenth of the train split and scores on that, for choosing between recipes.
        source, limit: as for ``labkit.data.load``.

    Returns:
        The row, a dict that JSON can hold.

    Raises:
        ValueError: for a bad argument, or if the loss stops being a number.
    """
    if on not in SPLITS:
        raise ValueError(f"on is {on!r}: use one of {', '.join(SPLITS)}")
    pets = data.load(source, recipe.image_size, limit)
    train, scored = (pets.train, pets.test) if on == "test" else data.hold_out(pets.train)
    model, trained = fit(recipe, seed, train)
    counts = scores.tally(model, scored)
    return {
        "recipe": asdict(recipe),
        "seed": seed,
        "source": pets.source,
        "images": [len(train), len(scored)],
        **trained.provenance,
        "seconds": sum(trained.history["seconds"]),
        "history": trained.history,
        on: scores.summarise(counts),
        f"{on} intervals": scores.intervals(counts),
        f"{on} with flips": scores.score(model, scored, flips=True),
    }


def fit(recipe, seed, train, model=None):
    """The trained model of a recipe, and its ``training.Run``.

    Args:
        recipe: a ``Recipe``.
        seed: as for ``run``.
        train: the ``labkit.data.Split`` to train on.
        model: train this one further, such as a pruned one; None for a new one.
    """
    name = f"{recipe.name}-{seed}"
    if model is None:
        model = build(recipe, seed)
    else:  # its first weights do not follow from the seed: from others it is another training
        name = f"{name}-{training.weights_code(model)}"
    train_ds = Batches(train, recipe.batch_size, seed=seed, augmented=augmentation(recipe))
    callbacks = []
    if recipe.gradients:
        callbacks.append(probes.GradientNorms(train.images[:32], train.masks[:32], loss(recipe)))
    if recipe.augmented == "adaptive":
        callbacks.append(Adaptive(train_ds, train.images[:64], train.masks[:64], loss(recipe)))
    trained = training.train(
        model,
        train_ds,
        epochs=recipe.epochs,
        name=name,
        optimizer=optimizer(recipe, model, train_ds),
        loss=loss(recipe),
        callbacks=callbacks,
    )
    return model, trained


def build(recipe, seed):
    """The model of a recipe, untrained."""
    options = {
        "image_size": recipe.image_size,
        "weights": "auto" if recipe.pretrained else None,
        "fine_tune": recipe.fine_tune,
        "pixel_range": recipe.pixel_range,
        "momentum": recipe.momentum,
        "seed": seed,
        "filters": recipe.filters,
    }
    name = recipe.architecture
    if name.startswith(SKIPS):
        return skips.skip_unet(name.removeprefix(SKIPS), **options)
    return ARCHITECTURES[name](**options)


def augmentation(recipe):
    """What ``Batches`` takes: False, or how far the changes go."""
    return bool(recipe.augmented) and Strength(independent_background=recipe.augmented == "apart")


def optimizer(recipe, model, train_ds):
    """Adam, or AdamW if the recipe has weight decay, with its learning rates."""
    rate = recipe.learning_rate
    if recipe.one_cycle:
        rate = training.one_cycle(train_ds, recipe.epochs, peak=rate)
    average = {"use_ema": True, "ema_momentum": recipe.averaging} if recipe.averaging else {}
    if not recipe.weight_decay:
        return keras.optimizers.Adam(rate, **average)
    slow = [variable.path for variable in model.get_layer("encoder").trainable_variables]
    return training.TwoRates(
        rate, slow, recipe.encoder_rate, weight_decay=recipe.weight_decay, **average
    )


def loss(recipe):
    """The recipe's loss, with its share of the Dice loss."""
    main = LOSSES[recipe.loss]()
    return losses.Sum([main, losses.Dice()], [1.0, recipe.dice]) if recipe.dice else main


def course_model(pets, epochs):
    """The model of chapter 5 and its ``Run``: loaded if that chapter trained it, else trained.

    Args:
        pets: from ``labkit.data.load``.
        epochs: of the profile, ``profile.current().epochs``.
    """
    train, val = data.hold_out(pets.train)
    train_ds, val_ds = Batches(train, 32, seed=0), Batches(val, 32)
    model = unet_model(seed=0)
    trained = training.train(model, train_ds, val_ds, epochs=epochs, name="course")
    return model, trained
