"""The trained U-Net that comes with the course: it predicts without a network or a dataset.

``labkit study shipped`` trained it on Oxford-IIIT Pet and on drawn pets; its model card is in the
book.
"""

from labkit.classes import NUM_CLASSES
from labkit.models.unet import unet_model
from labkit.models.weights import fill


def trained_unet(num_classes=NUM_CLASSES, image_size=128, fine_tune=False, seed=0):
    """The trained U-Net, ready to predict pets, or to be trained on other classes.

    Args:
        num_classes: C; for other than 3 classes the last layer starts from random weights.
        image_size, fine_tune, seed: as for ``unet.unet_model``. To train it further, use
            ``training.fine_tuning``.

    Returns:
        A Keras model from images uint8 ``[B, H, W, 3]`` to logits ``[B, H, W, C]``, of the classes
        pet, background, border if C is 3.
    """
    model = unet_model(num_classes, image_size, "trained", fine_tune, seed=seed)
    fill(model, "decoder")
    return model
