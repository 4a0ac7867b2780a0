"""The JSON form of what travels through Redis, read strictly: a value that does not fit is refused, never run."""

from __future__ import annotations

import base64
import dataclasses
import json
import types
import typing
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, Final, TypeVar, cast

import numpy as np

from ragd.domain.errors import PayloadInvalid
from ragd.domain.work import EmbedResult

T = TypeVar("T")
_Decode = Callable[[Any, str], Any]
_HALF: Final = np.dtype("<f2")
_LARGEST: Final = (1 << 63) - 1  # what SQLite holds
_MOST_NUMBER: Final = 1e300


def encode(value: object) -> bytes:
    """A frozen dataclass (or a tuple of them) as JSON bytes; bytes become base64, tuples arrays."""
    return json.dumps(_plain(value), ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def decode(kind: type[T], data: bytes) -> T:
    """The value of type `kind` that `encode` wrote. Raises PayloadInvalid naming the field that does not fit."""
    read: _Decode = _decoder(cast("Any", kind))
    return cast("T", read(_parsed(data, _name(kind)), _name(kind)))


def encode_vectors(result: EmbedResult) -> bytes:
    """An EmbedResult as one line of JSON and its vectors as raw little-endian float16 rows."""
    rows, dimension = result.vectors.shape
    if rows != len(result.chunk_ids):
        raise ValueError(f"{rows} vectors for {len(result.chunk_ids)} chunks")
    head = {
        "batch_id": result.batch_id,
        "generation": result.generation,
        "chunk_ids": list(result.chunk_ids),
        "dimension": dimension,
        "encode_s": result.encode_s,
        "encoded_chars": result.encoded_chars,
    }
    line = json.dumps(head, separators=(",", ":"), allow_nan=False).encode("ascii")
    return line + b"\n" + np.ascontiguousarray(result.vectors, _HALF).tobytes()


def decode_vectors(data: bytes) -> EmbedResult:
    """The EmbedResult that `encode_vectors` wrote, vectors (n, dimension) float16 and finite.

    Raises PayloadInvalid when the lengths do not agree or a vector holds what is not a number.
    """
    line, _, raw = data.partition(b"\n")
    head = decode(_VectorHead, line)
    count = len(head.chunk_ids)
    if head.dimension < 1 or len(raw) != count * head.dimension * _HALF.itemsize:
        raise PayloadInvalid(f"{len(raw)} bytes of vectors for {count} chunks of dimension {head.dimension}")
    vectors = np.frombuffer(raw, _HALF).reshape(count, head.dimension)
    if not np.isfinite(vectors).all():
        raise PayloadInvalid(f"a vector of batch {head.batch_id} holds a value that is not finite")
    return EmbedResult(
        batch_id=head.batch_id,
        generation=head.generation,
        chunk_ids=head.chunk_ids,
        vectors=vectors.astype(np.float16, copy=False),
        encode_s=head.encode_s,
        encoded_chars=head.encoded_chars,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _VectorHead:
    batch_id: str
    generation: int
    chunk_ids: tuple[int, ...]
    dimension: int
    encode_s: float
    encoded_chars: int


def _plain(value: Any) -> Any:
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field: _plain(getattr(value, field)) for field in value.__dataclass_fields__}
    raise TypeError(f"{type(value).__name__} does not travel")


def _parsed(data: bytes, where: str) -> Any:
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise PayloadInvalid(f"{where}: not JSON ({error})") from error


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a number")


@cache  # one small closure a type, built from its annotations once: reading ten thousand pieces must be cheap
def _decoder(kind: Any) -> _Decode:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _optional(kind)
    if origin is tuple:
        return _array(_decoder(typing.get_args(kind)[0]))
    if origin is Mapping:
        return _object(_decoder(typing.get_args(kind)[1]))
    if kind is Any:
        return lambda value, where: value
    if kind is bytes:
        return _bytes
    if kind is float:
        return _float
    if kind is int:
        return _int
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _member(kind)
    if dataclasses.is_dataclass(kind):
        return _record(cast("type[Any]", kind))
    return _exactly(kind)


def _exactly(kind: type[Any]) -> _Decode:
    def read(value: Any, where: str) -> Any:
        if type(value) is not kind:
            raise PayloadInvalid(f"{where}: expected {_name(kind)}, found {type(value).__name__}")
        return value

    return read


def _int(value: Any, where: str) -> int:
    if type(value) is not int:
        raise PayloadInvalid(f"{where}: expected int, found {type(value).__name__}")
    if not -_LARGEST - 1 <= value <= _LARGEST:
        raise PayloadInvalid(f"{where}: a number of more than 64 bits")
    return value


def _float(value: Any, where: str) -> float:
    if type(value) not in (int, float):
        raise PayloadInvalid(f"{where}: expected a number, found {type(value).__name__}")
    if not -_MOST_NUMBER < value < _MOST_NUMBER:  # also what JSON writes as 1e999, which is read as infinite
        raise PayloadInvalid(f"{where}: a number beyond every measure")
    return float(value)


def _bytes(value: Any, where: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError) as error:
        raise PayloadInvalid(f"{where}: not base64") from error


def _member(kind: type[StrEnum]) -> _Decode:
    def read(value: Any, where: str) -> StrEnum:
        try:
            return kind(value)
        except ValueError as error:
            raise PayloadInvalid(f"{where}: {value!r} is none of {', '.join(kind)}") from error

    return read


def _optional(kind: Any) -> _Decode:
    (inner,) = (argument for argument in typing.get_args(kind) if argument is not types.NoneType)
    read_inner = _decoder(inner)
    return lambda value, where: None if value is None else read_inner(value, where)


def _array(read_item: _Decode) -> _Decode:
    def read(value: Any, where: str) -> tuple[Any, ...]:
        if type(value) is not list:
            raise PayloadInvalid(f"{where}: expected an array, found {type(value).__name__}")
        return tuple([read_item(item, where) for item in value])

    return read


def _object(read_item: _Decode) -> _Decode:
    def read(value: Any, where: str) -> dict[str, Any]:
        if type(value) is not dict:
            raise PayloadInvalid(f"{where}: expected an object, found {type(value).__name__}")
        return {name: read_item(item, f"{where}.{name[:40]}") for name, item in value.items()}

    return read


def _record(kind: type[Any]) -> _Decode:
    hints = typing.get_type_hints(kind)
    readers: Mapping[str, tuple[_Decode, str]] = {
        field.name: (_decoder(hints[field.name]), f"{kind.__name__}.{field.name}") for field in dataclasses.fields(kind)
    }

    def read(value: Any, where: str) -> Any:
        if type(value) is not dict or value.keys() != readers.keys():
            found = ", ".join(sorted(map(str, value))) if isinstance(value, dict) else type(value).__name__
            raise PayloadInvalid(f"{where}: expected the fields {', '.join(readers)}; found {found[:200]}")
        return kind(**{name: reader(value[name], place) for name, (reader, place) in readers.items()})

    return read


def _name(kind: Any) -> str:
    return str(getattr(kind, "__name__", kind))
