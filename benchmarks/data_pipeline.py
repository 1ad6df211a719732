"""Compare labkit's compact arrays with the laboratory work's tf.data pipeline.

    python -m benchmarks.data_pipeline

Each runs twice in a new process: the first start reads every image of the train split, the second
may use a cache. Measured are the seconds of the first epoch, the images per second of a later one,
and the peak memory. Needs the real dataset, prepared by TensorFlow Datasets.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time

BATCH = 64


def laboratory():
    """Return the laboratory work's epochs: resized and scaled to float32, cached in memory."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    def load_image_train(datapoint):
        image = tf.image.resize(datapoint["image"], (128, 128)) / 255.0
        mask = tf.image.resize(datapoint["segmentation_mask"], (128, 128), method="nearest")
        return image, mask - 1

    raw = tfds.load("oxford_iiit_pet", split="train")
    train = raw.map(load_image_train, num_parallel_calls=tf.data.AUTOTUNE).cache()
    batches = train.shuffle(1000).batch(BATCH).prefetch(tf.data.AUTOTUNE)
    return lambda: iter(batches)


def labkit():
    """Return labkit's epochs: uint8 arrays, opened from the cache folder or made there."""
    from labkit import data
    from labkit.batches import Batches

    batches = Batches(data.load("oxford_iiit_pet").train, BATCH, seed=0)
    return lambda: (batches[i] for i in range(len(batches)))


def measure(name):
    """Print seconds, images per second and MB; runs in a child process."""
    start = time.perf_counter()
    epoch = {"laboratory": laboratory, "labkit": labkit}[name]()
    count_images(epoch)  # fills the cache
    first = time.perf_counter() - start
    start = time.perf_counter()
    rate = count_images(epoch) / (time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB to MiB (Linux)
    print(f"{first:.2f} {rate:.0f} {peak:.0f}")


def count_images(epoch):
    """Return the number of images of an epoch, after reading all of them."""
    return sum(len(images) for images, masks in epoch())


def main():
    print(f"{'':32}{'first epoch, s':>16}{'later, images/s':>18}{'peak memory, MB':>18}")
    with tempfile.TemporaryDirectory() as cache:
        for name in ("laboratory", "labkit"):
            for start in ("first start", "second start"):
                found = subprocess.run(
                    [sys.executable, __file__, name],
                    env={**os.environ, "LABKIT_CACHE": cache, "TF_CPP_MIN_LOG_LEVEL": "3"},
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout.split()[-3:]
                print(f"{name + ', ' + start:32}{found[0]:>16}{found[1]:>18}{found[2]:>18}")


if __name__ == "__main__":
    measure(sys.argv[1]) if len(sys.argv) > 1 else main()
