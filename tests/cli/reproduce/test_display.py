"""The progress of a grid, and its tables."""

import io

import pytest
from rich.console import Console

from keras_decorr.cli.reproduce.display import grid_list, time_left
from keras_decorr.cli.reproduce.grid import read_grid


def test_the_time_left_is_estimated_from_the_most_alike_runs():
    runs_ = [
        ("a", "plain", 2, [1.0, 3.0]),
        ("a", "plain", 4, []),
        ("a", "full", 5, [10.0]),
        ("a", "monarch", 1, []),  # as the rest of its panel: 14 / 3
        ("b", "plain", 3, []),  # as everything: 14 / 3
    ]
    assert time_left(runs_, 1) == pytest.approx(6 * 2 + 5 * 10 + 14 / 3 + 14)
    assert time_left(runs_, 2) == pytest.approx(time_left(runs_, 1) / 2)
    assert time_left([("a", "plain", 3, [])], 1) is None


def test_the_list_names_every_grid():
    console = Console(file=io.StringIO(), width=80)
    console.print(grid_list([read_grid("mnist"), read_grid("paper")]))
    said = console.file.getvalue()
    assert "mnist" in said and "paper" in said
    assert max(map(len, said.splitlines())) <= 80
