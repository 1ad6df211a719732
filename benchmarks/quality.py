"""Time to the laboratory work's quality: ``python -m benchmarks.quality RECIPE EPOCHS`` is one run.

It trains a recipe, cut to so many epochs, on the real data, scores it on the test split and prints
JSON. The cut is for the laboratory work's recipe, whose ten epochs are all alike.
"""

import json
import sys
import tempfile
from dataclasses import replace

GOAL = {"accuracy": 0.8986, "mean IoU": 0.7328}  # the laboratory work's recipe, on the test split


def main(name, epochs):
    import os

    with tempfile.TemporaryDirectory() as runs:
        os.environ["LABKIT_RUNS"] = runs
        from labkit import data
        from labkit.analysis import scores
        from labkit.experiments import recipes

        recipe = replace(recipes.find(name), epochs=int(epochs))
        pets = data.load(data.REAL)
        model, run = recipes.fit(recipe, 0, pets.train)
    found = scores.score(model, pets.test)
    print(json.dumps({"seconds": run.history["seconds"], **{key: found[key] for key in GOAL}}))


if __name__ == "__main__":
    main(*sys.argv[1:])
