"""Hyperparameter search for a recipe, scored on validation images only.

Optuna (Akiba et al. 2019, arXiv:1907.10902) searches with its tree-structured Parzen estimator
(Bergstra et al. 2011): the first trial is the unchanged recipe, the next nine are drawn at random,
and later ones where good trials have been denser than bad ones. The test split is never used. Each
finished trial is saved to a file, and an interrupted search resumes from it.
"""

import shutil
from dataclasses import asdict, replace

from labkit import data
from labkit.analysis import scores
from labkit.experiments import recipes
from labkit.runs.folder import Diverged, runs_folder, write_error
from labkit.runs.identity import pixels_code, short_hash

# Limits (low, high) of numeric settings. Ranges above 0 are searched on a logarithmic scale.
SPACE = {
    "learning_rate": (2e-4, 1e-2),
    "encoder_rate": (0.03, 1.0),
    "weight_decay": (1e-5, 1e-1),
    "dice": (0.0, 1.0),
}


def search(recipe, split, trials, space=SPACE, seed=0):
    """Try settings of a recipe until there are ``trials``; the first is the unchanged recipe.

    Args:
        recipe: a ``labkit.experiments.recipes.Recipe`` with a short budget.
        split: the train split; a tenth of it is held out for validation.
        trials: total number, including those of earlier calls.
        space: limits (low, high) by the name of a numeric setting.
        seed: of the search and of each training.

    Returns:
        A pandas table, one row per trial in order: the settings and ``mean IoU`` on the validation
        images, which is 0 for a training that diverged.

    Raises:
        ValueError: for fewer than one trial, a setting that is not a number, or limits that exclude
            the recipe's own value.
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

    def objective(trial):
        variant = suggest_recipe(recipe, trial, space)
        try:
            model, trained = recipes.fit(variant, seed, train)
        except Diverged as error:  # a bad score keeps the search away from such settings
            shutil.rmtree(error.folder)
            return 0.0
        mean_iou = scores.score(model, val)["mean IoU"]
        shutil.rmtree(trained.folder)  # only the score is needed
        return mean_iou

    while (done := len(finished_trials(study))) < trials:
        print(f"trial {done + 1} of {trials}", flush=True)
        # Seeded by the trial's number, so that a resumed search draws the same settings.
        study.sampler = optuna.samplers.TPESampler(seed=1000 * seed + done)
        study.optimize(objective, n_trials=1)
    return trials_table(study)


def optuna_here():
    """The module optuna; raises ImportError with installation advice if it is missing."""
    try:
        import optuna
    except ImportError as error:
        raise ImportError("the search needs Optuna: pip install optuna") from error
    return optuna


def check(recipe, trials, space):
    """Raise ValueError for arguments that ``search`` cannot use."""
    if trials < 1:
        raise ValueError(f"trials is {trials}: use 1 or more")
    for name, (low, high) in space.items():
        value = getattr(recipe, name, None)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(
                f"{name!r} is {value!r} in recipe {recipe.name!r}: only numbers can be searched"
            )
        if not 0 <= low <= value <= high:
            raise ValueError(
                f"{name} is {value} in recipe {recipe.name!r}, outside its limits {low} to {high}: "
                "use limits of 0 or more that include it"
            )


def suggest_recipe(recipe, trial, space):
    """The recipe with the settings that Optuna suggests for a trial."""
    return replace(
        recipe,
        **{
            name: trial.suggest_float(name, low, high, log=low > 0)
            for name, (low, high) in space.items()
        },
    )


def journal(recipe, train, space, seed):
    """Optuna's storage of a search: a file in the runs folder, named after all that shapes it."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    arguments = asdict(recipe), space, seed, pixels_code(train)
    file = runs_folder() / f"search-{recipe.name}-{short_hash(repr(arguments).encode())}.log"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Optuna's default lock is a symbolic link, which Google Drive and Windows refuse.
        backend = JournalFileBackend(str(file), JournalFileOpenLock(str(file)))
    except OSError as error:
        raise write_error(file.parent, error) from error
    return JournalStorage(backend)


def requeue_interrupted(study):
    """Queue again the trials that an interruption left running."""
    from optuna.trial import TrialState

    for trial in study.get_trials(states=[TrialState.RUNNING]):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)


def finished_trials(study):
    """The trials with a score, oldest first."""
    from optuna.trial import TrialState

    return study.get_trials(states=[TrialState.COMPLETE])


def trials_table(study):
    """Settings and score of each finished trial, as a pandas table."""
    import pandas as pd

    rows = [trial.params | {"mean IoU": trial.value} for trial in finished_trials(study)]
    return pd.DataFrame(rows).rename_axis("trial")
