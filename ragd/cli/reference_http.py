"""The HTTP page of the reference, from the OpenAPI document of the real application."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

from ragd.cli.markdown import table

Schema = dict[str, Any]
_HTTP = """\
# HTTP interface

The daemon answers on a Unix socket (`ragd.sock` in the state folder, for its owner only) and, with `http.tcp`, on an
address. Try it: `curl --unix-socket STATE/ragd.sock 'http://localhost/v1/search?q=words'`. Answers are JSON;
times are Unix seconds. An error has the shape `{"error": {"code", "message", "hint"}}` with the code and the HTTP
status of [errors](errors.md). `/v1/openapi.json` is the same in a form for programs.

Besides the codes of that page an answer may carry `method_not_allowed` (405), `timed_out` (408, a request that did not
arrive in time), `too_large` (413 or 431) and, for a bug, `internal` (500). 429 and 503 come with `Retry-After`.

Beyond loopback, and with `http.require_token` on loopback too, a request needs a token of `ragd token add`, sent as
`Authorization: Bearer TOKEN`. Its role must be at least the one that stands below the address; a token that is sent
counts on the socket as well. How to: [reach ragd from elsewhere](../howto/reach-ragd-from-elsewhere.md)."""


def http() -> str:
    """Every route with its parameters, its body and its answer, and every shape they are made of."""
    document = openapi()
    lines = [_HTTP]
    for path, method, operation in routes(document):
        lines += ["", f"## `{method} {path}`", "", _role(method, path), "", *_operation(operation, document)]
    lines += ["", "## Shapes", "", "What answers are made of besides the above."]
    for name, schema in _inner_shapes(document):
        lines += ["", f"### {name}", "", *_described(schema)]
        lines += _fields(schema) if "properties" in schema else [f"One of {_type(schema)}."]
    return "\n".join(lines) + "\n"


def openapi() -> Schema:
    """The OpenAPI document of the application."""
    from ragd import __version__
    from ragd.web.backend import Backend
    from ragd.web.routes import create_app

    # Routes are described without being called, so nothing has to stand behind them.
    return create_app(cast(Backend, None), __version__).openapi()


def routes(document: Schema) -> Iterator[tuple[str, str, Schema]]:
    """(path, METHOD, operation) of every route."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield path, method.upper(), operation


def _role(method: str, path: str) -> str:
    from ragd.web.roles import ADMIN_FIELDS, ROLES

    roles = {address.replace(":path}", "}"): role for address, role in ROLES.items()}
    role = roles[f"{method} {path}"]
    if role is None:
        return "Role: none, anybody may ask."
    fields = ", ".join(f"`{field}`" for field in sorted(ADMIN_FIELDS.get(f"{method} {path}", ())))
    return f"Role: {role}; {fields} only for admin." if fields else f"Role: {role}."


def _operation(operation: Schema, document: Schema) -> list[str]:
    lines = [operation.get("description") or operation.get("summary", "")]
    parameters = operation.get("parameters", [])
    if parameters:
        lines += ["", *_table("Parameter", [_parameter(p) for p in parameters])]
    body = _content(operation.get("requestBody", {}))
    if body:
        lines += ["", "Body:", "", *_fields(_resolved(body, document))]
    answer = _content(operation["responses"]["200"])
    if answer:
        lines += ["", "Answer:", "", *_fields(_resolved(answer, document))]
    return lines


def _content(holder: Schema) -> Schema:
    found: Schema = holder.get("content", {}).get("application/json", {}).get("schema", {})
    return found


def _resolved(schema: Schema, document: Schema) -> Schema:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: Schema = document["components"]["schemas"][name] if name else schema
    return found


def _inner_shapes(document: Schema) -> Iterator[tuple[str, Schema]]:
    top = {
        holder.get("$ref", "").rpartition("/")[2]
        for _, _, operation in routes(document)
        for holder in (_content(operation.get("requestBody", {})), _content(operation["responses"]["200"]))
    }
    for name, schema in sorted(document["components"]["schemas"].items()):
        if name not in top:
            yield name, schema


def _described(schema: Schema) -> list[str]:
    text = " ".join(schema.get("description", "").split())
    return [text, ""] if text else []


def _fields(schema: Schema) -> list[str]:
    rows = [
        (name, _type(field), _default(field, False), field.get("description", ""))
        for name, field in schema.get("properties", {}).items()
    ]
    return _table("Field", rows)


def _parameter(parameter: Schema) -> tuple[str, str, str, str]:
    schema = parameter["schema"]
    text = parameter.get("description") or schema.get("description", "")
    return parameter["name"], _type(schema), _default(schema, parameter.get("required", False)), text


def _table(first: str, rows: list[tuple[str, str, str, str]]) -> list[str]:
    with_defaults = any(default for _, _, default, _ in rows)
    headers = (first, "Type", "Default", "Meaning") if with_defaults else (first, "Type", "Meaning")
    lines = [
        (f"`{n}`", kind, default, text) if with_defaults else (f"`{n}`", kind, text) for n, kind, default, text in rows
    ]
    return table(headers, lines)


def _default(schema: Schema, is_required: bool) -> str:
    if "default" in schema:
        return "" if schema["default"] in (None, "", []) else f"`{json.dumps(schema['default'])}`"
    return "required" if is_required else ""


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind in ("integer", "number"):
        low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
        bounds = f" {low}..{high}" if low is not None and high is not None else ""
        return kind + bounds
    return kind
