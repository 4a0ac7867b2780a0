"""`ragd plugins`: what extends ragd, whether it is in order, a plugin to start from, and which files are trusted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragd.cli.options import AsJson, ConfigFile, StateFolder
from ragd.cli.session import configuration, screen, show_json
from ragd.cli.terminal import one_line, safe, table
from ragd.domain.errors import NotFound, PathInvalid, PluginRefused

if TYPE_CHECKING:
    from ragd.config.schema import Config
    from ragd.domain.plugins import PluginFacts
    from ragd.domain.training import PluginSource
    from ragd.hooks.roster import Roster

PluginFile = Annotated[
    str, typer.Argument(metavar="FILE", help="A plugin's Python file, or the name of one that is there.")
]
CHECK_S = 600.0


def build() -> typer.Typer:
    """The commands below `ragd plugins`."""
    app = typer.Typer(help="List, check, begin or trust plugins.", no_args_is_help=True, rich_markup_mode=None)
    app.command("list")(list_plugins)
    for command in (check, new, trust):
        app.command()(command)
    return app


def list_plugins(
    ctx: typer.Context, config: ConfigFile = None, state: StateFolder = None, as_json: AsJson = False
) -> None:
    """List every plugin: where it comes from, what it offers, and why it is not used where it is not.

    Needs no daemon. Plugins that are not known yet are looked at, each in a process of its own.
    """
    from ragd.hooks import facts

    loaded = configuration(ctx, config, state)
    with _roster(loaded.config) as roster:
        found = roster.refresh()
    if as_json:
        rows = [{**facts.to_json(one), "state": facts.state_of(one)} for one in found]
        show_json({"folder": str(loaded.config.plugins_folder), "plugins": rows})
        return
    terminal = screen()
    headers = ("plugin", "source", "state", "offers")
    cells = [(one.name, one.source, facts.state_of(one), ", ".join(facts.offered(one))) for one in found]
    for line in table(headers, [tuple(map(one_line, row)) for row in cells], terminal):
        typer.echo(line)
    for one in found:
        if one.problem:
            typer.echo(f"{terminal.bold(one_line(one.name))}: {one_line(one.problem)}")
            if one.hint:
                typer.echo(f"  {terminal.dim('hint:')} {one_line(one.hint)}")
    typer.echo(f"plugin files belong into {safe(str(loaded.config.plugins_folder))}", err=True)


def check(
    ctx: typer.Context,
    file: PluginFile,
    timeout_s: Annotated[float, typer.Option("--timeout", min=1, help="Seconds it may take.")] = CHECK_S,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Try a plugin, within limits, against everything that is asked of one; nothing is trusted by that.

    Trainers train several times on a small corpus, with the options that the configuration gives them.
    """
    loaded = configuration(ctx, config, state)
    with _roster(loaded.config) as roster:
        roster.step()
        source = _source(file, loaded.config, roster)
    rows = []
    for row in _outcomes(source, loaded.config, timeout_s):
        rows.append(row)
        if not as_json:
            _show(row)
    failed = sum(1 for row in rows if row["problem"])
    if as_json:
        show_json({"plugin": source.name, "clauses": rows})
    if failed:
        raise PluginRefused(f"{source.name}: {failed} of {len(rows)} checks failed", hint="correct it, and check again")
    typer.echo(f"{source.name} is in order: {len(rows)} checks", err=True)


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits and _, a letter first.")],
    hook: Annotated[
        str, typer.Option("--hook", help="What it is to offer: trainer, reader, policy, events, ….")
    ] = "trainer",
    folder: Annotated[Path, typer.Option("--folder", help="Where to write it.")] = Path(),
) -> None:
    """Write a small plugin that works, with its test, to start from.

    There is one for each hook: trainer, reader, policy, events, tracker, command, launcher, encoder.
    """
    from ragd.cli.plugin_templates import TEMPLATES, written
    from ragd.hooks.sources import check_name

    check_name(name)
    if name != name.lower():
        raise PluginRefused(f"{name!r} cannot be the name of a plugin", hint=f"write it small: {name.lower()}")
    if hook not in TEMPLATES:
        raise NotFound(f"there is no plugin to start a {hook} from", hint=f"one of {', '.join(TEMPLATES)}")
    plugin, test = (folder / f"{name}.py", folder / f"test_{name}.py")
    for path, text in zip((plugin, test), written(hook, name), strict=True):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError as error:
            raise PathInvalid(f"{path} is there already", hint="choose another name or folder") from error
        except OSError as error:
            raise PathInvalid(f"{path}: {error.strerror}", hint="name a folder that you may write in") from error
    typer.echo(f"wrote {plugin} and {test}\n\nnext:")
    steps = [f"python -m pytest {test}", f"ragd plugins check {plugin}", f"ragd plugins trust {plugin}"]
    for step in steps + ([f"ragd train {name}"] if hook == "trainer" else []):
        typer.echo(f"  {step}")


def trust(ctx: typer.Context, file: PluginFile, config: ConfigFile = None, state: StateFolder = None) -> None:
    """Trust a plugin file as it is now: only then does ragd run it. A file from elsewhere is copied first.

    What it does when it is imported is tried before, in a process with limits; a running daemon takes it in by itself.
    """
    from ragd.hooks import facts, sources
    from ragd.hooks.trust import trust as pin_file

    loaded = configuration(ctx, config, state)
    folder = loaded.config.plugins_folder
    path = _file(file, folder)
    source = _file_source(path)
    described = _looked_at(source)
    if described.problem:
        raise PluginRefused(f"{path} is not trusted: {described.problem}", hint=f"see `ragd plugins check {path}`")
    taken = {one.name for one in (*sources.bundled(), *sources.installed())}
    place, pin = pin_file(path, folder, loaded.config.state, taken=taken, at=time.time())
    typer.echo(f"trusted {safe(str(place))}")
    typer.echo(f"  sha256 {pin.sha256}")
    typer.echo(f"  hooks  {', '.join(described.hooks) or 'none'}")
    typer.echo(f"  offers {', '.join(facts.offered(described)) or 'nothing'}")
    if pin.sha256 != source.sha256:
        raise PluginRefused(f"{path} changed while it was looked at", hint=f"`ragd plugins trust {path}` again")
    with _roster(loaded.config) as roster:
        roster.refresh()
        roster.source(pin.name)  # raises where it is refused all the same: a trainer's name that is taken


@contextmanager
def _roster(config: Config) -> Iterator[Roster]:
    from ragd.hooks.roster import Roster

    roster = Roster(config.plugins_folder, config.state, disabled=config.plugins.disabled)
    try:
        yield roster
    finally:
        roster.close()


def _file(name: str, folder: Path) -> Path:
    """The plugin file that is meant: a path, or the name of one in the plugin folder. Raises NotFound."""
    for path in (Path(name), folder / name, folder / f"{name}.py"):
        if path.is_file():
            return path.absolute()
    raise NotFound(f"there is no plugin file {name}", hint=f"name a Python file, or one in {folder}")


def _source(name: str, config: Config, roster: Roster) -> PluginSource:
    """The plugin that is meant: a file, or a bundled or installed one by name."""
    from ragd.hooks import sources

    others = {one.name: one for one in (*sources.bundled(), *sources.installed())}
    try:
        path = _file(name, config.plugins_folder)
    except NotFound:
        if name in others:
            return others[name]
        raise
    if path.stem in others and path.suffix == ".py":
        raise PluginRefused(f"another plugin is called {path.stem}", hint=f"rename {path.name}")
    return _file_source(path)


def _file_source(path: Path) -> PluginSource:
    from ragd.domain.training import PluginSource
    from ragd.hooks import sources

    if path.suffix != ".py":
        raise PluginRefused(f"{path} is not a Python file", hint="its name must end in .py")
    sources.check_name(path.stem)
    return PluginSource(path.stem, sources.FILE, str(path), sources.digest(sources.read_plugin(path)))


def _looked_at(source: PluginSource) -> PluginFacts:
    """What a plugin offers, from importing it in a process of its own."""
    from ragd.hooks.look import Look

    look = Look(source)
    try:
        while (found := look.poll()) is None:
            time.sleep(0.02)
        return found
    finally:
        look.end()


def _outcomes(source: PluginSource, config: Config, timeout_s: float) -> Iterator[Mapping[str, Any]]:
    from ragd.domain.learning import Resources
    from ragd.testing.trial import trial

    options = {name: dict(settings.options) for name, settings in config.trainers.items()}
    resources = Resources(1, config.learn.memory_mb, config.learn.disk_mb, config.learn.processes, timeout_s)
    return trial(source, options, resources)


def _show(row: Mapping[str, Any]) -> None:
    terminal = screen()
    mark = terminal.red("failed") if row["problem"] else terminal.green("ok    ")
    about = f"{row['what']}: " if row["what"] else ""
    typer.echo(f"{mark}  {one_line(about + row['clause'])}")
    if row["problem"]:
        typer.echo(f"        {safe(row['problem'])}")
        if row["hint"]:
            typer.echo(f"        {terminal.dim('hint:')} {one_line(row['hint'])}")
