"""An inspection as tables in the terminal and as one HTML file that needs no other."""

import base64
import html
import io
from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.table import Table

from keras_decorr import plots
from keras_decorr.cli.inspect.inspection import shown

STATE = (
    ("layer", "name"),
    ("n", "features"),
    ("structure", "structure"),
    ("rate", "rate"),
    ("steps", "steps"),
    ("skipped", "skipped_updates"),
    ("rows", "rows"),
    ("energy before", "energy_before"),
    ("after", "energy_after"),
    ("whiteness before", "whiteness_before"),
    ("after", "whiteness_after"),
    ("condition of C before", "correlation_condition_before"),
    ("after", "correlation_condition_after"),
    ("rank before", "rank_before"),
    ("after", "rank_after"),
    ("condition of M", "condition"),
    ("gain", "gain"),
)

MEANING = (
    "Energy: mean squared correlation off the diagonal. Whiteness: distance of the correlation C from "
    "a multiple of the identity, 0 if white. Condition of C: on its range. Rank: effective. Gain: "
    "factor by which M would have to grow to keep the norm. Before and after M."
)
ANGLES = (
    "Degrees between a direction and the natural gradient by the input factor A, by both Kronecker "
    "factors, and by the exact Fisher block of small layers. Update: what a training step does to the "
    "effective kernel. Without M: the gradient that the same net would follow without it. Left: the "
    "angle between the first two natural gradients, which no decorrelation of inputs can take away."
)

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #ccc; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #444; vertical-align: bottom; }
img { max-width: 100%; } figure { margin: 1rem 0; } figcaption, .note { color: #444; }
"""


def state_table(found: Any) -> Any:
    """Returns a `rich` table of the correlations of every layer."""
    table = _table(f"{found.name}: correlations, before > after M")
    table.add_column("layer", overflow="fold", min_width=14)
    for name in ("n", "structure", "whiteness", "rank", "cond. M", "gain"):
        table.add_column(name, justify="right", no_wrap=True)
    table.caption = "whiteness: 0 if white; rank: effective; more figures in the report"
    for seen in found.seen:
        s = seen.state
        table.add_row(
            s.name,
            str(s.features),
            s.structure,
            *(
                " > ".join(shown(getattr(s, f"{figure}_{when}"), 2) for when in ("before", "after"))
                for figure in ("whiteness", "rank")
            ),
            shown(s.condition),
            shown(s.gain),
        )
    return table


def angle_table(found: Any) -> Any:
    """Returns a `rich` table of the natural-gradient angles of every layer."""
    table = _table(f"{found.name}: degrees to the natural gradient")
    table.add_column("layer", overflow="fold", min_width=14)
    for name in ("A", "no M", "A, G", "no M", "exact", "left"):
        table.add_column(name, justify="right", no_wrap=True)
    table.caption = (
        "by the input factor A, by both, and by the exact Fisher block; no M: the same net without M; "
        "left: what the output factor still turns"
    )
    for layer in found.angles:
        table.add_row(layer.name, *_angle_cells(layer))
    return table


_ANGLE_COLUMNS = ("A: update", "without M", "A, G: update", "without M", "exact: update", "left")


def _angle_cells(layer: Any) -> list:
    values = (
        layer.update.input_factor,
        layer.plain.input_factor,
        layer.update.both_factors,
        layer.plain.both_factors,
        layer.update.exact,
        layer.input_to_both,
    )
    return [shown(value) for value in values]


def _table(title: str) -> Any:
    return Table(title=title, box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)


# --- HTML -----------------------------------------------------------------------------------------


def page(title: str, source: str, inspections: list, sections: Any) -> str:
    """Returns the report of several inspections as one HTML page, figures included.

    Args:
        title: What was inspected.
        source: What it was inspected with.
        inspections: A list of `Inspection`.
        sections: What `section` made of each.

    Returns:
        The page as a string.
    """
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1>",
        f"<p>Looked at with {html.escape(source)}.</p>",
        *_of_all(inspections),
        *sections,
        "</body></html>",
        "",
    ]
    return "\n".join(parts)


def section(found: Any) -> str:
    """Returns the section of the page on one model."""
    return "\n".join(_of_one(found))


def _of_all(inspections: list) -> Iterator[str]:
    trained = {found.name: found.curves for found in inspections if found.curves}
    if trained:
        yield "<h2>Training</h2>"
        accuracies = {name: (seconds, [values]) for name, (seconds, values) in trained.items()}
        yield _figure(plots.learning_curves(accuracies), "Test accuracy of every run.")
        rows = [
            [name, len(values), shown(max(values), 4), shown(values[-1], 4), shown(seconds)]
            for name, (seconds, values) in trained.items()
        ]
        yield _html_table(("run", "epochs", "best accuracy", "last", "seconds an epoch"), rows)
    measured = [found for found in inspections if found.angles]
    if not measured:
        return
    panels = {
        f"{name}: {direction}": {
            found.name: {
                str(i + 1): getattr(getattr(layer, attribute), reference)
                for i, layer in enumerate(found.angles)
            }
            for found in measured
        }
        for name, reference in (("by A", "input_factor"), ("by A and G", "both_factors"))
        for direction, attribute in (("update", "update"), ("without M", "plain"))
    }
    yield "<h2>Angles to the natural gradient</h2>"
    figure = plots.alignment_angles(panels, columns=2, ylabel="degrees")
    yield _figure(figure, f"{ANGLES} Layers are numbered from the inputs.")


def _of_one(found: Any) -> Iterator[str]:
    yield f"<h2>{html.escape(found.name)}</h2>"
    for note in found.notes:
        yield f'<p class="note">{html.escape(note)}</p>'
    if found.seen:
        rows = [[getattr(seen.state, name) for _, name in STATE] for seen in found.seen]
        yield _html_table([title for title, _ in STATE], rows)
        yield f'<p class="note">{MEANING}</p>'
    if found.angles:
        rows = [[layer.name, *_angle_cells(layer)] for layer in found.angles]
        yield _html_table(("layer", *_ANGLE_COLUMNS), rows)
    for seen in found.seen:
        name = seen.state.name
        yield f"<h3>{html.escape(name)}</h3>"
        if seen.correlations is not None:
            figure = plots.correlation_matrices({name: seen.correlations})
            yield _figure(figure, "Correlation of the inputs.")
            figure = plots.correlation_spectra({name: seen.spectra})
            yield _figure(figure, "Eigenvalues of the correlation.")
        yield _figure(plots.decorrelation_matrices({name: seen.M}), "M.")


def _html_table(header: Sequence[str], rows: list) -> str:
    def line(cells: Any, tag: str) -> str:
        return "".join(f"<{tag}>{html.escape(shown(cell))}</{tag}>" for cell in cells)

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    head = f"<thead><tr>{line(header, 'th')}</tr></thead>"
    return f'<div class="wide"><table>{head}<tbody>{body}</tbody></table></div>'


def _figure(figure: Any, caption: str) -> str:
    data = io.BytesIO()
    figure.savefig(data, dpi=100, format="png")
    encoded = base64.b64encode(data.getvalue()).decode()
    caption = html.escape(caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{encoded}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )
