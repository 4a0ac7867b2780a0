"""Makes the watcher of the configured folders: what each leaves out, how large a file may be, when it is at rest."""

from __future__ import annotations

from ragd.app import App
from ragd.config.schema import Config
from ragd.watch.ignore import IgnoreSettings
from ragd.watch.progress import WatchSettings
from ragd.watch.roots import WatchedRoot
from ragd.watch.settle import Timings
from ragd.watch.watcher import Emit, Watcher


def watcher_of(config: Config, app: App, emit: Emit) -> Watcher:
    """The watcher of every folder that `app` knows as configured; nothing is looked at yet."""
    by_path = {bytes(folder.absolute()): c for c in config.collections for folder in c.folders}
    state = bytes(config.state.absolute())
    roots = [
        WatchedRoot(root_id, path, IgnoreSettings(by_path[path].include, by_path[path].exclude, state_folder=state))
        for root_id, path in app.roots.items()
    ]
    watch = config.watch
    settings = WatchSettings(
        max_file_bytes=config.read.max_file_mb * 1024 * 1024,
        rescan_s=watch.rescan_s,
        timings=Timings(watch.settle_s, watch.unclosed_s, watch.max_wait_s),
    )
    return Watcher(roots, settings, app.reader, emit)
