"""The edge where errors become words and exit codes; bugs pass through with their traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from ragd.cli import extra
from ragd.cli.terminal import Terminal, safe
from ragd.domain.errors import RagdError

INTERRUPTED = 130


class Edge(TyperGroup):
    """The group of all commands: a RagdError ends it with its message, its remedy and its exit code.

    A name that is not ragd's own is looked for among the commands of plugins.
    """

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, ragd's own first."""
        own = super().get_command(ctx, cmd_name)
        if own is not None or ctx.resilient_parsing:
            return own
        return extra.command(cmd_name, ctx.params.get("config"), ctx.params.get("state"))

    def list_commands(self, ctx: Any) -> list[str]:
        """Every command's name, those of plugins last."""
        own = super().list_commands(ctx)
        added = [] if ctx.resilient_parsing else extra.names(ctx.params.get("state"))
        return [*own, *(name for name in added if name not in own)]

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Runs a command line; with `--json` among its arguments an error is told in JSON on stdout as well."""
        try:
            return super().main(args, *rest, **extra)
        except RagdError as error:
            tell(error, is_json=_asks_for_json(sys.argv[1:] if args is None else args))
            sys.exit(error.exit_code)
        except ImportError as error:
            if _was_interrupted(error):
                sys.exit(INTERRUPTED)
            raise


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


def _was_interrupted(error: BaseException) -> bool:
    """Whether Ctrl-C is behind it: a library in C that is interrupted while it is loaded says it cannot be."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__
    return cause is not None


def _asks_for_json(arguments: Sequence[str]) -> bool:
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options
