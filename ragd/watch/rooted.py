"""One watched root: from hints and the clock to observations, a little at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from ragd.domain.changes import Observation, Presence
from ragd.domain.documents import Stat
from ragd.watch.files import is_folder, is_link, link_target, look_at, stat_at, with_hash
from ragd.watch.guard import RootGuard
from ragd.watch.ignore import IgnoreRules, is_ignore_file
from ragd.watch.inbox import Hint, PathHint
from ragd.watch.progress import RootProgress, WatchSettings
from ragd.watch.roots import Hold, WatchedRoot
from ragd.watch.scan import KnownFiles, Scan
from ragd.watch.settle import Kind, Settle, Settled
from ragd.watch.urgency import Urgency
from ragd.watch.verdict import is_emptied, judge

_FRESH_FINDS = 64
_AT_ONCE = 256
_CHECK_S = 2.0
_CLOCK_SLACK_S = 1.0
_LOOK_AGAIN_S = 2.0  # after a sign of life in a root whose deletions are held


@dataclass(slots=True)
class _Wanted:
    """A scan that is to start at `due_at`; see ScanHint for what it may believe."""

    due_at: float
    is_told: bool = False
    accepts: int = 0


class RootWatch:
    """The state of one root. One thread steps it; `progress` may be read from any."""

    def __init__(
        self,
        root: WatchedRoot,
        settings: WatchSettings,
        known: KnownFiles,
        guard: RootGuard,
        clock: Callable[[], float],
    ) -> None:
        self._root, self._settings, self._known = root, settings, known
        self._guard, self._clock = guard, clock
        self._rules = IgnoreRules(root.path, root.ignore)
        self._settle = Settle(settings.timings)
        self._wanted: dict[bytes, _Wanted] = {}
        self._chosen: dict[bytes, _Wanted] = {}
        self._running: Iterator[list[Observation]] | None = None
        self._links: dict[bytes, set[bytes]] = {}
        self._urgency = Urgency()
        self._check_at = self._rescan_at = 0.0
        self._is_postponed = False
        self.progress = RootProgress(root.id, root.path, guard.facts, guard.hearing)

    def hear(self, hint: Hint, now: float) -> None:
        """Takes a hint; what it asks for is done in `step`, when it is due."""
        if self.progress.held is not None:  # perhaps the files come back
            self._want(b"", now + max(_LOOK_AGAIN_S, 10 * self.progress.last_scan_s))
        if isinstance(hint, PathHint):
            for path in (hint.path, *self._links.get(hint.path, ())):
                # What a build or git does in ignored folders must cost nothing.
                if is_ignore_file(path) or not self._rules.ignores(path):
                    self._settle.note(path, hint.kind, hint.at)
            return
        if hint.must_settle and self._rules.ignores(hint.folder, is_folder=True):
            return
        delay = self._settings.timings.settle_s if hint.must_settle else 0.0
        self._want(hint.folder, now + delay, is_told=hint.is_told, accepts=hint.accepts)

    def step(self, now: float, slice_s: float) -> list[Observation]:
        """What is to be told now: paths that came to rest, and at most `slice_s` seconds' worth of a scan."""
        if now >= self._check_at:
            self._check(now)
        found: list[Observation] = []
        if self._guard.is_ok:
            found = self._at_rest(now) + self._scanned(now, slice_s)
        self.progress = replace(
            self.progress, facts=self._guard.facts, hearing=self._guard.hearing, waiting=len(self._settle)
        )
        return found

    def next_due(self) -> float:
        """When `step` has something to do again, Unix seconds."""
        if not self._guard.is_ok:
            return self._check_at
        if self._running is not None or self._chosen:
            return 0.0
        times = [self._check_at, self._rescan_at, *(one.due_at for one in self._wanted.values())]
        settle = self._settle.next_due()
        return min(times) if settle is None else min(settle, *times)

    def start_over(self) -> None:
        """Forgets what is pending and scans at the next step: the clock was set back, or the root is another one."""
        self._settle = Settle(self._settings.timings)
        self._wanted, self._chosen, self._running = {}, {}, None
        self._rules.forget()
        self._check_at = self._rescan_at = 0.0
        self.progress = replace(self.progress, is_scanning=False)

    def _check(self, now: float) -> None:
        was_ok = self._guard.is_ok
        if self._guard.check(now) or (was_ok and not self._guard.is_ok):
            self.start_over()
        self._check_at = now + _CHECK_S

    def _at_rest(self, now: float) -> list[Observation]:
        settled = self._settle.due(now, lambda path: stat_at(self._root.path, path))
        seen = [one for each in settled if (one := self._seen(each)) is not None]
        if any(one.presence is Presence.GONE for one in seen):
            is_there = self._guard.is_there()
            if not is_there or is_emptied(self._root.id, self._root.path, self._rules, self._known):
                seen = [one for one in seen if one.presence is not Presence.GONE]
                if is_there:
                    self._want(b"", now)
                else:
                    self._check_at = now
        # A rename's new name is told before its old one is given up.
        return sorted(seen, key=lambda one: one.presence is Presence.GONE)

    def _seen(self, settled: Settled) -> Observation | None:
        path, root = settled.path, self._root
        if is_ignore_file(path):
            folder = path.rpartition(b"/")[0]
            self._rules.forget(folder)
            self._want(folder, settled.stable_at)
        if self._rules.ignores(path):
            return None
        seen = look_at(root.path, path, self._settings.max_file_bytes)
        known = self._known.known_path(root.id, path)
        if seen.presence is Presence.GONE:
            if self._guard.is_unmounted(path):
                return None
            if is_folder(root.path, path):
                self._want(path, settled.stable_at)
        elif seen.presence is Presence.PRESENT:
            if known is not None and known.stat == seen.stat and (known.content_hash is not None or seen.problem):
                return None
            if is_link(root.path, path) and not seen.problem:
                self._links.setdefault(link_target(root.path, path), set()).add(path)
            seen = with_hash(root.path, seen)
        is_fresh = self._urgency.takes(settled.stable_at, is_new=known is None)
        return replace(seen, seen_at=settled.seen_at, stable_at=settled.stable_at, fresh=is_fresh)

    # Scans.

    def _want(self, folder: bytes, due_at: float, *, is_told: bool = False, accepts: int = 0) -> None:
        wanted = self._wanted.setdefault(folder, _Wanted(due_at))
        wanted.is_told = wanted.is_told or is_told
        wanted.accepts = max(wanted.accepts, accepts)
        wanted.due_at = min(wanted.due_at, due_at)

    def _scanned(self, now: float, slice_s: float) -> list[Observation]:
        found: list[Observation] = []
        until = time.monotonic() + slice_s
        if self._running is None and now >= self._rescan_at:
            self._want(b"", now)
        while len(found) < _AT_ONCE:
            if self._running is None:
                chosen = self._next_wanted(now)
                if chosen is None:
                    break
                self._running = self._scan(chosen[0], chosen[1])
            step = next(self._running, None)
            if step is None:
                self._running = None
            else:
                found += step
            if time.monotonic() >= until:
                break
        return found

    def _next_wanted(self, now: float) -> tuple[bytes, _Wanted] | None:
        """The scan to start: announced ones first, then the widest; chosen for all that is due at once."""
        if not self._chosen:
            wanted = self._wanted
            due = [(not (one.is_told or one.accepts), folder) for folder, one in wanted.items() if one.due_at <= now]
            for _, folder in sorted(due):
                if not self._is_covered(folder):
                    self._chosen[folder] = wanted[folder]
            left = [folder for folder in wanted if folder not in self._chosen and not self._is_covered(folder)]
            self._wanted = {folder: wanted[folder] for folder in left}
        first = next(iter(self._chosen), None)
        return None if first is None else (first, self._chosen.pop(first))

    def _is_covered(self, folder: bytes) -> bool:
        """Whether a chosen scan covers a wanted one; one in doubt does not stand for announced deletions."""
        is_told, above = self._wanted[folder].is_told, folder
        while above:
            above = above.rpartition(b"/")[0]
            chosen = self._chosen.get(above)
            if chosen is not None and (chosen.is_told or chosen.accepts or not is_told):
                return True
        return False

    def _scan(self, top: bytes, wanted: _Wanted) -> Iterator[list[Observation]]:
        """A scan from its start to its deletions; many may be told, so each step is stamped and counted."""
        started_at = self._clock()
        is_whole = not top
        if is_whole:
            self._guard.before_scan(started_at)
            if wanted.accepts:
                self._guard.forget_mounts()
        scan = Scan(
            self._root.id,
            self._root.path,
            self._rules,
            self._known,
            self._settings.max_file_bytes,
            top=top,
            defer=self._defer,
            leave_alone=self._guard.unmounted,
        )
        fresh = _FRESH_FINDS if self.progress.scans or not is_whole else 0
        for found in scan.steps():
            fresh -= len(found)
            yield self._stamped(found, is_fresh=fresh >= 0)
            if is_whole:
                self._count(scan, is_scanning=True)
        yield from self._deletions(scan, wanted)
        if is_whole:
            self._finish(scan, started_at)
        else:
            for target, links in scan.links.items():
                self._links.setdefault(target, set()).update(links)

    def _deletions(self, scan: Scan, wanted: _Wanted) -> Iterator[list[Observation]]:
        missing = [path for path in scan.missing if path not in scan.unlisted]
        held = self._held(scan, wanted)
        if held is not None and scan.deferred and not self._is_postponed:
            # Some files are still being written: perhaps the missing ones under another name. Look again soon.
            self._is_postponed = True
            self._want(scan.top, self._clock() + 2 * self._settings.timings.unclosed_s)
            missing = []
        else:
            self._is_postponed = False
            if not scan.top or held is not None:
                self.progress = replace(self.progress, held=held)
            if held is not None:
                missing = []
        gone = scan.confirmed(scan.ignored + missing)
        while batch := list(islice(gone, _FRESH_FINDS)):
            if not self._guard.is_there():
                self._check_at = 0.0
                return
            yield self._stamped(batch, is_fresh=False)

    def _held(self, scan: Scan, wanted: _Wanted) -> Hold | None:
        root, is_another = self._root, self._guard.is_another
        held = judge(scan, root.id, root.path, self._rules, self._known, is_told=wanted.is_told, is_another=is_another)
        if held is not None and scan.top:
            self._want(b"", self._clock())  # how much is missing in all?
        return held if held is None or held.missing > wanted.accepts else None

    def _finish(self, scan: Scan, started_at: float) -> None:
        now = self._clock()
        self._links = scan.links
        self._guard.after_scan(scan.folders, is_held=self.progress.held is not None)
        seconds = now - started_at
        # Where events are missing, or documents are held, the next look comes sooner; never most of the time.
        is_calm = self._guard.hearing.is_watching and self.progress.held is None
        calm_s = self._settings.rescan_s or math.inf
        self._rescan_at = now + (calm_s if is_calm else min(calm_s, max(self._settings.scan_only_s, 10 * seconds)))
        self._count(scan, is_scanning=False)
        self.progress = replace(
            self.progress, scans=self.progress.scans + 1, last_scan_at=now, last_scan_s=max(seconds, 0.0)
        )

    def _count(self, scan: Scan, *, is_scanning: bool) -> None:
        self.progress = replace(
            self.progress,
            is_scanning=is_scanning,
            files=scan.files,
            folders=len(scan.folders),
            unlisted=len(scan.unlisted),
        )

    def _stamped(self, found: list[Observation], *, is_fresh: bool) -> list[Observation]:
        now = self._clock()
        return [replace(one, seen_at=now, stable_at=now, fresh=is_fresh) for one in found]

    def _defer(self, path: bytes, stat: Stat) -> bool:
        """Leaves a file that changed a moment ago to the slot of its path: it may still be written."""
        if path in self._settle:
            return True
        age_s = self._clock() - stat.ctime_ns / 1e9
        if not -_CLOCK_SLACK_S <= age_s < self._settings.timings.unclosed_s:
            return False
        self._settle.note(path, Kind.CREATED, self._clock())
        return True
