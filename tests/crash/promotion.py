"""A process that promotes a model, fills, swaps and rolls back, to be killed on its way by RAGD_TEST_KILL_AT."""

from __future__ import annotations

import sys
from pathlib import Path

from ragd.domain.learning import Role
from tests.unit.flow.house import House, rotation

PARTS = ("otters swim upstream", "beavers build dams", "foxes dig dens", "herons stand still")
MANY = tuple(f"note {n} about {n * 7919 % 1013} and {n * 104729 % 997}" for n in range(1100))


def main(state: Path, role: Role) -> None:
    """Goes the whole way; a fault point on it ends the process as kill -9 would."""
    house = House(state)
    if role is Role.INDEX:
        house.write("many.txt", *MANY)
        house.work()
        house.app.index.maintain()
        house.app.index.wait_settled(60)
        model = house.fit(rotation(3)[:20])
    else:
        house.write("river.txt", *PARTS)
        house.work()
        model = house.encoder(1) if role is Role.ENCODER else house.adapter()
    house.app.promotions.promote(model)
    house.work()
    house.app.index.wait_settled(60)
    house.app.promotions.step()
    house.write("lake.txt", "pikes wait in the reeds")
    house.work()
    house.app.promotions.roll_back(role)
    house.app.index.wait_settled(60)
    house.app.promotions.step()
    house.app.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Role(sys.argv[2]))
