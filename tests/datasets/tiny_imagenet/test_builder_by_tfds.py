"""The builder of Tiny ImageNet, by the checks that tensorflow-datasets has for its own."""

from typing import ClassVar

import pytest

pytest.importorskip("tensorflow_datasets")
pytest.importorskip("dill")  # tensorflow-datasets imports it in its testing module, undeclared

import tensorflow_datasets as tfds

from keras_decorr.datasets.tiny_imagenet.tiny_imagenet_dataset_builder import Builder
from tests.datasets.tiny_imagenet.test_tiny_imagenet_dataset_builder import write_archive


@pytest.fixture(scope="class")
def dummy(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dummy")
    write_archive(folder)
    request.cls.EXAMPLE_DIR = str(folder)


@pytest.mark.usefixtures("dummy")
class TestBuilder(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Builder
    SPLITS: ClassVar = {"train": 6, "validation": 3}
