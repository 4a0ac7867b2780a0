"""Requests that Schemathesis makes from the OpenAPI document, sent to a daemon and checked against that document."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, cast

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import positive_data_acceptance

from bench.http_talk import HANG_S, Outcome, complaint_of


def described(address: tuple[str, int], secret: str, count: int, seed: int) -> Iterator[Outcome]:
    """About `count` cases, as many for each operation, half of them against the document where that can be."""
    base = f"http://{address[0]}:{address[1]}"
    with requests.Session() as session, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {secret}"
        document = session.get(f"{base}/v1/openapi.json", timeout=HANG_S).json()
        schema = schemathesis.openapi.from_dict(document)
        operations: list[Any] = [cast(Any, result).ok() for result in schema.get_all_operations()]
        each = max(1, count // (2 * len(operations)))
        for operation in operations:
            for mode in (GenerationMode.NEGATIVE, GenerationMode.POSITIVE):
                for case in _cases(operation, mode, each, seed):
                    outcome = _sent(case, base, session, f"schema, {mode.value}")
                    if outcome is not None:
                        yield outcome


def _cases(operation: Any, mode: GenerationMode, count: int, seed: int) -> list[Any]:
    made: list[Any] = []

    @seeded(seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def collect(case: Any) -> None:
        made.append(case)

    try:
        collect()
    except Unsatisfiable:
        return []  # an operation without parameters cannot be asked wrongly
    return made


def _sent(case: Any, base: str, session: requests.Session, kind: str) -> Outcome | None:
    """One case, sent and checked: by the document, and by what holds for every answer. None: it cannot be sent."""
    try:
        response = case.call(base_url=base, session=session, timeout=HANG_S)
    except requests.Timeout:
        return Outcome(kind, "hang", f"no answer to {case.as_curl_command()[:300]}")
    except requests.ConnectionError as error:
        return Outcome(kind, "closed", f"{error} for {case!r}"[:400])
    except (requests.RequestException, UnicodeError, ValueError):
        return None
    trace = b"Traceback (most recent call last)" in response.content
    content_type = (response.headers.get("content-type") or [""])[0]
    complaint = complaint_of(response.status_code, content_type, response.content, trace=trace)
    if not complaint:
        complaint = _against(case, response)
    return Outcome(kind, str(response.status_code), complaint and f"{complaint} {case.method} {case.path}", trace)


def _against(case: Any, response: Any) -> str:
    """Where an answer does not keep to the document. What fits it may be refused all the same: a cursor, a time."""
    try:
        case.validate_response(response, excluded_checks=[positive_data_acceptance])
    except (Failure, FailureGroup) as error:
        return str(error)[:1500]
    return ""
