"""The commented configuration file that `ragd config init` writes: every key with its default, switched off."""

from __future__ import annotations

from types import MappingProxyType

from ragd.config.keys import COLLECTIONS, TRAINERS, Key, collection_keys, keys, sections, trainer_keys
from ragd.config.origin import shown

_HEAD = """\
# ragd's configuration. Every key is shown with its default; remove the # in front of a key to change it.
# A variable (RAGD_SECTION__KEY) overrides this file, a flag overrides both.
# `ragd config check` looks for mistakes, `ragd config show` tells each value and where it comes from.
"""
_EXAMPLES = {
    "collections.name": "notes",
    "collections.folders": ["~/notes"],
    "collections.include": [],
    "collections.exclude": ["drafts/"],
}
_OF_THE_ENVIRONMENT = MappingProxyType({"state": "~/.local/state/ragd", "plugins.folder": "~/.config/ragd/plugins"})
_TRAINER = "query_adapter"
_OPTION = "epochs = 4"


def commented_file() -> str:
    """The whole file as text; with every key uncommented but the collections it means the defaults."""
    by_section: dict[str, list[Key]] = {}
    for key in keys():
        by_section.setdefault(key.section, []).append(key)
    blocks = [_HEAD]
    for key in by_section[""]:
        if key.name != TRAINERS:
            blocks.append(_collections(key) if key.name == COLLECTIONS else _entry(key))
    for name, promise in sections().items():
        entries = "\n".join(_entry(key) for key in by_section[name])
        blocks.append(f"# {promise}\n[{name}]\n{entries}")
    blocks += [_trainers(key) for key in by_section[""] if key.name == TRAINERS]
    return "\n".join(blocks)


def _entry(key: Key) -> str:
    value = _OF_THE_ENVIRONMENT.get(key.name, key.default)
    return f"# {key.description}\n# ({key.accepts}; {key.variable})\n# {key.leaf} = {shown(value)}\n"


def _collections(key: Key) -> str:
    lines = [f"# {key.description} Repeat the table for each.", f"# [[{key.name}]]"]
    lines += [f"# {item.leaf} = {shown(_EXAMPLES[item.name])}  # {item.description}" for item in collection_keys()]
    return "\n".join(lines) + "\n"


def _trainers(key: Key) -> str:
    lines = [
        f"# {key.description} `ragd plugins list` tells the names; here with the defaults.",
        f"# (as JSON in {key.variable})",
        f"# [{key.name}.{_TRAINER}]",
    ]
    options = ""
    for item in trainer_keys():
        if item.default == {}:
            options = f"# {item.description} What it understands is in the trainer's own page.\n"
            options += f"# [{key.name}.{_TRAINER}.{item.leaf}]\n# {_OPTION}\n"
        else:
            shown_value = shown(True if item.default is None else item.default)
            lines.append(f"# {item.leaf} = {shown_value}  # {item.description}")
    return "\n".join(lines) + "\n" + options
