"""A two-dimensional convolution on decorrelated patches (N. Ahmad, arXiv 2407.10780)."""

import keras
from keras import ops

from keras_decorr.layers import wiring
from keras_decorr.layers.collection import Sample
from keras_decorr.layers.decor_layer import DecorLayer
from keras_decorr.maths.patches import Window, mean_patch, patches_at
from keras_decorr.maths.sampling import sample_count, sample_rows


@keras.saving.register_keras_serializable(package="keras_decorr")
class DecorConv2D(DecorLayer):
    """`keras.layers.Conv2D` on decorrelated patches.

    The linear map works on patches of `n = kh kw c_in` values. M is folded into the kernel
    (`K_eff = M^T K`) and one ordinary convolution runs; patches are only cut out where M learns from
    them. They are centred after padding, so the mean folds into the bias at the border, too.

    Args:
        filters: Number of output channels.
        kernel_size: As in `keras.layers.Conv2D`, and so on to `bias_constraint`.
        strides: Strides of the convolution.
        padding: `"valid"` or `"same"`.
        data_format: `"channels_last"` or `"channels_first"`.
        dilation_rate: Dilation of the kernel.
        groups: Must be 1, unless `decorrelator` is `None`.
        activation: Activation function.
        use_bias: Whether to add a bias.
        kernel_initializer: Initializer of the kernel.
        bias_initializer: Initializer of the bias.
        kernel_regularizer: Regularizer of the kernel.
        bias_regularizer: Regularizer of the bias.
        activity_regularizer: Regularizer of the output.
        kernel_constraint: Constraint on the kernel.
        bias_constraint: Constraint on the bias.
        decorrelator: Name of a decorrelation rule, a `keras_decorr.decorrelators.Decorrelator`, or
            `None` for a plain convolution. Defaults to `"norm_preserving"`.
        **kwargs: Arguments of every Keras layer, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor of rank 4.
        training: Use the mean of the batch, and move M. Defaults to False.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` with
        `data_format="channels_first"`. The number of channels must be known.

    Output shape:
        That of `keras.layers.Conv2D`.

    Raises:
        ValueError: If `groups` is not 1 while there is a decorrelator, if the inputs are not of
            rank 4, or if their number of channels is unknown.

    Example:

    >>> import numpy as np, keras_decorr
    >>> layer = keras_decorr.layers.DecorConv2D(16, 3, padding="same", activation="relu")
    >>> tuple(layer(np.ones((2, 8, 8, 3), "float32")).shape)
    (2, 8, 8, 16)

    Reference:
        N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        data_format=None,
        dilation_rate=(1, 1),
        groups=1,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        decorrelator="norm_preserving",
        **kwargs,
    ):
        conv = keras.layers.Conv2D(
            filters,
            kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            groups=groups,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            name="conv2d",
            dtype=kwargs.get("dtype"),
        )
        super().__init__(conv, decorrelator, activity_regularizer=activity_regularizer, **kwargs)
        if groups != 1 and self.decorrelation is not None:
            raise ValueError(
                "Argument `groups` of DecorConv2D must be 1: each group would need an M of its own. "
                f"Use `decorrelator=None` for a grouped convolution. Received: groups={groups}"
            )
        same = conv.padding == "same"
        self.windows = [
            Window(kernel, stride, dilation, same)
            for kernel, stride, dilation in zip(
                conv.kernel_size, conv.strides, conv.dilation_rate, strict=True
            )
        ]

    def build(self, input_shape):
        if self.decorrelation is not None:
            if len(input_shape) != 4:
                raise ValueError(
                    "DecorConv2D needs inputs of rank 4, a batch of images. "
                    f"Received: input_shape={input_shape}"
                )
            channels = input_shape[-1 if self.layer.data_format == "channels_last" else 1]
            if channels is None:
                raise ValueError(
                    "The number of channels of the inputs of DecorConv2D must be known, as it gives "
                    "M its size. Define it in `keras.Input`. "
                    f"Received: input_shape={input_shape}, data_format={self.layer.data_format!r}"
                )
            kh, kw = self.layer.kernel_size
            self.decorrelation.build((None, kh * kw * channels))
        self.layer.build(input_shape)

    def call(self, inputs, training=None):
        inputs = wiring.current().inputs(self, inputs)
        op = self.layer.convolution_op
        if self.decorrelation is None:
            return self.linear_map(op, inputs)
        seen = wiring.current().sampled(self.decorrelation, inputs)

        def batch_mean():
            image = ops.mean(ops.cast(seen, "float32"), axis=0)
            return mean_patch(self._channels_last(image), *self.windows)

        mean = self.decorrelation.mean_of(batch_mean, training)
        outputs = self.linear_map(op, inputs, mean, folded=True)
        if self.decorrelation.learns(training):  # only now, as it may move M
            self._observe(seen, mean)
        return outputs

    def _observe(self, inputs, mean):
        decorrelation = self.decorrelation
        d = decorrelation.decorrelator
        batch = ops.shape(inputs)[0]
        images = self._channels_last(inputs[: sample_count(batch, d.sample_fraction)])
        size = ops.shape(images)
        places = [w.positions(s) for w, s in zip(self.windows, size[1:3], strict=True)]
        index = sample_rows(size[0] * places[0] * places[1], d.max_samples, decorrelation.steps)
        X = ops.cast(patches_at(images, index, *self.windows), "float32")
        known = [s if isinstance(s, int) else None for s in places]
        decorrelation.keep(
            Sample(X, mean, None, decorrelation.expected_rows((inputs.shape[0], *known)))
        )

    def _channels_last(self, images):
        if self.layer.data_format == "channels_last":
            return images
        return ops.moveaxis(images, -3, -1)
