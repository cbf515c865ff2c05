"""A worker of `keras-decorr tune --workers`: `python -m keras_decorr.cli.tune.worker FOLDER CHIEF`."""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any


def main(out: str, chief: Any) -> None:
    """Runs the trials of a search until there are no more.

    Args:
        out: Folder of the search, with its configuration.
        chief: Process id of the chief, which has started this process.
    """
    threading.Thread(target=_end_with, args=(chief,), daemon=True).start()
    from keras_decorr.cli.tune.config import TuningConfig
    from keras_decorr.cli.tune.search import search

    saved = json.loads((Path(out) / "config.json").read_text())
    search(TuningConfig.from_dict(saved["config"]), out)


def _end_with(chief: Any) -> None:
    """Ends this process when the chief is gone; KerasTuner's workers wait an hour for another."""
    while os.getppid() == chief:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
