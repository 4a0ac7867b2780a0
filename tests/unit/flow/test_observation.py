"""What comes in is looked at once: new documents by the change sequence, queries by the journal, kept for a restart."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ragd.domain.deciding import Window
from ragd.domain.errors import DiskFull
from ragd.domain.index import Vectors
from ragd.domain.search import Query
from ragd.flow import observation as module
from ragd.flow.observation import Observation
from ragd.learn.observe import Lens
from tests.unit.flow.house import House, Rotated

pytestmark = pytest.mark.slow  # hundreds of windows

SIZE, WARMUP = Lens().size, Lens().warmup
WORDS = tuple(f"{kind}{n}" for kind in ("river", "forest", "meadow") for n in range(60))
OTHER = ("engine", "piston", "valve")


def lines(count: int, seed: int, words: tuple[str, ...] = WORDS) -> list[str]:
    """So many texts of four words and one of their own."""
    random = np.random.default_rng(seed)
    return [f"{' '.join(random.choice(words, 4))} x{seed}x{n}" for n in range(count)]


class Watch:
    """A house with somebody who looks at what comes in."""

    def __init__(self, state: Path) -> None:
        self.house = House(state)
        self.observation = self.made()

    def made(self) -> Observation:
        app = self.house.app
        return Observation(
            app.reader, app.generations, app.journal, self.house.state / "observed", clock=self.house.clock
        )

    def restart(self) -> None:
        self.house.restart()
        self.observation = self.made()

    def write(self, name: str, count: int, words: tuple[str, ...] = WORDS) -> None:
        self.house.write(name, *lines(count, hash_of(name), words))
        self.house.work()

    def ask(self, count: int, seed: int, words: tuple[str, ...] = WORDS, space: int = 0) -> None:
        encoder = Rotated(space)
        vectors: Vectors = encoder.encode(lines(count, seed, words))
        for vector in vectors:
            self.house.app.journal.note(Query("q"), [], 1.0, vector, encoder.space.fingerprint)

    def looked(self) -> list[Window]:
        """One round, and what was seen in it."""
        self.observation.step()
        return self.observation.collect()[0]


def hash_of(name: str) -> int:
    return sum(ord(char) * (at + 1) for at, char in enumerate(name))


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    made = Watch(tmp_path)
    yield made
    made.house.app.close()


@pytest.fixture
def warm(watch: Watch) -> Watch:
    """One that has learned from a whole folder what is usual."""
    watch.write("first.txt", SIZE * WARMUP)
    assert watch.looked() == []
    assert watch.observation.missing() == {"documents": 0, "queries": WARMUP}
    return watch


def test_while_the_folder_is_indexed_for_the_first_time_nothing_is_looked_at(watch: Watch) -> None:
    watch.house.write("first.txt", *lines(SIZE * WARMUP, 1))
    assert watch.looked() == []
    watch.house.work(generations=[])
    assert watch.looked() == []
    assert watch.observation.missing() == {"documents": WARMUP, "queries": WARMUP}
    watch.house.work()
    assert watch.looked() == []
    assert watch.observation.missing()["documents"] == 0


def test_a_small_folder_is_learned_as_it_grows(watch: Watch) -> None:
    watch.write("first.txt", SIZE * (WARMUP - 1))
    watch.looked()
    assert watch.observation.missing()["documents"] == 1
    watch.write("second.txt", SIZE)
    assert watch.looked() == []
    assert watch.observation.missing()["documents"] == 0
    watch.write("third.txt", SIZE)
    assert [window.kind for window in watch.looked()] == ["documents"]


def test_new_documents_fill_windows_which_are_told_once(warm: Watch) -> None:
    warm.write("second.txt", SIZE + 50)
    (window,) = warm.looked()
    assert (window.kind, window.size, window.is_drift) == ("documents", SIZE, False)
    assert window.at == pytest.approx(warm.house.now, abs=1.0)
    assert warm.looked() == []
    warm.write("third.txt", 50)
    assert len(warm.looked()) == 1


def test_texts_of_another_kind_are_noticed(warm: Watch) -> None:
    seen: list[Window] = []
    for number in range(3):
        warm.write(f"other{number}.txt", SIZE, OTHER)
        seen += warm.looked()
    assert len(seen) == 3
    assert all(window.is_drift for window in seen[1:])
    assert seen[-1].mmd_p is not None


def test_what_was_trained_on_is_usual_from_then_on(warm: Watch) -> None:
    for number in range(4):
        warm.write(f"other{number}.txt", SIZE, OTHER)
        warm.looked()
    warm.observation.renew()
    warm.looked()
    warm.write("more.txt", SIZE, OTHER)
    (window,) = warm.looked()
    assert not window.is_drift


def test_looking_is_charged_once(warm: Watch) -> None:
    warm.observation.collect()
    warm.write("second.txt", SIZE)
    warm.observation.step()
    windows, cost_s = warm.observation.collect()
    assert cost_s == pytest.approx(sum(window.cost_s for window in windows), abs=1e-6)
    assert cost_s > 0
    assert warm.observation.collect() == ([], 0.0)


def test_queries_are_looked_at_once_and_in_their_own_space_only(warm: Watch) -> None:
    warm.ask(SIZE * WARMUP, seed=1)
    warm.ask(40, seed=2, space=5)
    assert warm.looked() == []
    assert warm.observation.missing()["queries"] == 0
    warm.ask(SIZE, seed=3)
    (window,) = warm.looked()
    assert (window.kind, window.is_drift) == ("queries", False)
    assert warm.looked() == []


def test_in_another_space_everything_is_learned_anew(warm: Watch) -> None:
    warm.ask(30, seed=1)
    warm.looked()
    warm.house.app.promotions.promote(warm.house.encoder(1))
    warm.house.work()
    warm.house.app.promotions.step()
    assert warm.house.serving == "rotated-1 in rotated-1"
    assert warm.looked() == []
    assert warm.observation.missing() == {"documents": 0, "queries": WARMUP}
    warm.write("second.txt", SIZE)
    (window,) = warm.looked()
    assert not window.is_drift


def test_what_was_learned_is_kept_and_taken_up_again(warm: Watch) -> None:
    warm.write("second.txt", 60)
    warm.looked()
    warm.house.now += module._SAVE_S
    warm.observation.step()
    assert sorted(path.name for path in (warm.house.state / "observed").iterdir()) == [
        "documents.safetensors",
        "queries.safetensors",
    ]
    warm.restart()
    assert warm.looked() == []
    assert warm.observation.missing()["documents"] == 0
    assert warm.observation.collect() == ([], 0.0)  # what was charged before is not charged again
    warm.write("third.txt", 40)
    assert len(warm.looked()) == 1  # sixty were there already


@pytest.mark.parametrize("damage", [b"", b"not safetensors at all"])
def test_a_damaged_memory_is_forgotten_and_learned_anew(
    warm: Watch, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    warm.observation._save()
    (warm.house.state / "observed" / "documents.safetensors").write_bytes(damage)
    warm.restart()
    assert warm.looked() == []
    assert warm.observation.missing()["documents"] == 0
    assert "observer_forgotten kind=documents" in caplog.text


def test_a_full_disk_is_said_and_looking_goes_on(
    warm: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def has_no_room(*_: object) -> None:
        raise DiskFull("no room")

    monkeypatch.setattr(module, "remember", has_no_room)
    warm.house.now += module._SAVE_S
    warm.write("second.txt", SIZE)
    assert len(warm.looked()) == 1
    assert 'observers_not_kept reason="no room"' in caplog.text


def test_the_thread_goes_on_after_a_bug_and_keeps_what_was_learned_at_its_end(
    warm: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_ROUND_S", 0.001)
    was_broken, has_looked = threading.Event(), threading.Event()
    step = Observation.step

    def breaks_once(self: Observation) -> None:
        if not was_broken.is_set():
            was_broken.set()
            raise ZeroDivisionError
        step(self)
        has_looked.set()

    monkeypatch.setattr(Observation, "step", breaks_once)
    warm.observation.start()
    assert has_looked.wait(20)
    warm.observation.stop()
    assert "observation_broke" in caplog.text
    assert (warm.house.state / "observed" / "documents.safetensors").exists()
    assert "observe" not in [thread.name for thread in threading.enumerate()]
