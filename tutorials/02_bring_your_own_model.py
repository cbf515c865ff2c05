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
# # Bring your own model
#
# You have a Keras model. One call makes its linear maps decorrelate their inputs, one call turns the
# trained result back into plain Keras layers. In between you train as always.
#
# The data are scikit-learn's handwritten digits, which need no download. With `--data-dir` (as a
# script) or `TFDS_DATA_DIR` set, the same code runs on CIFAR-10.

# %%
import argparse
import os

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_decorr

parser = argparse.ArgumentParser()
parser.add_argument("--data-dir", default=os.environ.get("TFDS_DATA_DIR"))
data_dir = parser.parse_known_args()[0].data_dir

keras.utils.set_random_seed(0)
if data_dir:
    images, epochs, batch_size = keras_decorr.datasets.load("cifar10", data_dir), 3, 256
else:
    images, epochs, batch_size = keras_decorr.datasets.load("digits"), 8, 64
print(len(images.x_train), "training images of shape", images.input_shape)


# %% [markdown]
# ## A model of your own
#
# Branches, a skip connection, a normalisation, a nested model: whatever Keras can express.


# %%
def my_model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input(images.input_shape)
    x = keras.layers.Conv2D(32, 3, padding="same", activation="relu", name="first")(inputs)
    y = keras.layers.Conv2D(32, 3, padding="same", activation="relu", name="second")(x)
    x = keras.layers.Add()([x, y])
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Conv2D(64, 3, padding="same", activation="relu", name="third")(x)
    x = keras.layers.Flatten()(keras.layers.MaxPooling2D()(x))
    head = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            keras.layers.Dense(128, activation="relu", name="hidden"),
            keras.layers.Dense(images.classes, name="logits"),
        ],
        name="head",
    )
    return keras.Model(inputs, head(x), name="mine")


def compiled(model):
    model.compile(
        keras.optimizers.Adam(3e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


plain = my_model()

# %% [markdown]
# ## Convert it
#
# `decorrelate` returns a new model with the same weights; the one you had is not touched. The report
# says what became of every layer with weights. The layer of the logits stays plain (`docs/guide.md`
# says why).

# %%
model = keras_decorr.decorrelate(my_model())
print(model.conversion_report)

# %% [markdown]
# Until it has trained, M is the identity and the running mean is zero: in inference the model computes
# what it did. In training it does not: the mean of the batch is subtracted from the first step on.

# %%
x, labels = next(iter(images.test()))
difference = np.abs(model.predict(x, verbose=0) - plain.predict(x, verbose=0)).max()
print("largest difference of the logits in inference:", difference)

# %% [markdown]
# Layers are chosen by name, pattern or type.

# %%
part = keras_decorr.decorrelate(my_model(), exclude=["first", "head/logits"])
print(part.conversion_report)

# %% [markdown]
# Those with more than `max_features` features get another structure of M (`above`), such as Monarch
# where the others have a full one, or stay plain with `above=None`.

# %%
small = keras_decorr.decorrelate(my_model(), max_features=256, above=None)
print(small.conversion_report)

# %% [markdown]
# ## What does it cost?

# %%
keras_decorr.summary(model, batch_size=batch_size)

# %% [markdown]
# ## Train both
#
# `fit` as always. The decorrelating model adds `decorrelation_loss` to the logs: the mean squared
# correlation that is left between the inputs of a layer. It grows with the fourth power of the
# activations, so it can rise while they become less correlated. `DecorrelationMonitor` logs the
# whiteness of the inputs of every layer, before M and after it: 0 for white ones, whatever their scale.

# %%
monitor = keras_decorr.callbacks.DecorrelationMonitor(
    x, figures=("whiteness_before", "whiteness_after"), max_rows=2048
)
histories = {}
for name, each, callbacks in (("plain", plain, []), ("decorrelated", model, [monitor])):
    histories[name] = (
        compiled(each)
        .fit(
            images.train(batch_size),
            validation_data=images.test(),
            epochs=epochs,
            callbacks=callbacks,
            verbose=0,
            shuffle=False,  # the data set does
        )
        .history
    )
    print(f"{name:13}", np.round(histories[name]["val_accuracy"], 3))

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
for (name, history), style in zip(histories.items(), ("--k", "-ok"), strict=True):
    left.plot(range(1, epochs + 1), history["val_accuracy"], style, markersize=4, label=name)
left.set(xlabel="epoch", ylabel="test accuracy")
left.legend()
for when, style in (("before", "--k"), ("after", "-ok")):
    layers = [v for k, v in histories["decorrelated"].items() if k.startswith(f"whiteness_{when}/")]
    right.plot(range(1, epochs + 1), np.mean(layers, 0), style, markersize=4, label=f"{when} M")
right.set(xlabel="epoch", ylabel="whiteness (0: white), mean of layers")
right.legend()
plt.show()

# %% [markdown]
# ## Fold it back
#
# Mean, M and kernel merge into plain Keras layers: the architecture that you started from, at its
# speed.

# %%
folded = keras_decorr.fold(model)
print(type(folded).__name__, [type(layer).__name__ for layer in folded.layers])
difference = np.abs(folded.predict(x, verbose=0) - model.predict(x, verbose=0)).max()
print("largest difference of the logits:", difference)

# %% [markdown]
# ## Save it, and load it where keras_decorr is not installed
#
# A process that cannot import `keras_decorr` loads the folded model and gets the same accuracy.

# %%
import subprocess
import sys
import tempfile

code = """
import sys
sys.modules["keras_decorr"] = None  # importing it fails
import keras, numpy as np
folder = sys.argv[1]
model = keras.saving.load_model(folder + "/folded.keras")
data = np.load(folder + "/test.npz")
print("accuracy:", (model.predict(data["x"], verbose=0).argmax(1) == data["y"]).mean())
"""
with tempfile.TemporaryDirectory() as folder:
    folded.save(f"{folder}/folded.keras")
    np.savez(f"{folder}/test.npz", x=x, y=labels)
    command = [sys.executable, "-c", code, folder]
    print(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
print("here:    ", (model.predict(x, verbose=0).argmax(1) == np.asarray(labels)).mean())

# %% [markdown]
# The decorrelating model saves, too, and goes on training where it was. A new process must
# `import keras_decorr` before it loads the model: that the package is installed is not enough.

# %%
with tempfile.TemporaryDirectory() as folder:
    model.save(f"{folder}/model.keras")
    again = keras.saving.load_model(f"{folder}/model.keras")
print("loaded:", again.evaluate(images.test(), verbose=0, return_dict=True))

# %% [markdown]
# `folded.export(...)` gives a SavedModel or LiteRT file, as for any Keras model.
