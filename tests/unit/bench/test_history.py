"""The replayed history: what a revision does to a tree, and what of the past a tree no longer has."""

from __future__ import annotations

import json
from pathlib import Path

from bench.history import Revision, between, old_passages, read_history, write_tree

FIRST = {"a.md": "one", "b/c.md": "two"}


def test_a_revision_deletes_moves_and_writes() -> None:
    revision = Revision("r", {"d.md": "new"}, {"b/c.md": "c.md"}, ("a.md",))
    assert revision.apply(dict(FIRST)) == {"c.md": "two", "d.md": "new"}
    assert revision.chars == 3


def test_what_is_written_to_disk_is_the_tree_after_the_revision(tmp_path: Path) -> None:
    write_tree(tmp_path, Revision("first", FIRST, {}, ()))
    write_tree(tmp_path, Revision("next", {"d.md": "new\r\n"}, {"b/c.md": "e/c.md"}, ("a.md",)))
    found = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*.md")}
    assert found == {"e/c.md": b"two", "d.md": b"new\r\n"}


def test_the_way_between_two_trees_leads_there_and_touches_nothing_else() -> None:
    after = {"a.md": "one", "d.md": "three"}
    step = between(FIRST, after, "there")
    assert (dict(step.write), step.delete) == ({"d.md": "three"}, ("b/c.md",))
    assert step.apply(dict(FIRST)) == after


def test_only_passages_that_are_gone_are_of_the_past() -> None:
    kept, lost = "kept " * 20, "lost " * 20
    past = [{"a.md": f"{kept}\n\n{lost}\n\nshort"}]
    assert old_passages(past, {"b.md": f"elsewhere\n\n{kept}"}, limit=5) == [lost]


def test_a_part_of_a_history_is_read(tmp_path: Path) -> None:
    lines = [{"revision": str(n), "time": n, "write": {"a.md": str(n)}, "move": {}, "delete": []} for n in range(5)]
    (tmp_path / "history.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert [revision.name for revision in read_history(tmp_path / "history.jsonl", 3)] == ["0", "1", "2"]
    assert len(list(read_history(tmp_path / "history.jsonl"))) == 5
