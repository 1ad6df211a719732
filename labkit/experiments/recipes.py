"""Trainings declared as data: ``run`` trains a recipe and makes a row of the ledger from it."""

from dataclasses import asdict, dataclass, replace

import keras

from labkit import data, losses, training
from labkit.analysis import probes, scores
from labkit.augment import Strength
from labkit.batches import Batches
from labkit.experiments.settings import Settings
from labkit.methods.adaptive import Adaptive
from labkit.models import aff, attention, fullres, lft, skips, transunet, unetpp
from labkit.models.unet import unet_model
from labkit.runs.identity import weights_code

SPLITS = ("test", "validation")
# A second loss has weight 0.5, as Dice has in the standard recipe.
LOSSES = {
    "cross-entropy": losses.CrossEntropy,
    "focal": losses.Focal,
    "with Tversky": lambda: losses.Sum([losses.CrossEntropy(), losses.Tversky()], [1.0, 0.5]),
    "with boundary": lambda: losses.Sum([losses.CrossEntropy(), losses.Boundary()], [1.0, 0.5]),
}
AUGMENTATIONS = {
    True: Strength(),
    "flips": Strength(rotation=0, zoom=0, shift=0, brightness=0, contrast=0, saturation=0),
    "adaptive": Strength(),  # as strong as the network tolerates, see labkit.methods.adaptive
    "apart": Strength(independent_background=True),
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
SKIPS = "unet, skips: "  # followed by one of ``skips.VARIANTS``: also an architecture


@dataclass(frozen=True)
class Recipe(Settings):
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
        fine_tune: train the encoder's convolutions too: True for all, or the name of the first
            layer to train.
        encoder_rate: factor of the learning rate for the encoder; needs weight decay.
        pixel_range, momentum, filters, narrow, enlarge: of the model, see ``unet_model``.
        architecture: a key of ``ARCHITECTURES``, or "unet, skips: " and one of ``skips.VARIANTS``.
        pretrained: start from ImageNet weights if available.
        gradients: record gradient norms by depth in each epoch.
        image_size: S, in pixels.

    Raises ValueError for an unknown loss, architecture or augmentation, or an encoder rate without
    weight decay.
    """

    def __post_init__(self):
        super().__post_init__()
        variants = [SKIPS + variant for variant in skips.VARIANTS]
        self._check("architecture", [*ARCHITECTURES, *variants])
        self._check("loss", LOSSES)
        self._check("augmented", [False, *AUGMENTATIONS])
        if self.encoder_rate != 1.0 and not self.weight_decay:
            raise ValueError(
                f"encoder_rate is {self.encoder_rate}, which needs weight_decay above 0: without "
                "weight decay the optimizer is Adam, which has one learning rate"
            )

    def _check(self, name, choices):
        value = getattr(self, name)
        if value not in tuple(choices):
            raise ValueError(f"{name} is {value!r}: use one of {', '.join(map(repr, choices))}")


LIGHT = (128, 128, 64, 32)  # filters of a lighter decoder, for quick runs
# Settings that all recipes but the laboratory work's share.
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
    # The training of the laboratory work: frozen MobileNetV2, Adam, no augmentation.
    Recipe("laboratory"),
    # The training of chapter 5: three epochs on all images.
    QUICK,
    # The scores of the laboratory work in the shortest time: a lighter decoder, the encoder
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
    # The course's best recipe.
    STANDARD,
]


def skips_recipe(prefix, variant):
    """The recipe name of a skip variant: ("skips", "none, wide") -> "skips-none-wide"."""
    return f"{prefix}-{slug(variant)}"


def slug(name):
    """A name in the form of recipe names: "none, wide" -> "none-wide", "UNet++" -> "unetpp"."""
    return name.lower().replace("++", "pp").replace(",", "").replace(" ", "-")


# What skips are for (chapter 7): all variants in a short training of a light decoder, and some of
# them with a randomly initialized encoder.
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
# The best settings of ``labkit study tuning`` with seed 0, rounded.
TUNED = {"learning_rate": 3.6e-3, "encoder_rate": 0.032, "weight_decay": 7e-5, "dice": 0.85}
# Ways to improve: the standard recipe with six epochs and a light decoder, one setting changed.
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
    *(
        replace(SHORT, name=f"short-augmentation-{name}", augmented=name)
        for name in ("adaptive", "apart")
    ),
    replace(SHORT, name="short-frozen", fine_tune=False),
    replace(SHORT, name="short-tuned", **TUNED),
    # The best of the architectures above, with the full budget.
    replace(STANDARD, name="standard-attention-u-net", architecture="Attention U-Net"),
    # The largest gains among the short recipes, combined, with the full budget.
    replace(STANDARD, name="combined", architecture="full-resolution U-Net", **TUNED),
]
RECIPES = {recipe.name: recipe for recipe in DECLARED}


def find(name):
    """The recipe of this name; raises ValueError if there is none."""
    if name not in RECIPES:
        raise ValueError(f"recipe is {name!r}: use one of {', '.join(RECIPES)}")
    return RECIPES[name]


def run(recipe, seed=0, on="test", source=data.REAL, limit=None):
    """Train a recipe, score it once, and return the row of the ledger.

    Another call resumes an interrupted run after its last epoch. A finished one is loaded and
    scored: its row has the commit, date and machine of its training.

    Args:
        recipe: a ``Recipe``.
        seed: of the decoder's initial weights, the order of the images and their augmentation.
        on: "test" trains on the whole train split and scores on the test split; "validation"
            holds out a tenth of the train split for scoring, to choose between recipes.
        source, limit: as for ``labkit.data.load``.

    Returns:
        The row, a dict that JSON can hold.

    Raises:
        ValueError: for a bad argument, or if the loss becomes NaN or infinite.
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
        on: scores.summarize(counts),
        f"{on} intervals": scores.intervals(counts),
        f"{on} with flips": scores.score(model, scored, flips=True),
    }


def fit(recipe, seed, train, model=None):
    """The trained model of a recipe and its ``labkit.runs.folder.Run``.

    Args:
        recipe: a ``Recipe``.
        seed: as for ``run``.
        train: the ``labkit.data.Split`` to train on.
        model: a model to train further, such as a pruned one; None for a new one.
    """
    name = f"{recipe.name}-{seed}"
    if model is None:
        model = build(recipe, seed)
    else:  # the seed does not determine its initial weights, so the name has to
        name = f"{name}-{weights_code(model)}"
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
    """The untrained model of a recipe."""
    options = {
        "image_size": recipe.image_size,
        "weights": "auto" if recipe.pretrained else None,
        "fine_tune": recipe.fine_tune,
        "pixel_range": recipe.pixel_range,
        "momentum": recipe.momentum,
        "seed": seed,
        "filters": recipe.filters,
        "narrow": recipe.narrow,
        "enlarge": recipe.enlarge,
    }
    name = recipe.architecture
    if name.startswith(SKIPS):
        return skips.skip_unet(name.removeprefix(SKIPS), **options)
    return ARCHITECTURES[name](**options)


def augmentation(recipe):
    """The ``augmented`` argument of ``Batches``: False or a ``Strength``."""
    return recipe.augmented and AUGMENTATIONS[recipe.augmented]


def optimizer(recipe, model, train_ds):
    """Adam, or AdamW if the recipe has weight decay, with the recipe's learning rates."""
    rate = recipe.learning_rate
    if recipe.one_cycle:
        rate = training.one_cycle(train_ds, recipe.epochs, peak=rate)
    average = {"use_ema": True, "ema_momentum": recipe.averaging} if recipe.averaging else {}
    if not recipe.weight_decay:
        return keras.optimizers.Adam(rate, **average)
    encoder_paths = [variable.path for variable in model.get_layer("encoder").trainable_variables]
    return training.TwoRates(
        rate, encoder_paths, recipe.encoder_rate, weight_decay=recipe.weight_decay, **average
    )


def loss(recipe):
    """The recipe's loss, including its Dice loss."""
    main = LOSSES[recipe.loss]()
    return losses.Sum([main, losses.Dice()], [1.0, recipe.dice]) if recipe.dice else main


def course_model(pets, epochs):
    """The model of chapter 5 and its ``Run``: loaded if it was trained before, else trained.

    Args:
        pets: from ``labkit.data.load``.
        epochs: from the profile, ``profile.current().epochs``.
    """
    train, val = data.hold_out(pets.train)
    train_ds, val_ds = Batches(train, 32, seed=0), Batches(val, 32)
    model = unet_model(seed=0)
    trained = training.train(model, train_ds, val_ds, epochs=epochs, name="course")
    return model, trained
