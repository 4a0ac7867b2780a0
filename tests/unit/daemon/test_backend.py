"""The daemon as its HTTP door asks it: over a real app, with Redis and children away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from ragd.daemon.backend import DaemonBackend, Walks
from ragd.daemon.errands import Errands
from ragd.daemon.heartbeat import Heartbeat
from ragd.daemon.learning import DaemonLearning
from ragd.daemon.sight import Sight
from ragd.daemon.supervisor import Reclaims, Supervisor
from ragd.domain.index import Depth
from ragd.jobs.broker import Broker
from tests.unit.flow.house import House

FACTS: dict[str, Any] = {"reasons": [], "queues": {}, "workers": [], "watch": [], "redis": {}, "progress": {}}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    made.write("river.txt", "otters swim upstream", "beavers build dams")
    made.work()
    yield made
    made.app.close()


@pytest.fixture
def backend(house: House, tmp_path: Path) -> DaemonBackend:
    supervisor = Supervisor({}, lambda kind: (kind,), cast(Reclaims, None))
    sight = Sight(house.app, Broker(f"unix://{tmp_path}/nobody.sock"), supervisor, Heartbeat(60.0))
    sight.began()
    return DaemonBackend(
        house.app,
        Errands(lambda: None),
        cast(DaemonLearning, None),
        sight,
        facts=lambda: dict(FACTS),
        walks=cast(Walks, None),
        is_planned=lambda: True,
        reload=dict,
    )


def test_an_index_that_was_proven_wrong_fails_until_it_is_mended(house: House, backend: DaemonBackend) -> None:
    assert backend.status()["state"] == "ready"
    with house.app.tables.store.transaction() as db:
        db.execute("DELETE FROM vectors WHERE chunk_id = (SELECT min(chunk_id) FROM vectors)")
    house.app.prover.prove(Depth.FULL, should_repair=False)
    told = backend.status()
    assert not told["proof"]["is_equal"]
    assert told["state"] == "failed"
    assert told["reasons"] == ["the index is not what the catalog says (see: ragd verify)"]
    assert backend.sight.readiness()[0] == "failed"
    house.app.prover.prove(Depth.FULL, should_repair=True)
    assert backend.status()["state"] != "failed"
