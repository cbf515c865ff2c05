"""Lets a decorrelator sample all of a batch for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from keras_decorr.decorrelators import Decorrelator


@contextmanager
def sampling_all(decorrelator: Decorrelator, max_rows: int) -> Iterator[None]:
    """Samples all of a batch inside, not the fraction of it that is usual, and at most `max_rows`."""
    was = decorrelator.sample_fraction, decorrelator.max_samples
    decorrelator.sample_fraction, decorrelator.max_samples = 1.0, max_rows
    try:
        yield
    finally:
        decorrelator.sample_fraction, decorrelator.max_samples = was
