"""Forward passes without side effects."""

import keras
import numpy as np
import pytest

from keras_decorr.backend.inference import without_side_effects


def test_pytorch_draws_nothing_and_records_no_gradient(backend):
    if backend != "torch":
        pytest.skip("for PyTorch alone")
    import torch

    layers = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dropout(0.5)])
    torch.manual_seed(0)
    numbers = torch.rand(2)
    torch.manual_seed(0)
    torch.rand(1)
    with without_side_effects():
        torch.rand(5)
        y = layers(np.ones((4, 3), "float32"), training=True)
    assert not y.requires_grad
    assert torch.rand(1) == numbers[1]
