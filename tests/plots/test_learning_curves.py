"""The plot of learning curves."""

import numpy as np

from keras_decorr.plots import learning_curves


def test_it_draws_every_curve_to_a_png(tmp_path, rng):
    curves = {"plain": (1.0, rng.random((3, 5))), "full": (2.0, rng.random((1, 4)))}
    path = learning_curves(curves, tmp_path / "curves.png", "title")
    assert path.read_bytes().startswith(b"\x89PNG")
    from matplotlib.image import imread

    image = imread(path)
    assert image.shape[:2] == (480, 1200)
    assert len(np.unique(image.reshape(-1, image.shape[-1]), axis=0)) > 10
