"""Commands that ask a daemon elsewhere: by its address and a token, which no output ever holds."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragd.cli.place import Remote, place_of
from ragd.domain.errors import ConfigInvalid
from ragd.web.door import Door
from ragd.web.routes import create_app
from ragd.web.server import Server
from ragd.web.tokens import Role, TokenBook, TokenFile
from tests.unit.cli.conftest import Backend, Run


@pytest.fixture
def elsewhere(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenFile]:
    """A daemon that needs tokens, at RAGD_URL; its tokens. The command has another, empty state folder."""
    other = tmp_path / "other"
    other.mkdir()
    check = TokenBook(other, time.time).check
    server = Server(create_app(Backend(), "9", door=Door(require_token=True), check=check), other / "s", "127.0.0.1:0")
    server.start()
    monkeypatch.setenv("RAGD_URL", f"http://127.0.0.1:{server.tcp_port}/")
    yield TokenFile(other)
    server.stop()


def test_a_command_asks_elsewhere_with_its_token(
    ragd: Run, elsewhere: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, _ = elsewhere.add("laptop", Role.READ, now=0.0)
    monkeypatch.setenv("RAGD_TOKEN", secret)
    asked = ragd("status", "--json")
    assert json.loads(asked.stdout)["documents"]["searchable"] == 1203
    assert ragd("search", "beavers").exit_code == 0
    refused = ragd("retry")
    assert (refused.exit_code, "role write" in refused.stderr) == (19, True)
    shown = [ragd("config", "show"), ragd("config", "show", "--json"), asked, refused]
    assert not any(secret in one.stdout + one.stderr for one in shown)


def test_without_a_token_or_with_a_wrong_one_it_says_so_and_answers_from_no_snapshot(
    ragd: Run, elsewhere: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    for token in ("", "ragd_" + "a" * 43):
        monkeypatch.setenv("RAGD_TOKEN", token)
        refused = ragd("status")
        assert (refused.exit_code, refused.stdout) == (18, "")
        assert "token" in refused.stderr
        assert "ragd_a" not in refused.stderr


def test_an_address_where_nobody_answers_is_named(ragd: Run, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGD_URL", "http://127.0.0.1:1")
    refused = ragd("search", "beavers")
    assert refused.exit_code == 4
    assert "http://127.0.0.1:1" in refused.stderr


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("127.0.0.1:8377", ""),
        ("ftp://host", ""),
        ("http://", ""),
        ("http://[", ""),
        ("http://host:99999", ""),
        ("http://two words", ""),
        ("http://host..tld", ""),
        ("http://host/a b", ""),
        ("http://host/ä", ""),
        ("http://user:pass@host", ""),
        ("http://host", "two words"),
        ("http://host", "line\r\nbreak"),
        ("http://host", "ä"),
    ],
)
def test_an_address_or_token_that_cannot_be_one_is_refused_without_being_repeated(url: str, token: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        place_of(Path("/s"), {"RAGD_URL": url, "RAGD_TOKEN": token})
    assert caught.value.hint
    assert not token or token not in str(caught.value) + caught.value.hint


def test_the_socket_is_asked_where_no_address_is_set_and_a_token_is_shown_by_nothing() -> None:
    assert place_of(Path("/s"), {"RAGD_TOKEN": "ragd_x"}) == Path("/s")
    remote = place_of(Path("/s"), {"RAGD_URL": "https://host/below/", "RAGD_TOKEN": "ragd_x"})
    assert remote == Remote("https://host/below", "ragd_x")
    assert "ragd_x" not in f"{remote} {remote!r}"
