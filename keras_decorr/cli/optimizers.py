"""Makes the optimizers of the command line, with a constant learning rate or a schedule."""

import inspect
from typing import Any

import keras

SCHEDULES = ("constant", "cosine")
# All of Keras's that need a learning rate alone.
OPTIMIZERS: dict[str, Any] = {
    name.lower(): cls
    for name, cls in sorted(vars(keras.optimizers).items())
    if inspect.isclass(cls)
    and cls is not keras.optimizers.Optimizer
    and "learning_rate" in inspect.signature(cls).parameters
}
# Those that do well with the learning rates of Adam. Muon's steps have Adam's size.
LIKE_ADAM = ("adam", "adamw", "muon", "nadam", "rmsprop")

_WARM_UP = 0.05  # share of the steps
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.9},
    # Keras's Muon orthogonalises the updates of matrices and trains all other weights with AdamW: those
    # with another number of axes (biases, attention, convolutions) and embeddings. The layer of the
    # logits has to be named.
    "muon": {"exclude_layers": [r"(^|/)output/"]},
}


def make_optimizer(
    name: str, learning_rate: float, schedule: str, steps: int
) -> keras.optimizers.Optimizer:
    """Makes an optimizer.

    Args:
        name: A key of `OPTIMIZERS`. Its arguments have Keras's defaults, but `"sgd"` has a momentum of
            0.9, and `"muon"` trains the layer `output` of a net with AdamW, as its authors advise.
        learning_rate: The learning rate; of a schedule, the highest.
        schedule: `"constant"`, or `"cosine"`: the rate rises linearly for 5 % of the steps, then falls
            to zero along a cosine.
        steps: Number of all steps of the training.

    Returns:
        A Keras optimizer.
    """
    rate: Any = learning_rate
    if schedule == "cosine":
        warm_up = max(1, round(_WARM_UP * steps))
        rate = keras.optimizers.schedules.CosineDecay(
            learning_rate / (warm_up + 1),  # so that the first step is not lost
            max(1, steps - warm_up),
            warmup_target=learning_rate,
            warmup_steps=warm_up,
        )
    return OPTIMIZERS[name](learning_rate=rate, **_ARGUMENTS.get(name, {}))
