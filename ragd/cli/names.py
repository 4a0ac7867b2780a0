"""The names that tab completion offers: those the daemon knows, and none where no daemon answers."""

from __future__ import annotations

from typing import Any

import typer

from ragd.cli.session import configuration, daemon

_WAIT_S = 1.0


def trainer_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The trainers that begin like this."""
    offered = [trainer for plugin in _known(ctx, "plugins") for trainer in plugin.get("trainers", ())]
    names = [trainer["name"] if isinstance(trainer, dict) else str(trainer) for trainer in offered]
    return sorted(_beginning(names, incomplete))


def run_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """The ids of runs that begin like this."""
    return _beginning([str(run["id"]) for run in _known(ctx, "runs")], incomplete)


def model_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The models, `NAME/VERSION`, that begin like this."""
    return _beginning([f"{model['name']}/{model['version']}" for model in _known(ctx, "models")], incomplete)


def _known(ctx: typer.Context, what: str) -> list[dict[str, Any]]:
    from ragd.domain.errors import RagdError

    try:
        with daemon(configuration(ctx, ctx.params.get("config"), ctx.params.get("state"))) as client:
            rows: list[dict[str, Any]] = client.learn("GET", what, timeout_s=_WAIT_S)[what]
    except (RagdError, KeyError):
        return []
    return rows


def _beginning(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
