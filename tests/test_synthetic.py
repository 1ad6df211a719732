"""Synthetic pets: schema, determinism, statistics and options."""

import numpy as np
import pytest

from labkit import synthetic
from labkit.synthetic import BREEDS, SPECIES, example, examples

SMALL = {"size": (64, 64)}
COUNTS = [  # pet, background and border pixels of the first five examples
    [5107, 9946, 1331],
    [1950, 12924, 1510],
    [9089, 5722, 1573],
    [7327, 7496, 1561],
    [4989, 9293, 2102],
]
MEANS = [100.04, 160.71, 111.99, 110.1, 103.71]


def rgb(drawn):
    return drawn["image"].astype(float)


def labels(drawn):
    return drawn["segmentation_mask"][..., 0]  # [H, W]


def assert_examples_equal(actual, expected):
    assert actual.keys() == expected.keys()
    for key, value in actual.items():
        np.testing.assert_array_equal(value, expected[key], err_msg=key)


def test_schema():
    for drawn in examples(20):
        assert set(drawn) == {
            "image",
            "segmentation_mask",
            "label",
            "species",
            "file_name",
            "head_bbox",
        }
        height, width, channels = drawn["image"].shape
        assert channels == 3 and drawn["image"].dtype == np.uint8
        assert drawn["segmentation_mask"].shape == (height, width, 1)
        assert drawn["segmentation_mask"].dtype == np.uint8
        assert type(drawn["label"]) is int and type(drawn["species"]) is int
        assert drawn["head_bbox"].shape == (4,) and drawn["head_bbox"].dtype == np.float32


def test_breeds_species_and_file_names_match():
    assert len(BREEDS) == 37 and list(SPECIES.values()).count(0) == 12
    seen = set()
    for index, drawn in enumerate(examples(300, size=(32, 32))):
        breed = BREEDS[drawn["label"]]
        assert drawn["species"] == SPECIES[breed] == ("_dog_" in breed)
        assert drawn["file_name"] == f"{breed}_{2 * index:06d}.jpg"
        seen.add(breed)
    assert seen == set(BREEDS)


def test_example_is_independent_of_order():
    forwards = list(examples(6, **SMALL))
    for index in reversed(range(6)):
        assert_examples_equal(example(index, **SMALL), forwards[index])


def test_seeds_and_splits_share_no_animals():
    sets = [{"seed": 0}, {"seed": 1}, {"seed": 0, "split": "test"}]
    masks = [{labels(drawn).tobytes() for drawn in examples(60, **SMALL, **kind)} for kind in sets]
    assert len(set.union(*masks)) == 180
    assert example(7, split="train")["file_name"].endswith("_000014.jpg")
    assert example(7, split="test")["file_name"].endswith("_000015.jpg")  # odd: never in train


def test_sizes_vary_by_default():
    shapes = {drawn["image"].shape[:2] for drawn in examples(30)}
    sides = [side for shape in shapes for side in shape]
    assert len(shapes) > 25 and 96 <= min(sides) < 120 and 235 < max(sides) <= 260
    assert example(0, size=(40, 70))["image"].shape == (40, 70, 3)


def test_animal_is_independent_of_size():
    for index in range(5):
        small = labels(example(index, size=(64, 64)))
        large = labels(example(index, size=(192, 192)))[1::3, 1::3]  # the middle of each 3 x 3
        assert np.mean(small == large) > 0.99


def test_class_shares_match_real_dataset():
    masks = np.stack([labels(drawn) for drawn in examples(300, size=(96, 96))])
    shares = [100 * np.mean(masks == value) for value in (1, 2, 3)]
    np.testing.assert_allclose(shares, (30.0, 58.7, 11.4), atol=2)
    assert np.isin(masks, (1, 2, 3)).all()
    pet = np.mean(masks == 1, axis=(1, 2))
    assert pet.min() > 0.03 and pet.std() > 0.05  # always an animal, of varying size
    assert all((masks == value).any(axis=(1, 2)).all() for value in (1, 2, 3))


@pytest.mark.parametrize("size", [(32, 32), (128, 128), (40, 160), None])
def test_border_separates_pet_and_background(size):
    for drawn in examples(40, size=size):
        mask = labels(drawn).astype(int)
        for pixels, neighbors in ((mask[1:], mask[:-1]), (mask[:, 1:], mask[:, :-1])):
            assert not np.any(pixels * neighbors == 1 * 2)


def test_some_animals_are_occluded_or_cropped(monkeypatch):
    shown = [labels(drawn) for drawn in examples(60, **SMALL)]
    cut = [any((edge == 1).any() for edge in (m[0], m[-1], m[:, 0], m[:, -1])) for m in shown]
    assert 0.3 < np.mean(cut) < 0.95
    monkeypatch.setattr(synthetic, "_occluder", lambda rng: None)
    unoccluded = [labels(drawn) for drawn in examples(60, **SMALL)]
    hidden = [np.sum((w == 1) & (s == 2)) for w, s in zip(unoccluded, shown, strict=True)]
    assert 0.1 < np.mean(np.array(hidden) > 0) < 0.35
    assert not any(np.sum((w == 2) & (s != 2)) for w, s in zip(unoccluded, shown, strict=True))


@pytest.mark.parametrize(
    "change", [{"shades": 2}, {"shades": 6}, {"contrast": 0.1}, {"shades": 1, "contrast": 1.0}]
)
def test_shades_and_contrast_affect_coat_only(change):
    for index in range(10):
        before, after = (
            example(index, **{"shades": 4, "contrast": 0.8} | kind, **SMALL)
            for kind in ({}, change)
        )
        np.testing.assert_array_equal(labels(before), labels(after))
        differs = np.any(before["image"] != after["image"], axis=-1)
        assert differs[labels(before) == 1].mean() > 0.3
        assert not differs[labels(before) == 2].any()


def test_coat_has_requested_number_of_shades(monkeypatch):
    animal, silhouette = synthetic._animal, synthetic._silhouette
    # Without eyes, light and noise, a coat's pixels have exactly the colors of its shades.
    monkeypatch.setattr(synthetic, "_animal", lambda *args: [*animal(*args)[:2], []])
    monkeypatch.setattr(
        synthetic, "_silhouette", lambda *args: (silhouette(*args)[0], np.ones((1, 1), np.float32))
    )
    monkeypatch.setattr(synthetic, "_grain", lambda *args: 0)
    for shades in range(1, 7):
        drawn = [example(i, shades=shades, contrast=0.5, **SMALL) for i in range(20)]
        counts = [len(np.unique(d["image"][labels(d) == 1], axis=0)) for d in drawn]
        assert max(counts) == shades
        assert np.mean(np.array(counts) == shades) >= 0.8  # the visible part may lack a shade


def test_contrast_separates_shades():
    def spread(contrast):
        drawn = [example(i, shades=3, contrast=contrast, **SMALL) for i in range(10)]
        return np.mean([rgb(d)[labels(d) == 1].std(axis=0).mean() for d in drawn])

    assert np.all(np.diff([spread(c) for c in (0, 0.25, 0.5, 0.75, 1)]) > 2)


def test_background_contrast_separates_coat_and_background():
    def gap(contrast):
        drawn = [example(i, background_contrast=contrast, **SMALL) for i in range(20)]
        means = [[rgb(d)[labels(d) == value].mean(axis=0) for value in (1, 2)] for d in drawn]
        return np.mean([np.linalg.norm(pet - background) for pet, background in means])

    gaps = [gap(c) for c in (0, 0.25, 0.5, 0.75, 1)]
    assert gaps[0] < 30 and np.all(np.diff(gaps) > 12), gaps


def test_background_contrast_keeps_animal():
    for index in range(5):
        low, high = (example(index, background_contrast=c, **SMALL) for c in (0, 1))
        np.testing.assert_array_equal(labels(low), labels(high))
        pet = labels(low) == 1
        np.testing.assert_array_equal(low["image"][pet], high["image"][pet])


def test_head_bbox_fits_head(monkeypatch):
    animal = synthetic._animal

    def head_only(rng, label):
        _, head, marks = animal(rng, label)
        return [], head, marks

    monkeypatch.setattr(synthetic, "_animal", head_only)
    monkeypatch.setattr(synthetic, "_occluder", lambda rng: None)
    for drawn in examples(40, size=(100, 160)):
        ymin, xmin, ymax, xmax = drawn["head_bbox"]
        assert 0 <= ymin < ymax <= 1 and 0 <= xmin < xmax <= 1
        rows, columns = np.nonzero(labels(drawn) != 2)
        pixels = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
        bbox = np.array(pixels) / (100, 160, 100, 160)
        np.testing.assert_allclose(bbox, drawn["head_bbox"], atol=0.045)  # the border's width


def test_examples_are_platform_independent():
    """Compares with recorded values; counts must match exactly on every machine."""
    drawn = list(examples(5, size=(128, 128)))
    counts = [np.bincount(labels(d).ravel(), minlength=4)[1:].tolist() for d in drawn]
    assert counts == COUNTS
    np.testing.assert_allclose([rgb(d).mean() for d in drawn], MEANS, atol=0.1)


@pytest.mark.parametrize(
    ("index", "options", "message"),
    [
        (-1, {}, "index must be a whole number from 0 up, got -1"),
        (1.5, {}, "index must be a whole number from 0 up, got 1.5"),
        (0, {"seed": -2}, "seed must be a whole number from 0 up, got -2"),
        (0, {"split": "val"}, "split must be one of train, test, got 'val'"),
        (0, {"size": 128}, r"size must be \(height, width\) .* or None .*, got 128"),
        (0, {"size": (128, 16)}, r"each 32 or more, .*, got \(128, 16\)"),
        (0, {"shades": 9}, "shades must be a whole number from 1 to 6, got 9"),
        (0, {"shades": 2.5}, "shades must be a whole number from 1 to 6, got 2.5"),
        (0, {"contrast": 1.5}, "^contrast must be a number from 0 to 1, got 1.5"),
        (0, {"background_contrast": -0.1}, "background_contrast must be .* 0 to 1, got -0.1"),
    ],
)
def test_invalid_arguments_raise(index, options, message):
    with pytest.raises(ValueError, match=message):
        example(index, **options)


def test_invalid_count_raises_immediately():
    with pytest.raises(ValueError, match="count must be a whole number from 0 up, got -3"):
        examples(-3)
