"""The recipes of CONTRIBUTING.md work: what they add is tested as they say, trains, and is saved."""

import doctest
import importlib.util
import inspect
import re
import sys
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.decorrelators import STRUCTURES, Decorrelator
from keras_decorr.layers import DecorDense
from keras_decorr.layers.twin import TWINS
from keras_decorr.naming import to_snake_case
from tests.helpers import undamped

CONTRIBUTING = Path(__file__).parents[1] / "CONTRIBUTING.md"


class Recipe(NamedTuple):
    """What a recipe adds.

    Attributes:
        code: Source by path: of files of the package and of their tests.
        package: Package with the registry, or `None` if the code itself registers the class.
        registry: Name of the dictionary there.
        name: Key of the new class in it.
        cls: Name of the new class.
    """

    code: dict[str, str]
    package: str | None = None
    registry: str | None = None
    name: str | None = None
    cls: str | None = None


def read_code(title):
    """Reads a section, and the code blocks in it."""
    sections = re.split(r"^##+ ", CONTRIBUTING.read_text(), flags=re.M)
    (section,) = [s for s in sections if s.startswith(f"{title}\n")]
    blocks = re.findall(r"^```python\n# (\S+)\n(.*?)^```", section, re.M | re.S)
    return section, dict(blocks)


def read_recipe(title):
    """Reads the code blocks and the line about the registry of a section."""
    section, blocks = read_code(title)
    registered = r'In `(\S+)/__init__.py`, add `(?:"(\w+)": )?(\w+)` to `(\w+)`'
    ((package, name, cls, registry),) = re.findall(registered, " ".join(section.split()))
    name = name or to_snake_case(cls)
    return Recipe(blocks, package.replace("/", "."), registry, name, cls)


@pytest.fixture
def follow(tmp_path, monkeypatch):
    """A function that follows a recipe until the end of the test; returns the recipe's tests."""
    known, twins = set(keras.saving.get_custom_objects()), set(TWINS)

    def follow(recipe):
        modules = {}
        for path, source in recipe.code.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source)
            name = path.removesuffix(".py").replace("/", ".")
            assert importlib.util.find_spec(name) is None, f"{path} is there already"
            spec = importlib.util.spec_from_file_location(name, file)
            modules[path] = importlib.util.module_from_spec(spec)
            monkeypatch.setitem(sys.modules, name, modules[path])
            spec.loader.exec_module(modules[path])
        if recipe.package:
            package = importlib.import_module(recipe.package)
            found = {vars(m)[recipe.cls] for m in modules.values() if recipe.cls in vars(m)}
            (cls,) = found
            monkeypatch.setitem(getattr(package, recipe.registry), recipe.name, cls)
        # The base class reads the registry once, when it is imported.
        monkeypatch.setattr(Decorrelator, "structures", tuple(STRUCTURES))
        for module in modules.values():
            assert not doctest.testmod(module).failed
        tests = [m for path, m in modules.items() if path.startswith("tests/")]
        return [t for m in tests for name, t in vars(m).items() if name.startswith("test_")]

    yield follow
    for name in set(keras.saving.get_custom_objects()) - known:
        del keras.saving.get_custom_objects()[name]
    for cls in set(TWINS) - twins:
        del TWINS[cls]


def run(tests, rng):
    assert tests
    for test in tests:
        test(*[rng for _ in inspect.signature(test).parameters])


def model_with(decorrelator="norm_preserving", learning_rule="backprop"):
    """A small compiled net."""
    hidden = DecorDense(5, "tanh", decorrelator=decorrelator)
    model = keras_decorr.Sequential([keras.Input((6,)), hidden, DecorDense(1)])
    model.compile(keras.optimizers.SGD(0.05), "mse", learning_rule=learning_rule)
    return model


RECIPES = {
    "A decorrelator": lambda name: model_with(decorrelator=name),
    "A structure": lambda name: model_with(undamped(structure=name)),
    "A learning rule": lambda name: model_with(learning_rule=name),
}


@pytest.mark.parametrize("title", RECIPES)
def test_recipe(title, follow, rng, tmp_path):
    recipe = read_recipe(title)
    run(follow(recipe), rng)

    model = RECIPES[title](recipe.name)
    x = rng.normal(size=(64, 6)).astype("float32")
    losses = model.fit(x, x[:, :1], batch_size=16, epochs=5, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    saved = f"{loaded.get_config()} {loaded.get_compile_config()}"
    assert recipe.cls in saved or f"'{recipe.name}'" in saved
    assert loaded.get_compile_config() == model.get_compile_config()
    np.testing.assert_array_equal(*(ops.convert_to_numpy(m(x)) for m in (loaded, model)))


def test_the_recipe_of_a_layer(follow, rng, tmp_path):
    known = set(TWINS)
    run(follow(Recipe(read_code("A decorrelating layer")[1])), rng)
    (twin,) = set(TWINS) - known

    plain = keras.Sequential([keras.Input((6,)), twin(5, "tanh"), twin(1)])
    model = keras_decorr.decorrelate(plain, head=True)
    assert [type(layer) for layer in model.layers] == [TWINS[twin]] * 2
    model.compile(keras.optimizers.SGD(0.05), "mse")
    x = rng.normal(size=(64, 6)).astype("float32")
    losses = model.fit(x, x[:, :1], batch_size=16, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [type(layer) for layer in loaded.layers] == [TWINS[twin]] * 2
    np.testing.assert_array_equal(*(ops.convert_to_numpy(m(x)) for m in (loaded, model)))
