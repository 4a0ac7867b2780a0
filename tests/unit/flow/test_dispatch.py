"""What is handed out while the clock is set back and forth, and while something in it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

TEXTS = [f"text {number}" for number in range(20)]
BAD = "text 13"


def encode(world: Any, *, fails: Callable[[str], bool], is_deadly: bool = False, rounds: int = 40) -> None:
    """The embed worker, which gives up every batch with such a text in it, or dies of it twice."""
    for _ in range(rounds):
        world.ingest.step()
        for batch in list(world.outbox.embeds):
            if not any(fails(text) for text in batch.texts):
                world.outbox.embeds.remove(batch)
                world.outbox.embeds.insert(0, batch)
                world.embed(1)
                continue
            world.outbox.embeds.remove(batch)
            if is_deadly:
                world.dispatch.lost(batch.id, "the batch ended 2 workers")
            else:
                world.dispatch.embed_failed(batch.id, "the model gave zeros")
        world.now += 60


@pytest.mark.parametrize("is_deadly", [False, True])
def test_a_text_that_no_encoder_takes_stands_alone_in_the_end_and_holds_up_no_other(
    world: Any, is_deadly: bool
) -> None:
    world.write(b"a.txt", "\n\n".join(TEXTS))
    world.extract()
    encode(world, fails=lambda text: text == BAD, is_deadly=is_deadly, rounds=15)
    assert world.live_texts() == set(TEXTS) - {BAD}
    aside = world.dispatch.set_aside(world.generation)
    assert world.tables.vectors.texts(list(aside))[1] == (BAD,)
    assert set(aside.values()) == {"the batch ended 2 workers" if is_deadly else "the model gave zeros"}
    assert world.outbox.embeds == []
    world.write(b"b.txt", "another")
    world.work()
    assert world.live_texts() == {*TEXTS, "another"} - {BAD}
    world.now += 3600
    world.work()  # the encoder takes it now
    assert world.live_texts() == {*TEXTS, "another"}
    assert world.dispatch.set_aside(world.generation) == {}


def test_an_encoder_that_fails_at_everything_blames_no_text(world: Any) -> None:
    world.write(b"a.txt", "\n\n".join(TEXTS))
    world.extract()
    encode(world, fails=lambda _text: True)
    assert world.live_texts() == set()
    assert world.dispatch.set_aside(world.generation) == {}
    world.work()
    assert world.live_texts() == set(TEXTS)


def test_a_clock_set_back_keeps_no_encoder_paused_and_no_lost_batch_waiting(world: Any) -> None:
    world.write(b"a.txt", "one")
    world.extract()
    (batch,) = world.outbox.embeds
    world.outbox.embeds.clear()
    assert world.dispatch.embed_failed(batch.id, "no answer") == 1.0
    world.dispatch.step()
    assert world.outbox.embeds == []
    world.now -= 10 * 86400
    world.dispatch.step()
    assert len(world.outbox.embeds) == 1
    assert world.dispatch.find_lost(lambda _: False) == 0
    world.now -= 10 * 86400
    assert world.dispatch.find_lost(lambda _: True) == 0
    assert world.dispatch.find_lost(lambda _: False) == 1
