"""Draws docs/architecture.svg: the packages, their import direction, and the path of a batch.

Run `python docs/architecture.py` after a change of the layers in setup.cfg; a test compares the two.
"""

from html import escape
from pathlib import Path

PICTURE = Path(__file__).with_suffix(".svg")

# The layers of setup.cfg, from the top: packages, each with what it is for, if there is room.
LAYERS = [
    {"cli": "commands: compare, inspect, tune, reproduce"},
    {"tuning": "", "callbacks": "", "plots": "", "models": ""},
    {"analysis": "natural gradient, counted costs"},
    {"metrics": "correlation, condition of M, angles"},
    {"tapes": "", "conversion": ""},
    {"training": "Model, Sequential, the training step"},
    {"rules": "learning rules: how weights learn"},
    {"layers": "twins of Keras layers; Decorrelation"},
    {"context": "what is open during a step"},
    {"decorrelators": "how M is updated; structures of M"},
    {"maths": "pure functions on tensors"},
    {"datasets": "images and texts, for cli"},
    {"extras": "optional packages"},
    {"backend": "", "files": "", "naming": ""},
    {"typing": "names for types"},
]
# Phases of a training step: (phase, [(package, code, what it does)]).
STEP = [
    (
        "Begin",
        [("training", "Model.train_step", "opens a Collection, the rule's Wiring")],
    ),
    (
        "Forward pass, in each layer",
        [
            ("layers", "DecorDense.call", "takes its inputs x"),
            ("layers", "Decorrelation.call", "u = M (x − mean)"),
            ("context", "Collection.add", "keeps a sample of x for the update"),
            ("layers", "DecorLayer.linear_map", "y = activation(u W + b)"),
        ],
    ),
    ("Loss", [("rules", "LearningRule.compute_loss", "the scalar to differentiate")]),
    (
        "Update of M, once a step",
        [
            ("context", "Collection.flush", "returns the samples of each layer"),
            ("decorrelators", "pool", "joins those of all calls and replicas"),
            ("decorrelators", "decorrelation_step", "new M and moving mean from these"),
            ("layers", "Decorrelation.update", "assigns them to its variables"),
        ],
    ),
    ("Update of W and b", [("training", "keras.Model.train_step", "gradient, then optimizer")]),
]

STYLE = """
  .page { fill: #ffffff; }
  text { font-family: system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
  .head { font-size: 17px; font-weight: 600; }
  .phase { font-size: 14px; font-weight: 600; fill: #57606a; }
  .name { font-size: 15px; font-weight: 600; }
  .note { font-size: 13px; fill: #57606a; }
  .box { fill: #f6f8fa; stroke: #8c959f; stroke-width: 1.2; }
  .training { fill: #ddf4ff; stroke: #0969da; }
  .rules { fill: #fff1e5; stroke: #bc4c00; }
  .layers { fill: #dafbe1; stroke: #1a7f37; }
  .context { fill: #fbefff; stroke: #8250df; }
  .decorrelators { fill: #fff8c5; stroke: #9a6700; }
  .arrow { stroke: #57606a; stroke-width: 1.8; fill: none; }
  .tip { fill: #57606a; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; }
    text { fill: #e6edf3; }
    .phase, .note { fill: #b1bac4; }
    .box { fill: #161b22; stroke: #6e7681; }
    .training { fill: #0c2d6b; stroke: #58a6ff; }
    .rules { fill: #5a1e02; stroke: #f0883e; }
    .layers { fill: #033a16; stroke: #3fb950; }
    .context { fill: #3c1e70; stroke: #bc8cff; }
    .decorrelators { fill: #4b2900; stroke: #d29922; }
    .arrow { stroke: #b1bac4; }
    .tip { fill: #b1bac4; }
  }
"""
WIDTH, TOP, ROW, GAP = 1040, 64, 40, 14
LEFT, LEFT_WIDTH = 48, 460
RIGHT, RIGHT_WIDTH = 570, 446


def box(x, y, width, height, package, name, note):
    """Returns a rectangle with a name and, to its right, a note."""
    middle = y + height / 2 + 5
    parts = [
        f'<rect class="box {package}" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>'
    ]
    if note:
        parts.append(text(x + 12, middle, "name", name))
        parts.append(text(x + width - 12, middle, "note", note, "end"))
    else:
        parts.append(text(x + width / 2, middle, "name", name, "middle"))
    return parts


def text(x, y, style, content, anchor="start"):
    """Returns a line of text."""
    return f'<text class="{style}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(content)}</text>'


def arrow(x, start, end):
    """Returns an arrow downwards."""
    return [
        f'<path class="arrow" d="M{x} {start} V{end - 6}"/>',
        f'<path class="tip" d="M{x - 5} {end - 8} h10 l-5 8 z"/>',
    ]


def draw_layers():
    """Returns the packages, a layer a row, and the direction of their imports."""
    parts = [text(LEFT, 36, "head", "Packages: each imports only from rows below")]
    bottom = TOP + len(LAYERS) * (ROW + GAP) - GAP
    parts += arrow(24, TOP, bottom)
    parts.append(
        f'<text class="note" transform="translate(17 {(TOP + bottom) / 2}) rotate(-90)" '
        'text-anchor="middle">imports</text>'
    )
    for row, packages in enumerate(LAYERS):
        y, width = TOP + row * (ROW + GAP), (LEFT_WIDTH + GAP) / len(packages) - GAP
        for place, (name, note) in enumerate(packages.items()):
            x = LEFT + place * (width + GAP)
            parts += box(round(x, 1), y, round(width, 1), ROW, name, name, note)
    return parts, bottom


def draw_step():
    """Returns what happens to a batch in a training step, from the top to the bottom."""
    parts, y, last = [text(RIGHT, 36, "head", "A training step: the path of a batch")], TOP, None
    for phase, calls in STEP:
        parts.append(text(RIGHT + 26, y + 14, "phase", phase))
        y += 24
        for package, name, note in calls:
            if last is not None:
                parts += arrow(RIGHT + 12, last, y)
            parts += box(RIGHT, y, RIGHT_WIDTH, ROW, package, name, note)
            last = y + ROW
            y = last + GAP
    return parts, last


def picture():
    """Returns the whole picture."""
    (packages, left), (step, right) = draw_layers(), draw_step()
    height = max(left, right) + 24
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" '
        'aria-label="The packages of keras_decorr and the path of a batch">'
    )
    page = f'<rect class="page" width="{WIDTH}" height="{height}" rx="8"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", page, *packages, *step, "</svg>"]) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(picture())
