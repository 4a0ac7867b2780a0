"""Ready, degraded or failed: decided from facts alone."""

from __future__ import annotations

from typing import Any

import pytest

from ragd.daemon.readiness import Phase, State, readiness


def test_a_daemon_without_complaints_is_ready() -> None:
    told = readiness(Phase.SERVING, complaints=())
    assert (told.state, told.reasons, told.is_serving) == (State.READY, (), True)


def test_a_complaint_degrades_it_and_it_serves_on() -> None:
    told = readiness(Phase.SERVING, complaints=["no embed worker is running"])
    assert (told.state, told.is_serving) == (State.DEGRADED, True)
    assert told.reasons == ("no embed worker is running",)


@pytest.mark.parametrize(
    ("phase", "facts", "reason"),
    [
        (Phase.STARTING, {}, "the daemon is starting"),
        (Phase.STOPPING, {}, "the daemon is stopping"),
        (Phase.SERVING, {"unreadable": "catalog.db is damaged"}, "the catalog cannot be read: catalog.db is damaged"),
        (Phase.SERVING, {"is_proven_wrong": True}, "the index is not what the catalog says (see: ragd verify)"),
        (Phase.SERVING, {"is_stuck": True}, "the committing thread has not moved"),
    ],
)
def test_it_fails_where_a_search_cannot_be_true(phase: Phase, facts: dict[str, Any], reason: str) -> None:
    complaints = ["the committing thread has not moved"] if "is_stuck" in facts else ["a folder is missing"]
    told = readiness(phase, complaints=complaints, **facts)
    assert (told.state, told.is_serving) == (State.FAILED, False)
    assert told.reasons[0] == reason
    assert told.reasons[-1] == complaints[0]
