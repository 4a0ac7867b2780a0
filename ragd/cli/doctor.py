"""`ragd doctor`: looks at everything that keeps ragd well, and prints the command that mends what is not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ragd.cli.doctor_facts import Finding, Level, Shell
from ragd.cli.options import AsJson, ConfigFile, StateFolder
from ragd.cli.session import Globals, configuration, screen, show_json
from ragd.cli.terminal import Terminal, one_line, safe
from ragd.domain.errors import ConfigInvalid, RagdError, Unwell

if TYPE_CHECKING:
    from ragd.cli.doctor_facts import ConfigFacts
    from ragd.config.load import Loaded

_WIDTH = 9
_MIB = 1 << 20


def doctor(ctx: typer.Context, config: ConfigFile = None, state: StateFolder = None, as_json: AsJson = False) -> None:
    """Look at limits, rights, disk, clock, Redis, model, plugins and versions, and say how to mend what is wrong.

    Works with the daemon running and stopped, changes nothing, and needs a few seconds. Ends with exit code 20 when
    something is wrong; each finding has the command that mends it, to be copied.
    """
    findings = list(examine(ctx, config, state))
    wrong = sum(one.level is Level.WRONG for one in findings)
    if as_json:
        rows = [
            {"check": f.check, "level": f.level, "says": f.says, "command": f.command, "hint": f.hint} for f in findings
        ]
        show_json({"well": not wrong, "findings": rows})
    else:
        for line in lines(findings, screen()):
            typer.echo(line)
    if wrong:
        raise typer.Exit(Unwell.exit_code)


def examine(ctx: typer.Context, config: Path | None, state: Path | None) -> Iterator[Finding]:
    """Every finding, in the order of the screen. Raises nothing for what is wrong with what it looks at."""
    from ragd.cli import doctor_look as look
    from ragd.cli import doctor_look_parts as parts

    before = ctx.find_object(Globals) or Globals()
    named, folder = config or before.config, state or before.state
    shell = look.shell(named, folder)
    try:
        loaded = configuration(ctx, config, state)
    except ConfigInvalid as error:
        told = parts.broken_config(named, error)
        place = folder or parts.state_of(told.file, os.environ)
        yield from _without_config(place.absolute(), told, shell)
        return
    yield from _with_config(loaded, shell)


def lines(findings: Iterable[Finding], terminal: Terminal) -> Iterator[str]:
    """The screen: a line for each finding, and below one that is wrong its command and what to know of it."""
    paint = {Level.FINE: terminal.green, Level.NOTE: terminal.yellow, Level.WRONG: terminal.red}
    wrong = 0
    for one in findings:
        wrong += one.level is Level.WRONG
        yield f"{paint[one.level](one.level.ljust(5))} {one.check.ljust(_WIDTH)} {one_line(one.says)}"
        if one.command:
            yield f"      {terminal.bold('$ ' + safe(one.command))}"
        if one.hint:
            yield f"      {terminal.dim(one_line(one.hint))}"
    yield f"{wrong} wrong: type what stands behind $, then look again" if wrong else "all is well"


def _without_config(place: Path, told: ConfigFacts, shell: Shell) -> Iterator[Finding]:
    """What can be said while the configuration is not in order."""
    from ragd.cli import doctor_judge_parts as judge

    yield from judge.config(told, shell)
    yield from _of_state(place, shell)
    yield from _of_machine(place, 0, None, 0, shell)
    says = "folders, Redis, model and plugins are looked at when the configuration is in order"
    yield Finding("config", Level.NOTE, says)


def _with_config(loaded: Loaded, shell: Shell) -> Iterator[Finding]:
    from ragd.cli import doctor_judge as machine
    from ragd.cli import doctor_judge_parts as judge
    from ragd.cli import doctor_look as look
    from ragd.cli import doctor_look_parts as parts

    config = loaded.config
    yield from _guarded("config", lambda: judge.config(parts.config(loaded), shell))
    yield from _of_state(config.state, shell)
    daemon, watched = parts.daemon(config.state, config.socket_path)
    yield from judge.daemon(daemon, shell)
    paths = watched or tuple(path.absolute() for each in config.collections for path in each.folders)
    folders = parts.folders(paths, now=look.now())
    yield from judge.folders(folders, shell)
    wanted = machine.folders_of(folders)
    yield from _guarded("inotify", lambda: machine.inotify(look.inotify(daemon.pid), wanted, len(folders), shell))
    redis_at, model_at = (str(loaded.origins[key]) for key in ("redis.url", "embed.model"))
    yield from _guarded("redis", lambda: judge.redis(parts.redis(config, redis_at, is_running=daemon.answers), shell))
    yield from _guarded("model", lambda: judge.model(parts.model(config, model_at), shell))
    yield from _guarded("http", lambda: machine.door(parts.door(config, now=look.now()), shell))
    yield from _guarded("plugins", lambda: judge.plugins(parts.plugins(config), shell))
    yield from _of_machine(config.state, config.read.memory_mb * _MIB, daemon.pid, len(folders), shell)


def _of_state(place: Path, shell: Shell) -> Iterator[Finding]:
    from ragd.cli import doctor_judge_parts as judge
    from ragd.cli import doctor_look_parts as parts

    yield from _guarded("state", lambda: judge.state(parts.state(place, place / "broker" / "redis.sock"), shell))
    yield from _guarded("catalog", lambda: judge.catalog(parts.catalog(place), place, shell))


def _of_machine(place: Path, wanted_bytes: int, pid: int | None, roots: int, shell: Shell) -> Iterator[Finding]:
    from ragd.cli import doctor_judge as judge
    from ragd.cli import doctor_look as look

    yield from _guarded("disk", lambda: judge.disk(look.disk(place), shell))
    yield from _guarded("clock", lambda: judge.clock(look.clock(place), shell))
    yield from _guarded("files", lambda: judge.files(look.files(pid), roots, shell))
    yield from _guarded("memory", lambda: judge.memory(look.memory(wanted_bytes), shell))
    yield from _guarded("kernel", lambda: judge.kernel(look.kernel(), shell))
    yield from _guarded("versions", lambda: judge.versions(look.versions(), shell))


def _guarded(check: str, judged: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """A check's findings; what the system refuses to tell is a finding as well."""
    try:
        return list(judged())
    except (OSError, RagdError) as error:
        return [Finding(check, Level.WRONG, f"could not be looked at: {error}", hint="ask as the user ragd runs as")]
