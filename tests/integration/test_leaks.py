"""What a running daemon opens and starts it closes and ends: handles, threads and children are the same afterwards."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psutil
import pytest

from bench.daemon import Running, running
from bench.library import Library
from ragd.cli.client import Client
from ragd.testing.tiny import tiny_model

ASKING = 6
SETTINGS = {
    "RAGD_WATCH__SETTLE_S": "0.05",
    "RAGD_WATCH__UNCLOSED_S": "0.1",
    "RAGD_INDEX__SNAPSHOT_S": "1",
    "RAGD_RETAIN__TURN_S": "1",
    "RAGD_LEARN__JOURNAL": "true",
    "RAGD_LEARN__WORKERS": "0",
    "OMP_NUM_THREADS": "1",
}


def counted(daemon: Running) -> dict[str, int]:
    """Children, and handles and threads of the daemon and each of them."""
    children = daemon.children()
    found = {f"{what} processes": len(processes) for what, processes in children.items()}
    for what, processes in {"daemon": [psutil.Process(daemon.process.pid)], **children}.items():
        for process in processes:
            found[f"{what} handles"] = process.num_fds()
            found[f"{what} threads"] = process.num_threads()
    return found


def grown(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """What there is more of. A late thread may open its first connection to the catalog, or to Redis."""
    allowed = {"daemon handles": 4, "redis handles": 2}
    more = {name: n - before.get(name, 0) for name, n in after.items()}
    return {name: n for name, n in more.items() if n > allowed.get(name, 0)}


def asks(state: Path, library: Library, together: threading.Barrier) -> None:
    """Searches on one connection, all askers at the same moment, so that each needs a thread of its own."""
    client = Client(state / "ragd.sock")
    for turn in range(6):
        together.wait(30)
        client.search(q=library.words[-1 - turn], mode=("words", "dense", "hybrid")[turn % 3])
        client.search(q="amber", folder="guide")
    client.search(q="amber", after="latest", timeout_s=30.0)
    client.receipts(limit=10)
    client.close()


def cycle(daemon: Running, state: Path, library: Library) -> None:
    """Edits of every kind, searches beside them, a walk, a proof, and rest."""
    together = threading.Barrier(ASKING)
    askers = [threading.Thread(target=asks, args=(state, library, together)) for _ in range(ASKING)]
    for asker in askers:
        asker.start()
    for _ in range(25):
        library.step()
    library.replace_folder()
    for asker in askers:
        asker.join()
    library.tidy()
    daemon.client.rescan(None)
    assert daemon.client.verify()["clean"]
    daemon.wait_indexed(len(library.texts), timeout_s=30, poll_s=0.1)


@pytest.mark.slow
def test_edits_and_searches_leave_no_handle_no_thread_and_no_child_behind(tmp_path: Path) -> None:
    state = tmp_path / "state"
    library = Library(tmp_path / "documents", tmp_path / "beside", files=40, seed=3)
    environment = {**SETTINGS, "RAGD_EMBED__MODEL": str(tiny_model(tmp_path / "model", max_tokens=256))}
    with running([library.root], state, environment=environment) as daemon:
        daemon.wait_indexed(40, timeout_s=60)
        for _ in range(2):
            cycle(daemon, state, library)
        before = counted(daemon)
        for _ in range(4):
            cycle(daemon, state, library)
        deadline = time.monotonic() + 5
        while (more := grown(before, counted(daemon))) and time.monotonic() < deadline:
            time.sleep(0.1)  # connections that were closed here are closed there a moment later
        assert more == {}
    assert not [process for processes in daemon.children().values() for process in processes]
