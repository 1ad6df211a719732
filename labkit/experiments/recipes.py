"""Trains a recipe: ``run`` makes a row of the ledger from it."""

from dataclasses import asdict, dataclass

import keras

from labkit import data, losses, training
from labkit.analysis import probes, scores
from labkit.augment import Strength
from labkit.batches import Batches, ChangeAugmentation
from labkit.experiments import declared
from labkit.experiments.declared import SKIPS, Settings
from labkit.methods.adaptive import Adaptive
from labkit.models import aff, attention, deeplab, fullres, lft, skips, transunet, unetpp
from labkit.models.encoder import imagenet_weights
from labkit.models.unet import unet_model
from labkit.runs.identity import weights_code

SPLITS = ("test", "validation")
# A second loss has weight 0.5, as Dice has in the plain recipe.
LOSSES = {
    "cross-entropy": losses.CrossEntropy,
    "focal": losses.Focal,
    "with Tversky": lambda: losses.Sum([losses.CrossEntropy(), losses.Tversky()], [1.0, 0.5]),
    "with boundary": lambda: losses.Sum([losses.CrossEntropy(), losses.Boundary()], [1.0, 0.5]),
}
AUGMENTATIONS = {
    True: Strength(),
    "mild": Strength().scaled(0.5),
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
    "DeepLabV3+": deeplab.deeplab_model,
}


@dataclass(frozen=True)
class Recipe(Settings):
    """Settings that are checked: see ``declared.Settings``.

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


def find(name):
    """The recipe of this name; raises ValueError if there is none."""
    return Recipe(**vars(declared.find(name)))


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
        ConnectionError: if the real dataset or, for a pretrained recipe on it, ImageNet's weights
            can't be had.
    """
    if on not in SPLITS:
        raise ValueError(f"on is {on!r}: use one of {', '.join(SPLITS)}")
    pets = data.load(source, recipe.image_size, limit)
    if recipe.pretrained and pets.source == data.REAL:
        imagenet_weights("imagenet")  # no other encoder may stand in for a row of the ledger
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
    if recipe.flips_at_end:
        first = recipe.epochs - recipe.flips_at_end
        callbacks.append(ChangeAugmentation(train_ds, first, AUGMENTATIONS["flips"]))
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
    options = {"weight_decay": recipe.weight_decay, **average}
    return training.fine_tuning(model, rate, recipe.encoder_rate, **options)


def loss(recipe):
    """The recipe's loss, including its Dice loss."""
    main = LOSSES[recipe.loss]()
    return losses.Sum([main, losses.Dice()], [1.0, recipe.dice]) if recipe.dice else main
