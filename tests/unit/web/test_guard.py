"""Over TCP only this machine's own names are served, and no other page may ask."""

from __future__ import annotations

import httpx
import pytest


@pytest.mark.parametrize("host", ["localhost", "localhost:8377", "127.0.0.1", "127.0.0.1:1", "[::1]:8377", "LOCALHOST"])
def test_loopback_names_are_served(tcp: httpx.Client, host: str) -> None:
    assert tcp.get("/v1/status", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8377", "localhost.evil.example", "[::2]", "192.168.0.1", ""]
)
def test_other_names_are_refused(tcp: httpx.Client, host: str) -> None:
    response = tcp.get("/v1/status", headers={"host": host})
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "forbidden"


def test_pages_of_other_origins_are_refused(tcp: httpx.Client) -> None:
    for origin in ("https://evil.example", "null", "http://localhost:3000"):
        response = tcp.post("/v1/rescan", json={}, headers={"origin": origin, "host": "localhost:8377"})
        assert response.status_code == 403
    own = tcp.post("/v1/rescan", json={}, headers={"origin": "http://localhost:8377", "host": "localhost:8377"})
    assert own.status_code == 200


def test_a_form_cannot_act(tcp: httpx.Client) -> None:
    response = tcp.post("/v1/rescan", content=b"{}", headers={"content-type": "text/plain"})
    assert response.status_code == 400


def test_the_unix_socket_takes_any_name(client: httpx.Client) -> None:
    assert client.get("/v1/status", headers={"host": "whatever"}).status_code == 200
