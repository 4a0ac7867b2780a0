"""One file an index: FAISS's own bytes, then ids and facts in a trailer that FAISS does not read.

    [FAISS][ids: int64, little endian][facts: JSON, UTF-8][lengths of the three: 3 x uint64][magic: 8 bytes]

FAISS is given a callback to write to, not a path: its own file writer only prints when the last
buffer does not fit on the disk, and would leave a short file that looks written.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from ragd.domain.errors import GenerationCorrupt
from ragd.domain.index import Ids

_MAGIC = b"RAGDIX01"
_LENGTHS = struct.Struct("<3Q")
_BLOCK_BYTES = 1 << 20
_REBUILD_HINT = "the index is rebuilt from the catalog when the daemon starts; nothing is embedded again"


def write_container(path: Path, index: Any, ids: Ids, facts: dict[str, float | int | str]) -> None:
    """Writes one index file at `path`, over what is there. Raises OSError, for example for a full disk."""
    with path.open("wb") as file:
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write, _BLOCK_BYTES))
        faiss_bytes = file.tell()
        file.write(np.ascontiguousarray(ids, dtype="<i8").data)
        encoded = json.dumps(facts, sort_keys=True).encode()
        file.write(encoded)
        file.write(_LENGTHS.pack(faiss_bytes, ids.size * 8, len(encoded)))
        file.write(_MAGIC)


def read_container(path: Path) -> tuple[Any, Ids, dict[str, Any]]:
    """The FAISS index, ids and facts of a file that `write_container` wrote.

    Raises GenerationCorrupt when the file is missing, short or not such a file. It finds a torn file,
    not a flipped bit: check a checksum first.
    """
    try:
        ids, facts = _read_trailer(path)
        return faiss.read_index(str(path)), ids, facts
    except (OSError, RuntimeError, ValueError, MemoryError, struct.error) as error:
        cause = str(error).partition("\n")[0]
        raise GenerationCorrupt(f"{path}: not a readable index file: {cause}", hint=_REBUILD_HINT) from error


def _read_trailer(path: Path) -> tuple[Ids, dict[str, Any]]:
    end_bytes = _LENGTHS.size + len(_MAGIC)
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if size < end_bytes:
            raise ValueError("shorter than its trailer")
        file.seek(size - end_bytes)
        end = file.read(end_bytes)
        if end[_LENGTHS.size :] != _MAGIC:
            raise ValueError("no trailer at its end")
        faiss_bytes, ids_bytes, facts_bytes = _LENGTHS.unpack_from(end)
        if faiss_bytes + ids_bytes + facts_bytes + end_bytes != size:
            raise ValueError("its length is not the one its trailer gives")
        file.seek(faiss_bytes)
        ids = np.frombuffer(file.read(ids_bytes), dtype="<i8").astype(np.int64)
        facts = json.loads(file.read(facts_bytes))
    return ids, facts
