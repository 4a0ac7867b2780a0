"""End to end, as a user has it: the daemon, its workers, Redis and the model as real processes, on real files.

Everything is run twice: with the private Redis, and with a second Redis on TCP with a password, where the only embed
worker is another process started by hand.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.integration.conftest import PASSWORD, Place, redis_on_tcp

CONFIGURATION = """\
[[collections]]
name = "notes"
folders = ["kb/notes"]

[[collections]]
name = "work"
folders = ["kb/work"]
exclude = ["drafts/"]
"""
TIDES = "# Tides\n\nThe moon pulls the sea, and the water rises twice a day.\n"
MINUTES = "# Minutes\n\nThe committee agreed to buy a second coffee machine for the office.\n"


@pytest.fixture(scope="module", params=["private redis", "redis over tcp"])
def place(request: pytest.FixtureRequest, places: Callable[[], Place], models: Path) -> Iterator[Place]:
    made = places()
    for name, text in {"notes/tides.md": TIDES, "work/2026/minutes.md": MINUTES, "work/drafts/no.md": "# No"}.items():
        path = made.folder / "kb" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (made.folder / "ragd.toml").write_text(CONFIGURATION)
    with ExitStack() as stack:
        arguments = ["--config", "ragd.toml"]
        if request.param == "redis over tcp":
            url = stack.enter_context(redis_on_tcp(made.folder))
            worker = embed_worker(made, models, url)
            stack.callback(worker.wait, 30)
            stack.callback(worker.terminate)
            arguments += ["--redis-url", url, "--embed-workers", "0"]
        made.start(*arguments)
        made.until_indexed(2)
        yield made
        made.close()


def embed_worker(place: Place, models: Path, url: str) -> subprocess.Popen[bytes]:
    """A worker as on another machine: its own state folder, and nothing in common with the daemon but Redis."""
    elsewhere = place.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "models").symlink_to(models)
    command = [sys.executable, "-m", "ragd", "--state", str(elsewhere), "worker", "embed", "--redis-url", url]
    with (place.folder / "worker.log").open("wb") as log:
        return subprocess.Popen(command, env=place.environment, cwd=elsewhere, stdout=log, stderr=log)


def test_what_was_there_is_found_by_words_and_by_meaning(place: Place) -> None:
    place.finds(["2026/minutes.md"], "committee coffee", mode="words")
    assert place.paths("why does the ocean go up and down", mode="dense")[0] == "tides.md"
    assert place.paths("why does the ocean go up and down")[0] == "tides.md"
    assert place.client.status()["state"] == "ready"


def test_a_dropped_file_is_found_a_moment_later(place: Place) -> None:
    (place.folder / "kb/notes/bees.md").write_text("# Bees\n\nA hive holds some fifty thousand workers in summer.\n")
    place.finds(["bees.md"], "hive workers", mode="words")
    assert place.paths("insects that make honey", mode="dense")[0] == "bees.md"
    said = place.ragd("search", "-n", "1", "insects", "that", "make", "honey")
    assert said.startswith(" 1  bees.md: Bees")
    assert "A hive holds some fifty thousand workers" in said


def test_an_edit_encodes_only_what_changed(place: Place) -> None:
    path = place.folder / "kb/notes/almanac.md"
    months = ("January", "February", "March", "April", "May", "June")
    text = "".join(
        f"# {month}\n\n" + f"In {month} the gardener plans, digs and waters. " * 12 + "\n\n" for month in months
    )
    path.write_text(text)
    place.finds(["almanac.md"], "gardener", mode="words")
    whole = place.receipt("almanac.md")["encoded_chars"]
    path.write_text(text + "# Christmas\n\nThe reindeer are fed with lichen.\n")
    place.finds(["almanac.md"], "reindeer lichen", mode="words")
    assert place.found("reindeer lichen", mode="words")[0]["heading"].endswith("Christmas")
    edit = place.receipt("almanac.md")
    assert edit["action"] == "modify"
    assert 0 < edit["encoded_chars"] < whole / 10
    path.write_text(text)
    place.finds([], "reindeer lichen", mode="words")


def test_moves_copies_and_what_comes_back_cost_nothing(place: Place) -> None:
    notes = place.folder / "kb/notes"
    (notes / "lighthouse.md").write_text("# Lighthouse\n\nThe keeper trims the lamp at dusk.\n")
    place.finds(["lighthouse.md"], "keeper lamp", mode="words")
    before = place.encoded_chars()

    (notes / "coast").mkdir()
    (notes / "lighthouse.md").rename(notes / "coast" / "beacon.md")
    place.finds(["coast/beacon.md"], "keeper lamp", mode="words")
    (notes / "coast" / "beacon.md").rename(place.folder / "kb/work/beacon.md")
    place.finds(["beacon.md"], "keeper lamp", mode="words")
    (notes / "copy.md").write_bytes((place.folder / "kb/work/beacon.md").read_bytes())
    place.until(lambda: len(place.client.documents(path="copy.md")["documents"]) == 1)

    (place.folder / "kb/work/beacon.md").unlink()
    (notes / "copy.md").unlink()
    place.finds([], "keeper lamp", mode="words")
    (notes / "back.md").write_text("# Lighthouse\n\nThe keeper trims the lamp at dusk.\n")
    place.until(lambda: place.paths("who looks after the light at night", mode="dense")[0] == "back.md")
    receipt = place.receipt("back.md")
    assert (receipt["encoded_chars"], receipt["extracted_at"]) == (0, None)
    assert place.encoded_chars() == before


def test_a_deleted_file_is_gone_at_once(place: Place) -> None:
    path = place.folder / "kb/notes/secret.md"
    path.write_text("# Treasure\n\nIt lies below the crooked pine.\n")
    place.finds(["secret.md"], "crooked pine", mode="words")
    path.unlink()
    for mode in ("words", "dense", "hybrid"):
        assert "secret.md" not in place.paths("treasure below the crooked pine", mode=mode)
    assert place.receipt("secret.md")["outcome"] == "deleted"
    assert place.ragd("search", "--mode", "words", "crooked", "pine").startswith("nothing found")


def test_chinese_is_found_by_words_although_the_model_is_english(place: Place) -> None:
    (place.folder / "kb/notes/城市.md").write_text("# 城市\n\n广州是中国南方的一座大城市,珠江从城中流过。\n")
    place.finds(["城市.md"], "珠江", mode="words")
    assert place.paths("广州的江")[0] == "城市.md"
    place.finds(["城市.md"], "江", mode="words")


def test_filters_hold_in_every_mode(place: Place) -> None:
    work = place.folder / "kb/work"
    (work / "plans").mkdir(exist_ok=True)
    (work / "plans" / "harbour.txt").write_text("The harbour wall will be raised by a metre.\n")
    (work / "harbour.md").write_text("# Harbour\n\nThe harbour master keeps the book of ships.\n")
    (place.folder / "kb/notes/harbour.md").write_text("# Harbour\n\nSeagulls sleep on the harbour roofs.\n")
    old = time.time() - 30 * 86400
    os.utime(place.folder / "kb/notes/harbour.md", (old, old))
    everything = {"plans/harbour.txt", "harbour.md"}
    place.until(lambda: len(place.found("harbour", mode="words", glob=["**/harbour.*"])) == 3)
    for mode in ("words", "dense", "hybrid"):
        assert set(place.paths("harbour", mode=mode)) >= everything
        assert {hit["collection"] for hit in place.found("harbour", mode=mode, collection=["work"])} == {"work"}
        place.finds(["plans/harbour.txt"], "harbour", mode=mode, folder=["plans"])
        place.finds(["plans/harbour.txt"], "harbour", mode=mode, type=["txt"])
        place.finds(["plans/harbour.txt"], "harbour", mode=mode, glob=["pla*/*.txt"])
        since = f"{time.time() - 86400:.0f}"
        recent = place.found("harbour", mode=mode, modified_after=since, collection=["notes"])
        assert "harbour.md" not in {hit["path"] for hit in recent}
    asked = ["search", "--json", "--mode", "words", "harbour", "--collection", "work", "--type", "md", "--since", "2d"]
    assert [hit["path"] for hit in json.loads(place.ragd(*asked))["hits"]] == ["harbour.md"]


def test_what_is_excluded_or_ignored_is_not_there_and_comes_when_it_no_longer_is(place: Place) -> None:
    work = place.folder / "kb/work"
    assert place.client.documents(path="drafts/no.md")["documents"] == []
    (work / "later.md").write_text("# Later\n\nThe walrus reads the newspaper.\n")
    place.finds(["later.md"], "walrus newspaper", mode="words")
    (work / ".ragdignore").write_text("later.md\n")
    place.finds([], "walrus newspaper", mode="words")
    (work / ".ragdignore").unlink()
    place.finds(["later.md"], "walrus newspaper", mode="words")


def test_a_search_after_a_receipt_waits_for_it(place: Place) -> None:
    (place.folder / "kb/notes/owl.md").write_text("# Owls\n\nThe owl sleeps in the belfry.\n")
    receipt = place.receipt("owl.md")
    said = place.ragd("search", "--after", str(receipt["id"]), "--mode", "words", "belfry")
    assert said.startswith(" 1  owl.md")
    assert "there is no receipt" in place.refused(3, "search", "--after", "999999", "owl")
    steps = [receipt[f"{step}_at"] for step in ("seen", "stable", "planned", "extracted", "text_searchable")]
    assert steps == sorted(steps)
    assert receipt["searchable_at"] >= receipt["text_searchable_at"]


def test_the_index_equals_the_catalog(place: Place) -> None:
    assert place.ragd("verify").startswith("equal: ")
    assert "  -  " not in place.ragd("documents")
    status = json.loads(place.ragd("status", "--json"))
    assert status["documents"]["failed"] == 0
    assert PASSWORD not in place.ragd("status")
    assert {worker["queue"] for worker in status["workers"]} == {"embed", "extract", "train"}


def test_a_second_daemon_on_the_same_state_folder_is_refused(place: Place) -> None:
    assert place.process is not None
    said = place.refused(5, "run", str(place.folder / "kb"))
    assert f"is in use by process {place.process.pid}" in said
    assert place.answers()


def test_a_stop_in_order_then_answers_without_a_daemon_then_a_start_from_the_snapshot(
    places: Callable[[], Place],
) -> None:
    place = places()
    (place.folder / "kb").mkdir()
    (place.folder / "kb" / "tides.md").write_text(TIDES)
    place.start("kb")
    place.until_indexed(1)
    assert place.stop() == 0
    assert not (place.state / "ragd.sock").exists()

    said = place.ragd("search", "why does the ocean go up and down", "--mode", "dense")
    assert "no daemon is running: answering from the last snapshot" in said
    assert " 1  tides.md: Tides" in said
    assert "searchable" in place.ragd("documents", str(place.folder / "kb" / "tides.md"))
    assert "equal: 1 chunks" in place.ragd("verify")
    place.refused(4, "rescan")
    place.refused(4, "search", "--after", "latest", "tides")

    (place.folder / "kb" / "minutes.md").write_text(MINUTES)
    (place.folder / "kb" / "tides.md").rename(place.folder / "kb" / "moon.md")
    place.start("kb")
    assert place.until_indexed(2)["index"]["restored"].startswith("snapshot, 0 replayed")
    assert place.paths("why does the ocean go up and down", mode="dense")[0] == "moon.md"
    assert place.receipt("moon.md")["encoded_chars"] == 0
    assert place.stop(by=signal.SIGINT) == 0


def test_kill_9_loses_nothing(places: Callable[[], Place]) -> None:
    place = places()
    (place.folder / "kb").mkdir()
    (place.folder / "kb" / "tides.md").write_text(TIDES)
    place.start("kb")
    place.until_indexed(1)
    place.stop(by=signal.SIGKILL)
    (place.folder / "kb" / "minutes.md").write_text(MINUTES)
    place.start("kb")
    place.until_indexed(2)
    place.finds(["minutes.md"], "coffee machine", mode="words")
    assert place.ragd("verify").startswith("equal: 2 chunks")
    proof = json.loads(place.ragd("status", "--json"))["proof"]
    assert (proof["is_equal"], proof["wrong"]) == (True, 0)
    assert place.stop() == 0
    change_without_a_trace(place, "tides.md", TIDES.replace("moon", "drum"))
    place.start("kb")
    place.until_indexed(2)
    place.finds([], "drum", mode="words")
    said = place.ragd("verify", "--deep", exit_code=11)
    assert said.startswith("equal: 2 chunks")
    assert f"{place.folder}/kb/tides.md: its bytes are others" in said
    assert "different: 2 files read again" in said
    assert "taken up again: 2 files" in place.ragd("verify", "--deep", "--repair")
    place.finds(["tides.md"], "drum", mode="words")
    place.until_indexed(2)
    assert "different" not in place.ragd("verify", "--deep", "--full")


def change_without_a_trace(place: Place, name: str, text: str) -> None:
    """What a damaged disk does to a file: other bytes, and nothing that a walk looks at tells so.

    No program may set a file's change time, so the catalog is told the new one.
    """
    path = place.folder / "kb" / name
    path.write_text(text)
    stat = path.stat()
    with closing(sqlite3.connect(place.state / "catalog.db")) as catalog, catalog:
        catalog.execute(
            "UPDATE documents SET size_bytes = ?, mtime_ns = ?, ctime_ns = ?, inode = ? WHERE name = ?",
            (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, os.fsencode(name)),
        )
