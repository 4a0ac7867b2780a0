"""`ragd version`: the versions of ragd and of what it stands on."""

from __future__ import annotations

import platform
import sys

import typer

from ragd import __version__
from ragd.cli.options import AsJson
from ragd.cli.session import show_json

PACKAGES = {
    "faiss": "faiss-cpu",
    "rq": "rq",
    "redis": "redis",
    "onnxruntime": "onnxruntime",
    "watchdog": "watchdog",
    "fastapi": "fastapi",
    "markitdown": "markitdown",
}


def version(as_json: AsJson = False) -> None:
    """Print the versions of ragd and of the libraries it stands on."""
    found = versions()
    if as_json:
        show_json(found)
        return
    width = max(len(name) for name in found)
    for name, text in found.items():
        typer.echo(f"{name.ljust(width)}  {text or 'not installed'}")


def versions() -> dict[str, str | None]:
    """Each library's version by its short name; None where it is not installed."""
    from importlib import metadata

    found: dict[str, str | None] = {"ragd": __version__, "python": platform.python_version()}
    for name, package in PACKAGES.items():
        try:
            found[name] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found | {"platform": f"{sys.platform} {platform.machine()}"}


def print_version(is_asked: bool) -> None:
    """Prints ragd's own version and ends, when the option was given."""
    if is_asked:
        typer.echo(f"ragd {__version__}")
        raise typer.Exit()
