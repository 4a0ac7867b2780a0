"""`ragd config`: what is configured, from where, and a file to start from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragd.cli.options import AsJson, ConfigFile, StateFolder
from ragd.cli.session import configuration, screen, show_json
from ragd.cli.terminal import safe
from ragd.domain.errors import NotFound, PathInvalid

if TYPE_CHECKING:
    from ragd.config.load import Loaded

_LOOK_S = 5.0  # at plugins that are not known yet


def build() -> typer.Typer:
    """The commands below `ragd config`."""
    app = typer.Typer(help="Show, check or write the configuration.", no_args_is_help=True, rich_markup_mode=None)
    for command in (show, init, path, check):
        app.command()(command)
    return app


def show(ctx: typer.Context, config: ConfigFile = None, state: StateFolder = None, as_json: AsJson = False) -> None:
    """Print every value with its origin: a default, a line of the file, a variable or a flag.

    Secrets and passwords are masked.
    """
    loaded = configuration(ctx, config, state)
    values = _values(loaded)
    if as_json:
        show_json(
            {
                "file": str(loaded.file) if loaded.file else None,
                "values": {
                    name: {
                        "value": value,
                        "layer": str(loaded.origins[name].layer),
                        "origin": str(loaded.origins[name]),
                    }
                    for name, value in values.items()
                },
            }
        )
        return
    _print_values(loaded, values)


def init(
    file: Annotated[Path, typer.Argument(metavar="PATH", help="Where to write it.")] = Path("ragd.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a configuration file with every key, its default and what it means."""
    from ragd.config.template import commented_file

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w" if force else "x", encoding="utf-8") as written:
            written.write(commented_file())
    except FileExistsError as error:
        raise PathInvalid(f"{file} is there already", hint="name another file, or replace it with --force") from error
    except OSError as error:
        raise PathInvalid(f"{file}: {error.strerror}", hint="name a file that you may write") from error
    typer.echo(f"wrote {file}")


def path(ctx: typer.Context, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Print which configuration file is read."""
    from ragd.cli.session import Globals
    from ragd.config.file import candidates, find

    before = ctx.find_object(Globals) or Globals()
    looked_in = candidates(os.environ, Path.cwd())
    found = find(config or before.config, os.environ, Path.cwd())
    if as_json:
        show_json({"file": str(found) if found else None, "looked_in": [str(place) for place in looked_in]})
    elif found:
        typer.echo(str(found))
    else:
        raise NotFound(
            f"there is no configuration file in {', '.join(str(place) for place in looked_in)}",
            hint="defaults are used; write a file with `ragd config init`",
        )


def check(ctx: typer.Context, config: ConfigFile = None, state: StateFolder = None, as_json: AsJson = False) -> None:
    """Look for mistakes in the configuration, and for folders that are not there."""
    loaded = configuration(ctx, config, state)
    folders = [folder for collection in loaded.config.collections for folder in collection.folders]
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    named = {str(path): key for key in ("pairs", "prompts") for path in getattr(loaded.config.learn, key)}
    gone = [path for path in named if not Path(path).exists()]
    nobody = _unknown_names(loaded)
    if as_json:
        file = str(loaded.file) if loaded.file else None
        told = {"missing_folders": missing, "missing_files": gone, "unknown_names": nobody}
        show_json({"file": file, "valid": True, **told})
        return
    for folder in missing:
        typer.echo(f"note: the folder {safe(folder)} does not exist; it is watched from when it does", err=True)
    for path in gone:
        typer.echo(f"note: {safe(path)} (learn.{named[path]}) does not exist; nothing is learned from it", err=True)
    for name in nobody:
        typer.echo(f"note: {safe(name)}: no plugin in use offers that; see `ragd plugins list`", err=True)
    typer.echo(f"{loaded.file or 'the defaults'}: in order")


def _unknown_names(loaded: Loaded) -> list[str]:
    """What the configuration names of plugins and no plugin offers, such as a trainer's table with a slip."""
    config, learn = loaded.config, loaded.config.learn
    policies = {f"trainers.{name}.policy": each.policy for name, each in config.trainers.items() if each.policy}
    if not (config.trainers or learn.trackers or learn.launcher != "local"):
        return []
    from ragd.hooks.roster import Roster

    roster = Roster(config.plugins_folder, config.state, disabled=config.plugins.disabled)
    try:
        used = [one for one in roster.refresh(_LOOK_S) if not one.problem]
    finally:
        roster.close()
    trainers = {trainer.name for one in used for trainer in one.trainers}
    launchers = {"local", *(name for one in used for name in one.launchers)}
    found = [f"trainers.{name}" for name in config.trainers if name not in trainers]
    found += [f"{key} = {name}" for key, name in policies.items() if not any(name in one.policies for one in used)]
    found += [f"learn.launcher = {learn.launcher}"] if learn.launcher not in launchers else []
    return found + [f"learn.trackers: {name}" for name in learn.trackers if not any(name in o.trackers for o in used)]


def _values(loaded: Loaded) -> dict[str, object]:
    """Every value by its key, masked, as JSON holds it."""
    from ragd.config.keys import keys
    from ragd.config.origin import plain

    found: dict[str, object] = {}
    for key in keys():
        holder = getattr(loaded.config, key.section) if key.section else loaded.config
        found[key.name] = plain(getattr(holder, key.leaf), is_secret=key.is_secret)
    return found


def _print_values(loaded: Loaded, values: dict[str, object]) -> None:
    from ragd.config.origin import Layer, shown

    terminal = screen()
    lines: list[tuple[str, str, str]] = []
    for name, value in values.items():
        origin = str(loaded.origins[name])
        if name == "collections" and isinstance(value, list) and value:
            lines.extend(
                (f"collections.{table['name']}.{leaf}", shown(table[leaf]), origin)
                for table in value
                for leaf in ("folders", "include", "exclude")
            )
        elif name == "trainers" and isinstance(value, dict) and value:
            lines.extend(
                (f"trainers.{trainer}.{leaf}", shown(value[trainer][leaf]), origin)
                for trainer, settings in loaded.config.trainers.items()
                for leaf in value[trainer]
                if leaf in settings.model_fields_set
            )
        else:
            lines.append((name, shown(value), origin))
    name_width = max(len(name) for name, _, _ in lines)
    value_width = min(max(len(text) for _, text, _ in lines), 40)
    for name, text, origin in lines:
        told = terminal.dim(origin) if origin == Layer.DEFAULT else origin
        typer.echo(f"{name.ljust(name_width)}  {safe(text).ljust(value_width)}  {told}")
