"""Keeps an eye on a root itself: is it there, the same, listened to; what is mounted in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection

from ragd.domain.clock import is_due
from ragd.watch.notify import Hearing, Notifier, exhausted
from ragd.watch.roots import (
    NETWORK_TYPES,
    Mount,
    RootFacts,
    RootState,
    WatchedRoot,
    look,
    mount_of,
    mounts_below,
)


class RootGuard:
    """The facts of one root, looked at anew by `check`."""

    def __init__(
        self, root: WatchedRoot, notifier: Notifier, mounts: Callable[[], tuple[Mount, ...]], rewatch_s: float
    ) -> None:
        self.facts = RootFacts(RootState.MISSING)
        self.hearing = Hearing(is_watching=False)
        self._root, self._notifier, self._mounts = root, notifier, mounts
        self._rewatch_s = rewatch_s
        self._watched_at = 0.0
        self._mounted: frozenset[bytes] = frozenset()
        self._last: tuple[int, int] | None = None
        self.unmounted: frozenset[bytes] = frozenset()
        self.is_another = False
        """Another folder stands where the watched one stood, and no scan has yet found that it holds the same."""

    @property
    def is_ok(self) -> bool:
        """Whether the folder is there and can be listed."""
        return self.facts.state is RootState.OK

    def check(self, now: float) -> bool:
        """Looks at the root; True when it has to be scanned from scratch: it is new, back, another, or went deaf."""
        was_ok = self.is_ok
        facts = look(self._root.path, self.facts.identity if was_ok else None)
        is_other = facts.state is RootState.REPLACED
        self.facts = RootFacts(RootState.OK, facts.identity) if is_other else facts
        if self.is_ok:
            self.is_another = self.is_another or self._last not in (None, facts.identity)
            self._last = facts.identity
        if not self.is_ok:
            self.leave()
            self.hearing = Hearing(is_watching=False, why=facts.reason, remedy=facts.hint)
            return False
        is_deaf = self.hearing.is_watching and not self._notifier.is_alive(self._root.id)
        if was_ok and not is_other and not is_deaf:
            return False
        self._listen(now)
        return True

    def leave(self) -> None:
        """Stops listening."""
        self._notifier.unwatch(self._root.id)

    def is_there(self) -> bool:
        """Whether an absence below the root may be believed at this very moment."""
        return self.is_ok and look(self._root.path, self.facts.identity).state is RootState.OK

    def before_scan(self, now: float) -> None:
        """Notes what is mounted in the root, and listens anew where watches had run out before."""
        is_deaf = not self.hearing.is_watching and not self._is_remote()
        if is_deaf and is_due(now, self._watched_at, self._rewatch_s):
            self._listen(now)
        mounted = mounts_below(os.path.realpath(self._root.path), self._mounts())
        # What was mounted in the root and is no longer: its files are out of sight, not gone.
        self.unmounted = (self.unmounted | self._mounted) - mounted
        self._mounted = mounted

    def after_scan(self, folders: Collection[bytes], *, is_held: bool) -> None:
        """Compares the folders a whole scan has seen with the watches there are; `is_held`: it did not believe all."""
        self.is_another = self.is_another and is_held
        unwatched = self._notifier.unwatched(self._root.id, self._root.path, folders)
        unwatched = [folder for folder in unwatched if os.path.isdir(os.path.join(self._root.path, folder))]
        if unwatched:
            self.hearing = exhausted(self._root.path, len(folders), len(unwatched))

    def forget_mounts(self) -> None:
        """A person accepts that what was mounted here does not come back."""
        self._mounted = self.unmounted = frozenset()

    def is_unmounted(self, path: bytes) -> bool:
        """Whether a path lay on something that is no longer mounted."""
        return any(path == one or path.startswith(one + b"/") for one in self.unmounted)

    def _is_remote(self) -> bool:
        return self._remote_kind() is not None

    def _remote_kind(self) -> str | None:
        mount = mount_of(os.path.realpath(self._root.path), self._mounts())
        return mount.kind if mount is not None and mount.kind in NETWORK_TYPES else None

    def _listen(self, now: float) -> None:
        """Starts to listen; always before a scan, so that nothing falls between the two."""
        self._watched_at = now
        kind = self._remote_kind()
        if kind is None:
            self.hearing = self._notifier.watch(self._root.id, self._root.path)
            return
        self._notifier.unwatch(self._root.id)
        why = f"a {kind} mount does not tell of changes made elsewhere"
        self.hearing = Hearing(is_watching=False, why=why, remedy="none needed; use a local folder for instant updates")
