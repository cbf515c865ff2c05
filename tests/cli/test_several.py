"""Options that take several values in one go."""

from keras_decorr.cli.several import repeated


def test_numbers_too_and_nothing_else_is_repeated():
    lists = {"--rule", "--learning-rate"}
    args = ["--learning-rate", "1e-3", "1e-4", "--net", "dense", "conv", "--rule=a", "b"]
    assert list(repeated(args, lists)) == [
        "--learning-rate", "1e-3", "--learning-rate", "1e-4", "--net", "dense", "conv",
        "--rule=a", "--rule", "b",
    ]  # fmt: skip


def test_other_arguments_pass():
    args = ["--net", "dense", "--augment", "--rule", "a", "--", "b"]
    assert list(repeated(args, {"--rule"})) == args
