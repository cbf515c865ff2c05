"""The documentation as a site: README, these pages, the tutorials and every public name."""

import keras_decorr

project = "keras_decorr"
version = release = keras_decorr.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"

# The whole repository is the source, so that links hold here as they do where it is kept.
root_doc = "README"
include_patterns = ["README.md", "CHANGELOG.md", "docs/*.md", "tutorials/*.py"]
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_timeout = 600
nb_merge_streams = True
myst_heading_anchors = 3
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_custom_sections = [("Call arguments", "params_style"), "Input shape", "Output shape"]
napoleon_use_ivar = True  # attributes are described once
autodoc_member_order = "bysource"

PAGES = [
    "docs/api",
    "docs/decorrelators",
    "docs/results",
    "docs/ablations",
    "docs/natural_gradient",
]
TUTORIALS = [
    "tutorials/01_decorrelation_in_ten_minutes",
    "tutorials/02_bring_your_own_model",
    "tutorials/03_learning_without_backpropagation",
    "tutorials/04_tuning_the_two_rates",
    "tutorials/05_towards_the_natural_gradient",
]


def contents(caption, pages):
    """A table of contents for the margin."""
    return "\n".join(["", "```{toctree}", ":hidden:", f":caption: {caption}", *pages, "```", ""])


def add_contents(app, name, source):
    """Give README the contents, which only a site needs."""
    if name == root_doc:
        source[0] += contents("Tutorials", TUTORIALS) + contents("Reference", [*PAGES, "CHANGELOG"])


def setup(app):
    app.connect("source-read", add_contents)
