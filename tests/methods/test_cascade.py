"""The cascade: boxes around the pet, crops, and pasting the predictions back."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit import classes, data
from labkit.analysis import scores
from labkit.methods import cascade


def make_mask(top, left, bottom, right, side=32):
    mask = np.full((1, side, side, 1), classes.BACKGROUND, np.uint8)
    mask[0, top:bottom, left:right] = classes.PET
    return mask


def test_boxes_contain_pet_and_margin():
    mask = make_mask(8, 4, 16, 20)
    np.testing.assert_allclose(
        cascade.bounding_boxes(mask, 0), [[8 / 32, 4 / 32, 16 / 32, 20 / 32]]
    )
    with_margin = cascade.bounding_boxes(mask, 0.25)[0] * 32
    np.testing.assert_allclose(with_margin, [6, 0, 18, 24])  # 4 - 4 = 0 on the left


def test_boxes_include_border():
    mask = make_mask(8, 8, 16, 16)
    mask[0, 16, 12] = classes.BORDER
    assert cascade.bounding_boxes(mask, 0)[0, 2] == 17 / 32


def test_boxes_without_pet_cover_image():
    assert cascade.bounding_boxes(make_mask(0, 0, 0, 0)).tolist() == [[0, 0, 1, 1]]


def test_boxes_stay_inside_image():
    assert cascade.bounding_boxes(make_mask(0, 0, 32, 32)).tolist() == [[0, 0, 1, 1]]


def test_crops_cut_image_and_mask():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1, 64, 64, 3), np.uint8)
    masks = rng.integers(0, 3, (1, 64, 64, 1), np.uint8)
    split = data.Split(images, masks, {"name": np.array(["a"])})
    crops = cascade.crops(split, [[0.25, 0.5, 0.75, 1.0]], 32)  # 32x32 pixels of 64x64
    np.testing.assert_array_equal(crops.images, images[:, 16:48, 32:64])
    np.testing.assert_array_equal(crops.masks, masks[:, 16:48, 32:64])
    assert crops.table is split.table


@given(st.integers(0, 20), st.integers(0, 20), st.integers(4, 12), st.integers(4, 12))
@settings(max_examples=40, deadline=None)
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
    model = cascade.Cascade(color_model(16), color_model(32))
    logits = model.predict_on_batch(images)
    pred_masks = logits.argmax(-1)
    assert logits.shape == (2, 64, 64, 3) and logits.dtype == np.float32
    assert pred_masks[0, 20, 20] == classes.BORDER
    assert pred_masks[0, 29, 29] == classes.PET
    assert (pred_masks[0, 40:] == classes.BACKGROUND).all()
    assert (pred_masks[1] == classes.BACKGROUND).all()


def test_second_model_sees_full_image_without_pet():
    inputs = []

    class Second:
        input_shape = (None, 32, 32, 3)

        def predict_on_batch(self, images):
            inputs.append(images)
            return np.zeros((*images.shape[:3], 3), "float32")

    images = np.zeros((1, 32, 32, 3), np.uint8)
    images[..., classes.BACKGROUND] = np.arange(1, 33)
    cascade.Cascade(color_model(16), Second()).predict_on_batch(images)
    np.testing.assert_array_equal(inputs[0], images)


def test_cascade_can_be_scored():
    images = np.zeros((3, 32, 32, 3), np.uint8)
    images[..., classes.BACKGROUND] = 100
    images[:, 8:20, 8:20] = [200, 0, 0]
    masks = np.argmax(images, axis=-1).astype("uint8")[..., np.newaxis]
    split = data.Split(images, masks, {})
    model = cascade.Cascade(color_model(32), color_model(32))
    assert scores.score(model, split)["accuracy"] > 0.97


def test_crops_require_box_per_image():
    split = data.Split(np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 8, 8, 1), np.uint8), {})
    with pytest.raises(ValueError, match="shorter"):
        cascade.crops(split, [[0, 0, 1, 1]])
