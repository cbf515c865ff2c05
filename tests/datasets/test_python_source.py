"""The source code of Python as a text."""

import pytest

from keras_decorr.datasets import python_source as module


def test_it_is_python_in_three_parts():
    text = module.python_source()
    sizes = [len(t) for t in (text.train_tokens, text.validation_tokens, text.test_tokens)]
    assert 1_000_000 < sum(sizes) <= 4_000_000
    assert sizes == pytest.approx([0.9 * sum(sizes), 0.05 * sum(sizes), 0.05 * sum(sizes)], abs=1)
    assert text.vocabulary.isascii()
    beginning = "".join(text.vocabulary[i] for i in text.train_tokens[:200_000])
    assert "\ndef " in beginning


def test_an_installation_without_source_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(module.sysconfig, "get_path", lambda name: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"'python_source' needs the source files"):
        module.python_source()
