"""The registry: every model that came out of a run, who serves in each role, and how that changed."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ragd.catalog.json_columns import dumped
from ragd.catalog.store import Store
from ragd.domain.errors import NotFound
from ragd.domain.learning import Role

_MODEL = "id, role, name, version, folder, files, space, base, parent, status"
CANDIDATE, REFUSED, CHAMPION, RETIRED, PRUNED = "candidate", "refused", "champion", "retired", "pruned"
SERVING, FILLING = "serving", "filling"


@dataclass(frozen=True, slots=True)
class NewModel:
    """What the registry is told of an artefact; `folder` is relative to the folder of models, `files` SHA-256 by path.

    `space` is the fingerprint of the embedding space that it makes (encoder) or works in (adapter, index), `base` that
    of the configured model it descends from, `parent` the model it was trained from (None: the configured one).
    """

    role: Role
    name: str
    version: int
    folder: str
    files: Mapping[str, str]
    sha256: str
    size_bytes: int
    space: str = ""
    base: str = ""
    parent: int | None = None
    run_id: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    report: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """A model as promotion needs it."""

    id: int
    role: Role
    name: str
    version: int
    folder: str
    files: Mapping[str, str]
    space: str
    base: str
    parent: int | None
    status: str

    @property
    def label(self) -> str:
        """Its name for people: `query_adapter/3`."""
        return f"{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class Champion:
    """Who serves in a role since Unix seconds `since`; `model_id` None is what is configured.

    With `has_previous` a rollback returns to `previous_id`. `stage` is `filling` while the new space is not whole.
    """

    role: Role
    model_id: int | None
    previous_id: int | None
    has_previous: bool
    stage: str
    since: float


class Models:
    """Writes the models, champions and promotions tables of one store; only the daemon's main thread does."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._db = store.connection
        self._clock = clock

    def next_version(self, name: str) -> int:
        """The version that the next model of this trainer gets."""
        row = self._db.execute("SELECT coalesce(max(version), 0) + 1 FROM models WHERE name = ?", (name,)).fetchone()
        return int(row[0])

    def add(self, new: NewModel) -> int:
        """Keeps a candidate; returns its id."""
        with self._store.transaction() as db:
            row = db.execute(
                "INSERT INTO models (role, name, version, folder, files, sha256, space, base, parent, run_id, status,"
                " size_bytes, facts, scores, report, created_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                (
                    str(new.role),
                    new.name,
                    new.version,
                    new.folder,
                    dumped(new.files),
                    new.sha256,
                    new.space,
                    new.base,
                    new.parent,
                    new.run_id,
                    CANDIDATE,
                    new.size_bytes,
                    dumped(new.facts),
                    dumped(new.scores),
                    new.report,
                    self._clock(),
                ),
            ).fetchone()
            return int(row[0])

    def judged(self, model_id: int, *, passed: bool, scores: Mapping[str, Any], report: str) -> None:
        """What the gate said of a candidate: it stays one, or is refused."""
        with self._store.transaction() as db:
            db.execute(
                "UPDATE models SET scores = ?, report = ?, status = CASE WHEN status IN ('candidate', 'refused')"
                " THEN ? ELSE status END WHERE id = ?",
                (dumped(scores), report, CANDIDATE if passed else REFUSED, model_id),
            )

    def model(self, model_id: int) -> Model:
        """The model with this id. Raises NotFound."""
        return model_of(self._db, model_id)

    def of_run(self, run_id: str) -> int | None:
        """The id of the model that came out of this run; None when none was kept."""
        row = self._db.execute("SELECT max(id) FROM models WHERE run_id = ?", (run_id,)).fetchone()
        return None if row[0] is None else int(row[0])

    def encoder_of(self, space: str) -> Model | None:
        """The newest encoder that makes this space and was not given up."""
        return encoder_of(self._db, space)

    def champion(self, role: Role) -> Champion | None:
        """Who serves in this role; None when nothing was ever promoted in it."""
        return champion_of(self._db, role)

    def crown(
        self,
        role: Role,
        model_id: int | None,
        *,
        stage: str = SERVING,
        forced: bool = False,
        over_configured: bool = False,
    ) -> Champion:
        """Moves the pointer of a role to this model (None: to what is configured), and notes what it leaves.

        `over_configured` says that what is configured serves now, whatever the pointer says.
        """
        with self._store.transaction():
            before = self.champion(role)
            previous = before.model_id if before is not None and not over_configured else None
            return self._point(role, model_id, previous, True, stage, "promote", forced)

    def swapped(self, role: Role) -> Champion:
        """The champion's own space is whole: it serves without a stand-in from here on. Raises NotFound."""
        with self._store.transaction():
            champion = self._known(role)
            args = (champion.previous_id, champion.has_previous, SERVING, "swap", False)
            return self._point(role, champion.model_id, *args)

    def roll_back(self, role: Role, *, stage: str = SERVING, can_return: bool = False) -> Champion:
        """Moves the pointer back; another rollback then leads one further, or, with `can_return`, forth again.

        Raises NotFound when there is nothing to return to.
        """
        with self._store.transaction():
            champion = self._known(role)
            if not champion.has_previous:
                raise NotFound(
                    f"there is no earlier {role} to roll back to", hint="`ragd models list` shows what can be promoted"
                )
            left = [champion.model_id] if can_return else self._before(role, champion.previous_id)
            before = left[-1] if left else None
            return self._point(role, champion.previous_id, before, bool(left), stage, "rollback", False)

    def _before(self, role: Role, target: int | None) -> list[int | None]:
        """What served before the model that a rollback returns to, oldest first; None is what is configured."""
        moves = self._db.execute(
            "SELECT action, model_id, previous_id FROM promotions WHERE role = ? AND action <> 'swap' ORDER BY id",
            (str(role),),
        ).fetchall()
        way: list[int | None] = [None]
        for action, model_id, previous_id in (*moves, ("rollback", target, None)):
            if action == "promote":
                way = [*(way if way[-1] == previous_id else [previous_id]), model_id]
            elif len(way) > 1 and way[-2] == model_id:
                way.pop()
            else:
                way.append(model_id)
        return [each for each in way[:-1] if each is None or self.model(each).status != PRUNED]

    def prune(self, keep: int = 0) -> list[tuple[int, str]]:
        """Gives up models that neither serve nor can be rolled back to, but the newest `keep` of each trainer.

        What a kept one descends from stays, for it may need those files. Returns (id, folder) of every model that was
        ever given up, so that folders left by a kill go as well.
        """
        with self._store.transaction() as db:
            give_up(db, keep)
            return db.execute("SELECT id, folder FROM models WHERE status = 'pruned' ORDER BY id").fetchall()

    def _known(self, role: Role) -> Champion:
        champion = self.champion(role)
        if champion is None:
            raise NotFound(f"no {role} was ever promoted", hint="`ragd models list` shows what can be")
        return champion

    def _point(
        self,
        role: Role,
        model_id: int | None,
        previous_id: int | None,
        has_previous: bool,
        stage: str,
        action: str,
        forced: bool,
    ) -> Champion:
        now = self._clock()
        self._db.execute(
            "UPDATE models SET status = 'retired' WHERE role = ? AND status = 'champion' AND id IS NOT ?",
            (str(role), model_id),
        )
        self._db.execute("UPDATE models SET status = 'champion' WHERE id = ?", (model_id,))
        self._db.execute(
            "INSERT INTO champions VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (role) DO UPDATE SET"
            " model_id = excluded.model_id, previous_id = excluded.previous_id,"
            " has_previous = excluded.has_previous, stage = excluded.stage, since = excluded.since",
            (str(role), model_id, previous_id, has_previous, stage, now),
        )
        self._db.execute(
            "INSERT INTO promotions (at, role, action, model_id, previous_id, forced) VALUES (?, ?, ?, ?, ?, ?)",
            (now, str(role), action, model_id, previous_id, forced),
        )
        return Champion(role, model_id, previous_id, has_previous, stage, now)


def model_of(db: sqlite3.Connection, model_id: int) -> Model:
    """The model with this id. Raises NotFound."""
    row = db.execute(f"SELECT {_MODEL} FROM models WHERE id = ?", (model_id,)).fetchone()
    if row is None:
        raise NotFound(f"there is no model {model_id}", hint="`ragd models list` shows them")
    return _model(row)


def encoder_of(db: sqlite3.Connection, space: str) -> Model | None:
    """The newest encoder that makes this space and was not given up."""
    row = db.execute(
        f"SELECT {_MODEL} FROM models WHERE role = 'encoder' AND space = ? AND status <> 'pruned'"
        " ORDER BY status = 'champion' DESC, id DESC LIMIT 1",
        (space,),
    ).fetchone()
    return _model(row) if row else None


def champion_of(db: sqlite3.Connection, role: Role) -> Champion | None:
    """Who serves in this role; None when nothing was ever promoted in it."""
    row = db.execute(
        "SELECT model_id, previous_id, has_previous, stage, since FROM champions WHERE role = ?", (str(role),)
    ).fetchone()
    return Champion(role, row[0], row[1], bool(row[2]), row[3], row[4]) if row else None


def _model(row: tuple[Any, ...]) -> Model:
    return Model(row[0], Role(row[1]), row[2], row[3], row[4], json.loads(row[5]), row[6], row[7], row[8], row[9])


def give_up(db: sqlite3.Connection, keep: int) -> None:
    """Marks the models as pruned that neither serve, nor can be rolled back to, nor are among the newest `keep`."""
    db.execute(
        "WITH RECURSIVE needed (id) AS ("
        " SELECT model_id FROM champions WHERE model_id IS NOT NULL"
        " UNION SELECT previous_id FROM champions WHERE has_previous AND previous_id IS NOT NULL"
        " UNION SELECT m.id FROM models m JOIN generations g ON g.fingerprint = m.space"
        "  WHERE m.role = 'encoder' AND g.state = 'live'"
        " UNION SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY name ORDER BY version DESC) AS n"
        "  FROM models WHERE status <> 'pruned') WHERE n <= ?"
        " UNION SELECT m.parent FROM models m JOIN needed n ON n.id = m.id WHERE m.parent IS NOT NULL)"
        " UPDATE models SET status = 'pruned' WHERE id NOT IN (SELECT id FROM needed)",
        (keep,),
    )
