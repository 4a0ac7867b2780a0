"""`ragd token`: who may ask over TCP, and what each may do; needs no daemon, and counts for a running one at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from ragd.cli.options import AsJson, ConfigFile, StateFolder
from ragd.cli.session import configuration, screen, show_json
from ragd.cli.terminal import one_line, table
from ragd.cli.when import span
from ragd.web.tokens import Role, Token, TokenFile

if TYPE_CHECKING:
    from ragd.config.schema import Config

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the token is called, such as `laptop`.")]


def build() -> typer.Typer:
    """The commands below `ragd token`."""
    app = typer.Typer(
        help="Make, list or take back the tokens that open the HTTP interface.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    app.command()(add)
    app.command("list")(list_tokens)
    app.command()(revoke)
    return app


def add(
    ctx: typer.Context,
    name: Name,
    role: Annotated[Role, typer.Option("--role", help="What it may do: read, write or admin.")],
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="TIME", help="How long it is valid: 12h, 90d; for good if not.")
    ] = None,
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and print its secret, once: only its hash is kept.

    read may search and look; write may also retry, rescan, verify, train and give feedback; admin may do everything.
    """
    lasts_s = None if expires is None else span(expires, "--expires")
    secret, token = _file(configuration(ctx, config, state).config).add(name, role, now=time.time(), lasts_s=lasts_s)
    if as_json:
        show_json({**_shown(token), "token": secret})
        return
    typer.echo(secret)
    typer.echo(f"this is the only time it is shown: {token.name} may {token.role}, {_ends(token)}", err=True)
    typer.echo("keep it where only its user reads it, and send it as: Authorization: Bearer TOKEN", err=True)


def list_tokens(
    ctx: typer.Context, config: ConfigFile = None, state: StateFolder = None, as_json: AsJson = False
) -> None:
    """List the tokens: what each may do, and until when. Secrets are not kept, so none is shown."""
    tokens = _file(configuration(ctx, config, state).config).read()
    if as_json:
        show_json({"tokens": [_shown(token) for token in tokens]})
        return
    rows = [(token.name, token.role.value, _day(token.created_at), _ends(token)) for token in tokens]
    for line in table(("name", "role", "made", "valid"), [tuple(map(one_line, row)) for row in rows], screen()):
        typer.echo(line)


def revoke(ctx: typer.Context, name: Name, config: ConfigFile = None, state: StateFolder = None) -> None:
    """Take a token back: from now on it opens nothing."""
    _file(configuration(ctx, config, state).config).revoke(name)
    typer.echo(f"revoked {name}", err=True)


def _file(config: Config) -> TokenFile:
    return TokenFile(config.state)


def _shown(token: Token) -> dict[str, object]:
    return {
        "name": token.name,
        "role": token.role.value,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "valid": token.is_valid(time.time()),
    }


def _ends(token: Token) -> str:
    if token.expires_at is None:
        return "until it is revoked"
    return f"{'until' if token.is_valid(time.time()) else 'expired on'} {_day(token.expires_at)}"


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(at))
