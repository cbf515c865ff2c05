"""The tables of a comparison."""

import io

from rich.console import Console

from keras_decorr.cli.compare.config import Net, Rates
from keras_decorr.cli.compare.display import tables
from keras_decorr.cli.compare.report import summarise


def rows(*accuracies):
    return [{"test_accuracy": accuracy, "seconds": 2.0} for accuracy in accuracies]


def shown(results, rates):
    console = Console(file=io.StringIO(), width=80)
    for table in tables(summarise(results), results, rates):
        console.print(table)
    return console.file.getvalue()


def test_accuracies_rates_and_costs_fit_80_columns():
    plain, full = Net("backprop", "plain"), Net("backprop", "full")
    results = {
        plain: {0: rows(0.5, 0.6), 1: rows(0.5, 0.7)},
        full: {0: rows(0.65, 0.7), 1: rows(0.7, 0.8)},
    }
    said = shown(results, {plain: Rates(1e-3, None), full: Rates(1e-3, 2e-4)})
    assert "0.6750" in said  # of full after the first epoch, over both seeds
    for shown_of_full in ("0.001", "0.0002", "0.7500 ±", "(50%)"):
        assert shown_of_full in said
    assert max(map(len, said.splitlines())) <= 80


def test_a_net_that_never_gets_there_is_counted():
    plain, full = Net("backprop", "plain"), Net("backprop", "full")
    results = {plain: {0: rows(0.6)}, full: {0: rows(0.5)}}
    said = shown(results, {plain: Rates(1e-3, None), full: Rates(1e-3, 2e-4)})
    assert "by 0 of" in " ".join(said.split())
