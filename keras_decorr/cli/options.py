"""Options of commands from the annotated fields of their configuration: each is written once.

A configuration is a frozen dataclass. The annotation of a field holds the type of its option, the help
text and, if not every value is allowed, those that are; its default is the option's:

    gain_rate: Annotated[
        float, typer.Option(help="exponent of the gain"), Number(0.0, 1.0, open_low=True)
    ] = 0.1

makes the option `--gain-rate` of each command that `takes` the configuration.
"""

import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import typer

from keras_decorr.cli.allowed import check_option, one_of
from keras_decorr.cli.shared import BACKENDS, errors_in_a_line, use_backend

DataDir = Annotated[
    str | None,
    typer.Option(
        help="folder of tensorflow-datasets; default: TFDS_DATA_DIR, or its own. The digits need none"
    ),
]
Backend = Annotated[str | None, typer.Option(help=one_of(BACKENDS))]
Out = Annotated[str, typer.Option(help="folder for the results; default: one in results")]

_keyword = functools.partial(inspect.Parameter, kind=inspect.Parameter.KEYWORD_ONLY)


class Field(NamedTuple):
    """Describes a field of a configuration.

    Attributes:
        name: Its name.
        default: Its default.
        annotation: Its type, without what `Annotated` adds.
        metadata: What `Annotated` adds: the `typer.Option`, and a `OneOf`, `Number` or `Count`.
    """

    name: str
    default: Any
    annotation: Any
    metadata: tuple

    @property
    def option(self) -> str:
        """The name of its option: `"--gain-rate"` of `"gain_rate"`."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def several(self) -> bool:
        """Whether it holds any number of values: `tuple[T, ...]`."""
        return typing.get_args(self.annotation)[1:] == (...,)

    @property
    def element(self) -> Any:
        """The type of one value: `T` of `T`, `T | None` or `tuple[T, ...]`."""
        if self.several or isinstance(self.annotation, types.UnionType):
            return typing.get_args(self.annotation)[0]
        return self.annotation

    def values(self, config: Any) -> Any:
        """Returns a tuple of the values that a configuration holds; empty for the default `None`."""
        value = getattr(config, self.name)
        if value is None and self.default is None:
            return ()
        return value if isinstance(value, tuple) else (value,)

    def parameter(self) -> Any:
        """Returns the parameter of a command from which typer makes the option."""
        kind = types.GenericAlias(list, (self.element,)) if self.several else self.annotation
        annotation = Annotated[(kind, *self.metadata)]  # type: ignore[valid-type]
        default = (self.default or None) if self.several else self.default
        return _keyword(self.name, default=default, annotation=annotation)

    def given(self, value: Any) -> Any:
        """Returns the value of the field for that of the parameter: of several, each once."""
        if not self.several:
            return value
        return self.default if value is None else tuple(dict.fromkeys(value))


def fields(config_type: type) -> list:
    """Returns a list of the `Field`s of a configuration."""
    hints = typing.get_type_hints(config_type, include_extras=True)
    return [
        Field(
            field.name, field.default, hints[field.name].__origin__, hints[field.name].__metadata__
        )
        for field in dataclasses.fields(config_type)
    ]


def check_fields(config: Any) -> None:
    """Raises ValueError, which names the option, unless a configuration's values are allowed."""
    for field in fields(type(config)):
        for allowed in field.metadata[1:]:
            for value in field.values(config):
                check_option(field.option, value, allowed)


def takes(config_type: type) -> Any:
    """Makes a command of a function that takes a configuration, whose fields become its options.

    The function's further parameters are options, too. The command starts again with another backend
    if `--backend` names one, and shows the user's errors in a line.

    Args:
        config_type: The configuration's dataclass, the function's first argument.
    """

    def decorate(function: Callable) -> Any:
        @functools.wraps(function)
        def command(*, backend: str | None, **options: Any) -> None:
            use_backend(backend)
            with errors_in_a_line():
                given = {f.name: f.given(options.pop(f.name)) for f in fields(config_type)}
                function(config_type(**given), **options)

        parameters = [field.parameter() for field in fields(config_type)]
        _, *own = inspect.signature(function).parameters.values()
        parameters += [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]
        parameters.append(_keyword("backend", default=None, annotation=Backend))
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return command

    return decorate
