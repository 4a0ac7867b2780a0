"""Ready, degraded or failed: decided from facts alone."""

from __future__ import annotations

import pytest

from ragd.daemon.heart import STUCK_S, Beat, Heart
from ragd.daemon.readiness import State, readiness

WELL = Beat("commit_text", 0.2)


def test_a_daemon_without_complaints_is_ready() -> None:
    told = readiness(WELL, complaints=())
    assert (told.state, told.reasons, told.is_serving) == (State.READY, (), True)


def test_a_complaint_degrades_it_and_it_serves_on() -> None:
    told = readiness(WELL, complaints=["no embed worker is running"])
    assert (told.state, told.is_serving) == (State.DEGRADED, True)
    assert told.reasons == ("no embed worker is running",)


@pytest.mark.parametrize(
    ("beat", "unreadable", "is_proven_wrong", "reason"),
    [
        (Beat("", None), "", False, "the daemon is starting"),
        (Beat("", 0.1, is_ending=True), "", False, "the daemon is stopping"),
        (Beat("commit_text", STUCK_S + 1), "", False, "been at `commit_text` for 121 s"),
        (Beat("", STUCK_S + 1), "", False, "has not turned for 121 s"),
        (WELL, "catalog.db is damaged", False, "the catalog cannot be read: catalog.db is damaged"),
        (WELL, "", True, "the index is not what the catalog says"),
    ],
)
def test_it_fails_where_a_search_cannot_be_true(
    beat: Beat, unreadable: str, is_proven_wrong: bool, reason: str
) -> None:
    told = readiness(beat, complaints=["a folder is missing"], unreadable=unreadable, is_proven_wrong=is_proven_wrong)
    assert (told.state, told.is_serving) == (State.FAILED, False)
    assert reason in told.reasons[0]
    assert told.reasons[-1] == "a folder is missing"


def test_a_long_commit_is_not_stuck_until_the_limit() -> None:
    assert readiness(Beat("commit_vectors", STUCK_S), complaints=()).state is State.READY


def test_the_heart_tells_the_last_turn_and_how_long_ago_it_was() -> None:
    now = [100.0]
    heart = Heart(lambda: now[0])
    assert heart.beat == Beat("", None)
    heart.turned("plan")
    now[0] += 3.5
    assert heart.beat == Beat("plan", 3.5)
    now[0] += STUCK_S
    late = heart.beat
    assert (late.doing, late.is_stuck) == ("plan", True)
    heart.turned("")
    assert heart.beat == Beat("", 0.0)
    heart.end()
    assert heart.beat == Beat("", 0.0, is_ending=True)
