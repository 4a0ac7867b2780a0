"""Writes docs/reference from the code itself: `python -m ragd.cli.reference [FOLDER]`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from ragd.cli.client import leaves
from ragd.cli.main import build
from ragd.cli.markdown import table
from ragd.config.keys import Key, collection_keys, keys, sections, trainer_keys
from ragd.config.live import is_live
from ragd.config.origin import shown
from ragd.domain.errors import RagdError

FOLDER = Path("docs/reference")
_NOTE = "<!-- Written by `python -m ragd.cli.reference`; change the code, not this page. -->\n"
_CONFIGURATION = """\
# Configuration

A value is taken from the last of these that gives one: the default, `ragd.toml`, a `RAGD_` variable, a flag.
`ragd config show` tells each value and where it comes from, `ragd config init` writes a commented file,
`ragd config check` finds mistakes. Unknown keys and variables are errors.

The file is the first of: `--config FILE`, `$RAGD_CONFIG`, `./ragd.toml`, `$XDG_CONFIG_HOME/ragd/ragd.toml`
(`~/.config/ragd/ragd.toml`), `/etc/ragd/ragd.toml`. Relative paths in it are relative to the file; in variables and
flags they are relative to the current folder.

`ragd reload`, `systemctl reload ragd` and SIGHUP have a running daemon read all of it again. What says *restart* below
keeps its value until the daemon starts anew, and the command names it. Other changes hold at once; workers take another
log level when they next start. A file with a mistake is refused, and the configuration before goes on."""
_TRAINERS = """\
One table for each trainer, by the name that `ragd plugins list` tells; a trainer without one goes by the defaults.
What a trainer itself is told stands in `[trainers.NAME.options]`. `RAGD_TRAINERS` holds the same as a JSON object:
`{"query_adapter": {"changed_chunks": 1000}}`; it replaces the tables of the file."""
_COMMANDS = """\
# Commands

`--config` and `--state` may stand before or after the command's name; after it wins. Commands that print data take
`--json`; an error is then told on stdout as well, as `{"error": {"code", "message", "hint"}}`. What is not the answer
itself goes to stderr. Colour is used on a terminal only, and never with `NO_COLOR`. The exit codes are listed in
[errors](errors.md). `ragd --install-completion` teaches your shell to complete commands, options and the names of
collections.

`RAGD_URL` lets commands ask a daemon elsewhere, `http://HOST:PORT` or `https://HOST`, with the token in `RAGD_TOKEN`;
see [reach ragd from elsewhere](../howto/reach-ragd-from-elsewhere.md).

Where no daemon runs, `search`, `status`, `documents`, `receipts`, `failed` and `verify` answer from the state folder,
read only, and say so on stderr; the other commands that need one end with exit code 4."""
_ERRORS = """\
# Errors and exit codes

Every error tells what is wrong in one line and what to do in the next. Over HTTP and with `--json` it has the shape
`{"error": {"code", "message", "hint"}}`; codes are stable, messages are not."""


def pages() -> dict[str, str]:
    """Every page of the reference by its file name."""
    from ragd.cli.reference_hooks import hooks
    from ragd.cli.reference_http import http
    from ragd.cli.reference_metrics import metrics

    return {
        "configuration.md": _NOTE + configuration(),
        "commands.md": _NOTE + commands(),
        "errors.md": _NOTE + errors(),
        "http.md": _NOTE + http(),
        "hooks.md": _NOTE + hooks(),
        "metrics.md": _NOTE + metrics(),
    }


def write(folder: Path) -> None:
    """Writes the pages into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


def configuration() -> str:
    """Every key with its default, what it accepts, its variable and its flag."""
    by_section: dict[str, list[Key]] = {}
    for key in keys():
        by_section.setdefault(key.section, []).append(key)
    lines = [
        _CONFIGURATION,
        "## At the top",
        "",
        *_key_table(by_section[""]),
        "",
        "## `[[collections]]`",
        "",
        "One table for each collection. `RAGD_COLLECTIONS` holds the same as a JSON list.",
        "",
        *_table_of_tables(collection_keys(), without_default="required"),
    ]
    for name, promise in sections().items():
        lines += ["", f"## `[{name}]`", "", promise, "", *_key_table(by_section[name])]
    lines += ["", "## `[trainers.NAME]`", "", _TRAINERS, "", *_table_of_tables(trainer_keys(), without_default="")]
    return "\n".join(lines) + "\n"


def _table_of_tables(inner: Sequence[Key], *, without_default: str) -> list[str]:
    return table(
        ("Key", "Accepts", "Default", "Meaning"),
        ((f"`{key.leaf}`", key.accepts, _default(key) or without_default, key.description) for key in inner),
    )


def _key_table(section: Sequence[Key]) -> list[str]:
    def row(key: Key) -> tuple[str, ...]:
        flag = f"`{key.flag}`" if key.flag else ""
        reloads = "yes" if is_live(key) else "restart"
        return f"`{key.name}`", key.accepts, _default(key), f"`{key.variable}`", flag, reloads, key.description

    names = ("Key", "Accepts", "Default", "Variable", "Flag", "Changes on reload", "Meaning")
    return table(names, (row(key) for key in section))


def _default(key: Key) -> str:
    return "" if key.default is None else f"`{shown(key.default)}`"


def commands() -> str:
    """Every command with its arguments and options."""
    root: Any = typer.main.get_command(build())
    lines = [_COMMANDS]
    for name, command in _walk(root, "ragd"):
        lines += ["", f"## `{name}`", "", *_command(name, command)]
    return "\n".join(lines) + "\n"


def _walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    yield name, command
    for child_name, child in getattr(command, "commands", {}).items():
        yield from _walk(child, f"{name} {child_name}")


def _command(name: str, command: Any) -> list[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    shape = [name, "[OPTIONS]", *(_argument(p) for p in arguments)]
    if getattr(command, "commands", None):
        shape.append("COMMAND")
    lines = ["```", " ".join(shape), "```", "", _prose(command.help)]
    described = [(f"`{_argument(p)}`", "", p.help or "") for p in arguments]
    described += [(_flags(p), _option_default(p), p.help or "") for p in options]
    return [*lines, "", *table(("Argument or option", "Default", "Meaning"), described)] if described else lines


def _argument(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name.upper()).strip("[].")
    shown_name = f"{name}..." if parameter.nargs == -1 else name
    return shown_name if parameter.required else f"[{shown_name}]"


def _flags(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    if option.is_flag:
        return names
    kind = option.type_descriptor.annotation
    is_choice = isinstance(kind, type) and issubclass(kind, StrEnum)
    return f"{names} {'/'.join(kind) if is_choice else option.metavar}"


def _option_default(option: Any) -> str:
    value = option.default
    if value in (None, "", False) or callable(value):
        return ""
    return f"`{getattr(value, 'value', value)}`"


def _prose(text: str | None) -> str:
    return "\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n"))


def errors() -> str:
    """Every exit code and every kind of error."""
    kinds = sorted(leaves().items(), key=lambda item: (item[1].exit_code, item[0]))
    own = [
        ("0", "The command did what it was asked."),
        ("1", "An error without a code of its own, or a bug (with its traceback)."),
        ("2", "The command line itself is not understood (or one of the errors below with code 2)."),
        ("130", "Interrupted with Ctrl-C."),
    ]
    lines = [
        _ERRORS,
        *table(("Exit code", "Meaning"), own),
        "",
        "Errors by kind:",
        "",
        *table(
            ("Code", "Exit code", "HTTP status", "Meaning"),
            ((f"`{code}`", str(kind.exit_code), str(kind.http_status), _meaning(kind)) for code, kind in kinds),
        ),
    ]
    return "\n".join(lines) + "\n"


def _meaning(kind: type[RagdError]) -> str:
    if kind is RagdError:
        return "An error without a kind of its own."
    return " ".join((kind.__doc__ or "").partition("\n\n")[0].split())


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
