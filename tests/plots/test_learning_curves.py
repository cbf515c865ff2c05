"""The plot of learning curves."""

import numpy as np

from keras_decorr.plots import learning_curves


def test_it_draws_every_curve_to_a_png(tmp_path, rng):
    curves = {"plain": (1.0, rng.random((3, 5))), "full": (2.0, rng.random((1, 4)))}
    path = tmp_path / "curves.png"
    learning_curves(curves, path, "title")
    assert path.read_bytes().startswith(b"\x89PNG")
    from matplotlib.image import imread

    image = imread(path)
    assert image.shape[:2] == (540, 1560)
    colours = (255 * image).astype("uint32") @ 256 ** np.arange(image.shape[-1], dtype="uint32")
    assert len(np.unique(colours)) > 10


def test_styles_are_those_of_the_lines(tmp_path, rng):
    curves = {label: (1.0, np.full((2, 3), value)) for label, value in (("a", 0.2), ("b", 0.8))}
    styles = {"a": {"color": "#ff0000", "linestyle": "--"}}
    from matplotlib.image import imread

    learning_curves(curves, tmp_path / "curves.png", styles=styles)
    image = imread(tmp_path / "curves.png")
    red, green, blue, _ = image.reshape(-1, 4).T
    assert ((red > 0.95) & (green < 0.05) & (blue < 0.05)).sum() > 50
