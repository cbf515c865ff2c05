"""The search over the forward rate and the decorrelation rate. It needs the extra `tuner`.

KerasTuner is imported with the first of these names that is used, not before.
"""

import importlib
import importlib.util

_MODULES = {
    "DecorHyperModel": "hyper_model",
    "StopDivergence": "divergence",
    "log_values": "rates",
    "make_tuner": "tuners",
}
__all__ = ["DecorHyperModel", "StopDivergence", "log_values", "make_tuner"]


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    check_installed()
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__():
    return sorted([*globals(), *__all__])


def check_installed(*, plots=False):
    """Raise an ImportError that names the extra, if a package that a search needs is missing.

    Args:
        plots: Whether it is to draw the heat map.
    """
    # On TensorFlow every trial fails without TensorBoard; Bayesian optimization takes scikit-learn.
    packages = {
        "keras_tuner": "keras-tuner",
        "tensorboard": "tensorboard",
        "sklearn": "scikit-learn",
    }
    if plots:
        packages["matplotlib"] = "matplotlib"
    extras = "tuner,plots" if plots else "tuner"
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"keras_decorr.tuning needs the extra: pip install 'keras-decorr[{extras}]'. Missing: "
            + ", ".join(packages[name] for name in missing)
        )
