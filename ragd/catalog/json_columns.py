"""Values that a column keeps as JSON: compact, and without numbers that JSON does not know."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any


def dumped(value: object) -> str:
    """The value as JSON; a number that is not finite becomes null, so that what is kept can always be shown."""
    return json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def with_parsed(row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """A row as a dictionary in which these columns are values again."""
    return {name: json.loads(value) if name in columns else value for name, value in row.items()}


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _finite(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    return value
