"""Tuning: settings of a recipe are searched for, on validation images alone.

The search is Optuna's (Akiba et al. 2019, arXiv:1907.10902) with its tree-structured Parzen
estimator (Bergstra et al. 2011): the first is the recipe as it is, those up to the tenth are drawn
at random, and the next ones where good trials have been denser than bad ones. The test split is
never looked at. Each trial is kept in a file as it ends, and an interrupted search goes on where
it was.
"""

import hashlib
import shutil
from dataclasses import asdict, replace

from labkit import data, training
from labkit.analysis import scores
from labkit.experiments import recipes

# Settings of a recipe, lowest and highest. Those above 0 are searched by their logarithm.
SPACE = {
    "learning_rate": (2e-4, 1e-2),
    "encoder_rate": (0.03, 1.0),
    "weight_decay": (1e-5, 1e-1),
    "dice": (0.0, 1.0),
}


def search(recipe, split, trials, space=SPACE, seed=0):
    """Try settings of a recipe until there are ``trials``; the first one is the recipe as it is.

    Args:
        recipe: a ``labkit.experiments.recipes.Recipe`` with a short budget.
        split: the train split, a tenth of which is held out to score on.
        trials: how many, with those that an earlier call made.
        space: limits (low, high) by the name of a numeric setting.
        seed: of the search and of each training.

    Returns:
        A pandas table, a line a trial in their order: the settings and ``mean IoU`` on the
        validation images, 0 for settings with which the loss stopped being a number.

    Raises:
        ValueError: for fewer than one trial, or limits of something that is no number.
        ImportError: if Optuna is not installed.
    """
    check(recipe, trials, space)
    optuna = optuna_here()
    train, val = data.hold_out(split)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name="search",
        storage=journal(recipe, train, space, seed),
        direction="maximize",
        load_if_exists=True,
    )
    if not study.trials:
        study.enqueue_trial({name: getattr(recipe, name) for name in space})
    requeue_interrupted(study)

    def try_one(trial):
        variant = suggested(recipe, trial, space)
        try:
            model, trained = recipes.fit(variant, seed, train)
        except training.Diverged as bad:  # a result too; without one these settings came up again
            shutil.rmtree(bad.folder)
            return 0.0
        value = scores.score(model, val)["mean IoU"]
        shutil.rmtree(trained.folder)  # the score is all that is wanted
        return value

    while (done := len(finished(study))) < trials:
        print(f"trial {done + 1} of {trials}", flush=True)
        # Seeded by the number of the trial: a search that goes on draws what it would have drawn.
        study.sampler = optuna.samplers.TPESampler(seed=1000 * seed + done)
        study.optimize(try_one, n_trials=1)
    return table(study)


def optuna_here():
    """The package; raises ImportError, with the remedy, where it is missing."""
    try:
        import optuna
    except ImportError as error:
        raise ImportError("the search is made by Optuna: pip install optuna") from error
    return optuna


def check(recipe, trials, space):
    """Raise ValueError for what can't be searched."""
    if trials < 1:
        raise ValueError(f"trials is {trials}: make at least 1")
    for name, (low, high) in space.items():
        value = getattr(recipe, name, None)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name!r} is {value!r} in recipe {recipe.name!r}: search for numbers")
        if not 0 <= low <= value <= high:
            raise ValueError(f"{name} is {value}, which its limits {low} to {high} leave out")


def suggested(recipe, trial, space):
    """The recipe with a trial's settings."""
    return replace(
        recipe,
        **{
            name: trial.suggest_float(name, low, high, log=low > 0)
            for name, (low, high) in space.items()
        },
    )


def journal(recipe, train, space, seed):
    """The file of a search, in the folder of runs; its name stands for all that shapes it."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    every = slice(None, None, max(1, len(train) // 16))
    shape = repr((asdict(recipe), space, seed, len(train))).encode()
    code = hashlib.sha256(shape + train.images[every].tobytes()).hexdigest()[:8]
    folder = training.runs_folder()
    folder.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(folder / f"search-{recipe.name}-{code}.log")))


def requeue_interrupted(study):
    """Queue again what was being tried when an earlier call was interrupted."""
    from optuna.trial import TrialState

    for trial in study.get_trials(states=[TrialState.RUNNING]):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)


def finished(study):
    """The trials that have a score, oldest first."""
    from optuna.trial import TrialState

    return study.get_trials(states=[TrialState.COMPLETE])


def table(study):
    """Settings and score of each finished trial, a line each."""
    import pandas as pd

    lines = [trial.params | {"mean IoU": trial.value} for trial in finished(study)]
    return pd.DataFrame(lines).rename_axis("trial")
