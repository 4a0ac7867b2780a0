from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from ragd.daemon.ending import Ending
from ragd.domain.errors import DiskFull, RagdError, StateCorrupt, StateGone


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Signals that this process was to get."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    return sent


def raising(error: RagdError) -> Callable[[], None]:
    def check() -> None:
        raise error

    return check


def test_the_first_reason_ends_the_daemon_once_and_is_raised_last(asked: list[tuple[int, int]]) -> None:
    gone, damaged = StateGone("the state folder is gone"), StateCorrupt("the catalog is damaged")
    ending = Ending([raising(gone)])
    ending.check()
    ending.give_up(damaged)
    assert ending.reason is gone
    assert asked == [(os.getpid(), signal.SIGTERM)]
    with pytest.raises(StateGone) as raised:
        ending.raise_reason()
    assert raised.value is gone


def test_what_can_pass_by_itself_ends_nothing(asked: list[tuple[int, int]]) -> None:
    ending = Ending([raising(DiskFull("no room"))])
    with pytest.raises(DiskFull):
        ending.check()
    assert (ending.reason, asked) == (None, [])
    ending.raise_reason()


def test_last_deeds_are_done_at_an_ordinary_end_only(asked: list[tuple[int, int]]) -> None:
    done: list[str] = []
    ending = Ending([])
    ending.check()
    ending.unless_given_up(lambda: done.append("snapshot"))
    ending.give_up(StateGone("gone"))
    ending.unless_given_up(lambda: done.append("snapshot into nowhere"))
    assert done == ["snapshot"]
    assert len(asked) == 1
