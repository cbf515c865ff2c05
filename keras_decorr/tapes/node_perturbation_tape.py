"""Provides node perturbation for custom TensorFlow training loops.

S. Dalm, M. van Gerven, N. Ahmad, "Effective Learning with Node Perturbation in Multi-Layer Neural
Networks", arXiv 2310.00965 (2023).
"""

from typing import Any

import keras
from keras import ops

from keras_decorr.backend.keras_internals import flatten_layers
from keras_decorr.context.wiring import Wiring
from keras_decorr.rules import graph
from keras_decorr.rules.node_perturbation import NodePerturbation
from keras_decorr.rules.noise import Noise, NoiseState
from keras_decorr.tapes.perturbation import Perturbation
from keras_decorr.tapes.state import state_for
from keras_decorr.tapes.tape import Tape
from keras_decorr.typing import Tensor, Tensors


class NodePerturbationTape(Tape):
    """Records operations and computes node perturbation's estimates of the gradients.

    The loss must have a value for every sample (`reduction=None`), as every sample has noise of its
    own. `gradient` estimates the gradient of its mean. What the loss depends on past the linear maps,
    such as penalties on weights that are added to it, keeps its ordinary gradient.

    The default estimator is `"directional_derivative"`: it carries the derivative along the noise
    through the one run of the block by forward-mode differentiation, so the block looks as it does
    with `tf.GradientTape`; it has no sigma to choose, and loses nothing to rounding. The others
    compare the losses of a clean and a noisy pass, which are one batch here: inputs and targets go
    through `tape.tile`, which repeats the batch once and once more for each perturbation. Code with
    `tape.tile` serves every estimator.

    At the end of the block each M takes one decorrelation step, from the clean samples. The seed of
    the noise is that of the model's own learning rule where it is a `keras_decorr.Model` compiled with
    node perturbation. Else the first tape draws it, and the model keeps and saves it, as
    `FeedbackAlignmentTape` does.

    Args:
        model: A built Keras model.
        rule: A `keras_decorr.rules.NodePerturbation`. Defaults to the model's own, or one with the
            estimator `"directional_derivative"`. Every tape of a model must have the same seed.
        persistent: As in `tf.GradientTape`. Defaults to False.
        watch_accessed_variables: As in `tf.GradientTape`. Defaults to True.

    Raises:
        NotImplementedError: If the backend is not TensorFlow.
        ValueError: If the model is not built, or the rule cannot serve it.

    Example:

    >>> import keras, keras_decorr, tensorflow as tf
    >>> model = keras.Sequential([
    ...     keras.Input((64,)),
    ...     keras_decorr.layers.DecorDense(32, activation="relu"),
    ...     keras_decorr.layers.DecorDense(10)])
    >>> loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
    >>> x, y = tf.random.normal((8, 64)), tf.zeros(8, "int32")
    >>> with keras_decorr.tapes.NodePerturbationTape(model) as tape:
    ...     loss = loss_fn(tape.tile(y), model(tape.tile(x), training=True))
    >>> gradients = tape.gradient(loss, model.trainable_variables)
    """

    kind = NodePerturbation
    defaults = {"estimator": "directional_derivative"}  # noqa: RUF012 - never changed

    def __init__(
        self,
        model: keras.Model,
        rule: NodePerturbation | None = None,
        persistent: bool = False,
        watch_accessed_variables: bool = True,
    ) -> None:
        super().__init__(model, rule, persistent, watch_accessed_variables)
        self._forward = self.rule.estimator == "directional_derivative"
        self._blocks = self.rule.n_samples + (not self._forward)
        self._rows = None

    def _state(self) -> Any:
        def make() -> NoiseState:
            graph.check_layers(self.model, self.rule.name, local=())
            graph.check_every_pass_is_the_same(self.model, self.rule.name)
            return NoiseState(self.rule.seed, graph.widest_map(self.model))

        return state_for(self.model, self.rule, make, {"seed"})

    def _wiring(self) -> Wiring:
        import tensorflow as tf

        seed = self.state.next_seed()
        noises = [Noise(self.state, seed, sample) for sample in range(self.rule.n_samples)]
        size = tf.zeros(()) if self._forward else tf.constant(self.rule.sigma_of(self.model))
        if self._forward:  # made before the gradient tape is entered, so that this ignores it
            self._accumulator = tf.autodiff.ForwardAccumulator(size, tf.ones(()))
            self._open.enter_context(self._accumulator)
        layers = flatten_layers(self.model)
        self._wires = Perturbation(layers, noises, size, self._blocks, self._tape.stop_recording)
        return self._wires

    def tile(self, x: Tensors) -> Tensors:
        """Repeats a batch as often as the estimator needs.

        Once for each perturbation, and with the clean pass as the first of them unless the estimator is
        `"directional_derivative"`. So with that one and a single perturbation it does nothing.

        Args:
            x: A tensor `(batch, ...)` or a structure of them.

        Returns:
            The same with `(times * batch, ...)`.
        """
        self._wires.tiled = True
        if self._blocks == 1:
            return x
        tiled = keras.tree.map_structure(
            lambda v: ops.concatenate([ops.convert_to_tensor(v)] * self._blocks), x
        )
        self._rows = ops.shape(keras.tree.flatten(tiled)[0])[0]
        return tiled

    def gradient(
        self, loss: Tensor, sources: Tensors, unconnected_gradients: str = "none"
    ) -> Tensors:
        """Computes the estimate of the gradient of the mean loss.

        Args:
            loss: `(batch, ...)` tensor, of the tiled batch if there is one, made in the block.
            sources: Variables, or a structure of them.
            unconnected_gradients: `"none"` or `"zero"`, as in `tf.GradientTape.gradient`.

        Returns:
            A structure like `sources`.

        Raises:
            ValueError: If the loss has no value for each sample, or the noise does not reach it.
        """
        self._check(loss)
        values = self._accumulator.jvp(loss) if self._forward else loss
        if values is None:
            raise ValueError(
                "The noise of NodePerturbationTape does not reach the loss. Compute it inside of the "
                f"`with` block, from outputs of the model. Received: loss={loss!r}"
            )
        size = ops.cast(ops.size(loss), "float32") / self._blocks
        rows = ops.reshape(ops.cast(values, "float32"), (ops.shape(values)[0], -1))
        parts = ops.split(ops.sum(rows, axis=-1) / size, self._blocks)
        estimates = self._wires.estimates(parts, self.rule)
        # The tape leads from the loss to what it depends on past the linear maps, and no further.
        direct = ops.ones_like(loss) / ops.cast(ops.size(loss), loss.dtype)
        targets = [*self._wires.recorded, loss]
        return self._gradient(targets, sources, [*estimates, direct], unconnected_gradients)

    def _check(self, loss: Tensor) -> None:
        import tensorflow as tf

        recorded = self._wires.recorded
        if not recorded:
            raise ValueError("No linear map of the model was called in the block of the tape.")
        if len(loss.shape) == 0:
            raise ValueError(
                "NodePerturbationTape needs a loss with a value for every sample, of shape "
                "(batch, ...). Return the values, as a Keras loss does with `reduction=None`. "
                f"Received: a loss of shape {tuple(loss.shape)}"
            )
        rows, seen = loss.shape[0], self._rows
        if seen is None:  # a layer may see several rows for each sample
            seen = recorded[-1].shape[0]
            fits = seen is None or rows is None or seen % rows == 0
        elif isinstance(seen, int) and rows is not None:
            fits = rows == seen
        else:
            fits = True
            tf.debugging.assert_equal(tf.shape(loss)[0], seen, "the loss is not of the tiled batch")
        if not fits:
            raise ValueError(
                "The first axis of the loss must be the batch that the model got, as `tape.tile` makes "
                f"it. Received: a loss of shape {tuple(loss.shape)} from a batch of {seen}"
            )
