"""Every address of a real daemon, over its socket: what it tells fits the shapes that the HTTP door promises."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ragd.daemon.metric_names import METRICS

_START_S = 90.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("kb")
    (made / "guide").mkdir()
    (made / "guide" / "water.md").write_text("# Rivers\n\nBeavers build dams that hold back the water of streams.\n")
    (made / "guide" / "copy.md").write_text("# Rivers\n\nBeavers build dams that hold back the water of streams.\n")
    (made / "cooking.txt").write_text("Simmer the onions in butter until they are golden, then add the stock.\n")
    (made / "广州.md").write_text("# 城市\n\n广州是中国南方的一座大城市。\n", encoding="utf-8")
    (made / "broken.pdf").write_bytes(b"%PDF-1.7 this is not really one")
    return made


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "daemon.log"


@pytest.fixture(scope="module")
def client(folder: Path, models: Path, log: Path) -> Iterator[httpx.Client]:
    with TemporaryDirectory(prefix="ragd") as state:
        shutil.copytree(models, Path(state) / "models")
        command = [sys.executable, "-m", "ragd", "run", str(folder), "--state", state, "--log-format", "json"]
        command += ["--log-level", "debug"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAGD_")}
        with log.open("wb") as out, subprocess.Popen(command, env=environment, stderr=out) as process:
            transport = httpx.HTTPTransport(uds=f"{state}/ragd.sock")
            with httpx.Client(transport=transport, base_url="http://ragd/v1", timeout=30) as made:
                try:
                    _until_indexed(made, process, Path(state) / "ragd.sock")
                    yield made
                finally:
                    process.send_signal(signal.SIGTERM)
                    process.wait(30)


def _until_indexed(client: httpx.Client, process: subprocess.Popen[bytes], socket: Path) -> None:
    deadline = time.monotonic() + _START_S
    counts: object = None
    while counts != {"pending": 0, "text": 0, "searchable": 4, "failed": 1}:
        assert process.poll() is None
        assert time.monotonic() < deadline, counts
        time.sleep(0.1)
        if socket.exists():
            counts = client.get("/status").raise_for_status().json()["documents"]


def _paths(client: httpx.Client, **params: str) -> list[str]:
    body = client.get("/search", params=params).raise_for_status().json()
    return [hit["path"] for hit in body["hits"]]


def test_each_mode_finds_by_its_own_means(client: httpx.Client) -> None:
    assert _paths(client, q="beavers", mode="words")[0] in ("guide/water.md", "guide/copy.md")
    assert _paths(client, q="how to make soup", mode="dense")[0] == "cooking.txt"
    assert _paths(client, q="广州", mode="words") == ["广州.md"]
    assert _paths(client, q="广州")[0] == "广州.md"


def test_equal_texts_are_one_hit_and_a_filter_chooses_where(client: httpx.Client) -> None:
    assert len(_paths(client, q="beavers dams", mode="words")) == 1
    assert _paths(client, q="beavers dams", glob="copy.md") == ["guide/copy.md"]
    assert _paths(client, q="beavers dams", type="txt") == ["cooking.txt"]
    assert _paths(client, q="beavers dams", modified_before="2000-01-01") == []


def test_documents_receipts_and_status_fit_their_shapes(client: httpx.Client) -> None:
    documents = client.get("/documents", params={"limit": 2}).raise_for_status().json()
    assert len(documents["documents"]) == 2
    rest = client.get("/documents", params={"cursor": documents["next"]}).raise_for_status().json()
    assert len(rest["documents"]) == 3
    assert rest["next"] is None
    failed = client.get("/documents", params={"state": "failed"}).raise_for_status().json()["documents"]
    assert [d["path"] for d in failed] == ["broken.pdf"]
    assert failed[0]["reason"]
    receipts = client.get("/receipts").raise_for_status().json()["receipts"]
    assert {r["path"] for r in receipts} >= {"cooking.txt", "广州.md"}
    status = client.get("/status").raise_for_status().json()
    assert status["chunks"]["total"] == status["chunks"]["with_vectors"] == 3


def test_a_saved_file_is_found_after_its_receipt(client: httpx.Client, folder: Path) -> None:
    before = client.get("/receipts", params={"limit": 1}).json()["receipts"][0]["id"]
    (folder / "new.md").write_text("Quokkas live on islands off the coast of Western Australia.\n")
    deadline = time.monotonic() + 20
    while client.get("/receipts", params={"limit": 1}).json()["receipts"][0]["id"] == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found = _paths(client, q="small marsupial animals", mode="dense", after="latest", timeout_s="20")
    assert found[0] == "new.md"


def test_actions_answer(client: httpx.Client, folder: Path) -> None:
    verified = client.post("/verify", json={}).raise_for_status().json()
    assert verified["clean"] is True
    assert verified["catalog_chunks"] == verified["index_chunks"]
    assert client.post("/retry", json={}).raise_for_status().json() == {"retried": 1}
    assert client.post("/rescan", json={"folder": str(folder)}).raise_for_status().json() == {"started": True}
    refused = client.post("/rescan", json={"folder": "/nowhere"})
    assert refused.status_code == 404
    assert refused.json()["error"]["code"] == "not_found"


def test_what_is_not_there_is_told_in_the_one_shape(client: httpx.Client) -> None:
    for response in (
        client.get("/search", params={"q": "a", "after": "999999"}),
        client.get("/documents", params={"cursor": "nonsense"}),
        client.get("/nothing"),
    ):
        assert response.status_code in (400, 404)
        assert set(response.json()["error"]) == {"code", "message", "hint"}


def test_monitors_are_told_figures_that_come_from_what_was_done(client: httpx.Client) -> None:
    top = str(client.base_url).removesuffix("v1/")
    assert client.get(f"{top}healthz").text == "ok"
    deadline = time.monotonic() + 20
    while client.get("/status").json()["documents"]["failed"] != 1:  # it was tried again above
        assert time.monotonic() < deadline
        time.sleep(0.05)
    ready = client.get(f"{top}readyz")
    assert (ready.status_code, ready.json()["state"]) == (200, "ready")
    assert client.get("/search", params={"q": " "}).status_code == 400
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(client.get(f"{top}metrics").text)
        for sample in family.samples
    }
    assert {name for name, *_ in samples if name.endswith(("_created", "_gcreated"))} == set()
    assert samples["ragd_documents", "failed"] == 1
    assert samples["ragd_documents", "searchable"] == 5
    assert samples["ragd_freshness_seconds_count", "fresh", "meaning"] >= 1
    assert (
        samples["ragd_freshness_seconds_count", "bulk", "words"]
        + samples["ragd_freshness_seconds_count", "fresh", "words"]
        >= 5
    )
    assert samples["ragd_encoded_chunks_total", "change"] >= 4
    assert samples["ragd_edited_chars_total",] >= samples["ragd_encoded_chars_total", "change"] * 0.3
    assert samples["ragd_search_seconds_count", "dense"] >= 1
    assert samples["ragd_search_failures_total", "bad_request"] >= 1
    assert samples["ragd_workers", "embed"] == samples["ragd_workers_wanted", "embed"] == 1
    assert samples["ragd_redis_up",] == samples["ragd_state", "ready"] == 1
    assert samples["ragd_oldest_change_seconds",] == 0
    assert samples["ragd_process_memory_bytes",] > 5e7
    assert samples["ragd_disk_free_bytes",] > 0
    assert samples["ragd_loop_seconds",] < 30
    missing = {name for name in METRICS if not any(told.startswith(name) for told, *_ in samples)}
    # No inexact index and no paid work here; a proof and a snapshot may not have been made yet.
    assert missing <= {name for name in METRICS if re.search(r"ann_recall|_spend_|_proof_|_snapshot_age", name)}
    status = client.get("/status").raise_for_status().json()
    assert status["freshness"]["meaning"]["count"] >= 1
    assert status["rates"]["search_p99_s"] > 0


def test_every_process_tells_the_log_in_one_form(client: httpx.Client, log: Path) -> None:
    client.get("/search", params={"q": "what nobody may read in a log"}).raise_for_status()
    deadline = time.monotonic() + 20
    while '"event": "indexed"' not in log.read_text("utf-8"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert {line["process"] for line in lines} >= {"daemon", "extract", "embed"}
    assert all({"time", "level", "process", "logger", "event"} <= line.keys() for line in lines)
    events = {line["event"]: line for line in lines}
    assert events["started"]["pid"] == client.get("/status").json()["pid"]
    assert events["indexed"]["files"] >= 5
    assert not [line for line in lines if line["level"] in ("error", "critical")]
    text = log.read_text("utf-8")
    for secret in ("nobody may read", "Beavers build dams", "Simmer the onions"):
        assert secret not in text
