"""Looks whether a model's files are there and are what they are said to be, hashing them anew, changing nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ragd.domain.errors import ModelUnavailable
from ragd.embed.folder import read_folder
from ragd.embed.package import find_model
from ragd.embed.stamps import sha256_of

# No stamp can lie below it: every file is hashed.
_NOWHERE = Path(os.devnull)


def examine(model: str, kind: str) -> str:
    """The name of a model that is in order; `kind` is onnx or sbert. Raises ModelUnavailable or ModelMismatch."""
    source = find_model(model, _NOWHERE)
    read_folder(source.folder)
    for path in source.weights:
        if path.suffix == ".safetensors":
            _whole(path)
    return source.name


def damaged_exports(models: Path) -> tuple[Path, ...]:
    """Exported graphs below a state folder's models whose files are missing or are not what their card says."""
    found: list[Path] = []
    for card in sorted(models.glob("*/*/*.json")):
        try:
            told = json.loads(card.read_text("utf-8"))
            files = dict(told["files"])
            if "source_sha256" not in told:
                continue
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            continue  # none of ours, or one that the encoder makes anew by itself
        for name, expected in files.items():
            try:
                is_good = sha256_of(card.parent / str(name), _NOWHERE) == expected
            except OSError:
                is_good = False
            if not is_good:
                found.append(card.parent / str(name))
    return tuple(found)


def _whole(path: Path) -> None:
    """Raises ModelUnavailable for a file of tensors whose header does not fit its size."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        size = os.fstat(file.fileno()).st_size
        try:
            header = json.loads(file.read(length)) if 2 <= length <= min(size - 8, 100_000_000) else None
            ends = [int(t["data_offsets"][1]) for name, t in header.items() if name != "__metadata__"]  # type: ignore[union-attr]
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
            raise ModelUnavailable(f"{path} is not a safetensors file", hint="copy the model folder again") from error
    if max(ends, default=0) + 8 + length != size:
        raise ModelUnavailable(f"{path} is cut off or too long", hint="copy the model folder again")
