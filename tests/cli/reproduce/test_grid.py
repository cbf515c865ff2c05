"""Grids of experiments as files declare them."""

import pytest

from keras_decorr.cli.compare.config import Config, Net
from keras_decorr.cli.reproduce.grid import names, read_grid

GOOD = """
title = "T"
dataset = ["digits", "mnist"]
net = "dense"
rule = ["backprop", "feedback_alignment"]
seeds = 2
epochs = 3
[small]
epochs = 1
train_size = 100
"""


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("name", names())
def test_every_grid_of_the_package_is_good_at_both_scales(name):
    paper, small = (read_grid(name, scale) for scale in ("paper", "small"))
    assert all(config.seeds == 5 and config.batch_size == 256 for config in paper.panels)
    assert len({job.folder for job in paper.jobs}) == len(paper.jobs) > len(small.jobs)
    assert paper.title != name
    for config in paper.panels:
        assert {net.variant == "plain" for net in config.nets} == {True, False}


def test_the_paper_is_every_data_set_with_every_net_and_rule():
    grid = read_grid("paper")
    found = {(c.dataset, c.net, *net) for c in grid.panels for net in c.nets}
    assert found == {
        (dataset, net, rule, variant)
        for dataset in ("cifar10", "cifar100", "tiny_imagenet")
        for net in ("dense", "conv")
        for rule in ("backprop", "feedback_alignment", "node_perturbation")
        for variant in ("plain", "full")
    }
    assert all(config.epochs == 100 for config in grid.panels)


def test_a_file_of_ones_own(written):
    grid = read_grid(written(GOOD), data_dir="here")
    common = {"rule": ("backprop", "feedback_alignment"), "seeds": 2, "data_dir": "here"}
    assert (grid.name, grid.title) == ("mine", "T")
    assert grid.panels == tuple(
        Config(d, net="dense", epochs=3, **common) for d in ("digits", "mnist")
    )
    assert len(grid.jobs) == 2 * 2 * 2 * 2
    # The first seed of all panels comes before the second of any.
    assert [job.run.seed for job in grid.jobs] == [0] * 8 + [1] * 8
    small = read_grid(written(GOOD), "small", seeds=4)
    assert {(c.epochs, c.train_size, c.seeds) for c in small.panels} == {(1, 100, 4)}


def test_every_decorrelation_rate_is_a_curve(written):
    grid = read_grid(written("decorrelation_rate = [1e-4, 1e-3]\n"))
    curves = [Net("backprop", v) for v in ("plain", "auto 0.0001", "auto 0.001")]
    assert [job.curve for job in grid.jobs] == curves
    assert [job.run.decorrelation_rate for job in grid.jobs] == [None, 1e-4, 1e-3]


def test_a_whole_number_is_a_number(written):
    (config,) = read_grid(written('preserve = "raw"\ngain_rate = 1\n')).panels
    assert config.gain_rate == 1.0
    with pytest.raises(ValueError, match=r"`gain_rate` .*number\. Received: True"):
        read_grid(written("gain_rate = true"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dataset = [", "is not a TOML file"),
        ('nets = ["dense"]', r"must be among .*'net'.*Received: \['nets'\]"),
        ("[small]\nsize = 3", r"under \[small\] must be among .*Received: \['size'\]"),
        ("small = 3", "Received: 3"),
        ('dataset = ["imagenet"]', r"--dataset must be one of .*Received: 'imagenet'"),
        ('rule = ["hebb"]', r"digits with dense: Option --rule must be .*Received: 'hebb'"),
        (
            'dataset = "python_source"\nnet = "gpt"',
            r"python_source with gpt: .*dataset of a grid must be one of \['digits'",
        ),
        (
            'net = ["vit"]\nrule = "node_perturbation"',
            r"digits with vit: .*--rule node_perturbation",
        ),
        ('epochs = "ten"', "`epochs` .*integer.*Received: 'ten'"),
        ("epochs = 0", "--epochs"),
        ("augment = 1", "`augment` .*boolean.*Received: 1"),
        ("rule = [1]", "`rule` .*string.*Received: 1"),
        ('rule = ["backprop", "backprop"]', "`rule` .*different"),
        ("net = []", "`net` .*one or several"),
        ("learning_rate = [1e-3, 1e-2]", "`learning_rate` .*one number"),
        ('decorrelation_rate = "high"', "`decorrelation_rate` .*number"),
        ("tuning_epochs = 3", r"Received: \['tuning_epochs'\]"),
    ],
)
def test_bad_files_are_refused(written, text, said):
    with pytest.raises(ValueError, match=said):
        read_grid(written(text))


def test_bad_options_are_refused(written, tmp_path):
    with pytest.raises(ValueError, match="--scale must be one of"):
        read_grid("paper", "tiny")
    with pytest.raises(ValueError, match=r"no table \[small\]"):
        read_grid(written("epochs = 1"), "small")
    with pytest.raises(ValueError, match=r"--seeds .*Received: 0"):
        read_grid("paper", seeds=0)
    with pytest.raises(FileNotFoundError, match=r"--grid must be one of .*Received: 'nothing'"):
        read_grid("nothing")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="is not a TOML file"):
        read_grid(tmp_path / "binary.toml")


def test_rates_too_alike_for_folders_of_their_own_are_refused(written):
    with pytest.raises(ValueError, match=r"first six digits of their rates.*eta0\.001-seed0"):
        read_grid(written("decorrelation_rate = [1e-3, 1.0000001e-3]\n"))
