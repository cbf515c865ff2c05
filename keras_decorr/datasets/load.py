"""Loads the data sets: digits of scikit-learn, Python's source, the others by tensorflow-datasets."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_decorr.datasets.images import Images
from keras_decorr.datasets.python_source import python_source
from keras_decorr.datasets.text import Text
from keras_decorr.extras import check_installed
from keras_decorr.typing import FilePath

# Of `Images`; and the name of the test images, where they are called otherwise.
_IMAGES: dict[str, dict[str, Any]] = {
    "digits": {"augmentable": False},
    "mnist": {"augmentable": False},
    "cifar10": {"augmentable": True},
    "cifar100": {"augmentable": True},
    "tiny_imagenet": {"augmentable": True, "margin": 8, "padding": 0, "test": "validation"},
}
IMAGES = tuple(_IMAGES)
TEXTS = ("python_source", "tiny_shakespeare")
NAMES = (*IMAGES, *TEXTS)
_DIGITS = ("sklearn",)
_TFDS = ("tensorflow", "tensorflow_datasets", "importlib_resources")
# Modules that those need which do not come by tensorflow-datasets.
_OWN = {"digits": (*_DIGITS, "tensorflow"), "python_source": ("tensorflow",)}


def packages(name: str) -> tuple[str, ...]:
    """Returns the modules of the extra `data` that a data set needs.

    Args:
        name: As for `load`.

    Raises:
        ValueError: If the name is unknown.

    Example:

    >>> import keras_decorr
    >>> keras_decorr.datasets.packages("digits")
    ('sklearn', 'tensorflow')
    """
    _check(name)
    return _OWN.get(name, _TFDS)


def load(name: str, data_dir: FilePath | None = None) -> Images | Text:
    """Loads a data set of small images, or a text.

    Args:
        name: Of images `"digits"` (1,797 images of 8 x 8 that come with scikit-learn; needs no
            network), `"mnist"`, `"cifar10"`, `"cifar100"` or `"tiny_imagenet"`. Of texts
            `"python_source"` (modules of Python's standard library; needs no network) or
            `"tiny_shakespeare"` (1.1 million characters).
        data_dir: Folder of tensorflow-datasets. Default: the environment variable `TFDS_DATA_DIR`,
            or its own default. What is not there is downloaded; but for the archive of Tiny ImageNet,
            if `downloads/manual` in this folder holds it.

    Returns:
        An `Images` or a `Text`.

    Raises:
        ValueError: If the name is unknown.
        ImportError: If a package is missing that it needs.
        FileNotFoundError: If the data set is not there and cannot be downloaded.
        OSError: If its files cannot be read.

    Example:

    >>> import keras_decorr
    >>> digits = keras_decorr.datasets.load("digits")
    >>> digits.input_shape, digits.classes
    ((8, 8, 1), 10)
    """
    _check(name)
    if name == "digits":
        return _digits()
    if name == "python_source":
        return python_source()
    builder = _prepared(name, data_dir)
    import tensorflow as tf

    try:
        return _text(builder) if name in TEXTS else _images(builder)
    except tf.errors.OpError as error:
        raise OSError(
            f"The data set {name!r} in {builder.data_path} cannot be read: {error.message} "
            "Delete that folder to have it prepared again."
        ) from error


def _images(builder: Any) -> Images:
    import tensorflow_datasets as tfds

    (x_train, y_train), (x_test, y_test) = (
        tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1, as_supervised=True))
        for split in _splits(builder.name)
    )
    labels = [y.astype("int32") for y in (y_train, y_test)]
    classes = builder.info.features["label"].num_classes
    options = {name: value for name, value in _IMAGES[builder.name].items() if name != "test"}
    return Images(builder.name, x_train, labels[0], x_test, labels[1], classes, **options)


def _text(builder: Any) -> Text:
    train, validation, test = (
        next(builder.as_dataset(split=split).as_numpy_iterator())["text"].decode()
        for split in ("train", "validation", "test")
    )
    return Text.of(builder.name, train, validation, test)


def prepare(name: str, data_dir: FilePath | None = None) -> tuple[int, int]:
    """Downloads a data set unless it is there, without reading it.

    Args:
        name: As for `load`.
        data_dir: As for `load`.

    Returns:
        Its numbers of training and test images; of a text, of characters for training and testing.

    Raises:
        ValueError: If the name is unknown.
        ImportError: If a package is missing that it needs.
        FileNotFoundError: If the data set is not there and cannot be downloaded.

    Example:

    >>> import keras_decorr
    >>> keras_decorr.datasets.prepare("digits")
    (1437, 360)
    """
    _check(name)
    if name == "digits":
        digits = _digits()
        return len(digits.x_train), len(digits.x_test)
    if name in TEXTS:
        text: Any = load(name, data_dir)
        return len(text.train_tokens), len(text.test_tokens)
    splits = _prepared(name, data_dir).info.splits
    return tuple(splits[split].num_examples for split in _splits(name))


def _splits(name: str) -> tuple[str, str]:
    """Returns the names of the training and the test split."""
    return "train", _IMAGES[name].get("test", "test")


def _check(name: str) -> None:
    if name not in NAMES:
        raise ValueError(f"Argument `name` must be one of {list(NAMES)}. Received: {name!r}")


def _digits() -> Images:
    check_installed("The data set 'digits'", data=_DIGITS)
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))  # the last images have other writers
    x, y = x[order].reshape(-1, 8, 8, 1).astype("uint8"), y[order].astype("int32")
    return Images("digits", x[:1437], y[:1437], x[1437:], y[1437:], 10, False)


def _prepared(name: str, data_dir: FilePath | None) -> Any:
    """Returns the builder of a data set, downloaded if it is not on the disk."""
    check_installed(f"The data set {name!r}", data=_TFDS)
    data_dir = data_dir or os.environ.get("TFDS_DATA_DIR")
    if data_dir is not None and not Path(data_dir).expanduser().is_dir():
        raise FileNotFoundError(
            f"Argument `data_dir` must be an existing folder; create it to download {name} to it. "
            f"Received: data_dir={str(data_dir)!r}"
        )
    try:
        builder = _builder(name, data_dir)
        builder.download_and_prepare()
    except Exception as error:
        raise FileNotFoundError(
            f"The data set {name!r} is not in {data_dir or 'the default folder of TFDS'} and could "
            "not be downloaded. Pass `data_dir` (--data-dir), or set TFDS_DATA_DIR, to a folder of "
            f"tensorflow-datasets that holds it, or connect to the network. Cause: {error}"
        ) from error
    return builder


def _builder(name: str, data_dir: FilePath | None) -> Any:
    import tensorflow_datasets as tfds

    if name == "tiny_imagenet":
        from keras_decorr.datasets.tiny_imagenet.tiny_imagenet_dataset_builder import Builder

        return Builder(data_dir=data_dir)
    return tfds.builder(name, data_dir=data_dir)
