"""The ``labkit`` command: what a person calls from a terminal."""

import argparse
import sys


def main(arguments=None):
    """Run the command; returns the exit status. Mistakes in the call end with one line, not a
    traceback."""
    options = parser().parse_args(arguments)
    try:
        options.action(options)
    except (ValueError, OSError) as error:
        print(f"labkit: {error}", file=sys.stderr)
        return 1
    return 0


def parser():
    """What the command takes."""
    top = argparse.ArgumentParser(prog="labkit", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    info = commands.add_parser("info", help="profile, device, versions and where the data is")
    info.set_defaults(action=show_info)
    run = commands.add_parser("run", help="train a recipe on the real data, add its row")
    run.add_argument("recipe", help="such as laboratory")
    run.add_argument("--seed", type=int, default=0)
    run.set_defaults(action=run_recipe)
    return top


def show_info(options):
    """Print what a bug report needs."""
    from labkit import data, profile

    print(profile.overview().to_string(header=False))
    there = (data.prepared_folder() / "dataset_info.json").exists()
    print(f"real dataset  {data.prepared_folder()}: {'there' if there else 'not there'}")
    print(f"image cache   {data.cache_folder()}")


def run_recipe(options):
    """Train a recipe, print its scores, append its row to the ledger."""
    from labkit import recipes

    recipe = recipes.find(options.recipe)
    if not recipes.LEDGER.parent.is_dir():
        raise ValueError(
            f"there is no {recipes.LEDGER.parent} for the ledger: install labkit from a clone of "
            "the course (pip install -e .)"
        )
    row = recipes.run(recipe, options.seed)
    if recipe.name == "laboratory":
        print(recipes.comparison(row).to_string())
    print(recipes.summary(row).to_string())
    print(f"Row added to {recipes.LEDGER}.")


if __name__ == "__main__":
    sys.exit(main())
