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
# # Tuning the two rates
#
# A decorrelating net has two learning rates: that of the weights, and that of M. The best of one
# depends on the other, so they are tuned as a pair, on logarithmic scales, with 0 (no decorrelation) as
# the control. `DecorHyperModel` gives such a pair to any tuner of KerasTuner.
#
# The data are scikit-learn's handwritten digits, which need no download. With `--data-dir` (as a
# script) or `TFDS_DATA_DIR` set, the same code runs on CIFAR-10.
#
# Open it as a notebook (`pip install jupytext notebook`): the figures of `keras_decorr.plots` show only
# there.

# %%
import argparse
import os
import tempfile

import keras
import numpy as np

import keras_decorr
from keras_decorr import plots, tuning

parser = argparse.ArgumentParser()
parser.add_argument("--data-dir", default=os.environ.get("TFDS_DATA_DIR"))
data_dir = parser.parse_known_args()[0].data_dir

if data_dir:
    images, epochs, batch_size, hidden = (
        keras_decorr.datasets.load("cifar10", data_dir),
        1,
        256,
        (500,),
    )
    learning_rates, decorrelation_rates = (1e-4, 1e-3, 1e-2), (0.0, 2e-5, 2e-4, 2e-3)
else:
    images, epochs, batch_size, hidden = keras_decorr.datasets.load("digits"), 3, 64, (100, 100)
    learning_rates, decorrelation_rates = (1e-3, 1e-2, 1e-1), (0.0, 1e-3, 1e-2, 1e-1)

# %% [markdown]
# ## A part of the training images is held out
#
# A search that looks at the test images would find rates that suit the test images.

# %%
x, y = images.x_train.astype("float32") / 255.0, images.y_train
x = (x - x.mean()) / x.std()
held_out = len(x) // 5
train, validation = (x[held_out:], y[held_out:]), (x[:held_out], y[:held_out])


# %% [markdown]
# ## What is searched
#
# A function that builds a model. Its argument must be called `decorrelator`: it gets that of the trial,
# or `None` for the control. It may take `hp`, too, to search further hyperparameters, and
# `learning_rule`, the name of the trial's rule. A plain Keras model would do as well: it is converted
# for every trial.


# %%
def build(decorrelator):
    return keras_decorr.models.dense_net(
        images.input_shape, images.classes, hidden=hidden, decorrelator=decorrelator
    )


hyper_model = tuning.DecorHyperModel(
    build,
    learning_rates=learning_rates,
    decorrelation_rates=decorrelation_rates,
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
    seed=0,
)

# %% [markdown]
# ## Search
#
# `make_tuner` makes a tuner of KerasTuner that goes on where it was when the process is killed. Here it
# tries the whole grid; `"bayesian"`, `"random"` and `"hyperband"` need fewer trials of a larger one. A
# trial that diverges ends early and counts as failed.

# %%
folder = tempfile.mkdtemp()
tuner = tuning.make_tuner("grid", hyper_model, "val_accuracy", f"{folder}/search")
tuner.search(*train, validation_data=validation, epochs=epochs, batch_size=batch_size, verbose=0)

# %%
trials = list(tuner.oracle.trials.values())
settings = [hyper_model.settings(trial.hyperparameters) for trial in trials]
accuracy = np.array([np.nan if t.score is None else t.score for t in trials], "float64")
forward = np.array([s["learning_rate"] for s in settings])
decorrelation = np.array([s["decorrelation_rate"] for s in settings])
finished = np.isfinite(accuracy)
print(f"{len(trials)} trials, {np.sum(~finished)} of them failed")
rows = zip(accuracy[finished], forward[finished], decorrelation[finished], strict=True)
for row in sorted(rows, reverse=True)[:5]:
    print("accuracy {:.3f}   forward rate {:g}   decorrelation rate {:g}".format(*row))

# %% [markdown]
# ## Reading the heat map
#
# The first column is the control. Look for three things: whether the best cell lies inside the grid
# (else widen it), whether its neighbours are nearly as good (else the choice is a fluke), and how much
# better it is than the best of the control. Of the digits 287 images are held out: three of them are a
# point, so cells that are nearer than that are alike.

# %%
plots.rate_heat_map(forward, decorrelation, accuracy, label="validation accuracy")

# %%
control = accuracy[finished & (decorrelation == 0)]
control = f"{control.max():.3f}" if control.size else "none: all failed"
print(f"best {accuracy[finished].max():.3f}, best without decorrelation {control}")

# %% [markdown]
# ## Train with the pair that was found
#
# `tuner.get_best_hyperparameters()[0]` gives the best pair, or any of several that tie. Where pairs
# tie, take one away from the edge of the grid, or widen the grid. Here the middle one of them is taken.

# %%
tied = np.flatnonzero(accuracy == accuracy[finished].max())
tied = tied[np.lexsort((forward[tied], decorrelation[tied]))]
best = trials[tied[len(tied) // 2]].hyperparameters
print(f"{len(tied)} pairs tie; taken: {hyper_model.settings(best)}")
keras.utils.set_random_seed(1)
model = hyper_model.build(best)
history = model.fit(
    images.train(batch_size),
    validation_data=images.test(),
    epochs=2 * epochs,
    verbose=0,
    shuffle=False,  # the data set does
)
print("test accuracy", np.round(history.history["val_accuracy"], 3))

# %% [markdown]
# From the command line, with a live table, a resume after a kill, and workers on several machines:
#
#     keras-decorr tune --dataset cifar10 --net dense --tuner bayesian --trials 20
