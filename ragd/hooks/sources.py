"""Where plugins come from: the bundled ones, those that are installed, and files; and how each is imported."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Iterable
from importlib import metadata
from importlib.abc import SourceLoader
from pathlib import Path

from ragd.domain.errors import PluginRefused
from ragd.domain.training import PluginSource

ENTRY_POINT_GROUP = "ragd"
BUNDLED_PACKAGE = "ragd.bundled"
BUNDLED, INSTALLED, FILE = "bundled", "installed", "file"
# A plugin file is imported under a name of its own: one called json.py or numpy.py hides nothing.
_MODULE = "ragd_plugin_{}"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}\Z")
_MOST_BYTES = 1 << 20


def bundled() -> tuple[PluginSource, ...]:
    """The plugins that come with ragd, by name; modules that begin with `_` are parts of them."""
    package = importlib.import_module(BUNDLED_PACKAGE)
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(PluginSource(name, BUNDLED) for name in names if not name.startswith("_"))


def installed(entry_points: Iterable[metadata.EntryPoint] | None = None) -> tuple[PluginSource, ...]:
    """The plugins that installed packages announce in the entry point group `ragd`; `path` is the object they name."""
    found = metadata.entry_points(group=ENTRY_POINT_GROUP) if entry_points is None else entry_points
    return tuple(PluginSource(point.name, INSTALLED, point.value) for point in sorted(found, key=lambda p: p.name))


def plugin_files(folder: Path) -> tuple[Path, ...]:
    """The files of a folder that are meant as plugins, by name: no tests, and nothing that begins with `_` or `.`."""
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix == ".py")
    except OSError:
        return ()
    return tuple(p for p in found if not p.name.startswith(("_", ".", "test_")) and p.name != "conftest.py")


def digest(data: bytes) -> str:
    """The SHA-256 of a plugin file, in hex: what trust is given to."""
    return hashlib.sha256(data).hexdigest()


def read_plugin(path: Path) -> bytes:
    """The bytes of a plugin file. Raises PluginRefused when it cannot be read, or is larger than 1 MiB."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise PluginRefused(f"{path} cannot be read: {error.strerror}", hint="check its path and rights") from error
    if len(data) > _MOST_BYTES:
        raise PluginRefused(
            f"{path} is larger than 1 MiB", hint="a plugin is one small file; install a package instead"
        )
    return data


def check_name(name: str) -> None:
    """Raises PluginRefused for what cannot be a plugin's name."""
    if not _NAME.match(name):
        raise PluginRefused(
            f"{name!r} cannot be the name of a plugin", hint="use up to 64 letters, digits and _, a letter first"
        )


def import_plugin(source: PluginSource) -> object:
    """The module (or object) of a plugin, imported now; whatever its code raises passes through.

    A file is read once, and what is run are the bytes whose hash was compared. Raises PluginRefused for a file that is
    not the one that was trusted.
    """
    if source.source == BUNDLED:
        return importlib.import_module(f"{BUNDLED_PACKAGE}.{source.name}")
    if source.source == INSTALLED:
        return metadata.EntryPoint(source.name, source.path, ENTRY_POINT_GROUP).load()
    check_name(source.name)
    data = read_plugin(Path(source.path))
    if digest(data) != source.sha256:
        raise PluginRefused(
            f"{source.path} is not the file that was trusted",
            hint=f"look at it, then `ragd plugins trust {source.path}`",
        )
    return _import_bytes(_MODULE.format(source.name), source.path, data)


def _import_bytes(name: str, path: str, data: bytes) -> object:
    spec = importlib.util.spec_from_loader(name, _BytesLoader(path, data), origin=path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name)
        if before is not None:
            sys.modules[name] = before
        raise
    return module


class _BytesLoader(SourceLoader):
    """Imports a module from bytes at hand; no compiled copy is looked for or left behind."""

    def __init__(self, path: str, data: bytes) -> None:
        self._path = path
        self._data = data

    def get_filename(self, fullname: str) -> str:
        return self._path

    def get_data(self, path: str | bytes) -> bytes:
        if path != self._path:
            raise OSError(f"{path!r} is not part of this plugin")
        return self._data
