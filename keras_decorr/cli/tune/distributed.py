"""Runs a search by several processes, in KerasTuner's own distributed mode.

One process is the chief: it keeps the trials and trains none. The others ask it for trials. Who is
what, and where the chief listens, stands in the environment variables KERASTUNER_TUNER_ID ("chief", or
another name for each worker), KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT.
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras

_VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
_SECONDS = 0.5  # between two looks at the workers


def role() -> str | None:
    """Returns `"chief"`, `"worker"`, or `None` in a search by one process."""
    if "KERASTUNER_ORACLE_IP" not in os.environ:
        return None
    missing = [name for name in _VARIABLES if name not in os.environ]
    if missing:
        raise ValueError(
            f"The variables {', '.join(_VARIABLES)} must be set together, or none of them. "
            f"Received: KERASTUNER_ORACLE_IP without {' and '.join(missing)}"
        )
    return "chief" if "chief" in os.environ["KERASTUNER_TUNER_ID"] else "worker"


@contextlib.contextmanager
def chief(made: Callable, out: Path, workers: int) -> Iterator[Any]:
    """Runs the chief of a search, and its workers on this machine.

    Args:
        made: Function that makes the tuner.
        out: Folder of the search.
        workers: Workers to start on this machine; 0 if there are others, and the environment says where
            this chief listens.

    Yields:
        `(tuner, still_runs)`. Call `still_runs()` until it returns False: it waits a moment.

    Raises:
        ChildProcessError: In `still_runs`, if a worker ends with an error.
    """
    here = {}
    if workers:
        here = {
            "KERASTUNER_TUNER_ID": "chief",
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(free_port()),
        }
    with _environment(here):
        tuner = made()
        errors: list = []
        server = threading.Thread(target=_serve, args=(tuner, errors), daemon=True)
        server.start()
        processes = [_worker(out, number) for number in range(workers)]
        try:
            yield tuner, lambda: _still_runs(server, errors, processes, out)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()


def _serve(tuner: Any, errors: Any) -> None:
    try:
        tuner.search(verbose=0)
    except Exception as error:
        errors.append(error)


def _still_runs(server: Any, errors: Any, processes: list, out: Path) -> Any:
    server.join(_SECONDS)
    if errors:
        raise errors[0]
    codes = [process.poll() for process in processes]
    for number, code in enumerate(codes):
        if code not in (None, 0):
            raise ChildProcessError(
                f"Worker {number} ended with exit code {code}: {_last_line(_log(out, number))} "
                f"(all of its output is in {_log(out, number)}). The same command resumes the "
                "search."
            )
    # A chief of KerasTuner's takes up to 20 seconds to see that its workers are done.
    return server.is_alive() and not (processes and all(code == 0 for code in codes))


def _worker(out: Path, number: int) -> Any:
    command = [sys.executable, "-m", "keras_decorr.cli.tune.worker", str(out), str(os.getpid())]
    environment = {
        **os.environ,
        "KERASTUNER_TUNER_ID": f"worker{number}",
        "KERAS_BACKEND": keras.backend.backend(),
    }
    log = _log(out, number)
    log.parent.mkdir(exist_ok=True)
    with log.open("w") as file:
        return subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")


def _log(out: Path, number: int) -> Path:
    return out / "workers" / f"worker{number}.log"


def free_port() -> Any:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def _environment(variables: dict) -> Iterator[Any]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
