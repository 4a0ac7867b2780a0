"""Over TCP only names that are served, no other page, and beyond loopback nobody without a token."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from ragd.domain.errors import ConfigInvalid, StateCorrupt
from ragd.web.door import Door, Limits, check_tokens, is_loopback
from ragd.web.guard import Guard
from ragd.web.tokens import TOKENS_NAME, Role, Token, TokenFile
from tests.unit.web.conftest import Guarded


def _bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def _refused(response: httpx.Response, status: int, code: str) -> str:
    assert response.status_code == status, response.text
    assert response.json()["error"]["code"] == code
    assert response.json()["error"]["hint"]
    return str(response.json()["error"]["message"])


@pytest.mark.parametrize("host", ["localhost", "localhost:8377", "127.0.0.1", "127.0.0.1:1", "[::1]:8377", "LOCALHOST"])
def test_loopback_names_are_served(tcp: httpx.Client, host: str) -> None:
    assert tcp.get("/v1/status", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8377", "localhost.evil.example", "[::2]", "192.168.0.1", "", "[", "ragd.example"],
)
def test_other_names_are_refused(tcp: httpx.Client, host: str) -> None:
    _refused(tcp.get("/v1/status", headers={"host": host}), 403, "forbidden")


def test_pages_of_other_origins_are_refused(tcp: httpx.Client) -> None:
    for origin in ("https://evil.example", "null", "http://localhost:3000", "http://[", ""):
        response = tcp.post("/v1/rescan", json={}, headers={"origin": origin, "host": "localhost:8377"})
        _refused(response, 403, "forbidden")
    own = tcp.post("/v1/rescan", json={}, headers={"origin": "http://localhost:8377", "host": "localhost:8377"})
    assert own.status_code == 200


def test_what_a_page_of_another_site_makes_a_browser_load_is_refused(tcp: httpx.Client) -> None:
    for site in ("cross-site", "same-site"):
        _refused(tcp.get("/v1/status", headers={"sec-fetch-site": site}), 403, "forbidden")
    for site in ("none", "same-origin"):
        assert tcp.get("/v1/status", headers={"sec-fetch-site": site}).status_code == 200


def test_a_form_cannot_act(tcp: httpx.Client) -> None:
    response = tcp.post("/v1/rescan", content=b"{}", headers={"content-type": "text/plain"})
    assert response.status_code == 400


def test_the_unix_socket_takes_any_name_and_needs_no_token(client: httpx.Client) -> None:
    assert client.get("/v1/status", headers={"host": "whatever"}).status_code == 200


def test_the_unix_socket_needs_no_token_where_tcp_does(guarded: Guarded) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(guarded.socket)), base_url="http://ragd") as owner:
        assert owner.post("/v1/models/prune", json={}).status_code == 200


def test_configured_names_are_served_and_no_others(guarded: Guarded, stranger: httpx.Client) -> None:
    token = _bearer(guarded.secrets[Role.READ])
    for host in ("ragd.example", "RAGD.example:8377", "localhost", "127.0.0.1"):
        assert stranger.get("/v1/status", headers={"host": host, **token}).status_code == 200
    for host in ("evil.example", "ragd.example.evil.example", "xragd.example", "192.0.2.1"):
        _refused(stranger.get("/v1/status", headers={"host": host, **token}), 403, "forbidden")


def test_beyond_loopback_nothing_answers_without_a_token(guarded: Guarded, stranger: httpx.Client) -> None:
    for path in ("/v1/status", "/v1/openapi.json", "/v1/nothing", "/", "/v1/models/x", "/%2e%2e/v1/status"):
        for method in ("GET", "POST", "DELETE", "OPTIONS"):
            response = stranger.request(method, path)
            _refused(response, 401, "unauthorized")
            assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "value",
    [
        "Bearer",
        "Bearer ragd_" + "a" * 43,
        "Basic {secret}",
        "{secret}",
        "Bearer {secret}x",
        "Bearer {secret},{secret}",
        "Bearer Bearer {secret}",
        "Bearer " + "a" * 60_000,
    ],
)
def test_a_token_that_is_not_one_is_refused_even_where_none_is_needed(
    guarded: Guarded, stranger: httpx.Client, tcp: httpx.Client, value: str
) -> None:
    headers = {"authorization": value.format(secret=guarded.secrets[Role.ADMIN])}
    for asking in (stranger, tcp):
        message = _refused(asking.get("/v1/status", headers=headers), 401, "unauthorized")
        assert "ragd_" not in message


def test_two_tokens_are_no_token(guarded: Guarded, stranger: httpx.Client) -> None:
    both = [("authorization", f"Bearer {guarded.secrets[role]}") for role in (Role.READ, Role.ADMIN)]
    _refused(stranger.get("/v1/status", headers=both), 401, "unauthorized")


def test_a_token_in_the_address_or_a_cookie_does_not_count(guarded: Guarded, stranger: httpx.Client) -> None:
    secret = guarded.secrets[Role.ADMIN]
    _refused(stranger.get(f"/v1/status?token={secret}&access_token={secret}"), 401, "unauthorized")
    _refused(stranger.get("/v1/status", headers={"cookie": f"token={secret}"}), 401, "unauthorized")


def test_a_token_counts_from_when_it_is_made_and_no_longer_than_it_is_kept(
    guarded: Guarded, stranger: httpx.Client
) -> None:
    secret, _ = guarded.tokens.add("passing", Role.READ, now=0.0)
    assert stranger.get("/v1/status", headers=_bearer(secret)).status_code == 200
    guarded.tokens.revoke("passing")
    _refused(stranger.get("/v1/status", headers=_bearer(secret)), 401, "unauthorized")
    expired, _ = guarded.tokens.add("past", Role.READ, now=0.0, lasts_s=60.0)
    _refused(stranger.get("/v1/status", headers=_bearer(expired)), 401, "unauthorized")
    guarded.tokens.revoke("past")


def test_a_body_is_not_read_before_its_sender_is_known(guarded: Guarded, stranger: httpx.Client) -> None:
    response = stranger.post("/v1/retry", content=b"not json", headers={"content-type": "application/json"})
    _refused(response, 401, "unauthorized")
    assert response.headers["connection"] == "close"


def test_a_door_beyond_loopback_does_not_open_without_a_valid_token(tmp_path: Path) -> None:
    wide = Door("0.0.0.0:8377")
    for prepare in (lambda: None, lambda: TokenFile(tmp_path).add("past", Role.ADMIN, now=0.0, lasts_s=1.0)):
        prepare()
        with pytest.raises(ConfigInvalid, match=r"http\.tcp: 0\.0\.0\.0:8377") as caught:
            check_tokens(wide, tmp_path, 10.0)
        assert f"ragd --state {tmp_path} token add" in caught.value.hint
    for loopback in (Door(), Door("127.0.0.1:8377"), Door("localhost:0"), Door("[::1]:1"), Door("127.8.8.8:1")):
        check_tokens(loopback, tmp_path, 10.0)
    TokenFile(tmp_path).add("laptop", Role.READ, now=0.0)
    check_tokens(wide, tmp_path, 10.0)
    (tmp_path / TOKENS_NAME).write_text("damaged")
    with pytest.raises(StateCorrupt, match="cannot be used"):
        check_tokens(wide, tmp_path, 10.0)


@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[::ffff:127.0.0.1]:1", "[2001:db8::1]:1"])
def test_what_is_not_surely_loopback_counts_as_reachable(address: str) -> None:
    assert not is_loopback(address)
    assert Door(address).needs_token


def test_loopback_asks_for_a_token_only_where_it_is_told_to() -> None:
    assert not Door("127.0.0.1:8377").needs_token
    assert Door("127.0.0.1:8377", require_token=True).needs_token


def _statuses(guard: Guard, count: int, **headers: str) -> list[tuple[int, str]]:
    """What a client at one address gets, request after request."""

    async def ask() -> list[tuple[int, str]]:
        found = []
        for _ in range(count):
            sent: list[Any] = []

            async def send(message: Any, sent: list[Any] = sent) -> None:
                sent.append(message)

            async def receive() -> Any:
                return {"type": "http.request", "body": b"", "more_body": False}

            scope = {
                "type": "http",
                "method": "GET",
                "path": "/v1/status",
                "headers": [(b"host", b"localhost"), *((k.encode(), v.encode()) for k, v in headers.items())],
                "server": ("127.0.0.1", 8377),
                "client": ("127.0.0.1", 50000),
            }
            await guard(scope, receive, send)
            found.append((sent[0]["status"], dict(sent[0]["headers"]).get(b"retry-after", b"").decode()))
        return found

    return asyncio.run(ask())


async def _fine(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_one_client_may_not_ask_more_often_than_it_may_and_does_not_use_up_what_another_has() -> None:
    now = [0.0]
    door = Door("192.0.2.1:1", limits=Limits(requests_per_s=0.1, burst=3))
    guard = Guard(_fine, door, lambda secret: Token(secret, Role.READ, "", 0.0), lambda: now[0])
    assert _statuses(guard, 5, authorization="Bearer a") == [(200, "")] * 3 + [(429, "10")] * 2
    assert _statuses(guard, 3, authorization="Bearer b") == [(200, "")] * 3
    assert _statuses(guard, 5) == [(401, "")] * 3 + [(429, "10")] * 2  # those without a token, by address
    now[0] = 10.0
    assert _statuses(guard, 2, authorization="Bearer a") == [(200, ""), (429, "10")]


def test_a_refused_token_is_noted_without_it_and_not_more_than_a_few_times(caplog: pytest.LogCaptureFixture) -> None:
    guard = Guard(_fine, Door(limits=Limits(requests_per_s=0.0)), lambda _: None, lambda: 0.0)
    with caplog.at_level(logging.DEBUG, logger="ragd"):
        assert _statuses(guard, 40, authorization="Bearer ragd_secret") == [(401, "")] * 40
    assert [record.getMessage() for record in caplog.records] == ["token_refused client=127.0.0.1"] * 10
