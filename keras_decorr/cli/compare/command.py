"""`keras-decorr compare`: the same net with and without decorrelation."""

from keras_decorr import datasets
from keras_decorr.cli import options
from keras_decorr.cli.compare.config import Config
from keras_decorr.cli.shared import console
from keras_decorr.extras import check_installed


@options.takes(Config)
def compare(config: Config, out: options.Out = "") -> None:
    """Train the same net with and without decorrelation, and show what it bought.

    An option that may be given several times takes several values, too: --rule backprop
    feedback_alignment.

    Examples:

    **keras-decorr compare --dataset cifar10 --net conv --structure full monarch --seeds 3**

    **keras-decorr compare --rule backprop feedback_alignment --epochs 5**

    **keras-decorr compare --net gpt --dataset python_source --optimizer adamw --schedule cosine**
    """
    needed = {"data": datasets.packages(config.dataset), "plots": ("matplotlib",)}
    check_installed("keras-decorr compare", **needed)
    from keras_decorr.cli.compare.comparison import compare as run
    from keras_decorr.cli.compare.display import Progress, tables

    out = out or f"results/{config.dataset}-{config.net}"
    for table in tables(config, *run(config, out, Progress(console))):
        console.print(table)
    console.print(f"Results, curves and configuration: {out}")
