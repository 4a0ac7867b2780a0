"""The inbox: one entry a path, and never more than fit."""

from __future__ import annotations

from ragd.watch.inbox import Inbox, PathHint, ScanHint
from ragd.watch.settle import Kind


def test_the_last_hint_of_a_path_counts_and_scans_come_last() -> None:
    inbox = Inbox()
    inbox.put(ScanHint(1, b"d", "moved", 0.0))
    inbox.put(PathHint(1, b"a", Kind.CREATED, 1.0))
    inbox.put(PathHint(1, b"a", Kind.CLOSED, 2.0))
    inbox.put(PathHint(2, b"a", Kind.DELETED, 3.0))
    taken = inbox.take()
    assert taken == [
        PathHint(1, b"a", Kind.CLOSED, 2.0),
        PathHint(2, b"a", Kind.DELETED, 3.0),
        ScanHint(1, b"d", "moved", 0.0),
    ]
    assert inbox.take() == []


def test_an_announced_deletion_is_not_put_in_doubt_by_another_reason() -> None:
    inbox = Inbox()
    inbox.put(ScanHint(1, b"", "asked for", 0.0, accepts=3))
    inbox.put(ScanHint(1, b"", "inotify dropped events", 1.0))
    assert [hint.accepts for hint in inbox.take() if isinstance(hint, ScanHint)] == [3]


def test_more_paths_than_fit_become_one_scan_of_each_root() -> None:
    inbox = Inbox(limit=10)
    for number in range(25):
        inbox.put(PathHint(number % 2, b"%d" % number, Kind.CLOSED, 0.0))
    taken = inbox.take()
    scans = [hint for hint in taken if isinstance(hint, ScanHint)]
    assert {(scan.root_id, scan.folder) for scan in scans} == {(0, b""), (1, b"")}
    assert len(taken) - len(scans) <= 10


def test_more_folders_than_fit_become_one_scan_of_their_root() -> None:
    inbox = Inbox(limit=10)
    for number in range(25):
        inbox.put(ScanHint(1, b"%d" % number, "folder created", 0.0, must_settle=True))
    taken = inbox.take()
    assert len(taken) <= 10
    assert any(isinstance(hint, ScanHint) and not hint.folder for hint in taken)


def test_what_a_person_agreed_to_outlives_a_flood() -> None:
    inbox = Inbox(limit=10)
    inbox.put(ScanHint(1, b"", "confirmed", 0.0, accepts=3))
    for number in range(25):
        inbox.put(PathHint(1, b"%d" % number, Kind.CLOSED, 0.0))
    assert [hint.accepts for hint in inbox.take() if isinstance(hint, ScanHint)] == [3]


def test_waiting_ends_at_once_when_something_arrived_before() -> None:
    inbox = Inbox()
    inbox.put(PathHint(1, b"a", Kind.CLOSED, 0.0))
    inbox.wait(30.0)
    assert len(inbox.take()) == 1
    inbox.wake()
    inbox.wait(30.0)
    assert inbox.take() == []
