"""Each address has one role in one table, and whoever has less is told so."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ragd.cli.reference_http import openapi, routes
from ragd.web import learning_schema, schema
from ragd.web.roles import ADMIN_FIELDS, ROLES, Table
from ragd.web.tokens import Role
from tests.unit.web.conftest import Guarded

BODIES: dict[str, dict[str, object]] = {
    "POST /v1/retry": {"paths": None},
    "POST /v1/reread": {"documents": [1]},
    "POST /v1/train": {"trainer": "nudge"},
    "POST /v1/models/promote": {"model": "nudge/3"},
    "POST /v1/models/rollback": {"role": "encoder"},
    "POST /v1/feedback": {"query": 5, "chunk": 7, "good": True},
}
SEARCH = {"q": "beavers", "a": "1", "b": "2"}
NEEDED = {"GET /v1/search": ("q",), "GET /v1/models/compare": ("a", "b")}
FIELDS: dict[str, tuple[type, dict[str, object]]] = {
    "POST /v1/verify": (schema.VerifyBody, {"repair": True}),
    "POST /v1/train": (learning_schema.TrainBody, {"on": "/etc/passwd"}),
}


def _served() -> set[str]:
    described = {f"{method} {path}" for path, method, _ in routes(openapi())}
    return described | {"GET /v1/openapi.json"}


def test_no_route_lacks_a_role_and_no_role_lacks_a_route() -> None:
    assert {address.replace(":path}", "}") for address in ROLES} == _served()


def test_what_deletes_or_changes_what_serves_needs_an_admin_and_what_acts_is_not_for_readers() -> None:
    for address, role in ROLES.items():
        if address.startswith("POST "):
            assert role in (Role.WRITE, Role.ADMIN), address
        else:
            assert role in (Role.READ, None), address
    for act in ("confirm-delete", "models/promote", "models/rollback", "models/prune"):
        assert ROLES[f"POST /v1/{act}"] is Role.ADMIN


def test_the_openapi_document_tells_programs_the_role_of_each_operation() -> None:
    document = openapi()
    assert document["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    told = {f"{method} {path}": operation.get("security") for path, method, operation in routes(document)}
    roles = {address.replace(":path}", "}"): role for address, role in ROLES.items()}
    assert told == {address: roles[address] and [{"token": [str(roles[address])]}, {}] for address in told}


def _ask(client: httpx.Client, address: str, secret: str, **more: object) -> httpx.Response:
    method, _, path = address.partition(" ")
    params = {name: SEARCH[name] for name in NEEDED.get(address, ())}
    body = {**BODIES.get(address, {}), **more} if method == "POST" else None
    path = path.replace("{model:path}", "nudge/3").replace("{trainer}", "nudge").replace("{run}", "2026")
    headers = {"authorization": f"Bearer {secret}"}
    return client.request(method, path, params=params, json=body, headers=headers)


@pytest.mark.parametrize("address", ROLES)
def test_an_address_serves_who_has_its_role_and_nobody_with_less(
    guarded: Guarded, stranger: httpx.Client, address: str
) -> None:
    needed = ROLES[address]
    for role in Role:
        answer = _ask(stranger, address, guarded.secrets[role])
        if needed is None or role.allows(needed):
            assert answer.status_code == 200, answer.text
        else:
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
            assert f"needs a token of role {needed}" in answer.json()["error"]["message"]


@pytest.mark.parametrize(("address", "field"), [(a, f) for a, fields in ADMIN_FIELDS.items() for f in sorted(fields)])
def test_a_field_for_admins_is_refused_to_others(
    guarded: Guarded, stranger: httpx.Client, address: str, field: str
) -> None:
    model, values = FIELDS[address]
    assert field in model.model_fields  # type: ignore[attr-defined]
    refused = _ask(stranger, address, guarded.secrets[Role.WRITE], **{field: values[field]})
    assert refused.status_code == 403
    assert field in refused.json()["error"]["message"]
    assert _ask(stranger, address, guarded.secrets[Role.ADMIN], **{field: values[field]}).status_code == 200


def test_what_is_not_served_is_told_to_whoever_has_a_token(guarded: Guarded, stranger: httpx.Client) -> None:
    headers = {"authorization": f"Bearer {guarded.secrets[Role.READ]}"}
    unknown = stranger.get("/v1/nothing", headers=headers)
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")
    wrong = stranger.post("/v1/status", headers=headers)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("GET", "/v1/models/nudge/3", Role.READ),
        ("HEAD", "/v1/openapi.json", Role.READ),
        ("POST", "/v1/models/prune", Role.ADMIN),
        ("POST", "/v1/runs/a/stop", Role.WRITE),
    ],
)
def test_an_address_is_found_as_the_router_finds_it(method: str, path: str, role: Any) -> None:
    assert Table().role_of(method, path) is role


def test_a_line_break_after_an_address_is_no_bug_and_opens_nothing(guarded: Guarded, stranger: httpx.Client) -> None:
    for role in Role:
        headers = {"authorization": f"Bearer {guarded.secrets[role]}"}
        answer = stranger.post("/v1/verify%0a", json={"repair": True}, headers=headers)
        assert answer.status_code in ((200, 404) if role is Role.ADMIN else (404,))


@pytest.mark.parametrize("path", ["/v1/runs/a/b/stop", "/v1/status/", "/V1/status", "//v1/status", "/v1/status\n", ""])
def test_what_only_looks_like_an_address_has_no_role(path: str) -> None:
    with pytest.raises(KeyError):
        Table().role_of("POST" if path.endswith("stop") else "GET", path)
