"""The models of a search, and their training by KerasTuner."""

import keras
import keras_tuner
import numpy as np
import pytest

import keras_decorr
from keras_decorr.tuning import DecorHyperModel
from tests.helpers import few_of
from tests.tuning.searches import EAGER, ended, net, plain, rate_of, small_search


def chosen(hyper_model, **values):
    """Hyperparameters with these values."""
    hp = keras_tuner.HyperParameters()
    hyper_model.settings(hp)
    hp.values |= values
    hp.ensure_active_values()
    return hp


def test_a_plain_model_is_converted_with_its_weights(data):
    model = plain()
    hyper_model = DecorHyperModel(
        model, learning_rates=(1e-3, 1e-2), decorrelation_rates=(0, 1e-5, 1e-4), **EAGER
    )
    new = hyper_model.build(chosen(hyper_model, learning_rate="0.01", decorrelation_rate="1e-05"))
    assert isinstance(new, keras_decorr.Sequential)
    assert rate_of(new) == pytest.approx(1e-2)
    assert float(keras.ops.convert_to_numpy(new.decorrelation_rate)) == pytest.approx(1e-5)
    control = hyper_model.build(chosen(hyper_model, learning_rate="0.001", decorrelation_rate="0"))
    assert not isinstance(control, keras_decorr.Sequential)
    for mine, theirs in zip(control.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    control.fit(*data, verbose=0)
    for mine, theirs in zip(control.get_weights(), model.get_weights(), strict=True):
        assert not np.array_equal(mine, theirs)  # the model itself stays as it is


def test_the_control_of_a_rule_has_an_m_that_stays_the_identity(data):
    hyper_model = DecorHyperModel(
        plain(), decorrelation_rates=(0,), learning_rules=("feedback_alignment",), **EAGER
    )
    model = hyper_model.build(chosen(hyper_model))
    before = model.predict(data[0], verbose=0)
    layers = model.decorrelation_layers
    start = [[keras.ops.convert_to_numpy(M).copy() for M in layer.matrices] for layer in layers]
    model.fit(*data, verbose=0)
    for layer, matrices in zip(layers, start, strict=True):
        for M, identity in zip(layer.matrices, matrices, strict=True):
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(M), identity)
    assert not np.allclose(before, model.predict(data[0], verbose=0))


def test_a_function_gets_what_it_asks_for():
    hyper_model = DecorHyperModel(
        net,
        learning_rates=(1e-3,),
        decorrelation_rates=(0, 1e-4),
        structures=("full", "monarch"),
        sample_fractions=(0.1, 0.5),
        max_samples=(64, 256),
        optimizers={
            "momentum": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
            "adam": None,
        },
        learning_rules=("backprop", "node_perturbation"),
        **EAGER,
    )
    hp = chosen(
        hyper_model, decorrelation_rate="0.0001", structure="monarch", sample_fraction="0.5",
        max_samples="256", optimizer="momentum", learning_rule="node_perturbation",
    )  # fmt: skip
    assert "learning_rate" not in hp.values  # there is nothing to choose
    model = hyper_model.build(hp)
    decorrelator = model.layers[0].decorrelator
    assert (decorrelator.structure.name, decorrelator.max_samples) == ("monarch", 256)
    assert decorrelator.sample_fraction == 0.5
    assert model.optimizer.momentum == 0.9
    assert model.learning_rule.get_config() is not None
    assert type(model.learning_rule).__name__ == "NodePerturbation"
    control = chosen(hyper_model, decorrelation_rate="0")
    assert "structure" not in control.values  # M's own are not searched without M
    assert "structure" not in hyper_model.settings(control)
    assert hyper_model.build(control).layers[0].decorrelator is None


def test_a_function_with_further_hyperparameters():
    def wide(hp):
        return keras.Sequential(
            [keras.Input((6,)), keras.layers.Dense(hp.Int("units", 3, 4), activation="softmax")]
        )

    hyper_model = DecorHyperModel(wide, decorrelation_rates=(1e-4,), **EAGER)
    hp = keras_tuner.HyperParameters()
    assert type(hyper_model.build(hp).layers[0]).__name__ == "DecorDense"
    assert hp.values["units"] == 3


def test_the_compiled_model_gives_loss_metrics_and_optimizer():
    model = plain()
    model.compile(keras.optimizers.SGD(0.5, momentum=0.8), "sparse_categorical_crossentropy")
    hyper_model = DecorHyperModel(model, learning_rates=(1e-3,), decorrelation_rates=(0, 1e-4))
    for rate in ("0", "0.0001"):
        new = hyper_model.build(chosen(hyper_model, decorrelation_rate=rate))
        assert (type(new.optimizer).__name__, new.optimizer.momentum) == ("SGD", 0.8)
        assert rate_of(new) == pytest.approx(1e-3)
        assert new.loss == "sparse_categorical_crossentropy"


def test_the_default_rates_are_among_those_searched():
    defaults = {"learning_rate": 7e-4, "decorrelation_rate": 2e-4}  # no value of `log_values`
    hyper_model = DecorHyperModel(net, defaults=defaults, **EAGER)
    for name, rate in defaults.items():
        assert rate in hyper_model.values[name]
        assert list(hyper_model.values[name]) == sorted(hyper_model.values[name])
    assert hyper_model.settings(keras_tuner.HyperParameters()) | defaults == hyper_model.settings(
        keras_tuner.HyperParameters()
    )
    control = DecorHyperModel(
        net, decorrelation_rates=(1e-4,), defaults={"decorrelation_rate": 0}, **EAGER
    )
    assert control.values["decorrelation_rate"] == (0.0, 1e-4)


def test_a_seed_gives_every_trial_the_same_weights():
    hyper_model = DecorHyperModel(net, decorrelation_rates=(1e-4,), seed=3, **EAGER)
    first, second = (hyper_model.build(chosen(hyper_model)).get_weights() for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"learning_rates": ()}, "`learning_rates` of DecorHyperModel must hold a rate"),
        ({"decorrelation_rates": (-1e-5,)}, "`decorrelation_rates` of DecorHyperModel.*-1e-05"),
        ({"structures": ("round",)}, "must be one of.*'round'"),
        ({"max_samples": (0,)}, "`max_samples`"),
        ({"learning_rules": ("hebb",)}, "must be one of.*'hebb'"),
        ({"optimizers": ("downhill",)}, "`optimizers` of DecorHyperModel.*'downhill'"),
        ({"defaults": {"optimizer": "sgd"}}, "must name values of the search.*optimizer='sgd'"),
        ({"defaults": {"rate": 1e-3}}, "must name values of the search.*rate=0.001"),
        ({"defaults": {"learning_rate": 0.0}}, r"`defaults\['learning_rate'\]`.*Received: 0.0"),
        ({"decorrelator": "zca", "decorrelation_rates": (2.0,)}, "`decorrelation_rates`.*2.0"),
        ({"decorrelator": None}, "must name a rule"),
        ({"divergence": 0.5}, "`divergence` of DecorHyperModel"),
    ],
)
def test_bad_arguments_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        DecorHyperModel(net, **arguments, **EAGER)


def test_what_makes_no_model_is_refused():
    with pytest.raises(TypeError, match="a Keras model or a function"):
        DecorHyperModel("net")
    with pytest.raises(TypeError, match=r"others need a default. Received: \['width'\]"):
        DecorHyperModel(lambda width: None)
    with pytest.raises(ValueError, match="needs a loss"):
        hyper_model = DecorHyperModel(plain())
        hyper_model.build(chosen(hyper_model))
    with pytest.raises(ValueError, match=r"needs a keras_decorr\.Model"):
        hyper_model = DecorHyperModel(
            lambda decorrelator: plain(), learning_rules=("node_perturbation",), **EAGER
        )
        hyper_model.build(chosen(hyper_model))


@pytest.mark.parametrize(
    "kind",
    few_of(
        ["RandomSearch", "BayesianOptimization", "Hyperband", "GridSearch"],
        "BayesianOptimization".__eq__,
    ),
)
def test_keras_tuners_own_tuners_take_it(kind, data, tmp_path, quick):
    if kind in ("BayesianOptimization", "GridSearch"):
        quick()
    limit = {"max_epochs": 2} if kind == "Hyperband" else {"max_trials": 2}
    tuner = getattr(keras_tuner, kind)(
        small_search(), objective="val_accuracy", directory=tmp_path, seed=1,
        max_consecutive_failed_trials=None, **limit,
    )  # fmt: skip
    found = ended(tuner, data, **({} if kind == "Hyperband" else {"epochs": 1}))
    assert found <= {("0.001", "COMPLETED"), ("1e+30", "FAILED")}
    assert ("0.001", "COMPLETED") in found
