"""A trainer's options as a value: read from plain settings, with what is unknown or of another type refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from ragd.domain.errors import TrainingFailed

Options = TypeVar("Options")


def read_options(settings: Mapping[str, Any], kind: type[Options]) -> Options:
    """The `settings` of a run as a `kind`: a dataclass of plain values (text, number, truth) with defaults.

    A whole number may stand where a number is wanted. Raises TrainingFailed for a name that is no field, for a value
    of another type than the default, and with the reason of a ValueError that the dataclass raises itself.
    """
    defaults = {field.name: field.default for field in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(settings.keys() - defaults.keys())
    if unknown:
        raise TrainingFailed(
            f"unknown option {unknown[0]}", hint=f"known options: {', '.join(sorted(defaults)) or 'none'}"
        )
    values = {name: _as_type_of(name, settings[name], defaults[name]) for name in settings}
    try:
        return kind(**values)
    except ValueError as error:
        raise TrainingFailed(f"option {error}", hint="correct the trainer's options") from error


def _as_type_of(name: str, value: Any, default: Any) -> Any:
    wanted = type(default)
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise TrainingFailed(
            f"option {name} is {value!r}, which is not of type {wanted.__name__}",
            hint=f"its default is {default!r}",
        )
    return value
