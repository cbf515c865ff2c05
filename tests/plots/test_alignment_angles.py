"""Bars of angles, told apart without colour."""

import numpy as np

from keras_decorr import plots


def test_angles_are_bars_with_hatches():
    found = {
        "plain": {"1": [80.0, 90.0], "2": 100.0},
        "full": {"1": [40.0], "2": [np.nan]},
    }
    figure = plots.alignment_angles({"first": found, "second": {"plain": {"1": [10.0]}}})
    plain, full = (c for c in figure.axes[0].containers if hasattr(c, "patches") and len(c.patches))
    assert [bar.get_height() for bar in plain] == [85.0, 100.0]
    assert full[0].get_height() == 40.0
    assert np.isnan(full[1].get_height())
    assert (plain[0].get_hatch(), plain[0].get_facecolor()) != (
        full[0].get_hatch(), full[0].get_facecolor(),
    )  # fmt: skip
    assert figure.axes[0].get_ylim()[1] > 100
    assert len(figure.legends[0].get_texts()) == 2


def test_nets_built_one_after_the_other_are_matched_in_order():
    found = {"plain": {"dense": 80.0, "dense_1": 70.0}, "full": {"dense_2": 40.0, "dense_3": 30.0}}
    (axes,) = plots.alignment_angles({"": found}).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["layer 1", "layer 2"]
    plain, full = (c for c in axes.containers if hasattr(c, "patches") and len(c.patches))
    assert [bar.get_height() for bar in (*plain, *full)] == [80.0, 70.0, 40.0, 30.0]
    del found["full"]["dense_3"]
    (axes,) = plots.alignment_angles({"": found}).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["dense", "dense_1", "dense_2"]
