"""`ragd service`: the units that run ragd under systemd, written for this machine, looked at, and removed."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragd.cli.options import AsJson, ConfigFile, StateFolder
from ragd.cli.session import configuration, show_json
from ragd.cli.terminal import safe
from ragd.domain.errors import BadRequest, PathInvalid

if TYPE_CHECKING:
    from ragd.cli.installed import Target
    from ragd.cli.units import Machine
    from ragd.config.load import Loaded

ForUser = Annotated[bool, typer.Option("--user", help="For your own service manager, not the system's.")]
Prefix = Annotated[
    Path | None,
    typer.Option(
        "--prefix", metavar="DIR", help="Below this folder instead of /, as for a package.", show_default=False
    ),
]
RunAs = Annotated[str, typer.Option("--run-as", metavar="NAME", help="The user that a system service runs as.")]
Program = Annotated[
    Path | None,
    typer.Option("--program", metavar="FILE", help="The ragd program; by default this one.", show_default=False),
]
Force = Annotated[bool, typer.Option("--force", help="Also files that were changed, or written by others.")]


def build() -> typer.Typer:
    """The commands below `ragd service`."""
    app = typer.Typer(help="Run ragd under systemd.", no_args_is_help=True, rich_markup_mode=None)
    for command in (install, status, uninstall):
        app.command()(command)
    return app


def install(
    ctx: typer.Context,
    user: ForUser = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the files, write nothing.")] = False,
    prefix: Prefix = None,
    run_as: RunAs = "ragd",
    program: Program = None,
    force: Force = False,
    config: ConfigFile = None,
    state: StateFolder = None,
) -> None:
    """Write the units for this machine, and print what to do next.

    As root for the system, with --user for your own manager. What is written knows the real path of ragd, the
    configuration file, the state folder and the watched folders. A file that somebody changed, or that is not ragd's,
    is left alone, and the difference is shown. Call it again after an upgrade, or a change of the watched folders.
    """
    from ragd.cli.installed import place

    if not (user or prefix or dry_run or os.geteuid() == 0):
        raise BadRequest(
            "only root may write units of the system",
            hint="run `sudo ragd service install`, or write your own: `ragd service install --user`",
        )
    machine = _machine(configuration(ctx, config, state), program, run_as, is_user=user)
    targets = _targets(machine, prefix)
    if dry_run:
        for target in targets:
            typer.echo(f"# {safe(str(target.path))}\n{target.text}")
        return
    refused = [target for target in targets if not place(target, force=force, tell=typer.echo)]
    if refused:
        raise PathInvalid(
            f"{len(refused)} of {len(targets)} files were left as they are",
            hint="keep your changes in a drop-in (`systemctl edit ragd`), then replace the files with --force",
        )
    for line in _next_steps(machine, is_elsewhere=prefix is not None):
        typer.echo(line)


def status(user: ForUser = False, prefix: Prefix = None, as_json: AsJson = False) -> None:
    """Show which of ragd's files are there: as written, changed since, or written by others."""
    from ragd.cli.installed import standing
    from ragd.cli.units import Machine

    targets = _targets(Machine(is_user=user), prefix)
    found = {str(target.path): str(standing(target.path)) for target in targets}
    if as_json:
        show_json({"files": found})
        return
    for path, how in found.items():
        typer.echo(f"{how.ljust(8)}  {safe(path)}")


def uninstall(user: ForUser = False, prefix: Prefix = None, force: Force = False) -> None:
    """Remove the units that `install` wrote; the state folder, the configuration and the user stay."""
    from ragd.cli.installed import Standing, remove, standing
    from ragd.cli.units import Machine

    targets = _targets(Machine(is_user=user), prefix)
    _must_be_disabled(targets[0].path.parent, is_user=user)
    kept = []
    for target in targets:
        how = standing(target.path)
        if how is Standing.MISSING:
            continue
        if how is Standing.WRITTEN or force:
            remove(target.path)
            typer.echo(f"removed {safe(str(target.path))}")
        else:
            kept.append(f"{safe(str(target.path))} ({how})")
    if kept:
        raise PathInvalid(
            f"left as they are: {', '.join(kept)}", hint="they hold what ragd did not write; remove them with --force"
        )
    typer.echo(f"next: systemctl {'--user ' if user else ''}daemon-reload")


def _machine(loaded: Loaded, program: Path | None, run_as: str, *, is_user: bool) -> Machine:
    """This machine as the configuration describes it. A state folder that nobody named is the service's own."""
    from ragd.cli.units import SYSTEM_CONFIG, SYSTEM_STATE, Machine
    from ragd.config.file import candidates
    from ragd.config.origin import Layer

    config = loaded.config
    is_named = loaded.origins["state"].layer is not Layer.DEFAULT
    own_config = candidates(os.environ, Path.cwd())[1]
    folders = tuple(Path(os.path.abspath(folder)) for each in config.collections for folder in each.folders)
    return Machine(
        program=Path(os.path.abspath(program)) if program else _this_program(),
        interpreter=Path(os.path.realpath(sys.executable)),
        config=Path(os.path.abspath(loaded.file)) if loaded.file else own_config if is_user else SYSTEM_CONFIG,
        state=Path(os.path.abspath(config.state)) if is_named or is_user else SYSTEM_STATE,
        user=run_as,
        folders=folders or None,
        is_user=is_user,
    )


def _this_program() -> Path:
    """The `ragd` beside this interpreter, else the one that was called."""
    beside = Path(sys.executable).with_name("ragd")
    called = Path(os.path.abspath(sys.argv[0]))
    for path in (beside, called):
        if path.name == "ragd" and os.access(path, os.X_OK) and path.is_file():
            return path
    raise PathInvalid(
        f"there is no program ragd beside {sys.executable}", hint="name it: `ragd service install --program FILE`"
    )


def _targets(machine: Machine, prefix: Path | None) -> list[Target]:
    from ragd.cli import units
    from ragd.cli.installed import Target

    root = Path(os.path.abspath(prefix)) if prefix is not None else Path("/")
    if machine.is_user:
        base = os.environ.get("XDG_CONFIG_HOME", "")
        home = Path(base) if os.path.isabs(base) else Path.home() / ".config"
        folder = (root / home.relative_to("/") if prefix is not None else home) / "systemd" / "user"
        return [Target(folder / name, text) for name, text in units.files(machine).items()]
    etc = root / "etc"
    named = {f"systemd/system/{name}": text for name, text in units.files(machine).items()}
    return [Target(etc / name, text) for name, text in {**named, **units.fragments(machine)}.items()]


def _must_be_disabled(folder: Path, *, is_user: bool) -> None:
    enabled = sorted(link.name for link in folder.glob("*.wants/ragd*") if link.is_symlink())
    if enabled:
        command = f"systemctl {'--user ' if is_user else ''}disable --now {' '.join(map(shlex.quote, enabled))}"
        raise BadRequest(f"{', '.join(enabled)} would still be started", hint=f"first: {command}")


def _next_steps(machine: Machine, *, is_elsewhere: bool) -> list[str]:
    """The commands that make the service run, in order."""
    if is_elsewhere:
        return []
    control = f"systemctl {'--user ' if machine.is_user else ''}"
    steps = [] if machine.is_user else ["systemd-sysusers", "systemd-tmpfiles --create ragd.conf"]
    closed = [] if machine.is_user else _closed_folders(machine)
    for folder in closed:
        steps.append(f"# {folder} is closed to others: install ragd where {machine.user} may run it, such as /opt/ragd")
    if not machine.config.is_file():
        steps.append(f"ragd config init {shlex.quote(str(machine.config))}")
    if machine.folders is None:
        steps.append(f"$EDITOR {shlex.quote(str(machine.config))}  # name the folders, then install once more")
    steps += [f"{control}daemon-reload", f"{control}enable --now ragd"]
    if machine.is_user:
        steps.append("loginctl enable-linger  # to go on when you are not logged in")
    return ["next:", *(f"  {step}" for step in steps)]


def _closed_folders(machine: Machine) -> list[Path]:
    """Folders on the way to the program or its interpreter that not everybody may enter."""
    found = []
    for path in (machine.program, machine.interpreter):
        found += [folder for folder in path.parents if folder.is_dir() and not folder.stat().st_mode & stat.S_IXOTH]
    return sorted(set(found))
