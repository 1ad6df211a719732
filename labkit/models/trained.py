"""The trained U-Net that comes with the course: it predicts without a network or a dataset.

``labkit study shipped`` trained it on Oxford-IIIT Pet and on drawn pets; its model card is in the
book.
"""

from labkit.models.unet import unet_model
from labkit.models.weights import fill


def trained_unet(fine_tune=False):
    """The trained U-Net, ready to predict.

    Args:
        fine_tune: to train it further, as for ``unet.unet_model``; use ``training.fine_tuning``.

    Returns:
        A Keras model from images uint8 ``[B, 128, 128, 3]`` to logits ``[B, 128, 128, 3]`` of the
        classes pet, background, border.
    """
    model = unet_model(weights="trained", fine_tune=fine_tune)
    fill(model, "decoder")
    return model
