"""reconcile: what each observation means for the catalog."""

from __future__ import annotations

import pytest

from ragd.domain.changes import Action, Known, Observation, Presence
from ragd.domain.documents import Stat
from ragd.plan.reconcile import reconcile

OLD = Stat(10, 100, 100, 1)
NEW = Stat(12, 200, 200, 1)
A, B = b"a" * 16, b"b" * 16


def known(stat: Stat = OLD, content_hash: bytes | None = A, *, is_failed: bool = False) -> Known:
    return Known(1, b"x.md", stat, content_hash, is_failed)


def present(stat: Stat = OLD, content_hash: bytes | None = A, problem: str = "") -> Observation:
    return Observation(b"x.md", Presence.PRESENT, stat, content_hash, problem)


GONE = Observation(b"x.md", Presence.GONE)
UNKNOWN = Observation(b"x.md", Presence.UNKNOWN)


@pytest.mark.parametrize(
    ("seen", "row", "action"),
    [
        (present(), None, Action.ADD),
        (present(content_hash=None), None, Action.ADD),
        (present(), known(), Action.NOTHING),
        (present(content_hash=None), known(), Action.NOTHING),
        (present(NEW), known(), Action.TOUCH),
        (present(NEW, B), known(), Action.MODIFY),
        (present(NEW, None), known(), Action.MODIFY),
        (present(NEW, None), known(content_hash=None), Action.MODIFY),
        (GONE, known(), Action.DELETE),
        (GONE, known(is_failed=True), Action.DELETE),
        (GONE, None, Action.NOTHING),
        (UNKNOWN, known(), Action.NOTHING),
        (UNKNOWN, None, Action.NOTHING),
        (present(content_hash=None, problem="is a socket"), None, Action.FAIL),
        (present(content_hash=None, problem="is a socket"), known(), Action.FAIL),
        (present(content_hash=None, problem="is a socket"), known(is_failed=True), Action.NOTHING),
        (present(NEW, None, "is a socket"), known(is_failed=True), Action.FAIL),
    ],
)
def test_each_observation_has_one_meaning(seen: Observation, row: Known | None, action: Action) -> None:
    (change,) = reconcile([seen], {} if row is None else {row.path: row})
    assert change.action is action
    assert change.observation is seen
    assert change.known is row


def test_a_failed_document_whose_bytes_failed_is_left_alone_until_it_changes() -> None:
    row = known(is_failed=True)
    assert reconcile([present()], {b"x.md": row})[0].action is Action.NOTHING
    assert reconcile([present(NEW)], {b"x.md": row})[0].action is Action.MODIFY


def test_a_problem_of_the_path_that_is_over_makes_the_document_tried_again() -> None:
    row = known(content_hash=None, is_failed=True)
    assert reconcile([present()], {b"x.md": row})[0].action is Action.MODIFY


def test_the_last_observation_of_a_path_counts() -> None:
    changes = reconcile([GONE, present(NEW, B)], {b"x.md": known()})
    assert [change.action for change in changes] == [Action.MODIFY]
