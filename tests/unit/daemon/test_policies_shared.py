"""One policy, asked for two trainers at once."""

from __future__ import annotations

import threading
from dataclasses import replace

from ragd.daemon.policies import PolicyAnswers
from ragd.domain.deciding import Observed, Reason

FIRST = Observed(at=1.0, live_chunks=10, changed_chunks=1, examples=5, last_run_at=100.0)


def settle() -> None:
    """Waits for the threads that ask."""
    for thread in threading.enumerate():
        if thread.name == "policy":
            thread.join()


def test_trainers_with_the_same_policy_each_keep_their_answer() -> None:
    answers = PolicyAnswers(lambda name, seen: Reason(name, True, f"of {seen.last_run_at}"))
    second = replace(FIRST, last_run_at=200.0)
    for _ in range(2):
        answers("moon", FIRST)
        answers("moon", second)
        settle()
    found = [answers("moon", each) for each in (FIRST, second)]
    settle()
    assert [reason and reason.text for reason in found] == ["of 100.0", "of 200.0"]


def test_answers_about_runs_long_past_are_forgotten() -> None:
    answers = PolicyAnswers(lambda name, _seen: Reason(name, True, ""))
    for run in range(300):
        answers("moon", replace(FIRST, last_run_at=float(run)))
        settle()
    assert answers("moon", replace(FIRST, last_run_at=0.0)) is None
    assert answers("moon", replace(FIRST, last_run_at=299.0)) is not None
    settle()
