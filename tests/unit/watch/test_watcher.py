"""The watcher, stepped by hand over real folders: scans, holds, roots that go and come, a broker that is away."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ragd.domain.changes import Action, Observation, Presence
from ragd.domain.documents import content_hash
from ragd.domain.errors import BrokerUnavailable
from ragd.testing.folder_catalog import FolderCatalog
from ragd.watch.ignore import IgnoreSettings
from ragd.watch.inbox import Hint, PathHint, ScanHint
from ragd.watch.progress import WatchSettings
from ragd.watch.roots import Mount, RootState, WatchedRoot
from ragd.watch.settle import Kind
from ragd.watch.watcher import Watcher

REMOTE = (Mount(b"/", "nfs4"),)  # nothing is heard, so that nothing but the test moves the watcher


@dataclass
class Clock:
    """The real time plus what the test adds, so that the times of files still mean something."""

    ahead_s: float = 10.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@dataclass
class Desk:
    """A watcher over one root and a catalog that it tells."""

    root: Path
    catalog: FolderCatalog = field(default_factory=FolderCatalog)
    clock: Clock = field(default_factory=Clock)
    settings: WatchSettings = field(default_factory=WatchSettings)
    mounts: Callable[[], tuple[Mount, ...]] = lambda: REMOTE
    ignore: IgnoreSettings = field(default_factory=IgnoreSettings)
    broker_is_away: bool = False

    def __post_init__(self) -> None:
        self.watcher = Watcher(
            [WatchedRoot(1, os.fsencode(self.root), self.ignore)],
            self.settings,
            self.catalog,
            self.emit,
            self.clock,
            self.mounts,
        )

    def emit(self, root_id: int, observations: Sequence[Observation]) -> None:
        if self.broker_is_away:
            raise BrokerUnavailable("Redis is away")
        self.catalog.tell(root_id, observations)

    def hear(self, hint: Hint) -> None:
        """As if an event had come."""
        self.watcher._inbox.put(hint)

    def settle(self, ahead_s: float = 0.0) -> None:
        """Lets time pass and steps until nothing is due."""
        self.clock.ahead_s += ahead_s
        for _ in range(10_000):
            if self.watcher.step(self.clock()) > self.clock():
                return
        raise AssertionError("the watcher never rests")

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "kb").mkdir()
    made = Desk(tmp_path / "kb")
    yield made
    made.watcher.close()


def progress(desk: Desk):  # type: ignore[no-untyped-def]
    (one,) = desk.watcher.progress()
    return one


def test_the_first_scan_tells_everything_in_batches_and_nothing_of_it_is_fresh(desk: Desk) -> None:
    for number in range(300):
        desk.write(f"{number % 7}/{number}.md", str(number))
    desk.settle()
    assert len(desk.catalog.paths) == 300
    assert not any(seen.fresh for seen in desk.catalog.told)
    assert all(seen.seen_at and seen.stable_at for seen in desk.catalog.told)
    one = progress(desk)
    assert (one.files, one.folders, one.scans, one.is_scanning) == (300, 8, 1, False)
    assert one.facts.state is RootState.OK


def test_a_network_mount_is_scanned_often_and_its_finds_are_fresh(desk: Desk) -> None:
    desk.settle()
    assert str(progress(desk).hearing) == "scanning only: a nfs4 mount does not tell of changes made elsewhere"
    desk.write("new.md", "new")
    desk.settle(ahead_s=20)
    assert desk.catalog.paths == set()
    desk.settle(ahead_s=15)
    assert desk.catalog.paths == {b"new.md"}
    assert desk.catalog.told[-1].fresh


def test_a_file_found_while_it_may_still_be_written_waits_for_its_rest(desk: Desk) -> None:
    desk.clock.ahead_s = 0
    desk.write("growing.md", "one")
    desk.settle()
    assert desk.catalog.paths == set()
    assert progress(desk).waiting == 1
    desk.settle(ahead_s=2.5)
    assert desk.catalog.paths == {b"growing.md"}
    assert progress(desk).waiting == 0


def test_a_scan_asked_for_covers_one_folder(desk: Desk) -> None:
    desk.settle()
    desk.write("a/x.md", "x")
    desk.write("b/y.md", "y")
    assert desk.watcher.rescan(os.fsencode(desk.root / "a"))
    assert not desk.watcher.rescan(b"/nowhere")
    desk.settle(ahead_s=3)
    assert desk.catalog.paths == {b"a/x.md"}
    assert desk.watcher.rescan()
    desk.settle()
    assert desk.catalog.paths == {b"a/x.md", b"b/y.md"}


def test_a_path_can_be_looked_at_again(desk: Desk) -> None:
    desk.write("x.md", "x")
    desk.settle()
    del desk.catalog.documents[b"x.md"]
    desk.watcher.recheck(1, b"x.md")
    desk.settle(ahead_s=1)
    assert desk.catalog.paths == {b"x.md"}


def test_deletions_found_by_a_scan_are_believed_when_they_are_few(desk: Desk) -> None:
    for number in range(40):
        desk.write(f"{number}.md", str(number))
    desk.settle()
    for number in range(12):
        (desk.root / f"{number}.md").unlink()
    desk.settle(ahead_s=31)
    assert len(desk.catalog.paths) == 28
    assert progress(desk).held is None


def test_many_deletions_are_held_until_a_person_accepts_them(desk: Desk) -> None:
    for number in range(40):
        desk.write(f"{number}.md", str(number))
    desk.settle()
    for number in range(13):
        (desk.root / f"{number}.md").unlink()
    desk.write("new.md", "new")
    desk.settle(ahead_s=31)
    desk.settle(ahead_s=31)
    assert len(desk.catalog.paths) == 41
    held = progress(desk).held
    assert "13 of 41 documents are missing" in held.reason
    assert set(held.examples) <= {f"{number}.md" for number in range(13)}
    assert len(held.examples) == 10
    assert desk.watcher.confirm(b"/another") == {}
    assert desk.watcher.confirm(os.fsencode(desk.root)) == {os.fsencode(desk.root): held}
    desk.settle()
    assert len(desk.catalog.paths) == 28
    assert progress(desk).held is None


def test_no_more_is_deleted_than_a_person_agreed_to(desk: Desk) -> None:
    for number in range(40):
        desk.write(f"{number}.md", str(number))
    desk.settle()
    for number in range(13):
        (desk.root / f"{number}.md").unlink()
    desk.settle(ahead_s=31)
    agreed = desk.watcher.confirm()
    (desk.root / "13.md").unlink()
    desk.settle()
    assert [held.missing for held in agreed.values()] == [13]
    assert len(desk.catalog.paths) == 40
    assert progress(desk).held.missing == 14
    desk.watcher.confirm()
    desk.settle()
    assert len(desk.catalog.paths) == 26


@pytest.mark.parametrize("way", ["files", "folders"])
def test_a_root_emptied_before_the_watchers_eyes_is_held_all_the_same(desk: Desk, way: str) -> None:
    for number in range(20):
        desk.write(f"{number % 2}/{number}.md", str(number))
    desk.write(".git/config", "is not wanted, and stays")
    desk.settle()
    for folder in ("0", "1"):
        if way == "files":
            for path in (desk.root / folder).iterdir():
                path.unlink()
                desk.hear(PathHint(1, os.fsencode(path.relative_to(desk.root)), Kind.DELETED, desk.clock()))
        else:
            shutil.rmtree(desk.root / folder)
            desk.hear(ScanHint(1, folder.encode(), "folder deleted", desk.clock(), is_told=True))
    desk.settle(ahead_s=1)
    assert len(desk.catalog.paths) == 20
    assert (progress(desk).held.missing, progress(desk).held.known) == (20, 20)
    for number in range(20):
        desk.write(f"{number % 2}/{number}.md", str(number))
    desk.hear(PathHint(1, b"1/19.md", Kind.CLOSED, desk.clock()))
    desk.settle()
    desk.settle(ahead_s=3)
    assert progress(desk).held is None
    assert not any(action is Action.DELETE for action, _ in desk.catalog.actions)


def test_few_files_that_all_go_one_by_one_are_believed(desk: Desk) -> None:
    for number in range(3):
        desk.write(f"{number}.md", str(number))
    desk.settle()
    for number in range(3):
        (desk.root / f"{number}.md").unlink()
        desk.hear(PathHint(1, f"{number}.md".encode(), Kind.DELETED, desk.clock()))
    desk.settle(ahead_s=1)
    assert desk.catalog.paths == set()
    assert progress(desk).held is None


def test_another_folder_in_a_roots_place_is_held_however_few_its_documents(desk: Desk) -> None:
    for number in range(4):
        desk.write(f"{number}.md", str(number))
    desk.settle()
    desk.root.rename(desk.root.parent / "away")
    desk.settle(ahead_s=3)
    desk.write("0.md", "0")
    desk.write("other.md", "other")
    for ahead_s in (3, 31, 31):
        desk.settle(ahead_s=ahead_s)
        assert progress(desk).held.missing == 3
    for number in range(4):
        desk.write(f"{number}.md", str(number))
    desk.settle(ahead_s=31)
    assert progress(desk).held is None
    (desk.root / "1.md").unlink()
    (desk.root / "2.md").unlink()
    desk.settle(ahead_s=31)
    assert progress(desk).held is None


def test_an_empty_root_deletes_nothing_and_is_forgiven_when_it_fills_again(desk: Desk) -> None:
    for number in range(3):
        desk.write(f"{number}.md", str(number))
    desk.settle()
    away = desk.root.parent / "away"
    away.mkdir()
    for path in list(desk.root.iterdir()):
        path.rename(away / path.name)
    desk.settle(ahead_s=31)
    assert "the folder is empty" in progress(desk).held.reason
    assert len(desk.catalog.paths) == 3
    for path in list(away.iterdir()):
        path.rename(desk.root / path.name)
    desk.settle(ahead_s=31)
    assert progress(desk).held is None
    assert not any(action is Action.DELETE for action, _ in desk.catalog.actions)


def test_renaming_everything_is_not_a_mass_deletion(desk: Desk) -> None:
    for number in range(40):
        desk.write(f"old/{number}.md", f"text {number}")
    desk.settle()
    (desk.root / "old").rename(desk.root / "renamed")
    for number in range(20):  # the other half is copied, with new inodes and times
        path = desk.root / "renamed" / f"{number}.md"
        text = path.read_text()
        path.unlink()
        desk.write(f"copied/{number}.md", text)
    desk.settle(ahead_s=40)
    assert progress(desk).held is None
    assert len(desk.catalog.paths) == 40
    assert not any(path.startswith(b"old/") for path in desk.catalog.paths)


def test_a_missing_root_keeps_its_documents_and_is_scanned_when_it_is_back(desk: Desk) -> None:
    desk.write("x.md", "x")
    desk.settle()
    desk.root.rename(desk.root.parent / "away")
    desk.watcher.recheck(1, b"x.md")
    desk.settle(ahead_s=40)
    assert progress(desk).facts.state is RootState.MISSING
    assert "its documents are kept" in progress(desk).hearing.why
    assert desk.catalog.paths == {b"x.md"}
    (desk.root.parent / "away").rename(desk.root)
    desk.write("y.md", "y")
    desk.settle(ahead_s=40)
    assert desk.catalog.paths == {b"x.md", b"y.md"}


def test_another_folder_at_the_same_path_is_scanned_and_held_like_any_other(desk: Desk) -> None:
    for number in range(3):
        desk.write(f"{number}.md", str(number))
    desk.settle()
    desk.root.rename(desk.root.parent / "away")
    desk.root.mkdir()
    desk.settle(ahead_s=3)
    assert len(desk.catalog.paths) == 3
    assert "the folder is empty" in progress(desk).held.reason


def test_what_was_mounted_in_the_root_and_is_not_any_more_is_kept(tmp_path: Path) -> None:
    root = tmp_path / "kb"
    inner = Mount(os.fsencode(root.resolve() / "disk"), "ext4")
    mounts = [*REMOTE, inner]
    desk = Desk(root, mounts=lambda: tuple(mounts))
    desk.write("x.md", "x")
    desk.write("disk/y.md", "y")
    desk.settle()
    (root / "disk" / "y.md").unlink()
    (root / "x.md").unlink()
    desk.write("z.md", "z")
    mounts.remove(inner)
    desk.settle(ahead_s=40)
    assert desk.catalog.paths == {b"disk/y.md", b"z.md"}
    mounts.append(inner)
    desk.settle(ahead_s=40)
    assert desk.catalog.paths == {b"z.md"}
    desk.watcher.close()


@pytest.mark.slow
def test_while_the_broker_is_away_nothing_is_lost_and_nothing_piles_up(desk: Desk) -> None:
    for number in range(2000):
        desk.write(f"{number}.md", str(number))
    desk.broker_is_away = True
    for _ in range(200):
        desk.watcher.step(desk.clock())
        desk.clock.ahead_s += 1
    assert 0 < desk.watcher.untold <= 512
    desk.broker_is_away = False
    desk.settle(ahead_s=10)
    assert len(desk.catalog.paths) == 2000
    assert desk.watcher.untold == 0


def test_what_is_heard_while_the_broker_is_away_does_not_pile_up(desk: Desk) -> None:
    desk.settle()
    desk.write("x.md", "x")
    desk.broker_is_away = True
    desk.watcher.rescan()
    while not desk.watcher.untold:
        desk.clock.ahead_s += 1
        desk.watcher.step(desk.clock())
    for number in range(60_000):
        desk.hear(PathHint(1, b"%d.tmp.md" % number, Kind.CLOSED, desk.clock()))
        desk.hear(PathHint(1, b"log.md", Kind.CLOSED, desk.clock()))
        if number % 100 == 0:
            desk.watcher.step(desk.clock())
    desk.write("y.md", "y")
    desk.broker_is_away = False
    desk.clock.ahead_s += 5
    desk.watcher.step(desk.clock())
    assert progress(desk).waiting <= 50_000
    desk.settle(ahead_s=10)
    assert desk.catalog.paths == {b"x.md", b"y.md"}


def test_waiting_for_the_broker_costs_nothing_whatever_is_heard(desk: Desk) -> None:
    desk.write("x.md", "x")
    looks = refusals = 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        return desk.clock()

    def emit(root_id: int, observations: Sequence[Observation]) -> None:
        nonlocal refusals
        refusals += 1
        watcher.rescan()  # as an event that comes at the wrong moment
        if refusals == 2:
            watcher.stop()
        raise BrokerUnavailable("Redis is away")

    root = WatchedRoot(1, os.fsencode(desk.root))
    watcher = Watcher([root], desk.settings, desk.catalog, emit, clock, desk.mounts)
    watcher.run()
    assert looks < 100


def test_a_clock_set_back_only_causes_a_scan(desk: Desk) -> None:
    desk.write("x.md", "x")
    desk.clock.ahead_s = 3600
    desk.settle()
    desk.write("y.md", "y")
    desk.clock.ahead_s = 10
    desk.settle()
    assert desk.catalog.paths == {b"x.md", b"y.md"}


def test_new_ignore_rules_take_out_and_let_in_what_they_name(desk: Desk) -> None:
    desk.write("keep.md", "x")
    desk.write("drafts/a.md", "a")
    desk.settle()
    desk.write(".ragdignore", "drafts/\n")
    desk.watcher.recheck(1, b".ragdignore")
    desk.settle(ahead_s=3)
    assert desk.catalog.paths == {b"keep.md"}
    (desk.root / ".ragdignore").unlink()
    desk.watcher.recheck(1, b".ragdignore")
    desk.settle(ahead_s=3)
    assert desk.catalog.paths == {b"keep.md", b"drafts/a.md"}


def test_a_rename_tells_the_new_name_before_the_old_one(desk: Desk) -> None:
    desk.write("old.md", "x")
    desk.settle()
    desk.catalog.told.clear()
    (desk.root / "old.md").rename(desk.root / "new.md")
    desk.watcher.recheck(1, b"old.md")
    desk.watcher.recheck(1, b"new.md")
    desk.settle(ahead_s=3)
    assert [(seen.path, seen.presence) for seen in desk.catalog.told] == [
        (b"new.md", Presence.PRESENT),
        (b"old.md", Presence.GONE),
    ]
    assert all(seen.fresh for seen in desk.catalog.told)


def test_a_link_made_since_the_last_scan_follows_its_target_too(desk: Desk) -> None:
    desk.write("first.md", "one")
    desk.settle()
    (desk.root / "link.md").symlink_to("first.md")
    desk.hear(PathHint(1, b"link.md", Kind.CREATED, desk.clock()))
    desk.settle(ahead_s=3)
    desk.write("first.md", "both")
    desk.hear(PathHint(1, b"first.md", Kind.CLOSED, desk.clock()))
    desk.settle(ahead_s=1)
    assert {desk.catalog.documents[name].content_hash for name in (b"first.md", b"link.md")} == {content_hash(b"both")}


def test_a_scan_of_one_folder_forgets_no_link_elsewhere(desk: Desk) -> None:
    desk.write("first.md", "one")
    for name in ("x", "y"):
        (desk.root / name).mkdir()
        (desk.root / name / "link.md").symlink_to("../first.md")
    desk.settle()
    desk.watcher.rescan(os.fsencode(desk.root / "x"))
    desk.settle()
    desk.write("first.md", "all")
    desk.hear(PathHint(1, b"first.md", Kind.CLOSED, desk.clock()))
    desk.settle(ahead_s=1)
    assert {known.content_hash for known in desk.catalog.documents.values()} == {content_hash(b"all")}


def test_what_happens_to_folders_in_ignored_places_costs_no_scan(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write("node_modules/one/a.js", "a")
    desk.settle()
    asked: list[bytes] = []

    def digests(root_id: int, below: bytes = b"") -> dict[bytes, int]:
        asked.append(below)
        return {}

    monkeypatch.setattr(desk.catalog, "known_digests", digests)
    for folder in (b"node_modules", b"node_modules/one", b"other"):
        desk.hear(ScanHint(1, folder, "folder created", desk.clock(), must_settle=True))
    desk.watcher.step(desk.clock())
    desk.settle(ahead_s=1)
    assert asked == [b"other"]


def test_thousands_of_new_folders_are_not_gone_through_for_each_of_them(desk: Desk) -> None:
    class Counted(dict[bytes, object]):
        looks = 0

        def __iter__(self) -> Iterator[bytes]:
            for key in super().__iter__():
                Counted.looks += 1
                yield key

        def items(self):  # type: ignore[no-untyped-def]
            return [(key, self[key]) for key in self]

        def values(self):  # type: ignore[no-untyped-def]
            return [self[key] for key in self]

    desk.settle()
    desk.watcher._roots[1]._wanted = Counted()  # type: ignore[assignment]
    for number in range(1000):
        desk.write(f"{number}/a.md", str(number))
        desk.hear(ScanHint(1, b"%d" % number, "folder created", desk.clock(), must_settle=True))
    desk.watcher.step(desk.clock())
    desk.settle(ahead_s=5)
    assert len(desk.catalog.paths) == 1000
    assert Counted.looks < 10_000


def test_without_periodic_scans_only_the_first_one_runs(tmp_path: Path) -> None:
    (tmp_path / "kb").mkdir()
    desk = Desk(tmp_path / "kb", settings=WatchSettings(rescan_s=0), mounts=lambda: (Mount(b"/", "ext4"),))
    desk.settle()
    desk.settle(ahead_s=10_000)
    assert progress(desk).scans == 1
    assert progress(desk).hearing.is_watching
    desk.watcher.close()
