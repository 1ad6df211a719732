"""The same training on one and on several devices: losses, and seconds of the last epoch.

    KERAS_BACKEND=jax python -m benchmarks.devices 2        1 and 2 virtual devices of the processor
    KERAS_BACKEND=jax python -m benchmarks.devices HOST:PORT PROCESSES NUMBER     one of several
                                                            processes, here or on other machines

The model is the course's U-Net for small images, on synthetic pets.
"""

import os
import sys
import tempfile

BACKEND = os.environ.setdefault("KERAS_BACKEND", "tensorflow")


def divide_processor(count):
    """Make so many virtual devices; has to come before the backend starts."""
    if BACKEND == "jax":
        os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={count}"
        return
    import tensorflow as tf

    processor = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * count
    tf.config.set_logical_device_configuration(processor, parts)


def measure(devices):
    """Train for two epochs, from nothing, and print how it went."""
    from labkit import data, training
    from labkit.batches import Batches
    from labkit.models.unet import unet_model

    pets = data.load("synthetic", 32, limit=(64, 16))
    model = unet_model(image_size=32, weights=None, filters=(32, 32, 16, 16), seed=0)
    train_ds = Batches(pets.train, 16, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LABKIT_RUNS"] = folder
        run = training.train(model, train_ds, epochs=2, name="devices", devices=devices)
    losses, seconds = run.history["loss"], run.history["seconds"][-1]
    print(f"{BACKEND}, devices={devices!r}: losses {losses}, {seconds:.1f} s", flush=True)


def main(arguments):
    if len(arguments) == 3:
        import keras

        keras.distribution.initialize(arguments[0], int(arguments[1]), int(arguments[2]))
        measure("all")
        return
    divide_processor(int(arguments[0]))
    for devices in (1, int(arguments[0])):
        measure(devices)


if __name__ == "__main__":
    main(sys.argv[1:])
