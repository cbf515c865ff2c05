"""Options of the command line that take several values: `--rule a b` as well as `--rule a --rule b`."""

from collections.abc import Iterator
from typing import Any

from typer.core import TyperCommand


class CommandWithLists(TyperCommand):
    """Takes several values after an option; a command of this class has no arguments."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        lists = {
            name
            for option in self.params
            if getattr(option, "multiple", False)
            for name in option.opts
        }
        return super().parse_args(ctx, list(repeated(args, lists)))


def repeated(args: list[str], lists: Any) -> Iterator[Any]:
    """Yields the arguments with the option repeated before each of its values.

    Args:
        args: Arguments of the command line.
        lists: Names of the options that may be repeated, such as `{"--rule"}`.
    """
    option, has_value = None, False
    for arg in args:
        name, equals, _ = arg.partition("=")
        if arg.startswith("--"):
            option, has_value = (name if name in lists else None), bool(equals)
        elif option is not None:
            if has_value:
                yield option
            has_value = True
        yield arg
