"""Tiny ImageNet: its builder, and the images as the paper prepares them."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from keras_decorr import datasets

pytest.importorskip("tensorflow_datasets")

from keras_decorr.datasets.tiny_imagenet.tiny_imagenet_dataset_builder import ARCHIVE, URL, Builder

ZIP = Path(
    os.environ.get("TINY_IMAGENET_ZIP") or Path(__file__).parents[4] / "shared" / "data" / ARCHIVE
)
CLASSES = ("n01443537", "n01629819", "n01641577")


def write_archive(folder, train=2, validation=1):
    """A few noise images of three classes in the layout of the archive."""
    from PIL import Image

    root, rng = folder / "tiny-imagenet-200", np.random.default_rng(0)

    def save(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), "uint8")).save(path, "JPEG")

    lines = []
    for label in CLASSES:
        for i in range(train):
            save(root / "train" / label / "images" / f"{label}_{i}.JPEG")
        for _ in range(validation):
            name = f"val_{len(lines)}.JPEG"
            save(root / "val" / "images" / name)
            lines.append(f"{name}\t{label}\t0\t0\t63\t63\n")
    save(root / "test" / "images" / "test_0.JPEG")
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    (root / "wnids.txt").write_text("\n".join(reversed(CLASSES)) + "\n")
    return root


def test_the_archive_is_pinned():
    info = Builder.url_infos[URL]
    assert info.filename == ARCHIVE
    assert info.size == 248_100_043
    assert len(info.checksum) == 64


def test_an_archive_that_is_there_is_not_downloaded(tmp_path):
    write_archive(tmp_path / "made", train=3)
    manual = tmp_path / "data" / "downloads" / "manual"
    manual.mkdir(parents=True)
    shutil.make_archive(str(manual / "tiny-imagenet-200"), "zip", tmp_path / "made")
    images = datasets.load("tiny_imagenet", tmp_path / "data")
    assert images.x_train.shape == (9, 64, 64, 3)
    assert len(images.x_test) == images.classes == 3
    assert np.bincount(images.y_train).tolist() == [3, 3, 3]
    assert images.input_shape == (56, 56, 3)
    assert datasets.load("tiny_imagenet", tmp_path / "data").classes == 3  # from what was prepared


@pytest.mark.slow
def test_real_images(tmp_path):
    if not ZIP.exists():
        pytest.skip(f"{ARCHIVE} is not at hand (TINY_IMAGENET_ZIP)")
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    (manual / ARCHIVE).symlink_to(ZIP)
    images = datasets.load("tiny_imagenet", tmp_path)
    train, test = (
        np.bincount(y, minlength=images.classes) for y in (images.y_train, images.y_test)
    )
    assert len(train) == images.classes >= 200
    assert len(set(train)) == len(set(test)) == 1  # every class has as many
    x, _ = next(iter(images.train(512, augment=False)))
    assert tuple(x.shape) == (512, 56, 56, 3)
    assert abs(float(np.mean(x))) < 5 / np.sqrt(512)
