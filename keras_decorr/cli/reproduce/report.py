"""The report of a grid: tables, figures, and whether the claims of the paper hold."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_decorr import plots
from keras_decorr.cli.compare.figure import label, styles, words
from keras_decorr.cli.compare.report import column, spread, summarise
from keras_decorr.cli.reproduce.claims import LEVEL, check_claims
from keras_decorr.cli.reproduce.grid import curves
from keras_decorr.cli.reproduce.grid_folder import collect
from keras_decorr.files import atomic_write, write_csv, write_text


class Report(NamedTuple):
    """Holds the results of a grid.

    Attributes:
        rows: A dictionary for every curve of every panel: what it is, and its figures.
        claims: `(config of the panel, Claim)`, for every claim that could be checked.
        failed: `{folder of a run: its error}`.
        out: Folder with all of it.
    """

    rows: list
    claims: list
    failed: dict
    out: object


def write_report(out: Path, grid: Any) -> Any:
    """Writes `table.csv`, `table.md`, `claims.csv`, `epochs.png` and `seconds.png`.

    Needs the extras `plots` and `data`.

    Returns:
        The `Report`.
    """
    results, failed = collect(out, grid)
    rows = [row for config, nets in results.items() for row in _rows(config, nets)]
    claims = [(config, claim) for config, nets in results.items() for claim in check_claims(nets)]
    report = Report(rows, claims, failed, out)
    claim_rows = [_claim_row(*claim) for claim in claims]
    for name, table_rows in (("table.csv", rows), ("claims.csv", claim_rows)):
        write_csv(out / name, table_rows, list(table_rows[0]) if table_rows else [])
    write_text(
        out / "table.md", markdown(grid, report, json.loads((out / "grid.json").read_text()))
    )
    _draw(out, grid, results)
    return report


def _rows(config: Any, nets: dict) -> Iterator[Any]:
    rates = {curve: rates for curve, _net, rates in curves(config)}
    summary: dict = {}
    for rule in config.rule:  # each by itself, so that its own plain net is what it is measured by
        summary |= summarise({net: seeds for net, seeds in nets.items() if net.rule == rule})
    for net in rates:
        if net not in summary:
            continue
        figures = summary[net]
        yield {
            "dataset": config.dataset,
            "net": config.net,
            "rule": net.rule,
            "inputs": net.variant,
            "learning_rate": rates[net].learning,
            "decorrelation_rate": rates[net].decorrelation,
            "seeds": figures["seeds"],
            **_spread("best_accuracy", figures["best_accuracy"]),
            **_spread("best_top_5_accuracy", _best_top_5(nets[net])),
            **_spread("gain_points", figures["gain_over_plain"]),
            **_spread("epochs_to_plain_best", figures["epochs_to_plain"]),
            **_spread("seconds_to_plain_best", figures["seconds_to_plain"]),
            "seeds_that_reached_it": figures["seeds_that_reached_plain"],
            **_spread("seconds_per_epoch", figures["seconds_per_epoch"]),
        }


def _spread(name: str, value: Any) -> dict:
    mean, deviation = value or (None, None)
    return {name: mean, f"{name}_deviation": deviation}


def _best_top_5(seeds: Any) -> Any:
    name = "test_top_5_accuracy"
    if any(name not in rows[0] for rows in seeds.values()):
        return None
    return spread([column(rows, name).max() for rows in seeds.values()])


def _claim_row(config: Any, claim: Any) -> dict:
    return {
        "dataset": config.dataset,
        "net": config.net,
        "rule": claim.net.rule,
        "inputs": claim.net.variant,
        "claim": claim.text,
        "better_by": claim.mean,
        "unit": claim.unit,
        "seeds": claim.seeds,
        "p": claim.p,
        "verdict": claim.verdict,
    }


def markdown(grid: Any, report: Any, description: Any) -> str:
    """Returns the tables as Markdown."""
    of = description["versions"]
    backend = description["backend"]
    config = grid.panels[0]
    parts = [
        f"# {grid.title}",
        f"`keras-decorr reproduce --grid {grid.name} --scale {grid.scale} --seeds {config.seeds}`: "
        f"{config.epochs} epochs with batches of {config.batch_size}, {config.optimizer} "
        f"with a {config.schedule} rate, "
        f"{config.train_size or 'all'} training images. M: {', '.join(config.decorrelator)}, the norm "
        f"of {config.preserve} inputs, a gain rate of {config.gain_rate:g}. keras-decorr "
        f"{of['keras-decorr']}, Keras {of['keras']}, {backend} {of.get(backend)}.",
        table(_TABLE, map(_cells, report.rows)),
        "Mean ± standard deviation over the seeds. Gain: in points, over the plain net with the same "
        "rule and seed. Epochs and seconds: to the best accuracy of that plain net, in brackets how "
        "many seeds got there.",
        "## Claims",
        table(_CLAIMS, (_claim_cells(*claim) for claim in report.claims)),
        "Better: mean over the seeds, than the same rule without decorrelation unless another is "
        "named; fewer epochs and less time: to the best accuracy of that. "
        f"p: paired one-sided t-test over the seeds; a claim holds below {LEVEL:g}. Every claim "
        f"is tested by itself: of {len(report.claims)}, {LEVEL * len(report.claims):.1f} would hold by "
        "chance.",
    ]
    if report.failed:
        parts += [
            "## Runs that failed",
            "\n".join(f"- `{folder}`: {error}" for folder, error in report.failed.items()),
        ]
    return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Iterable) -> str:
    """Returns a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


_TABLE = (
    "data set", "net", "rule", "inputs", "rate", "rate of M", "seeds", "best accuracy", "top 5", "gain",
    "epochs", "seconds", "s / epoch",
)  # fmt: skip
_CLAIMS = ("data set", "net", "rule", "inputs", "claim", "better by", "seeds", "p", "verdict")


def _cells(row: Any) -> list:
    def shown(name: str, digits: int) -> str:
        if row[name] is None:
            return ""
        text = f"{row[name]:.{digits}f}"
        return f"{text} ± {row[f'{name}_deviation']:.{digits}f}" if row["seeds"] > 1 else text

    plain = row["inputs"] == "plain"
    reached = f" ({row['seeds_that_reached_it']} of {row['seeds']})"
    return [
        row["dataset"],
        row["net"],
        words(row["rule"]),
        words(row["inputs"]),
        f"{row['learning_rate']:g}",
        "" if row["decorrelation_rate"] is None else f"{row['decorrelation_rate']:g}",
        str(row["seeds"]),
        shown("best_accuracy", 3),
        shown("best_top_5_accuracy", 3),
        "" if plain else shown("gain_points", 1),
        shown("epochs_to_plain_best", 1) + ("" if plain else reached),
        shown("seconds_to_plain_best", 1),
        shown("seconds_per_epoch", 1),
    ]


def _claim_cells(config: Any, claim: Any) -> list:
    return [
        config.dataset,
        config.net,
        words(claim.net.rule),
        words(claim.net.variant),
        words(claim.text),
        f"{claim.mean:+.1f} {claim.unit}",
        str(claim.seeds),
        "" if claim.p is None else f"{claim.p:.2g}",
        claim.verdict,
    ]


def _draw(out: Path, grid: Any, results: Any) -> None:
    """Draws the figures: a row of panels for every net, a column for every data set."""
    everything = list(dict.fromkeys(net for nets in results.values() for net in nets))
    rules = list(dict.fromkeys(net.rule for net in everything))
    if not everything:
        return
    names = {net: label(net, rules) for net in everything}
    look = {names[net]: style for net, style in styles(_sorted(everything)).items()}
    drawn = {
        (words(config.net), words(config.dataset)): {
            names[net]: (
                summarise({net: nets[net]})[net]["seconds_per_epoch"][0],
                [column(rows, "test_accuracy") for rows in nets[net].values()],
            )
            for net in nets
        }
        for config, nets in results.items()
    }
    for name, seconds in (("epochs", False), ("seconds", True)):
        with atomic_write(out / f"{name}.png") as partial:
            plots.panels(drawn, partial, grid.title, look, seconds=seconds)


def _sorted(nets: Iterable) -> list:
    """Returns the nets with the plain ones first, whichever run was finished first."""
    order = list(dict.fromkeys(net.rule for net in nets))
    return sorted(nets, key=lambda net: (order.index(net.rule), net.variant != "plain"))
