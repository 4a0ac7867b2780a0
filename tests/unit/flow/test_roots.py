"""Configured folders that are replaced while somebody goes through them."""

from __future__ import annotations

from ragd.flow.roots import Roots


def test_whoever_goes_through_them_sees_one_state() -> None:
    roots = Roots({1: b"/a", 2: b"/b"})
    ids, items, values = iter(roots), iter(roots.items()), iter(roots.values())
    roots.replace({3: b"/c"})
    assert list(ids) == [1, 2]
    assert list(items) == [(1, b"/a"), (2, b"/b")]
    assert list(values) == [b"/a", b"/b"]
    assert dict(roots) == {3: b"/c"}
    assert 1 not in roots
    assert len(roots) == 1
