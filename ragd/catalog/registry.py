"""The registry as people read it: models, champions, lineage and comparisons, as plain values ready for JSON."""

from __future__ import annotations

from typing import Any

from ragd.catalog.connections import Connections
from ragd.catalog.json_columns import with_parsed
from ragd.catalog.models import Champion, Model, champion_of, encoder_of, model_of
from ragd.domain.errors import NotFound
from ragd.domain.learning import Role

_COLUMNS = (
    "m.id, m.role, m.name, m.version, m.status, m.created_at, m.size_bytes, m.space, m.base, m.parent, m.run_id,"
    " m.sha256, m.folder, m.facts, m.scores"
)
_NAMES = tuple(name.strip().removeprefix("m.") for name in _COLUMNS.split(","))
_RUN = "trainer, cause, reasons, seed, settings, examples, data_sha256, data_report, cpu_s, gpu_s, peak_memory_mb"
_RUN_NAMES = tuple(_RUN.split(", "))


class Registry:
    """Reads the models, champions and promotions tables of one catalog; usable from any thread."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def models(self, *, role: str | None = None, with_pruned: bool = False) -> list[dict[str, Any]]:
        """Models, newest first; of one role, and without those whose files were given up, unless asked for."""
        rows = self._connections.mine.execute(
            f"SELECT {_COLUMNS} FROM models m WHERE (? IS NULL OR role = ?) AND (? OR status <> 'pruned')"
            " ORDER BY id DESC",
            (role, role, with_pruned),
        ).fetchall()
        return [_model(row) for row in rows]

    def champions(self) -> list[dict[str, Any]]:
        """Who serves in each role where ever something was promoted; `model` None is what is configured."""
        rows = self._connections.mine.execute(
            "SELECT c.role, c.model_id, m.name, m.version, c.stage, c.since, c.has_previous, c.previous_id"
            " FROM champions c LEFT JOIN models m ON m.id = c.model_id ORDER BY c.role"
        )
        return [
            {
                "role": r[0],
                "model": r[1],
                "name": r[2],
                "version": r[3],
                "stage": r[4],
                "since": r[5],
                "can_roll_back": bool(r[6]),
                "previous": r[7],
            }
            for r in rows
        ]

    def promotions(self, *, model_id: int | None = None, limit: int = 50) -> list[dict[str, Any]]:
        """What moved the pointers, newest first; of one model only, when asked."""
        rows = self._connections.mine.execute(
            "SELECT at, role, action, model_id, previous_id, forced FROM promotions"
            " WHERE ? IS NULL OR model_id = ? OR previous_id = ? ORDER BY id DESC LIMIT ?",
            (model_id, model_id, model_id, limit),
        )
        names = ("at", "role", "action", "model", "previous", "forced")
        return [{**dict(zip(names, row, strict=True)), "forced": bool(row[5])} for row in rows]

    def model(self, model_id: int) -> Model:
        """The model with this id. Raises NotFound."""
        return model_of(self._connections.mine, model_id)

    def encoder_of(self, space: str) -> Model | None:
        """The newest encoder that makes this space and was not given up."""
        return encoder_of(self._connections.mine, space)

    def champion(self, role: Role) -> Champion | None:
        """Who serves in this role; None when nothing was ever promoted in it."""
        return champion_of(self._connections.mine, role)

    def find(self, reference: str) -> int:
        """The id that a person means: a number, `trainer/version`, or `trainer` for its newest. Raises NotFound."""
        name, _, version = reference.partition("/")
        row = self._connections.mine.execute(
            "SELECT id FROM models WHERE CAST(id AS TEXT) = ? OR name = ? AND (? = '' OR CAST(version AS TEXT) = ?)"
            " ORDER BY version DESC LIMIT 1",
            (reference, name, version, version),
        ).fetchone()
        if row is None:
            raise NotFound(f"there is no model {reference}", hint="`ragd models list` shows them")
        return int(row[0])

    def show(self, model_id: int) -> dict[str, Any]:
        """All that is known of a model, with `files`, `report`, `lineage`, `run` and `promotions`. Raises NotFound."""
        row = self._connections.mine.execute(
            f"SELECT {_COLUMNS}, m.files, m.report FROM models m WHERE id = ?", (model_id,)
        ).fetchone()
        if row is None:
            raise NotFound(f"there is no model {model_id}", hint="`ragd models list` shows them")
        found = _model(row[: len(_NAMES)])
        files = with_parsed({"files": row[-2]}, ("files",))
        return {
            **found,
            **files,
            "report": row[-1],
            "run": self._run(found["run_id"]),
            "lineage": self.lineage(model_id),
            "promotions": self.promotions(model_id=model_id),
        }

    def lineage(self, model_id: int) -> list[dict[str, Any]]:
        """The models that this one descends from, its parent first; the configured one is not listed."""
        found: list[dict[str, Any]] = []
        at: int | None = model_id
        while at is not None:
            row = self._connections.mine.execute(
                "SELECT p.id, p.role, p.name, p.version, p.status, p.run_id FROM models m"
                " JOIN models p ON p.id = m.parent WHERE m.id = ? AND p.id < m.id",
                (at,),
            ).fetchone()
            at = row[0] if row else None
            if row:
                found.append(dict(zip(("id", "role", "name", "version", "status", "run_id"), row, strict=True)))
        return found

    def compare(self, left: int, right: int) -> dict[str, Any]:
        """Two models side by side: `a`, `b`, and `differences` of the numbers that both have (b - a).

        Raises NotFound.
        """
        a, b = self.show(left), self.show(right)
        differences = {
            kind: {
                name: b[kind][name] - value
                for name, value in a[kind].items()
                if _is_number(value) and _is_number(b[kind].get(name))
            }
            for kind in ("scores", "facts")
        }
        differences["size_bytes"] = b["size_bytes"] - a["size_bytes"]
        return {"a": a, "b": b, "differences": differences}

    def _run(self, run_id: str | None) -> dict[str, Any] | None:
        row = self._connections.mine.execute(f"SELECT {_RUN} FROM runs WHERE id = ?", (run_id,)).fetchone()
        if row is None:
            return None
        return with_parsed(dict(zip(_RUN_NAMES, row, strict=True)), ("reasons", "settings", "data_report"))


def _model(row: tuple[Any, ...]) -> dict[str, Any]:
    return with_parsed(dict(zip(_NAMES, row, strict=True)), ("facts", "scores"))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
