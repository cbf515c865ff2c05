"""The documentation as a site: README, these pages, the tutorials and every public name."""

import keras_decorr

project = "keras_decorr"
version = release = keras_decorr.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"

# The whole repository is the source, so that links hold here as they do where it is kept.
root_doc = "README"
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/*.md", "tutorials/*.py"]
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_timeout = 600
nb_merge_streams = True
myst_heading_anchors = 3
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_custom_sections = [("Call arguments", "params_style"), "Input shape", "Output shape"]
napoleon_use_ivar = True  # attributes are described once
autodoc_member_order = "bysource"


def contents(caption, pages):
    """A table of contents for the margin."""
    options = [":hidden:", ":glob:", f":caption: {caption}"]
    return "\n".join(["", "```{toctree}", *options, *pages, "```", ""])


def add_contents(app, name, source):
    """Give README the contents, which only a site needs."""
    if name == root_doc:
        source[0] += contents("Tutorials", ["tutorials/*"])
        source[0] += contents("Reference", ["docs/api", "docs/*", "CHANGELOG", "CONTRIBUTING"])


def setup(app):
    app.connect("source-read", add_contents)
