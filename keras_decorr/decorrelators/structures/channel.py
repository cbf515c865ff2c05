"""One full M over the channels of a convolution, the same at every position of the kernel."""

from keras_decorr.decorrelators.structures.full import Full


class Channel(Full):
    """Removes the correlations between channels, not those between neighbouring pixels.

    A convolution's M acts on patches of `kernel positions x channels` values. This one acts on the
    pixels instead: `channels^2` weights rather than `(positions x channels)^2`, and statistics of
    pixels. A layer that is no convolution has no positions to leave out; there `"channel"` means
    `"auto"`.

    Example:

    >>> from keras_decorr.decorrelators.structures import Channel
    >>> Channel(100).weights
    10000
    """
