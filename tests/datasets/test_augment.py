"""Crops and flips against the padded image."""

import numpy as np


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
