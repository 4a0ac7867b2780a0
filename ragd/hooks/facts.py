"""A plugin as plain values: what it offers, without its code, and its form in JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from ragd.domain.learning import Data, Needs, Role
from ragd.domain.plugins import PluginFacts, TrainerFacts
from ragd.domain.training import PluginSource
from ragd.hooks.offers import Offers
from ragd.hooks.trust import CHANGED, NOT_TRUSTED

LOOKING = "being looked at"
DISABLED = "not wanted: its name is in plugins.disabled"
_LONGEST = 2000


def facts_of(source: PluginSource, offers: Offers) -> PluginFacts:
    """What a plugin offers, as values."""
    trainers = tuple(
        TrainerFacts(trainer.name, trainer.role, trainer.needs, float(trainer.cost_s), source.name)
        for trainer in offers.trainers
    )
    return PluginFacts(
        source.name,
        source.source,
        source.path,
        source.sha256,
        hooks=offers.hooks,
        trainers=trainers,
        readers=_names(offers.readers),
        policies=_names(offers.policies),
        encoders=_names(offers.encoders),
        launchers=_names(offers.launchers),
        trackers=_names(offers.trackers),
        commands=tuple(offers.commands),
    )


def state_of(facts: PluginFacts) -> str:
    """One word or two for how a plugin stands: used, not trusted, disabled, looking, blocked."""
    words = {"": "used", NOT_TRUSTED: "not trusted", CHANGED: "not trusted", DISABLED: "disabled", LOOKING: "looking"}
    return words.get(facts.problem, "blocked")


def offered(facts: PluginFacts) -> tuple[str, ...]:
    """What a plugin offers in words, such as `trainer query_adapter`."""
    kinds: dict[str, Sequence[str]] = {
        "trainer": [trainer.name for trainer in facts.trainers],
        "reader": facts.readers,
        "policy": facts.policies,
        "encoder": facts.encoders,
        "launcher": facts.launchers,
        "tracker": facts.trackers,
        "command": facts.commands,
        "events": [""] if "ragd_event" in facts.hooks else [],
    }
    return tuple(f"{kind} {name}".strip() for kind, names in kinds.items() for name in names)


def to_json(facts: PluginFacts) -> dict[str, Any]:
    """Plain values that `from_json` restores."""
    return asdict(facts)


def from_json(held: Mapping[str, Any]) -> PluginFacts:
    """Facts that were JSON. Raises ValueError, TypeError or KeyError for what are none."""
    values: dict[str, Any] = {}
    for one in fields(PluginFacts):
        value = held[one.name]
        if one.name == "trainers":
            values[one.name] = tuple(_trainer(trainer) for trainer in value)
        elif isinstance(value, list | tuple):
            values[one.name] = tuple(_text(item) for item in value)
        else:
            values[one.name] = _text(value)
    return PluginFacts(**values)


def _trainer(held: Mapping[str, Any]) -> TrainerFacts:
    needs = Needs(Data(held["needs"]["data"]), int(held["needs"]["least"]))
    return TrainerFacts(
        _text(held["name"]), Role(held["role"]), needs, float(held["cost_s"]), plugin=_text(held["plugin"])
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise ValueError("not a text, or a long one")
    return value


def _names(things: Sequence[Any]) -> tuple[str, ...]:
    return tuple(thing.name for thing in things)
