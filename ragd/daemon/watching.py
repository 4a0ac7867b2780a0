"""The watcher that follows the configured folders, with its thread; a change of the folders replaces both."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence

from ragd.app import App
from ragd.config.events import get_log
from ragd.daemon.ending import Ending
from ragd.daemon.plans import Plans
from ragd.daemon.watched import watcher_of
from ragd.domain.changes import Observation
from ragd.jobs.queue import Queues
from ragd.watch.progress import RootProgress
from ragd.watch.roots import Hold
from ragd.watch.watcher import Watcher

_LOG = get_log("ragd.daemon")
_PLANS_WAITING = 4
_PLAN_WAIT_S = 0.005
_END_S = 5.0


class Watching:
    """Its methods may be called from any thread; `replace` only from the one that changes `app`'s folders.

    What a watcher that is replaced had not told yet, the first scan of the next one finds again. `on_broken` is called
    when a watcher fails: an index that no longer follows its folders must not look alive.
    """

    def __init__(self, app: App, plans: Plans, queues: Queues, ending: Ending, on_broken: Callable[[], None]) -> None:
        self._app, self._plans, self._queues = app, plans, queues
        self._ending, self._on_broken = ending, on_broken
        self._ended = threading.Event()
        self._watcher = self._made(self._ended)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins to watch."""
        self._begin(None)

    def replace(self) -> None:
        """Watches what is configured now; the watcher before ends first, in its own time."""
        self._end()
        self._ended = threading.Event()
        self._watcher = self._made(self._ended)
        self._begin(self._thread)

    def stop(self) -> None:
        """Ends, within seconds."""
        self._end()
        if self._thread is not None:
            self._thread.join(_END_S)

    def rescan(self, folder: bytes | None = None) -> bool:
        """Asks for a scan of a root or a folder below one, or of every root."""
        return self._watcher.rescan(folder)

    def confirm(self, folder: bytes | None = None, most: int | None = None) -> Mapping[bytes, Hold]:
        """Lets deletions go that are held."""
        return self._watcher.confirm(folder, most)

    def recheck(self, root_id: int, path: bytes) -> None:
        """Asks for another look around a path below a root."""
        root = self._app.roots.get(root_id)
        if root is not None:
            self.rescan(os.path.join(root, os.path.dirname(path)))

    def progress(self) -> tuple[RootProgress, ...]:
        """How each root stands now."""
        return self._watcher.progress()

    @property
    def untold(self) -> int:
        """Observations that wait for a broker."""
        return self._watcher.untold

    def _made(self, ended: threading.Event) -> Watcher:
        def emit(root_id: int, observations: Sequence[Observation]) -> None:
            # One lane for all plans keeps them in the order they were seen; the wait keeps a scan from running ahead.
            while self._plans.waiting >= _PLANS_WAITING and not ended.wait(_PLAN_WAIT_S):
                pass
            self._plans.sent()
            self._queues.plan(root_id, observations, is_fresh=True)

        return watcher_of(self._app.config, self._app, emit)

    def _begin(self, before: threading.Thread | None) -> None:
        watcher = self._watcher

        def run() -> None:
            if before is not None:
                before.join()
            try:
                with self._ending.watch():
                    watcher.run()
            except Exception:  # noqa: BLE001 - an edge: what called this thread is gone
                _LOG.exception("watcher_broke")
                self._on_broken()

        self._thread = threading.Thread(target=run, name="watch", daemon=True)
        self._thread.start()

    def _end(self) -> None:
        self._ended.set()
        self._watcher.stop()
