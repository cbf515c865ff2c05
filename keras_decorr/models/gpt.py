"""Builds a small language model: a decoder-only transformer.

A. Radford et al., "Language Models are Unsupervised Multitask Learners" (GPT-2, 2019). One matrix for
embedding and logits: O. Press, L. Wolf, "Using the Output Embedding to Improve Language Models", arXiv
1608.05859 (2016).
"""

from typing import Any

import keras

from keras_decorr.decorrelators import Decorrelator
from keras_decorr.models.nets import Parts
from keras_decorr.models.position_embedding import PositionEmbedding


def gpt(
    context: int,
    vocabulary_size: int,
    decorrelator: Decorrelator | str | None = "norm_preserving",
    width: int = 96,
    depth: int = 3,
    heads: int = 4,
    mlp_ratio: int = 4,
    dropout: float = 0.0,
    tied: bool = False,
    for_any_rule: bool = False,
    kernel_initializer: Any = "glorot_uniform",
    name: str = "gpt",
) -> keras.Model:
    """Builds a decoder-only transformer: learned positions, pre-normalised causal blocks, GELU.

    The layer of the logits is a plain Keras layer, with any decorrelator: decorrelating its inputs
    slows the training of a language model down.

    Args:
        context: Number of tokens that the model sees.
        vocabulary_size: Number of different tokens.
        decorrelator: Decorrelator of every linear layer between the embedding and the layer of the
            logits (the projections of the attention, the dense layers), or `None` for a net without
            decorrelation. Defaults to `"norm_preserving"`.
        width: Features of a token. Defaults to 96.
        depth: Number of blocks. Defaults to 3.
        heads: Heads of the attention; they must divide `width`. Defaults to 4.
        mlp_ratio: Hidden units of a block's dense layers over `width`. Defaults to 4, as in GPT-2.
        dropout: Dropout after the embedding, attention and dense layers, a fraction of the features.
            Defaults to 0.
        tied: Compute the logits with the matrix of the embedding and without a bias, as GPT-2 does.
            Defaults to False: a dense layer of its own.
        for_any_rule: Makes a difference with `decorrelator=None` alone. False (default): a plain Keras
            model. True: the same net of decorrelating layers that do nothing.
        kernel_initializer: Initializer of all kernels but the embeddings, which are normal with a
            deviation of 0.02 as in GPT-2. Defaults to Keras's own.
        name: Name of the model.

    Returns:
        A `keras_decorr.Model`, or a `keras.Model` if it is to be a plain Keras model. It maps integer
        tokens `(batch, context)` to logits `(batch, context, vocabulary_size)` of the next token. The
        layer of the logits is called `output`, unless it is tied.

    Raises:
        ValueError: If `heads` does not divide the width.

    Example:

    >>> import keras_decorr
    >>> model = keras_decorr.models.gpt(context=64, vocabulary_size=65, width=48, depth=2)
    >>> model.output_shape
    (None, 64, 65)
    """
    if width % heads:
        raise ValueError(
            f"Argument `heads` must divide `width`. Received: heads={heads}, width={width}"
        )
    parts = Parts(decorrelator, for_any_rule, False, kernel_initializer)
    inputs = keras.Input((context,), dtype="int32")
    embedding = keras.layers.ReversibleEmbedding(
        vocabulary_size, width, embeddings_initializer=keras.initializers.RandomNormal(stddev=0.02)
    )
    x = keras.layers.Dropout(dropout)(PositionEmbedding()(embedding(inputs)))
    for _ in range(depth):
        x = parts.transformer_block(x, heads, mlp_ratio, dropout, use_causal_mask=True)
    x = keras.layers.LayerNormalization(epsilon=1e-6)(x)
    logits = (
        embedding(x, reverse=True) if tied else parts.plain_dense(vocabulary_size, name="output")(x)
    )
    return parts.functional(inputs, logits, name)
