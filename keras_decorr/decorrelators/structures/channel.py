"""One full M over the channels of a convolution, the same at every position of the kernel."""

from keras_decorr.decorrelators.structures.full import Full


class Channel(Full):
    """Removes the correlations between channels, not those between neighbouring pixels.

    A convolution's M acts on patches of `kernel positions x channels` values. This one acts on the
    pixels instead: `channels^2` weights rather than `(positions x channels)^2`, and statistics of
    pixels. Where there are no positions (a dense layer, a 1x1 convolution) every feature is a channel,
    and this is the full M.
    """
