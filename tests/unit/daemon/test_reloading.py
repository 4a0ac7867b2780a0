"""A configuration read again: adopted, or refused with its reason while the one before goes on."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ragd.config.live import Change, LiveConfig
from ragd.config.schema import Config
from ragd.daemon.reloading import Reloading
from ragd.daemon.sdnotify import Notifier
from ragd.domain.errors import BadRequest, ConfigInvalid


def config(**given: Any) -> Config:
    return Config.model_validate({"state": "/s", **given})


class House:
    """A reloading whose file is `wanted`, heard by a service manager."""

    def __init__(self, manager: socket.socket) -> None:
        self.wanted: Config | ConfigInvalid = config()
        self.adopted: list[Change] = []
        self.manager = manager
        notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()})
        self.reloading = Reloading(LiveConfig(config()), self.load, self.adopted.append, notifier)

    def load(self) -> Config:
        if isinstance(self.wanted, ConfigInvalid):
            raise self.wanted
        return self.wanted

    def heard(self) -> list[str]:
        return [self.manager.recv(1000).decode().splitlines()[0] for _ in range(2)]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        yield House(manager)


def test_a_reload_tells_what_changed_and_what_waits(house: House) -> None:
    house.wanted = config(search={"limit": 3}, redis={"url": "redis://elsewhere"})
    assert house.reloading.reload() == {"changed": ["search.limit"], "needs_restart": ["redis.url"]}
    assert [found.config.search.limit for found in house.adopted] == [3]
    assert house.heard() == ["RELOADING=1", "READY=1"]


def test_a_wrong_configuration_is_refused_and_told_until_a_right_one_comes(house: House) -> None:
    house.wanted = ConfigInvalid("ragd.toml:2: search.limit = 0 is not accepted", hint="give a number")
    with pytest.raises(ConfigInvalid):
        house.reloading.reload()
    assert house.adopted == []
    assert "ragd.toml:2" in house.reloading.problem
    assert house.heard() == ["RELOADING=1", "READY=1"]  # it serves on
    house.wanted = config()
    house.reloading.reload()
    assert house.reloading.problem == ""


def test_a_signal_is_followed_at_the_next_turn_and_its_errors_stay_inside(house: House) -> None:
    house.reloading.step()
    assert house.adopted == []
    house.reloading.ask()
    house.reloading.step()
    house.reloading.step()
    assert len(house.adopted) == 1
    house.wanted = ConfigInvalid("not TOML")
    house.reloading.ask()
    house.reloading.step()
    assert "not TOML" in house.reloading.problem


def test_a_daemon_that_was_not_told_how_says_so(house: House) -> None:
    nowhere = Reloading(LiveConfig(config()), None, house.adopted.append, Notifier({}))
    with pytest.raises(BadRequest):
        nowhere.reload()
