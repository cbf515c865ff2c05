"""A figure shows itself in a notebook, whatever its backend is."""

from keras_decorr.plots.style import finish, panels


def test_it_has_a_picture_of_its_own():
    figure, (axes,) = panels(1, 1, (2, 2))
    axes.plot([1, 2])
    assert finish(figure, None, "title")._repr_png_().startswith(b"\x89PNG")
