"""Plugins are found, and broken ones are named and left out."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from ragd.hooks.manager import Plugins, load

GOOD = """
    from ragd.hooks.api import ReadText, hookimpl

    class Reader:
        name = "good"
        version = "1"
        suffixes = frozenset({".md", ".good"})

        def read(self, data, suffix):
            return ReadText(text=data.decode())

    @hookimpl
    def ragd_readers():
        return [Reader()]
"""


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch, **sources: str) -> Plugins:
    """The plugins after modules with these sources were installed, each with an entry point of its name."""
    monkeypatch.syspath_prepend(str(folder))
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(source))
        monkeypatch.delitem(sys.modules, name, raising=False)
    return load([EntryPoint(name, name, "ragd") for name in sources])


def problem(plugins: Plugins, name: str) -> str:
    return next(problem.reason for problem in plugins.problems() if problem.plugin == name)


def test_the_bundled_plugins_load_without_problems() -> None:
    plugins = load([])
    assert plugins.problems() == ()
    assert set(plugins.names()) >= {"plain_reader", "markitdown_reader", "pdf_reader", "mail_reader", "data_reader"}


def test_loading_twice_shares_nothing() -> None:
    assert set(load([]).readers()).isdisjoint(load([]).readers())


def test_loading_imports_no_heavy_library() -> None:
    script = "import sys; from ragd.hooks.manager import load; load([]); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "ragd.hooks.manager" in loaded
    assert {"markitdown", "pdfplumber", "pandas", "torch"}.isdisjoint(loaded)


def test_an_installed_plugin_takes_precedence_over_a_bundled_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = installed(tmp_path, monkeypatch, zz_good=GOOD)
    assert plugins.names()[0] == "zz_good"
    assert plugins.readers()[0].name == "good"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise OSError('no licence file')", "OSError: no licence file"),
        ("import no_such_module_anywhere", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
        (GOOD.replace("ragd_readers", "ragd_dreams"), "unknown hook ragd_dreams"),
        (GOOD.replace("    @hookimpl\n", ""), "ragd_readers is not marked with @hookimpl"),
        (GOOD.replace("ragd_readers()", "ragd_readers(unknown)"), "unknown"),
        (GOOD.replace("[Reader()]", "Reader()"), "not a list"),
        (GOOD.replace("[Reader()]", "[object()]"), "not a Reader"),
        (GOOD.replace("return [Reader()]", "raise ValueError('at call')"), "ValueError: at call"),
    ],
)
def test_a_broken_plugin_is_named_and_blocked_and_the_others_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, reason: str
) -> None:
    plugins = installed(tmp_path, monkeypatch, broken_plugin=source, whole_plugin=GOOD)
    assert reason in problem(plugins, "broken_plugin")
    assert "broken_plugin" not in plugins.names()
    assert {"whole_plugin", "plain_reader"} <= set(plugins.names())
