"""The tokens that open the HTTP door: made, listed and taken back in a file of hashes, and checked without haste.

A secret is 256 random bits, so its plain SHA-256 tells nothing about it and needs no salt and no slow hash; it is shown
once and kept nowhere. The file is read again when it changed: what a command does counts for a running daemon at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from ragd.config.events import get_log
from ragd.disk.atomic import write_atomic
from ragd.domain.errors import BadRequest, NotFound, PathInvalid, StateCorrupt

TOKENS_NAME = "tokens.json"
PREFIX = "ragd_"
_SECRET_BYTES = 32
_SHAPE = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_FORMAT = 1
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_LOG = get_log("ragd.web")


class Role(StrEnum):
    """What a caller may do; each may also do what the ones before it may."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def allows(self, needed: Role) -> bool:
        """Whether this role is at least the needed one."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class Token:
    """One token as it is kept: never its secret. Times are Unix seconds; `expires_at` is None for one that stays."""

    name: str
    role: Role
    sha256: str
    created_at: float
    expires_at: float | None = None

    def is_valid(self, now: float) -> bool:
        """False once it has expired."""
        return self.expires_at is None or now < self.expires_at


class TokenFile:
    """The tokens of one state folder. Every method reads the file anew; changes are durable and exclude each other."""

    def __init__(self, state: Path) -> None:
        self.path = state / TOKENS_NAME

    def read(self) -> tuple[Token, ...]:
        """Every token by name, expired ones too; none where there is no file.

        Raises StateCorrupt for a file that is not what was written, or that others may write.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise _unusable(self.path, os.strerror(error.errno or 0)) from error
        with os.fdopen(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode) or facts.st_mode & _OTHERS_WRITE:
                raise _unusable(self.path, "others than its owner may write it, or it is no file")
            if facts.st_uid not in (os.geteuid(), 0):
                raise _unusable(self.path, f"it belongs to another user ({facts.st_uid})")
            return _parsed(self.path, file.read())

    def add(self, name: str, role: Role, *, now: float, lasts_s: float | None = None) -> tuple[str, Token]:
        """A new token and its secret, kept nowhere else. Raises BadRequest for a name that is taken or cannot be."""
        if not _NAME.fullmatch(name):
            raise BadRequest(
                f"{name!r} cannot be the name of a token",
                hint="give up to 64 small letters, digits, dots, dashes and underscores, such as `laptop`",
            )
        secret = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        token = Token(name, role, _digest(secret), now, None if lasts_s is None else now + lasts_s)
        with self._changing():
            held = self.read()
            if any(one.name == name for one in held):
                raise BadRequest(
                    f"there is a token called {name} already", hint=f"`ragd token revoke {name}` first, or another name"
                )
            self._write((*held, token))
        return secret, token

    def revoke(self, name: str) -> None:
        """Takes a token back, for good. Raises NotFound."""
        with self._changing():
            held = self.read()
            left = tuple(one for one in held if one.name != name)
            if len(left) == len(held):
                raise NotFound(f"there is no token called {name}", hint="`ragd token list` names them")
            self._write(left)

    def _write(self, tokens: tuple[Token, ...]) -> None:
        rows = sorted((asdict(token) for token in tokens), key=lambda row: str(row["name"]))
        data = json.dumps({"format": _FORMAT, "tokens": rows}, indent=1).encode()
        write_atomic(self.path, data + b"\n", mode=0o600)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Holds off other commands; the daemon only reads. A file of another owner would keep the daemon out."""
        folder = self.path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = folder.stat().st_uid
        if owner != os.geteuid():
            raise PathInvalid(
                f"the state folder {folder} belongs to another user ({owner})",
                hint=f"run the command as that user: `sudo -u '#{owner}' ragd token …`",
            )
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class TokenBook:
    """The tokens of a state folder in memory, read again when their file changed; for one thread."""

    def __init__(self, state: Path, clock: Callable[[], float]) -> None:
        self._file = TokenFile(state)
        self._clock = clock
        self._seen: object = None
        self._tokens: tuple[Token, ...] = ()

    def check(self, secret: str) -> Token | None:
        """The valid token of this secret, or None. Every token is compared, whichever it is, in constant time."""
        if not _SHAPE.fullmatch(secret):
            return None
        digest = _digest(secret)
        found: Token | None = None
        for token in self._current():
            if hmac.compare_digest(token.sha256, digest):
                found = token
        return found if found is not None and found.is_valid(self._clock()) else None

    def _current(self) -> tuple[Token, ...]:
        seen = _signature(self._file.path)
        if seen != self._seen:
            self._seen = seen
            try:
                self._tokens = self._file.read()
            except StateCorrupt as error:
                # Closed, not open: what cannot be trusted lets nobody in.
                self._tokens = ()
                _LOG.error("tokens_unusable", reason=error)
        return self._tokens


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _signature(path: Path) -> object:
    try:
        facts = path.lstat()
    except OSError as error:
        return error.errno
    return facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _parsed(path: Path, data: bytes) -> tuple[Token, ...]:
    try:
        held = json.loads(data)
        if held["format"] != _FORMAT:
            raise ValueError(f"format {held['format']!r} is not known")
        return tuple(_token(row) for row in held["tokens"])
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise _unusable(path, f"it is not what ragd wrote there ({type(error).__name__}: {error})") from error


def _token(row: dict[str, object]) -> Token:
    name, sha256, created, expires = row["name"], row["sha256"], row["created_at"], row["expires_at"]
    if not (isinstance(name, str) and isinstance(sha256, str) and re.fullmatch(r"[0-9a-f]{64}", sha256)):
        raise ValueError("a token without a name or a hash")
    if not isinstance(created, int | float) or not (expires is None or isinstance(expires, int | float)):
        raise ValueError(f"the times of {name} are not numbers")
    return Token(name, Role(str(row["role"])), sha256, float(created), None if expires is None else float(expires))


def _unusable(path: Path, reason: str) -> StateCorrupt:
    return StateCorrupt(
        f"the tokens in {path} cannot be used: {reason}",
        hint="`chmod 600` it if it is yours, or remove it and make new tokens with `ragd token add`",
    )
