"""The backup file: an archive whose first part says what the others are, byte for byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from ragd.catalog.store import CATALOG
from ragd.disk.archive import Member, is_plain, pieces_of, read_members
from ragd.domain.errors import BackupInvalid, NotFound, StateNewer

FORMAT = 1
"""The backup file's format number."""
MANIFEST_NAME = "manifest.json"
TOKENS_NAME = "tokens.json"
_MOST_MANIFEST_BYTES = 16 << 20
_HINT = "take another backup: this one cannot be trusted"
_FOLDERS = ("generations", "models")


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the state folder as it is in the backup; `path` is relative to that folder, `sha256` in hex."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BackupManifest:
    """What a backup holds. `created_at` is Unix seconds, `change_sequence` the catalog's, `notes` what was left out."""

    format: int
    ragd: str
    created_at: float
    catalog_format: int
    change_sequence: int
    documents: int
    notes: tuple[str, ...]
    parts: tuple[Part, ...]

    @property
    def size_bytes(self) -> int:
        """Of all parts together."""
        return sum(part.size_bytes for part in self.parts)

    def encoded(self) -> bytes:
        """The manifest as it is written: JSON with a seal over all the rest."""
        values = asdict(self)
        return (json.dumps({**values, "seal": _seal(values)}, indent=1) + "\n").encode()


@dataclass(frozen=True, slots=True)
class BackupFile:
    """An open backup whose parts are the ones that its manifest promises, by name and size; not by hash yet."""

    manifest: BackupManifest
    members: tuple[Member, ...]
    file: IO[bytes]

    def pieces(self, part: Part, member: Member, heard: Callable[[int], None]) -> Iterator[bytes]:
        """The bytes of a part; after the last it raises BackupInvalid when they were not those that were backed up."""
        digest = hashlib.sha256()
        for piece in pieces_of(self.file, member, heard):
            digest.update(piece)
            yield piece
        if digest.hexdigest() != part.sha256:
            raise BackupInvalid(f"{part.path} in it is not what was backed up: its checksum differs", hint=_HINT)

    def check(self, heard: Callable[[int], None]) -> None:
        """Reads all of it. Raises BackupInvalid."""
        for part, member in zip(self.manifest.parts, self.members, strict=True):
            for _ in self.pieces(part, member, heard):
                pass


@contextmanager
def open_backup(path: Path) -> Iterator[BackupFile]:
    """A backup, to read. Raises NotFound, BackupInvalid, and StateNewer for one of a newer ragd.

    Errors of what is read inside the block are named after the file.
    """
    try:
        with path.open("rb") as file:
            members = list(read_members(file, file.seek(0, 2)))
            if not members or members[0].name != MANIFEST_NAME:
                raise BackupInvalid("it is not a backup: it holds no manifest", hint=_HINT)
            manifest = _manifest(file, members.pop(0))
            promised = [(part.path, part.size_bytes) for part in manifest.parts]
            if promised != [(member.name, member.size_bytes) for member in members]:
                raise BackupInvalid("its parts are not those that its manifest names", hint=_HINT)
            yield BackupFile(manifest, tuple(members), file)
    except BackupInvalid as error:
        raise BackupInvalid(f"{path}: {error}", hint=error.hint) from error
    except StateNewer as error:
        raise StateNewer(f"{path}: {error}", hint=error.hint) from error
    except FileNotFoundError as error:
        raise NotFound(f"{path}: there is no such file", hint="name a file that `ragd backup` wrote") from error
    except IsADirectoryError as error:
        raise BackupInvalid(f"{path} is a folder", hint="name a file that `ragd backup` wrote") from error


def _manifest(file: IO[bytes], member: Member) -> BackupManifest:
    if member.size_bytes > _MOST_MANIFEST_BYTES:
        raise BackupInvalid("its manifest is too large", hint=_HINT)
    try:
        values: Any = json.loads(b"".join(pieces_of(file, member)))
        found = values["format"]
        if type(found) is int and found > FORMAT:
            raise StateNewer(f"a backup of format {found}, this ragd reads up to {FORMAT}", hint="upgrade ragd")
        if found != FORMAT or values.pop("seal") != _seal(values):
            raise ValueError("its seal does not fit what it says")
        parts = tuple(Part(**part) for part in values.pop("parts"))
        manifest = BackupManifest(**{**values, "notes": tuple(values["notes"])}, parts=parts)
        if len({part.path for part in parts}) != len(parts) or not all(is_known(part.path) for part in parts):
            raise ValueError("it names what is no part of a backup")
        if CATALOG not in {part.path for part in parts}:
            raise ValueError("it lacks the catalog")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BackupInvalid(f"its manifest cannot be read: {error}", hint=_HINT) from error
    return manifest


def is_known(path: object) -> bool:
    """True for the places in a state folder that a backup may fill."""
    if not isinstance(path, str) or not is_plain(path):
        return False
    if path in (CATALOG, TOKENS_NAME):
        return True
    return path.split("/")[0] in _FOLDERS and path.count("/") >= 2


def _seal(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
