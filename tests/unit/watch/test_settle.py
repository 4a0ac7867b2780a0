"""Settle: when a path is at rest, told by a clock that only the test moves."""

from __future__ import annotations

from ragd.domain.documents import Stat
from ragd.watch.settle import Kind, Settle, Timings

NOW = 1_000_000.0


class Files:
    """What the file system says, path by path; `write` changes a file at a time."""

    def __init__(self) -> None:
        self.stats: dict[bytes, Stat] = {}

    def write(self, path: bytes, size: int, at: float) -> None:
        self.stats[path] = Stat(size, int(at * 1e9), int(at * 1e9), 1)

    def __call__(self, path: bytes) -> Stat | None:
        return self.stats.get(path)


def taken(settle: Settle, now: float, files: Files) -> list[bytes]:
    return [one.path for one in settle.due(now, files)]


def test_a_closed_file_is_taken_after_the_quiet_and_carries_both_times() -> None:
    settle, files = Settle(Timings()), Files()
    files.write(b"a", 1, NOW)
    settle.note(b"a", Kind.CREATED, NOW)
    settle.note(b"a", Kind.CLOSED, NOW + 0.1)
    assert taken(settle, NOW + 0.2, files) == []
    files.write(b"a", 2, NOW + 0.1)
    assert settle.next_due() is not None
    (one,) = settle.due(NOW + 0.41, files)
    assert (one.path, one.seen_at, one.stable_at, one.is_forced) == (b"a", NOW, NOW + 0.41, False)
    assert len(settle) == 0
    assert settle.next_due() is None


def test_each_write_starts_the_quiet_anew() -> None:
    settle, files = Settle(Timings()), Files()
    for tenth in range(0, 10, 2):
        at = NOW + tenth / 10
        files.write(b"a", tenth, at)
        settle.note(b"a", Kind.CLOSED, at)
        assert taken(settle, at, files) == []
    assert taken(settle, NOW + 1.0, files) == []
    assert taken(settle, NOW + 1.11, files) == [b"a"]


def test_an_event_that_came_late_does_not_make_the_file_wait_twice() -> None:
    settle, files = Settle(Timings()), Files()
    files.write(b"a", 1, NOW - 0.5)
    settle.note(b"a", Kind.MOVED, NOW)
    assert taken(settle, NOW, files) == [b"a"]


def test_a_file_clock_that_runs_ahead_is_not_believed() -> None:
    settle, files = Settle(Timings()), Files()
    files.write(b"a", 1, NOW + 3600)
    settle.note(b"a", Kind.CLOSED, NOW)
    assert taken(settle, NOW + 0.31, files) == [b"a"]


def test_a_deleted_path_is_taken_after_the_quiet_too_so_that_a_replacement_is_seen_as_one() -> None:
    settle, files = Settle(Timings()), Files()
    settle.note(b"a", Kind.DELETED, NOW)
    assert taken(settle, NOW + 0.2, files) == []
    assert taken(settle, NOW + 0.31, files) == [b"a"]


def test_an_unclosed_file_waits_until_size_and_time_stand_still() -> None:
    settle, files = Settle(Timings()), Files()
    files.write(b"a", 1, NOW)
    settle.note(b"a", Kind.CREATED, NOW)
    assert taken(settle, NOW, files) == []
    files.write(b"a", 2, NOW + 1.5)
    assert taken(settle, NOW + 2.0, files) == []
    assert taken(settle, NOW + 3.9, files) == []
    assert taken(settle, NOW + 4.0, files) == [b"a"]


def test_a_file_that_is_always_written_is_taken_every_ten_seconds_as_it_is() -> None:
    settle, files, times = Settle(Timings()), Files(), []
    settle.note(b"log", Kind.CREATED, NOW)
    for tick in range(350):
        now = NOW + tick / 10
        files.write(b"log", tick, now)
        times += [now - NOW for one in settle.due(now, files) if one.is_forced]
    assert times == [10.0, 20.0, 30.0]


def test_a_file_that_is_closed_all_the_time_is_taken_every_ten_seconds_as_it_is() -> None:
    settle, files, times = Settle(Timings()), Files(), []
    for tick in range(250):
        now = NOW + tick / 10
        files.write(b"log", tick, now)
        settle.note(b"log", Kind.CLOSED, now)
        times += [now - NOW for _ in settle.due(now, files)]
    assert len(times) == 2
    assert 10.0 <= times[0] <= 10.2
    assert 20.0 <= times[1] <= 20.4


def test_a_file_left_open_is_looked_at_until_it_has_been_idle_for_long() -> None:
    settle, files = Settle(Timings(open_for_s=60)), Files()
    files.write(b"log", 1, NOW)
    settle.note(b"log", Kind.CREATED, NOW)
    assert taken(settle, NOW + 2, files) == [b"log"]
    assert len(settle) == 0
    assert b"log" not in settle
    files.write(b"log", 2, NOW + 5)
    assert taken(settle, NOW + 12, files) == [b"log"]
    now = NOW + 12
    while (due := settle.next_due()) is not None:
        now = due
        assert taken(settle, now, files) == []
    assert 60 <= now - NOW - 12 <= 75


def test_a_file_heard_of_again_after_its_rest_is_a_new_change() -> None:
    settle, files = Settle(Timings()), Files()
    files.write(b"a", 1, NOW)
    settle.note(b"a", Kind.CREATED, NOW)
    assert taken(settle, NOW + 2, files) == [b"a"]
    files.write(b"a", 2, NOW + 3)
    settle.note(b"a", Kind.CLOSED, NOW + 3)
    assert len(settle) == 1
    (one,) = settle.due(NOW + 3.4, files)
    assert one.seen_at == NOW + 3
    assert settle.next_due() is None


def test_one_slot_a_path_however_often_it_is_heard_of() -> None:
    settle, files = Settle(Timings()), Files()
    files.write(b"a", 1, NOW)
    for _ in range(1000):
        settle.note(b"a", Kind.CLOSED, NOW)
    assert len(settle) == 1
    assert taken(settle, NOW + 1, files) == [b"a"]
    assert taken(settle, NOW + 100, files) == []
