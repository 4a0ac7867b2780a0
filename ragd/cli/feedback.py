"""`ragd feedback`: whether a hit answered a query."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ragd.cli.options import AsJson, ConfigFile, StateFolder
from ragd.cli.session import configuration, daemon, show_json
from ragd.domain.errors import BadRequest


class Judgement(StrEnum):
    """What a person says of a hit."""

    GOOD = "good"
    BAD = "bad"


def feedback(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(metavar="QUERY_ID", help="The query, as `ragd search` tells it.")],
    chunk: Annotated[str, typer.Argument(metavar="CHUNK_ID", help="The chunk, as it stands beside a hit.")],
    judgement: Annotated[Judgement, typer.Argument(metavar="JUDGEMENT", help="`good` or `bad`.")],
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Tell whether a hit answered a query; models are trained and judged by it.

    It needs `learn.journal`: then `ragd search` prints the query's id, and the chunk's beside each hit. Saying it
    again replaces what was said before.
    """
    body = {"query": _id(query, "QUERY_ID"), "chunk": _id(chunk, "CHUNK_ID"), "good": judgement is Judgement.GOOD}
    with daemon(configuration(ctx, config, state)) as client:
        answer = client.learn("POST", "feedback", **body)
    if as_json:
        show_json(answer)
        return
    typer.echo("noted")


def _id(text: str, name: str) -> int:
    digits = text.removeprefix("#")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        raise BadRequest(f"{name} {text} is not an id", hint="give the numbers that `ragd search` prints")
    return int(digits)
