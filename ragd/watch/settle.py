"""When a path has come to rest: one slot a path, the clock and the file system passed in."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from ragd.domain.documents import Stat


class Kind(StrEnum):
    """What was heard of a path. Only `created` leaves open whether somebody still writes."""

    CREATED = "created"
    CLOSED = "closed"
    MOVED = "moved"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds of quiet after `closed`, `moved` or `deleted`; of a steady size and time without; and at most in all.

    A file that rested without being closed may still be open: it is looked at every `max_wait_s` until nothing
    happened for `open_for_s`.
    """

    settle_s: float = 0.3
    unclosed_s: float = 2.0
    max_wait_s: float = 10.0
    open_for_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Settled:
    """A path to look at now: first heard of at `seen_at`, at rest (or taken as it is) at `stable_at`, Unix seconds."""

    path: bytes
    seen_at: float
    stable_at: float
    is_forced: bool = False


@dataclass(slots=True)
class _Slot:
    """What is known of one path between its first event and its rest."""

    kind: Kind
    seen_at: float
    heard_at: float
    due_at: float
    stat: Stat | None = None
    steady_since: float | None = None  # None: not looked at yet
    is_taken: bool = False  # it rested unclosed and was handed out; kept only to see whether it changes


StatOf = Callable[[bytes], Stat | None]
_MAX_TAKEN = 1000


class Settle:
    """The slots of one root. A path that never rests is handed out every `max_wait_s` as it is."""

    def __init__(self, timings: Timings) -> None:
        self._timings = timings
        self._slots: dict[bytes, _Slot] = {}
        self._queue: list[tuple[float, bytes]] = []
        self._taken = 0

    def __len__(self) -> int:
        """Paths that wait to be handed out."""
        return len(self._slots) - self._taken

    def __contains__(self, path: bytes) -> bool:
        slot = self._slots.get(path)
        return slot is not None and not slot.is_taken

    def note(self, path: bytes, kind: Kind, now: float) -> None:
        """Something was heard of `path` at `now`; the last thing heard decides what it waits for."""
        slot = self._slots.get(path)
        if slot is None:
            slot = self._slots[path] = _Slot(kind, seen_at=now, heard_at=now, due_at=now)
        elif slot.is_taken:
            self._taken -= 1
            slot.is_taken = False
            slot.seen_at = now
        slot.kind = kind
        slot.heard_at = now
        slot.steady_since = None
        # Looked at right away: the file's own times often say that it has been at rest for a while.
        self._schedule(path, slot, now)

    def due(self, now: float, stat_of: StatOf) -> list[Settled]:
        """Paths that are at rest at `now`, or have kept everyone waiting for too long.

        `stat_of` gives what the file system says of a path, None when nothing is there.
        """
        settled: list[Settled] = []
        while self._queue and self._queue[0][0] <= now:
            due_at, path = heapq.heappop(self._queue)
            slot = self._slots.get(path)
            if slot is None or slot.due_at != due_at:
                continue  # heard of again since, or handed out
            one = self._look(path, slot, now, stat_of(path))
            if one is not None:
                settled.append(one)
        return settled

    def next_due(self) -> float | None:
        """When to ask `due` again, None when no slot is open."""
        while self._queue:
            due_at, path = self._queue[0]
            slot = self._slots.get(path)
            if slot is not None and slot.due_at == due_at:
                return due_at
            heapq.heappop(self._queue)
        return None

    def drop(self, prefix: bytes) -> None:
        """Forgets every path that begins with `prefix` (a folder with its `/`): it became ignored."""
        for path in [one for one in self._slots if one.startswith(prefix)]:
            self._taken -= self._slots.pop(path).is_taken

    def _look(self, path: bytes, slot: _Slot, now: float, stat: Stat | None) -> Settled | None:
        times = self._timings
        if slot.is_taken:
            return self._look_again(path, slot, now, stat)
        if slot.kind is Kind.CREATED and stat is not None:
            if slot.steady_since is None or stat != slot.stat:
                slot.steady_since = _changed_at(stat, now) if slot.steady_since is None else now
                slot.stat = stat
            rests_at = slot.steady_since + times.unclosed_s
        else:
            changed_at = slot.heard_at if stat is None else _changed_at(stat, slot.heard_at)
            rests_at = changed_at + times.settle_s
        if now >= rests_at:
            return self._hand_out(path, slot, now, is_forced=False)
        if now >= slot.seen_at + times.max_wait_s:
            return self._hand_out(path, slot, now, is_forced=True)
        self._schedule(path, slot, min(rests_at, slot.seen_at + times.max_wait_s))
        return None

    def _hand_out(self, path: bytes, slot: _Slot, now: float, *, is_forced: bool) -> Settled:
        settled = Settled(path, slot.seen_at, now, is_forced)
        if slot.kind is not Kind.CREATED or slot.stat is None:
            # Whatever happens to it next is heard.
            del self._slots[path]
        elif is_forced:
            slot.seen_at = now
            self._schedule(path, slot, min(now + self._timings.unclosed_s, now + self._timings.max_wait_s))
        elif self._taken < _MAX_TAKEN:
            self._taken += 1
            slot.is_taken = True
            self._schedule(path, slot, now + self._timings.max_wait_s)
        else:
            del self._slots[path]
        return settled

    def _look_again(self, path: bytes, slot: _Slot, now: float, stat: Stat | None) -> Settled | None:
        """A file that rested unclosed: handed out again when it changed behind everyone's back."""
        quiet_since = slot.steady_since if slot.steady_since is not None else now
        if stat is None or (stat == slot.stat and now - quiet_since >= self._timings.open_for_s):
            self._taken -= 1
            del self._slots[path]
            return None
        settled = None
        if stat != slot.stat:
            settled = Settled(path, seen_at=now, stable_at=now, is_forced=True)
            slot.stat, slot.steady_since = stat, now
        self._schedule(path, slot, now + self._timings.max_wait_s)
        return settled

    def _schedule(self, path: bytes, slot: _Slot, due_at: float) -> None:
        slot.due_at = due_at
        heapq.heappush(self._queue, (due_at, path))


def _changed_at(stat: Stat, heard_at: float) -> float:
    """When the file last changed, as far as its own change time can be believed: events come late, clocks differ."""
    changed_at = stat.ctime_ns / 1e9
    return changed_at if changed_at <= heard_at else heard_at
