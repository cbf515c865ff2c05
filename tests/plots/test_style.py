"""A figure shows itself in a notebook, whatever its backend is."""

import pytest

from keras_decorr import plots
from keras_decorr.plots.style import finish, panels


def test_it_has_a_picture_of_its_own():
    figure, (axes,) = panels(1, 1, (2, 2))
    axes.plot([1, 2])
    assert finish(figure, None, "title")._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "name",
    [
        "alignment_angles", "correlation_matrices", "correlation_spectra",
        "decorrelation_matrices", "learning_curves", "rate_sensitivity",
    ],
)  # fmt: skip
def test_nothing_to_draw_is_an_error(name):
    with pytest.raises(ValueError, match=f"of {name} must be a dictionary"):
        getattr(plots, name)({})
