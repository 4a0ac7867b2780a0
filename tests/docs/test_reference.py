"""The reference cannot lie: it is what the code says, and nothing is missing from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from ragd.cli.main import build
from ragd.cli.reference import pages, write
from ragd.cli.reference_http import openapi, routes
from ragd.config.keys import collection_keys, keys, trainer_keys
from ragd.domain import errors

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/reference"
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    """The pages as the code says them now."""
    return pages()


@pytest.mark.parametrize("name", ["configuration.md", "commands.md", "errors.md", "http.md", "hooks.md", "metrics.md"])
def test_the_committed_page_is_what_the_code_says(name: str, generated: dict[str, str]) -> None:
    committed = (REFERENCE / name).read_text(encoding="utf-8")
    assert committed == generated[name], "write it anew: python -m ragd.cli.reference"


def test_writing_gives_these_pages_and_no_others(tmp_path: Path, generated: dict[str, str]) -> None:
    write(tmp_path / "new")
    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "new").iterdir()}
    assert written == generated


def test_every_key_has_a_line_with_its_variable() -> None:
    page = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    for key in keys():
        assert f"| `{key.name}` |" in page
        assert f"`{key.variable}`" in page
    for key in (*collection_keys(), *trainer_keys()):
        assert f"| `{key.leaf}` |" in page


def test_every_command_and_option_is_described() -> None:
    page = (REFERENCE / "commands.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## `([^`]+)`\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    root = typer.main.get_command(build())
    waiting = [("ragd", root)]
    while waiting:
        name, command = waiting.pop()
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert all(f"`{option}`" in sections[name] for option in parameter.opts), (name, parameter.name)
                assert getattr(parameter, "help", ""), (name, parameter.name)
        children = getattr(command, "commands", {})
        waiting += [(f"{name} {child}", children[child]) for child in children]
        assert sections[name].strip()


def test_every_kind_of_error_is_listed_with_its_exit_code() -> None:
    page = (REFERENCE / "errors.md").read_text(encoding="utf-8")
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.RagdError)]
    assert len(kinds) > 15
    for kind in kinds:
        assert f"| `{kind('').code}` | {kind.exit_code} | {kind.http_status} |" in page


def test_every_route_and_parameter_is_described() -> None:
    page = (REFERENCE / "http.md").read_text(encoding="utf-8")
    described = list(routes(openapi()))
    assert {path for path, _, _ in described} >= {"/v1/search", "/v1/status", "/v1/documents", "/v1/receipts"}
    for path, method, operation in described:
        assert f"## `{method} {path}`" in page
        for parameter in operation.get("parameters", []):
            assert f"| `{parameter['name']}` |" in page


def test_links_between_pages_resolve() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []
