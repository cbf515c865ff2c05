"""From Keras's layers to decorrelating ones: a function for each type."""

from typing import Any

from keras import layers as plain

from keras_decorr import layers
from keras_decorr.conversion.registry import decorrelating
from keras_decorr.conversion.time_distributed import DecorTimeDistributed
from keras_decorr.decorrelators import Decorrelator


@decorrelating.register(plain.Dense)
def dense(layer: Any, decorrelator: Decorrelator) -> Any:
    """Features: the last axis."""
    return layers.DecorDense.from_layer(layer, decorrelator)


@decorrelating.register(plain.EinsumDense)
def einsum_dense(layer: Any, decorrelator: Decorrelator) -> Any:
    """Features: the axes summed over."""
    return layers.DecorEinsumDense.from_layer(layer, decorrelator)


@decorrelating.register(plain.Conv1D)
def conv1d(layer: Any, decorrelator: Decorrelator) -> Any:
    """Features: those of a patch."""
    return layers.DecorConv1D.from_layer(layer, decorrelator)


@decorrelating.register(plain.Conv2D)
def conv2d(layer: Any, decorrelator: Decorrelator) -> Any:
    """Features: those of a patch."""
    return layers.DecorConv2D.from_layer(layer, decorrelator)


@decorrelating.register(plain.Conv3D)
def conv3d(layer: Any, decorrelator: Decorrelator) -> Any:
    """Features: those of a patch."""
    return layers.DecorConv3D.from_layer(layer, decorrelator)


@decorrelating.register(plain.Conv1DTranspose)
def conv1d_transpose(layer: Any, decorrelator: Decorrelator) -> Any:
    """Features: the channels."""
    return layers.DecorConv1DTranspose.from_layer(layer, decorrelator)


@decorrelating.register(plain.Conv2DTranspose)
def conv2d_transpose(layer: Any, decorrelator: Decorrelator) -> Any:
    """Features: the channels."""
    return layers.DecorConv2DTranspose.from_layer(layer, decorrelator)


@decorrelating.register(plain.Conv3DTranspose)
def conv3d_transpose(layer: Any, decorrelator: Decorrelator) -> Any:
    """Features: the channels."""
    return layers.DecorConv3DTranspose.from_layer(layer, decorrelator)


@decorrelating.register(plain.DepthwiseConv1D)
def depthwise_conv1d(layer: Any, decorrelator: Decorrelator) -> Any:
    """Features: the positions of the kernel, channel by channel."""
    return one_channel(decorrelator) or layers.DecorDepthwiseConv1D.from_layer(layer, decorrelator)


@decorrelating.register(plain.DepthwiseConv2D)
def depthwise_conv2d(layer: Any, decorrelator: Decorrelator) -> Any:
    """Features: the positions of the kernel, channel by channel."""
    return one_channel(decorrelator) or layers.DecorDepthwiseConv2D.from_layer(layer, decorrelator)


def one_channel(decorrelator: Decorrelator) -> str | None:
    """Why an M over channels does not help a depthwise convolution, if it is one."""
    if decorrelator.rows == "pixels":
        return "rows='pixels': its filters see a single channel each"
    return None


@decorrelating.register(plain.SeparableConv1D)
def separable_conv1d(layer: Any, decorrelator: Decorrelator) -> Any:
    """Both of its convolutions."""
    return layers.DecorSeparableConv1D.from_layer(layer, decorrelator)


@decorrelating.register(plain.SeparableConv2D)
def separable_conv2d(layer: Any, decorrelator: Decorrelator) -> Any:
    """Both of its convolutions."""
    return layers.DecorSeparableConv2D.from_layer(layer, decorrelator)


@decorrelating.register(plain.MultiHeadAttention)
def multi_head_attention(layer: Any, decorrelator: Decorrelator) -> Any:
    """Its projections."""
    return layers.DecorMultiHeadAttention.from_layer(layer, decorrelator)


@decorrelating.register(plain.GroupQueryAttention)
def group_query_attention(layer: Any, decorrelator: Decorrelator) -> Any:
    """Its projections."""
    return layers.DecorGroupQueryAttention.from_layer(layer, decorrelator)


@decorrelating.register(plain.LSTM, plain.GRU, plain.SimpleRNN)
def recurrent(layer: Any, decorrelator: Decorrelator) -> Any:
    """Its input kernels."""
    if decorrelator.acts_on_gradient:
        return "acts_on='gradient': its kernels are read inside Keras's loop over the steps"
    return layers.DecorRNN.from_layer(layer, decorrelator)


@decorrelating.register(plain.TimeDistributed)
def time_distributed(layer: Any, decorrelator: Decorrelator) -> Any:
    """The layer inside, with one M for all steps."""
    inner = decorrelating.convert(layer.layer, decorrelator)
    if isinstance(inner, str):
        return f"inside: {inner}"
    if not isinstance(inner, layers.decor_layer.DecorLayer):
        return "inside is more than one linear map: put it over the sequence by itself"
    return DecorTimeDistributed.around(layer, inner)


# --- left alone -------------------------------------------------------------------------------


@decorrelating.register(plain.Embedding, plain.ReversibleEmbedding)
def embedding(layer: Any, decorrelator: Decorrelator) -> Any:
    """A table of rows."""
    return "a lookup: its inputs are indices, not features"


@decorrelating.register(
    plain.BatchNormalization,
    plain.GroupNormalization,
    plain.LayerNormalization,
    plain.Normalization,
    plain.RMSNormalization,
    plain.UnitNormalization,
    plain.PReLU,
)
def elementwise(layer: Any, decorrelator: Decorrelator) -> Any:
    """A scale and a shift of each feature."""
    return "acts on each feature alone: there is no linear map of features"


@decorrelating.register(plain.SpectralNormalization)
def spectral_normalization(layer: Any, decorrelator: Decorrelator) -> Any:
    """A wrapper that divides a kernel by its norm."""
    return "replaces the kernel of the layer inside by another at every call"


@decorrelating.register(plain.Bidirectional)
def bidirectional(layer: Any, decorrelator: Decorrelator) -> Any:
    """Two recurrent layers."""
    return (
        "wraps two recurrent layers in Keras's own way: use an LSTM, GRU or SimpleRNN for each "
        "direction (go_backwards=True for one), or a keras_decorr.layers.Decorrelation before it"
    )


@decorrelating.register(plain.RNN)
def recurrent_cell(layer: Any, decorrelator: Decorrelator) -> Any:
    """A loop over a cell."""
    return (
        f"runs the cell {type(layer.cell).__name__}, whose input kernel is not known: put a "
        "keras_decorr.layers.Decorrelation before it"
    )


@decorrelating.register(plain.ConvLSTM1D, plain.ConvLSTM2D, plain.ConvLSTM3D)
def conv_lstm(layer: Any, decorrelator: Decorrelator) -> Any:
    """Convolutions of inputs and of a state."""
    return "convolutions inside a recurrent cell have no decorrelating twin"
