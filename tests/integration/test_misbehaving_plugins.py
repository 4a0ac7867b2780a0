"""Ten plugins that misbehave: each is named and stopped, and search never notices."""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ragd.domain.learning import Resources
from ragd.domain.training import PluginSource
from ragd.hooks import tree
from ragd.hooks.sources import digest
from ragd.testing.trial import trial
from tests.integration.conftest import Place

BAD = Path(__file__).parents[1] / "plugins_bad"
LIMITS = Resources(threads=1, memory_mb=512, disk_mb=32, processes=24, timeout_s=6.0)
# What is said of each by `ragd plugins check`, and by the reason of its run.
AT_CHECK = {
    "raises_at_import": "OSError: the licence server is away (line 3)",
    "raises_in_train": "ZeroDivisionError: the learning rate is zero",
    "hangs": "took longer than 6 s",
    "forks": "started more than 24 processes",
    "fills_memory": "MemoryError",
    "fills_disk": "wrote more than 32 MiB",
    "writes_outside": "writes outside its run folder",
    "returns_rubbish": "pickle",
    "wrong_signature": "ragd_trainers(daemon) should be ragd_trainers()",
}
NOT_TRUSTED = ("raises_at_import", "wrong_signature")
IN_A_RUN = {
    "raises_in_train": ("ZeroDivisionError: the learning rate is zero",),
    "hangs": ("took longer than",),
    "forks": ("processes",),
    "fills_memory": ("out of memory", "MiB of memory"),
    "fills_disk": ("wrote more than", "no room"),
    "writes_outside": ("outside its run folder", "inside its run folder"),
    "returns_rubbish": ("pickle",),
}
QUERIES = ("why does the ocean go up and down", "insects that make honey", "a machine for coffee", "how bread rises")
SEARCHES_AT_REST = 200
FLOOR_MS = 20.0  # below that a p99 is what the scheduler makes of it


def source_of(name: str) -> PluginSource:
    path = BAD / f"{name}.py"
    return PluginSource(name, "file", str(path), digest(path.read_bytes()))


def alive_with(word: str) -> list[int]:
    """Processes whose command line holds a word."""
    found = []
    for pid in tree.processes():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if word.encode() in command:
            found.append(pid)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(AT_CHECK))
def test_a_check_names_what_is_wrong_and_leaves_nothing_behind(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    rows = list(trial(source_of(name), {}, LIMITS))
    problems = [row["problem"] for row in rows if row["problem"]]
    assert any(AT_CHECK[name] in problem for problem in problems), rows
    ours = [one for one in tree.processes().values() if str(tmp_path) in tree.variable(one.pid, "TMPDIR")]
    assert [one for one in ours if one.state not in "ZX"] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_plugin_called_like_a_module_is_in_order_and_hides_nothing() -> None:
    rows = list(trial(source_of("numpy"), {}, Resources(timeout_s=60.0)))
    assert [row["problem"] for row in rows if row["problem"]] == []


@pytest.fixture(scope="module")
def place(places: Callable[[], Place]) -> Iterator[Place]:
    """A daemon with some hundred documents, whose runs have small limits, and every bad plugin in its folder."""
    made = places()
    texts = {
        "tides": "The moon pulls the sea, and the water rises twice a day.",
        "bees": "A hive holds some fifty thousand workers in summer.",
        "minutes": "The committee agreed to buy a second coffee machine.",
        "bread": "Yeast turns sugar into gas, and the dough grows.",
    }
    folder = made.folder / "kb"
    folder.mkdir()
    for number in range(100):
        for name, text in texts.items():
            (folder / f"{name}-{number}.md").write_text(f"# {name} {number}\n\n{text} It is note {number}.\n")
    (made.folder / "ragd.toml").write_text(
        '[[collections]]\nname = "notes"\nfolders = ["kb"]\n\n'
        "[learn]\nmemory_mb = 768\ndisk_mb = 32\nprocesses = 24\ntimeout_s = 8\n"
    )
    made.start("--config", "ragd.toml")
    made.until_indexed(400)
    yield made
    made.close()


def p99_ms(place: Place, until: Callable[[], bool]) -> float:
    """The 99th percentile of what a search takes, asked one after another until it is time to end."""
    took: list[float] = []
    while not until() or len(took) < 100:
        started = time.perf_counter()
        assert place.client.search(q=QUERIES[len(took) % len(QUERIES)])["hits"]
        took.append(1000 * (time.perf_counter() - started))
    return statistics.quantiles(took, n=100)[98]


def rest_ms(place: Place) -> float:
    """The p99 of search while the daemon has nothing else to do."""
    ends = iter(range(SEARCHES_AT_REST))
    return p99_ms(place, lambda: next(ends, None) is None)


def trusted(place: Place, name: str) -> str:
    """What `ragd plugins trust` says of a bad plugin, after it was copied beside the configuration."""
    shutil.copy(BAD / f"{name}.py", place.folder / f"{name}.py")
    return place.ragd("--config", "ragd.toml", "plugins", "trust", f"{name}.py", exit_code=None)


def run_of(place: Place, run_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(place.ragd("--config", "ragd.toml", "runs", "show", run_id, "--json"))
    return shown


@pytest.mark.slow
@pytest.mark.parametrize("name", NOT_TRUSTED)
def test_what_cannot_be_loaded_is_not_even_trusted(place: Place, name: str) -> None:
    said = trusted(place, name)
    assert AT_CHECK[name] in said
    assert "hint:" in said


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", sorted(IN_A_RUN))
def test_a_run_that_misbehaves_is_named_and_search_does_not_notice(
    place: Place, name: str, record_property: Callable[[str, object], None]
) -> None:
    assert "trusted " in trusted(place, name)
    place.until(lambda: name in place.ragd("--config", "ragd.toml", "plugins", "list"))
    busy_ms, at_rest_ms = beside_a_run(place, name)
    if busy_ms > max(2 * at_rest_ms, FLOOR_MS):
        # One hiccup of the machine is a p99 of some hundred searches: measured once more before it is believed.
        busy_ms, at_rest_ms = beside_a_run(place, name)
    assert busy_ms <= max(2 * at_rest_ms, FLOOR_MS), (name, busy_ms, at_rest_ms)
    record_property("p99_ms", {"busy": busy_ms, "at rest": at_rest_ms})
    assert place.client.status()["state"] == "ready"
    assert not list(place.state.rglob("escaped.txt*"))


def beside_a_run(place: Place, name: str) -> tuple[float, float]:
    """The p99 of search beside a run of the bad plugin, which must fail by its name, and at rest; milliseconds."""
    run_id = ""

    def started() -> bool:
        # The daemon takes a new plugin in within a few seconds.
        nonlocal run_id
        said = place.ragd("--config", "ragd.toml", "train", name, "--detach", exit_code=None)
        run_id = said.strip().splitlines()[-1] if "error:" not in said else ""
        return bool(run_id)

    looked_at = [0.0]
    ended: list[dict[str, Any]] = []

    def is_over() -> bool:
        if time.monotonic() - looked_at[0] > 1.0:
            looked_at[0] = time.monotonic()
            run = place.client.learn("GET", f"runs/{run_id}")
            if run["state"] in ("done", "failed", "stopped"):
                ended.append(run)
        return bool(ended)

    before_ms = rest_ms(place)
    place.until(started)
    busy_ms = p99_ms(place, is_over)
    run = run_of(place, run_id)
    assert run["state"] == "failed"
    assert name in run["reason"]
    assert any(words in run["reason"] for words in IN_A_RUN[name]), run["reason"]
    assert alive_with(f"runs/{run_id}") == []
    # Before and after: whatever else this machine does must not be laid at the plugin's door.
    return busy_ms, max(before_ms, rest_ms(place))
