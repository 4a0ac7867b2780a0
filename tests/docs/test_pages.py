"""What the pages show is true: commands exist, code runs, the recording is the demo, every dependency is listed."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import typer

from bench.demo import PROMPT, commands
from ragd.cli.main import build
from ragd.config.load import load
from ragd.domain.errors import ReadFailed
from ragd.domain.ports import Reader
from ragd.hooks.manager import Plugins

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))
WRITTEN = [page for page in PAGES if page.parent.name != "reference"]
BLOCK = re.compile(r"^[ ]*```(\w*)\n(.*?)^[ ]*```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:ragd|make) [^`]+)`")
DISTRIBUTION = re.compile(r"[A-Za-z0-9._-]+")


def blocks(page: Path, language: str) -> list[str]:
    return [text for name, text in BLOCK.findall(page.read_text(encoding="utf-8")) if name == language]


def command_lines(page: Path) -> Iterator[list[str]]:
    """Every command line of ragd or make on a page, in blocks and in running text, as words."""
    lines = [
        line.split("  #")[0]
        for language in ("sh", "console")
        for text in blocks(page, language)
        for line in text.splitlines()
    ]
    lines += [found for found in INLINE.findall(page.read_text(encoding="utf-8")) if "\n" not in found]
    for line in lines:
        words = shlex.split(line.strip().removeprefix(PROMPT), comments=True)
        while words and words[0] in ("sudo", "-u", "docker", "compose", "exec"):
            words = words[2:] if words[0] in ("-u",) else words[1:]
        if words[:2] == ["ragd", "ragd"]:
            words = words[1:]
        if words and words[0] in ("ragd", ".venv/bin/ragd", "make"):
            yield words


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_is_shown_exists_with_its_options(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for words in command_lines(page):
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), words
            continue
        known(words[1:])


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    assert sum(len(list(command_lines(page))) for page in WRITTEN) > 40
    for words in (["serch", "x"], ["search", "--wihtin", "x"], ["--stat", "x", "search"]):
        with pytest.raises(AssertionError):
            known(words)


@cache
def ragd() -> object:
    """The whole command line."""
    return typer.main.get_command(build())


def known(words: list[str]) -> None:
    """Fails when the words are no command line of ragd."""
    command: Any = ragd()
    options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    at = 0
    while at < len(words):
        word = words[at]
        children = getattr(command, "commands", {})
        if word.startswith("-"):
            assert word.split("=")[0] in options, words
            at += 2 if word in ("--state", "--config") else 1
        elif children:
            assert word in children, words
            command = children[word]
            options |= {name for parameter in command.params for name in parameter.opts} | {"--help"}
            at += 1
        else:
            at += 1


def test_the_readme_is_short_and_begins_with_what_to_type() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    assert any(line.startswith("make run") for line in lines[:15])
    assert any(line.startswith("make test") for line in lines[:15])


def test_the_recording_is_the_demo() -> None:
    recording = (ROOT / "docs/tutorial/first-five-minutes.txt").read_text(encoding="utf-8")
    shown = [line.removeprefix(PROMPT) for line in recording.splitlines() if line.startswith(PROMPT)]
    assert shown == commands(), "record it anew: python -m bench.demo --record docs/tutorial/first-five-minutes.txt"
    assert "/tmp" not in recording
    assert "all searchable: " in recording
    assert "tutorial/first-five-minutes.txt" in (ROOT / "docs/.ragdignore").read_text(encoding="utf-8")


def test_the_plugin_of_the_guide_reads_subtitles() -> None:
    (code,) = blocks(ROOT / "docs/howto/write-a-reader-plugin.md", "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    namespace: dict[str, Any] = {}
    exec(compile(code, "guide", "exec"), namespace)
    plugin = type("Plugin", (), {"ragd_readers": staticmethod(namespace["ragd_readers"])})
    plugins = Plugins()
    plugins.add("subtitles", lambda: plugin)
    assert plugins.problems() == ()
    (reader,) = plugins.readers()
    assert isinstance(reader, Reader)
    read = reader.read(b"{0}{25}Who is there?|It is me.\n{30}{55}Come in.\n", ".sub")
    assert (read.text, read.form) == ("Who is there? It is me.\n\nCome in.", "text")
    with pytest.raises(ReadFailed, match="no subtitles"):
        reader.read(b"\n", ".sub")


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_configuration_that_is_shown_is_accepted(page: Path, tmp_path: Path) -> None:
    shown = [text for text in blocks(page, "toml") if "[project" not in text]
    for text in shown:
        file = tmp_path / "ragd.toml"
        file.write_text(text, encoding="utf-8")
        loaded = load(file, {"HOME": str(tmp_path)}, {})
        assert loaded.config.collections or loaded.config.embed
    assert all(tomllib.loads(text) for text in blocks(page, "toml"))


def test_every_dependency_is_explained_with_its_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(text for extra in extras for text in extra)]
    names = {found[0].lower() for text in wanted if (found := DISTRIBUTION.match(text))} - {"ragd"}
    page = (ROOT / "docs/explanation/dependencies.md").read_text(encoding="utf-8")
    rows = {
        cells[1].strip(" `"): cells
        for line in page.splitlines()
        if (cells := line.split("|")) and "`" in line and len(cells) > 5
    }
    assert set(rows) == names
    for name, cells in rows.items():
        declared = licence(name)
        assert any(word in declared for word in re.findall(r"MIT|BSD|Apache|MPL|GPL", cells[-3])), (name, declared)


def licence(name: str) -> str:
    """What a package says of its licence, or that the one enclosed says."""
    told = metadata.metadata(name)
    classifiers = [text for text in told.get_all("Classifier") or [] if text.startswith("License")]
    enclosed = [file for file in metadata.files(name) or [] if file.name.upper().startswith("LICENSE")]
    words = [file.read_text() for file in enclosed if ".dist-info" in str(file)]
    if any("Redistributions in binary form must reproduce" in text for text in words):
        classifiers.append("BSD")  # not every package names the licence whose words it carries
    return json.dumps([told.get_all("License-Expression"), told.get_all("License"), *classifiers])


def test_the_changelog_tells_of_the_version_that_this_is() -> None:
    from ragd import __version__

    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
