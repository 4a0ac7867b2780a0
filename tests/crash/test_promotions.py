"""A daemon killed at any moment of a promotion, a swap or a rollback comes back with exactly one champion."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ragd.disk.faults import VARIABLE
from ragd.domain.learning import Role
from ragd.index.verify import verify
from tests.crash.promotion import MANY, PARTS
from tests.unit.flow.house import House

ROOT = Path(__file__).parents[2]
OLD, NEW = "rotated-0 in rotated-0", "rotated-1 in rotated-1"
CROSSING = "rotated-1 by map in rotated-0"
pytestmark = pytest.mark.slow


def killed(state: Path, role: Role, point: str) -> House:
    """What a start finds after a process was killed at this point."""
    environment = {**os.environ, VARIABLE: point, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.crash.promotion", str(state), role]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return House(state)


def is_whole(house: House, texts: tuple[str, ...]) -> None:
    """One champion a role, every live index equal to the catalog, everything found, nothing wrong."""
    house.work()
    rows = house.app.tables.store.connection.execute(
        "SELECT role, count(*) FROM models WHERE status = 'champion' GROUP BY role HAVING count(*) > 1"
    ).fetchall()
    assert rows == []
    for live in house.app.generations.all:
        assert verify(live.index, house.app.reader.replay, live.id).is_clean
    assert house.app.promotions.said == {}
    assert [house.found(text) for text in texts] == [[text] for text in texts]


@pytest.mark.parametrize(
    ("point", "serving", "champion"),
    [
        ("promote.before_pointer", OLD, None),
        ("promote.in_transaction", OLD, None),
        ("promote.after_pointer", CROSSING, (1, "filling", True)),
        ("promote.after_route", CROSSING, (1, "filling", True)),
        ("swap.before_pointer", CROSSING, (1, "filling", True)),
        ("swap.in_transaction", CROSSING, (1, "filling", True)),
        ("swap.after_pointer", NEW, (1, "serving", True)),
        ("swap.after_route", NEW, (1, "serving", True)),
        ("rollback.before_pointer", NEW, (1, "serving", True)),
        ("rollback.in_transaction", NEW, (1, "serving", True)),
        ("rollback.after_pointer", OLD, (None, "serving", False)),
        ("rollback.after_route", OLD, (None, "serving", False)),
    ],
)
def test_an_encoder(tmp_path: Path, point: str, serving: str, champion: tuple[object, ...] | None) -> None:
    house = killed(tmp_path, Role.ENCODER, point)
    assert (house.serving, house.champion()) == (serving, champion)
    is_whole(house, PARTS)
    house.app.promotions.step()
    assert house.serving == (OLD if serving == OLD else NEW)
    is_whole(house, PARTS)
    if champion and champion[2]:
        house.app.promotions.roll_back(Role.ENCODER)
    else:
        house.app.promotions.promote(house.encoder(2))
    is_whole(house, PARTS)
    house.app.close()


@pytest.mark.parametrize(
    ("point", "champion"),
    [
        ("promote.before_pointer", None),
        ("promote.after_pointer", (1, "serving", True)),
        ("rollback.before_pointer", (1, "serving", True)),
        ("rollback.after_pointer", (None, "serving", False)),
    ],
)
def test_a_query_adapter(tmp_path: Path, point: str, champion: tuple[object, ...] | None) -> None:
    house = killed(tmp_path, Role.QUERY_ADAPTER, point)
    assert house.champion(Role.QUERY_ADAPTER) == champion
    assert house.app.routes.current.adapter_id == (champion[0] if champion else None)
    is_whole(house, PARTS)
    house.app.close()


@pytest.mark.parametrize(
    ("point", "lists"),
    [("promote.before_pointer", None), ("promote.after_pointer", 20), ("rollback.after_pointer", None)],
)
def test_an_index_fit(tmp_path: Path, point: str, lists: int | None) -> None:
    house = killed(tmp_path, Role.INDEX, point)
    index = house.app.index
    house.app.promotions.step()
    index.wait_settled(60)
    house.app.promotions.step()
    champion = house.champion(Role.INDEX)
    assert champion is None or champion[1] == "serving"
    assert (index.fit_digest != "", index.facts().lists == 20) == (lists == 20 or "rollback" in point, lists == 20)
    is_whole(house, MANY[::100])
    house.app.close()
