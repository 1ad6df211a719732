"""CPU time of training with freed memory returned to the system, and kept, on Linux.

    python -m benchmarks.freed_memory

One epoch of 128 drawn pets in batches of 8, with the network of the recipe ``standard``, after one
epoch that compiles. ``labkit.batches.keep_freed_memory`` says why the two differ.
"""

import os

from labkit import batches, data, losses, training
from labkit.models.trained import trained_unet


def main():
    model = trained_unet(fine_tune="block_3")
    model.compile(training.fine_tuning(model, 1e-3), losses.CrossEntropy())
    train_ds = batches.Batches(data.load("synthetic", limit=(128, 1)).train, 8, seed=0)
    keep = batches.keep_freed_memory
    batches.keep_freed_memory = lambda: None
    for title in ("compiling", "returned", "kept"):
        if title == "kept":
            batches.keep_freed_memory = keep
        before = os.times()
        model.fit(train_ds, shuffle=False, verbose=0)
        after = os.times()
        user, system = after.user - before.user, after.system - before.system
        print(f"{title}: {user:.1f} s of computing, {system:.1f} s in the system")


if __name__ == "__main__":
    main()
