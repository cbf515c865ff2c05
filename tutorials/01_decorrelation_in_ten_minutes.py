# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---


# %% [markdown]
# # Decorrelation in ten minutes
#
# Neighbouring pixels say nearly the same thing. So do the units of every hidden layer. Gradient descent
# then moves along the few directions in which all inputs agree, and crawls along the others. This
# package removes those correlations, at every layer, while the network trains (N. Ahmad, arXiv
# 2407.10780).
#
# The data are scikit-learn's handwritten digits, which need no download. With `--data-dir` (as a
# script) or `TFDS_DATA_DIR` set, the same code runs on CIFAR-10.
#
# Open it as a notebook (`pip install jupytext notebook`): the figures of `keras_decorr.plots` show only
# there.

# %%
import argparse
import os

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_decorr
from keras_decorr import plots
from keras_decorr.decorrelators import DecorrelatedBackprop, NormPreserving
from keras_decorr.metrics import decorrelation_state

parser = argparse.ArgumentParser()
parser.add_argument("--data-dir", default=os.environ.get("TFDS_DATA_DIR"))
data_dir = parser.parse_known_args()[0].data_dir

# `rate` is that of a full M, `monarch_rate` that of a Monarch M.
if data_dir:
    images, epochs, batch_size = keras_decorr.datasets.load("cifar10", data_dir), 4, 256
    hidden, rate, monarch_rate, rates = (500, 500, 500), 1e-4, 2e-4, (1e-5, 1e-4, 1e-3)
else:
    images, epochs, batch_size = keras_decorr.datasets.load("digits"), 8, 64
    hidden, rate, monarch_rate, rates = (100, 100, 100), 2e-3, 2e-3, (1e-4, 2e-3, 2e-2)
x, y = next(iter(images.train(1000)))

# %% [markdown]
# ## Correlations in real images
#
# The correlation of every pixel with every other, over a thousand images. Black is a correlation of 1
# or -1. The dark stripes beside the diagonal are the rows of the image: a pixel resembles those above
# and below it. Pixels that never change have none.

# %%
pixels = np.reshape(x, (len(x), -1))[:, :256]
deviation = pixels.std(0)
varies = deviation > 1e-4  # some pixels are the same in all images: they have no correlation
pixels = (pixels - pixels.mean(0)) * varies
scaled = pixels / np.where(varies, deviation, 1)
correlation = scaled.T @ scaled / len(scaled)
share = np.cumsum(np.linalg.eigvalsh(correlation)[::-1]) / np.trace(correlation)
print(
    f"{np.searchsorted(share, 0.9) + 1} directions hold 90 % of the variance of {varies.sum()} pixels, "
    "each scaled to a variance of 1"
)

figure, axis = plt.subplots(figsize=(4.4, 3.6), layout="constrained")
picture = axis.imshow(np.abs(correlation), cmap="Greys", vmin=0, vmax=1)
figure.colorbar(picture, label="correlation, magnitude")
axis.set(xlabel="pixel", ylabel="pixel")
plt.show()

# %% [markdown]
# ## A net with and without
#
# The layers are those of Keras with one argument more. `decorrelator=None` is the plain net.


# %%
def net(decorrelator):
    keras.utils.set_random_seed(0)
    layers = keras_decorr.layers
    model = keras_decorr.Sequential(
        [
            keras.Input(images.input_shape),
            keras.layers.Flatten(),
            *(
                layers.DecorDense(units, activation="leaky_relu", decorrelator=decorrelator)
                for units in hidden
            ),
            layers.DecorDense(images.classes, decorrelator=decorrelator),
        ]
    )
    model.compile(
        keras.optimizers.Adam(3e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def train(model, callbacks=()):
    return model.fit(
        images.train(batch_size),
        validation_data=images.test(),
        epochs=epochs,
        verbose=0,
        shuffle=False,  # the data set does
        callbacks=list(callbacks),
    ).history


def paper_rule(rate, structure="full"):
    """The rule as the paper has it: without damping, and M is updated at every step."""
    return NormPreserving(rate, structure=structure, damping=0.0, update_every=1)


full = paper_rule(rate)
models = {"plain": net(None), "decorrelated": net(full)}
histories = {name: train(model) for name, model in models.items()}
for name, history in histories.items():
    for figures in ("loss", "val_accuracy"):
        print(f"{name:13} {figures:13}", np.round(history[figures], 3))

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
shown = (("loss", "training loss"), ("val_accuracy", "test accuracy"))
for axis, (figures, label) in zip(axes, shown, strict=True):
    for (name, history), style in zip(histories.items(), ("--k", "-ok"), strict=True):
        axis.plot(range(1, epochs + 1), history[figures], style, markersize=4, label=name)
    axis.set(xlabel="epoch", ylabel=label)
axes[0].legend()
plt.show()

# %% [markdown]
# The digits do not show what M buys. A point of accuracy is 3.6 of their 360 test images, and another
# seed moves it by two or three: one run cannot say which net is better. Nor does the training loss fall
# faster with M, at the same rate of Adam. On CIFAR-10 it does (`docs/ablations.md`), and the accuracy
# is higher (`docs/results.md`). What can be seen here is what M does to the correlations, and what a
# wrong rate does.

# %% [markdown]
# ## What happened inside
#
# Before M, and after it, on the same batch: the state of every layer, and the correlation matrix of the
# inputs of the first one.

# %%
for state in decorrelation_state(models["decorrelated"], x):
    print(
        f"{state.name:14} correlation {state.energy_before:.2e} -> {state.energy_after:.2e}   "
        f"condition of M {state.condition:.1f}   gain {state.gain:.2f}"
    )

# %%
first = models["decorrelated"].decorrelation_layers[0]
M = keras.ops.convert_to_numpy(first.matrices[0])
decorrelated = keras.ops.convert_to_numpy(first(np.reshape(x, (len(x), -1))))[:, :256]
before, after = (np.cov(rows, rowvar=False) for rows in (pixels, decorrelated))
plots.correlation_matrices({"first layer": (before, after)})

# %%
spectra = [np.linalg.eigvalsh(covariance) for covariance in (before, after)]
plots.correlation_spectra({"first layer": spectra})

# %% [markdown]
# ## What M looks like
#
# A row of M is a filter: a pixel, less what its neighbours would have told. That is what the retina
# does, too.

# %%
plots.decorrelation_matrices({"first layer": M[:256, :256]})

# %%
side, channels = images.input_shape[0], images.input_shape[2]
figure, axes = plt.subplots(1, 4, figsize=(9, 2.4), layout="constrained")
for axis, place in zip(axes, (0.3, 0.45, 0.55, 0.7), strict=True):
    row = int(place * side) * side + int(place * side)
    filter_ = M[row * channels].reshape(images.input_shape)[..., 0]
    size = np.abs(filter_).max()
    axis.imshow(filter_, cmap="gray", vmin=-size, vmax=size)
    axis.set(xticks=[], yticks=[], title=f"M, row {row * channels}")
plt.show()

# %% [markdown]
# ## Choosing the rate
#
# There are two learning rates now. Too low a rate of M leaves the correlations as they are. With the
# paper's rule, which the nets here have, too high a one makes the inputs white: directions that hold
# noise alone are amplified, the net slows down or fits the noise. The default of the package, an update
# in every fourth step with a `damping` of 1, comes to rest before that, at whatever rate.

# %%
found = {}
for each in rates:
    model = net(paper_rule(each))
    history = train(model)
    found[each] = [max(history["val_accuracy"])]
    state = decorrelation_state(model, x)[0]
    print(
        f"{each:8.0e} "
        f"correlation left in the first layer {state.energy_after / state.energy_before:4.0%}   "
        f"training loss {history['loss'][-1]:.3f}   test accuracy {found[each][0]:.3f}"
    )
plots.rate_sensitivity({"full M": found}, baseline=[max(histories["plain"]["val_accuracy"])])

# %% [markdown]
# On the digits 1e-4 takes little of the correlation out, 2e-3 most and 2e-2 nearly all; but at 2e-2 the
# training loss falls far more slowly. The accuracies at 1e-4 and 2e-3 are too near for one seed to tell
# them apart. Some of what the layers do does not come from M: with M held at the identity they still
# subtract the mean, and over four seeds of the digits that alone did about as well.

# %% [markdown]
# ## What failure looks like
#
# `NormPreserving` lowers a rate that would overshoot. Other rules do not: with a rate a thousand times
# too high M overshoots, and the loss and the weights with it. `DecorrelationGuard` sees it, takes
# weights, optimizer and M back to the last good ones and lowers the rate, and the net goes on learning.

# %%
too_high = DecorrelatedBackprop(kappa=0.5, learning_rate=1000 * rate, structure="full")
unguarded = train(net(too_high))
print("without the guard", np.round(unguarded["val_accuracy"], 3))
guard = keras_decorr.callbacks.DecorrelationGuard(every=5, factor=1e-3)
history = train(net(too_high), [guard])
print("with it", np.round(history["val_accuracy"], 3))
assert guard.events, "the guard saw nothing"

# %% [markdown]
# ## Cheaper matrices
#
# A full M costs `n^2` for every sample. `structure="monarch"` has two stages of `g` groups and costs
# about `2/g` of that, `g` at most 32 and at most the square root of `n`: a fourth for the 64 pixels of
# the digits (8 groups), an eighth for 1000 features (16), a sixteenth for the 3072 values of an image
# of CIFAR-10 (32). There the dense net learned with it as well as with a full M (`docs/results.md`).
# The default, `"auto"`, chooses for each layer by counted cost. `keras_decorr.summary` counts what M
# adds.

# %%
model = net(paper_rule(monarch_rate, "monarch"))
histories["monarch"] = train(model)
for name, label in (("plain", "plain"), ("decorrelated", "full"), ("monarch", "monarch")):
    print(f"{label:8}", np.round(histories[name]["val_accuracy"], 3))
keras_decorr.summary(model, batch_size=batch_size)

# %% [markdown]
# One seed of the digits cannot tell the two structures apart by accuracy, and 64 pixels are few enough
# for a full M, too. Monarch is what `"auto"` takes for every layer of this net.
