"""`ragd search`: hits for a question, the best first."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from ragd.cli import snippet
from ragd.cli.options import AsJson, Collections, ConfigFile, Limit, StateFolder
from ragd.cli.session import configuration, daemon_or_snapshot, screen, show_json
from ragd.cli.terminal import Terminal, clip, columns, one_line, safe
from ragd.cli.when import moment
from ragd.domain.errors import BadRequest


class Mode(StrEnum):
    """How to search; the values of `domain.search.Mode`, named here so that help needs no imports."""

    HYBRID = "hybrid"
    DENSE = "dense"
    WORDS = "words"


Folders = Annotated[
    list[str] | None,
    typer.Option("--folder", "-f", metavar="PATH", help="Only below this folder of a watched one; may be repeated."),
]
Globs = Annotated[
    list[str] | None,
    typer.Option("--glob", "-g", metavar="GLOB", help="Only paths like this, as in .gitignore; may be repeated."),
]
Types = Annotated[
    list[str] | None, typer.Option("--type", "-t", metavar="SUFFIX", help="Only files of this type; may be repeated.")
]
Since = Annotated[
    str,
    typer.Option("--since", metavar="WHEN", help="Only files modified since: 2026-11-03, 3h, 2d.", show_default=False),
]
Until = Annotated[
    str, typer.Option("--until", metavar="WHEN", help="Only files modified before this moment.", show_default=False)
]
After = Annotated[
    str,
    typer.Option(
        "--after", metavar="RECEIPT", help="Wait until this change, or `latest`, is searchable.", show_default=False
    ),
]


def search(
    ctx: typer.Context,
    query: Annotated[list[str], typer.Argument(metavar="QUERY", help="What to look for.")],
    mode: Annotated[Mode, typer.Option("--mode", "-m", help="By words, by meaning (dense), or both.")] = Mode.HYBRID,
    limit: Limit = None,
    collection: Collections = None,
    folder: Folders = None,
    glob: Globs = None,
    type_: Types = None,
    since: Since = "",
    until: Until = "",
    after: After = "",
    timeout_s: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0.1, max=600, help="Seconds that --after waits.")
    ] = 30.0,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Search by words and by meaning.

    Prints rank, path, heading, page and score of each hit with the place that matched. Several words need no quotes.
    """
    now = time.time()
    asked = " ".join(query)
    if not asked.strip():
        raise BadRequest("the query is empty", hint="say what to search for")
    with daemon_or_snapshot(configuration(ctx, config, state)) as answering:
        answer = answering.search(
            q=asked,
            mode=str(mode),
            limit=limit,
            collection=collection or [],
            folder=folder or [],
            glob=glob or [],
            type=type_ or [],
            modified_after=_seconds(since, now, "--since"),
            modified_before=_seconds(until, now, "--until"),
            after=after,
            timeout_s=timeout_s if after else None,
        )
    if as_json:
        show_json(answer)
        return
    _print(answer, asked, screen())


def _seconds(text: str, now: float, flag: str) -> str:
    return f"{moment(text, now, flag):.3f}" if text else ""


def _print(answer: Mapping[str, Any], asked: str, terminal: Terminal) -> None:
    for note in answer.get("notes", []):
        if not note.startswith("no daemon is running"):  # said already, for every command alike
            typer.echo(f"note: {safe(note)}", err=True)
    for rank, hit in enumerate(answer["hits"], start=1):
        # The id of a chunk is of use to who can judge it.
        chunk = f"#{hit['chunk_id']}  " if answer.get("query_id") is not None else ""
        for line in _hit(rank, hit, asked, terminal, chunk):
            typer.echo(line)
    if not answer["hits"]:
        typer.echo("nothing found", err=True)
    behind = _behind(answer.get("freshness", {}))
    if behind:
        typer.echo(terminal.dim(behind), err=True)
    if answer.get("query_id") is not None:
        told = (
            f"query {answer['query_id']}: `ragd feedback {answer['query_id']} CHUNK good` tells which hit answered it"
        )
        typer.echo(terminal.dim(told), err=True)


def _hit(rank: int, hit: Mapping[str, Any], asked: str, terminal: Terminal, chunk: str) -> list[str]:
    """One hit: a line that says where, and up to two lines of what."""
    score = f"{chunk}{hit['score']:.3f}"
    page = f" (p. {hit['page']})" if hit["page"] is not None else ""
    path, heading = one_line(hit["path"]), one_line(hit["heading"])
    room = terminal.width - 4 - len(score) - 2
    place = f"{path}: {heading}{page}" if heading else f"{path}{page}"
    shown = clip(place, room)
    blank = " " * (room - columns(shown))
    head = terminal.bold(shown[: len(path)]) + shown[len(path) :]
    excerpt = snippet.excerpt(hit["text"], asked, 2 * (terminal.width - 4))
    lines = snippet.wrapped(excerpt, terminal.width - 4)
    body = ["    " + snippet.emphasised(line, asked, terminal) for line in lines]
    return [f"{rank:>2}  {head}{blank}  {terminal.dim(score)}", *body]


def _behind(freshness: Mapping[str, Any]) -> str:
    told = []
    if freshness.get("pending"):
        told.append(f"{freshness['pending']:,} changed files are not indexed yet")
    if freshness.get("words_only"):
        told.append(f"{freshness['words_only']:,} are found by words only so far")
    return "; ".join(told)
