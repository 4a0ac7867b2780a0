"""One HTTP endpoint that takes JSON: paced, retried with back-off, its failures told apart."""

from __future__ import annotations

import email.utils
import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from ragd.domain.errors import EncoderFailed, ModelUnavailable

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 60.0
MOST_ANSWER_BYTES = 256 << 20
_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_REFUSED = {
    401: "set the API key that this endpoint accepts",
    403: "give the API key the right to use this model",
    404: "check the endpoint's URL and the model's name",
    405: "check the endpoint's URL: it takes no requests of this kind",
}


class Refused(Exception):  # not a RagdError: the caller may cut the request and send it again
    """The endpoint refused a request for what is in it (400, 413, 422); `str` is its reason."""


class _Again(Exception):
    """This attempt failed in a way that may pass; `asked_s` is what the endpoint asked to wait, if it did."""

    def __init__(self, reason: str, asked_s: float | None = None) -> None:
        super().__init__(reason)
        self.asked_s = asked_s


@dataclass(frozen=True, slots=True)
class Timing:
    """The clock and the wait, passed in so that tests need not wait; seconds. `wait` answers true when cut short."""

    clock: Callable[[], float]
    wait: Callable[[float], bool]
    jitter: Callable[[], float] = random.random


class Pace:
    """Spaces requests evenly, at most `per_minute` of them; 0 means no limit."""

    def __init__(self, per_minute: int) -> None:
        self._gap_s = 60.0 / per_minute if per_minute else 0.0
        self._free_at = float("-inf")
        self._lock = threading.Lock()

    def take(self, now: float) -> float:
        """Takes the next place in the row; returns the seconds until it comes."""
        with self._lock:
            start = max(now, self._free_at)
            self._free_at = start + self._gap_s
            return start - now


class Endpoint:
    """POSTs JSON to one URL and returns the answer's JSON. Safe to use from several threads."""

    def __init__(
        self, url: str, *, api_key: str, timeout_s: float, requests_per_minute: int, timing: Timing | None = None
    ) -> None:
        self.url = url
        self._key = api_key
        self._pace = Pace(requests_per_minute)
        self._closed = threading.Event()
        self._timing = timing or Timing(time.monotonic, self._closed.wait)
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout_s = timeout_s
        self._client = httpx.Client(headers=headers, timeout=timeout_s, follow_redirects=False)

    def post(self, body: dict[str, Any], *, retries: int) -> Any:
        """The answer to one request, tried `1 + retries` times.

        Raises EncoderFailed when the endpoint stays silent, busy or broken, ModelUnavailable when it refuses the key,
        the path or the model, Refused when it refuses what was sent.
        """
        reason, attempt = "", 0
        for attempt in range(retries + 1):
            self._wait(self._pace.take(self._timing.clock()))
            try:
                return self._attempt(body)
            except _Again as again:
                reason = str(again)
                if (again.asked_s or 0.0) > LONGEST_DELAY_S:  # a spent quota, not a busy moment
                    reason = f"{reason} (asked to wait {again.asked_s:.0f} s)"
                    break
                if attempt < retries:
                    self._wait(self._delay_s(attempt, again.asked_s))
        raise EncoderFailed(
            f"{self.url} failed {attempt + 1} times, the last time with: {reason}",
            hint="the work is kept and tried again; check that the endpoint is up and its limits are not used up",
        )

    def close(self) -> None:
        """Ends waiting calls and gives back connections; safe to call twice."""
        self._closed.set()
        self._client.close()

    def _attempt(self, body: dict[str, Any]) -> Any:
        if self._closed.is_set():
            raise EncoderFailed("the encoder is closed", hint="open it again")
        try:
            status, headers, content = self._answer(body)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ModelUnavailable(f"{self.url} is no URL: {error}", hint="write it as http://host:port/v1") from error
        except httpx.TimeoutException as error:
            raise _Again("no answer in time") from error
        except httpx.RequestError as error:
            raise _Again(f"no connection ({error})") from error
        except RuntimeError as error:  # the client's word for "closed by another thread"
            raise EncoderFailed("the encoder is closed", hint="open it again") from error
        if status in _RETRIED:
            raise _Again(f"status {status}{self._reason(content)}", _asked_s(headers, time.time()))
        if status in _REFUSED:
            raise ModelUnavailable(f"{self.url} answered {status}{self._reason(content)}", hint=_REFUSED[status])
        if status in (400, 413, 422):
            raise Refused(f"status {status}{self._reason(content)}")
        if status >= 500:
            raise _Again(f"status {status}{self._reason(content)}")
        if status != 200:
            raise ModelUnavailable(f"{self.url} answered {status}", hint="check the endpoint's URL")
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ModelUnavailable(
                f"{self.url} answered something that is not JSON", hint="check the endpoint's URL"
            ) from error

    def _answer(self, body: dict[str, Any]) -> tuple[int, httpx.Headers, bytes]:
        """Status, headers and content, whole within the time-out: however little comes at a time, it must end."""
        over_at = time.monotonic() + self._timeout_s
        content = bytearray()
        with self._client.stream("POST", self.url, json=body) as answer:
            for block in answer.iter_bytes():
                content += block
                if time.monotonic() > over_at:
                    raise _Again("no whole answer in time")
                if len(content) > MOST_ANSWER_BYTES:
                    raise ModelUnavailable(f"{self.url} answers without end", hint="check the endpoint's URL")
        return answer.status_code, answer.headers, bytes(content)

    def _reason(self, content: bytes) -> str:
        """What the endpoint says of a failure, one short line, never with the key in it."""
        try:
            found = json.loads(content)
            error = found.get("error", found.get("detail", found.get("message", "")))
            text = error.get("message", "") if isinstance(error, dict) else error
        except (ValueError, AttributeError, RecursionError):
            return ""
        line = " ".join(str(text).split())[:200]
        if self._key and (self._key in line or self._key[:8] in line):
            return ""
        return f": {line}" if line else ""

    def _delay_s(self, attempt: int, asked_s: float | None) -> float:
        """Half to all of a doubling delay, so that clients do not come back together; never less than was asked."""
        delay_s = min(FIRST_DELAY_S * 2.0**attempt, LONGEST_DELAY_S) * (0.5 + self._timing.jitter() / 2)
        return max(delay_s, asked_s or 0.0)

    def _wait(self, seconds: float) -> None:
        if seconds > 0 and self._timing.wait(seconds):
            raise EncoderFailed("the encoder was closed while it waited", hint="open it again")


def _asked_s(headers: httpx.Headers, now: float) -> float | None:
    """The seconds of a Retry-After header (RFC 9110, 10.2.3: seconds or a date), None without one."""
    value = headers.get("retry-after", "").strip()
    if value.replace(".", "", 1).isdecimal():
        return float(value)
    try:
        return float(email.utils.parsedate_to_datetime(value).timestamp() - now) if value else None
    except ValueError:
        return None
