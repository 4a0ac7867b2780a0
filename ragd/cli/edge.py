"""The edge where errors become words and exit codes; bugs pass through with their traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from ragd.cli.terminal import Terminal, safe
from ragd.domain.errors import RagdError


class Edge(TyperGroup):
    """The group of all commands: a RagdError ends it with its message, its remedy and its exit code."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Runs a command line; with `--json` among its arguments an error is told in JSON on stdout as well."""
        try:
            return super().main(args, *rest, **extra)
        except RagdError as error:
            tell(error, is_json=_asks_for_json(sys.argv[1:] if args is None else args))
            sys.exit(error.exit_code)


def tell(error: RagdError, *, is_json: bool) -> None:
    """Writes an error for people to stderr and, with `is_json`, for programs to stdout."""
    if is_json:
        import json

        body = {"error": {"code": error.code, "message": str(error), "hint": error.hint}}
        typer.echo(json.dumps(body, ensure_ascii=False))
    terminal = Terminal.of(sys.stderr, os.environ)
    for line in str(error).splitlines() or [error.code]:
        typer.echo(f"{terminal.red('error:')} {safe(line)}", err=True)
    if error.hint:
        typer.echo(f"  {terminal.dim('hint:')} {safe(error.hint)}", err=True)


def _asks_for_json(arguments: Sequence[str]) -> bool:
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options
