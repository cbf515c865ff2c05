"""The search over the forward rate and the decorrelation rate. It needs the extra `tuner`.

KerasTuner is imported with the first of these names that is used, not before.
"""

import importlib
from typing import Any

from keras_decorr.extras import check_installed

_MODULES = {
    "DecorHyperModel": "hyper_model",
    "StopDivergence": "divergence",
    "log_values": "rates",
    "make_tuner": "tuners",
}
# On TensorFlow every trial fails without TensorBoard; Bayesian optimization takes scikit-learn.
PACKAGES = ("keras_tuner", "tensorboard", "sklearn")
__all__ = ["DecorHyperModel", "StopDivergence", "log_values", "make_tuner"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    check_installed("keras_decorr.tuning", tuner=PACKAGES)
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
