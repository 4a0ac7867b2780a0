"""Bad requests as bytes: request lines, headers, bodies, tokens, encodings, flipped and missing bytes, from a seed.

A case says what it is, what is sent, how it ends, and, where only one thing can be right, which statuses may come back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from urllib.parse import quote

SERVED = MappingProxyType(
    {
        "GET": (
            *("/v1/search?q=water", "/v1/status", "/v1/documents", "/v1/receipts", "/v1/plugins", "/v1/triggers"),
            *("/v1/runs", "/v1/runs/x/log", "/v1/models", "/v1/models/compare?a=1&b=2", "/v1/spend"),
            *("/v1/openapi.json", "/readyz", "/metrics"),
        ),
        "POST": (
            *("/v1/retry", "/v1/rescan", "/v1/verify", "/v1/train", "/v1/runs/x/stop", "/v1/models/promote"),
            *("/v1/models/rollback", "/v1/models/prune", "/v1/feedback"),
            "/v1/confirm-delete",
        ),
    }
)
ADMIN_ONLY = ("/v1/models/promote", "/v1/models/rollback", "/v1/models/prune")
_METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "get", "G\x00T", "PRI", "")
_TARGETS = (
    *("*", "//v1/status", "/v1/../v1/status", "/v1/%2e%2e/status", "/v1/status%00", "/v1/status%0a", "/%", "/%zz"),
    *("/v1/models/%2e%2e%2f%2e%2e%2fetc", "/v1/runs/%ff%fe/log", "/v1/runs/../../etc/passwd/log", "/v1/triggers/%00"),
    *("http://evil.example/v1/status", "localhost:80", "/v1/search?", "/v1/search?q", "/?" + "a" * 5000),
    *("/v1/models/" + "a" * 9000, "/v1/models/" + "%25" * 300, "/v1/documents?cursor=%00", "/\x7f", "/v1/st\tatus", ""),
)
_VERSIONS = ("HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "HTTP/9.9", "HTTP/1.", "http/1.1", "HTTP/1.1 x", "")
_VALUES = (
    *("", "0", "-1", "1e999", "nan", "null", "true", "[]", "{}", "9" * 400, "1" * 5000, "a" * 9000, "%00", "%ff%fe"),
    *("%ed%a0%80", "%f0%9f%98%80", "'; drop table documents; --", "../../etc/passwd", "{{7*7}}", "\t", "latest"),
    *("%E5%B9%BF%E5%B7%9E", "a%0d%0aset-cookie:%20x=y", "%22unclosed", "AND OR NOT", "NEAR(", "*", "(((((", "-", "^"),
)
_NAMES = (
    *("q", "mode", "limit", "collection", "folder", "glob", "type", "modified_after", "modified_before", "after"),
    *("timeout_s", "state", "path", "cursor", "pending", "trainer", "offset", "a", "b", "unknown", "%00", ""),
)
_JSON = (
    *(b"", b"{", b"}", b"[]", b"null", b"1", b'"x"', b"{}{}", b"nul", b"NaN", b'{"a":}', b"{'a': 1}"),
    *(b"\xef\xbb\xbf{}", b"\xff", b"\xff\xfe{\x00}", b'{"paths": "\xff"}', b'{"\\ud800": 1}', b"[" * 20_000),
    *(b'{"paths": ["\\ud800"]}', b'{"folder": "\\ud800"}', b'{"role": "\\udfff"}'),
    *(b'{"a":' * 20_000, b'{"keep": ' + b"1" * 5000 + b"}", b'{"keep": 1e999}', b'{"keep": NaN}', b'{"keep": -0.0}'),
    *(b'{"query": 1.5, "chunk": true, "good": 3}', b'{"query": 99999999999999999999, "chunk": 1, "good": true}'),
    *(b'{"folder": "\\u0000"}', b'{"folder": "/etc"}', b'{"folder": 7}', b'{"folder": "", "folder": null}'),
    *(b'{"trainer": "../x"}', b'{"trainer": "x", "on": "/etc/passwd"}', b'{"trainer": "x", "by": "whim"}'),
    *(b'{"model": "' + b"a" * 300 + b'"}', b'{"model": "../../etc/passwd"}', b'{"role": null}'),
    *(b'{"paths": [' + b'"a",' * 20_000 + b'"b"]}', b'{"paths": [null]}', b'{"paths": ["\\u0000", "../..", "/"]}'),
)  # fmt: skip
_HEADERS = (
    *("no colon", "space : x", ": empty", "x: a\x00b", "x: a\rb", "x: \xff\xfe", " folded", "x: " + "a" * 200_000),
    *("Content-Length: 5, 6", "Content-Length: -1", "Content-Length: 1e3", "Content-Length: 99999999999999999999"),
    *("Transfer-Encoding: gzip", "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: identity", "TE: x"),
    *("Content-Encoding: gzip", "Content-Type: text/plain", "Content-Type: multipart/form-data", "Content-Type: \xe9"),
    *("Content-Type: application/json; charset=utf-16", "Accept: \x7f", "Expect: 100-continue", "Expect: x"),
    *("Connection: upgrade\r\nUpgrade: websocket", "Connection: \xff", "Upgrade: h2c", "Host: evil.example", "Host:"),
    *("Origin: null", "Origin: http://[", "Origin: http://evil.example", "Cookie: a=b", "Range: bytes=0-1"),
    *("X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: localhost", "X-Original-URL: /v1/models/prune"),
    *("X-HTTP-Method-Override: POST", "Sec-Fetch-Site: cross-site", "x: y\r\n" * 500 + "z: z"),
)
_CHUNKS = (
    *(b"zz\r\n{}\r\n0\r\n\r\n", b"-1\r\n{}\r\n0\r\n\r\n", b"2\r\n{}0\r\n\r\n", b"ffffffffffffffff\r\n{}", b"0\r\n\r\n"),
    *(
        b"2;" + b"a" * 9000 + b"\r\n{}\r\n0\r\n\r\n",
        b"2\n{}\n0\n\n",
        b"2\r\n{}\r\n0\r\nx: y\r\n\r\n",
        b"2\r\n{",
        b"\r\n",
    ),
    b"1\r\n{\r\n" * 300 + b"0\r\n\r\n",
)
_PREFACES = (
    *(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x05\x01\x00",
        b"\r\n" * 50,
    ),
    *(
        b"SSH-2.0-x\r\n",
        b"EHLO x\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"GET /v1/status\r\n\r\n",
        b"\x00" * 100,
        b"{}\r\n\r\n",
    ),
)


@dataclass(frozen=True, slots=True)
class Secrets:
    """Tokens that are valid: of an admin, and of one who may only read."""

    admin: str
    read: str


@dataclass(frozen=True, slots=True)
class Case:
    """One bad conversation: what is sent, whether the sender then goes on listening or hangs up, what may be said.

    `statuses` empty: anything but a bug. `must_answer` False: to be cut off without a word is an answer too.
    """

    kind: str
    data: bytes
    hangs_up: bool = False
    statuses: frozenset[int] = frozenset()
    must_answer: bool = False


def case(random: Random, secrets: Secrets) -> Case:
    """The next bad request."""
    return random.choice(_KINDS)(random, secrets)


def _request(
    method: str, target: str, headers: Sequence[str] = (), body: bytes = b"", token: str = "", version: str = "HTTP/1.1"
) -> bytes:
    lines = [f"{method} {target} {version}", "Host: localhost", *headers]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body and not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in headers):
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


def _valid(random: Random, secrets: Secrets) -> bytes:
    """A request in order, of little consequence: the ground that others are made from."""
    method = random.choice(("GET", "POST"))
    target = random.choice(SERVED[method])
    return _request(method, target, body=b"{}" if method == "POST" else b"", token=secrets.admin)


def _bad_line(random: Random, secrets: Secrets) -> Case:
    parts = [random.choice(_METHODS), random.choice(_TARGETS), random.choice(_VERSIONS)]
    if random.random() < 0.2:
        random.shuffle(parts)
    line = random.choice((" ", " ", " ", "  ", "\t", "")).join(parts)
    return Case("line", f"{line}\r\nHost: localhost\r\nAuthorization: Bearer {secrets.admin}\r\n\r\n".encode("latin-1"))


def _bad_header(random: Random, secrets: Secrets) -> Case:
    method = random.choice(("GET", "POST"))
    chosen = random.sample(_HEADERS, random.randint(1, 3))
    body = b"{}" if method == "POST" else b""
    return Case("header", _request(method, random.choice(SERVED[method]), chosen, body, secrets.admin))


def _bad_query(random: Random, secrets: Secrets) -> Case:
    path = random.choice(SERVED["GET"]).partition("?")[0]
    pairs = [f"{random.choice(_NAMES)}={random.choice(_VALUES)}" for _ in range(random.randint(1, 6))]
    if random.random() < 0.05:
        pairs *= 200
    query = quote("&".join(pairs), safe="%=&+*()'{}[]-^;:,./", encoding="utf-8")
    return Case("query", _request("GET", f"{path}?{query}", token=secrets.admin), must_answer=True)


def _bad_body(random: Random, secrets: Secrets) -> Case:
    body = random.choice(_JSON)
    if random.random() < 0.1:
        body = body + bytes(random.randrange(256) for _ in range(random.randint(1, 50)))
    target = random.choice(SERVED["POST"])
    headers = ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return Case("body", _request("POST", target, headers, body, secrets.admin), must_answer=True)


def _typed_body(random: Random, secrets: Secrets) -> Case:
    """JSON of the right keys with values of any kind."""
    values: tuple[object, ...] = (
        None,
        True,
        -1,
        10**30,
        1.5,
        "",
        "x",
        "\x00",
        "../..",
        "\U0010ffff",
        [],
        [[]],
        {},
        {"a": 1},
        "a" * 5000,
    )
    keys = ("paths", "folder", "repair", "trainer", "by", "model", "force", "role", "keep", "query", "chunk", "good")
    body = json.dumps({key: random.choice(values) for key in random.sample(keys, random.randint(1, 4))}).encode()
    return Case(
        "typed", _request("POST", random.choice(SERVED["POST"]), body=body, token=secrets.admin), must_answer=True
    )


def _length(random: Random, secrets: Secrets) -> Case:
    """A body of another length than was said."""
    said = random.choice((0, 1, 5, 2_000_000, 10**18))
    body = random.choice((b"{}", b"{}" * 100, b""))
    headers = ["Content-Type: application/json", f"Content-Length: {said}"]
    data = _request("POST", random.choice(SERVED["POST"]), headers, body, secrets.admin)
    return Case("length", data, hangs_up=random.random() < 0.8)


def _chunked(random: Random, secrets: Secrets) -> Case:
    headers = ["Content-Type: application/json", "Transfer-Encoding: chunked"]
    if random.random() < 0.2:
        headers.append("Content-Length: 2")
    data = _request("POST", random.choice(SERVED["POST"]), headers, random.choice(_CHUNKS), secrets.admin)
    return Case("chunked", data, hangs_up=random.random() < 0.8)


def _large(random: Random, secrets: Secrets) -> Case:
    headers = ["Content-Type: application/json", "Transfer-Encoding: chunked"]
    chunk = b"%x\r\n" % 65536 + b"a" * 65536 + b"\r\n"
    data = _request("POST", random.choice(SERVED["POST"]), headers, chunk * 20, secrets.admin)
    return Case("large", data)


def _bad_token(random: Random, secrets: Secrets) -> Case:
    """Whoever has no valid token learns nothing, whatever is asked."""
    good = secrets.admin
    place = random.randrange(len(good))
    other = random.choice([letter for letter in "abcXYZ019-_" if letter != good[place]])
    wrong = (
        f"Bearer {good[:place]}{other}{good[place + 1 :]}", f"Bearer {good[:-1]}", f"Bearer {good}{other}", "Bearer",
        f"Basic {good}", good, f"Bearer ragd_{'a' * 43}", "Bearer \xff\xfe", f"Bearer {good}, {good}",
        "Bearer " + "a" * 50_000,
        f"Bearer\t{good}", f"Digest {good}", f"Bearer {good[5:]}", f"Bearer {good.upper()}",
    )  # fmt: skip
    method = random.choice(("GET", "POST", "DELETE"))
    target = random.choice((*SERVED.get(method, ()), "/v1/nothing", "/"))
    given = random.choice((*wrong, ""))
    headers = [f"Authorization: {given}"] if given else random.choice(([], [f"Cookie: token={good}"]))
    body = random.choice((b"{}", b"not json")) if method == "POST" else b""
    return Case("token", _request(method, target, headers, body), statuses=frozenset({401}), must_answer=True)


def _low_role(random: Random, secrets: Secrets) -> Case:
    target = random.choice(SERVED["POST"])
    body = random.choice((b"{}", b"not json", b'{"model": "x", "role": "encoder", "keep": 0}'))
    return Case("role", _request("POST", target, (), body, secrets.read), statuses=frozenset({403}), must_answer=True)


def _stranger(random: Random, secrets: Secrets) -> Case:
    """A page that bound its name to this machine, or one of another origin: the token would even be right."""
    name = random.choice(
        ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[::2]", "192.0.2.1:80", "\xe9")
    )
    method = random.choice(("GET", "POST"))
    data = _request(method, random.choice(SERVED[method]), (), b"{}" if method == "POST" else b"", secrets.admin)
    if random.random() < 0.5:
        data = data.replace(b"Host: localhost", b"Host: " + name.encode("latin-1"), 1)
    else:
        data = data.replace(b"Host: localhost", b"Host: localhost\r\nOrigin: http://" + name.encode("latin-1"), 1)
    return Case("stranger", data, statuses=frozenset({400, 403}), must_answer=True)


def _flipped(random: Random, secrets: Secrets) -> Case:
    data = bytearray(_valid(random, secrets))
    for _ in range(random.randint(1, 8)):
        place = random.randrange(len(data))
        act = random.random()
        if act < 0.5:
            data[place] = random.randrange(256)
        elif act < 0.75:
            del data[place]
        else:
            data.insert(place, random.randrange(256))
    return Case("flipped", bytes(data), hangs_up=random.random() < 0.8)


def _truncated(random: Random, secrets: Secrets) -> Case:
    data = _valid(random, secrets)
    return Case("truncated", data[: random.randrange(len(data))], hangs_up=random.random() < 0.9)


def _pipelined(random: Random, secrets: Secrets) -> Case:
    parts = [_valid(random, secrets) for _ in range(random.randint(1, 4))]
    parts.append(random.choice((_bad_line, _bad_header, _flipped))(random, secrets).data)
    return Case("pipelined", b"".join(parts), hangs_up=random.random() < 0.5)


def _other_protocol(random: Random, secrets: Secrets) -> Case:
    noise = bytes(random.randrange(256) for _ in range(random.randint(1, 2000)))
    return Case("protocol", random.choice((*_PREFACES, noise)), hangs_up=random.random() < 0.9)


_KINDS: tuple[Callable[[Random, Secrets], Case], ...] = (
    *(_bad_line, _bad_header, _bad_query, _bad_query, _bad_body, _bad_body, _typed_body, _length, _chunked),
    *(_bad_token, _bad_token, _low_role, _stranger, _flipped, _flipped, _truncated, _pipelined, _other_protocol),
)
SELDOM: Mapping[str, Callable[[Random, Secrets], Case]] = MappingProxyType({"large": _large})
