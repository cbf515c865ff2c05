"""Feeds a text to a language model, character by character."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_decorr.datasets.pipeline import check_sizes, fed
from keras_decorr.extras import check_installed


@dataclass(frozen=True)
class Text:
    """Holds the characters of a text as tokens, in a part for training, validation and testing.

    Attributes:
        name: Name of the data set.
        train_tokens: `(n,)` int32: the place of each character in the vocabulary.
        validation_tokens: The same of the part for validation.
        test_tokens: The same of the part for testing.
        vocabulary: The different characters, sorted.
        context: Number of characters that the model sees.

    Example:

    >>> import keras_decorr
    >>> text = keras_decorr.datasets.load("python_source")
    >>> text.input_shape, text.classes == len(text.vocabulary)
    ((128,), True)
    >>> x, y = next(iter(text.train(batch_size=32, context=64)))
    >>> tuple(x.shape), tuple(y.shape), bool((x[:, 1:] == y[:, :-1]).numpy().all())
    ((32, 64), (32, 64), True)
    """

    name: str
    train_tokens: np.ndarray
    validation_tokens: np.ndarray
    test_tokens: np.ndarray
    vocabulary: str
    context: int = 128

    @classmethod
    def of(cls, name: str, train: str, validation: str, test: str) -> "Text":
        """Returns the `Text` of three parts of a text; the vocabulary is that of all of them."""
        parts = [_code_points(part) for part in (train, validation, test)]
        vocabulary = np.unique(np.concatenate(parts))
        tokens = [np.searchsorted(vocabulary, part).astype("int32") for part in parts]
        return cls(name, tokens[0], tokens[1], tokens[2], "".join(map(chr, vocabulary)))

    @property
    def input_shape(self) -> tuple[int]:
        """Returns the shape of one input, `(context,)`."""
        return (self.context,)

    @property
    def classes(self) -> int:
        """Returns the size of the vocabulary."""
        return len(self.vocabulary)

    @property
    def windows(self) -> int:
        """Returns the number of windows of `context` characters in an epoch of training."""
        return self._windows(self.context)

    def first(self, train_size: int | None = None, test_size: int | None = None) -> "Text":
        """Returns the text with only the first characters of its parts.

        Args:
            train_size: Number of characters for training, or `None` for all.
            test_size: Number of characters for validation, and for testing, or `None` for all.

        Returns:
            A `Text`.

        Raises:
            ValueError: If there are not that many.
        """
        held_out = min(len(self.validation_tokens), len(self.test_tokens))
        sizes = len(self.train_tokens), held_out
        check_sizes(self.name, sizes, (train_size, test_size), "characters")
        return dataclasses.replace(
            self,
            train_tokens=self.train_tokens[:train_size],
            validation_tokens=self.validation_tokens[:test_size],
            test_tokens=self.test_tokens[:test_size],
        )

    def train(self, batch_size: int = 64, context: int | None = None, seed: int = 0) -> Any:
        """Returns the windows of the training part as a `tf.data.Dataset`, shuffled anew every epoch.

        The windows of an epoch do not overlap. They start at a random place, another one every epoch.

        Args:
            batch_size: Windows a batch; the last batch may be smaller.
            context: Characters a window. Defaults to the attribute `context`.
            seed: Seed of the places and the order. The same seed gives the same batches.

        Returns:
            A dataset of `(inputs, targets)`, each `(batch, context)` int32. The target of a character
            is the next one.

        Raises:
            ValueError: If the part is shorter than two windows.
        """
        check_installed("Text.train", data=("tensorflow",))
        import tensorflow as tf

        context = context or self.context
        count = self._windows(context)
        self._check(count, context)
        firsts = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).take(1)
        starts = firsts.flat_map(
            lambda first: tf.data.Dataset.range(count).map(lambda i: first % context + i * context)
        )
        starts = starts.apply(tf.data.experimental.assert_cardinality(count))
        return _batches(self.train_tokens, starts.shuffle(count, seed=seed), batch_size, context)

    def validation(self, batch_size: int = 64, context: int | None = None) -> Any:
        """Returns the windows of the part for validation, one after another, as `train` does."""
        return self._in_order("validation", batch_size, context)

    def test(self, batch_size: int = 64, context: int | None = None) -> Any:
        """Returns the windows of the part for testing, one after another, as `train` does."""
        return self._in_order("test", batch_size, context)

    def _in_order(self, part: str, batch_size: int, context: int | None) -> Any:
        check_installed(f"Text.{part}", data=("tensorflow",))
        import tensorflow as tf

        context, tokens = context or self.context, getattr(self, f"{part}_tokens")
        count = (len(tokens) - 1) // context
        self._check(count, context)
        starts = tf.data.Dataset.range(0, count * context, context)
        return _batches(tokens, starts, batch_size, context)

    def _windows(self, context: int) -> int:
        # So many that the last one has its target even where the first starts as late as it may.
        return (len(self.train_tokens) - context) // context

    def _check(self, windows: int, context: int) -> None:
        if windows < 1:
            raise ValueError(
                f"Argument `context` must leave a window of each part of the text {self.name!r}. "
                f"Received: context={context} with {len(self.train_tokens)}, "
                f"{len(self.validation_tokens)} and {len(self.test_tokens)} characters"
            )


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


def _batches(tokens: np.ndarray, starts: Any, batch_size: int, context: int) -> Any:
    import tensorflow as tf

    tokens, places = tf.constant(tokens), tf.range(context + 1, dtype=tf.int64)

    def cut(first: Any) -> tuple[Any, Any]:
        window = tf.gather(tokens, first[:, None] + places)
        return window[:, :-1], window[:, 1:]

    return fed(starts.batch(batch_size).map(cut))
