"""The settings of a guard as options of a command, made from the one list of them."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from sessionguard.settings import PREFIX, GuardSettings

FIELDS: Sequence[dataclasses.Field[Any]] = [
    field for field in dataclasses.fields(GuardSettings) if field.name != "plugins"
]
PANEL = "Settings of the guard"


def with_guard_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with an option for every setting; those that are given arrive in `given`, as text."""

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> None:
        texts = {field.name: arguments.pop(field.name) for field in FIELDS}
        command(**arguments, given={name: text for name, text in texts.items() if text is not None})

    hints = typing.get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name])
        for name, parameter in inspect.signature(command).parameters.items()
        if name != "given"
    ]
    wrapper.__signature__ = inspect.Signature([*own, *map(_parameter, FIELDS)])  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *map(_parameter, FIELDS))}
    del wrapper.__wrapped__  # Whoever looks is to see the options.
    return wrapper


def _parameter(field: dataclasses.Field[Any]) -> inspect.Parameter:
    option = typer.Option(
        f"--{field.name.replace('_', '-')}",
        help=f"{PREFIX}{field.name.upper()}: {field.metadata['kind'].expects}.",
        show_default=False,
        rich_help_panel=PANEL,
    )
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(field.name, kind, default=None, annotation=Annotated[str | None, option])
