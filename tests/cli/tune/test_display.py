"""The live table of a search."""

import io

from rich.console import Console

from keras_decorr.cli.tune.display import Display

ROW = {
    "trial": "0", "status": "completed", "learning_rate": 3e-4, "decorrelation_rate": 2e-3,
    "accuracy": 0.9, "loss": 0.3, "epoch": 2, "seconds": 1.0, "message": "",
}  # fmt: skip


def test_what_follows_it_in_a_file_has_a_line_of_its_own():
    console = Console(file=io.StringIO(), width=80)
    display = Display(console, trials=1)
    with display:
        display.show([ROW])
    display.stop()  # once more: no other line
    console.print("next")
    *_, best, after = console.file.getvalue().splitlines()
    assert best.strip() == "best: 0.9000 with 0.0003 and, of M, 0.002"
    assert after == "next"
