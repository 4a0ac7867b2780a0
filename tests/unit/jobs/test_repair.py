from __future__ import annotations

import os

import pytest

from ragd.domain.errors import BrokerInUse
from ragd.jobs.broker import OWNER_KEY, SETTINGS_KEY, Broker
from ragd.jobs.hold import Hold
from ragd.jobs.pulse import WORKERS_KEY
from ragd.jobs.queue import Queues
from ragd.jobs.repair import put_away


def test_nothing_is_put_away_from_a_redis_as_ragd_leaves_it(broker: Broker, queues: Queues) -> None:
    broker.claim("mine")
    queues.plan(1, ())
    assert put_away(broker) == ()
    assert queues.lengths()["index"] == 1


def test_keys_of_another_type_are_removed_and_named(broker: Broker, queues: Queues) -> None:
    client = broker.connection
    client.set("rq:queue:extract", "rubbish")
    client.rpush(SETTINGS_KEY, "rubbish")
    client.sadd(WORKERS_KEY, "rq:worker:w", b"\xff")
    client.set("rq:worker:w", "rubbish")
    client.set("ragd:held:w", "rubbish")
    client.set("somebody:else", "stays")
    assert set(put_away(broker)) == {"rq:queue:extract", SETTINGS_KEY, "rq:worker:w", "ragd:held:w"}
    assert client.get("somebody:else") == b"stays"
    client.set(WORKERS_KEY, "rubbish")
    assert put_away(broker) == (WORKERS_KEY,)
    assert queues.lengths()["extract"] == 0


@pytest.mark.parametrize("claim", [b"\xff\xfe", b"[1]", b'{"state": 1}', b"{}", b"null"])
def test_a_claim_that_names_nobody_is_nobodys(broker: Broker, claim: bytes) -> None:
    broker.connection.set(OWNER_KEY, claim)
    broker.release("mine")
    broker.claim("mine")
    with pytest.raises(BrokerInUse):
        broker.claim("other")


def test_ids_and_jobs_that_ragd_did_not_write_do_not_block_a_queue(broker: Broker, queues: Queues) -> None:
    client = broker.connection
    queues.plan(1, ())
    client.set("rq:job:text", "no hash")
    client.hset("rq:job:odd", mapping={"data": os.urandom(9), "attempts": "many"})
    client.hset("rq:job:list", mapping={"data": os.urandom(9)})
    client.rpush("ragd:out:list", "no body")
    client.lpush("rq:queue:index", b"\xff\xfe", "gone", "text", "odd", "list")
    hold = Hold(client, "index", "daemon")
    taken = [hold.take(None) for _ in range(4)]
    assert [one.task.name if one else "" for one in taken] == ["(unreadable)", "(unreadable)", "plan", ""]
    assert [one.task.attempt for one in taken if one] == [1, 1, 1]
    client.lpush(hold.key, b"\xff\xfe", "text")
    hold.release()
    assert client.lrange(hold.key, 0, -1) == []
    assert client.llen("rq:queue:index") == 3
