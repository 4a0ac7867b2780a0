"""What a monitor is answered: figures as text, `ok` or 503, and a state with its reasons."""

from __future__ import annotations

import httpx
import pytest

from tests.unit.web.conftest import Shelf


def test_metrics_come_as_text_in_the_form_that_was_asked_for(client: httpx.Client) -> None:
    response = client.get("/metrics", headers={"accept": "x" * 7})
    assert (response.status_code, response.text) == (200, "asked_for 7\n")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_healthz_says_ok_or_503_and_nothing_else(client: httpx.Client, shelf: Shelf) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.text) == (200, "ok")
    shelf.sight.alive = False
    response = client.get("/healthz")
    assert (response.status_code, response.text) == (503, "stuck")


@pytest.mark.parametrize(("state", "status"), [("ready", 200), ("degraded", 200), ("failed", 503)])
def test_readyz_takes_searches_until_they_cannot_be_true(
    client: httpx.Client, shelf: Shelf, state: str, status: int
) -> None:
    shelf.sight.state, shelf.sight.reasons = state, ("because",)
    response = client.get("/readyz")
    assert response.status_code == status
    assert response.json() == {"state": state, "reasons": ["because"]}
