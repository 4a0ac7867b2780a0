"""Which role each address asks for: one table, and nothing that is not in it is served to anybody but an admin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from starlette.requests import Request
from starlette.routing import compile_path

from ragd.domain.errors import Forbidden
from ragd.web.tokens import Role

ROLES: Mapping[str, Role | None] = MappingProxyType(
    {
        "GET /healthz": None,
        "GET /readyz": Role.READ,
        "GET /metrics": Role.READ,
        "GET /v1/openapi.json": Role.READ,
        "GET /v1/search": Role.READ,
        "GET /v1/status": Role.READ,
        "GET /v1/documents": Role.READ,
        "GET /v1/receipts": Role.READ,
        "POST /v1/retry": Role.WRITE,
        "POST /v1/reread": Role.WRITE,
        "POST /v1/rescan": Role.WRITE,
        "POST /v1/confirm-delete": Role.ADMIN,
        "POST /v1/verify": Role.WRITE,
        "POST /v1/reload": Role.ADMIN,
        "GET /v1/plugins": Role.READ,
        "GET /v1/triggers": Role.READ,
        "GET /v1/triggers/{trainer}": Role.READ,
        "POST /v1/train": Role.WRITE,
        "GET /v1/runs": Role.READ,
        "GET /v1/runs/{run}": Role.READ,
        "GET /v1/runs/{run}/log": Role.READ,
        "POST /v1/runs/{run}/stop": Role.WRITE,
        "POST /v1/runs/{run}/resume": Role.WRITE,
        "GET /v1/models": Role.READ,
        "GET /v1/models/compare": Role.READ,
        "GET /v1/models/{model:path}": Role.READ,
        "POST /v1/models/promote": Role.ADMIN,
        "POST /v1/models/rollback": Role.ADMIN,
        "POST /v1/models/prune": Role.ADMIN,
        "GET /v1/spend": Role.READ,
        "POST /v1/feedback": Role.WRITE,
    }
)
"""Method and address of every route → the least role that may ask; None: anybody, without a token."""

ADMIN_FIELDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "POST /v1/verify": frozenset({"repair"}),
        "POST /v1/train": frozenset({"on"}),
    }
)
"""Fields of a body that only an admin may set: they repair, or name a file."""


class Table:
    """Looks addresses up as the router does."""

    def __init__(self, roles: Mapping[str, Role | None] = ROLES) -> None:
        self._exact: dict[str, Role | None] = {}
        self._patterns: list[tuple[re.Pattern[str], str, Role | None]] = []
        for address, role in roles.items():
            method, _, path = address.partition(" ")
            if "{" in path:
                self._patterns.append((compile_path(path)[0], method, role))
            else:
                self._exact[address] = role

    def role_of(self, method: str, path: str) -> Role | None:
        """The role that an address asks for, None where anybody may ask. Raises KeyError for all others."""
        method = "GET" if method == "HEAD" else method
        exact = f"{method} {path}"
        if exact in self._exact:
            return self._exact[exact]
        for pattern, served, role in self._patterns:
            if served == method and pattern.match(path):
                return role
        raise KeyError(exact)

    def methods_of(self, path: str) -> list[str]:
        """The methods that are served at a path, none where nothing is."""
        found = [address.partition(" ")[0] for address in self._exact if address.partition(" ")[2] == path]
        return sorted({*found, *(method for pattern, method, _ in self._patterns if pattern.match(path))})


def secure(document: dict[str, Any]) -> None:
    """Adds to an OpenAPI document what a token is, and the role that each operation asks for."""
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for address, role in ROLES.items():
        method, _, path = address.replace(":path}", "}").partition(" ")
        operation = document["paths"].get(path, {}).get(method.lower())
        if operation is not None and role is not None:
            # An empty one as well: the socket and, unless told otherwise, loopback need no token.
            operation["security"] = [{"token": [role.value]}, {}]


def permit(request: Request, asked: object) -> None:
    """Raises Forbidden where a field is set that only an admin may set, and the caller is none."""
    if request.state.role is Role.ADMIN:
        return
    address = f"{request.method} {request.url.path}"
    named = [field for field in sorted(ADMIN_FIELDS[address]) if getattr(asked, field)]
    if named:
        raise Forbidden(
            f"`{named[0]}` at {address} needs a token of role {Role.ADMIN}",
            hint=f"leave it out, or make one: `ragd token add NAME --role {Role.ADMIN}`",
        )
