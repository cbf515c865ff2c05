"""Messages follow Keras's switch between printing and logging."""

import logging

import keras

from keras_decorr.callbacks.messages import print_message


def test_a_message_is_printed_or_logged(capsys, caplog):
    caplog.set_level(logging.INFO)
    print_message("printed")
    keras.config.disable_interactive_logging()
    try:
        print_message("logged")
    finally:
        keras.config.enable_interactive_logging()
    assert capsys.readouterr().out == "printed\n"
    assert caplog.messages == ["logged"]
