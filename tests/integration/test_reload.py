"""A running daemon that reads its configuration again: what holds at once, what waits, what is refused."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.conftest import Place

pytestmark = pytest.mark.slow
Places = Callable[[], Place]


def configured(place: Place, text: str) -> None:
    (place.folder / "ragd.toml").write_text(text)


@pytest.fixture(scope="module")
def place(places: Places) -> Place:
    place = places()
    for name in ("one", "two"):
        (place.folder / name / "old").mkdir(parents=True)
        (place.folder / name / f"{name}.md").write_text(f"# {name}\n\nLighthouses warn ships.\n")
        (place.folder / name / "old" / f"old-{name}.md").write_text("Lighthouses of former days.\n")
    configured(place, '[[collections]]\nname = "a"\nfolders = ["one"]\n')
    place.start()
    place.until_indexed(2)
    return place


def reloaded(place: Place) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(place.ragd("reload", "--json"))
    return answer


def test_folders_and_globs_come_and_go(place: Place) -> None:
    configured(place, '[[collections]]\nname = "a"\nfolders = ["one", "two"]\nexclude = ["old/"]\n')
    assert reloaded(place) == {"changed": ["collections"], "needs_restart": []}
    place.until(lambda: sorted(place.paths("lighthouses")) == ["one.md", "two.md"])
    (place.folder / "two" / "new.md").write_text("A lighthouse that was built today.\n")
    place.until(lambda: "new.md" in place.paths("built today"))
    before = place.encoded_chars()
    configured(place, '[[collections]]\nname = "b"\nfolders = ["two"]\n')
    reloaded(place)
    place.until(lambda: sorted(place.paths("lighthouses")) == ["new.md", "old/old-two.md", "two.md"])
    assert {hit["collection"] for hit in place.found("lighthouses")} == {"b"}
    place.until(lambda: place.client.status()["documents"]["searchable"] == 3)  # the rest has left the catalog
    place.until(lambda: place.client.status()["state"] == "ready")
    assert place.encoded_chars() - before < 100  # what was known was not encoded anew


def test_values_hold_at_once_and_workers_come_and_go(place: Place) -> None:
    base = '[[collections]]\nname = "b"\nfolders = ["two"]\n'
    configured(place, f"{base}[search]\nlimit = 1\n[workers]\nembed = 2\nnice = 3\n[embed]\ndocument_prompt = 'x'\n")
    answer = reloaded(place)
    assert set(answer["changed"]) == {"search.limit", "workers.embed"}
    assert set(answer["needs_restart"]) == {"workers.nice", "embed.document_prompt"} - overridden(place)
    assert len(place.found("lighthouses")) == 1
    place.until(lambda: kinds(place).count("embed") == 2)
    configured(place, base)
    reloaded(place)
    place.until(lambda: kinds(place).count("embed") == 1)
    assert len(place.found("lighthouses")) == 3


def test_a_mistake_is_refused_and_what_was_configured_goes_on(place: Place) -> None:
    configured(place, "[search]\nlimit = 0\n")
    assert f"{place.folder}/ragd.toml:2: search.limit = 0 is not accepted" in place.refused(2, "reload")
    assert place.process is not None
    place.process.send_signal(signal.SIGHUP)
    place.until(lambda: place.client.status()["state"] == "degraded")
    (reason,) = place.client.status()["reasons"]
    assert "not reloaded, the one before goes on" in reason
    assert f"{place.folder}/ragd.toml:2" in reason
    assert "event=reload_refused" in place.log.read_text()
    assert len(place.found("lighthouses")) == 3
    configured(place, '[[collections]]\nname = "b"\nfolders = ["two"]\n[search]\nlimit = 2\n')
    place.process.send_signal(signal.SIGHUP)
    place.until(lambda: len(place.found("lighthouses")) == 2)
    place.until(lambda: place.client.status()["state"] == "ready")


def test_workers_go_on_by_another_way_to_log(place: Place) -> None:
    base = '[[collections]]\nname = "b"\nfolders = ["two"]\n'
    place.until(lambda: {"embed", "extract"} <= set(kinds(place)))
    configured(place, f'{base}[log]\nformat = "json"\n')
    assert "log.format" in reloaded(place)["changed"]
    place.until(lambda: [forms(place).get(kind) for kind in ("extract", "embed", "train")] == ["json", "json", "auto"])
    configured(place, base)
    reloaded(place)
    place.until(lambda: forms(place) == {"extract": "auto", "embed": "auto", "train": "auto"})


def forms(place: Place) -> dict[str, str]:
    """How workers were told to write their lines, by kind."""
    found = {}
    for one in place.client.status()["workers"]:
        with suppress(psutil.NoSuchProcess):  # one that leaves
            found[one["queue"]] = psutil.Process(one["pid"]).environ()["RAGD_LOG__FORMAT"]
    return found


def kinds(place: Place) -> list[str]:
    return [worker["queue"] for worker in place.client.status()["workers"]]


def overridden(place: Place) -> set[str]:
    """Keys that the place sets by variables, which win over the file."""
    return {"workers.nice"} if "RAGD_WORKERS__NICE" in place.environment else set()


def test_health_checks_tell_a_daemon_and_its_workers(place: Place, places: Places) -> None:
    place.ragd("status", "--live")
    assert ": idle" in place.ragd("worker", "embed", "--check")
    nobody = places()
    assert "no daemon" in nobody.refused(4, "reload")
    assert "no daemon" in nobody.refused(4, "status", "--live")
    nobody.refused(7, "worker", "embed", "--check")
    private = f"unix://{place.state}/broker/redis.sock?db=5"  # a database that no worker of this daemon knows
    assert "no embed worker gives signs of life" in nobody.refused(
        3, "worker", "embed", "--check", "--redis-url", private
    )


def test_the_file_is_read_again_from_where_it_was_found(place: Place) -> None:
    assert Path(json.loads(place.ragd("config", "path", "--json"))["file"]) == place.folder / "ragd.toml"
