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
    os.environ.get("TINY_IMAGENET_ZIP") or Path(__file__).parents[3] / "shared" / "data" / ARCHIVE
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


def test_crops_are_of_56_pixels_from_inside_and_the_middle_in_tests(rng):
    x = rng.integers(1, 255, (300, 64, 64, 3)).astype("uint8")
    y = np.arange(300)
    images = datasets.Images("tiny_imagenet", x, y, x[:7], y[:7], 300, True, margin=8, padding=0)
    mean, deviation = x.mean((0, 1, 2)), x.std((0, 1, 2))
    found = set()
    for batch, labels in images.train(100, seed=3):
        assert batch.shape == (100, 56, 56, 3)
        for crop, image in zip(batch.numpy() * deviation + mean, x[labels.numpy()], strict=True):
            views = np.lib.stride_tricks.sliding_window_view(image[..., 0], (56, 56))
            for mirrored in (False, True):
                seen = crop[:, ::-1, 0] if mirrored else crop[..., 0]
                places = np.argwhere((views[:, :, 0, 0] - seen[0, 0]) ** 2 < 0.1)
                found |= {
                    (int(i), int(j), mirrored)
                    for i, j in places
                    if np.abs(views[i, j] - seen).max() < 0.1
                }
    # 300 draws out of 9 x 9 x 2 places: about 162 (1 - (1 - 1/162)^300) = 137 different ones, within 5.
    assert 115 < len(found) <= 162
    assert {i for i, _, _ in found} == {j for _, j, _ in found} == set(range(9))
    ((middle, _),) = images.test(10)
    np.testing.assert_allclose(middle, (x[:7, 4:60, 4:60] - mean) / deviation, rtol=1e-4, atol=1e-4)
    ((middle, labels),) = images.train(300, augment=False)
    np.testing.assert_allclose(
        middle, (x[labels.numpy(), 4:60, 4:60] - mean) / deviation, rtol=1e-4, atol=1e-4
    )


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
