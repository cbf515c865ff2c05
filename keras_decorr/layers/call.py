"""Calling a model as a training step does."""


def call_in_training(model, x):
    """`model(x, training=True)`; a subclassed model may have no such argument."""
    return model(x, training=True) if model._call_has_training_arg else model(x)
