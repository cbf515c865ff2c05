"""The pipelines of a data set."""

import numpy as np
import pytest

from keras_decorr import datasets


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
