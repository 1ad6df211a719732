"""The ``labkit`` command."""

import argparse
import subprocess
import sys

LABS = ("data", "unet", "metrics", "training", "errors", "own", "skips")  # of labkit.check
# study_... in labkit.experiments.studies
STUDIES = (
    *("cascade", "cost", "depths", "design", "export"),
    *("few", "pruning", "seam", "shipped", "tuning"),
)
FILES = dict.fromkeys(("cost", "depths", "pruning"), (".tflite",))  # endings of what they write
FILES["export"] = (".tflite", ".onnx")


def main(arguments=None):
    """Run the command; returns the exit status. Mistakes in the call end with one line, not a
    traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a console may lack a sign such as a check mark
            stream.reconfigure(errors="replace")
    options = parser().parse_args(arguments)
    try:
        return options.action(options) or 0
    except (ValueError, OSError, ImportError) as error:
        print(f"labkit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("labkit: interrupted; finished results are kept", file=sys.stderr)
        return 130


def parser():
    """The command line: a sub-command for each action."""
    top = argparse.ArgumentParser(prog="labkit", description="The image segmentation course.")
    commands = top.add_subparsers(required=True, metavar="COMMAND", title="commands")

    add_command(commands, "info", show_info, "show versions, the device and where the data is")

    segment = add_command(
        commands,
        "segment",
        segment_photos,
        "write masks and cut-outs of your own photographs",
        "labkit segment cat.jpg holiday/",
    )
    segment.add_argument(
        "photos", nargs="+", metavar="PHOTO", help="a picture, or a folder of them"
    )
    segment.add_argument(
        "--output", default="masks", metavar="FOLDER", help="for the results (default: masks)"
    )
    segment.add_argument(
        "--model", metavar="FILE", help="a .keras file of yours (default: the course's model)"
    )
    segment.add_argument(
        "--classes", nargs="+", metavar="NAME", help="names of its classes, in their order"
    )
    segment.add_argument(
        "--tiles", action="store_true", help="for a model that was trained on tiles"
    )

    run = add_command(
        commands,
        "run",
        run_recipes,
        "train recipes and add their scores to the ledger",
        "labkit run laboratory standard --seeds 0 1 2",
    )
    run.add_argument("recipes", nargs="+", metavar="RECIPE", help="such as laboratory")
    add_seeds(run, [0])
    run.add_argument(
        "--split",
        choices=("test", "validation"),
        default="test",
        help="what to score on; validation is a tenth of the train split (default: test)",
    )

    images = add_command(
        commands,
        "images",
        score_images,
        "score each test image with a trained recipe",
        "labkit images standard --seed 0",
    )
    images.add_argument("recipe", metavar="RECIPE")
    images.add_argument("--seed", type=int, default=0, help="of the training (default: 0)")

    similarity = add_command(
        commands,
        "similarity",
        add_similarity,
        "compare the features of two trained recipes",
        "labkit similarity skips-all skips-none",
    )
    similarity.add_argument("recipes", nargs=2, metavar="RECIPE")
    add_seeds(similarity, [0, 1, 2])

    shades = add_command(
        commands,
        "shades",
        run_shades,
        "run the experiment on shades, with synthetic pets",
        "labkit shades --seeds 0",
    )
    add_seeds(shades, [0, 1, 2])

    study = add_command(
        commands,
        "study",
        run_studies,
        "run experiments of more than one training",
        "labkit study pruning cascade",
    )
    study.add_argument("names", nargs="+", choices=STUDIES, metavar="NAME", help=", ".join(STUDIES))
    add_seeds(study, [0])

    grade = add_command(
        commands,
        "grade",
        grade_folder,
        "grade a class: a folder or ZIP of one lab's notebooks",
        "labkit grade submissions.zip --lab metrics",
    )
    grade.add_argument("folder", metavar="FOLDER", help="a folder or a ZIP file")
    grade.add_argument("--jobs", type=int, default=2, help="notebooks at a time (default: 2)")
    grade.add_argument(
        "--no-container",
        action="store_true",
        help="run trusted notebooks where there is neither Podman nor Docker",
    )
    grade.add_argument(
        "--marks", metavar="CSV", help="fill the points into a copy of this file of the platform's"
    )
    grade.add_argument(
        "--column", default="Grade", help="of that file, for the points (default: Grade)"
    )
    grade.add_argument(
        "--forbid",
        nargs="+",
        default=(),
        metavar="NAME",
        help="what no task's function may use, such as sklearn.metrics",
    )
    add_lab(grade, "graded", "the grades and the report")

    autograder = add_command(
        commands,
        "autograder",
        write_autograder,
        "write a lab's ZIP for Gradescope and otter",
        "labkit autograder --lab metrics --output autograders",
    )
    add_lab(autograder, ".", "LAB.zip")
    return top


def add_command(commands, name, action, summary, example=""):
    """A sub-command; its help ends with an example."""
    command = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=example and f"example: {example}",
    )
    command.set_defaults(action=action)
    return command


def add_seeds(command, seeds):
    text = " ".join(map(str, seeds))
    command.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=seeds,
        metavar="SEED",
        help=f"of the trainings (default: {text})",
    )


def add_lab(command, output, files):
    command.add_argument("--lab", required=True, choices=LABS, help="the lab that is graded")
    command.add_argument(
        "--output", default=output, metavar="FOLDER", help=f"for {files} (default: {output})"
    )
    command.add_argument("--hidden", metavar="FILE", help="a Python file with hidden checks")


def show_info(options):
    """Print what a bug report needs."""
    from labkit import data, download, profile

    print(profile.overview().to_string(header=False))
    there = "there" if download.is_prepared() else "not there"
    print(f"real dataset  {download.prepared_folder()}: {there}")
    print(f"image cache   {data.cache_folder()}")


def segment_photos(options):
    """Write the masks and cut-outs; name each file that can't be read and return 1 for it."""
    from labkit import photos
    from labkit.classes import PETS, Classes
    from labkit.models.trained import trained_unet

    model = load_model(options.model) if options.model else trained_unet()
    classes = Classes(tuple(options.classes)) if options.classes else PETS
    count, reasons = photos.write_all(model, options.photos, options.output, classes, options.tiles)
    for reason in reasons:
        print(f"labkit: {reason}", file=sys.stderr)
    if count:
        print(f"Photographs segmented: {count}. Their masks and cut-outs are in {options.output}.")
    return 1 if reasons else 0


def load_model(file):
    """The model in a file; raises ValueError for one with a layer that is not in labkit."""
    import importlib
    import pkgutil

    import keras

    from labkit import models

    for module in pkgutil.iter_modules(models.__path__, "labkit.models."):
        importlib.import_module(module.name)  # some define layers, which Keras then finds
    try:
        return keras.saving.load_model(file, compile=False)
    except TypeError as error:
        reason = str(error).rpartition("Exception encountered: ")[2].partition(". ")[0]
        raise ValueError(
            f"{file} can't be loaded: {reason}. If it has a layer of your own, load it in Python, "
            "where that is defined, and call labkit.photos.write_all"
        ) from error


def run_recipes(options):
    """Train recipes one after the other, print their scores, append their rows to the ledger."""
    from labkit.experiments import ledger, recipes

    for name in options.recipes:
        recipes.find(name)  # a mistake in the last name is told before the first hour
    check_folder(ledger.LEDGER.parent)
    queue = [(name, seed) for seed in options.seeds for name in options.recipes]
    if len(queue) == 1:
        run_recipe(*queue[0], options.split)
        return
    failed = [f"{name} {seed}" for name, seed in queue if run_apart(name, seed, options.split)]
    if failed:
        raise ValueError(f"{len(failed)} of {len(queue)} runs failed: {', '.join(failed)}")


def score_images(options):
    """Write a table of scores and attributes, a line for each test image, beside the ledger.

    The run is loaded if it was made here, else made.
    """
    from labkit import data, training
    from labkit.analysis import tables
    from labkit.experiments import ledger, recipes

    recipe = recipes.find(options.recipe)
    check_folder(ledger.LEDGER.parent)
    check_encoder(recipe.pretrained)
    pets = data.load(data.REAL, recipe.image_size)
    model, _ = recipes.fit(recipe, options.seed, pets.train)
    rows = tables.per_image(pets.test, training.predict_masks(model, pets.test))
    file = ledger.images_file(options.recipe, options.seed)
    write_table(rows, file)
    print(f"{len(rows)} images are in {file}.")


def add_similarity(options):
    """Compare the decoders of two recipes, seed by seed, and each of the first with its next seed.

    Runs that were made here are loaded; others are made. Raises ValueError for a single seed, or
    one that is given twice: a model would be compared with itself.
    """
    from labkit import data, profile
    from labkit.analysis import probes
    from labkit.experiments import ledger, recipes

    chosen = [recipes.find(name) for name in options.recipes]
    if len(set(options.seeds)) < max(2, len(options.seeds)):
        seeds = " ".join(map(str, options.seeds))
        raise ValueError(f"seeds are {seeds}: use at least two different ones, such as 0 1 2")
    check_folder(ledger.LEDGER.parent)
    check_encoder(any(recipe.pretrained for recipe in chosen))
    pets = data.load(data.REAL)
    images = pets.test.images[:64]
    first, second = (
        [recipes.fit(recipe, seed, pets.train)[0] for seed in options.seeds] for recipe in chosen
    )
    for number, seed in enumerate(options.seeds):
        following = (number + 1) % len(options.seeds)
        ledger.append(
            {
                "recipes": options.recipes,
                "seed": seed,
                "commit": profile.commit(),
                "CKA": probes.similarity(first[number], second[number], images),
                "CKA of another seed": probes.similarity(first[number], first[following], images),
            },
            ledger.similarity_file(),
        )
    print(f"{len(options.seeds)} rows added to {ledger.similarity_file()}.")


def run_shades(options):
    """Write a table for each seed, beside the ledger: test animals in every coat, scored by a
    model that learned from varied coats and by one that learned from plain ones."""
    import pandas as pd

    from labkit.experiments import ledger, shades

    check_folder(ledger.LEDGER.parent)
    check_encoder()
    for seed in options.seeds:
        rows = pd.concat([shades.experiment(coats, seed) for coats in shades.COATS])
        write_table(rows, ledger.shades_file(seed))
        print(f"{len(rows)} scores are in {ledger.shades_file(seed)}.")


def run_studies(options):
    """Make the rows of each study and seed, and add them to its file beside the ledger.

    All rows of a seed at once: after an interruption the file has no half of a study.
    """
    from labkit import data
    from labkit.experiments import ledger, studies

    check_folder(ledger.LEDGER.parent)
    for name in options.names:
        check_study(name)
    check_encoder(set(options.names) != {"cost"})  # which finishes no training
    pets = data.load(data.REAL)
    for seed in options.seeds:
        for name in options.names:
            metadata = studies.run_metadata(seed)
            for row in list(getattr(studies, f"study_{name}")(pets, seed)):
                ledger.append(metadata | row, ledger.study_file(name))
            print(f"{name}, seed {seed}: rows added to {ledger.study_file(name)}.")


def grade_folder(options):
    """Grade each notebook in a container; write the grades and the report."""
    from labkit.grade import course, marks, report

    if options.jobs < 1:
        raise ValueError(f"jobs is {options.jobs}: use 1 or more")
    worksheet = marks.read(options.marks, options.column) if options.marks else None
    result = course.grade_class(
        options.folder,
        options.lab,
        options.output,
        options.hidden,
        options.jobs,
        no_container=options.no_container,
        forbidden=options.forbid,
    )
    stuck = sum(bool(one.problem) for one in result)
    print(f"{len(result)} students, {stuck} of them with a problem: {options.output}/report.html")
    if report.nothing_attempted(result):
        print(f"No notebook has a task of --lab {options.lab}. Is it another lab?")
    if worksheet:
        path, absent = marks.fill(worksheet, result, options.output)
        print(f"written {path}; without points: {', '.join(absent) or 'nobody'}")


def write_autograder(options):
    """Write LAB.zip for otter-grader."""
    from labkit.grade import autograder

    print(f"written {autograder.write(options.lab, options.output, options.hidden)}")


def check_folder(folder):
    """Raise ValueError, before an hour of training, if its results would not be in a clone."""
    # Debian and Colab install into dist-packages.
    installed = {"site-packages", "dist-packages"}.intersection(folder.parts)
    if installed or not folder.is_dir():
        raise ValueError(
            f"{folder}, where results go, is not in a clone of the course: install labkit from one "
            "(pip install -e .)"
        )


def check_encoder(pretrained=True):
    """Raise ConnectionError, before an hour of training, if ImageNet's weights can't be had.

    Without them, another encoder would stand in for the one that the results are about.
    """
    from labkit.models.encoder import imagenet_weights

    if pretrained:
        imagenet_weights("imagenet")


def check_study(name):
    """Raise, before an hour of training, if a study can't be made here.

    ImportError for a missing package, ValueError for a backend that gives no LiteRT files.
    """
    from labkit.experiments import tuning
    from labkit.methods import export

    export.check_ready(FILES.get(name, ()))
    if name == "tuning":
        tuning.optuna_here()


def write_table(rows, file):
    """A pandas table as packed CSV, four digits; the same table gives the same bytes."""
    rows.round(4).to_csv(file, index=False, compression={"method": "gzip", "mtime": 0})


def run_apart(name, seed, on):
    """One run in a process of its own, so that the next one starts with its memory free."""
    command = [sys.executable, "-m", "labkit.cli", "run", name, "--seeds", str(seed)]
    command += ["--split", on]
    print(f"{name}, seed {seed}:", flush=True)
    return subprocess.run(command).returncode


def run_recipe(name, seed, on):
    """One run, unless the ledger has it from this very code."""
    from labkit import profile
    from labkit.experiments import ledger, recipes

    recipe = recipes.find(name)
    if ledger.holds(recipe, seed, on, profile.commit()):
        print(f"{name}, seed {seed}, is in {ledger.LEDGER} already, made by this code.")
        return
    row = recipes.run(recipe, seed, on)
    if name == "laboratory" and on == "test":
        print(ledger.comparison(row).to_string())
    print(ledger.with_intervals(row).to_string())
    print(ledger.summary(row[on]).to_string())
    if ledger.holds(recipe, seed, on, row["commit"]):  # it was loaded, and other code made it
        print(f"{ledger.LEDGER} has the row of this training. Delete its folder to train again.")
        return
    ledger.append(row)
    print(f"Row added to {ledger.LEDGER}.")


if __name__ == "__main__":
    sys.exit(main())
