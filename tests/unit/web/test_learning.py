"""The addresses of the model side: what is asked reaches the daemon behind, what it says comes back in its shape."""

from __future__ import annotations

import httpx
import pytest

from tests.unit.web.conftest import RUN, Shelf


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("/v1/plugins", ("plugins",)),
        ("/v1/triggers", ("triggers",)),
        ("/v1/triggers/nudge", ("trigger", "nudge")),
        ("/v1/runs?limit=7&trainer=nudge", ("runs", 7, "nudge")),
        ("/v1/runs/2026", ("run", "2026")),
        ("/v1/runs/2026/log?offset=12", ("log", "2026", 12)),
        ("/v1/models", ("models",)),
        ("/v1/models/nudge/3", ("model", "nudge/3")),
        ("/v1/models/7", ("model", "7")),
        ("/v1/models/compare?a=nudge/1&b=nudge/2", ("compare", "nudge/1", "nudge/2")),
        ("/v1/spend", ("spend",)),
    ],
)
def test_a_question_reaches_the_daemon(
    client: httpx.Client, shelf: Shelf, address: str, asked: tuple[object, ...]
) -> None:
    answer = client.get(address)
    assert (answer.status_code, shelf.asked) == (200, [asked])


@pytest.mark.parametrize(
    ("address", "body", "asked"),
    [
        ("/v1/train", {"trainer": "nudge"}, ("train", "nudge", None, "hand")),
        ("/v1/train", {"trainer": "nudge", "on": "/a.jsonl", "by": "fire"}, ("train", "nudge", "/a.jsonl", "fire")),
        ("/v1/runs/2026/stop", {}, ("stop", "2026")),
        ("/v1/runs/2026/resume", {}, ("resume", "2026")),
        ("/v1/models/promote", {"model": "nudge/3", "force": True}, ("promote", "nudge/3", True)),
        ("/v1/models/rollback", {"role": "encoder"}, ("rollback", "encoder")),
        ("/v1/models/prune", {}, ("prune", 3)),
        ("/v1/feedback", {"query": 5, "chunk": 7, "good": False}, ("feedback", 5, 7, False)),
    ],
)
def test_a_wish_reaches_the_daemon(
    client: httpx.Client, shelf: Shelf, address: str, body: dict[str, object], asked: tuple[object, ...]
) -> None:
    answer = client.post(address, json=body)
    assert (answer.status_code, shelf.asked) == (200, [asked])


def test_what_a_run_says_of_itself_comes_back_whole(client: httpx.Client) -> None:
    assert client.get("/v1/runs/2026").json() == RUN


@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("/v1/train", {"trainer": ""}),
        ("/v1/train", {"trainer": "nudge", "by": "whim"}),
        ("/v1/train", {"trainer": "nudge", "force": True}),
        ("/v1/models/promote", {"model": 7}),
        ("/v1/models/prune", {"keep": -1}),
        ("/v1/feedback", {"query": 5, "chunk": 7}),
        ("/v1/feedback", {"query": 2**63, "chunk": 7, "good": True}),
        ("/v1/feedback", {"query": 5, "chunk": 2**63, "good": True}),
    ],
)
def test_a_wish_that_is_not_understood_is_refused(
    client: httpx.Client, shelf: Shelf, address: str, body: dict[str, object]
) -> None:
    answer = client.post(address, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
    assert shelf.asked == []


@pytest.mark.parametrize("offset", [-1, 2**63])
def test_a_log_is_read_from_where_a_file_can_be(client: httpx.Client, shelf: Shelf, offset: int) -> None:
    answer = client.get(f"/v1/runs/2026/log?offset={offset}")
    assert (answer.status_code, shelf.asked) == (400, [])


def test_a_gate_that_refuses_is_a_conflict_with_its_reason(client: httpx.Client) -> None:
    answer = client.post("/v1/models/promote", json={"model": "worse/1"})
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "gate_refused"
