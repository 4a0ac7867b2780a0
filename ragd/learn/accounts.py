"""Accounts: what was spent on what, what is left of the budget, and what was saved; each figure says how it came about.

Pure. A "day" is the last 24 hours, a "month" the last 30 days, as in the budget; `days` are calendar days in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from ragd.config.learning import Budget
from ragd.domain.deciding import Cost
from ragd.learn.budget import DAY_S, FILLING, MONTH_S, TRAINING, Charge, price, usage
from ragd.learn.savings import Embedded, Promoted, Reference, Saved, saved

_SPANS: Final = (("day", DAY_S), ("month", MONTH_S))
_KINDS: Final = ("prepare", "train", "evaluate", "backfill", "observe")


@dataclass(frozen=True, slots=True)
class Charged:
    """One charge with whose it was: `trainer` and `run_id` are "" for work of no run, or of a run that is forgotten."""

    at: float
    what: str
    cost: Cost
    trainer: str = ""
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Everything that accounts are made of: charges, the runs' own figures, the encoder's work, promotions.

    `of_runs` is what the runs say that they cost, all of them together; `references` name the full fine-tuning of
    each role.
    """

    charged: Sequence[Charged]
    of_runs: Cost
    embedded: Embedded
    promoted: Sequence[Promoted] = ()
    references: Mapping[str, Reference] = field(default_factory=dict)


def accounts(ledger: Ledger, settings: Budget, now: float) -> dict[str, Any]:
    """The whole account as plain values, in the shape of `GET /v1/spend`."""
    return {
        "at": now,
        "currency": settings.currency,
        "has_prices": bool(settings.cpu_rate or settings.gpu_rate),
        "lines": _lines(ledger.charged, settings, now),
        "totals": {"all": _spans(ledger.charged, settings, now), "runs": _of_runs(ledger, settings)},
        "days": _days(ledger.charged, now),
        "budget": _budget(ledger.charged, settings, now),
        "embedded": {
            "chars": ledger.embedded.encoded_chars,
            "seconds": ledger.embedded.encode_s,
            "live_chunks": ledger.embedded.live_chunks,
        },
        "saved": [_saved(item, settings) for item in saved(ledger.embedded, ledger.promoted, ledger.references)],
    }


def _lines(charged: Sequence[Charged], settings: Budget, now: float) -> list[dict[str, Any]]:
    """One line for each kind of work and trainer, dearest first within its kind."""
    groups: dict[tuple[str, str], list[Charged]] = {}
    for charge in charged:
        groups.setdefault((charge.what, charge.trainer), []).append(charge)
    lines = [
        {
            "what": what,
            "trainer": trainer,
            "runs": len({charge.run_id for charge in group if charge.run_id}),
            **_spans(group, settings, now),
        }
        for (what, trainer), group in groups.items()
    ]
    return sorted(lines, key=lambda line: (_place(line["what"]), -line["ever"]["cpu_s"] - line["ever"]["gpu_s"]))


def _place(what: str) -> int:
    return _KINDS.index(what) if what in _KINDS else len(_KINDS)


def _spans(charged: Iterable[Charged], settings: Budget, now: float) -> dict[str, dict[str, float]]:
    group = list(charged)
    found = {
        name: _figures(_sum(charge for charge in group if charge.at > now - span_s), settings)
        for name, span_s in _SPANS
    }
    return {**found, "ever": _figures(_sum(group), settings)}


def _of_runs(ledger: Ledger, settings: Budget) -> dict[str, Any]:
    """What belongs to runs twice: by the charges, and by the runs' own figures; they must agree."""
    charged = _sum(charge for charge in ledger.charged if charge.run_id and charge.trainer)
    forgotten = _sum(charge for charge in ledger.charged if charge.run_id and not charge.trainer)
    return {
        "charged": _figures(charged, settings),
        "runs": _figures(ledger.of_runs, settings),
        "forgotten_runs": _figures(forgotten, settings),
    }


def _sum(charged: Iterable[Charged]) -> Cost:
    cpu_s, gpu_s = 0.0, 0.0
    for charge in charged:
        cpu_s += charge.cost.cpu_s
        gpu_s += charge.cost.gpu_s
    return Cost(cpu_s, gpu_s)


def _figures(cost: Cost, settings: Budget) -> dict[str, float]:
    return {"cpu_s": cost.cpu_s, "gpu_s": cost.gpu_s, "money": price(cost, settings)}


def _days(charged: Sequence[Charged], now: float) -> list[dict[str, Any]]:
    """Seconds by kind of work on each day of the last 30 that had any, newest first."""
    days: dict[str, dict[str, Any]] = {}
    for charge in charged:
        if charge.at > now - MONTH_S:
            name = datetime.fromtimestamp(charge.at, UTC).date().isoformat()
            day = days.setdefault(name, {"day": name, **dict.fromkeys(_KINDS, 0.0)})
            day[charge.what] = day.get(charge.what, 0.0) + charge.cost.cpu_s + charge.cost.gpu_s
    return [days[name] for name in sorted(days, reverse=True)]


def _budget(charged: Sequence[Charged], settings: Budget, now: float) -> list[dict[str, Any]]:
    """Every limit that is set, what is left of it, and when and how much of it is free next."""
    spent = [Charge(charge.at, charge.what, charge.cost) for charge in charged]
    found = []
    for use in usage(spent, settings, now):
        kinds = FILLING if ".backfill_" in use.key else TRAINING if ".train_" in use.key else TRAINING | FILLING
        counted = [charge for charge in spent if charge.what in kinds and charge.at > now - use.window_s]
        oldest = min((charge.at for charge in counted), default=None)
        found.append(
            {
                "key": use.key,
                "window_s": use.window_s,
                "unit": use.unit,
                "limit": use.limit,
                "used": use.used,
                "left": max(0.0, use.limit - use.used),
                "frees_at": None if oldest is None or use.used <= 0 else oldest + use.window_s,
            }
        )
    return found


def _saved(item: Saved, settings: Budget) -> dict[str, Any]:
    return {
        "what": item.what,
        "cpu_s": item.seconds,
        "money": None if item.seconds is None else price(Cost(item.seconds), settings),
        "count": item.count,
        "how": item.how,
    }
