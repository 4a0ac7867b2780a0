"""What `ragd plugins new` writes: a small plugin for each hook that works as it is, and its test."""

from __future__ import annotations

from collections.abc import Mapping

from ragd.cli import templates_learning as learning
from ragd.cli import templates_other as other

TEMPLATES: Mapping[str, tuple[str, str]] = {
    "trainer": (learning.TRAINER, learning.TRAINER_TEST),
    "reader": (other.READER, other.READER_TEST),
    "policy": (learning.POLICY, learning.POLICY_TEST),
    "events": (other.EVENTS, other.EVENTS_TEST),
    "tracker": (learning.TRACKER, learning.TRACKER_TEST),
    "command": (other.COMMAND, other.COMMAND_TEST),
    "launcher": (learning.LAUNCHER, learning.LAUNCHER_TEST),
    "encoder": (other.ENCODER, other.ENCODER_TEST),
}


def written(kind: str, name: str) -> tuple[str, str]:
    """A plugin of this kind (a key of TEMPLATES) under a name of small letters, digits and _, and its test."""
    plugin, test = (text.replace("NAME", name).replace("DASHED", name.replace("_", "-")) for text in TEMPLATES[kind])
    return plugin.lstrip("\n"), test.lstrip("\n")
