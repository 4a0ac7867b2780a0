"""What is handed out while the clock is set back and forth."""

from __future__ import annotations

from typing import Any


def test_a_clock_set_back_keeps_no_encoder_paused_and_no_lost_batch_waiting(world: Any) -> None:
    world.write(b"a.txt", "one")
    world.extract()
    (batch,) = world.outbox.embeds
    world.outbox.embeds.clear()
    assert world.dispatch.embed_failed(batch.id) == 1.0
    world.dispatch.step()
    assert world.outbox.embeds == []
    world.now -= 10 * 86400
    world.dispatch.step()
    assert len(world.outbox.embeds) == 1
    assert world.dispatch.find_lost(lambda _: False) == 0
    world.now -= 10 * 86400
    assert world.dispatch.find_lost(lambda _: True) == 0
    assert world.dispatch.find_lost(lambda _: False) == 1
