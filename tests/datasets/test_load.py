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


def test_a_real_text_loads_by_tfds():
    if not (SHARED / "tiny_shakespeare").is_dir():
        pytest.skip("tiny_shakespeare is not in a folder of tensorflow-datasets at hand")
    text = datasets.load("tiny_shakespeare", SHARED)
    sizes = [len(t) for t in (text.train_tokens, text.validation_tokens, text.test_tokens)]
    assert sizes == [1003854, 55770, 55770]
    assert text.classes == 65
    assert datasets.prepare("tiny_shakespeare", SHARED) == (sizes[0], sizes[2])
    assert "".join(text.vocabulary[i] for i in text.train_tokens[:14]) == "First Citizen:"
