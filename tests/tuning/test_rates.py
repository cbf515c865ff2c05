"""Rates on a logarithmic scale."""

import subprocess
import sys

import pytest

from keras_decorr.tuning.rates import checked_rates, log_values


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((1e-3, 1e-1, 1), (1e-3, 1e-2, 1e-1)),
        ((2e-4, 4e-3), (3e-4, 1e-3, 3e-3)),
        ((1e-5, 1e-4, 3), (1e-5, 2e-5, 5e-5, 1e-4)),
        ((0.5, 20, 2), (1.0, 3.0, 10.0)),
    ],
)
def test_values_are_round_and_within_the_range(arguments, expected):
    assert log_values(*arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((1e-2, 1e-3), "must not be above `high`"),
        ((4e-4, 6e-4), "such as 0.001 must lie between"),
        ((-1e-3, 1e-2), "`low` of log_values.*-0.001"),
        ((1e-3, 1e-2, 4), "must be 1, 2 or 3. Received: 4"),
    ],
)
def test_an_empty_range_is_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        log_values(*arguments)


def test_rates_are_checked_and_sorted():
    assert checked_rates("it", "rates", [1e-3, 0, 1e-3], zero=True) == (0.0, 1e-3)
    for rates, zero in (((), True), ((-1e-3,), True), ((0.0,), False), ((float("nan"),), True)):
        with pytest.raises(ValueError, match="`rates` of it"):
            checked_rates("it", "rates", rates, zero=zero)


def test_the_package_does_not_import_keras_tuner_and_names_the_extra_without_it():
    code = """
import sys
import keras_decorr
assert "keras_tuner" not in sys.modules
sys.modules["keras_tuner"] = None  # as if it were not installed
sys.path_importer_cache.clear()
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "keras_tuner" else found(name, *rest)
try:
    keras_decorr.tuning.DecorHyperModel
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "keras-decorr[tuner]" in done.stdout
    assert "Missing: keras-tuner" in done.stdout
