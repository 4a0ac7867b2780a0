"""The page of the shipped trainers names every trainer, what it needs, and every option with its default."""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ragd.domain.learning import Trainer
from ragd.hooks.manager import load
from ragd.hooks.sources import bundled

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "trainers.md"
TRAINERS = {trainer.name: trainer for trainer in load(bundled()).trainers()}


def section(name: str) -> str:
    """What the page says of one trainer."""
    found = re.search(rf"^### `{name}`\n(.*?)(?=^### |\Z)", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/reference/trainers.md does not name {name}"
    return found[1]


def options_of(trainer: Trainer) -> Iterator[tuple[str, str]]:
    """The options of a bundled trainer with their defaults as TOML, from the dataclass `…Options` of its module."""
    module = importlib.import_module(type(trainer).__module__)
    kinds = [
        kind for name, kind in vars(module).items() if name.endswith("Options") and kind.__module__ == module.__name__
    ]
    assert len(kinds) <= 1
    for field in dataclasses.fields(kinds[0]) if kinds else ():
        yield field.name, toml(field.default)


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("name", sorted(TRAINERS))
def test_a_trainer_is_told_with_its_needs_and_every_option(name: str) -> None:
    trainer, told = TRAINERS[name], section(name)
    assert f"Trains: {trainer.role.value}. Needs: {trainer.needs.least:,} {trainer.needs.data.value}." in told
    shown = re.findall(r"^\| `(\w+)` \| `([^`]*)` \| \S", told, re.MULTILINE)
    assert shown == list(options_of(trainer))


def test_the_page_names_no_trainer_that_there_is_not() -> None:
    assert set(re.findall(r"^### `(\w+)`$", PAGE.read_text("utf-8"), re.MULTILINE)) == TRAINERS.keys()


def test_what_was_measured_says_when_where_and_how() -> None:
    told = PAGE.read_text("utf-8").split("## What they cost\n")[1].split("\n## ")[0]
    assert "python -m bench.cost" in told
    assert re.search(r"\b20\d\d\b", told)
    assert re.search(r"\d cores", told)
    for name in ("encoder_finetune", "encoder_lora", "query_adapter", "encoder_distill", "generator_lora"):
        assert f"`{name}`" in told
