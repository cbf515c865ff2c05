"""Options that mean the same in several subcommands."""

from typing import Annotated

import typer

from keras_decorr.cli.compare.nets import NETS
from keras_decorr.cli.shared import BACKENDS, one_of
from keras_decorr.datasets import NAMES
from keras_decorr.decorrelators.preserving import NORMS

Dataset = Annotated[str, typer.Option(help=one_of(NAMES))]
DataDir = Annotated[
    str | None,
    typer.Option(
        help="folder of tensorflow-datasets; default: TFDS_DATA_DIR, or its own. The digits need none"
    ),
]
Net = Annotated[str, typer.Option(help=one_of(NETS))]
Width = Annotated[
    int | None, typer.Option(help="channels or features of resnet18 or vit; default: its own")
]
TrainSize = Annotated[
    int | None, typer.Option(help="use so many of the training images; default: all")
]
TestSize = Annotated[int | None, typer.Option(help="use so many of the test images; default: all")]
BatchSize = Annotated[
    int | None, typer.Option(help="samples a batch; default: 64 for the digits, 256 for the others")
]
Preserve = Annotated[
    str, typer.Option(help=f"the norm that M keeps: {one_of(NORMS)} (the paper's is raw)")
]
GainRate = Annotated[
    float, typer.Option(help="exponent of the gain that keeps it, in (0, 1] (the paper's is 1)")
]
Groups = Annotated[int, typer.Option(help="the most groups of a structured M")]
Rank = Annotated[int | None, typer.Option(help="rank of a low-rank M; default: the decorrelator's")]
Augment = Annotated[bool, typer.Option(help="random crops and flips (CIFAR, Tiny ImageNet)")]
Backend = Annotated[str | None, typer.Option(help=one_of(BACKENDS))]
Out = Annotated[str, typer.Option(help="folder for the results; default: one in results")]
