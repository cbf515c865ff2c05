"""Ready-made nets, each with or without decorrelation."""

from keras_decorr.models.conv_net import conv_net
from keras_decorr.models.dense_net import dense_net
from keras_decorr.models.gpt import gpt
from keras_decorr.models.nets import FAN_IN_UNIFORM
from keras_decorr.models.resnet18 import resnet18
from keras_decorr.models.vit import vit

__all__ = ["FAN_IN_UNIFORM", "conv_net", "dense_net", "gpt", "resnet18", "vit"]
