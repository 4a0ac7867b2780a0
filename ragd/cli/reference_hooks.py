"""The page of the reference about hooks, from the specification that plugins are checked against."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import MappingProxyType

from ragd.hooks import spec
from ragd.hooks.offers import HOOKS

_HOOKS = """\
# Hooks

What a plugin may do. A plugin is a Python file, or an installed package with an entry point of the group `ragd`, that
implements some of these functions, marked with `hookimpl`. Everything it may import is in `ragd.hooks.api`. Unknown
hooks and wrong signatures are refused; a broken plugin is named, blocked and shown by `ragd plugins list`, and search
never notices.

`ragd plugins new NAME --hook HOOK` writes a working plugin with its test, `ragd plugins check FILE` says what is wrong
with one, `ragd plugins trust FILE` lets it run."""
GUIDES = MappingProxyType(
    {
        "ragd_commands": "add-a-command.md",
        "ragd_encoders": "offer-an-encoder.md",
        "ragd_event": "listen-to-events.md",
        "ragd_launchers": "start-runs-elsewhere.md",
        "ragd_readers": "write-a-reader-plugin.md",
        "ragd_trackers": "track-runs.md",
        "ragd_trainers": "write-a-trainer.md",
        "ragd_trigger_policies": "write-a-trigger-policy.md",
    }
)
"""The how-to of each hook."""


def hooks() -> str:
    """Every hook with its signature, what it is for, when it is called, and what happens if it raises."""
    lines = [_HOOKS]
    for name in HOOKS:
        lines += ["", f"## `{name}`", "", *_hook(name)]
    return "\n".join(lines) + "\n"


def _hook(name: str) -> Iterator[str]:
    function = getattr(spec, name)
    signature = str(inspect.signature(function)).replace("'", "")
    yield "```python"
    yield f"def {name}{signature}: ..."
    yield "```"
    yield ""
    text = inspect.cleandoc(function.__doc__ or "")
    promise, _, rest = text.partition("\n\n")
    yield " ".join(promise.split())
    for label, words in _labelled(rest):
        yield ""
        yield f"**{label}** {words}"
    yield ""
    yield f"How to: [{GUIDES[name]}](../howto/{GUIDES[name]})."


def _labelled(text: str) -> Iterator[tuple[str, str]]:
    """The parts of a hook's docstring: a label that ends with a colon, and its sentences."""
    label, words = "", ""
    for line in text.splitlines():
        head, colon, tail = line.partition(": ")
        if colon and head.startswith(("When", "What")):
            if label:
                yield label, words
            label, words = f"{head}:", tail.strip()
        else:
            words = f"{words} {line.strip()}"
    if label:
        yield label, words
