"""Layers that decorrelate their inputs. Each has the arguments of its Keras twin."""

from keras_decorr.layers.decor_conv1d import DecorConv1D
from keras_decorr.layers.decor_conv1d_transpose import DecorConv1DTranspose
from keras_decorr.layers.decor_conv2d import DecorConv2D
from keras_decorr.layers.decor_conv2d_transpose import DecorConv2DTranspose
from keras_decorr.layers.decor_conv3d import DecorConv3D
from keras_decorr.layers.decor_conv3d_transpose import DecorConv3DTranspose
from keras_decorr.layers.decor_dense import DecorDense
from keras_decorr.layers.decor_depthwise_conv1d import DecorDepthwiseConv1D
from keras_decorr.layers.decor_depthwise_conv2d import DecorDepthwiseConv2D
from keras_decorr.layers.decor_einsum_dense import DecorEinsumDense
from keras_decorr.layers.decor_group_query_attention import DecorGroupQueryAttention
from keras_decorr.layers.decor_gru import DecorGRU
from keras_decorr.layers.decor_lstm import DecorLSTM
from keras_decorr.layers.decor_multi_head_attention import DecorMultiHeadAttention
from keras_decorr.layers.decor_rnn import DecorRNN
from keras_decorr.layers.decor_separable_conv1d import DecorSeparableConv1D
from keras_decorr.layers.decor_separable_conv2d import DecorSeparableConv2D
from keras_decorr.layers.decor_simple_rnn import DecorSimpleRNN
from keras_decorr.layers.decor_time_distributed import DecorTimeDistributed
from keras_decorr.layers.decorrelation import Decorrelation

__all__ = [
    "DecorConv1D",
    "DecorConv1DTranspose",
    "DecorConv2D",
    "DecorConv2DTranspose",
    "DecorConv3D",
    "DecorConv3DTranspose",
    "DecorDense",
    "DecorDepthwiseConv1D",
    "DecorDepthwiseConv2D",
    "DecorEinsumDense",
    "DecorGRU",
    "DecorGroupQueryAttention",
    "DecorLSTM",
    "DecorMultiHeadAttention",
    "DecorRNN",
    "DecorSeparableConv1D",
    "DecorSeparableConv2D",
    "DecorSimpleRNN",
    "DecorTimeDistributed",
    "Decorrelation",
]
