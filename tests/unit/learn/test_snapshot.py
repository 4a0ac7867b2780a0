"""A snapshot reads back as it was written, lazily, and is refused when a byte of it changed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ragd.domain.errors import ArtifactInvalid, TrainingFailed
from ragd.domain.learning import Chunk, Data, Needs, Pair, Prompt, Snapshot
from ragd.domain.training import Preparation, RunPlaces
from ragd.learn.snapshot import (
    SnapshotParts,
    is_prepared,
    read_preparation,
    read_snapshot,
    write_preparation,
    write_snapshot,
)

PARTS = SnapshotParts(
    chunks=[Chunk(7 * n, n // 2, "notes", f"{n // 2}.md", f"Heading\n\ntext {n} 梵語 \u2028 \ud800") for n in range(5)],
    vectors=np.arange(20, dtype=np.float16).reshape(5, 4),
    pairs=[Pair("query", (7, 0), (14,), 0.5, 0.25, "journal", 12.0), Pair("other", (21,))],
    validation_pairs=[Pair("third", (28,))],
    prompts=[Prompt("why?", "because")],
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    manifest = write_snapshot(tmp_path / "data", PARTS, {"seed": 3, "report": {"given": 3}})
    data = read_snapshot(tmp_path / "data")
    snapshot: Snapshot = data
    assert snapshot.chunks[1].text == "Heading\n\ntext 1 梵語 \u2028 ?"
    assert [chunk.id for chunk in snapshot.chunks] == [0, 7, 14, 21, 28]
    assert snapshot.chunks[-1] == snapshot.chunks[4:][0]
    assert list(snapshot.pairs) == PARTS.pairs
    assert list(snapshot.validation_pairs) == PARTS.validation_pairs
    assert list(snapshot.prompts) == PARTS.prompts
    np.testing.assert_array_equal(snapshot.vectors, PARTS.vectors)
    assert snapshot.rows([28, 0]).tolist() == [4, 0]
    assert data.manifest == manifest
    assert manifest.counts == {"chunks": 5, "pairs": 2, "validation": 1, "prompts": 1}
    with pytest.raises(KeyError):
        snapshot.rows([1])
    with pytest.raises(IndexError):
        snapshot.chunks[5]
    with pytest.raises(ValueError, match="read-only"):
        snapshot.vectors[0, 0] = 1


def test_an_empty_snapshot_is_one_too(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "data", SnapshotParts(), {})
    data = read_snapshot(tmp_path / "data")
    assert (len(data.chunks), len(data.pairs), data.vectors.shape) == (0, 0, (0, 0))


def test_equal_data_has_an_equal_hash_and_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    first = write_snapshot(tmp_path / "data", PARTS, {"run": "a"})
    (tmp_path / "data" / "left-over").write_text("x")
    again = write_snapshot(tmp_path / "data", PARTS, {"run": "b"})
    other = write_snapshot(tmp_path / "other", SnapshotParts(chunks=PARTS.chunks), {"run": "a"})
    assert first.data_sha256 == again.data_sha256 != other.data_sha256
    assert not (tmp_path / "data" / "left-over").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "other"]


@pytest.mark.parametrize("name", ["chunks.jsonl", "pairs.jsonl", "validation.jsonl", "prompts.jsonl", "vectors.npy"])
def test_a_file_that_was_touched_or_lost_is_named(tmp_path: Path, name: str) -> None:
    write_snapshot(tmp_path / "data", PARTS, {})
    path = tmp_path / "data" / name
    path.write_bytes(path.read_bytes()[:-1] + b"~")
    with pytest.raises(ArtifactInvalid, match=name):
        read_snapshot(tmp_path / "data")
    path.unlink()
    with pytest.raises(ArtifactInvalid, match=name):
        read_snapshot(tmp_path / "data")


def test_a_manifest_that_is_not_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match=r"manifest\.json"):
        read_snapshot(tmp_path)
    write_snapshot(tmp_path / "data", PARTS, {})
    path = tmp_path / "data" / "manifest.json"
    raw = json.loads(path.read_text())
    broken: object
    for broken in ({**raw, "format": 99}, {**raw, "files": {}}, {**raw, "more": 1}, []):
        path.write_text(json.dumps(broken))
        with pytest.raises(ArtifactInvalid):
            read_snapshot(tmp_path / "data")


def test_a_run_is_prepared_only_when_its_data_is_whole(tmp_path: Path) -> None:
    places = RunPlaces(tmp_path)
    (tmp_path / ".data.new").mkdir()
    assert not is_prepared(places)
    write_snapshot(places.data, PARTS, {})
    assert is_prepared(places)


def test_a_preparation_reads_back_and_a_broken_one_is_named(tmp_path: Path) -> None:
    places = RunPlaces(tmp_path / "run")
    preparation = Preparation("/state", Needs(Data.PAIRS, 90), pairs=("/a.jsonl",), has_journal=True)
    write_preparation(places, preparation)
    assert read_preparation(places) == preparation
    places.preparation.write_text("{}")
    with pytest.raises(TrainingFailed, match=r"preparation\.json"):
        read_preparation(places)
