"""Tokens: shown once, kept as hashes, checked in constant time, and gone the moment they are revoked or expire."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import stat
import threading
from pathlib import Path

import pytest

from ragd.domain.errors import BadRequest, NotFound, PathInvalid, StateCorrupt
from ragd.web import tokens
from ragd.web.tokens import Role, Token, TokenBook, TokenFile


class Clock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_secret_is_recognisable_long_and_kept_only_as_a_hash_in_a_file_of_its_owner(tmp_path: Path) -> None:
    file = TokenFile(tmp_path)
    secret, token = file.add("laptop", Role.READ, now=1000.0)
    assert secret.startswith("ragd_")
    assert len(secret) == len("ragd_") + 43  # 256 bits
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert secret not in file.path.read_text()
    assert hashlib.sha256(secret.encode()).hexdigest() in file.path.read_text()
    assert file.read() == (token,)
    assert file.add("desk", Role.READ, now=1000.0)[0] != secret


def test_a_token_opens_from_the_moment_it_is_made_until_it_is_revoked_or_expires(tmp_path: Path) -> None:
    clock, file = Clock(), TokenFile(tmp_path)
    book = TokenBook(tmp_path, clock)
    stays, _ = file.add("stays", Role.WRITE, now=1000.0)
    ends, _ = file.add("ends", Role.READ, now=1000.0, lasts_s=60.0)
    # One book, as in a daemon that goes on: no restart between.
    assert [token.name for token in (book.check(stays), book.check(ends)) if token] == ["stays", "ends"]
    clock.now = 1059.9
    assert book.check(ends) is not None
    clock.now = 1060.0
    assert book.check(ends) is None
    assert book.check(stays) is not None
    file.revoke("stays")
    assert book.check(stays) is None


@pytest.mark.parametrize(
    "secret",
    ["", "ragd_", "x" * 48, "ragd_" + "a" * 42, "ragd_" + "a" * 44, "ragd_" + "ä" * 43, "ragd_" + "a" * 43 + "\n"],
)
def test_what_is_not_a_token_opens_nothing(tmp_path: Path, secret: str) -> None:
    TokenFile(tmp_path).add("laptop", Role.ADMIN, now=1000.0)
    assert TokenBook(tmp_path, Clock()).check(secret) is None


def test_every_token_is_compared_in_constant_time_whichever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = TokenFile(tmp_path)
    secrets = [file.add(name, Role.READ, now=1000.0)[0] for name in ("a", "b", "c")]
    compared: list[str] = []
    real = hmac.compare_digest

    def compare(kept: str, given: str) -> bool:
        compared.append(given)
        return real(kept, given)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    book = TokenBook(tmp_path, Clock())
    for secret in (*secrets, "ragd_" + "z" * 43):
        compared.clear()
        book.check(secret)
        assert compared == [hashlib.sha256(secret.encode()).hexdigest()] * 3


@pytest.mark.parametrize("name", ["", "A", "two words", "-x", "x" * 65, "../x", "é"])
def test_a_name_that_cannot_be_one_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadRequest, match="cannot be the name") as caught:
        TokenFile(tmp_path).add(name, Role.READ, now=0.0)
    assert caught.value.hint
    assert not (tmp_path / tokens.TOKENS_NAME).exists()


def test_a_name_is_given_once_and_an_unknown_one_cannot_be_revoked(tmp_path: Path) -> None:
    file = TokenFile(tmp_path)
    _, token = file.add("laptop", Role.READ, now=0.0)
    with pytest.raises(BadRequest, match="already"):
        file.add("laptop", Role.ADMIN, now=0.0)
    with pytest.raises(NotFound):
        file.revoke("desk")
    assert file.read() == (token,)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"format": 2, "tokens": []}',
        b'{"format": 1, "tokens": [{}]}',
        b'{"format": 1, "tokens": [{"name": "a", "role": "root", "sha256": "' + b"0" * 64 + b'", "created_at": 1}]}',
        b'{"format": 1, "tokens": [{"name": "a", "role": "read", "sha256": "", "created_at": 1, "expires_at": null}]}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_lets_nobody_in_and_is_neither_overwritten_nor_guessed_at(
    tmp_path: Path, content: bytes
) -> None:
    file = TokenFile(tmp_path)
    secret, _ = file.add("laptop", Role.READ, now=1000.0)
    book = TokenBook(tmp_path, Clock())
    assert book.check(secret)
    file.path.write_bytes(content)
    assert book.check(secret) is None
    with pytest.raises(StateCorrupt, match=r"tokens\.json") as caught:
        file.add("desk", Role.READ, now=0.0)
    assert "ragd token add" in caught.value.hint
    assert file.path.read_bytes() == content


def test_a_file_that_others_may_write_or_that_is_a_link_is_not_believed(tmp_path: Path) -> None:
    file = TokenFile(tmp_path)
    secret, _ = file.add("laptop", Role.READ, now=1000.0)
    book = TokenBook(tmp_path, Clock())
    file.path.chmod(0o620)
    assert book.check(secret) is None
    file.path.chmod(0o600)
    assert book.check(secret) is not None
    file.path.rename(tmp_path / "elsewhere")
    file.path.symlink_to(tmp_path / "elsewhere")
    assert book.check(secret) is None
    file.path.unlink()
    os.mkfifo(file.path)  # opening it must not wait for a writer
    assert book.check(secret) is None


def test_a_state_folder_of_another_user_is_named_with_that_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(PathInvalid, match="belongs to another user") as caught:
        TokenFile(tmp_path).add("laptop", Role.READ, now=0.0)
    assert f"sudo -u '#{os.getuid()}'" in caught.value.hint


def test_two_that_add_at_once_both_end_in_the_file(tmp_path: Path) -> None:
    def add(letter: str) -> None:
        for number in range(5):
            TokenFile(tmp_path).add(f"{letter}{number}", Role.READ, now=0.0)

    threads = [threading.Thread(target=add, args=(letter,)) for letter in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {token.name for token in TokenFile(tmp_path).read()} == {f"{a}{n}" for a in "abc" for n in range(5)}


def test_each_role_may_what_the_ones_before_it_may() -> None:
    reaches = {role: [needed for needed in Role if role.allows(needed)] for role in Role}
    assert reaches == {Role.READ: [Role.READ], Role.WRITE: [Role.READ, Role.WRITE], Role.ADMIN: list(Role)}


def test_what_is_kept_is_what_was_made(tmp_path: Path) -> None:
    _, token = TokenFile(tmp_path).add("laptop", Role.WRITE, now=5.0, lasts_s=10.0)
    assert TokenFile(tmp_path).read() == (token,) == (Token("laptop", Role.WRITE, token.sha256, 5.0, 15.0),)
    row = json.loads((tmp_path / tokens.TOKENS_NAME).read_text())["tokens"][0]
    assert set(row) == {"name", "role", "sha256", "created_at", "expires_at"}
