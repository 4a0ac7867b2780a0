"""Ignore rules: the defaults, the collection's globs, and git's own verdict on nested ignore files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ragd.watch import ignore
from ragd.watch.ignore import IgnoreRules, IgnoreSettings
from ragd.watch.patterns import Patterns


def rules(root: Path, **options: object) -> IgnoreRules:
    return IgnoreRules(os.fsencode(root), IgnoreSettings(**options))  # type: ignore[arg-type]


JUNK = [
    ".notes.md.swp", ".notes.md.swx", "notes.md~", ".#notes.md", "#notes.md#", "~$report.docx", "4913",
    ".~lock.report.odt#", "film.part", "x.crdownload", "x.download", "x.tmp", ".git/config", "a/.hg/store", ".DS_Store",
    "Thumbs.db", "desktop.ini", "src/__pycache__/m.pyc", ".venv/lib/x.py", "node_modules/a/README.md", ".gitignore",
    "docs/.ragdignore", ".report.pdf.Xa3f9Q", ".goutputstream-ABC123", ".nfs0000a1",
]  # fmt: skip
DOCUMENTS = [
    "notes.md", "a/b/c.pdf", ".hidden.md", "~notes", "#1.md", "tmp", "part", "Makefile", ".github/workflow.yml",
    "git/x", "a.swift", ".bashrc", ".x.backup", "download", "44913", "caf\udce9.md",
]  # fmt: skip


@pytest.mark.parametrize("path", JUNK)
def test_what_editors_and_systems_leave_behind_is_ignored(tmp_path: Path, path: str) -> None:
    assert rules(tmp_path).ignores(os.fsencode(path))
    assert not rules(tmp_path, use_defaults=False).ignores(os.fsencode(path))


@pytest.mark.parametrize("path", DOCUMENTS)
def test_what_a_person_wrote_is_kept(tmp_path: Path, path: str) -> None:
    assert not rules(tmp_path).ignores(os.fsencode(path))


def test_include_names_files_or_folders_and_exclude_prunes(tmp_path: Path) -> None:
    some = rules(tmp_path, include=("*.md", "/papers/"), exclude=("drafts/", "papers/**/old"))
    assert not some.ignores(b"a/b/x.md")
    assert some.ignores(b"a/b/x.txt")
    assert not some.ignores(b"papers/2024/x.txt")
    assert some.ignores(b"papers/2024/old/x.txt")
    assert some.ignores(b"drafts/x.md")
    assert not some.ignores(b"a", is_folder=True)


def test_an_exclamation_mark_brings_back_what_the_defaults_ignore(tmp_path: Path) -> None:
    (tmp_path / ".ragdignore").write_text("!node_modules/\n")
    assert not rules(tmp_path).ignores(b"node_modules/a/README.md")
    assert not rules(tmp_path, exclude=("!*.tmp",)).ignores(b"x.tmp")


def test_ragds_own_state_is_never_indexed_whatever_the_rules_say(tmp_path: Path) -> None:
    state = tmp_path / "kb" / "state"
    state.mkdir(parents=True)
    some = rules(tmp_path / "kb", exclude=("!state/",), state_folder=os.fsencode(state))
    assert some.ignores(b"state", is_folder=True)
    assert some.ignores(b"state/catalog.db")
    assert not some.ignores(b"other/state/catalog.db")
    assert not rules(tmp_path / "kb", state_folder=os.fsencode(tmp_path)).ignores(b"x.md")


def test_a_ragdignore_overrules_the_gitignore_beside_it_and_a_deeper_file_both(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*.log\n*.csv\n")
    (tmp_path / ".ragdignore").write_text("!*.log\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".gitignore").write_text("keep.log\n!*.csv\n")
    some = rules(tmp_path)
    assert not some.ignores(b"x.log")
    assert some.ignores(b"x.csv")
    assert some.ignores(b"a/keep.log")
    assert not some.ignores(b"a/x.csv")


def test_a_changed_ignore_file_is_read_again_once_it_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    some = rules(tmp_path)
    assert not some.ignores(b"a/x.log")
    (tmp_path / "a" / ".gitignore").write_text("*.log\n")
    assert not some.ignores(b"a/x.log")
    some.forget(b"a")
    assert some.ignores(b"a/x.log")
    (tmp_path / "a" / ".gitignore").write_text("*.txt\n")
    some.forget()
    assert not some.ignores(b"a/x.log")


def test_an_ignore_file_that_is_no_plain_file_has_no_rules(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".gitignore")
    (tmp_path / ".ragdignore").symlink_to("/etc/passwd")
    assert not rules(tmp_path).ignores(b"x.md")


def test_a_byte_order_mark_windows_line_ends_and_broken_patterns_do_no_harm() -> None:
    patterns = Patterns([b"\xef\xbb\xbf*.log\r", b"[z-a].md", b"\\", b"   ", b"# comment", b"caf\xe9/"])
    assert patterns.decide(b"x.log", b"x.log", False) is True
    assert patterns.decide(b"caf\xe9", b"caf\xe9", True) is True
    assert patterns.decide(b"caf\xe9", b"caf\xe9", False) is None


LINES = [
    "a", "b/", "/a", "*.x", "!*.x", "!a", "!b/", "a/b", "/a/*", "!/a/b", "**/b", "a/**", "a/**/b", "!a/**/c.x", "*",
    "!*/", "/*", "b*", "?", "[ab]", "!c.x", "c.x", "*/", "\\!a", "#a", "a b", "!/b/", "*.x/", "**", "!**/c.x",
]  # fmt: skip


@pytest.mark.slow
@example(top=[], middle=["a/**", "!a/**/c.x"], deep=[])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    top=st.lists(st.sampled_from(LINES), max_size=5),
    middle=st.lists(st.sampled_from(LINES), max_size=4),
    deep=st.lists(st.sampled_from(LINES), max_size=3),
)
def test_nested_ignore_files_mean_what_git_says(
    tmp_path_factory: pytest.TempPathFactory, top: list[str], middle: list[str], deep: list[str]
) -> None:
    root = tmp_path_factory.mktemp("git")
    environment = {"PATH": os.environ["PATH"], "HOME": str(root), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "init", "-q", str(root)], check=True, env=environment)
    paths = [f"{x}{y}{z}" for x in ("", "a/", "b/", "c.x/") for y in ("", "a/", "b/") for z in ("a", "b", "c.x", "a b")]
    files = [path for path in paths if not any(other.startswith(path + "/") for other in paths)]
    for path in files:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("x")
    for folder, lines in (("", top), ("a", middle), ("a/b", deep)):
        (root / folder / ".gitignore").write_text("".join(f"{line}\n" for line in lines))
    answer = subprocess.run(
        ["git", "-C", str(root), "check-ignore", "--no-index", "--stdin", "-z"],
        input=b"\0".join(map(os.fsencode, files)),
        capture_output=True,
        env=environment,
    )
    expected = {os.fsdecode(path) for path in answer.stdout.split(b"\0") if path}
    ours = {path for path in files if rules(root, use_defaults=False).ignores(os.fsencode(path))}
    assert ours == expected


def test_folders_with_ever_new_names_in_ignored_places_do_not_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ignore, "_MAX_CACHED_FOLDERS", 20)
    monkeypatch.setattr(ignore, "_MAX_CACHED_FILES", 5)
    of = rules(tmp_path)
    for number in range(200):
        assert of.ignores(b"node_modules/build-%d/a/b.md" % number)
        folder = tmp_path / f"project-{number}"
        folder.mkdir()
        (folder / ".gitignore").write_text("*.log\n")
        assert of.ignores(b"project-%d/a.log" % number)
        assert not of.ignores(b"project-%d/a.md" % number)
    assert len(of._folders) <= 20
    assert len(of._read) <= 5
