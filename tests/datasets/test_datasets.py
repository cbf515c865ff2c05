"""The data sets and their pipelines."""

import os
from pathlib import Path

import numpy as np
import pytest

from keras_decorr import datasets

SHARED = Path(
    os.environ.get("TFDS_DATA_DIR")
    or Path(__file__).parents[3] / "shared" / "data" / "tensorflow_datasets"
)


def test_digits_come_without_a_network():
    digits = datasets.load("digits")
    assert digits.input_shape == (8, 8, 1)
    assert len(digits.x_train) + len(digits.x_test) == 1797
    assert set(digits.y_train) == set(digits.y_test) == set(range(10))


def test_batches_are_normalised_repeatable_and_whole():
    digits = datasets.load("digits")

    def read(seed):
        return [(x.numpy(), y.numpy()) for x, y in digits.train(100, seed=seed)]

    first, again, other = read(1), read(1), read(2)
    assert [len(x) for x, _ in first] == [100] * 14 + [37]
    for (a, la), (b, lb) in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(la, lb)
    assert not np.array_equal(first[0][1], other[0][1])
    x = np.concatenate([x for x, _ in first])
    assert abs(x.mean()) < 1e-4
    assert abs(x.std() - 1) < 1e-3
    labels = np.concatenate([y for _, y in digits.test(100)])
    np.testing.assert_array_equal(labels, digits.y_test)


def test_crops_and_flips_are_those_of_the_padded_image(rng):
    import tensorflow as tf

    from keras_decorr.datasets.augment import crop_and_flip

    images = rng.integers(1, 255, (64, 6, 9, 3)).astype("uint8")
    crops = crop_and_flip(tf.constant(images), tf.constant([3, 4]), padding=2).numpy()
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    found = set()
    for crop, image in zip(crops, padded, strict=True):
        places = [
            (i, j, mirrored)
            for i in range(5)
            for j in range(5)
            for mirrored in (False, True)
            if np.array_equal(crop[:, ::-1] if mirrored else crop, image[i : i + 6, j : j + 9])
        ]
        assert len(places) == 1
        found.add(places[0])
    # 64 draws out of 50 places: about 50 (1 - (1 - 1/50)^64) = 36 different ones.
    assert len(found) > 25


def test_a_part_of_the_images():
    part = datasets.load("digits").first(train_size=100)
    assert (len(part.x_train), len(part.y_train), len(part.x_test)) == (100, 100, 360)
    assert len(part.first(test_size=7).y_test) == 7
    with pytest.raises(ValueError, match=r"`train_size` .*between 1 and 100.*Received: 101"):
        part.first(train_size=101)
    assert datasets.prepare("digits") == (1437, 360)


def test_every_epoch_has_an_order_of_its_own():
    digits = datasets.load("digits")
    data = digits.train(100, seed=1)
    first, second = (np.concatenate([y for _, y in data]) for _ in range(2))
    assert not np.array_equal(first, second)
    assert np.array_equal(np.sort(first), np.sort(second))


def test_unknown_names_and_missing_data_say_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"`name`.*cifar10.*Received: 'imagenet'"):
        datasets.load("imagenet")
    with pytest.raises(FileNotFoundError, match=r"`data_dir` must be an existing folder"):
        datasets.load("mnist", tmp_path / "nothing")
    import tensorflow_datasets as tfds

    def refuse(*arguments, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", refuse)
    with pytest.raises(FileNotFoundError, match=r"--data-dir.*TFDS_DATA_DIR.*no route to host"):
        datasets.load("mnist", tmp_path)


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [("mnist", (28, 28, 1), 10), ("cifar10", (32, 32, 3), 10), ("cifar100", (32, 32, 3), 100)],
)
def test_real_images_load_by_tfds(name, shape, classes):
    if not (SHARED / name).is_dir():
        pytest.skip(f"{name} is not in a folder of tensorflow-datasets at hand (TFDS_DATA_DIR)")
    images = datasets.load(name, SHARED)
    assert images.input_shape == shape
    assert images.classes == classes == len(np.unique(images.y_train))
    x, y = next(iter(images.train(512, augment=False)))
    assert tuple(x.shape) == (512, *shape)
    # The pixels of an image move together: its mean has a deviation of at most 1, theirs 1 / 22.
    assert abs(float(np.mean(x))) < 5 / np.sqrt(512)
    x, y = next(iter(images.train(32, augment=True)))
    assert tuple(x.shape) == (32, *shape)
    assert tuple(y.shape) == (32,)
