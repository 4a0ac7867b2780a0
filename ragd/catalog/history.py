"""What the model side remembers of models that are gone: promotions and given-up models, cut back to their limit."""

from __future__ import annotations

from ragd.catalog.store import Store

_REFERRED = (
    "SELECT model_id FROM promotions WHERE model_id IS NOT NULL"
    " UNION SELECT previous_id FROM promotions WHERE previous_id IS NOT NULL"
    " UNION SELECT model_id FROM champions WHERE model_id IS NOT NULL"
    " UNION SELECT previous_id FROM champions WHERE previous_id IS NOT NULL"
    " UNION SELECT parent FROM models WHERE parent IS NOT NULL"
)


def forget_models(store: Store, promotions: int) -> int:
    """Forgets all but the newest `promotions` of each role, then given-up models that nothing refers to; how many rows.

    A given-up model is known as long as its run is. A trainer's newest model stays, whatever became of it: the next
    one's version is counted from it.
    """
    with store.transaction() as db:
        gone = db.execute(
            "DELETE FROM promotions WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER"
            " (PARTITION BY role ORDER BY id DESC) AS place FROM promotions) WHERE place > ?)",
            (promotions,),
        ).rowcount
        return (
            gone
            + db.execute(
                "DELETE FROM models WHERE status = 'pruned' AND coalesce(run_id, '') NOT IN (SELECT id FROM runs)"
                f" AND id NOT IN ({_REFERRED})"
                " AND version < (SELECT max(version) FROM models n WHERE n.name = models.name)"
            ).rowcount
        )
