"""What a training step with decorrelation costs, over the same step without it.

    KERAS_BACKEND=tensorflow python benchmarks/step_time.py

Prints, for the dense and the convolutional net of the paper, a small language model and the
convolutional net on 8 x 8 images, at a batch of 256, the ratio of the training step of
`decorrelate(model)`, and with each structure of M, to the step of the same plain Keras model. The
variants take turns in one process, so that a slow spell of the machine hits all of them; the median
over the rounds of time over plain time counts. Beside it stands the floor: the ratio of counted
multiply-adds of the linear maps, without and with the update of M. Then: a step of each learning
rule over one of backpropagation, all else equal, and how the time of one update of M grows with its
size.
"""

import argparse
import math
import time

import keras
import numpy as np
from keras import ops
from rich.console import Console
from rich.table import Table

import keras_decorr
from keras_decorr import models, rules
from keras_decorr.decorrelators import NormPreserving
from keras_decorr.decorrelators.cost import cost
from keras_decorr.decorrelators.sample import Means, Sample
from keras_decorr.layers import Decorrelation
from keras_decorr.layers.walk import walk

# "default" is `decorrelate(model)` without an argument; the last: M of single pixels, not of patches.
STRUCTURES = ("default", "full", "block_diagonal", "monarch", "low_rank", "pixels")
CONTEXT, VOCABULARY = 64, 65
STEPS = 4  # a round: one of them updates M


def images(*shape):
    def batch(rng, size):
        y = rng.integers(0, 10, size).astype("int32")
        return rng.normal(size=(size, *shape)).astype("float32"), y

    return batch


def tokens(rng, size):
    text = rng.integers(0, VOCABULARY, (size, CONTEXT + 1)).astype("int32")
    return text[:, :-1], text[:, 1:]


def of_images(build, *shape):
    return lambda: build(shape, 10, decorrelator=None, classifier_activation=None), images(*shape)


# name: (plain net, a batch)
NETS = {
    "dense": of_images(models.dense_net, 32, 32, 3),
    "conv": of_images(models.conv_net, 32, 32, 3),
    "gpt": (lambda: models.gpt(CONTEXT, VOCABULARY, decorrelator=None), tokens),
    "digits": of_images(models.conv_net, 8, 8, 1),
}


def build(net, structure, max_samples, rule="backprop"):
    model = NETS[net][0]()
    if structure == "default":
        model = keras_decorr.decorrelate(model)
    elif structure is not None:
        chosen = {"rows": "pixels"} if structure == "pixels" else {"structure": structure}
        rule_of_m = NormPreserving(1e-5, max_samples=max_samples, **chosen)
        model = keras_decorr.decorrelate(model, rule_of_m, head=rule != "backprop")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    arguments = {} if rule == "backprop" else {"learning_rule": rule}
    model.compile(keras.optimizers.Adam(1e-4), loss, **arguments)
    return model


def one_step(model, x, y):
    """A function that runs `steps` training steps, as `fit` does, without its input pipeline."""
    model.train_on_batch(x[:2], y[:2])
    model.make_train_function()
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        # Of an unknown batch size, as in `fit` with a last short batch. Not from a generator: with one
        # TensorFlow returns every temporary to the system, which takes half as long again as a step.
        data = tf.data.Dataset.from_tensor_slices((x, y)).batch(len(x)).cache().repeat()
        iterator = iter(data)
        return lambda: float(model.train_function(iterator)["loss"])
    if backend == "jax":
        batch = (ops.convert_to_tensor(x), ops.convert_to_tensor(y))
        state = model._get_jax_state(
            trainable_variables=True,
            non_trainable_variables=True,
            optimizer_variables=True,
            metrics_variables=True,
            purge_model_variables=True,
        )
        box = [state]

        def run():
            logs, box[0] = model.train_function(box[0], iter([batch]))
            return float(logs["loss"])

        return run
    return lambda: model.train_on_batch(x, y)


def multiply_adds(model, batch):
    """Multiply-adds of a training step of a decorrelated model's linear maps, counted.

    Returns:
        `(plain, applied, update)`: those of the plain maps, and what M and its update add.
    """
    plain = applied = update = 0
    for layer in (place.layer for place in walk(model)):
        if hasattr(layer, "decorrelation"):
            decorrelation = layer.decorrelation
            counted = cost(decorrelation.operator, decorrelation.work, layer.decorrelator, batch)
            # The first layer needs no gradient of its inputs, and none through an M applied to them.
            first = plain == 0 and model.inputs[0].dtype == "float32"
            plain += counted.plain_step - first * counted.plain_inference
            halved = first and not decorrelation.work.is_folded(batch)
            applied += counted.apply // 2 if halved else counted.apply
            update += counted.sample + counted.update
        elif layer is model.layers[-1]:
            spots = math.prod(layer.output.shape[1:-1])
            plain += 3 * batch * spots * math.prod(layer.kernel.shape)
    return plain, applied, update


def interleaved(built, net, batch, rounds):
    """Median milliseconds of a step of each model, and of its ratio to the first one's."""
    x, y = NETS[net][1](np.random.default_rng(0), batch)
    steps = {name: one_step(model, x, y) for name, model in built.items()}
    for step in steps.values():
        for _ in range(STEPS):
            step()
    times = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(STEPS):
                step()
            times[name].append((time.perf_counter() - start) / STEPS)
    first = np.array(next(iter(times.values())))
    return {
        name: (np.median(taken) * 1e3, np.median(np.array(taken) / first))
        for name, taken in times.items()
    }


def step_ratios(net, batch, rounds, max_samples, structures=STRUCTURES):
    built = {s or "plain": build(net, s, max_samples) for s in (None, *structures)}
    counts = {name: multiply_adds(model, batch) for name, model in built.items() if name != "plain"}
    for name, (ms, ratio) in interleaved(built, net, batch, rounds).items():
        plain, applied, update = counts.get(name, (1, 0, 0))
        yield name, ms, ratio, 1 + applied / plain, 1 + (applied + update) / plain


def rule_ratios(net, batch, rounds, max_samples):
    """A step of every learning rule over one of backpropagation, of the same decorrelated net."""
    built = {rule: build(net, "monarch", max_samples, rule) for rule in rules.RULES}
    for name, (ms, ratio) in interleaved(built, net, batch, rounds).items():
        yield name, ms, ratio


def update_times(sizes, rounds):
    """Median milliseconds of one update of a full M from 26 samples, and its temporaries / n^2."""
    for n in sizes:
        keras.utils.clear_session()
        layer = Decorrelation(NormPreserving(1e-5, structure="full", update_every=1))
        layer.build((None, n))
        X = np.random.default_rng(0).normal(size=(26, n)).astype("float32")
        run, temporaries = compiled_update(layer, ops.convert_to_tensor(X))
        run()
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        yield n, np.median(times) * 1e3, temporaries and temporaries / (4 * n * n)


def compiled_update(layer, X):
    """`(run, temporaries)`: the update as a function, and the bytes it allocates, if known (JAX)."""
    mean = ops.mean(X, axis=0)
    samples = [Sample(X, float(len(X)), Means(mean, mean))]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        function = tf.function(lambda: layer.update(samples)["decorrelation_loss"])
        return lambda: float(function()), None
    if keras.backend.backend() == "jax":
        import jax

        variables = layer.non_trainable_variables

        def update(values):
            scope = keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True)))
            with scope:
                loss = layer.update(samples)["decorrelation_loss"]
            return loss, [scope.get_current_value(v) for v in variables]

        box = [[v.value + 0 for v in variables]]
        function = jax.jit(update, donate_argnums=0).lower(box[0]).compile()

        def run():
            loss, box[0] = function(box[0])
            return float(loss)

        return run, function.memory_analysis().temp_size_in_bytes
    return lambda: float(layer.update(samples)["decorrelation_loss"]), None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="*", default=[*NETS], choices=NETS)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--max-samples", type=int, default=NormPreserving().max_samples)
    parser.add_argument("--sizes", nargs="*", type=int, default=[512, 1024, 2048, 4096, 8192])
    parser.add_argument("--structures", nargs="*", default=STRUCTURES, choices=STRUCTURES)
    parser.add_argument("--no-rules", dest="rules", action="store_false")
    arguments = parser.parse_args()
    console = Console()
    console.print(
        f"backend {keras.backend.backend()}, batch {arguments.batch_size}, "
        f"at most {arguments.max_samples} rows a step, {arguments.rounds} rounds of {STEPS} steps"
    )
    for net in arguments.nets:
        table = Table("M", "ms", "time / plain", "counted", "with update", title=f"{net} net")
        convolves = net in ("conv", "digits")
        structures = [s for s in arguments.structures if convolves or s != "pixels"]
        for row in step_ratios(
            net, arguments.batch_size, arguments.rounds, arguments.max_samples, structures
        ):
            table.add_row(row[0], f"{row[1]:.1f}", *(f"{v:.2f}" for v in row[2:]))
        console.print(table)
    for net in ("dense", "conv") if arguments.rules else ():
        if net not in arguments.nets:
            continue
        table = Table("rule", "ms", "time / backprop", title=f"{net} net, Monarch M")
        for row in rule_ratios(net, arguments.batch_size, arguments.rounds, arguments.max_samples):
            table.add_row(row[0], f"{row[1]:.1f}", f"{row[2]:.2f}")
        console.print(table)
    if not arguments.sizes:
        return
    title = "one update of a full M, 26 samples"
    table = Table("n", "ms", "exponent", "temporaries / n^2", title=title)
    before = None
    for n, ms, temporaries in update_times(arguments.sizes, arguments.rounds):
        exponent = "" if before is None else f"{np.log(ms / before[1]) / np.log(n / before[0]):.2f}"
        shown = "not known" if temporaries is None else f"{temporaries:.2f}"
        table.add_row(str(n), f"{ms:.2f}", exponent, shown)
        before = n, ms
    console.print(table)


if __name__ == "__main__":
    main()
