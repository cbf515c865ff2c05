"""Packages that are missing are named with their extra, where they are first needed."""

import sys

import numpy as np
import pytest

from keras_decorr import datasets, plots
from keras_decorr.extras import check_installed
from keras_decorr.plots import style


@pytest.fixture
def without(monkeypatch):
    """A function that takes packages away."""

    def take(*modules):
        for module in modules:
            monkeypatch.setitem(sys.modules, module, None)

    return take


def test_it_names_the_extras_and_what_is_missing(without):
    check_installed("It", data=("sklearn",), plots=("matplotlib",))
    without("sklearn", "keras_tuner")
    with pytest.raises(ImportError) as error:
        check_installed(
            "It", data=("sklearn",), plots=("matplotlib",), tuner=("keras_tuner", "sklearn")
        )
    assert str(error.value) == (
        'It needs more packages: pip install "keras-decorr[data,tuner]". Missing: scikit-learn, '
        "keras-tuner"
    )


@pytest.mark.parametrize(
    ("module", "package", "used"),
    [
        ("sklearn", "scikit-learn", lambda: datasets.load("digits")),
        ("sklearn", "scikit-learn", lambda: datasets.prepare("digits")),
        ("tensorflow_datasets", "tensorflow-datasets", lambda: datasets.load("mnist")),
        ("tensorflow_datasets", "tensorflow-datasets", lambda: datasets.prepare("mnist")),
        ("tensorflow", "tensorflow", lambda: datasets.load("digits").train()),
        ("tensorflow", "tensorflow", lambda: datasets.load("digits").test()),
    ],
)
def test_data_sets_name_their_extra(without, module, package, used):
    without(module)
    with pytest.raises(ImportError, match=rf"keras-decorr\[data\]\".* Missing: {package}$"):
        used()


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.alignment_angles({"net": {"layer": [30.0]}}),
        lambda: plots.correlation_matrices({"layer": (np.eye(2), np.eye(2))}),
        lambda: plots.correlation_spectra({"layer": (np.ones(2), np.ones(2))}),
        lambda: plots.decorrelation_matrices({"layer": np.eye(2)}),
        lambda: plots.learning_curves({"net": (1.0, [[0.5]])}),
        lambda: plots.panels({("rule", "net"): {"plain": (1.0, [[0.5]])}}),
        lambda: plots.rate_heat_map([1e-3], [1e-4], [0.5]),
        lambda: plots.rate_sensitivity({"net": {1e-3: [0.5]}}),
    ],
)
def test_plots_name_their_extra(without, draw):
    style._figure_class.cache_clear()
    without("matplotlib")
    with pytest.raises(ImportError, match=r"keras-decorr\[plots\]\".* Missing: matplotlib$"):
        draw()
