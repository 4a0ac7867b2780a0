"""The commented configuration file that `ragd config init` writes: every key with its default, switched off."""

from __future__ import annotations

from ragd.config.keys import COLLECTIONS, Key, collection_keys, keys, sections
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
_STATE = "~/.local/state/ragd"


def commented_file() -> str:
    """The whole file as text; with every key uncommented but the collections it means the defaults."""
    by_section: dict[str, list[Key]] = {}
    for key in keys():
        by_section.setdefault(key.section, []).append(key)
    blocks = [_HEAD]
    for key in by_section[""]:
        blocks.append(_collections(key) if key.name == COLLECTIONS else _entry(key, _STATE))
    for name, promise in sections().items():
        entries = "\n".join(_entry(key, key.default) for key in by_section[name])
        blocks.append(f"# {promise}\n[{name}]\n{entries}")
    return "\n".join(blocks)


def _entry(key: Key, value: object) -> str:
    return f"# {key.description}\n# ({key.accepts}; {key.variable})\n# {key.leaf} = {shown(value)}\n"


def _collections(key: Key) -> str:
    lines = [f"# {key.description} Repeat the table for each.", f"# [[{key.name}]]"]
    lines += [f"# {item.leaf} = {shown(_EXAMPLES[item.name])}  # {item.description}" for item in collection_keys()]
    return "\n".join(lines) + "\n"
