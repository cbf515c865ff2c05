"""The page of inspections; test_command.py has one with figures of models."""

from keras_decorr.cli.inspect.inspection import Inspection
from keras_decorr.cli.inspect.report import page, section


def test_names_and_notes_are_escaped():
    found = Inspection("a<b>", notes=["No M & no angles."])
    text = page("a<b>", "3 samples of <x>", [found], [section(found)])
    assert "<h1>a&lt;b&gt;</h1>" in text
    assert "<h2>a&lt;b&gt;</h2>" in text
    assert "No M &amp; no angles." in text
    assert "3 samples of &lt;x&gt;" in text
    assert "<h2>Training</h2>" not in text


def test_the_training_of_a_run_is_a_table_and_a_figure():
    found = Inspection("run", curves=(1.5, [0.5, 0.75, 0.7]))
    text = page("run", "nothing", [found], [])
    assert "<h2>Training</h2>" in text
    for cell in ("3", "0.75", "0.7", "1.5"):
        assert f"<td>{cell}</td>" in text
    assert text.count("data:image/png;base64,") == 1
