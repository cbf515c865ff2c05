"""Scores of tasks."""

import math

import numpy as np
import pytest

from keras_decorr.cli.tasks import IMAGES, TASKS, TEXTS, task_of
from keras_decorr.datasets import NAMES


def test_every_data_set_has_a_task():
    assert [name for task in TASKS for name in task.datasets] == list(NAMES)
    assert task_of("cifar10") is IMAGES
    assert task_of("tiny_shakespeare") is TEXTS


def test_the_best_score_is_the_highest_accuracy_or_the_lowest_loss():
    scores = [0.2, math.nan, 0.5, 0.3]
    assert (IMAGES.best(scores), TEXTS.best(scores)) == (0.5, 0.2)
    assert math.isnan(IMAGES.best([math.nan]))


def test_gains_are_positive_where_a_score_is_better():
    assert IMAGES.gain(0.7, 0.6) == pytest.approx(10.0)  # points
    assert TEXTS.gain(1.7, 2.0) == pytest.approx(0.3)  # nats


def test_a_target_is_reached_from_below_or_above():
    scores = np.array([1.0, 2.0, 3.0])
    assert IMAGES.reached(scores, 2.0).tolist() == [False, True, True]
    assert TEXTS.reached(scores, 2.0).tolist() == [True, True, False]
    for task in TASKS:
        assert not task.reached(scores, math.nan).any()


def test_names_of_scores():
    assert (IMAGES.score, IMAGES.words) == ("test_accuracy", "test accuracy")
    assert (TEXTS.score, TEXTS.words) == ("validation_loss", "validation loss (perplexity)")


def test_batches_are_those_of_an_epoch():
    data = np.zeros(65)
    for task, attribute in ((IMAGES, "x_train"), (TEXTS, "windows")):
        holder = type("Data", (), {attribute: data if task is IMAGES else len(data)})
        assert task.batches(holder, 32) == 3
