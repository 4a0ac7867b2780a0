"""Every command that asks a daemon: what it sends, what it prints, how it ends."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ragd.domain.errors import Busy, ConfigInvalid, EncoderFailed


def test_search_prints_where_and_what_the_best_first(ragd: Any, backend: Any) -> None:
    result = ragd("search", "install", "daemon")
    first, second = result.stdout.splitlines()
    assert first.startswith(" 1  guide/install.md: Guide > Install (p. 3)")
    assert first.endswith("0.910")
    assert "Install the daemon with one command." in second
    assert "2 changed files are not indexed yet; 1 are found by words only so far" in result.stderr
    assert result.exit_code == 0


def test_search_never_prints_control_characters_of_a_document(ragd: Any, backend: Any) -> None:
    shown = ragd("search", "install").stdout
    assert "Red" in shown
    assert "\x1b" not in shown


def test_search_passes_every_filter_on(ragd: Any, backend: Any) -> None:
    result = ragd(
        *("search", "q", "--mode", "words", "-n", "3", "-c", "docs", "-c", "notes", "--folder", "guide"),
        *("--glob", "**/*.md", "--type", "md", "--type", "pdf", "--since", "2d", "--until", "2026-01-02"),
        "--json",
    )
    assert result.exit_code == 2  # since is after until: nothing could match
    result = ragd(
        *("search", "q", "--mode", "words", "-n", "3", "-c", "docs", "-c", "notes", "--folder", "guide"),
        *("--glob", "**/*.md", "--type", "md", "--type", "pdf", "--since", "2d", "--until", "1h", "--json"),
    )
    assert result.exit_code == 0, result.output
    ((_, query),) = backend.asked
    assert (query.text, query.mode, query.limit) == ("q", "words", 3)
    assert query.filters.collections == ("docs", "notes")
    assert query.filters.folders == ("guide",)
    assert query.filters.globs == ("**/*.md",)
    assert query.filters.types == ("md", "pdf")
    assert query.filters.modified_after == pytest.approx(time.time() - 2 * 86400, abs=60)
    assert query.filters.modified_before == pytest.approx(time.time() - 3600, abs=60)
    assert json.loads(result.stdout)["hits"][0]["chunk_id"] == 1


def test_search_after_a_receipt_waits_for_it(ragd: Any, backend: Any) -> None:
    assert ragd("search", "q", "--after", "latest").exit_code == 0
    assert ("wait_for", 41) in backend.asked
    missing = ragd("search", "q", "--after", "99")
    assert (missing.exit_code, missing.stderr.splitlines()[0]) == (3, "error: there is no receipt 99")
    late = ragd("search", "q", "--after", "100", "--timeout", "0.2")
    assert late.exit_code == 10
    assert "within 0.2 s" in late.stderr


def test_a_time_that_cannot_be_read_names_its_flag(ragd: Any, backend: Any) -> None:
    result = ragd("search", "q", "--since", "yesterdayish")
    assert result.exit_code == 2
    assert "error: --since: 'yesterdayish' is not a time" in result.stderr
    assert backend.asked == []


def test_an_error_of_the_daemon_keeps_its_words_and_its_exit_code(ragd: Any, backend: Any) -> None:
    backend.fault = EncoderFailed("the endpoint is down", hint="it is tried again")
    result = ragd("search", "q", "--json")
    assert result.exit_code == EncoderFailed.exit_code
    told = {"error": {"code": "encoder_failed", "message": "the endpoint is down", "hint": "it is tried again"}}
    assert json.loads(result.stdout) == told
    assert result.stderr == "error: the endpoint is down\n  hint: it is tried again\n"
    backend.fault = Busy("too much at once")
    assert ragd("status").exit_code == Busy.exit_code
    assert ragd("status").stdout == ""


def test_status_fits_one_screen_and_says_what_is_wrong(ragd: Any, backend: Any) -> None:
    lines = ragd("status").stdout.splitlines()
    assert lines[:-1] == [
        "ragd 0.1.0  degraded, up 2 h",
        "  ! no inotify watches left: folders are walked instead",
        "documents   1,203 searchable, 2 text, 1 pending, 4 failed",
        "chunks      20,411, 20,390 with vectors",
        "at work     walking folders, reading 2 files",
        "index       ivf, 20,390 vectors, 512 lists, 14 MiB",
        "            proven equal to the catalog 10 min ago",
        "model       minilm, onnx, 384 dimensions, 256 tokens",
        "workers     2 embed (1 busy), 1 extract (idle) on 2 hosts",
        "queues      3 in embed",
        "redis       configured, version 7.2, 2.0 KiB, redis://h/0",
        "folders     /docs: watching, 1,210 files, 1 not settled",
        "            /gone: missing, 0 files",
    ]
    assert lines[-1].startswith("state ")
    assert json.loads(ragd("status", "--json").stdout)["queues"] == {"extract": 0, "embed": 3}


def test_documents_are_a_table_with_a_way_to_go_on(ragd: Any, backend: Any) -> None:
    result = ragd("documents", "--only", "failed", "-c", "docs", "--limit", "1", "--cursor", "c1")
    header, row = result.stdout.splitlines()
    assert header.split() == ["STATE", "CHUNKS", "SIZE", "MODIFIED", "COLLECTION", "PATH"]
    assert row.split() == ["failed", "3/4", "2.0", "KiB", "2", "h", "ago", "docs", "broken.pdf"]
    assert "more with --cursor c2" in result.stderr
    asked = {"state": "failed", "collection": "docs", "path": None, "limit": 1, "cursor": "c1"}
    assert backend.asked == [("documents", asked)]


def test_failed_names_file_reason_and_remedy(ragd: Any, backend: Any) -> None:
    result = ragd("failed")
    assert result.stdout == "/docs/broken.pdf: the PDF has no end\n  hint: open it and save it again\n"
    assert backend.asked[0][1]["state"] == "failed"


def test_receipts_show_each_step_in_milliseconds(ragd: Any, backend: Any) -> None:
    result = ragd("receipts", "--pending", "-n", "5")
    header, row = result.stdout.splitlines()
    assert header.split()[:3] == ["RECEIPT", "SEEN", "ACTION"]
    assert row.split() == ["41", "1", "min", "ago", "modify", "300", "320", "330", "-", "0", "waits", "a.md"]
    assert backend.asked == [("receipts", {"path": None, "limit": 5, "pending": True})]


def test_a_path_is_asked_for_by_its_name_below_the_watched_folder(
    ragd: Any, backend: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs/guide").mkdir(parents=True)
    (tmp_path / "docs/guide/a.md").write_text("x")
    backend.answers["status"] = {"watch": [{"folder": str(tmp_path / "docs")}]}
    for path in ("docs/guide/a.md", "guide/gone.md", str(tmp_path / "docs"), f"{tmp_path}/docs/guide", "/elsewhere"):
        ragd("documents", path)
    monkeypatch.chdir(tmp_path / "docs/guide")
    ragd("receipts", "a.md")
    ragd("failed", "../guide/gone.md")
    asked = [question["path"] for name, question in backend.asked if name != "status"]
    expected = ["guide/a.md", "guide/gone.md", None, "guide", "/elsewhere", "guide/a.md", "guide/gone.md"]
    assert asked == expected


def test_retry_takes_all_or_those_named(ragd: Any, backend: Any) -> None:
    assert ragd("retry").stdout == "4 files are tried again\n"
    assert ragd("retry", "a.md").stdout == "1 file is tried again\n"
    assert json.loads(ragd("retry", "a.md", "--json").stdout) == {"retried": 1}
    assert backend.asked == [("retry", None), ("retry", ["a.md"]), ("retry", ["a.md"])]


def test_rescan_passes_the_folder_on(ragd: Any, backend: Any) -> None:
    assert ragd("rescan").exit_code == 0
    assert ragd("rescan", "docs").exit_code == 0
    assert backend.asked == [("rescan", None), ("rescan", "docs")]


HELD = {"missing": 30, "known": 40, "reason": "", "hint": "", "examples": ["a.md", "b\x1b.md"]}
WATCH = {"watch": [{"folder": "/kb", "held": HELD}, {"folder": "/docs", "held": None}]}


def test_held_deletions_are_listed_and_nothing_is_deleted_unless_somebody_agrees(ragd: Any, backend: Any) -> None:
    assert ragd("confirm-delete").stdout == "nothing is held\n"
    backend.answers["status"] = WATCH
    backend.asked.clear()
    result = ragd("confirm-delete")
    assert result.stdout.splitlines() == [
        "/kb: 30 of 40 documents are missing",
        "  a.md",
        "  b\N{REPLACEMENT CHARACTER}.md",
        "  and 28 more",
    ]
    assert result.exit_code == 2
    assert "with --yes" in result.stderr
    assert ragd("confirm-delete", "/docs").stdout == "nothing is held\n"
    assert ragd("confirm-delete", "/kb/").exit_code == 2
    unknown = ragd("confirm-delete", "/bk", "--yes")
    assert (unknown.exit_code, "/bk is not a watched folder" in unknown.stderr) == (3, True)
    assert json.loads(ragd("confirm-delete", "--json").stdout)["confirmed"] == []
    assert not [asked for asked in backend.asked if asked[0] == "confirm_delete"]


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "exit_code", "is_agreed"), [("n", 2, False), ("y", 0, True)])
def test_on_a_terminal_a_person_is_asked(
    backend: Any, state: Path, answer: str, exit_code: int, is_agreed: bool
) -> None:
    backend.answers["status"] = WATCH
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ragd", "--state", str(state), "confirm-delete"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        said = b""
        while b"[y/N]" not in said:
            said += os.read(ours, 1024)
        os.write(ours, answer.encode() + b"\n")
        assert process.wait(30) == exit_code
    for end in (ours, theirs):
        os.close(end)
    assert b"Remove these 30 documents from the index?" in said
    assert [asked for asked in backend.asked if asked[0] == "confirm_delete"] == [
        ("confirm_delete", (None, 30))
    ] * is_agreed


def test_as_many_documents_as_were_shown_are_let_go(ragd: Any, backend: Any) -> None:
    backend.answers["status"] = WATCH
    assert ragd("confirm-delete", "/kb", "--yes").stdout.splitlines()[-1] == (
        "agreed: 30 documents of /kb leave the index"
    )
    answer = json.loads(ragd("confirm-delete", "--yes", "--json").stdout)
    assert answer["held"][0]["folder"] == "/kb"
    assert answer["confirmed"] == [{"folder": "/kb", "missing": 30}]
    assert [asked for asked in backend.asked if asked[0] == "confirm_delete"] == [
        ("confirm_delete", ("/kb", 30)),
        ("confirm_delete", (None, 30)),
    ]


def test_verify_says_equal_or_what_differs_with_exit_code_11(ragd: Any, backend: Any) -> None:
    assert ragd("verify").stdout == "equal: 10 chunks in the catalog, 10 in the index (20 ms)\n"
    backend.answers["verify"] = {"clean": False, "index_chunks": 9, "missing": [5], "ghosts": list(range(20))}
    result = ragd("verify")
    assert result.exit_code == 11
    lines = result.stdout.splitlines()
    assert lines[0].startswith("different: 10 chunks in the catalog, 9 in the index")
    assert lines[1:] == [
        "  1 not in the index: 5",
        "  20 in the index only: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …",
        "  make them equal with `ragd verify --repair`",
    ]
    assert ragd("verify", "--json").exit_code == 11
    backend.answers["verify"] |= {"repaired": True}
    assert ragd("verify", "--repair").exit_code == 0
    assert [asked for _, asked in backend.asked] == [(False, False)] * 3 + [(True, False)]


@pytest.mark.parametrize(
    "command",
    [
        ["search", "q"],
        ["status"],
        ["documents"],
        ["receipts"],
        ["failed"],
        ["retry"],
        ["rescan"],
        ["confirm-delete"],
        ["verify", "--repair"],
    ],
)
def test_without_daemon_and_index_a_command_says_how_to_start_one(ragd: Any, command: list[str]) -> None:
    result = ragd(*command, "--json")
    assert result.exit_code == 4
    assert json.loads(result.stdout)["error"]["code"] == "daemon_unreachable"
    assert "ragd run FOLDER" in result.stderr


def test_an_option_after_the_command_wins_over_one_before_it(ragd: Any, backend: Any, tmp_path: Path) -> None:
    elsewhere = ragd("status", "--state", str(tmp_path / "elsewhere"))
    assert elsewhere.exit_code == 4
    assert "elsewhere holds no index yet" in elsewhere.stderr


def test_an_empty_query_is_refused_before_anyone_is_asked(ragd: Any, backend: Any) -> None:
    result = ragd("search", " ", "")
    assert result.exit_code == 2
    assert "the query is empty" in result.stderr or "the query is empty" in str(result.exception)
    assert backend.asked == []


def test_reload_tells_what_changed_and_what_waits(ragd: Any, backend: Any) -> None:
    result = ragd("reload")
    assert result.stdout.splitlines() == ["changed: search.limit, log.level", "needs a restart: redis.url"]
    assert json.loads(ragd("reload", "--json").stdout)["needs_restart"] == ["redis.url"]
    backend.fault = ConfigInvalid("ragd.toml:2: search.limit = 0 is not accepted", hint="give a number")
    refused = ragd("reload")
    assert refused.exit_code == 2
    assert "ragd.toml:2" in refused.stderr
