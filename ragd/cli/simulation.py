"""Behind `ragd triggers simulate`: the policy file, the kept history, and the replay as plain values."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ragd.catalog.connections import Connections
from ragd.catalog.decisions import observed_from
from ragd.catalog.learning import Learning
from ragd.config.learning import Budget, TrainerSettings
from ragd.config.load import load
from ragd.config.origin import Layer
from ragd.config.schema import Config
from ragd.domain.deciding import Cost, Reason
from ragd.domain.errors import ConfigInvalid, NotFound
from ragd.domain.plugins import PluginFacts, TrainerFacts
from ragd.hooks.roster import Roster
from ragd.learn.budget import PastCost, price
from ragd.learn.simulate import History, Kept, RealRun, Replay, Terms, simulate, total

_MOST_KEPT = 100_000
_WORDS = "[trainers.NAME]"


def replayed(config: Config, file: Path, *, since: float) -> tuple[tuple[Replay, ...], Budget]:
    """The replays of the policy in `file` over what the state folder keeps since a moment, and the budget they obey.

    Raises ConfigInvalid for a bad policy, NotFound where no decision is kept.
    """
    policy, budget = policy_of(file, config.budget)
    facts = _facts(config, file, policy)
    history = _kept(config.state, facts, since)
    if not history.kept:
        raise NotFound(
            f"{config.state} keeps no decisions to replay",
            hint="a daemon that runs keeps one at each change of an answer, and one an hour",
        )
    terms = Terms(budget, device=config.learn.device, threads=config.learn.threads)
    return simulate(history, facts, policy, terms), budget


def policy_of(file: Path, configured: Budget) -> tuple[Mapping[str, TrainerSettings], Budget]:
    """The tables of trainers in a policy file, and its budget, or the configured one where it sets none.

    Raises ConfigInvalid with file and line for whatever is wrong with it.
    """
    env = {"HOME": os.environ["HOME"]} if os.environ.get("HOME") else {}
    loaded = load(Path(os.path.abspath(file)), env, {})
    if not loaded.config.trainers:
        raise ConfigInvalid(
            f"{file}: no trainer has a table",
            hint="write a table for each trainer to replay, for example [trainers.query_adapter]",
        )
    sets_budget = any(
        name.startswith("budget.") and origin.layer is Layer.FILE for name, origin in loaded.origins.items()
    )
    return loaded.config.trainers, loaded.config.budget if sets_budget else configured


def history_of(rows: Learning, facts: Mapping[str, TrainerFacts], since: float) -> History:
    """What is kept since a moment, for every trainer that was ever decided about."""
    kept: dict[str, list[Kept]] = {}
    for row in reversed(rows.decisions.history(limit=_MOST_KEPT, since=since)):
        kept.setdefault(row["trainer"], []).append(Kept(observed_from(row["observed"]), _policy(row["reasons"])))
    runs = [
        RealRun(run["trainer"], run["requested_at"], Cost(run["cpu_s"], run["gpu_s"]), run["verdict"])
        for run in rows.runs.newest(limit=_MOST_KEPT)
    ]
    costs = {name: [PastCost(*past) for past in rows.spend.past_costs(name)] for name in facts}
    return History(kept, runs, costs)


def told(replays: Sequence[Replay], budget: Budget) -> dict[str, Any]:
    """The replays as plain values, with totals against what really happened."""
    cost, real = total(replay.cost for replay in replays), total(replay.real_cost for replay in replays)
    return {
        "currency": budget.currency,
        "has_prices": bool(budget.cpu_rate or budget.gpu_rate),
        "trainers": [_replay(replay, budget) for replay in replays],
        "total": {
            "runs": sum(len(replay.firings) for replay in replays),
            "cost": _cost(cost, budget),
            "real_runs": sum(len(replay.real) for replay in replays),
            "real_cost": _cost(real, budget),
        },
    }


def _kept(state: Path, facts: Mapping[str, TrainerFacts], since: float) -> History:
    """The history of a state folder; an empty one where there is no catalog."""
    connections = Connections(state)
    try:
        return history_of(Learning.of(lambda: connections.mine), facts, since)
    except FileNotFoundError:
        return History({})
    finally:
        connections.close()


def _facts(config: Config, file: Path, policy: Mapping[str, TrainerSettings]) -> dict[str, TrainerFacts]:
    """What the plugins say of the policy's trainers; none may be unknown."""
    roster = Roster(config.plugins_folder, config.state, disabled=config.plugins.disabled)
    try:
        offered = _offered(roster.refresh())
    finally:
        roster.close()
    unknown = sorted(policy.keys() - offered.keys())
    if unknown:
        raise ConfigInvalid(
            "\n".join(f"{file}: no plugin in use offers a trainer {name} ({_WORDS})" for name in unknown),
            hint=f"there are {', '.join(sorted(offered))}" if offered else "see `ragd plugins list`",
        )
    return {name: offered[name] for name in policy}


def _offered(plugins: Sequence[PluginFacts]) -> dict[str, TrainerFacts]:
    return {trainer.name: trainer for one in plugins if not one.problem for trainer in one.trainers}


def _policy(reasons: Sequence[Mapping[str, Any]]) -> Reason | None:
    """What a plugin's rule said when the decision was kept."""
    return next((Reason(**reason) for reason in reasons if reason["condition"] == "policy"), None)


def _replay(replay: Replay, budget: Budget) -> dict[str, Any]:
    return {
        "trainer": replay.trainer,
        "kept_by": replay.kept_by,
        "looked": replay.looked,
        "since": replay.since,
        "until": replay.until,
        "held": replay.held,
        "cost": _cost(replay.cost, budget),
        "firings": [
            {
                "at": firing.at,
                "examples": firing.examples,
                "cost": _cost(firing.cost, budget),
                "reasons": [asdict(reason) for reason in firing.reasons],
            }
            for firing in replay.firings
        ],
        "real_runs": len(replay.real),
        "real_cost": _cost(replay.real_cost, budget),
    }


def _cost(cost: Cost, budget: Budget) -> dict[str, float]:
    return {"cpu_s": cost.cpu_s, "gpu_s": cost.gpu_s, "money": price(cost, budget)}
