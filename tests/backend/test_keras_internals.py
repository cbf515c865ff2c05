"""What the private names of Keras are used for, and that no other file uses one."""

import ast
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.backend import keras_internals as internals

PACKAGE = Path(keras_decorr.__file__).parent
INTERNALS = PACKAGE / "backend" / "keras_internals.py"
TUNER_INTERNALS = PACKAGE / "tuning" / "keras_tuner_internals.py"
# Public in spite of the underscore: named tuples, and the end of a process.
DOCUMENTED = {"_fields", "_asdict", "_replace", "_exit"}


# Calls that set an attribute of the name that they are given.
SETTERS = {"object.__setattr__", "self._keep"}


class Block(keras.layers.Layer):
    """Two layers, one of them with dropout, that a user's class holds."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = keras.layers.Dense(3)
        self.inner = keras.Sequential([keras.layers.Dense(3), keras.layers.Dropout(0.5)])

    def call(self, inputs):
        return self.inner(self.first(inputs))


def functional(**kwargs):
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.Dense(2)(inputs), **kwargs)


# --- layers ---------------------------------------------------------------------------------------


def test_the_layers_of_a_layer_with_and_without_those_inside_them():
    block = Block()
    assert list(internals.sublayers(block)) == [block.first, block.inner]
    inside = [*block.inner.layers]
    assert {*internals.flatten_layers(block)} == {block, block.first, block.inner, *inside}
    assert block not in internals.flatten_layers(block, include_self=False)


def test_the_input_layer_of_a_sequential_model_is_one_of_its_layers():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    assert isinstance(internals.sublayers(model)[0], keras.layers.InputLayer)


class Twice(keras.layers.Conv1D):
    """A convolution whose call has arguments that that of its base lacks."""

    def call(self, inputs, training=None, mask=None):
        return (2.0 if training else 1.0) * super().call(inputs)


def test_a_layer_becomes_one_of_a_subclass_and_of_its_base_again():
    layer = keras.layers.Conv1D(2, 1)
    inputs = keras.Input((3, 4))
    model = keras.Model(inputs, layer(inputs))
    x = np.ones((1, 3, 4), "float32")
    plain = ops.convert_to_numpy(layer(x))
    internals.become(layer, Twice)
    assert type(layer) is Twice
    np.testing.assert_allclose(ops.convert_to_numpy(model(x, training=True)), 2 * plain)
    internals.become(layer, keras.layers.Conv1D)
    assert type(layer) is keras.layers.Conv1D
    np.testing.assert_array_equal(ops.convert_to_numpy(model(x, training=True)), plain)


def test_arguments_of_a_call_that_a_base_lacks_are_forgotten():
    layer = Twice(2, 1)
    inputs = keras.Input((3, 4))
    model = keras.Model(inputs, layer(inputs, training=True, mask=None))
    (node,) = internals.nodes(layer)
    assert {"training", "mask"} <= {*node.arguments.kwargs}
    internals.become(layer, keras.layers.Conv1D)
    assert not node.arguments.kwargs
    x = np.ones((1, 3, 4), "float32")
    np.testing.assert_array_equal(*(ops.convert_to_numpy(f(x)) for f in (layer, model)))


def built_block():
    block = Block()
    block(np.ones((1, 4), "float32"))
    return block


def test_a_built_layer_gets_another_one_and_loses_it():
    block, new = built_block(), keras.layers.Dense(2)
    new.build((None, 4))
    before = list(block.weights)
    with pytest.raises(ValueError, match="cannot add"):
        block.new = new
    internals.add_sublayer(block, "new", new)
    assert block.new is new
    assert list(internals.sublayers(block)) == [block.first, block.inner, new]
    assert [id(v) for v in block.weights] == [id(v) for v in [*before, *new.weights]]
    internals.remove_attribute(block, "new")
    assert not hasattr(block, "new")
    assert list(internals.sublayers(block)) == [block.first, block.inner]
    assert [id(v) for v in block.weights] == [id(v) for v in before]
    with pytest.raises(ValueError, match="cannot add"):
        block.new = new


def test_an_attribute_that_is_no_layer_is_removed():
    block = Block()
    block.number = 3
    block(np.ones((1, 4), "float32"))
    internals.remove_attribute(block, "number")
    assert not hasattr(block, "number")
    assert list(internals.sublayers(block)) == [block.first, block.inner]


@pytest.mark.parametrize("use_bias", [True, False])
def test_a_weight_of_a_built_layer_is_replaced(use_bias):
    layer = keras.layers.Dense(2, use_bias=use_bias)
    layer.build((None, 4))
    kernel = layer.kernel
    internals.replace_weight(layer, "bias", shape=(4, 2), initializer="ones")
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.bias), np.ones((4, 2)))
    assert [id(v) for v in layer.weights] == [id(kernel), id(layer.bias)]
    assert layer.bias.path == f"{layer.path}/bias"
    with pytest.raises(ValueError, match="cannot add"):
        layer.more = keras.layers.Dense(2)


def test_the_kernel_without_lora():
    for layer in (keras.layers.Dense(2), keras.layers.Conv1D(2, 1)):
        layer.build((None, 3, 4))
        kernel = internals.kernel_variable(layer)
        assert kernel is layer.kernel
        layer.enable_lora(1)
        assert internals.kernel_variable(layer) is kernel
        assert layer.kernel is not kernel
    depthwise = keras.layers.DepthwiseConv1D(2)
    depthwise.build((None, 3, 4))
    assert internals.kernel_variable(depthwise) is depthwise.kernel


def test_a_layer_that_is_not_built_takes_the_kernel_of_another():
    makes = (lambda: keras.layers.Dense(2), lambda: keras.layers.DepthwiseConv1D(2))
    for make in makes:
        other, layer = make(), make()
        other.build((None, 3, 4))
        internals.set_kernel(layer, other.kernel)
        layer.built = True
        assert layer.kernel is other.kernel
        assert [id(v) for v in layer.weights] == [id(other.kernel)]


def test_a_place_of_variables_that_are_stored_elsewhere(tmp_path):
    """Keras gives it the variables that a file has under the name of the attribute."""

    class Old(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inside = keras.layers.Dense(2)

        def call(self, inputs):
            return self.inside(inputs)

    class New(keras.layers.Dense):
        def load_own_variables(self, store):
            if store.keys():
                super().load_own_variables(store)
            else:
                object.__setattr__(
                    self, "inside", internals.StoredElsewhere(super().load_own_variables)
                )

    New.__name__ = "Old"  # Keras names the place of a layer by its class
    old, new = (keras.Sequential([keras.Input((4,)), layer]) for layer in (Old(), New(2)))
    path = tmp_path / "model.weights.h5"
    old.save_weights(path)
    new.load_weights(path)
    assert new.layers[0].inside.loaded
    for a, b in zip(old.get_weights(), new.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("path", ["first", "inside/1", "named/a"])
def test_a_layer_takes_the_place_of_another_in_an_attribute_a_list_or_a_dictionary(path):
    block = Block()
    block.inside = [keras.layers.Dense(1), keras.layers.Dense(1)]
    block.named = {"a": keras.layers.Dense(1)}
    count, new = len(list(internals.sublayers(block))), keras.layers.Dense(3)
    internals.replace_sublayer(block, path, new)
    found = {"first": block.first, "inside/1": block.inside[1], "named/a": block.named["a"]}
    assert found[path] is new
    assert [layer for layer in found.values() if layer is new] == [new]
    layers = list(internals.sublayers(block))
    assert new in layers and len(layers) == count


def test_the_seed_generators_of_a_layer_are_its_own():
    dropout = keras.layers.Dropout(0.5)
    assert list(internals.seed_generators(dropout)) == [dropout.seed_generator]
    assert not internals.seed_generators(Block())


def test_a_model_counts_as_called_as_another_does():
    called, new = functional(), functional()
    called(np.ones((1, 4), "float32"))
    internals.mark_called_like(new, called)
    uncalled = functional()
    internals.mark_called_like(called, uncalled)
    assert new._called
    assert not called._called


ATTENTION = [
    (keras.layers.MultiHeadAttention, (2, 3)),
    (keras.layers.GroupQueryAttention, (4, 2, 1)),
]


@pytest.mark.parametrize(("cls", "arguments"), ATTENTION)
def test_the_projections_of_attention(cls, arguments):
    layer = cls(*arguments)
    layer.build((None, 5, 6), (None, 5, 6))
    projections = internals.attention_projections(layer)
    assert list(projections) == ["query", "key", "value", "output"]
    weights = [id(v) for projection in projections.values() for v in projection.weights]
    assert weights == [id(v) for v in layer.weights]


@pytest.mark.parametrize(("cls", "arguments"), ATTENTION)
def test_attention_says_that_its_projections_have_a_bias(cls, arguments):
    layer = cls(*arguments, use_bias=False)
    internals.use_bias_in_projections(layer)
    assert layer.use_bias
    again = cls.from_config(layer.get_config())
    again.build((None, 5, 6), (None, 5, 6))
    assert all(p.bias is not None for p in internals.attention_projections(again).values())


# --- graphs ---------------------------------------------------------------------------------------


def test_the_calls_of_a_layer_and_what_made_a_tensor():
    first, second = keras.Input((4,)), keras.Input((4,))
    layer = keras.layers.Dense(2)
    outputs = [layer(first), layer(second)]
    calls = internals.nodes(layer)
    assert [call.input_tensors[0] is x for call, x in zip(calls, (first, second), strict=True)]
    assert [call.output_tensors[0] for call in calls] == outputs
    assert all(internals.producer(y) is layer for y in outputs)


def test_which_calls_of_keras_model_make_a_functional_model():
    x = keras.Input((4,))
    y = keras.layers.Dense(2)(x)
    for args, kwargs in [((x, y), {}), ((x,), {"outputs": y}), ((), {"inputs": x, "outputs": y})]:
        assert internals.is_functional_call(args, kwargs)
        assert isinstance(keras.Model(*args, **kwargs), internals.Functional)
    for args, kwargs in [((), {}), ((), {"name": "a"}), ((x,), {}), ((), {"inputs": x})]:
        assert not internals.is_functional_call(args, kwargs)


def test_a_class_becomes_functional_and_its_siblings_do_not():
    class Base(keras.Model):
        pass

    class FunctionalBase(Base, internals.Functional):
        pass

    class Middle(Base):
        pass

    class Leaf(Middle):
        pass

    class Sibling(Base):
        pass

    internals.make_functional(Leaf, Base, FunctionalBase)
    assert issubclass(Leaf, internals.Functional)
    assert not issubclass(Sibling, internals.Functional)
    assert not issubclass(Base, internals.Functional)


def test_a_layer_knows_whether_only_its_shapes_are_asked_for():
    seen = []

    class Asks(keras.layers.Layer):
        def call(self, inputs):
            seen.append(internals.in_symbolic_scope())
            return inputs

    Asks()(keras.Input((4,)))
    Asks()(np.ones((1, 4), "float32"))
    assert seen == [True] * (len(seen) - 1) + [False]  # PyTorch asks twice
    assert len(seen) > 1


# --- training -------------------------------------------------------------------------------------


class Counting(internals.BuiltBeforeOptimizer):
    """Makes one more variable when its layers are built."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.built_with = []

    def call(self, inputs):
        return self.dense(inputs)

    @property
    def trainable_weights(self):
        return [*super().trainable_weights, *vars(self).get("extra", ())]

    @property
    def variables(self):
        return [*super().variables, *vars(self).get("extra", ())]

    def build_rule(self):
        self.built_with = [self.dense.built, self.optimizer]
        extra = keras.Variable(np.ones((), "float32"), name="extra")
        object.__setattr__(self, "extra", [extra])  # past Keras's tracking
        self._rule_is_built = True


def test_the_rule_is_built_after_the_layers_and_before_the_optimizer():
    model = Counting()
    model.compile("adam", "mse")
    x, y = np.ones((2, 3), "float32"), np.ones((2, 1), "float32")
    internals.build_symbolically(model, (x, y))
    assert model.built_with == [True, None]
    assert any("extra" in v.name for v in model.optimizer.variables)
    assert model.optimizer.built


def test_the_arguments_of_compile_are_given_back_as_they_were():
    def loss(y, y_pred):  # not registered
        return ops.mean(ops.square(y - y_pred), axis=-1)

    model = functional()
    model.compile("sgd", loss, metrics=["mae"], run_eagerly=True)
    arguments = internals.compile_arguments(model)
    assert arguments["loss"] is loss
    assert arguments["metrics"] == ["mae"] and arguments["run_eagerly"] is True
    functional().compile(**arguments)


def test_the_losses_of_a_model_with_several_outputs():
    x = keras.Input((4,))
    model = keras.Model(x, {"a": keras.layers.Dense(2)(x), "b": keras.layers.Dense(1)(x)})
    model.compile("sgd", {"a": "mse", "b": "mae"}, loss_weights={"a": 1.0, "b": 2.0})
    y = {"a": np.ones((3, 2), "float32"), "b": np.ones((3, 1), "float32")}
    model.evaluate(np.ones((3, 4), "float32"), y, verbose=0)
    losses = {path: weight for path, _, weight, _ in internals.compiled_losses(model)}
    assert losses == {("a",): 1.0, ("b",): 2.0}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size", "mean_with_sample_weight"])
def test_weights_and_mask_are_those_of_a_keras_loss(reduction, masked, weighted, rng):
    loss = keras.losses.MeanSquaredError(reduction=reduction)
    x = rng.normal(size=(3, 4, 2)).astype("float32")
    x[1, 2:] = 0.0
    outputs = ops.convert_to_tensor(x)
    if masked:
        outputs = keras.layers.Masking()(outputs)
    target = ops.convert_to_tensor(rng.normal(size=x.shape).astype("float32"))
    weights = None
    if weighted:
        weights = ops.convert_to_tensor(rng.uniform(size=(3, 4)).astype("float32"))
    values = loss.call(target, outputs)
    size = ops.cast(ops.size(values), "float32")
    values, combined = internals.sample_weights(values, weights, outputs, reduction)
    assert (combined is None) == (not masked and not weighted)
    total = ops.sum(values if combined is None else values * combined)
    if reduction == "mean_with_sample_weight" and combined is not None:
        size = ops.sum(combined)
    got = total if reduction == "sum" else total / size
    expected = loss(target, outputs, weights)
    np.testing.assert_allclose(ops.convert_to_numpy(got), ops.convert_to_numpy(expected), rtol=1e-5)


def test_a_model_that_changed_is_traced_anew():
    model, x = functional(), np.ones((2, 4), "float32")
    model.compile("sgd", "mse")
    before = model.predict(x, verbose=0)
    optimizer = model.optimizer
    internals.become(model.layers[1], Doubled)
    internals.forget_traces(model)
    np.testing.assert_allclose(model.predict(x, verbose=0), 2 * before, rtol=1e-6)
    assert model.optimizer is optimizer
    internals.forget_traces(keras.layers.Dense(2))  # which is never traced by itself


class Doubled(keras.layers.Dense):
    """A dense layer times two."""

    def call(self, inputs, training=None):
        return 2.0 * super().call(inputs)


class Reads(keras.callbacks.Callback):
    """Brings the variables up to date after every batch, and records whether they have changed."""

    def __init__(self):
        super().__init__()
        self.changed = []

    def on_train_begin(self, logs=None):
        self.before = ops.convert_to_numpy(self.model.trainable_variables[0]).copy()

    def on_train_batch_end(self, batch, logs=None):
        model = internals.model_of(self)
        internals.sync_state(model)
        after = ops.convert_to_numpy(model.trainable_variables[0]).copy()
        self.changed.append(bool(np.any(after != self.before)))
        self.before = after


def test_a_callback_has_its_model_and_the_state_in_the_midst_of_an_epoch():
    model, reads = functional(), Reads()
    model.compile("sgd", "mse")
    x, y = np.ones((4, 4), "float32"), np.ones((4, 2), "float32")
    model.fit(x, y, batch_size=2, verbose=0, callbacks=[reads])
    assert reads.changed == [True, True]
    assert internals.model_of(reads) is model
    state = internals.state_without_model(reads)
    assert state["changed"] is reads.changed
    copy = Reads.__new__(Reads)
    copy.__dict__.update(state)
    assert internals.model_of(copy) is None


# --- optimizers -----------------------------------------------------------------------------------


def test_every_accumulated_step_is_counted():
    variable = keras.Variable(np.ones(2, "float32"))
    optimizer = keras.optimizers.SGD(gradient_accumulation_steps=2)
    optimizer.build([variable])
    for _ in range(3):
        optimizer.apply_gradients([(ops.ones(2), variable)])
    assert internals.steps_of_optimizer(optimizer) == 3


def test_what_an_optimizer_spares_from_weight_decay():
    kernel, bias, gain = (
        keras.Variable(np.ones(2, "float32"), name=name) for name in ("kernel", "bias", "gain")
    )
    optimizer = keras.optimizers.AdamW()
    variables = [kernel, bias, gain]
    assert internals.spared_from_weight_decay(optimizer, variables) == ([False] * 3, None)
    optimizer.exclude_from_weight_decay([gain], ["bias"])
    assert internals.spared_from_weight_decay(optimizer, variables) == ([False, True, True], "bias")


# --- no other file --------------------------------------------------------------------------------


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def private_of(tree):
    """The private attributes that a file reads, and private names that it spells as text."""
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    texts = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {name for name in names | texts if is_private(name) and name.isidentifier()}


def defined_in(tree):
    """The attributes and methods that a file defines."""
    names = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            for line in node.body:
                targets = line.targets if isinstance(line, ast.Assign) else []
                targets = [line.target] if isinstance(line, ast.AnnAssign) else targets
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in SETTERS:
            names |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    return names


TREES = {path: ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
OTHERS = {path: tree for path, tree in TREES.items() if path not in (INTERNALS, TUNER_INTERNALS)}


def foreign(path, tree, private, ours):
    """Lines that use a private name of another package: `(line, name)`."""
    here = defined_in(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            known = here if own and node.attr in private else ours - private
            if node.attr not in known | DOCUMENTED:
                yield node.lineno, node.attr
        elif isinstance(node, ast.Constant) and node.value in private - here:
            yield node.lineno, node.value
        elif isinstance(node, ast.ImportFrom | ast.Import):
            modules = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            for module in modules:
                if module.startswith(("keras.src", "keras_tuner.src")):
                    yield node.lineno, module


def test_no_other_file_uses_a_private_name():
    # `_rule_is_built` is what a subclass of ours sets.
    private = private_of(TREES[INTERNALS]) | private_of(TREES[TUNER_INTERNALS])
    private -= {"_rule_is_built"}
    assert {"_tracker", "_inbound_nodes", "_model", "_query_dense", "_random_values"} <= private
    ours = set().union(*map(defined_in, OTHERS.values())) | {"_rule_is_built"}
    found = [
        f"{path.relative_to(PACKAGE)}:{line} {name}"
        for path, tree in OTHERS.items()
        for line, name in foreign(path, tree, private, ours)
    ]
    assert not found


def test_the_scan_finds_what_it_looks_for():
    source = (
        "from keras.src import backend\n"
        "import keras_tuner.src\n"
        "layer._layers\n"
        "self._model\n"
        "getattr(layer, '_tracker')\n"
        "self._mine = layer._unknown\n"
        "self._mine\n"
    )
    tree = ast.parse(source)
    lines = [n for n, _ in foreign(None, tree, {"_layers", "_model", "_tracker"}, {"_mine"})]
    assert sorted(lines) == [1, 2, 3, 4, 5, 6]


def test_the_slots_of_an_optimizer_go_with_the_variables_that_it_trains():
    variables = [keras.Variable(np.ones(3)), keras.Variable(np.ones((2, 2)))]
    optimizer = keras.optimizers.Adam()
    optimizer.build(variables)
    trained, slots = internals.optimizer_slots(optimizer)
    assert [id(v) for v in trained] == [id(v) for v in variables]
    assert sorted(slots) == ["momentums", "velocities"]
    for slot in slots.values():
        assert [tuple(v.shape) for v in slot] == [(3,), (2, 2)]
    muon = keras.optimizers.Muon()
    muon.build(variables)
    assert internals.optimizer_slots(muon)[1]["adam_velocities"][1] is None
