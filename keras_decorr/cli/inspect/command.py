"""`keras-decorr inspect`: shows decorrelation in a saved model or a finished comparison."""

from typing import Annotated

import typer

from keras_decorr import datasets
from keras_decorr.cli import options
from keras_decorr.cli.allowed import one_of
from keras_decorr.cli.shared import console, errors_in_a_line, use_backend
from keras_decorr.extras import check_installed


def inspect(
    path: Annotated[
        str,
        typer.Argument(help="a .keras file, or the folder that `compare` wrote", metavar="PATH"),
    ],
    dataset: Annotated[
        str | None,
        typer.Option(help=f"data to look with: {one_of(datasets.NAMES)}; default: a run's"),
    ] = None,
    data_dir: options.DataDir = None,
    data: Annotated[
        str | None, typer.Option(help="an .npz file with arrays x and y instead of a data set")
    ] = None,
    samples: Annotated[int, typer.Option(help="samples to look with", min=2)] = 512,
    angles: Annotated[bool, typer.Option(help="measure the angles to the natural gradient")] = True,
    backend: options.Backend = None,
    out: Annotated[
        str, typer.Option(help="HTML file to write; default: inspect.html in the folder of PATH")
    ] = "",
) -> None:
    """Show what decorrelation did: correlations, M, and the angles to the natural gradient.

    PATH is a model that `model.save("name.keras")` wrote, or the folder of a comparison or of one of
    its runs. Shows tables, and writes one HTML file with the figures in it.

    Examples:

    **keras-decorr inspect results/digits-dense**

    **keras-decorr inspect model.keras --data batch.npz --out report.html**
    """
    use_backend(backend)
    from keras_decorr.cli.folders.folder import prepare_file
    from keras_decorr.cli.inspect import inspection
    from keras_decorr.cli.inspect.report import angle_table, page, section, state_table
    from keras_decorr.files import write_text

    with errors_in_a_line():
        models, config = inspection.find(path)
        name = dataset or config.get("dataset", "digits")
        needed = {"data": datasets.packages(name) if data is None else (), "plots": ("matplotlib",)}
        check_installed("keras-decorr inspect", **needed)
        report = prepare_file(out or inspection.usual_report(path))
        if data is not None:
            batch = inspection.Batch.of_file(data, samples)
        else:
            data_dir = data_dir or (
                config.get("data_dir") if name == config.get("dataset") else None
            )
            batch = inspection.Batch.of_dataset(name, data_dir, samples)
        found, sections = [], []
        for name, (model, table) in models.items():
            with console.status(f"looking into {name}"):
                each = inspection.inspect_file(name, model, table, batch, angles)
            sections.append(section(each))
            each.forget_arrays()
            found.append(each)
            if each.seen:
                console.print(state_table(each))
            if each.angles:
                console.print(angle_table(each))
            for note in each.notes:
                console.print(f"{each.name}:", note, highlight=False, markup=False)
        write_text(report, page(str(path), batch.source, found, sections))
    console.print(f"Report with figures: {report}")
