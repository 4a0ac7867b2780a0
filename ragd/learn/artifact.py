"""Looks at what a run made before anybody loads it: complete, inside its folder, hashed, and of harmless kinds only."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ragd.domain.errors import ArtifactInvalid
from ragd.domain.learning import Role

# What must be there for each role; of a set one file suffices.
NEEDED: Final[Mapping[Role, tuple[frozenset[str], ...]]] = {
    Role.INDEX: (frozenset({"centroids.safetensors"}),),
    Role.QUERY_ADAPTER: (frozenset({"transform.json"}), frozenset({"transform.safetensors"})),
    Role.ENCODER: (frozenset({"config.json", "modules.json"}),),
    Role.GENERATOR: (frozenset({"config.json", "adapter_config.json"}),),
}
_TEXT: Final = frozenset({".json", ".jsonl", ".txt", ".md", ".jinja"})
_BINARY: Final = frozenset({".safetensors", ".onnx", ".onnx_data", ".data", ".model"})
_MOST_FILES: Final = 2_000
_HINT: Final = "save safetensors, ONNX and JSON files only, all in the folder that `train` returns"
_ZIP: Final = b"PK\x03\x04"  # what torch.save writes: pickles in a zip file


def inspect(folder: Path, within: Path, role: Role) -> dict[str, str]:
    """The files of an artefact, relative to it, with their SHA-256 in hex.

    Raises ArtifactInvalid when the folder is missing, empty or not inside `within`, when a file that the role needs is
    missing, for a link, and for a pickle or any other kind of file than the allowed ones.
    """
    real = folder.resolve()
    if not real.is_relative_to(within.resolve()) or real == within.resolve():
        raise ArtifactInvalid(f"the artefact {folder} is not a folder of its own inside {within}", hint=_HINT)
    if not real.is_dir():
        raise ArtifactInvalid(f"the artefact's folder {folder} does not exist", hint=_HINT)
    files = sorted(path for path in real.rglob("*") if path.is_symlink() or not path.is_dir())
    names = [path.relative_to(real).as_posix() for path in files]
    if not names or len(names) > _MOST_FILES:
        raise ArtifactInvalid(f"the artefact {folder} holds {'no' if not names else len(names)} files", hint=_HINT)
    for wanted in NEEDED[role]:
        if not wanted & set(names):
            raise ArtifactInvalid(
                f"the artefact has no {' or '.join(sorted(wanted))}, which a {role} needs", hint=_HINT
            )
    return {name: _checked(path, name) for path, name in zip(files, names, strict=True)}


def check_hashes(folder: Path, files: Mapping[str, str]) -> None:
    """Compares a stored artefact with the hashes that were taken of it. Raises ArtifactInvalid naming the file."""
    for name, sha256 in files.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactInvalid(f"{path} is missing", hint="roll back, or train again")
        if _sha256(path) != sha256:
            raise ArtifactInvalid(
                f"{path} is not the file that was made: its hash differs", hint="roll back, or train again"
            )


def _checked(path: Path, name: str) -> str:
    if path.is_symlink() or not path.is_file():
        raise ArtifactInvalid(f"{name} in the artefact is not a plain file", hint=_HINT)
    with path.open("rb") as file:
        head = file.read(16)
    is_pickle = head[:4] == _ZIP or (head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"))
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        try:
            _check_safetensors(path, name, head)
        except ArtifactInvalid as error:
            # Not before: the length of a header may begin like a pickle.
            if is_pickle:
                raise ArtifactInvalid(
                    f"{name} in the artefact is a pickle, which is never loaded", hint=_HINT
                ) from error
            raise
    elif is_pickle or suffix not in _TEXT | _BINARY:
        what = "a pickle" if is_pickle else f"a {suffix or 'nameless kind of'} file"
        raise ArtifactInvalid(f"{name} in the artefact is {what}, which is never loaded", hint=_HINT)
    elif suffix == ".json":
        _check_json(path, name)
    return _sha256(path)


def _check_safetensors(path: Path, name: str, head: bytes) -> None:
    """The format: the header's length (8 bytes, little endian), the header as JSON, then the tensors."""
    size = os.stat(path).st_size
    length = int.from_bytes(head[:8], "little")
    try:
        with path.open("rb") as file:
            file.seek(8)
            header = json.loads(file.read(length)) if 2 <= length <= min(size - 8, 100_000_000) else None
        ends = [int(tensor["data_offsets"][1]) for key, tensor in header.items() if key != "__metadata__"]  # type: ignore[union-attr]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise ArtifactInvalid(f"{name} in the artefact is not a safetensors file", hint=_HINT) from error
    if max(ends, default=0) + 8 + length != size:
        raise ArtifactInvalid(f"{name} in the artefact is cut off", hint=_HINT)


def _check_json(path: Path, name: str) -> None:
    try:
        json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ArtifactInvalid(f"{name} in the artefact is not JSON: {error}", hint=_HINT) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
