"""The threat model makes no claim without a test, and names no test that is not there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/explanation/security.md"
SECTION = re.compile(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
CLAIM = re.compile(r"^- .*?(?=^- |^$|\Z)", re.MULTILINE | re.DOTALL)
ATTACKERS = (
    "Another user of the machine",
    "The HTTP door",
    "A document's author",
    "Whoever reaches Redis",
    "A plugin's author",
    "A model file",
    "Secrets",
)


@cache
def names_in(file: str) -> frozenset[str]:
    """The names of the test functions in a file."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return frozenset(name for name in found if name.startswith("test_"))


def sections() -> dict[str, str]:
    return dict(SECTION.findall(PAGE.read_text(encoding="utf-8")))


def test_every_test_that_a_claim_names_exists() -> None:
    named = NAMED.findall(PAGE.read_text(encoding="utf-8"))
    assert len(named) > 20
    for file, test in named:
        assert (ROOT / file).is_file(), file
        assert test in names_in(file), f"{file}::{test}"


def test_every_claim_names_a_test() -> None:
    found = sections()
    for attacker in ATTACKERS:
        claims = CLAIM.findall(found[attacker])
        assert claims, attacker
        for claim in claims:
            assert NAMED.search(claim), claim


def test_a_test_that_is_not_there_would_be_noticed() -> None:
    assert "test_no_such_thing" not in names_in("tests/docs/test_security.py")
    assert "test_every_claim_names_a_test" in names_in("tests/docs/test_security.py")
