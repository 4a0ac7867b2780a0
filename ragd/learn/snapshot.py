"""The frozen data of one run: written once with a hash over everything, read lazily, refused when it was touched."""

from __future__ import annotations

import hashlib
import json
import mmap
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, overload

import numpy as np

from ragd.disk.atomic import no_room_named, sync_folder, write_atomic
from ragd.domain.errors import ArtifactInvalid, TrainingFailed
from ragd.domain.index import HalfVectors, Ids, Vectors
from ragd.domain.learning import Chunk, Data, Needs, Pair, Prompt
from ragd.domain.training import Preparation, RunPlaces

FORMAT: Final = 1
_MANIFEST: Final = "manifest.json"
_VECTORS: Final = "vectors.npy"
_QUERIES: Final = "queries.npy"
_LINES: Final = ("chunks.jsonl", "pairs.jsonl", "validation.jsonl", "prompts.jsonl")

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class SnapshotParts:
    """What a snapshot holds: chunks in the order of `vectors` (n, dimension), and examples.

    `query_vectors` (float32, unit length) are of the labelled training pairs and then of the validation pairs, in their
    order: no trainer need encode them again.
    """

    chunks: Sequence[Chunk] = ()
    vectors: HalfVectors = field(default_factory=lambda: np.empty((0, 0), np.float16))
    pairs: Sequence[Pair] = ()
    validation_pairs: Sequence[Pair] = ()
    prompts: Sequence[Prompt] = ()
    query_vectors: Vectors = field(default_factory=lambda: np.empty((0, 0), np.float32))


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot says of itself; `facts` are seed, generation, fingerprint, split, report and the like."""

    data_sha256: str
    files: Mapping[str, str]
    counts: Mapping[str, int]
    facts: Mapping[str, Any]


def write_snapshot(folder: Path, parts: SnapshotParts, facts: Mapping[str, Any]) -> Manifest:
    """Writes the snapshot of a run whole: into a folder beside, then renamed into place; an older one goes.

    Equal parts give an equal `data_sha256`. Raises DiskFull.
    """
    work = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(work, ignore_errors=True)
    with no_room_named(work):
        work.mkdir(parents=True, mode=0o700)
        named = dict(zip(_LINES, (parts.chunks, parts.pairs, parts.validation_pairs, parts.prompts), strict=True))
        for name, items in named.items():
            _write_lines(work / name, items)
        np.save(work / _VECTORS, np.ascontiguousarray(parts.vectors, np.float16), allow_pickle=False)
        np.save(work / _QUERIES, np.ascontiguousarray(parts.query_vectors, np.float32), allow_pickle=False)
        files = {name: _sha256(work / name) for name in sorted((*_LINES, _VECTORS, _QUERIES))}
        joint = hashlib.sha256("".join(f"{name} {digest}\n" for name, digest in files.items()).encode()).hexdigest()
        counts = {name.removesuffix(".jsonl"): len(items) for name, items in named.items()}
        manifest = Manifest(joint, files, counts, dict(facts))
        text = json.dumps({"format": FORMAT, **asdict(manifest)}, ensure_ascii=False, indent=1)
        write_atomic(work / _MANIFEST, text.encode() + b"\n")
        shutil.rmtree(folder, ignore_errors=True)
        work.rename(folder)
        sync_folder(folder.parent)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a snapshot. Raises ArtifactInvalid when there is none or it is not in order."""
    try:
        raw = json.loads((folder / _MANIFEST).read_bytes())
        if raw.pop("format") != FORMAT:
            raise ValueError("another format")
        manifest = Manifest(**raw)
        if manifest.files.keys() != {*_LINES, _VECTORS, _QUERIES}:
            raise ValueError("other files than a snapshot has")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ArtifactInvalid(
            f"{folder / _MANIFEST} cannot be read: {error}", hint="start the run anew: its data is damaged"
        ) from error
    return manifest


def read_snapshot(folder: Path) -> FrozenSnapshot:
    """The snapshot in a folder, its files compared with their hashes first.

    Raises ArtifactInvalid naming the file that is missing or not what was written.
    """
    manifest = read_manifest(folder)
    for name, digest in manifest.files.items():
        try:
            found = _sha256(folder / name)
        except OSError as error:
            found = str(error.strerror or error)
        if found != digest:
            raise ArtifactInvalid(
                f"{folder / name} is not what was written: {found[:16]}", hint="start the run anew: its data is damaged"
            )
    return FrozenSnapshot(folder, manifest)


class FrozenSnapshot:
    """A `domain.learning.Snapshot` over files: lines are parsed when they are asked for, vectors are mapped."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.manifest = manifest
        self._folder = folder

    @cached_property
    def chunks(self) -> Sequence[Chunk]:
        """Chunks in the order of `vectors`."""
        return _Lines(self._folder / "chunks.jsonl", lambda raw: Chunk(**raw))

    @cached_property
    def vectors(self) -> HalfVectors:
        """Vectors of the chunks, (n, dimension), float16, read-only."""
        found: HalfVectors = np.load(self._folder / _VECTORS, mmap_mode="r", allow_pickle=False)
        return found

    @cached_property
    def pairs(self) -> Sequence[Pair]:
        """Training pairs."""
        return _Lines(self._folder / "pairs.jsonl", _pair)

    @cached_property
    def validation_pairs(self) -> Sequence[Pair]:
        """Pairs to choose settings by."""
        return _Lines(self._folder / "validation.jsonl", _pair)

    @cached_property
    def query_vectors(self) -> Mapping[str, Vectors]:
        """Vectors of queries that were encoded when the data was made, by their text; (dimension,) each, float32."""
        rows: Vectors = np.load(self._folder / _QUERIES, mmap_mode="r", allow_pickle=False)
        labelled = [pair.query for pair in self.pairs if pair.source != "heading"]
        asked = [*labelled, *(pair.query for pair in self.validation_pairs)]
        return dict(zip(asked, rows, strict=True)) if len(rows) else {}

    @cached_property
    def prompts(self) -> Sequence[Prompt]:
        """Training prompts."""
        return _Lines(self._folder / "prompts.jsonl", lambda raw: Prompt(**raw))

    def rows(self, chunk_ids: Sequence[int]) -> Ids:
        """Where these chunks stand, shape (n,). Raises KeyError for an unknown id."""
        places = self._places
        return np.array([places[int(chunk_id)] for chunk_id in chunk_ids], dtype=np.int64)

    @cached_property
    def _places(self) -> dict[int, int]:
        return {chunk.id: place for place, chunk in enumerate(self.chunks)}


def write_preparation(places: RunPlaces, preparation: Preparation) -> None:
    """Durably writes what the two processes around a run need to know."""
    places.folder.mkdir(parents=True, exist_ok=True)
    write_atomic(places.preparation, json.dumps(asdict(preparation), ensure_ascii=False, indent=1).encode() + b"\n")


def read_preparation(places: RunPlaces) -> Preparation:
    """What `write_preparation` wrote. Raises TrainingFailed when it is missing or not in order."""
    try:
        raw = json.loads(places.preparation.read_bytes())
        needs = Needs(Data(raw["needs"]["data"]), int(raw["needs"]["least"]))
        given = {**raw, "needs": needs, "pairs": tuple(raw["pairs"]), "prompts": tuple(raw["prompts"])}
        return Preparation(**given)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise TrainingFailed(
            f"{places.preparation} cannot be read: {error}", hint="start the run anew with `ragd train`"
        ) from error


def is_prepared(places: RunPlaces) -> bool:
    """Whether the data of a run lies there whole: it is renamed into place when it is."""
    return (places.data / _MANIFEST).is_file()


class _Lines(Sequence[Item], Generic[Item]):
    """A JSONL file as a sequence; an item is parsed each time it is asked for."""

    def __init__(self, path: Path, parse: Callable[[dict[str, Any]], Item]) -> None:
        self._parse = parse
        with path.open("rb") as file:
            size = file.seek(0, 2)
            self._bytes: mmap.mmap | bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        self._starts = [0]
        at = self._bytes.find(b"\n")
        while at >= 0:
            self._starts.append(at + 1)
            at = self._bytes.find(b"\n", at + 1)

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, place: int) -> Item: ...
    @overload
    def __getitem__(self, place: slice) -> list[Item]: ...
    def __getitem__(self, place: int | slice) -> Item | list[Item]:
        if isinstance(place, slice):
            return [self[at] for at in range(*place.indices(len(self)))]
        at = place + len(self) if place < 0 else place
        if not 0 <= at < len(self):
            raise IndexError(place)
        return self._parse(json.loads(self._bytes[self._starts[at] : self._starts[at + 1]]))


def _pair(raw: dict[str, Any]) -> Pair:
    return Pair(**{**raw, "positives": tuple(raw["positives"]), "negatives": tuple(raw["negatives"])})


def _write_lines(path: Path, items: Iterable[Any]) -> None:
    with path.open("w", encoding="utf-8", errors="replace") as file:
        for item in items:
            # Values of these dataclasses are plain, and asdict would copy them deeply: 200,000 chunks feel that.
            row = {name: getattr(item, name) for name in item.__slots__}
            file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
