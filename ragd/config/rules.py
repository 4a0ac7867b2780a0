"""What single values and pairs of values must satisfy; each rule raises ValueError in words a person can act on."""

from __future__ import annotations

import ipaddress
import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import SplitResult, quote, urlsplit

_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]{0,252}[a-z0-9])?|\[[0-9a-f:.]{2,45}\]")
_HOUR = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d")


def below(low_key: str, low: float, high_key: str, high: float) -> None:
    """`low` must be smaller than `high`."""
    if not low < high:
        raise ValueError(f"{low_key} ({low:g}) must be below {high_key} ({high:g})")


def at_most(low_key: str, low: float, high_key: str, high: float) -> None:
    """`low` must not be larger than `high`."""
    if low > high:
        raise ValueError(f"{low_key} ({low:g}) must not be above {high_key} ({high:g})")


def http_address(value: str) -> str:
    """An http or https address, without a trailing slash, or nothing."""
    if not value:
        return value
    parts = _parts(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an address that begins with http:// or https://")
    return value.rstrip("/")


def redis_address(value: str) -> str:
    """A redis, rediss or unix address, or nothing."""
    if value and _parts(value).scheme not in ("redis", "rediss", "unix"):
        raise ValueError("an address that begins with redis://, rediss:// or unix://")
    return value


def _parts(address: str) -> SplitResult:
    """The parts of an address, all empty where it is none: the library's words name no remedy."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def tcp_address(value: str) -> str:
    """`address:port` of this machine, by number or `localhost`, or nothing: what a name leads to may change."""
    if not value:
        return value
    host, colon, port = value.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError("an address and a port, for example 127.0.0.1:8377")
    if host != "localhost":
        try:
            ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        except ValueError:
            raise ValueError("an address by number and a port, for example 127.0.0.1:8377 or 0.0.0.0:8377") from None
    return value


def host_names(values: tuple[str, ...]) -> tuple[str, ...]:
    """Names or addresses as a Host header gives them, made small; no port, no pattern."""
    for value in values:
        if not _HOST.fullmatch(value.lower()):
            raise ValueError('names without a port or a pattern, for example ["search.example.org"]')
    return tuple(value.lower() for value in values)


def with_password(address: str, password: str) -> str:
    """An address with this password, unless it is empty or has one of its own."""
    parts = urlsplit(address)
    if not address or not password or parts.password is not None:
        return address
    user, host = f"{parts.username or ''}:{quote(password, safe='')}", parts.netloc.rpartition("@")[2]
    rest = address.partition("://")[2][len(parts.netloc) :]
    return f"{parts.scheme}://{user}@{host}{rest}"  # a socket has no host, which urlunsplit would not believe


def encoder_settings(encoder: str, model: str, precision: str, url: str) -> None:
    """The keys of `embed` must make sense for the engine that was chosen."""
    if encoder == "openai" and not url:
        raise ValueError('embed.url must name the endpoint when embed.encoder is "openai"')
    if encoder == "openai" and model == "minilm":
        raise ValueError('embed.model must name the endpoint\'s model when embed.encoder is "openai"')
    if encoder != "onnx" and precision != "fp32":
        raise ValueError(f'embed.precision "{precision}" is for embed.encoder "onnx", not "{encoder}"')


def hours_of_day(value: str) -> str:
    """Two different times of day such as `22:00-06:00`, or nothing."""
    if not value:
        return value
    begin, dash, end = value.partition("-")
    if not dash or not all(_HOUR.fullmatch(hour) for hour in (begin, end)) or begin == end:
        raise ValueError('two times of day such as "08:00-18:00"')
    return value


def priced(limits: Mapping[str, float], cpu_rate: float, gpu_rate: float) -> None:
    """A limit of money, by its key in `budget`, means nothing where nothing costs money."""
    for name, limit in limits.items():
        if limit and not (cpu_rate or gpu_rate):
            raise ValueError(f"budget.{name} ({limit:g}) needs a price: set budget.cpu_rate or budget.gpu_rate")


def distinct_collections(collections: Sequence[tuple[str, Iterable[Path]]]) -> None:
    """Names are unique, and no folder stands in two collections or below another watched folder.

    Takes (name, folders) pairs. Folders are compared with links resolved; they need not exist.
    """
    names: set[str] = set()
    for name, _ in collections:
        if name in names:
            raise ValueError(f'collections: the name "{name}" is used twice')
        names.add(name)
    watched = [(Path(os.path.realpath(folder)), folder, name) for name, folders in collections for folder in folders]
    watched.sort(key=lambda item: item[0].parts)
    for (outer, outer_shown, outer_name), (inner, inner_shown, inner_name) in itertools.pairwise(watched):
        if inner == outer:
            raise ValueError(f"collections: {inner_shown} is watched twice (by {outer_name} and {inner_name})")
        if inner.is_relative_to(outer):
            raise ValueError(
                f"collections: {inner_shown} (of {inner_name}) lies in {outer_shown} (of {outer_name}); "
                "each file belongs to one folder"
            )


def socket_length(path: Path, limit_bytes: int) -> None:
    """A Unix socket's path must fit into the kernel's address structure."""
    size = len(os.fsencode(path))
    if size > limit_bytes:
        raise ValueError(
            f"http.socket: the path {path} has {size} bytes, the system allows {limit_bytes}; "
            "set http.socket to a shorter path or move the state folder"
        )
