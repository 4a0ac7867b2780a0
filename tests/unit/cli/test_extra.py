"""Commands of plugins: run when they are trusted, listed by help, and no others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = '''
from typing import Annotated

import typer

from ragd.hooks.api import hookimpl


def greet(name: Annotated[str, typer.Argument(help="Whom.")]) -> None:
    """Greet somebody."""
    typer.echo(f"hello {name}")


@hookimpl
def ragd_commands():
    return {"greet": greet}
'''


@pytest.mark.slow
def test_a_trusted_plugin_adds_a_command_and_an_untrusted_one_does_not(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o700)
    (folder / "hello.py").write_text(CODE)
    (folder / "hello.py").chmod(0o644)
    named = {"RAGD_STATE": str(tmp_path / "state"), "RAGD_PLUGINS__FOLDER": str(folder), "HOME": str(tmp_path)}

    def ragd(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "ragd", *arguments],
            env={**os.environ, **named},
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout + done.stderr

    assert ragd("greet", "Ada")[0] == 2
    assert "greet" not in ragd("--help")[1]
    assert ragd("plugins", "trust", "hello.py")[0] == 0
    assert ragd("greet", "Ada") == (0, "hello Ada\n")
    assert "Greet somebody." in ragd("--help")[1]
    status, said = ragd("greet")
    assert (status, "Missing argument" in said) == (2, True)
