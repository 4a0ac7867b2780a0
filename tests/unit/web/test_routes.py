"""Every address of /v1 over the real server on a Unix socket."""

from __future__ import annotations

import logging
import threading
import time
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from ragd.domain.search import Filters, Mode, Query
from ragd.web.waiting import MAX_WAITERS


def _error(response: httpx.Response) -> dict[str, str]:
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "hint"}
    error: dict[str, str] = body["error"]
    return error


def test_a_search_hands_over_every_parameter(client: httpx.Client, shelf: Any) -> None:
    response = client.get(
        "/v1/search",
        params={
            "q": "beavers",
            "mode": "words",
            "limit": "3",
            "collection": ["notes", "work"],
            "folder": "guide/",
            "glob": ["*.md", "a/**"],
            "type": ["md", ".pdf"],
            "modified_after": "100",
            "modified_before": "200",
        },
    )
    assert response.status_code == 200
    assert shelf.asked == [
        Query(
            "beavers", Mode.WORDS, 3, Filters(("notes", "work"), ("guide",), ("*.md", "a/**"), ("md", "pdf"), 100, 200)
        )
    ]


def test_an_answer_has_the_documented_shape(client: httpx.Client) -> None:
    body = client.get("/v1/search", params={"q": "beavers"}).json()
    assert set(body) == {"query", "mode", "took_ms", "freshness", "notes", "hits", "query_id"}
    assert set(body["hits"][0]) == {
        *("chunk_id", "collection", "root", "path", "title", "heading", "page", "start", "end"),
        *("text", "score", "parts", "modified_at", "document_id"),
    }


def test_a_search_that_does_not_say_is_hybrid_with_ten_hits(client: httpx.Client, shelf: Any) -> None:
    client.get("/v1/search", params={"q": "beavers"})
    assert shelf.asked == [Query("beavers", Mode.HYBRID, 10)]


def test_the_longest_chinese_query_fits_into_a_request(served: Any, shelf: Any) -> None:
    text = "河" * 8192
    connection = HTTPConnection("127.0.0.1", served.server.tcp_port, timeout=10)  # httpx stops at 65,536 characters
    connection.request("GET", "/v1/search?q=" + quote(text))
    assert connection.getresponse().status == 200
    connection.close()
    assert shelf.asked == [Query(text)]


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({}, "q"),
        ({"q": "a", "limit": "0"}, "limit"),
        ({"q": "a", "limit": "1001"}, "limit"),
        ({"q": "a", "limit": "many"}, "limit"),
        ({"q": "a", "mode": "magic"}, "mode"),
        ({"q": "a", "limt": "3"}, "limt"),
        ({"q": "a", "modified_after": "soon"}, "modified_after"),
        ({"q": "a", "folder": "../x"}, "folder"),
        ({"q": "a", "after": "newest"}, "after"),
        ({"q": "a", "after": "5", "timeout_s": "0"}, "timeout_s"),
        ({"q": "a", "after": "5", "timeout_s": "nan"}, "timeout_s"),
    ],
)
def test_a_parameter_that_cannot_be_understood_is_named(
    client: httpx.Client, params: dict[str, str], named: str
) -> None:
    response = client.get("/v1/search", params=params)
    assert response.status_code == 400
    error = _error(response)
    assert error["code"] == "bad_request"
    assert named in error["message"]
    assert error["hint"]


def test_an_error_of_ragd_keeps_its_code_and_remedy(client: httpx.Client) -> None:
    response = client.get("/v1/search", params={"q": "down"})
    assert response.status_code == 503
    assert _error(response) == {"code": "encoder_failed", "message": "the endpoint is down", "hint": "wait"}


def test_a_bug_is_an_internal_error_and_its_traceback_is_only_in_the_log(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        response = client.get("/v1/search", params={"q": "bug"})
    assert response.status_code == 500
    assert _error(response)["code"] == "internal"
    assert "secret" not in response.text
    # The server logs once the answer is out.
    deadline = time.monotonic() + 10
    while not any(record.exc_info and record.exc_info[0] is ZeroDivisionError for record in caplog.records):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert client.get("/v1/status").status_code == 200


def test_an_unknown_address_is_not_found(client: httpx.Client) -> None:
    for path in ("/", "/v1/serch", "/docs", "/v1/search/"):
        response = client.get(path)
        assert response.status_code == 404
        assert _error(response)["code"] == "not_found"


def test_a_wrong_method_is_named_with_what_is_allowed(client: httpx.Client) -> None:
    response = client.post("/v1/status")
    assert response.status_code == 405
    assert _error(response)["code"] == "method_not_allowed"
    assert response.headers["allow"] == "GET"


def test_status_is_told_whole(client: httpx.Client) -> None:
    body = client.get("/v1/status").json()
    assert body["state"] == "ready"
    assert body["documents"] == {"pending": 0, "text": 0, "searchable": 1, "failed": 0}
    assert body["version"] == "9.9"


def test_documents_are_paged(client: httpx.Client, shelf: Any) -> None:
    body = client.get("/v1/documents", params={"state": "failed", "path": "guide", "limit": 5, "cursor": "c1"}).json()
    assert body == {"documents": [], "next": "c2"}
    assert shelf.asked == [("failed", None, "guide", 5, "c1")]
    assert client.get("/v1/documents", params={"state": "lost"}).status_code == 400


def test_receipts_can_be_narrowed_to_those_that_wait(client: httpx.Client, shelf: Any) -> None:
    assert client.get("/v1/receipts", params={"pending": "true"}).json() == {"receipts": []}
    assert shelf.asked == [(None, 20, True)]


def test_retry_takes_all_or_the_named_documents(client: httpx.Client, shelf: Any) -> None:
    assert client.post("/v1/retry", json={"paths": ["a.md"]}).json() == {"retried": 3}
    assert client.post("/v1/retry", json={"paths": None}).json() == {"retried": 3}
    assert shelf.asked == [["a.md"], None]
    response = client.post("/v1/retry", json={"paths": ["missing.md"]})
    assert response.status_code == 404
    assert _error(response)["code"] == "not_found"


def test_rescan_verify_and_reread_do_what_the_body_says(client: httpx.Client, shelf: Any) -> None:
    assert client.post("/v1/rescan", json={"folder": "/notes"}).json() == {"started": True}
    confirmed = {"confirmed": [{"folder": "/notes", "missing": 30}]}
    assert client.post("/v1/confirm-delete", json={"folder": "/notes", "most": 30}).json() == confirmed
    assert client.post("/v1/confirm-delete", json={"most": -1}).status_code == 400
    assert client.post("/v1/verify", json={"repair": True}).json()["repaired"] is True
    assert client.post("/v1/verify", json={"full": True}).json()["miscounted"] is False
    assert client.post("/v1/reread", json={"documents": [3, 5]}).json() == {"reread": 2}
    assert shelf.asked == ["/notes", ("/notes", 30), (True, False), (False, True), [3, 5]]


@pytest.mark.parametrize(
    "content",
    [
        *("{", "[]", '{"paths": "a.md"}', '{"path": ["a.md"]}', "", '{"paths": ["\\ud800"]}', '{"\\ud800": 1}'),
        *('{"paths": [1]}', '{"paths": ' + "[" * 5000, '{"paths": ' + "1" * 5000 + "}"),
    ],
)
def test_a_body_that_cannot_be_understood_is_refused(client: httpx.Client, shelf: Any, content: str) -> None:
    response = client.post("/v1/retry", content=content, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert _error(response)["code"] == "bad_request"
    assert shelf.asked == []


def test_a_name_of_a_file_that_is_no_text_comes_through_and_back(client: httpx.Client, shelf: Any) -> None:
    # Bytes that are not UTF-8 travel as halves of surrogates, as Python names files.
    headers = {"content-type": "application/json"}
    assert client.post("/v1/retry", content='{"paths": ["a\\udcff"]}', headers=headers).status_code == 200
    assert shelf.asked == [["a\udcff"]]
    response = client.post("/v1/rescan", content='{"folder": 1, "\\udcff": 1}', headers=headers)
    assert response.status_code == 400
    assert _error(response)["message"]


@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("/v1/verify", {"repair": 1}),
        ("/v1/verify", {"repair": "true"}),
        ("/v1/rescan", {"delete_missing": "yes"}),
        ("/v1/models/prune", {"keep": True}),
        ("/v1/models/prune", {"keep": 1.0}),
        ("/v1/feedback", {"query": "5", "chunk": 7, "good": True}),
        ("/v1/confirm-delete", {"most": False}),
    ],
)
def test_a_value_of_another_kind_is_not_taken_for_one(
    client: httpx.Client, shelf: Any, address: str, body: dict[str, object]
) -> None:
    response = client.post(address, json=body)
    assert (response.status_code, _error(response)["code"]) == (400, "bad_request")
    assert shelf.asked == []


def test_a_body_too_large_is_refused_with_or_without_a_length(client: httpx.Client) -> None:
    big = b'{"paths": ["' + b"x" * 2_000_000 + b'"]}'
    with_length = client.post("/v1/retry", content=big, headers={"content-type": "application/json"})
    without = client.post("/v1/retry", content=iter([big]), headers={"content-type": "application/json"})
    for response in (with_length, without):
        assert response.status_code == 413
        assert _error(response)["code"] == "too_large"


def test_the_openapi_document_names_every_address_and_the_one_error_shape(client: httpx.Client) -> None:
    document = client.get("/v1/openapi.json").json()
    indexing = ("search", "status", "documents", "receipts", "retry", "rescan", "reread", "confirm-delete", "verify")
    training = ("plugins", "triggers", "triggers/{trainer}", "train", "runs", "models", "spend", "feedback")
    of_runs = (f"runs/{{run}}{what}" for what in ("", "/log", "/stop", "/resume"))
    of_models = (f"models/{what}" for what in ("{model}", "compare", "promote", "rollback", "prune"))
    below = {f"/v1/{name}" for name in ("reload", *indexing, *training, *of_runs, *of_models)}
    assert set(document["paths"]) == below | {"/metrics", "/healthz", "/readyz"}
    for path in document["paths"].values():
        for operation in path.values():
            assert set(operation["responses"]) - {"503"} == {"200", "4XX", "5XX"}
            shape = operation["responses"]["4XX"]["content"]["application/json"]["schema"]
            assert shape == {"$ref": "#/components/schemas/ErrorAnswer"}
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])
    parameters = {p["name"] for p in document["paths"]["/v1/search"]["get"]["parameters"]}
    assert {"q", "mode", "limit", "glob", "type", "after", "timeout_s"} <= parameters


def test_after_waits_until_the_change_is_searchable(client: httpx.Client, shelf: Any) -> None:
    threading.Timer(0.05, shelf.done.set).start()
    response = client.get("/v1/search", params={"q": "beavers", "after": "latest"})
    assert response.status_code == 200
    assert shelf.asked == [("wait", 5), Query("beavers")]


def test_after_gives_up_at_its_timeout_and_does_not_search(client: httpx.Client, shelf: Any) -> None:
    response = client.get("/v1/search", params={"q": "beavers", "after": "5", "timeout_s": "0.05"})
    assert response.status_code == 504
    assert _error(response)["code"] == "timed_out"
    assert not any(isinstance(asked, Query) for asked in shelf.asked)


def test_after_an_unknown_receipt_is_not_found(client: httpx.Client) -> None:
    response = client.get("/v1/search", params={"q": "beavers", "after": "6"})
    assert response.status_code == 404
    assert _error(response)["code"] == "not_found"


def test_waiting_requests_do_not_hold_up_searches_and_are_bounded(client: httpx.Client, shelf: Any) -> None:
    statuses: list[int] = []

    def wait() -> None:
        answer = client.get("/v1/search", params={"q": "waited", "after": "5"})
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=wait) for _ in range(MAX_WAITERS)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 10
    while sum(1 for asked in shelf.asked if asked == ("wait", 5)) < MAX_WAITERS:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert client.get("/v1/search", params={"q": "at once"}).status_code == 200
    refused = client.get("/v1/search", params={"q": "one too many", "after": "5"})
    assert refused.status_code == 503
    assert _error(refused)["code"] == "busy"
    shelf.done.set()
    for thread in threads:
        thread.join()
    assert statuses == [200] * MAX_WAITERS
