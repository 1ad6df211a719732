"""The cascade: boxes around the pet, crops, and pasting the predictions back."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import classes, data
from labkit.methods import cascade


def pet_box(top, left, bottom, right, margin=0.0):
    """The box, in pixels of 32, of a pet at this place."""
    mask = np.full((1, 32, 32, 1), classes.BACKGROUND, np.uint8)
    mask[0, top:bottom, left:right] = classes.PET
    mask[0, bottom - 1 : bottom, left:right] = classes.BORDER
    return (32 * cascade.bounding_boxes(mask, margin)[0]).tolist()


def test_boxes_contain_pet_border_and_margin():
    assert pet_box(8, 4, 16, 20) == [8, 4, 16, 20]
    assert pet_box(8, 4, 16, 20, margin=0.25) == [6, 0, 18, 24]
    assert pet_box(8, 4, 16, 20, margin=1.0) == [0, 0, 24, 32]  # clipped at the image's edge
    assert pet_box(0, 0, 0, 0) == [0, 0, 32, 32]  # no pet


def test_crops_cut_image_and_mask():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1, 64, 64, 3), np.uint8)
    masks = rng.integers(0, 3, (1, 64, 64, 1), np.uint8)
    split = data.Split(images, masks, {"name": np.array(["a"])})
    crops = cascade.crops(split, [[0.25, 0.5, 0.75, 1.0]], 32)  # 32x32 pixels of 64x64
    np.testing.assert_array_equal(crops.images, images[:, 16:48, 32:64])
    np.testing.assert_array_equal(crops.masks, masks[:, 16:48, 32:64])
    assert crops.table is split.table
    with pytest.raises(ValueError, match="longer"):
        cascade.crops(split, [[0, 0, 1, 1]] * 2)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(4, 12), st.integers(4, 12))
def test_paste_restores_crop(top, left, height, width):
    """A smooth image is restored inside the box, and nothing changes outside it."""
    side = 32
    ys, xs = np.indices((side, side)) / side
    smooth = np.stack([ys, xs, ys + xs], -1)[None].astype("float32")
    box = np.array([[top, left, top + height, left + width]]) / side
    grid = (np.arange(64) + 0.5) / 64
    y, x = (start + grid * (end - start) for start, end in zip(box[0, :2], box[0, 2:], strict=True))
    y, x = y - 0.5 / side, x - 0.5 / side  # a pixel has the value at its upper left corner
    crop = np.stack(np.broadcast_arrays(y[:, None], x, y[:, None] + x), -1)
    pasted = cascade.paste(smooth * 0 - 9, crop[None], box)
    inside = np.zeros((side, side), bool)
    inside[top : top + height, left : left + width] = True
    assert (pasted[0][~inside] == -9).all()
    np.testing.assert_allclose(pasted[0][inside], smooth[0][inside], atol=1e-5)


def color_model(side):
    """A model whose logits are the RGB values, so that its predictions are known."""
    image = keras.Input((side, side, 3))
    return keras.Model(image, keras.layers.Rescaling(1.0)(image))


def test_second_model_decides_inside_box():
    images = np.zeros((2, 64, 64, 3), np.uint8)
    images[..., classes.BACKGROUND] = 100
    images[0, 16:32, 16:32] = [200, 0, 0]  # the first model predicts a pet here
    images[0, 20, 20] = [0, 0, 250]  # border, visible only at the larger size
    logits = cascade.Cascade(color_model(16), color_model(32)).predict_on_batch(images)
    pred_masks = logits.argmax(-1)
    assert logits.shape == (2, 64, 64, 3) and logits.dtype == np.float32
    assert pred_masks[0, 20, 20] == classes.BORDER
    assert pred_masks[0, 29, 29] == classes.PET
    assert (pred_masks[0, 40:] == classes.BACKGROUND).all()
    assert (pred_masks[1] == classes.BACKGROUND).all()
