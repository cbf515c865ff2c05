"""Tests the paper's claims on decorrelation with the runs of a grid.

N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780: with decorrelated inputs
a net learns in fewer epochs and to a better accuracy, by backpropagation and by rules that hardly
learn without, to the point where feedback alignment does as well as backpropagation does. Whether it
takes less time, too, is what this package adds.

Nets with the same seed start with the same weights and see the same batches. So every claim is about
the differences between two nets with the same seed, tested one-sidedly by the paired t-test.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from keras_decorr.cli.compare.config import Net
from keras_decorr.cli.compare.report import column, epoch_seconds

LEVEL = 0.05


class Claim(NamedTuple):
    """Holds a claim about a net, and its test by the runs.

    Attributes:
        text: What is claimed.
        net: The net with decorrelation.
        over: The net that it is compared with.
        mean: Mean over the seeds of how much better it is; negative if it is worse.
        unit: That of the mean.
        seeds: Number of seeds that both nets were trained with.
        p: Probability of such a mean or a higher one if there were no difference; `None` with one seed.
    """

    text: str
    net: Net
    over: Net
    mean: float
    unit: str
    seeds: int
    p: float | None

    @property
    def verdict(self) -> str:
        """The result of the test in words."""
        if self.mean <= 0:
            return "does not hold"
        if self.p is None:
            return "holds for one seed, not tested"
        return "holds" if self.p < LEVEL else "not significant"


def check_claims(results: Any) -> Any:
    """Tests the claims with the runs of a panel.

    Args:
        results: `{net: {seed: rows}}`, as for `report.summarise`; nets and seeds may be missing.

    Returns:
        A list of `Claim`: for every net with decorrelation those that can be checked.
    """
    claims = []
    for net in results:
        plain = Net(net.rule, "plain")
        if net.variant in ("plain", "batch_normalization"):
            continue
        claims += _compared("better accuracy", "points", _accuracy, results, net, plain)
        claims += _compared("fewer epochs", "epochs", _epochs, results, net, plain)
        claims += _compared("less time", "s", _seconds, results, net, plain)
        if net.rule != "backprop":
            backprop = Net("backprop", "plain")
            text = "better than plain backprop"
            claims += _compared(text, "points", _accuracy, results, net, backprop)
    return claims


def p_value(differences: Any) -> Any:
    """Returns the probability of a mean this high, or higher, if the true mean were 0.

    Where all differences are the same their variance says nothing, and the test is that of signs: n of
    them are all positive with a probability of 2^-n.

    Args:
        differences: One number for every seed.

    Returns:
        A probability, or `None` for less than two differences.
    """
    from scipy.stats import ttest_1samp

    differences = np.asarray(differences, "float64")
    if len(differences) < 2:
        return None
    if np.ptp(differences) <= 1e-9 * np.abs(differences).max():
        return 0.5 ** len(differences) if differences[0] > 0 else 1.0
    return float(ttest_1samp(differences, 0.0, alternative="greater").pvalue)


def _compared(text: str, unit: str, measure: Callable, results: Any, net: Any, other: Any) -> list:
    shared = sorted(results[net].keys() & results.get(other, {}).keys())
    if not shared:
        return []
    differences = [measure(results[net][seed], results[other][seed]) for seed in shared]
    mean = float(np.mean(differences))
    return [Claim(text, net, other, mean, unit, len(shared), p_value(differences))]


def _accuracy(rows: list[dict], plain: Any) -> Any:
    """Returns the points of a hundred between the best test accuracies."""
    return 100 * (_accuracies(rows).max() - _accuracies(plain).max())


def _epochs(rows: list[dict], plain: Any) -> Any:
    """Returns the epochs saved until the best test accuracy of the other net."""
    return _epochs_to_best(plain, plain) - _epochs_to_best(rows, plain)


def _seconds(rows: list[dict], plain: Any) -> Any:
    """Returns the seconds saved until the best test accuracy of the other net."""
    times = [_epochs_to_best(r, plain) * epoch_seconds(r) for r in (plain, rows)]
    return times[0] - times[1]


def _epochs_to_best(rows: list[dict], plain: Any) -> Any:
    """Returns the epochs until the best of the plain net; one more than there are if never."""
    reached = np.flatnonzero(_accuracies(rows) >= _accuracies(plain).max())
    return reached[0] + 1 if len(reached) else len(rows) + 1


def _accuracies(rows: list[dict]) -> Any:
    return column(rows, "test_accuracy")
