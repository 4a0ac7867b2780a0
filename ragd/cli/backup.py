"""`ragd backup` and `ragd restore`: the state folder in one file, and back."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragd.cli.options import AsJson, ConfigFile, StateFolder
from ragd.cli.session import configuration, screen, show_json
from ragd.cli.terminal import count, safe, size
from ragd.cli.when import ago, duration
from ragd.domain.errors import BadRequest

if TYPE_CHECKING:
    from ragd.flow.backup_file import BackupManifest

Heard = Callable[[str, int, int], None]
BackupPath = Annotated[Path, typer.Argument(metavar="FILE", help="The backup file.", show_default=False)]


def backup(
    ctx: typer.Context,
    file: BackupPath,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing: read FILE and compare every checksum in it.")
    ] = False,
    no_index: Annotated[
        bool, typer.Option("--no-index", help="Leave the index out: smaller, and built anew after a restore.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there already.")] = False,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Back the state folder up into one file, while the daemon runs or not.

    The catalog, what serves and what can be rolled back to, and tokens; not your documents, and no runs.
    """
    loaded = configuration(ctx, config, state)
    if check and (no_index or force):
        raise BadRequest("--check writes nothing", hint="leave --no-index and --force out")

    from ragd import __version__
    from ragd.flow.backup import back_up
    from ragd.flow.restoring import check_backup

    begun = time.monotonic()
    with _progress() as heard:
        if check:
            manifest = check_backup(file, heard)
        else:
            options = {"with_index": not no_index, "replace": force}
            manifest = back_up(loaded.config.state, file, version=__version__, now=time.time(), heard=heard, **options)
    _tell("good" if check else "backed up", file, manifest, time.monotonic() - begun, as_json)


def restore(
    ctx: typer.Context,
    file: BackupPath,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what the state folder holds; trusted plugins stay.")
    ] = False,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup into the state folder, which must be empty or without a daemon.

    All of the file is checked before anything changes. The next `ragd run` catches up with your folders.
    """
    loaded = configuration(ctx, config, state)

    from ragd.flow.restoring import restore_backup

    begun = time.monotonic()
    with _progress() as heard:
        manifest = restore_backup(file, loaded.config.state, force=force, heard=heard)
    _tell("restored", file, manifest, time.monotonic() - begun, as_json)


def _tell(what: str, file: Path, manifest: BackupManifest, took_s: float, as_json: bool) -> None:
    if as_json:
        show_json(
            {
                "file": str(file),
                "size_bytes": file.stat().st_size,
                "created_at": manifest.created_at,
                "ragd": manifest.ragd,
                "format": manifest.format,
                "catalog_format": manifest.catalog_format,
                "change_sequence": manifest.change_sequence,
                "documents": manifest.documents,
                "has_index": any(part.path.startswith("generations/") for part in manifest.parts),
                "notes": list(manifest.notes),
                "seconds": round(took_s, 3),
            }
        )
        return
    terminal = screen()
    made = "" if what == "backed up" else f", made {ago(manifest.created_at, time.time())} by ragd {manifest.ragd}"
    has_index = any(part.path.startswith("generations/") for part in manifest.parts)
    typer.echo(
        f"{terminal.green(what)}: {safe(str(file))}, {size(file.stat().st_size)}, {count(manifest.documents)} documents"
        f"{'' if has_index else ', without the index'}{made} ({duration(took_s)})"
    )
    for note in manifest.notes:
        typer.echo(f"  {terminal.yellow('note:')} {safe(note)}")


@contextmanager
def _progress() -> Iterator[Heard]:
    """A bar on a terminal, nothing elsewhere."""
    with ExitStack() as stack:
        yield _bar(stack) if sys.stderr.isatty() else lambda _what, _done, _total: None


def _bar(stack: ExitStack) -> Heard:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    bar = stack.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
    task = bar.add_task("", total=None)
    return lambda what, done, total: bar.update(task, description=what, completed=done, total=total or None)
