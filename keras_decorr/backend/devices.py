"""Where the backend computes."""

import keras


def on_tensorflows_cpu() -> bool:
    """Whether this is TensorFlow without a GPU, whose products have likes and dislikes of their own."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_logical_devices("GPU")
