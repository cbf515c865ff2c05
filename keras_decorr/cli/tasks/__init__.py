"""The tasks that nets of the command line are trained for."""

from keras_decorr.cli.tasks.classification import Classification
from keras_decorr.cli.tasks.next_character import NextCharacter
from keras_decorr.cli.tasks.task import Task

IMAGES, TEXTS = Classification(), NextCharacter()
TASKS: tuple[Task, ...] = (IMAGES, TEXTS)


def task_of(dataset: str) -> Task:
    """Returns the task of a data set of that name."""
    return next(task for task in TASKS if dataset in task.datasets)
