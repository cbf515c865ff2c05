"""The tables of a comparison."""

import io

from rich.console import Console

from keras_decorr.cli.compare.config import Config, Net, Rates
from keras_decorr.cli.compare.display import tables
from keras_decorr.cli.compare.report import summarise


def rows(*accuracies):
    return [{"test_accuracy": accuracy, "seconds": 2.0} for accuracy in accuracies]


def shown(results, rates, **options):
    config = Config(**options)
    console = Console(file=io.StringIO(), width=80)
    for table in tables(config, summarise(results, config.task), results, rates):
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


def test_texts_have_losses_and_perplexities():
    plain, auto = Net("backprop", "plain"), Net("backprop", "auto")
    results = {
        net: {0: [{"validation_loss": loss, "seconds": 2.0} for loss in losses]}
        for net, losses in ((plain, (2.5, 2.3)), (auto, (2.3, 2.0)))
    }
    options = {"net": "gpt", "dataset": "python_source", "optimizer": "muon", "schedule": "cosine"}
    said = shown(results, {plain: Rates(1e-3, None), auto: Rates(1e-3, 2e-4)}, **options)
    assert "validation loss (perplexity), mean over seeds" in " ".join(said.split())
    assert "2.0000 (7.39)" in said
    assert "0.300" in said  # the gain
    assert "(50%)" in said
    assert "rates: of muon (cosine), and of M" in said
    assert max(map(len, said.splitlines())) <= 80


def test_a_net_that_has_diverged_has_no_figures():
    plain, auto = Net("backprop", "plain"), Net("backprop", "auto")
    results = {
        net: {0: [{"validation_loss": loss, "seconds": 2.0}]}
        for net, loss in ((plain, float("nan")), (auto, 2.0))
    }
    rates = {plain: Rates(1e-3, None), auto: Rates(1e-3, 2e-4)}
    said = shown(results, rates, net="gpt", dataset="python_source")
    assert said.count("by 0 of 1") == 4
