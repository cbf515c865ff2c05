"""Builds Builds Tiny ImageNet: Y. Le and X. Yang, "Tiny ImageNet Visual Recognition Challenge" (2015).

tensorflow-datasets has no builder of it. The name of this file and of its class, and the files beside
it, are as tensorflow-datasets wants them. Nothing of the package loads it but `datasets.load`.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import tensorflow_datasets as tfds

URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
ARCHIVE = "tiny-imagenet-200.zip"


class Builder(tfds.core.GeneratorBasedBuilder):
    """Builds Tiny ImageNet from its archive, downloaded or put in `manual_dir`.

    The test images of the archive have no labels and are left out. The classes are those that the
    archive lists, so that a part of it in the same layout can be read, too.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "The labelled images: train and validation."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        f"Without a network, put {ARCHIVE} there; an archive that is there is not downloaded."
    )

    def _info(self) -> Any:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Text(),
                    "image": tfds.features.Image(shape=(64, 64, 3), encoding_format="jpeg"),
                    "label": tfds.features.ClassLabel(),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="http://cs231n.stanford.edu/",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        archive = _given(dl_manager)
        root = dl_manager.extract(archive) if archive else dl_manager.download_and_extract(URL)
        root = root / "tiny-imagenet-200"
        self.info.features["label"].names = sorted((root / "wnids.txt").read_text().split())
        return {
            "train": self._generate_examples(_training(root / "train")),
            "validation": self._generate_examples(_validation(root / "val")),
        }

    def _generate_examples(self, images: Any) -> Iterator[Any]:
        for path, label in images:
            yield path.name, {"id": path.stem, "image": path, "label": label}


def _given(dl_manager: Any) -> Any:
    """Returns the archive in `manual_dir`, or `None`."""
    try:
        archive = dl_manager.manual_dir / ARCHIVE
    except AssertionError:  # the folder is not there, or empty
        return None
    return archive if archive.exists() else None


def _training(folder: Any) -> Iterator[tuple[Any, str]]:
    for label in sorted(folder.iterdir()):
        for path in sorted((label / "images").glob("*.JPEG")):
            yield path, label.name


def _validation(folder: Any) -> Iterator[tuple[Any, str]]:
    for line in (folder / "val_annotations.txt").read_text().splitlines():
        name, label, *_box = line.split("\t")
        yield folder / "images" / name, label
