"""Where a configured value came from, and how values are shown without their secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, SecretStr

MASK = "********"
_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://|(?:rediss?|unix|https?):")
_PARAMETER = re.compile(r"([?&](?:password|api_key|token)=)[^&#]*", re.IGNORECASE)


class Layer(StrEnum):
    """The four sources of a value, later ones winning."""

    DEFAULT = "default"
    FILE = "file"
    VARIABLE = "variable"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Origin:
    """The source of one value: `where` is `path:line`, a variable or a flag; empty for a default."""

    layer: Layer
    where: str = ""

    def __str__(self) -> str:
        return self.where or str(self.layer)


@dataclass(frozen=True, slots=True)
class Setting:
    """A value as it was given, and by whom; `within` holds the origins of parts of a table, by dotted name below it."""

    value: object
    origin: Origin
    within: Mapping[str, Origin] = field(default_factory=dict)

    def origin_of(self, part: str) -> Origin:
        """Where a part of the value comes from; as near as it is known."""
        while part and part not in self.within:
            part = part.rpartition(".")[0]
        return self.within.get(part, self.origin)


def plain(value: object, *, is_secret: bool = False) -> object:
    """A value as JSON holds it, with secrets and passwords in addresses masked."""
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    if is_secret:
        return MASK if value else ""
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return without_password(value)
    return value


def shown(value: object, *, is_secret: bool = False) -> str:
    """A value as people write it in the file, secrets masked."""
    return json.dumps(plain(value, is_secret=is_secret), ensure_ascii=False, default=str)


def without_password(text: str, mask: str = MASK) -> str:
    """An address with its password masked, also where it is not quite an address; any other text unchanged."""
    if not _ADDRESS.match(text):
        return text
    text = _PARAMETER.sub(rf"\g<1>{mask}", text)
    if "@" not in text:
        return text
    try:
        parts = urlsplit(text)
        password, has_user = parts.password, "@" in parts.netloc
    except ValueError:
        return mask
    if not has_user or "@" in parts.netloc.rpartition("@")[0] or "@" in parts.path:
        # Not where a password belongs: one with a slash in it, or an address without its slashes.
        return f"{parts.scheme}://{mask}@{text.rpartition('@')[2]}"
    if not password:
        return text
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:{mask}@{host}"))
