"""A confined process writes in its folder only and keeps to its limits, and its whole tree can be ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ragd.domain.learning import Resources
from ragd.hooks import linux, tree
from ragd.hooks.contain import Watch, environment
from ragd.hooks.fence import Fence, Trespass

pytestmark = pytest.mark.skipif(not linux.IS_LINUX, reason="containment is Linux's")

SMALL = Resources(memory_mb=256, disk_mb=8, processes=8, timeout_s=60.0)
CONFINED = """
    import json, os, socket, sys
    from pathlib import Path
    from ragd.domain.learning import Resources
    from ragd.hooks.contain import confine

    work = Path(sys.argv[1])
    limits = Resources(memory_mb=256, disk_mb=8, processes=8)
    HIDDEN, READABLE, NETWORK = [], [], False
    #more
    held = confine(work, limits, hidden=HIDDEN, readable=READABLE, network=NETWORK, parent=os.getppid())

    def told(act):
        try:
            return repr(act())
        except BaseException as error:
            return f"{type(error).__name__}: {error}"
"""
Trees = list[subprocess.Popen[bytes]]


@pytest.fixture
def started() -> Iterator[Trees]:
    """Children that a test started; whatever of their sessions is left is ended."""
    children: Trees = []
    yield children
    for child in children:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, 9)
        child.wait(10)


def confined(folder: Path, body: str, *, more: str = "") -> Any:
    """What a confined process prints as JSON."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    code = textwrap.dedent(CONFINED).replace("#more", more) + textwrap.dedent(body)
    done = subprocess.run(
        [sys.executable, "-c", code, str(work)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment(work, SMALL),
        cwd=work,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def tree_of(
    started: Trees, code: str, folder: Path, resources: Resources = SMALL
) -> tuple[Watch, subprocess.Popen[bytes]]:
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        start_new_session=True,
        env=environment(folder, resources),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    started.append(child)
    return Watch(child, resources, folder, adopts=False), child


def reason_of(watch: Watch) -> str:
    """What the watch says, as soon as it says something."""
    deadline = time.monotonic() + 30
    while (reason := watch.check()) is None:
        assert time.monotonic() < deadline, "nothing was noticed"
        time.sleep(0.02)
    return reason


def test_a_confined_process_writes_in_its_folder_only(tmp_path: Path) -> None:
    answer = confined(
        tmp_path,
        """
        outside = work.parent / "outside.txt"
        here = told(lambda: (work / "inside.txt").write_text("x"))
        there = told(lambda: outside.write_text("x"))
        moved = told(lambda: os.rename(work / "inside.txt", work.parent / "moved.txt"))
        import subprocess, tempfile
        shell = subprocess.run(["/bin/sh", "-c", f"echo x > {outside}"], capture_output=True, text=True)
        null = subprocess.run(["/bin/sh", "-c", "echo x > /dev/null"]).returncode
        print(json.dumps([here, there, moved, shell.returncode, null, tempfile.gettempdir(), held.fence.offences,
                          held.landlock]))
        """,
    )
    here, there, moved, shell, null, temporary, offences, landlock = answer
    assert here == "1"
    assert there == f"Trespass: writes outside its run folder: {tmp_path}/outside.txt"
    assert "moved.txt" in moved
    assert offences == [f"{tmp_path}/outside.txt", f"{tmp_path}/moved.txt"]
    assert null == 0
    assert temporary == f"{tmp_path}/work/.tmp"
    assert landlock == linux.landlock_version()
    if landlock:
        assert shell != 0
        assert not (tmp_path / "outside.txt").exists()


def test_a_confined_process_has_no_network_unless_it_needs_one(tmp_path: Path) -> None:
    body = """
        import socket
        server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen()
        own = told(lambda: socket.create_connection(server.getsockname(), 2).close())
        far = told(lambda: socket.create_connection(("192.0.2.1", 80), 0.5))
        print(json.dumps({"own": own, "far": far, "offline": held.is_offline}))
    """
    answer = confined(tmp_path, body)
    if not answer["offline"]:
        pytest.skip("this system has neither network namespaces nor Landlock's network rules")
    assert answer["own"] == "None"
    assert "unreachable" in answer["far"] or "Permission" in answer["far"]
    assert confined(tmp_path, body, more="NETWORK = True")["offline"] is False


def test_what_is_hidden_cannot_be_read_but_for_what_is_named(tmp_path: Path) -> None:
    if not linux.landlock_version():
        pytest.skip("this kernel has no Landlock")
    state = tmp_path / "state"
    (state / "data").mkdir(parents=True)
    (state / "secret.txt").write_text("s")
    (state / "data" / "given.txt").write_text("g")
    (tmp_path / "other.txt").write_text("o")
    answer = confined(
        tmp_path,
        """
        state = work.parent / "state"
        names = (state / "secret.txt", state / "data/given.txt", work.parent / "other.txt", Path("/etc/hostname"))
        print(json.dumps([told(path.read_text)[:20] for path in names]))
        """,
        more="HIDDEN = [work.parent / 'state']; READABLE = [work.parent / 'state/data']",
    )
    assert answer[0].startswith("PermissionError")
    assert answer[1:3] == ["'g'", "'o'"]
    assert not str(answer[3]).startswith("PermissionError")


def test_too_much_memory_is_an_error_that_can_be_named(tmp_path: Path) -> None:
    answer = confined(tmp_path, "print(json.dumps([told(lambda: len(bytearray(400 << 20))), told(lambda: 1)]))")
    assert str(answer[0]).startswith("MemoryError")
    assert answer[1] == "1"


def test_too_large_a_file_is_an_error_that_can_be_named(tmp_path: Path) -> None:
    answer = confined(tmp_path, "print(json.dumps([told(lambda: (work / 'large').write_bytes(bytes(9 << 20)))]))")
    assert "File too large" in str(answer[0])


def test_confining_after_threads_were_started_is_a_mistake(tmp_path: Path) -> None:
    more = "import threading; threading.Thread(target=__import__('time').sleep, args=(9,), daemon=True).start()"
    with pytest.raises(AssertionError, match="confine comes first"):
        confined(tmp_path, "", more=more)


def test_the_fence_names_what_python_writes_outside(tmp_path: Path) -> None:
    fence = Fence([tmp_path / "work"])
    fence("open", (str(tmp_path / "work" / "new"), "w", os.O_WRONLY | os.O_CREAT))
    fence("open", (str(tmp_path / "elsewhere"), "r", os.O_RDONLY))
    fence("open", (3, "w", os.O_WRONLY))
    with pytest.raises(Trespass, match="elsewhere"):
        fence("open", (str(tmp_path / "elsewhere"), "w", os.O_WRONLY))
    with pytest.raises(Trespass, match="workshop"):
        fence("os.mkdir", (str(tmp_path / "workshop"), 0o777, -1))
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "link").symlink_to(tmp_path)
    with pytest.raises(Trespass):
        fence("os.remove", (str(tmp_path / "work" / "link" / "file"), -1))
    assert len(fence.offences) == 3
    fence.is_open = True
    fence("os.remove", (str(tmp_path / "file"), -1))


def test_a_tree_with_too_many_processes_is_noticed_and_ended(tmp_path: Path, started: Trees) -> None:
    watch, child = tree_of(
        started,
        """
        import subprocess, time
        children = [subprocess.Popen(["sleep", "20"]) for _ in range(20)]
        time.sleep(20)
        """,
        tmp_path,
    )
    assert reason_of(watch).startswith("started more than 8 processes")
    assert watch.kill_all()
    assert child.wait(10) == -9
    assert [p for p in tree.processes().values() if p.session == child.pid and p.state not in "ZX"] == []


def test_an_orphan_that_left_the_session_is_ended_with_the_rest(tmp_path: Path, started: Trees) -> None:
    watch, child = tree_of(
        started,
        """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                open("orphan", "w").write(str(os.getpid()))
                time.sleep(20)
            os._exit(0)
        os.wait()
        while True: time.sleep(0.1)
        """,
        tmp_path,
    )
    deadline = time.monotonic() + 20
    while not (tmp_path / "orphan").exists() or not (tmp_path / "orphan").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    orphan = int((tmp_path / "orphan").read_text())
    assert watch.check() is None
    assert watch.kill_all()
    child.wait(10)
    left = tree.processes().get(orphan)
    assert left is None or left.state in "ZX"


def test_memory_of_the_whole_tree_counts(tmp_path: Path, started: Trees) -> None:
    code = """
        import os, time
        for _ in range(3):
            if os.fork() == 0:
                break
        held = bytearray(os.urandom(1 << 20) * 100)
        time.sleep(20)
    """
    watch, _ = tree_of(started, code, tmp_path)
    assert reason_of(watch).startswith("used more than 256 MiB of memory")
    assert watch.peak_memory_mb > 256
    assert watch.kill_all()


def test_files_count_also_when_their_names_are_gone(tmp_path: Path, started: Trees) -> None:
    code = """
        import os, time
        file = open("gone", "wb")
        os.unlink("gone")
        file.write(bytes(9 << 20)); file.flush()
        time.sleep(20)
    """
    watch, _ = tree_of(started, code, tmp_path)
    assert reason_of(watch).startswith("wrote more than 8 MiB")
    assert watch.kill_all()


def test_time_is_up_by_the_clock_that_was_given(tmp_path: Path, started: Trees) -> None:
    _, child = tree_of(started, "import time; time.sleep(20)", tmp_path)
    now = [0.0]
    watch = Watch(child, Resources(timeout_s=5.0), tmp_path, adopts=False, clock=lambda: now[0])
    assert watch.check() is None
    now[0] = 5.5
    assert watch.check() == "took longer than 5 s"
    assert watch.kill_all()


def test_what_a_tree_costs_is_counted(tmp_path: Path, started: Trees) -> None:
    watch, child = tree_of(started, "sum(range(30_000_000)); import time; time.sleep(20)", tmp_path)
    deadline = time.monotonic() + 30
    while watch.cost().cpu_s < 0.2:
        assert time.monotonic() < deadline
        watch.check()
        time.sleep(0.05)
    assert watch.kill_all()
    assert child.poll() is not None
