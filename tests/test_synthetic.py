"""Synthetic pets: schema, determinism, statistics and options."""

import numpy as np
import pytest

from labkit import synthetic
from labkit.synthetic import BREEDS, SPECIES, example, examples

SMALL = {"size": (64, 64)}
# Of the first five examples: pet and background pixels, and the mean of the colors.
COUNTS = [(5107, 9946), (1950, 12924), (9089, 5722), (7327, 7496), (4989, 9293)]
MEANS = [100.04, 160.71, 111.99, 110.1, 103.71]
KEYS = {"image", "segmentation_mask", "label", "species", "file_name", "head_bbox"}
LEVELS = (0, 0.25, 0.5, 0.75, 1)  # of a contrast


def rgb(drawn):
    return drawn["image"].astype(float)


def labels(drawn):
    return drawn["segmentation_mask"][..., 0]  # [H, W]


def test_schema_and_varied_sizes():
    drawn = list(examples(30))
    for x in drawn:
        assert set(x) == KEYS
        height, width, channels = x["image"].shape
        assert channels == 3 and x["image"].dtype == x["segmentation_mask"].dtype == np.uint8
        assert x["segmentation_mask"].shape == (height, width, 1)
        assert type(x["label"]) is type(x["species"]) is int
        assert x["head_bbox"].shape == (4,) and x["head_bbox"].dtype == np.float32
    shapes = {labels(x).shape for x in drawn}
    sides = [side for shape in shapes for side in shape]
    assert len(shapes) > 25 and 96 <= min(sides) < 120 and 235 < max(sides) <= 260
    assert example(0, size=(40, 70))["image"].shape == (40, 70, 3)


def test_breeds_species_and_file_names_match():
    assert len(BREEDS) == 37 and list(SPECIES.values()).count(0) == 12
    seen = set()
    for index, drawn in enumerate(examples(300, size=(32, 32))):
        breed = BREEDS[drawn["label"]]
        assert drawn["species"] == SPECIES[breed] == ("_dog_" in breed)
        assert drawn["file_name"] == f"{breed}_{2 * index:06d}.jpg"
        seen.add(breed)
    assert seen == set(BREEDS)
    assert example(7, split="test")["file_name"].endswith("_000015.jpg")  # odd: never in train


def test_example_is_independent_of_order():
    forwards = list(examples(6, **SMALL))
    for index in reversed(range(6)):
        np.testing.assert_equal(example(index, **SMALL), forwards[index])


def test_seeds_and_splits_share_no_animals():
    sets = [{"seed": 0}, {"seed": 1}, {"seed": 0, "split": "test"}]
    masks = {labels(x).tobytes() for kind in sets for x in examples(60, **SMALL, **kind)}
    assert len(masks) == 180


def test_animal_is_independent_of_size():
    for index in range(5):
        small = labels(example(index, size=(64, 64)))
        large = labels(example(index, size=(192, 192)))[1::3, 1::3]  # the middle of each 3 x 3
        assert np.mean(small == large) > 0.99


def test_class_shares_match_real_dataset():
    masks = np.stack([labels(drawn) for drawn in examples(300, size=(96, 96))])
    assert np.isin(masks, (1, 2, 3)).all()
    shares = np.mean([masks == value for value in (1, 2, 3)], axis=(2, 3))  # [classes, images]
    np.testing.assert_allclose(100 * shares.mean(1), (30.0, 58.7, 11.4), atol=2)
    assert shares.min() > 0 and shares[0].min() > 0.03  # always an animal,
    assert shares[0].std() > 0.05  # of varying size


@pytest.mark.parametrize("size", [(32, 32), (128, 128), (40, 160), None])
def test_border_separates_pet_and_background(size):
    for drawn in examples(40, size=size):
        mask = labels(drawn).astype(int)
        for pixels, neighbors in ((mask[1:], mask[:-1]), (mask[:, 1:], mask[:, :-1])):
            assert not np.any(pixels * neighbors == 1 * 2)


def test_some_animals_are_occluded_or_cropped(monkeypatch):
    shown = np.array([labels(drawn) for drawn in examples(60, **SMALL)])
    pet = shown == 1
    cut = pet[:, [0, -1]].any((1, 2)) | pet[:, :, [0, -1]].any((1, 2))
    assert 0.3 < cut.mean() < 0.95
    monkeypatch.setattr(synthetic, "_occluder", lambda rng: None)
    whole = np.array([labels(drawn) for drawn in examples(60, **SMALL)])
    hidden = ((whole == 1) & (shown == 2)).any((1, 2))
    assert 0.1 < hidden.mean() < 0.35
    assert not ((whole == 2) & (shown != 2)).any()


@pytest.mark.parametrize(
    "change", [{"shades": 2}, {"shades": 6}, {"contrast": 0.1}, {"shades": 1, "contrast": 1.0}]
)
def test_shades_and_contrast_affect_coat_only(change):
    options = {"shades": 4, "contrast": 0.8, **SMALL}
    for index in range(10):
        before, after = example(index, **options), example(index, **options | change)
        np.testing.assert_array_equal(labels(before), labels(after))
        differs = np.any(before["image"] != after["image"], axis=-1)
        assert differs[labels(before) == 1].mean() > 0.3
        assert not differs[labels(before) == 2].any()


def test_coat_has_requested_number_of_shades(monkeypatch):
    animal, silhouette = synthetic._animal, synthetic._silhouette
    light = np.ones((1, 1), np.float32)
    # Without eyes, light and noise, a coat's pixels have exactly the colors of its shades.
    monkeypatch.setattr(synthetic, "_animal", lambda *args: [*animal(*args)[:2], []])
    monkeypatch.setattr(synthetic, "_silhouette", lambda *args: (silhouette(*args)[0], light))
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

    assert np.all(np.diff([spread(level) for level in LEVELS]) > 2)


def test_background_contrast_separates_coat_and_background_and_keeps_animal():
    animals, gaps = [], []
    for level in LEVELS:
        drawn = [example(i, background_contrast=level, **SMALL) for i in range(20)]
        animals.append([np.where(labels(d) == 1, d["image"].transpose(2, 0, 1), 0) for d in drawn])
        means = [[rgb(d)[labels(d) == value].mean(axis=0) for value in (1, 2)] for d in drawn]
        gaps.append(np.mean([np.linalg.norm(pet - background) for pet, background in means]))
    assert gaps[0] < 30 and np.all(np.diff(gaps) > 12), gaps
    for changed in animals[1:]:
        np.testing.assert_array_equal(changed, animals[0])


def test_head_bbox_fits_head(monkeypatch):
    animal = synthetic._animal
    monkeypatch.setattr(synthetic, "_animal", lambda *args: [[], *animal(*args)[1:]])  # no body
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
    assert [(np.sum(labels(d) == 1), np.sum(labels(d) == 2)) for d in drawn] == COUNTS
    np.testing.assert_allclose([rgb(d).mean() for d in drawn], MEANS, atol=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"index": -1}, "index .* got -1"),
        ({"index": 1.5}, "index .* got 1.5"),
        ({"seed": -2}, "seed .* got -2"),
        ({"split": "val"}, "split .* train, test, got 'val'"),
        ({"size": 128}, r"size .*\(height, width\) .*, got 128"),
        ({"size": (128, 16)}, r"size .* 32 or more, .*, got \(128, 16\)"),
        ({"shades": 9}, "shades .* 1 to 6, got 9"),
        ({"shades": 2.5}, "shades .* got 2.5"),
        ({"contrast": 1.5}, "^contrast .* 0 to 1, got 1.5"),
        ({"background_contrast": -0.1}, "background_contrast .* got -0.1"),
    ],
)
def test_invalid_arguments_raise(options, message):
    with pytest.raises(ValueError, match=message):
        example(**{"index": 0} | options)


def test_invalid_count_raises_immediately():
    with pytest.raises(ValueError, match="count .* got -3"):
        examples(-3)
