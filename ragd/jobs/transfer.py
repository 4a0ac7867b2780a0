"""Carries the files of a run through Redis, for workers that do not share the daemon's disk: in parts, checked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, cast

from ragd.disk.atomic import no_room_named
from ragd.domain.errors import PayloadInvalid
from ragd.domain.training import RunPlaces
from ragd.jobs.broker import FILES_PREFIX, Broker
from ragd.jobs.payload import decode, encode
from ragd.learn.records import read_request

PART_BYTES: Final = 8 << 20
TTL_S: Final = 3600
MOST_BYTES: Final = 4 << 30
MOST_FILES: Final = 10_000
MODEL_FOLDERS: Final = ("model_folder", "adapter", "encoder")
"""Folders that a request names, and under whose names their files travel."""


@dataclass(frozen=True, slots=True)
class Carried:
    """One file under way: its name with `/` between folders, size, and SHA-256 in hex."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Cargo:
    """All files of one transfer."""

    files: tuple[Carried, ...]


def push(broker: Broker, key: str, files: Mapping[str, Path]) -> int:
    """Puts files into Redis, under their names; returns how many bytes. The list comes last, so it is whole or absent.

    They stay for an hour. Raises BrokerUnavailable, and PayloadInvalid when it is more than 4 GiB.
    """
    total = sum(path.stat().st_size for path in files.values())
    if total > MOST_BYTES or len(files) > MOST_FILES:
        raise PayloadInvalid(
            f"{len(files):,} files of {total:,} bytes are too much to send through Redis",
            hint="let the train worker share the daemon's disk, at the same path",
        )
    carried = []
    for number, (name, path) in enumerate(files.items()):
        digest, size = hashlib.sha256(), 0
        with path.open("rb") as file:
            for part, block in enumerate(iter(lambda f=file: f.read(PART_BYTES), b"")):  # type: ignore[misc]
                digest.update(block)
                size += len(block)
                with broker.reached() as client:
                    client.set(_part_key(key, number, part), block, ex=TTL_S)
        carried.append(Carried(name, size, digest.hexdigest()))
    with broker.reached() as client:
        client.set(f"{FILES_PREFIX}{key}", encode(Cargo(tuple(carried))), ex=TTL_S)
    return total


def is_there(broker: Broker, key: str) -> bool:
    """True once a transfer is complete."""
    with broker.reached() as client:
        return bool(client.exists(f"{FILES_PREFIX}{key}"))


def pull(broker: Broker, key: str, into: Path, *, accept: Callable[[str], bool] = lambda name: True) -> tuple[str, ...]:
    """Writes the files of a transfer below `into` and removes them from Redis; returns their names.

    Raises PayloadInvalid when nothing is there, a part is missing or too long, a hash differs, or a name leads out
    of the folder or is not accepted; what was written until then stays.
    """
    with broker.reached() as client:
        data = cast("bytes | None", client.get(f"{FILES_PREFIX}{key}"))
    if data is None:
        raise PayloadInvalid(f"the files of {key} are not in Redis any more", hint="they are kept for an hour")
    cargo = decode(Cargo, data)
    if len(cargo.files) > MOST_FILES or sum(max(file.size, 0) for file in cargo.files) > MOST_BYTES:
        raise PayloadInvalid(f"the files of {key} are too many or too large")
    for number, file in enumerate(cargo.files):
        if not is_safe(file.name) or not accept(file.name):
            raise PayloadInvalid(f"{file.name!r} is not a name for a file of a run")
        _fetch(broker, key, number, file, into.joinpath(*PurePosixPath(file.name).parts))
    forget(broker, key)
    return tuple(file.name for file in cargo.files)


def forget(broker: Broker, key: str) -> None:
    """Removes a transfer from Redis."""
    with broker.reached() as client:
        keys = list(cast("Iterable[bytes]", client.scan_iter(f"{FILES_PREFIX}{key}*", count=1000)))
        if keys:
            client.unlink(*keys)


def is_safe(name: str) -> bool:
    """Whether a name stays below the folder it is put into: relative, without `..`, on every system."""
    parts = name.split("/")
    return bool(name) and "\\" not in name and "\0" not in name and not any(part in ("", ".", "..") for part in parts)


def folder_files(folder: Path, prefix: str = "") -> dict[str, Path]:
    """Every plain file of a folder by the name it travels under; links are left out."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in sorted(names):
            path = Path(place) / name
            if path.is_file() and not path.is_symlink():
                found[f"{prefix}{path.relative_to(folder).as_posix()}"] = path
    return found


class RunFiles:
    """The daemon's side: sends a run to a worker that asks, and takes back what came of it."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def send(self, places: RunPlaces, lacks: Collection[str] = ()) -> int:
        """Sends request and data, or the model folders in `lacks`, which is asked next; returns how many bytes.

        May take seconds. Raises BrokerUnavailable, PayloadInvalid, or TrainingFailed for a damaged request.
        """
        request = read_request(places)
        named = {"model_folder": request.model_folder, "adapter": request.adapter, "encoder": request.encoder.model}
        files = {} if lacks else {"request.json": places.request, **folder_files(places.data, "data/")}
        if not lacks and places.work.is_dir():
            files |= folder_files(places.work, "work/")  # checkpoints of an earlier attempt
        for name in MODEL_FOLDERS:
            if name in lacks and os.path.isabs(named[name]) and Path(named[name]).is_dir():
                files |= folder_files(Path(named[name]), f"models/{name}/")
        return push(self._broker, f"{request.id}:out", files)

    def refuse(self, run_id: str) -> None:
        """Lets a worker that waits for files go on without, so that it gives the run up instead of asking for ever."""
        push(self._broker, f"{run_id}:out", {})

    def receive(self, run_id: str, places: RunPlaces) -> tuple[str, ...]:
        """Puts what a remote worker made into the run's folder; returns the names. Raises PayloadInvalid."""
        return pull(self._broker, f"{run_id}:back", places.folder, accept=_comes_back)


def _comes_back(name: str) -> bool:
    return name in ("log.txt", "progress.jsonl", "outcome.json", "attempts.json") or name.startswith("work/")


def _fetch(broker: Broker, key: str, number: int, file: Carried, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, size, part = hashlib.sha256(), 0, 0
    with no_room_named(path), path.open("wb") as output:
        while size < file.size:
            with broker.reached() as client:
                block = cast("bytes | None", client.get(_part_key(key, number, part)))
            size += len(block or b"")
            if not block or size > file.size or len(block) > PART_BYTES:
                raise PayloadInvalid(f"part {part} of {file.name} is {'missing' if not block else 'too long'}")
            digest.update(block)
            output.write(block)
            part += 1
    if digest.hexdigest() != file.sha256:
        raise PayloadInvalid(f"{file.name} did not arrive as it was sent: its hash differs")


def _part_key(key: str, number: int, part: int) -> str:
    return f"{FILES_PREFIX}{key}:{number}:{part}"
