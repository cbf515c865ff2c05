"""The pipelines of a text."""

import numpy as np
import pytest

from keras_decorr.datasets import Text


@pytest.fixture
def text():
    """A text whose tokens are the numbers from 0 on, so that a window tells its place."""
    return Text("numbers", *(np.arange(n, dtype="int32") for n in (103, 41, 40)), "ab", context=10)


def windows(data):
    batches = [(x.numpy(), y.numpy()) for x, y in data]
    for x, y in batches:
        assert x.shape == y.shape
        np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
        np.testing.assert_array_equal(x + 1, y)
    return [len(x) for x, _ in batches], np.concatenate([x for x, _ in batches])


def test_characters_are_numbered_by_the_vocabulary_of_all_parts():
    text = Text.of("letters", "cabbaé", "add", "ba")
    assert text.vocabulary == "abcdé"
    assert (text.classes, text.input_shape) == (5, (128,))
    for tokens, part in (
        (text.train_tokens, "cabbaé"),
        (text.validation_tokens, "add"),
        (text.test_tokens, "ba"),
    ):
        assert "".join(text.vocabulary[i] for i in tokens) == part
        assert tokens.dtype == "int32"


def test_windows_for_training_do_not_overlap_and_start_elsewhere_every_epoch(text):
    data = text.train(4, seed=1)
    assert data.cardinality() == 3
    firsts = []
    for _ in range(8):
        lengths, x = windows(data)
        assert lengths == [4, 4, 1]
        assert text.windows == len(x) == 9
        assert len(np.unique(x)) == x.size == 90
        firsts.append(x.min())
        order = x[:, 0]
        assert not np.array_equal(order, np.sort(order))
    assert len(set(firsts)) > 3
    assert max(firsts) < 10


def test_the_same_seed_gives_the_same_windows(text):
    first, again, other = (windows(text.train(4, seed=seed))[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_windows_for_validation_and_testing_are_in_order(text):
    lengths, x = windows(text.validation(3))
    assert lengths == [3, 1]
    np.testing.assert_array_equal(x.ravel(), np.arange(40))
    np.testing.assert_array_equal(windows(text.test(3))[1].ravel(), np.arange(30))
    assert windows(text.test(3, context=5))[1].shape == (7, 5)


def test_a_part_of_the_text(text):
    part = text.first(50, 20)
    assert [len(t) for t in (part.train_tokens, part.validation_tokens, part.test_tokens)] == [
        50, 20, 20,
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"`test_size` .*between 1 and 40, the characters"):
        text.first(test_size=41)


def test_a_context_that_is_too_long_is_refused(text):
    for short in (text.train, text.validation, text.test):
        with pytest.raises(ValueError, match=r"`context`.*'numbers'.*context=90.*103, 41 and 40"):
            short(4, context=90)
