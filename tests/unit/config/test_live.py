"""What of a new configuration holds at once, and what waits for a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ragd.config.keys import keys
from ragd.config.live import LiveConfig, change, is_live
from ragd.config.schema import Config


def config(**given: Any) -> Config:
    return Config.model_validate({"state": "/s", **given})


def test_what_can_change_while_running_holds_at_once() -> None:
    wanted = config(search={"limit": 3}, log={"level": "debug"}, collections=[{"name": "a", "folders": ["/docs"]}])
    found = change(config(), wanted)
    assert found.config == wanted
    assert set(found.changed) == {"search.limit", "log.level", "collections"}
    assert found.needs_restart == ()
    assert found.touches("log")
    assert found.touches("search.limit", "watch")
    assert not found.touches("watch", "lo", "search.rrf_k")


def test_what_cannot_keeps_its_value_and_is_named() -> None:
    before = config(embed={"threads": 1}, redis={"url": "redis://one"})
    wanted = config(
        state="/other", embed={"threads": 2, "precision": "int8"}, redis={"url": "redis://two"}, retain={"days": 1}
    )
    found = change(before, wanted)
    assert found.config == before.model_copy(update={"retain": wanted.retain})
    assert found.changed == ("retain.days",)
    assert set(found.needs_restart) == {"state", "embed.threads", "embed.precision", "redis.url"}


def test_a_section_may_hold_both_kinds() -> None:
    wanted = config(workers={"embed": 3, "nice": 3})
    found = change(config(), wanted)
    assert (found.config.workers.embed, found.config.workers.nice) == (3, config().workers.nice)
    assert (found.changed, found.needs_restart) == (("workers.embed",), ("workers.nice",))


def test_the_same_configuration_changes_nothing() -> None:
    found = change(config(embed={"api_key": "hush"}), config(embed={"api_key": "hush"}))
    assert (found.changed, found.needs_restart) == ((), ())


@pytest.mark.parametrize(
    "name", ["state", "redis.url", "embed.model", "split.max_tokens", "http.socket", "index.nprobe"]
)
def test_what_is_built_in_at_the_start_does_not_change_alive(name: str) -> None:
    assert [is_live(key) for key in keys() if key.name == name] == [False]


def test_whoever_reads_a_live_configuration_sees_the_one_that_holds() -> None:
    live = LiveConfig(config())
    live.replace(config(state=str(Path("/t"))))
    assert live.now.state == Path("/t")
