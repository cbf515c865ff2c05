"""Prints the messages of callbacks."""

import logging

import keras


def print_message(message: str) -> None:
    """Prints a message; after `keras.config.disable_interactive_logging()` logs it, as Keras does."""
    if keras.config.is_interactive_logging_enabled():
        print(message, flush=True)
    else:
        logging.getLogger("keras_decorr").info(message)
