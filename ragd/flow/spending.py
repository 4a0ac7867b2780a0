"""The account of one state folder: what the catalog knows of spending, put together for `ragd spend`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ragd.catalog.learning import Learning
from ragd.catalog.spend import SpendRows
from ragd.config.learning import Budget
from ragd.domain.learning import Role
from ragd.domain.plugins import TrainerFacts
from ragd.learn.accounts import Charged, Ledger, accounts
from ragd.learn.savings import Embedded, Promoted, Reference

FULL_FINE_TUNING = "encoder_finetune"
_ROLES_OF_FULL = ((Role.QUERY_ADAPTER, Role.ENCODER), (Role.ENCODER, Role.ENCODER), (Role.GENERATOR, Role.GENERATOR))


def spending(learning: Learning, settings: Budget, trainers: Iterable[TrainerFacts], now: float) -> dict[str, Any]:
    """The answer of `GET /v1/spend`; `trainers` are those that plugins offer. From any thread."""
    rows = learning.spend
    ledger = Ledger(
        charged=[
            Charged(row["at"], row["what"], row["cost"], row["trainer"], row["run_id"] or "")
            for row in rows.by_trainer()
        ],
        of_runs=rows.of_runs(),
        embedded=Embedded(**rows.embedding()),
        promoted=[Promoted(*row) for row in rows.promoted()],
        references=references(rows, tuple(trainers)),
    )
    return accounts(ledger, settings, now)


def references(rows: SpendRows, trainers: tuple[TrainerFacts, ...]) -> dict[str, Reference]:
    """The full fine-tuning against which each role's cheaper models count: by name, else the dearest trainer."""
    found: dict[str, Reference] = {}
    for role, trained in _ROLES_OF_FULL:
        offered = [trainer for trainer in trainers if trainer.role is trained]
        named = [trainer for trainer in offered if trainer.name == FULL_FINE_TUNING] or offered
        costed = [_reference(rows, trainer) for trainer in named]
        if costed:
            found[role] = max(costed, key=lambda reference: reference.per_thousand_s)
    return found


def _reference(rows: SpendRows, trainer: TrainerFacts) -> Reference:
    learned = rows.per_thousand(trainer.name)
    if learned is None:
        return Reference(trainer.name, trainer.cost_s, is_learned=False)
    return Reference(trainer.name, learned.cpu_s + learned.gpu_s, is_learned=True)
