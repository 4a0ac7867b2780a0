"""Talks to the daemon with the standard library: a search must not wait for imports."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode

from ragd.cli.connection import Line, line_to
from ragd.cli.place import Place
from ragd.domain.errors import DaemonUnreachable, RagdError, TimedOut

START_HINT = "start one with `ragd run FOLDER`"
DEFAULT_TIMEOUT_S = 60.0
VERIFY_TIMEOUT_S = 3600.0
_IDLE_S = 30.0
"""A connection that rested longer is not used again: the daemon hangs up after 60 seconds."""

Answer = dict[str, Any]


class Client:
    """The `/v1` interface as methods; each returns the answer's JSON object.

    Every method raises DaemonUnreachable when nobody answers, TimedOut when the answer does not come
    in time, and otherwise the very error that the daemon names.
    """

    def __init__(
        self, place: Place, timeout_s: float = DEFAULT_TIMEOUT_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._place = place
        self._timeout_s = timeout_s
        self._clock = clock
        self._used_at = clock()
        self._line: Line | None = None

    def connect(self) -> None:
        """Opens the connection, so that a missing daemon shows before a question is asked."""
        if self._line is None:
            line = line_to(self._place, self._timeout_s)
            try:
                line.http.connect()
            except OSError as error:
                raise self._unreachable(error) from error
            self._line, self._used_at = line, self._clock()

    def close(self) -> None:
        """Closes the connection; safe to call twice."""
        if self._line is not None:
            self._line.http.close()
            self._line = None

    def search(self, *, timeout_s: float | None = None, **parameters: object) -> Answer:
        """Hits for `q`; see GET /v1/search for the parameters. `timeout_s` bounds the wait for `after`."""
        patience = None if timeout_s is None else timeout_s + self._timeout_s
        return self._get("search", {**parameters, "timeout_s": timeout_s}, timeout_s=patience)

    def status(self) -> Answer:
        """The daemon's state, counts, queues and workers."""
        return self._get("status", {})

    def documents(self, **parameters: object) -> Answer:
        """A page of documents: filters `state`, `collection`, `path`; `limit` and `cursor`."""
        return self._get("documents", parameters)

    def receipts(self, **parameters: object) -> Answer:
        """The newest receipts: filters `path`, `pending`; `limit`."""
        return self._get("receipts", parameters)

    def retry(self, paths: Sequence[str] | None) -> Answer:
        """Tries failed documents again, all of them when `paths` is None."""
        return self._post("retry", {"paths": None if paths is None else list(paths)})

    def rescan(self, folder: str | None) -> Answer:
        """Walks a folder, or every one, now."""
        return self._post("rescan", {"folder": folder})

    def confirm_delete(self, folder: str | None, *, most: int | None) -> Answer:
        """Lets go of deletions that are held in a folder or in any, unless they are more than `most`."""
        return self._post("confirm-delete", {"folder": folder, "most": most})

    def reload(self) -> Answer:
        """Has the daemon read its configuration again."""
        return self._post("reload", {})

    def verify(self, *, repair: bool = False, full: bool = False) -> Answer:
        """Compares index and catalog, every row with `full`, and with `repair` makes them equal."""
        return self._post("verify", {"repair": repair, "full": full}, timeout_s=VERIFY_TIMEOUT_S)

    def reread(self, documents: Sequence[int]) -> Answer:
        """Reads documents (ids) again, whatever their times say."""
        return self._post("reread", {"documents": list(documents)})

    def learn(self, method: str, path: str, timeout_s: float | None = None, **given: object) -> Answer:
        """The model side: `learn("GET", "runs", limit=5)` asks GET /v1/runs?limit=5, POST sends `given` as the body."""
        name = quote(path, errors="surrogateescape")  # what a person typed may hold anything
        if method == "GET":
            return self._get(name, given, timeout_s)
        return self._post(name, given, timeout_s)

    def _get(self, name: str, parameters: Mapping[str, object], timeout_s: float | None = None) -> Answer:
        given = {key: _parameter(value) for key, value in parameters.items() if value not in (None, "", [], ())}
        query = urlencode(given, doseq=True, errors="surrogateescape", quote_via=quote)
        return self._ask("GET", f"/v1/{name}" + (f"?{query}" if query else ""), None, timeout_s)

    def _post(self, name: str, body: Mapping[str, object], timeout_s: float | None = None) -> Answer:
        return self._ask("POST", f"/v1/{name}", json.dumps(body).encode(), timeout_s)

    def _ask(self, method: str, target: str, body: bytes | None, timeout_s: float | None) -> Answer:
        if self._clock() - self._used_at > _IDLE_S:
            self.close()
        self.connect()
        line = cast(Line, self._line)
        line.patience(timeout_s or self._timeout_s)
        headers = {"Accept": "application/json", **line.headers}
        if body:
            headers["Content-Type"] = "application/json"
        try:
            line.http.request(method, line.prefix + target, body, headers)
            response = line.http.getresponse()
            data = response.read()
        except TimeoutError as error:
            self.close()
            raise TimedOut(
                f"the daemon at {self._place} did not answer in {timeout_s or self._timeout_s:g} s",
                hint="see what it is doing with `ragd status`",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise DaemonUnreachable(f"the daemon at {self._place} went away: {error}", hint=START_HINT) from error
        self._used_at = self._clock()
        return _answer(response.status, data)

    def _unreachable(self, error: OSError) -> DaemonUnreachable:
        if not isinstance(self._place, Path):
            return DaemonUnreachable(f"no daemon answers at {self._place}: {error}", hint="check RAGD_URL")
        if isinstance(error, PermissionError):
            return DaemonUnreachable(
                f"the daemon's socket {self._place} may not be opened",
                hint="run as the user that owns the state folder",
            )
        if isinstance(error, FileNotFoundError | ConnectionRefusedError | NotADirectoryError):
            return DaemonUnreachable(f"no daemon answers on {self._place}", hint=START_HINT)
        return DaemonUnreachable(f"no daemon answers on {self._place}: {error}", hint=START_HINT)


def _parameter(value: object) -> object:
    return ("true" if value else "false") if isinstance(value, bool) else value


def _answer(status: int, data: bytes) -> Answer:
    try:
        body = json.loads(data)
    except ValueError as error:
        raise RagdError(f"the daemon answered {status} without JSON", hint="see the daemon's log") from error
    if status < 400 and isinstance(body, dict):
        return body
    told = body.get("error") if isinstance(body, dict) else None
    if not isinstance(told, dict):
        raise RagdError(f"the daemon answered {status}: {str(body)[:200]}", hint="see the daemon's log")
    leaf = leaves().get(str(told.get("code")), RagdError)
    raise leaf(str(told.get("message", "")), hint=str(told.get("hint", "")))


def leaves() -> dict[str, type[RagdError]]:
    """Every kind of error by its code."""
    found: dict[str, type[RagdError]] = {}
    waiting: list[type[RagdError]] = [RagdError]
    while waiting:
        kind = waiting.pop()
        found.setdefault(kind("").code, kind)  # a parent comes before what shares its code
        waiting.extend(kind.__subclasses__())
    return found
