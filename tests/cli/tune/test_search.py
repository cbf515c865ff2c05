"""A search; test_command.py has the rest."""

import logging

from keras_decorr.cli.tune.search import without_retracing_warnings


def test_tensorflow_does_not_tell_of_retracing(caplog):
    logger = logging.getLogger("tensorflow")
    logger.addHandler(caplog.handler)
    text = "5 out of the last 13 calls to %s triggered tf.function retracing. Tracing is expensive"
    try:
        with without_retracing_warnings():
            logger.warning(text, "<function one_step>")
            logger.warning("another")
        logger.warning(text, "<function two_steps>")
    finally:
        logger.removeHandler(caplog.handler)
    told = dict.fromkeys(caplog.messages)
    assert list(told) == ["another", text % "<function two_steps>"]
