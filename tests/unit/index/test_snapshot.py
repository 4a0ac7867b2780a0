from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragd.domain.errors import DiskFull, GenerationCorrupt, NotFound
from ragd.domain.index import EmbeddingSpace, IndexPolicy, Vectors
from ragd.index.exact import ExactIndex
from ragd.index.generation import Generation
from ragd.index.snapshot import kept_sequences, load_newest, write_snapshot

DIMENSION = 16
POLICY = IndexPolicy(ivf_above=200, exact_below=100)
NOTHING = np.empty(0, np.int64)


def unit(rows: int, seed: int) -> Vectors:
    vectors: Vectors = np.random.default_rng(seed).standard_normal((rows, DIMENSION), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def generation_of(rows: int, sequence: int) -> Generation:
    generation = Generation(ExactIndex(DIMENSION), POLICY)
    generation.apply(np.arange(rows), unit(rows, seed=0), NOTHING, sequence=sequence)
    return generation


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("rows", [0, 1, 150, 300])
def test_a_snapshot_comes_back_as_it_was(tmp_path: Path, space: EmbeddingSpace, rows: int) -> None:
    generation = generation_of(rows, sequence=42)
    generation.maintain()
    generation.wait_settled(60)
    manifest = write_snapshot(tmp_path / "g", space, generation)
    loaded = load_newest(tmp_path / "g", space, POLICY)
    assert loaded.manifest == manifest
    assert loaded.refused == ()
    assert loaded.generation.sequence == 42
    assert loaded.generation.facts() == generation.facts()
    assert loaded.generation.ids().tolist() == list(range(rows))
    assert (manifest.kind, manifest.chunks) == ("ivf" if rows >= 200 else "exact", rows)


def test_only_the_newest_two_are_kept(tmp_path: Path, space: EmbeddingSpace) -> None:
    for sequence in (1, 2, 3, 4):
        write_snapshot(tmp_path, space, generation_of(10 * sequence, sequence))
    assert names(tmp_path) == ["00000003", "00000004"]
    assert kept_sequences(tmp_path) == (4, 3)
    assert load_newest(tmp_path, space, POLICY).manifest.sequence == 4


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip_a_bit, cut_short, empty, Path.unlink], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", ["index.faiss", "manifest.json"])
def test_a_damaged_snapshot_gives_way_to_the_one_before(
    tmp_path: Path, space: EmbeddingSpace, damage: object, name: str
) -> None:
    assert callable(damage)
    write_snapshot(tmp_path, space, generation_of(10, sequence=1))
    write_snapshot(tmp_path, space, generation_of(20, sequence=2))
    damage(tmp_path / "00000002" / name)
    loaded = load_newest(tmp_path, space, POLICY)
    assert loaded.manifest.sequence == 1
    assert len(loaded.generation) == 10
    assert len(loaded.refused) == 1
    assert name in loaded.refused[0]
    damage(tmp_path / "00000001" / name)
    with pytest.raises(GenerationCorrupt, match=name) as refused:
        load_newest(tmp_path, space, POLICY)
    assert refused.value.hint


def test_a_manifest_that_tells_another_sequence_is_refused(tmp_path: Path, space: EmbeddingSpace) -> None:
    write_snapshot(tmp_path, space, generation_of(10, sequence=1))
    path = tmp_path / "00000001" / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"sequence": 1', b'"sequence": 9'))
    with pytest.raises(GenerationCorrupt, match="seal"):
        load_newest(tmp_path, space, POLICY)


def test_a_damaged_snapshot_does_not_push_out_a_good_one(tmp_path: Path, space: EmbeddingSpace) -> None:
    write_snapshot(tmp_path, space, generation_of(10, sequence=1))
    write_snapshot(tmp_path, space, generation_of(20, sequence=2))
    cut_short(tmp_path / "00000002" / "index.faiss")
    write_snapshot(tmp_path, space, generation_of(30, sequence=3))
    assert names(tmp_path) == ["00000001", "00000003"]


def test_a_snapshot_of_another_model_or_format_is_refused(tmp_path: Path, space: EmbeddingSpace) -> None:
    write_snapshot(tmp_path, space, generation_of(10, sequence=1))
    with pytest.raises(GenerationCorrupt, match="another model"):
        load_newest(tmp_path, replace(space, fingerprint="0" * 32), POLICY)
    path = tmp_path / "00000001" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "format": 2}))
    with pytest.raises(GenerationCorrupt, match="format 2"):
        load_newest(tmp_path, space, POLICY)


def test_no_snapshot_at_all_is_told_apart_from_a_bad_one(tmp_path: Path, space: EmbeddingSpace) -> None:
    with pytest.raises(NotFound, match="no snapshot"):
        load_newest(tmp_path / "never", space, POLICY)


def test_what_a_kill_left_behind_is_neither_loaded_nor_kept(tmp_path: Path, space: EmbeddingSpace) -> None:
    write_snapshot(tmp_path, space, generation_of(10, sequence=1))
    half = tmp_path / ".00000002"
    half.mkdir()
    (half / "index.faiss").write_bytes(b"half")
    assert load_newest(tmp_path, space, POLICY).manifest.sequence == 1
    write_snapshot(tmp_path, space, generation_of(20, sequence=2))
    assert names(tmp_path) == ["00000001", "00000002"]
    assert load_newest(tmp_path, space, POLICY).manifest.sequence == 2


def test_a_full_disk_leaves_the_old_snapshots_and_nothing_else(
    tmp_path: Path, space: EmbeddingSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_snapshot(tmp_path, space, generation_of(10, sequence=1))

    def full(self: ExactIndex, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ExactIndex, "write", full)
    with pytest.raises(DiskFull):
        write_snapshot(tmp_path, space, generation_of(20, sequence=2))
    assert names(tmp_path) == ["00000001"]


def test_a_snapshot_is_flushed_before_it_gets_its_name(
    tmp_path: Path, space: EmbeddingSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[str, list[str]]] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        flushed.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, names(tmp_path)))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    write_snapshot(tmp_path, space, generation_of(10, sequence=1))
    assert flushed == [
        ("index.faiss", [".00000001"]),
        ("manifest.json", [".00000001"]),
        (".00000001", [".00000001"]),
        (tmp_path.name, ["00000001"]),
    ]


def test_loading_changes_nothing_in_the_folder(tmp_path: Path, space: EmbeddingSpace) -> None:
    write_snapshot(tmp_path, space, generation_of(250, sequence=1))
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in tmp_path.rglob("*")}
    generation = load_newest(tmp_path, space, POLICY).generation
    generation.apply(np.array([9_999]), unit(1, seed=1), np.arange(100))
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in tmp_path.rglob("*")} == before
