"""A reader that turns against its user, below a real daemon: each attempt fails, and its document says so."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ragd.domain.errors import NotFound, RagdError
from ragd.domain.work import ExtractItem, ReadLimits
from ragd.hooks import seccomp
from ragd.hooks.linux import landlock_version
from ragd.plan.sandbox import Sandbox
from ragd.plan.split import policy_for
from tests.integration.conftest import Place

HOSTILE = """
    import os, signal, socket, subprocess, sys, threading, time
    from ragd.hooks.api import ReadText, hookimpl

    def fork(where):
        for _ in range(1000):
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)

    def flood(where):
        block = "x" * (1 << 20)
        for _ in range(10 << 10):
            print(block)

    def threads(where):
        for _ in range(100_000):
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()

    def forge(where):
        for descriptor in range(3, 20):
            try:
                os.write(descriptor, bytes.fromhex("ffffffff") + b"{" * 100)
            except OSError:
                pass

    def lie(where):
        body = b'{"extraction": {"hash": 5}, "rss": 0, "unstable": false}'
        for descriptor in range(3, 20):
            try:
                os.write(descriptor, len(body).to_bytes(4, "big") + body)
            except OSError:
                pass

    def unix(where):
        socket.socket(socket.AF_UNIX).connect(where)

    def environment(where):
        raise ValueError("secrets: " + ",".join(sorted(n for n in os.environ if n.startswith(("RAGD_", "AWS_")))))

    ATTEMPTS = {
        "tcp": lambda where: socket.create_connection(("127.0.0.1", int(where)), 2),
        "udp": lambda where: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
        "unix": unix,
        "fork": fork,
        "program": lambda where: subprocess.run(["/bin/sh", "-c", "true"]),
        "write": lambda where: open(where, "w"),
        "remove": os.unlink,
        "list": os.listdir,
        "open": lambda where: open(where, "rb").read(),
        "parent": lambda where: open(f"/proc/{os.getppid()}/environ", "rb").read(),
        "kill": lambda where: os.kill(os.getppid(), signal.SIGKILL),
        "environment": environment,
        "flood": flood,
        "threads": threads,
        "files": lambda where: [open("/dev/null") for _ in range(5000)] and 1 / 0,
        "sleep": lambda where: time.sleep(3600),
        "forge": forge,
        "lie": lie,
    }

    class Hostile:
        name = "hostile"
        version = "1"
        suffixes = frozenset({".evil"})

        def read(self, data, suffix):
            what, _, where = data.decode().partition(" ")
            kept = ATTEMPTS[what](where)
            return ReadText(text=f"{what} was done", form="text")

    @hookimpl
    def ragd_readers():
        return [Hostile()]
"""
DENIED = ("PermissionError", "Operation not permitted", "Permission denied")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (landlock_version() and os.uname().machine in seccomp.ARCHITECTURES), reason="no fence here"
    ),
]


def attempts(place: Place) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Document to (what its reader tries, any of what the reason then says)."""
    outside = place.folder / "victim"
    return {
        "tcp": (f"tcp {6379}", DENIED),
        "udp": ("udp", DENIED),
        "redis": (f"unix {place.state / 'broker' / 'redis.sock'}", DENIED),
        "door": (f"unix {place.state / 'ragd.sock'}", DENIED),
        "fork": ("fork", DENIED),
        "program": ("program", DENIED),
        "write": (f"write {outside}", DENIED),
        "beside": (f"write {place.folder / 'kb' / 'new.md'}", DENIED),
        "temporary": ("write /tmp/ragd-was-here", DENIED),
        "remove": (f"remove {place.folder / 'kb' / 'good.md'}", DENIED),
        "catalog": (f"open {place.state / 'catalog.db'}", DENIED),
        "state": (f"list {place.state}", DENIED),
        "pins": (f"open {place.state / 'trusted-plugins.json'}", DENIED),
        "other": (f"open {place.folder / 'kb' / 'good.md'}", DENIED),
        "password": ("open /etc/passwd", DENIED),
        "configuration": (f"open {place.folder / 'ragd.toml'}", DENIED),
        "parent": ("parent", DENIED),
        "kill": ("kill", DENIED),
        "environment": ("environment", ("(ValueError: secrets:)",)),
        "flood": ("flood", ("File too large",)),
        "threads": ("threads", ("can't start new thread", "needed more than", "could not be read", "died")),
        "files": ("files", ("Too many open files",)),
        "sleep": ("sleep", ("took longer than 3 s",)),
        "forge": ("forge", ("answered nonsense",)),
        "lie": ("lie", ("answered nonsense",)),
    }


@pytest.fixture(scope="module")
def place(places: Callable[[], Place]) -> Iterator[Place]:
    made = places()
    made.environment |= {
        "RAGD_READ__TIMEOUT_S": "3",
        "RAGD_READ__MEMORY_MB": "512",
        "RAGD_EMBED__API_KEY": "a-key",
        "AWS_SECRET_ACCESS_KEY": "another",
    }
    (made.folder / "ragd.toml").write_text("[log]\nlevel = 'info'\n")
    plugin = made.folder / "hostile.py"
    plugin.write_text(textwrap.dedent(HOSTILE))
    made.ragd("plugins", "trust", str(plugin))
    folder = made.folder / "kb"
    folder.mkdir()
    (folder / "good.md").write_text("# Good\n\nThe heron stands in the water.")
    for name, (text, _) in attempts(made).items():
        (folder / f"{name}.evil").write_text(text)
    made.start("kb")
    made.until_indexed(1 + len(attempts(made)))
    yield made
    made.close()


def test_each_attempt_of_a_hostile_reader_fails_and_its_document_says_why(place: Place) -> None:
    failed = place.client.documents(state="failed", limit=100)["documents"]
    reasons = {Path(document["path"]).stem: document["reason"] for document in failed}
    expected = attempts(place)
    assert reasons.keys() == expected.keys()
    for name, (_, causes) in expected.items():
        assert any(cause in reasons[name] for cause in causes), (name, reasons[name])
        assert all(document["hint"] for document in failed)


def test_nothing_came_of_it(place: Place) -> None:
    assert not (place.folder / "victim").exists()
    assert not Path("/tmp/ragd-was-here").exists()
    assert place.paths("heron", mode="words") == ["good.md"]
    assert place.client.status()["reasons"] == []
    assert place.process is not None
    family = psutil.Process(place.process.pid).children(recursive=True)
    assert len(family) < 10
    assert sum(process.memory_info().rss for process in family) < 4 << 30


def test_the_reading_process_holds_no_secret_and_no_open_file_of_the_state_folder(place: Place) -> None:
    assert place.process is not None
    readers = [
        process
        for process in psutil.Process(place.process.pid).children(recursive=True)
        if "ragd.plan.sandbox_child" in process.cmdline()
    ]
    assert readers
    for reader in readers:
        assert not [name for name in reader.environ() if name.startswith(("RAGD_", "AWS_"))]
        held = [os.readlink(f"/proc/{reader.pid}/fd/{number}") for number in os.listdir(f"/proc/{reader.pid}/fd")]
        assert not [path for path in held if path.startswith(str(place.state))]


def test_no_path_that_is_asked_for_leads_out_of_its_folder(place: Place) -> None:
    outside = place.folder / "outside"
    (outside / "inner").mkdir(parents=True)
    (outside / "inner" / "private.md").write_text("# Private\n\nThe platypus is nobody's business.")
    (place.folder / "kb" / "up").symlink_to(outside)
    for folder in ("kb/../outside", "outside", "/etc", str(place.folder)):
        with pytest.raises(NotFound):
            place.client.rescan(str(place.folder / folder))
    for folder in ("kb", "kb/up", "kb/up/inner"):
        place.client.rescan(str(place.folder / folder))
    for path in ("../outside/inner/private.md", "/etc/passwd", "kb/up/inner/private.md"):
        with pytest.raises(RagdError):
            place.client.retry([path])
    place.until(lambda: any(d["path"] == "up" for d in place.client.documents(state="failed", limit=100)["documents"]))
    assert place.paths("platypus", mode="words") == []
    assert [d["path"] for d in place.client.documents(limit=100)["documents"] if d["path"].startswith("up/")] == []


def test_a_sandbox_tells_what_its_system_lacks() -> None:
    sandbox = Sandbox(ReadLimits(), policy_for("", 256))
    try:
        assert sandbox.lacks() == ()
    finally:
        sandbox.close()


def test_a_link_swapped_in_a_loop_never_leads_out(tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("# Secret\n\nThe platypus is nobody's business.")
    root = tmp_path / "root"
    root.mkdir()
    (root / "good.md").write_text("# Good\n\nThe heron stands in the water.")
    swap = f"""
import os
while True:
    for target in {("good.md", str(tmp_path / "secret.md"), "../secret.md")!r}:
        os.symlink(target, {str(root / "tmp")!r})
        os.rename({str(root / "tmp")!r}, {str(root / "a.md")!r})
"""
    swapper = subprocess.Popen([sys.executable, "-c", swap])
    sandbox = Sandbox(ReadLimits(), policy_for("", 256))
    seen = {"read": 0, "refused": 0}
    try:
        deadline = time.monotonic() + 30.0
        while min(seen.values()) < 10:
            result = sandbox.extract(bytes(root), ExtractItem(1, 1, b"a.md"))
            assert time.monotonic() < deadline, seen
            if result.extraction is None:
                seen["refused"] += 1
                continue
            seen["read"] += 1
            assert all("platypus" not in piece.text for piece in result.extraction.pieces)
    finally:
        swapper.kill()
        swapper.wait()
        sandbox.close()
