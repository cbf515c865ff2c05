"""The tape of feedback alignment gives the numbers of its rule."""

import itertools

import pytest

from keras_decorr.rules import FeedbackAlignment
from keras_decorr.tapes import FeedbackAlignmentTape
from keras_decorr.training import decorrelation_layers, gradients
from tests.helpers import few_of, relative_error
from tests.tapes.nets import check, data, mean_loss, network, steps, taped

pytestmark = pytest.mark.usefixtures("tensorflow_only")


@pytest.mark.parametrize(
    ("feedback", "decorrelated", "kind", "graph"),
    few_of(
        list(
            itertools.product(
                ["fixed", "sign_concordant", "kolen_pollack"],
                [True, False],
                ["dense", "conv"],
                [False, True],
            )
        ),
        # Every pair of values occurs.
        lambda feedback, decorrelated, kind, graph: graph == (decorrelated == (kind == "conv")),
    ),
)
def test_feedback_alignment_equals_the_rule(feedback, decorrelated, kind, graph, rng):
    x, y = data(rng)
    model = network(kind, rng, decorrelated)
    model.compile("sgd", mean_loss, learning_rule=FeedbackAlignment(feedback))
    expected = gradients(model, x, y)
    found, tape = taped(FeedbackAlignmentTape, model, x, y, graph)
    assert tape.state is model.learning_rule_state
    check(found, expected, 1e-5)
    backprop = gradients(model, x, y, "backprop")
    assert relative_error(found[0], backprop[0]) > 0.1
    assert steps(model) == [1] * len(decorrelation_layers(model))
