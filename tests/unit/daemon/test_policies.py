"""A plugin's policy is asked beside the main thread: who asks never waits, and one question is asked at a time."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from ragd.daemon.policies import PolicyAnswers
from ragd.domain.deciding import Observed, Reason

SEEN = Observed(at=1.0, live_chunks=10, changed_chunks=1, examples=5)


class Plugin:
    """Answers when it is let; counts how often it was asked, and what of."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.asked: list[Observed] = []
        self.is_broken = False

    def __call__(self, name: str, observed: Observed) -> Reason:
        self.asked.append(observed)
        assert self.may_answer.wait(20)
        if self.is_broken:
            raise ZeroDivisionError
        return Reason(name, True, f"{observed.examples} examples")


def settle() -> None:
    for thread in threading.enumerate():
        if thread.name == "policy":
            thread.join()


def test_nobody_waits_and_the_answer_is_given_the_next_time() -> None:
    plugin = Plugin()
    answers = PolicyAnswers(plugin)
    assert answers("moon", SEEN) is None
    assert answers("moon", replace(SEEN, examples=6)) is None
    assert len(plugin.asked) == 1
    plugin.may_answer.set()
    settle()
    assert answers("moon", replace(SEEN, examples=7)) == Reason("moon", True, "5 examples")
    settle()
    assert answers("moon", SEEN) == Reason("moon", True, "7 examples")
    settle()


def test_an_answer_about_the_time_before_a_run_is_not_given_after_it() -> None:
    plugin = Plugin()
    plugin.may_answer.set()
    answers = PolicyAnswers(plugin)
    answers("moon", SEEN)
    settle()
    assert answers("moon", replace(SEEN, last_run_at=9.0)) is None
    settle()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_after_a_bug_it_is_asked_again() -> None:
    plugin = Plugin()
    plugin.may_answer.set()
    plugin.is_broken = True
    answers = PolicyAnswers(plugin)
    assert answers("moon", SEEN) is None
    settle()
    plugin.is_broken = False
    assert answers("moon", SEEN) is None
    settle()
    assert answers("moon", SEEN) is not None
    settle()
