"""`ragd token`: a secret is printed once, on stdout alone, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import Result

from ragd.web.tokens import Role, TokenFile
from tests.unit.cli.conftest import Run


@pytest.fixture
def token(ragd: Run, tmp_path: Path) -> Run:
    """`ragd token ...` on a state folder of the test's own."""

    def run(*arguments: str) -> Result:
        return ragd("token", *arguments, "--state", str(tmp_path / "state"))

    return run


def test_a_token_is_made_listed_and_revoked_and_its_secret_is_shown_once(token: Run, tmp_path: Path) -> None:
    made = token("add", "laptop", "--role", "read", "--expires", "90d")
    secret = made.stdout.strip()
    assert secret.startswith("ragd_")
    assert secret not in made.stderr
    assert "read" in made.stderr
    (kept,) = TokenFile(tmp_path / "state").read()
    assert (kept.name, kept.role, (kept.expires_at or 0) - kept.created_at) == ("laptop", Role.READ, 90 * 86400)
    listed = token("list")
    assert "laptop" in listed.stdout
    assert secret not in listed.stdout + listed.stderr + token("list", "--json").stdout
    assert token("revoke", "laptop").exit_code == 0
    assert json.loads(token("list", "--json").stdout) == {"tokens": []}


def test_programs_get_the_secret_as_json(token: Run) -> None:
    made = json.loads(token("add", "laptop", "--role", "admin", "--json").stdout)
    assert made["token"].startswith("ragd_")
    assert (made["name"], made["role"], made["expires_at"], made["valid"]) == ("laptop", "admin", None, True)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (("add", "laptop"), 2, "--role"),
        (("add", "laptop", "--role", "root"), 2, "root"),
        (("add", "Two Words", "--role", "read"), 2, "cannot be the name"),
        (("add", "laptop", "--role", "read", "--expires", "soon"), 2, "--expires: 'soon' is not a span of time"),
        (("add", "laptop", "--role", "read", "--expires", "0d"), 2, "--expires"),
        (("add", "laptop", "--role", "read", "--expires", "9" * 400 + "d"), 2, "--expires"),
        (("revoke", "desk"), 3, "no token called desk"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_kept(
    token: Run, tmp_path: Path, arguments: tuple[str, ...], exit_code: int, said: str
) -> None:
    ran = token(*arguments)
    assert (ran.exit_code, said in ran.stderr) == (exit_code, True)
    assert TokenFile(tmp_path / "state").read() == ()


def test_a_daemon_that_others_could_reach_does_not_start_before_there_is_a_token(ragd: Run, tmp_path: Path) -> None:
    refused = ragd("run", str(tmp_path), "--tcp", "0.0.0.0:0")
    assert refused.exit_code == 2
    assert "http.tcp: 0.0.0.0:0 can be reached from other machines, and there is no valid token" in refused.stderr
    assert f"ragd --state {tmp_path / 'state'} token add" in refused.stderr
    assert list((tmp_path / "state").iterdir()) == []
