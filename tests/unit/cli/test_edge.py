"""The edge: exit codes, JSON errors, interrupts, bugs, closed pipes, completion, and what help may import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ragd.domain.errors import StateLocked

HEAVY = {"fastapi", "faiss", "onnxruntime", "httpx", "pydantic", "pydantic_settings", "numpy", "torch", "redis", "rq"}
HEAVY |= {"rich", "uvicorn", "sqlite3", "markitdown", "transformers", "watchdog", "asyncio"}


def ragd_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "importtime", "-m", "ragd", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)


def test_help_imports_nothing_heavy() -> None:
    done = ragd_process("--help")
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert done.returncode == 0
    assert "Keep a search index equal to your folders" in done.stdout
    assert "typer" in imported
    assert imported & HEAVY == set()


def test_a_daemon_that_refuses_to_start_ends_with_its_exit_code(
    ragd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").mkdir()

    def refuse(config: object, **_: object) -> int:
        raise StateLocked("another daemon owns the folder", hint="stop it")

    install(monkeypatch, refuse)
    result = ragd("run", "docs")
    assert (result.exit_code, result.stderr) == (5, "error: another daemon owns the folder\n  hint: stop it\n")


def test_an_interrupt_ends_with_130(ragd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()

    def interrupted(config: object, **_: object) -> int:
        raise KeyboardInterrupt

    install(monkeypatch, interrupted)
    assert ragd("run", "docs").exit_code == 130


def test_an_interrupt_while_a_library_is_loaded_ends_with_130(
    ragd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").mkdir()
    behind: list[BaseException] = [KeyboardInterrupt(), ZeroDivisionError()]

    def not_loaded(config: object, **_: object) -> int:
        raise ImportError("initialization failed") from behind[0]

    install(monkeypatch, not_loaded)
    assert ragd("run", "docs").exit_code == 130
    behind.pop(0)
    assert isinstance(ragd("run", "docs").exception, ImportError)


def test_a_bug_keeps_its_traceback(ragd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()

    def broken(config: object, **_: object) -> int:
        raise ZeroDivisionError

    install(monkeypatch, broken)
    assert isinstance(ragd("run", "docs").exception, ZeroDivisionError)


def test_run_turns_folders_and_flags_into_a_configuration(
    ragd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[Any, dict[str, object]]] = []

    def run(config: Any, **options: object) -> int:
        started.append((config, options))
        return 0

    install(monkeypatch, run)
    (tmp_path / "docs").mkdir()
    (tmp_path / "ragd.toml").write_text('[[collections]]\nname = "a"\nfolders = ["x"]\n')
    assert ragd("run").exit_code == 0
    arguments = ("docs", "--redis-url", "redis://h/1", "--tcp", "127.0.0.1:0", "--embed-workers", "3")
    assert ragd("run", *arguments, "--until-indexed", "--quiet").exit_code == 0
    (configured, options), (config, quiet) = started
    assert [collection.name for collection in configured.collections] == ["a"]
    load_again: Any = options.pop("load_again")
    assert load_again() == configured
    (tmp_path / "ragd.toml").write_text('[[collections]]\nname = "b"\nfolders = ["x"]\n')
    assert [collection.name for collection in load_again().collections] == ["b"]
    assert options == {"until_indexed": False, "progress": True}
    assert [(c.name, c.folders) for c in config.collections] == [("default", (tmp_path / "docs",))]
    assert (config.redis.url, config.http.tcp, config.workers.embed) == ("redis://h/1", "127.0.0.1:0", 3)
    assert config.log.level == "warning"
    assert quiet.pop("load_again") is not None
    assert quiet == {"until_indexed": True, "progress": False}


def test_run_needs_folders_that_are_there(ragd: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "nothing to index" in ragd("run").stderr
    assert "nowhere does not exist" in ragd("run", "nowhere").stderr
    assert "file is not a folder" in ragd("run", "file").stderr
    assert {ragd("run").exit_code, ragd("run", "nowhere").exit_code, ragd("run", "file").exit_code} == {2}


def test_a_worker_without_redis_and_daemon_says_what_to_name(ragd: Any) -> None:
    result = ragd("worker", "embed")
    assert result.exit_code == 7
    assert "--redis-url" in result.stderr


def test_version_names_what_ragd_stands_on(ragd: Any) -> None:
    found = json.loads(ragd("version", "--json").stdout)
    assert {"ragd", "python", "faiss", "rq", "redis", "onnxruntime"} <= set(found)
    assert ragd("--version").stdout == f"ragd {found['ragd']}\n"


def test_a_reader_that_closes_the_pipe_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "ragd", "version"]
    with os.fdopen(write, "w") as closed:
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode in (0, 1)


def test_a_full_disk_behind_the_output_is_told_in_one_line() -> None:
    for arguments in (["version"], ["--help"]):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "ragd", *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False
            )
        assert done.returncode == 9
        assert done.stderr.startswith("error: the disk is full")
        assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_change_no_exit_code(tmp_path: Path, closed: str) -> None:
    for command, exit_code in ((["version"], 0), (["--state", str(tmp_path), "retry"], 4)):
        line = [sys.executable, "-m", "ragd", *command]
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {closed}', "sh", *line], capture_output=True, text=True, check=False
        )
        assert (done.returncode, "Traceback" in done.stderr) == (exit_code, False)


def test_shells_complete_the_names_of_configured_collections(tmp_path: Path) -> None:
    file = tmp_path / "ragd.toml"
    file.write_text("".join(f'[[collections]]\nname = "{n}"\nfolders = ["{n}"]\n' for n in ("notes", "news", "docs")))
    words = {"COMP_WORDS": "ragd search --collection n", "COMP_CWORD": "3", "_RAGD_COMPLETE": "complete_bash"}
    done = ragd_process(RAGD_CONFIG=str(file), **words)
    assert done.stdout.split() == ["notes", "news"]
    file.write_text("broken")
    assert ragd_process(RAGD_CONFIG=str(file), **words).stdout.split() == []


def install(monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    """Puts a function in the daemon's place; what it does is not what is tested here."""
    module = ModuleType("ragd.daemon.run")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ragd.daemon.run", module)
