"""What a snapshot says of itself: the manifest beside its index file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ragd.domain.errors import GenerationCorrupt

FORMAT = 1
MANIFEST_NAME = "manifest.json"
INDEX_NAME = "index.faiss"

_HINT = "the index is rebuilt from the catalog when the daemon starts; nothing is embedded again"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One snapshot: its format, embedding space, index kind and size, and the change sequence it holds.

    `sha256` (hex) and `size_bytes` are of the index file, `created_at` is Unix seconds.
    """

    format: int
    fingerprint: str
    dimension: int
    kind: str
    chunks: int
    sequence: int
    sha256: str
    size_bytes: int
    created_at: float

    def encoded(self) -> bytes:
        """The manifest as it is written: JSON, one key a line, the last a seal over the others."""
        values = asdict(self)
        return (json.dumps({**values, "seal": _seal(values)}, indent=1) + "\n").encode()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the snapshot in `folder`. Raises GenerationCorrupt when it is missing, damaged or newer."""
    path = folder / MANIFEST_NAME
    try:
        values: Any = json.loads(path.read_bytes())
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']}, and this ragd reads format {FORMAT}")
        if values.pop("seal") != _seal(values):
            raise ValueError("its seal does not fit what it says")
        manifest = Manifest(**values)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise GenerationCorrupt(f"{path}: not a readable manifest: {error}", hint=_HINT) from error
    return manifest


def _seal(values: dict[str, Any]) -> str:
    """A digest of the values: a flipped bit in the sequence would otherwise skip a part of the replay."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def check_index_file(folder: Path, manifest: Manifest) -> Path:
    """The path of the snapshot's index file, after its length and checksum were found as promised.

    Raises GenerationCorrupt when they differ or the file cannot be read.
    """
    path = folder / INDEX_NAME
    try:
        size_bytes = path.stat().st_size
        if size_bytes != manifest.size_bytes:
            raise GenerationCorrupt(f"{path}: {size_bytes} bytes instead of {manifest.size_bytes}", hint=_HINT)
        if sha256_of(path) != manifest.sha256:
            raise GenerationCorrupt(f"{path}: its checksum is not the one in its manifest", hint=_HINT)
    except OSError as error:
        raise GenerationCorrupt(f"{path}: cannot be read: {error.strerror}", hint=_HINT) from error
    return path


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, hex. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
