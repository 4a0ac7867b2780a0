"""The page about what grows leaves out no table of the catalog and no limit, and invents none."""

from __future__ import annotations

import re
from pathlib import Path

from ragd.config.keys import keys

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "retention.md").read_text("utf-8")
SCHEMA = (ROOT / "ragd" / "catalog" / "schema.sql").read_text("utf-8")


def test_every_table_of_the_catalog_has_its_line() -> None:
    tables = set(re.findall(r"^CREATE (?:VIRTUAL )?TABLE (\w+)", SCHEMA, re.MULTILINE))
    assert len(tables) > 20
    (section,) = re.findall(r"## The catalog\n(.*?)\n\n", PAGE, re.DOTALL)
    lines = [line.split("|")[1] for line in section.splitlines()[2:]]
    named = [name for line in lines for name in re.findall(r"`(\w+)`", line)]
    assert sorted(named) == sorted(tables)


def test_every_limit_is_told_with_its_default_and_exists() -> None:
    known = {key.name: key.default for key in keys()}
    for name in (name for name in known if name.startswith("retain.")):
        assert f"`{name}`" in PAGE, name
    for name, told in re.findall(r"`((?:retain|learn)\.\w+)` \(([\d,]+)", PAGE):
        assert float(told.replace(",", "")) == known[name], name
    assert set(re.findall(r"`((?:retain|learn)\.\w+)`", PAGE)) <= known.keys()
