"""A state folder comes back from its backup as it was: answers, receipts, models; and a bad file changes nothing."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ragd.catalog.migrate import FORMAT
from ragd.catalog.store import CATALOG, Store
from ragd.disk.faults import VARIABLE
from ragd.disk.lock import StateLock
from ragd.disk.mark import MARK, require_whole
from ragd.domain.errors import BackupInvalid, DiskFull, NotFound, PathInvalid, StateCorrupt, StateLocked, StateNewer
from ragd.domain.learning import Role
from ragd.flow import backup as backing_up
from ragd.flow.backup import back_up
from ragd.flow.backup_file import BackupManifest, Part
from ragd.flow.restoring import check_backup, restore_backup
from ragd.index.snapshot import write_snapshot
from ragd.index.verify import verify
from tests.unit.catalog.test_migrate import OLD, ROWS
from tests.unit.flow.house import House

PARTS = ("otters swim upstream", "beavers build dams", "foxes dig dens")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A running app with a promoted adapter, one that it replaced, and one that was given up."""
    made = House(tmp_path / "state")
    made.write("river.txt", *PARTS)
    made.work()
    for scale in (-2.0, 0.0, 0.0):
        made.app.promotions.promote(made.adapter(scale=scale))
    write_snapshot(made.app.places.generation(made.app.generation_id), made.app.model.space, made.app.index)
    (made.state / "tokens.json").write_text('{"format": 1}')
    yield made
    made.app.close()


def take(state: Path, file: Path, **options: Any) -> BackupManifest:
    return back_up(state, file, version="9.9", now=5000.0, **options)


def test_a_backup_of_a_running_app_brings_answers_receipts_and_models_back(house: House, tmp_path: Path) -> None:
    file, elsewhere = tmp_path / "ragd.backup", tmp_path / "elsewhere"
    before = house.app.reader.overview.receipts(limit=100)
    heard: list[tuple[str, int, int]] = []
    with house.app.tables.store.transaction() as db:  # a writer amid a commit does not hold it up
        db.execute("INSERT INTO facts VALUES ('not committed', 1)")
        manifest = take(house.state, file, heard=lambda *what: heard.append(what))
    house.write("lake.txt", "pikes wait in the reeds")
    house.work()
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert heard[-1][1:] == (manifest.size_bytes, manifest.size_bytes)
    assert check_backup(file) == manifest
    kept = {part.path for part in manifest.parts}
    assert {"catalog.db", "tokens.json"} <= kept
    assert {path.split("/")[2] for path in kept if path.startswith("models/")} == {"2", "3"}

    assert restore_backup(file, elsewhere) == manifest
    back = House(elsewhere)
    back.files[b"river.txt"] = house.files[b"river.txt"]
    assert back.app.restored == "snapshot, 0 replayed"
    assert back.app.reader.overview.receipts(limit=100) == before
    assert [back.found(text) for text in PARTS] == [house.found(text) for text in PARTS]
    assert back.champion(Role.QUERY_ADAPTER) == house.champion(Role.QUERY_ADAPTER)
    assert back.app.tables.models.model(1).status == "pruned"
    assert back.app.tables.store.connection.execute("SELECT * FROM facts WHERE name = 'not committed'").fetchall() == []
    assert verify(back.app.index, back.app.reader.replay, back.app.generation_id).is_clean
    back.app.promotions.roll_back(Role.QUERY_ADAPTER)
    back.write("lake.txt", "pikes wait in the reeds")
    back.work()
    assert back.found("pikes wait in the reeds") == ["pikes wait in the reeds"]
    back.app.close()


def test_without_the_index_it_is_built_anew_from_stored_vectors(house: House, tmp_path: Path) -> None:
    whole, small = take(house.state, tmp_path / "whole"), take(house.state, tmp_path / "small", with_index=False)
    assert any(part.path.startswith("generations/") for part in whole.parts)
    assert not any(part.path.startswith("generations/") for part in small.parts)
    restore_backup(tmp_path / "small", tmp_path / "elsewhere")
    back = House(tmp_path / "elsewhere")
    assert back.app.restored == "rebuilt, 0 replayed"
    assert [back.found(text) for text in PARTS] == [house.found(text) for text in PARTS]
    assert back.outbox.embeds == []
    back.app.close()


@pytest.mark.slow
def test_a_copy_is_of_one_moment_though_commits_go_on_in_every_slice(house: House, tmp_path: Path) -> None:
    with house.app.tables.store.transaction() as db:
        db.executemany("INSERT INTO facts VALUES (?, ?)", [(f"fact {i}", "x" * 4000) for i in range(4000)])
    slices = 0

    def commits(what: str, _done: int, _total: int) -> None:
        nonlocal slices
        if what == "copying the catalog":
            slices += 1
            with house.app.tables.store.transaction() as db:
                db.execute("INSERT INTO facts VALUES (?, 'later')", (f"during slice {slices}",))

    take(house.state, tmp_path / "file", heard=commits)
    assert slices > 3
    restore_backup(tmp_path / "file", tmp_path / "elsewhere")
    with sqlite3.connect(tmp_path / "elsewhere" / CATALOG) as copy:
        count = copy.execute("SELECT count(*), sum(value = 'later') FROM facts WHERE name LIKE 'fact %'").fetchone()
        assert count == (4000, 0)
        assert copy.execute("SELECT count(*) FROM facts WHERE name LIKE 'during%'").fetchone() == (0,)
    copy.close()


def test_what_killed_backups_left_goes_and_what_is_not_theirs_stays(house: House, tmp_path: Path) -> None:
    work, places = {}, ("killed00", "running0", "strange0", "starting")
    for place, name in zip(places, ("catalog.db", "catalog.db", "mine", ""), strict=True):
        work[place] = make(tmp_path / f".ragd-backup-{place}")
        if name:
            (work[place] / name).write_text("x")
    held = os.open(work["running0"], os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    take(house.state, tmp_path / "monday[1]")
    os.close(held)
    assert [place for place in places if work[place].exists()] == ["running0", "strange0", "starting"]
    assert len(list(tmp_path.glob(".*"))) == 3


def test_a_model_whose_files_changed_is_left_out_and_named(house: House, tmp_path: Path) -> None:
    (house.folder(3) / "transform.json").write_text("{}")
    manifest = take(house.state, tmp_path / "file")
    assert manifest.notes == ("the model query_adapter/3 is left out: transform.json is not the file that was stored",)
    assert not any(part.path.startswith("models/query_adapter/3") for part in manifest.parts)


def test_what_is_there_is_not_overwritten_unless_it_is_said(house: House, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(PathInvalid, match="is there already"):
        take(house.state, file)
    assert file.read_text() == "precious"
    os.mkfifo(tmp_path / "device")
    for is_no_file in (tmp_path / "device", tmp_path):
        with pytest.raises(PathInvalid, match="is no file"):
            take(house.state, is_no_file, replace=True)
    take(house.state, file, replace=True)
    with pytest.raises(StateLocked), StateLock(tmp_path / "other"):
        restore_backup(file, tmp_path / "other", force=True)
    (tmp_path / "other" / "note.txt").write_text("mine")
    with pytest.raises(PathInvalid, match=r"not empty: it holds note\.txt"):
        restore_backup(file, tmp_path / "other")
    (tmp_path / "other" / "trusted-plugins.json").write_text("{}")
    export = tmp_path / "other" / "models" / "minilm" / "0123456789abcdef"
    export.mkdir(parents=True)
    (tmp_path / "other" / "models" / "query_adapter" / "3").mkdir(parents=True)
    restore_backup(file, tmp_path / "other", force=True)
    names = {path.name for path in (tmp_path / "other").iterdir()}
    assert names == {"lock", "trusted-plugins.json", "catalog.db", "generations", "models", "tokens.json"}
    assert export.is_dir()
    assert (tmp_path / "other" / "models" / "query_adapter" / "3" / "transform.json").is_file()
    for place, problem in ((house.state / "in", "itself"), (tmp_path / "no" / "where", "not a folder")):
        with pytest.raises(PathInvalid, match=problem):
            take(house.state, place)
    with pytest.raises(NotFound, match="no catalog"):
        take(tmp_path / "nothing", tmp_path / "new")


def test_too_little_room_is_seen_before_anything_is_written(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(house.state, tmp_path / "file")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1000))
    with pytest.raises(DiskFull, match="no room for a backup"):
        take(house.state, tmp_path / "second")
    with pytest.raises(DiskFull, match="no room to restore"):
        restore_backup(tmp_path / "file", tmp_path / "elsewhere")
    assert {path.name for path in (tmp_path / "elsewhere").iterdir()} == {"lock"}
    assert not (tmp_path / "second").exists()


def test_a_damaged_file_is_refused_and_changes_nothing(house: House, tmp_path: Path) -> None:
    file, elsewhere = tmp_path / "file", tmp_path / "elsewhere"
    take(house.state, file)
    good = file.read_bytes()
    rng = random.Random(3)
    for turn in range(60):
        bad = bytearray(good)
        if turn % 2:
            del bad[rng.randrange(len(bad)) :]
        else:
            bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        file.write_bytes(bad)
        with pytest.raises(BackupInvalid, match=str(file)):
            restore_backup(file, elsewhere)
        assert {path.name for path in elsewhere.iterdir()} <= {"lock"}
    for other in (b"", b"nothing of the kind" * 100, bytes(4096)):
        file.write_bytes(other)
        with pytest.raises(BackupInvalid):
            check_backup(file)
    with pytest.raises(NotFound):
        check_backup(tmp_path / "nothing")
    with pytest.raises(BackupInvalid, match="is a folder"):
        check_backup(tmp_path)


def rewritten(state: Path, file: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """A backup whose manifest says something else, sealed as a backup is."""
    real = BackupManifest

    def other(*values: Any) -> BackupManifest:
        made = real(*values)
        return real(**({name: getattr(made, name) for name in made.__slots__} | changes))

    with monkeypatch.context() as patch:
        patch.setattr(backing_up, "BackupManifest", other)
        take(state, file, replace=True)


def test_another_format_or_a_manifest_that_names_other_places_is_refused(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    rewritten(house.state, file, monkeypatch, format=2)
    with pytest.raises(StateNewer, match="format 2"):
        check_backup(file)
    rewritten(house.state, file, monkeypatch, format=0)
    with pytest.raises(BackupInvalid):
        check_backup(file)
    for path in ("../catalog.db", "lock", "models/x", "/etc/passwd", "runs/1/log", "trusted-plugins.json", 7):
        bad = (Part(CATALOG, 1, ""), Part(path, 1, ""))  # type: ignore[arg-type] # what a forger may write
        rewritten(house.state, file, monkeypatch, parts=bad)
        with pytest.raises(BackupInvalid, match="manifest"):
            restore_backup(file, tmp_path / "elsewhere")


def test_an_older_catalog_is_upgraded_and_a_newer_one_refused(tmp_path: Path) -> None:
    state, file = tmp_path / "state", tmp_path / "file"
    House(state).app.close()
    for version, statements in ((1, (*OLD.split(";\n"), *ROWS)), (99, ())):
        (state / CATALOG).unlink()
        with sqlite3.connect(state / CATALOG) as catalog:
            catalog.executescript(";\n".join(statements))
            catalog.execute(f"PRAGMA user_version = {version}")
        catalog.close()
        _as_it_is(state, file)
        if version == 99:
            with pytest.raises(StateNewer, match="format 99"):
                restore_backup(file, tmp_path / "newer")
            assert {path.name for path in (tmp_path / "newer").iterdir()} == {"lock"}
        else:
            restore_backup(file, tmp_path / "older")
            back = House(tmp_path / "older")
            texts = back.app.tables.store.connection.execute("SELECT text FROM chunks ORDER BY id").fetchall()
            assert texts == [("one",), ("two",)]
            back.app.close()


def _as_it_is(state: Path, file: Path) -> None:
    """A backup as a ragd wrote it whose catalog had another format."""
    data = (state / CATALOG).read_bytes()
    part = Part(CATALOG, len(data), hashlib.sha256(data).hexdigest())
    manifest = BackupManifest(1, "0.0.1", 1.0, 1, 0, 0, (), (part,))
    with (state / CATALOG).open("rb") as catalog:
        file.unlink(missing_ok=True)
        backing_up._write(file, manifest, [backing_up._Source(CATALOG, catalog, len(data))], lambda *_: None)


def test_a_damaged_catalog_is_not_backed_up(house: House, tmp_path: Path) -> None:
    house.app.close()
    data = bytearray((house.state / CATALOG).read_bytes())
    data[4096 * 3 : 4096 * 6] = os.urandom(4096 * 3)
    (house.state / CATALOG).write_bytes(data)
    with pytest.raises(StateCorrupt, match="damaged"):
        take(house.state, tmp_path / "file")
    assert not (tmp_path / "file").exists()
    shutil.rmtree(house.state)
    house.state.mkdir()
    house.app = House(house.state).app


def test_a_folder_between_old_and_new_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    require_whole(tmp_path)
    (tmp_path / MARK).write_text("/backups/monday\n")
    with pytest.raises(StateCorrupt, match="cut off") as caught:
        require_whole(tmp_path)
    assert caught.value.hint == f"do it again: `ragd --state {tmp_path} restore --force /backups/monday`"


def test_manifests_are_json_that_people_can_read(house: House, tmp_path: Path) -> None:
    said = json.loads(take(house.state, tmp_path / "file").encoded())
    assert (said["format"], said["ragd"], said["created_at"], said["catalog_format"]) == (1, "9.9", 5000.0, FORMAT)


def command(*arguments: str, killed_at: str = "") -> int:
    environment = {**os.environ, VARIABLE: killed_at}
    done = subprocess.run([sys.executable, "-m", "ragd", *arguments], env=environment, capture_output=True, check=False)
    assert b"Traceback" not in done.stderr
    return done.returncode


@pytest.mark.slow
@pytest.mark.parametrize("point", ["restore.before_swap", "restore.in_swap", "restore.after_swap"])
def test_a_restore_that_is_killed_is_done_again_and_nobody_starts_before(
    house: House, tmp_path: Path, point: str
) -> None:
    file, state = tmp_path / "ragd.backup", tmp_path / "other"
    take(house.state, file)
    Store(make(state)).close()
    (state / "models" / "lora" / "7").mkdir(parents=True)
    restore = ("--state", str(state), "restore", "--force", str(file))
    assert command(*restore, killed_at=point) == -signal.SIGKILL
    with pytest.raises(StateCorrupt, match="was cut off") as refused:
        Store(state)
    assert refused.value.hint == f"do it again: `ragd {' '.join(restore)}`"
    assert command(*restore) == 0
    assert not [*state.glob(".re*"), *state.glob("models/.re*")]
    assert sorted(path.name for path in state.glob("models/*/*")) == ["2", "3"]
    kept = Store(state)
    for table in ("documents", "chunks", "vectors", "models", "receipts"):
        counts = [
            s.connection.execute(f"SELECT count(*) FROM {table}").fetchone() for s in (kept, house.app.tables.store)
        ]
        assert counts[0] == counts[1]
    kept.close()


@pytest.mark.slow
def test_a_restore_where_the_models_lie_on_a_disk_of_their_own(house: House, tmp_path: Path) -> None:
    file, state, seen = tmp_path / "ragd.backup", tmp_path / "other", tmp_path / "seen"
    take(house.state, file)
    Store(make(state)).close()
    models = make(state / "models")
    script = f"""
        mount -t tmpfs tmpfs {models} || exit 77
        mkdir -p {models}/lora/7 {models}/minilm/0123456789abcdef
        {sys.executable} -m ragd --state {state} restore --force {file} && cp -r {state} {seen}
    """
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("nothing can be mounted here")
    assert (done.returncode, done.stderr) == (0, "")
    require_whole(seen)
    assert sorted(path.relative_to(seen).as_posix() for path in seen.glob("models/*/*")) == [
        *("models/minilm/0123456789abcdef", "models/query_adapter/2", "models/query_adapter/3")
    ]
    assert not [*seen.glob(".re*"), *seen.glob("models/.re*")]


@pytest.mark.slow
def test_a_backup_that_is_killed_leaves_the_one_before(house: House, tmp_path: Path) -> None:
    file = tmp_path / "ragd.backup"
    take(house.state, file)
    before = file.read_bytes()
    backup = ("--state", str(house.state), "backup", "--force", str(file))
    assert command(*backup, killed_at="backup.before_rename") == -signal.SIGKILL
    assert file.read_bytes() == before
    tuesday = tmp_path / "tuesday.backup"
    assert command("--state", str(house.state), "backup", str(tuesday)) == 0
    assert check_backup(tuesday).catalog_format == FORMAT
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def make(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    return folder
