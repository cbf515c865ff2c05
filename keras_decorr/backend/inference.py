"""Forward passes that leave no trace in the backend's global state."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def without_side_effects() -> Iterator[None]:
    """Runs the forward passes inside without gradients and without drawing from a global generator.

    Only PyTorch needs it: its autograd records every operation on a parameter, and dropout draws from
    its global generator. Inside, that generator starts from seed 0.
    """
    if keras.backend.backend() != "torch":
        yield
        return
    import torch

    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        yield
