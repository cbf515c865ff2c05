"""`keras-decorr reproduce`: the experiments of the paper, and grids of one's own."""

from typing import Annotated

import typer

from keras_decorr import datasets
from keras_decorr.cli import options
from keras_decorr.cli.shared import console, errors_in_a_line, use_backend
from keras_decorr.extras import check_installed


def reproduce(
    grid: Annotated[
        str, typer.Option(help="name of a grid (see --list) or path of a TOML file")
    ] = "paper",
    scale: Annotated[
        str, typer.Option(help="paper, or small: few images and epochs, one seed")
    ] = "paper",
    seeds: Annotated[int | None, typer.Option(help="number of seeds; default: the grid's")] = None,
    data_dir: options.DataDir = None,
    out: options.Out = "",
    retry: Annotated[bool, typer.Option("--retry", help="try failed runs again")] = False,
    backend: options.Backend = None,
    list_grids: Annotated[bool, typer.Option("--list", help="show the grids and stop")] = False,
) -> None:
    """Train every run of a grid of experiments; draw its figures and check the paper's claims.

    A grid that was stopped resumes when the same command is given again. Several processes or machines
    share the work if they are given the same folder. A run that fails does not stop the others; the
    command then ends with 1.

    Examples:

    **keras-decorr reproduce --scale small**

    **keras-decorr reproduce --grid figure-backprop --seeds 3 --out /shared/figure**
    """
    use_backend(backend)
    from keras_decorr.cli.reproduce.display import GridProgress, grid_list, grid_tables
    from keras_decorr.cli.reproduce.grid import names, read_grid
    from keras_decorr.cli.reproduce.grid_run import reproduce as run

    with errors_in_a_line():
        if list_grids:
            console.print(grid_list([read_grid(name) for name in names()]))
            return
        chosen = read_grid(grid, scale, data_dir, seeds)
        data = {name for config in chosen.panels for name in datasets.packages(config.dataset)}
        needed = {"data": ("scipy", *sorted(data)), "plots": ("matplotlib",)}
        check_installed("keras-decorr reproduce", **needed)
        out = out or f"results/{chosen.name}-{scale}"
        report = run(chosen, out, GridProgress(console, chosen, out), retry)
    for table in grid_tables(report):
        console.print(table)
    for folder, error in report.failed.items():
        console.print(f"[red]failed[/red]: {folder}: ", end="")
        console.print(error, highlight=False, markup=False)
    console.print(f"Tables, figures and runs: {out}")
    if report.failed:
        raise typer.Exit(1)
