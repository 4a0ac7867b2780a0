"""Encoders of plugins: found by the name of their kind among installed packages and trusted files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ragd.config.folders import default_plugins_folder
from ragd.domain.errors import ConfigInvalid, PluginRefused
from ragd.domain.index import EncoderSpec
from ragd.domain.ports import Encoder
from ragd.domain.training import PluginSource
from ragd.hooks.manager import load_one
from ragd.hooks.sources import FILE, digest, installed, plugin_files, read_plugin
from ragd.hooks.trust import problem_of, read_pins

FOLDER_VARIABLE = "RAGD_PLUGINS__FOLDER"
_MARK = b"ragd_encoders"


def open_plugged(spec: EncoderSpec, models: Path) -> Encoder:
    """The encoder of the kind `spec.kind` that a plugin offers; `models` lies in the state folder, with the pins.

    Files are looked for in the folder that the environment names, else in the user's. Raises ConfigInvalid when no
    plugin in use offers the kind, and what opening it raises.
    """
    problems: list[str] = []
    for source in _sources(models.parent, problems):
        try:
            kinds = load_one(source).encoders()
        except PluginRefused as error:
            problems.append(str(error))
            continue
        for kind in kinds:
            if kind.name == spec.kind:
                return kind.open(spec, models)
    why = f" ({'; '.join(problems)})" if problems else ""
    raise ConfigInvalid(
        f"unknown encoder kind {spec.kind!r}: it is not built in, and no plugin in use offers it{why}",
        hint="use onnx, sbert or openai, or trust the plugin that offers it: `ragd plugins trust FILE`",
    )


def _sources(state: Path, problems: list[str]) -> Iterator[PluginSource]:
    """Installed plugins, and trusted files that mention the hook: others need not be loaded to know."""
    yield from installed()
    folder = Path(os.environ.get(FOLDER_VARIABLE) or default_plugins_folder(os.environ))
    pins = read_pins(state)
    for path in plugin_files(folder):
        why, _, sha256 = problem_of(path, pins)
        if why:
            problems.append(f"{path}: {why}")
            continue
        data = read_plugin(path)
        if _MARK in data and digest(data) == sha256:
            yield PluginSource(path.stem, FILE, str(path), sha256)
