"""Whether a model learns, and whether its file does what it does."""

import keras
import numpy as np

from labkit import losses


def assert_trains(model, steps=1):
    """Every weight of the decoder gets a gradient."""
    model.get_layer("encoder").trainable = False  # its training is tested with the plain U-Net
    # Adam's first step has the same size for any gradient but 0.
    model.compile(keras.optimizers.Adam(0.01, epsilon=1e-20), losses.CrossEntropy())
    before = [np.array(weight) for weight in model.trainable_weights]
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (6, *model.input_shape[1:]), np.uint8)
    masks = rng.integers(0, 3, (*images.shape[:3], 1), np.uint8)
    for _ in range(steps):
        loss = model.train_on_batch(images, masks)
    assert np.isfinite(loss)
    for old_weight, weight in zip(before, model.trainable_weights, strict=True):
        assert np.abs(old_weight - np.array(weight)).max() > 0, f"{weight.path} got no gradient"


def assert_saves_and_loads(model, folder):
    images = np.random.default_rng(0).integers(0, 256, (3, *model.input_shape[1:]), np.uint8)
    model.save(folder / "model.keras")
    loaded = keras.models.load_model(folder / "model.keras", compile=False)
    logits = model.predict_on_batch(images)
    assert logits.shape == (3, *model.output_shape[1:]) and logits.dtype == np.float32
    np.testing.assert_allclose(loaded.predict_on_batch(images), logits, atol=1e-5)
