"""`ragd models`: what came out of training, what serves, and how to change that."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from ragd.cli.names import model_names
from ragd.cli.options import AsJson, ConfigFile, StateFolder
from ragd.cli.session import configuration, daemon, screen, show_json
from ragd.cli.terminal import Terminal, clip, one_line, safe, size, table
from ragd.cli.when import ago
from ragd.domain.learning import Role

HEADERS = ("MODEL", "ROLE", "STATUS", "MADE", "SIZE", "CHAMPION", "CHALLENGER", "GAIN", "P")
_COLOURS = {"champion": Terminal.green, "refused": Terminal.dim, "pruned": Terminal.dim}
Facts = Mapping[str, Any]


def build() -> typer.Typer:
    """The commands below `ragd models`."""
    app = typer.Typer(
        help="See and change what serves: models, promotions, rollbacks.", no_args_is_help=True, rich_markup_mode=None
    )
    app.command("list")(list_models)
    for command in (show, compare, promote, rollback, prune):
        app.command()(command)
    return app


ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="`NAME/VERSION`, `NAME` for its newest, or an id.",
        autocompletion=model_names,
        show_default=False,
    ),
]


def list_models(
    ctx: typer.Context, config: ConfigFile = None, state: StateFolder = None, as_json: AsJson = False
) -> None:
    """List models, newest first, and what serves in each role."""
    with daemon(configuration(ctx, config, state)) as client:
        answer = client.learn("GET", "models")
    if as_json:
        show_json(answer)
        return
    terminal, now = screen(), time.time()
    if not answer["models"]:
        typer.echo("no models yet: what is configured serves", err=True)
        return
    for line in table(HEADERS, [_row(model, now) for model in answer["models"]], terminal, right="llllrrrrr"):
        typer.echo(line)
    for champion in answer["champions"]:
        typer.echo(_serves(champion, now))


def show(
    ctx: typer.Context, model: ModelName, config: ConfigFile = None, state: StateFolder = None, as_json: AsJson = False
) -> None:
    """Show one model: where it comes from, what it cost, and the gate's report."""
    with daemon(configuration(ctx, config, state)) as client:
        answer = client.learn("GET", f"models/{model}")
    if as_json:
        show_json(answer)
        return
    terminal = screen()
    for name, text in _facts(answer, time.time()):
        paint = _COLOURS.get(text, Terminal.bold) if name == "status" else None
        typer.echo(f"{terminal.dim(name.ljust(10))} {paint(terminal, text) if paint is not None else text}")
    if answer["report"]:
        typer.echo("\n" + "\n".join(safe(line) for line in str(answer["report"]).splitlines()))


def compare(
    ctx: typer.Context,
    a: ModelName,
    b: ModelName,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show two models of one role side by side."""
    with daemon(configuration(ctx, config, state)) as client:
        answer = client.learn("GET", "models/compare", a=a, b=b)
    if as_json:
        show_json(answer)
        return
    left, right = dict(_facts(answer["a"], time.time())), dict(_facts(answer["b"], time.time()))
    terminal, names = screen(), list(left | right)
    room = max(16, (terminal.width - max(map(len, names)) - 4) // 2)  # a long sentence must not push the other out
    rows = [(name, clip(left.get(name, "-"), room), clip(right.get(name, "-"), room)) for name in names]
    for line in table(("", _name(answer["a"]), _name(answer["b"])), rows, terminal):
        typer.echo(line)


def promote(
    ctx: typer.Context,
    model: ModelName,
    force: Annotated[bool, typer.Option("--force", help="Promote it though the gate refused it.")] = False,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Put a model live.

    An encoder serves through a map from new queries to the old vectors at once, and by its own vectors when they are
    all there. Ends with exit code 16 when the gate did not pass it.
    """
    with daemon(configuration(ctx, config, state)) as client:
        answer = client.learn("POST", "models/promote", model=model, force=force, timeout_s=600.0)
    _tell(answer, as_json)


def rollback(
    ctx: typer.Context,
    role: Annotated[Role, typer.Argument(help="The role whose last promotion is undone.")],
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Put back what served before the last promotion in a role."""
    with daemon(configuration(ctx, config, state)) as client:
        answer = client.learn("POST", "models/rollback", role=str(role))
    _tell(answer, as_json)


def prune(
    ctx: typer.Context,
    keep: Annotated[
        int, typer.Option("--keep", metavar="N", min=0, max=1000, help="Models kept for each trainer.")
    ] = 3,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Remove the files of models that neither serve nor are kept for a rollback."""
    with daemon(configuration(ctx, config, state)) as client:
        answer = client.learn("POST", "models/prune", keep=keep, timeout_s=600.0)
    if as_json:
        show_json(answer)
        return
    names = ", ".join(answer["pruned"])
    typer.echo(f"removed {names}: {size(answer['freed_bytes'])}" if names else "nothing to remove")


def _tell(answer: Facts, as_json: bool) -> None:
    if as_json:
        show_json(answer)
        return
    filling = f"; {_filling(answer)}, what is there is searched until then" if answer["stage"] == "filling" else ""
    typer.echo(f"{answer['model']} serves as {answer['role']}{filling}")


def _filling(answer: Facts) -> str:
    return "the index is being fitted to it" if answer["role"] == Role.INDEX else "its vectors are being made"


def _name(model: Facts) -> str:
    return f"{model['name']}/{model['version']}"


def _row(model: Facts, now: float) -> tuple[str, ...]:
    gate = model["scores"].get("gate", {})
    figures = [f"{gate[name]:.4f}" if name in gate else "-" for name in ("champion", "challenger")]
    return (
        _name(model),
        model["role"],
        model["status"],
        ago(model["created_at"], now),
        size(model["size_bytes"]),
        *figures,
        f"{gate['gain']:+.4f}" if "gain" in gate else "-",
        f"{gate['p_value']:.2g}" if "p_value" in gate else "-",
    )


def _serves(champion: Facts, now: float) -> str:
    name = _name(champion) if champion["model"] is not None else "what is configured"
    filling = f" ({_filling(champion)})" if champion["stage"] == "filling" else ""
    back = "; `ragd models rollback " + champion["role"] + "` undoes it" if champion["can_roll_back"] else ""
    return f"{champion['role']}: {name} serves since {ago(champion['since'], now)}{filling}{back}"


def _facts(model: Facts, now: float) -> Iterator[tuple[str, str]]:
    """Name and text of what is known of a model, for people."""
    yield "model", f"{_name(model)} (id {model['id']})"
    yield "role", model["role"]
    yield "status", model["status"]
    yield "made", f"{ago(model['created_at'], now)}, by run {model['run_id'] or '-'}"
    yield "size", size(model["size_bytes"])
    gate = model["scores"].get("gate", {})
    if gate:
        yield "gate", one_line(str(gate["sentence"]))
    lineage = [_name(parent) for parent in model.get("lineage", ())]
    yield "from", " < ".join([*lineage, "what is configured"])
    run = model.get("run")
    if run:
        yield "data", f"{run['examples']:,} examples, {run['data_sha256'][:12]}"
        yield (
            "cost",
            f"{run['cpu_s']:.1f} s of CPU, {run['gpu_s']:.1f} s of GPU, at most {run['peak_memory_mb']:.0f} MiB",
        )
    for name, value in model["facts"].items():
        yield one_line(str(name)), one_line(f"{value:,}" if isinstance(value, int) else str(value))
