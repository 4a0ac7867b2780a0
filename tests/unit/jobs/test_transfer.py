"""The files of a run through Redis: whole, checked, and never outside their folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ragd.domain.errors import PayloadInvalid, PluginRefused, TrainingFailed
from ragd.domain.index import EncoderSpec
from ragd.domain.learning import Resources, Role
from ragd.domain.training import PluginSource, RunOutcome, RunPlaces, RunRequest
from ragd.hooks.trust import Pin, write_pin
from ragd.jobs import transfer
from ragd.jobs.away import Away
from ragd.jobs.broker import FILES_PREFIX, Broker
from ragd.jobs.hold import Hold
from ragd.jobs.payload import decode, encode
from ragd.jobs.queue import Queues, RunWantsFiles
from ragd.jobs.transfer import Cargo, Carried, RunFiles, folder_files, is_safe, is_there, pull, push
from ragd.learn.records import read_request, write_outcome, write_request

DAEMONS = "y = 2\n"


def test_files_arrive_as_they_were_in_parts(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PART_BYTES", 10)
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "long.bin").write_bytes(bytes(range(95)))
    (source / "empty").touch()
    (source / "link").symlink_to(source / "empty")
    assert push(broker, "r1:out", folder_files(source, "data/")) == 95
    assert is_there(broker, "r1:out")
    assert set(pull(broker, "r1:out", tmp_path / "there")) == {"data/deep/long.bin", "data/empty"}
    assert (tmp_path / "there" / "data" / "deep" / "long.bin").read_bytes() == bytes(range(95))
    assert (tmp_path / "there" / "data" / "empty").read_bytes() == b""
    assert broker.connection.keys(f"{FILES_PREFIX}*") == []


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../a", "a/../../b", "a//b", ".", "a/./b", "a\\b", "a\0b"])
def test_a_name_that_leads_elsewhere_is_refused(name: str, broker: Broker, tmp_path: Path) -> None:
    assert not is_safe(name)
    broker.connection.set(f"{FILES_PREFIX}x", encode(Cargo((Carried(name, 0, ""),))))
    with pytest.raises(PayloadInvalid, match="is not a name for a file of a run"):
        pull(broker, "x", tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_what_does_not_arrive_whole_is_refused(broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    part = f"{FILES_PREFIX}x:0:0"
    for value, reason in ((None, "missing"), (b"123456", "too long"), (b"54321", "hash differs"), (b"", "missing")):
        push(broker, "x", {"a": tmp_path / "a"})
        if value is None:
            broker.connection.delete(part)
        else:
            broker.connection.set(part, value)
        with pytest.raises(PayloadInvalid, match=reason):
            pull(broker, "x", tmp_path / "there")
    with pytest.raises(PayloadInvalid, match="not in Redis any more"):
        pull(broker, "y", tmp_path / "there")


def test_too_much_is_not_sent(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "MOST_BYTES", 4)
    (tmp_path / "a").write_bytes(b"12345")
    with pytest.raises(PayloadInvalid, match="too much to send") as raised:
        push(broker, "x", {"a": tmp_path / "a"})
    assert "share the daemon's disk" in raised.value.hint


def test_only_what_a_run_makes_comes_back(broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    for name in ("request.json", "data/pairs.jsonl", "heldout/queries.jsonl", "report.md"):
        push(broker, "r1:back", {name: tmp_path / "a"})
        with pytest.raises(PayloadInvalid):
            RunFiles(broker).receive("r1", RunPlaces(tmp_path / "r1"))


def prepared(folder: Path, plugin: PluginSource, model: Path) -> RunPlaces:
    """A run on the daemon's machine, with a model that only that has."""
    places = RunPlaces(folder / "r1")
    (places.data).mkdir(parents=True)
    (places.data / "pairs.jsonl").write_text("{}\n")
    model.mkdir()
    (model / "config.json").write_text("{}")
    request = RunRequest(
        "r1", "t", Role.ENCODER, plugin, 1, Resources(), EncoderSpec(), "/models", model_folder=str(model)
    )  # fmt: skip
    write_request(places, request)
    places.checkpoints.mkdir()
    (places.checkpoints / "step").write_text("4")
    return places


def wanted(broker: Broker) -> RunWantsFiles | None:
    index = Hold(broker.connection, "index", "daemon")
    taken = index.take(None)
    if taken is None:
        return None
    index.finish(taken.task)
    return decode(RunWantsFiles, taken.task.body)


def test_a_worker_asks_for_data_first_and_then_for_the_models_it_lacks(
    broker: Broker, queues: Queues, tmp_path: Path
) -> None:
    places = prepared(tmp_path / "daemon", PluginSource("p", "bundled"), tmp_path / "model")
    away = Away(broker, queues, tmp_path / "worker" / "runs", tmp_path / "worker" / "models", None)
    asked: list[RunWantsFiles] = []

    def daemon_answers() -> bool:  # asked while the worker waits
        if (wish := wanted(broker)) is not None:
            asked.append(wish)
            (tmp_path / "away").rename(tmp_path / "model") if wish.lacks else None
            RunFiles(broker).send(places, wish.lacks)
            (tmp_path / "model").rename(tmp_path / "away")  # another machine does not have it
        return False

    fetched = away.fetch("r1", daemon_answers)
    assert fetched is not None
    assert asked == [RunWantsFiles("r1", ()), RunWantsFiles("r1", ("model_folder",))]
    request = read_request(fetched)
    assert request.model_folder == str(fetched.folder / "models" / "model_folder")
    assert Path(request.model_folder, "config.json").is_file()
    assert request.models == str(tmp_path / "worker" / "models")
    assert (fetched.data / "pairs.jsonl").is_file()
    assert (fetched.checkpoints / "step").read_text() == "4"
    assert away.fetch("r1", lambda: True) == fetched  # it is here now: a killed worker's run goes on

    (fetched.work / "out").mkdir()
    (fetched.work / "out" / "a.json").write_text("{}")
    fetched.log.write_text("said")
    outcome = RunOutcome("trained", artifact="work/out")
    write_outcome(fetched, outcome)
    away.give_back("r1", fetched, outcome)
    assert set(RunFiles(broker).receive("r1", places)) == {"log.txt", "outcome.json", "work/out/a.json"}
    assert places.log.read_text() == "said"
    away.tidy(fetched, outcome)
    assert fetched.folder.is_dir()
    away.tidy(fetched, RunOutcome("stopped"))
    assert not fetched.folder.exists()


def test_the_runs_of_a_daemon_of_the_same_state_folder_are_never_touched(
    broker: Broker, queues: Queues, tmp_path: Path
) -> None:
    runs, old = tmp_path / "state" / "runs", time.time() - 2 * 86400
    places = prepared(runs, PluginSource("p", "bundled"), tmp_path / "model")
    before = RunPlaces(runs / "r0")
    before.folder.mkdir()
    write_outcome(before, RunOutcome("trained"))
    os.utime(before.outcome, (old, old))

    def daemon_answers() -> bool:
        if (wish := wanted(broker)) is not None:
            RunFiles(broker).send(places, wish.lacks)
        return False

    away = Away(broker, queues, runs, tmp_path / "state" / "models", None)
    fetched = away.fetch("r1", daemon_answers)
    assert fetched is not None
    assert fetched.folder != places.folder
    away.tidy(fetched, RunOutcome("failed"))
    assert {place.name for place in runs.iterdir()} == {"r0", "r1"}


def test_copies_are_forgotten_a_day_after_somebody_wrote_to_them_last(
    broker: Broker, queues: Queues, tmp_path: Path
) -> None:
    old = time.time() - 2 * 86400
    for name in ("ended", "killed", ".cut.part", "young"):
        places = RunPlaces(tmp_path / "away" / name)
        places.folder.mkdir(parents=True)
        places.log.touch()
        write_outcome(places, RunOutcome("trained")) if name == "ended" else None
        for path in (*places.folder.iterdir(), places.folder) if name != "young" else ():
            os.utime(path, (old, old))
    assert Away(broker, queues, tmp_path / "runs", tmp_path / "models", None).fetch("r1", lambda: True) is None
    assert [place.name for place in (tmp_path / "away").iterdir()] == ["young"]


def test_a_worker_whose_run_is_not_sent_gives_it_up(broker: Broker, queues: Queues, tmp_path: Path) -> None:
    def daemon_refuses() -> bool:
        if (wish := wanted(broker)) is not None:
            RunFiles(broker).refuse(wish.run_id)
        return False

    with pytest.raises(TrainingFailed):
        Away(broker, queues, tmp_path / "runs", tmp_path / "models", None).fetch("r1", daemon_refuses)
    assert broker.connection.keys(f"{FILES_PREFIX}*") == []


def test_a_worker_that_is_to_stop_waits_no_longer(broker: Broker, queues: Queues, tmp_path: Path) -> None:
    assert Away(broker, queues, tmp_path, tmp_path, None).fetch("r1", lambda: True) is None


@pytest.mark.parametrize("run_id", ["../r1", "a/b", ""])
def test_the_id_of_a_run_is_no_path(run_id: str, broker: Broker, queues: Queues, tmp_path: Path) -> None:
    with pytest.raises(PayloadInvalid):
        Away(broker, queues, tmp_path, tmp_path, None).fetch(run_id, lambda: True)


def test_a_plugin_file_is_looked_for_in_the_workers_own_folder_only(
    broker: Broker, queues: Queues, tmp_path: Path
) -> None:
    plugin = PluginSource(
        "p", "file", str(tmp_path / "anywhere" / "p.py"), hashlib.sha256(DAEMONS.encode()).hexdigest()
    )
    places = prepared(tmp_path / "daemon", plugin, tmp_path / "model")

    def daemon_answers() -> bool:
        if (wish := wanted(broker)) is not None:
            RunFiles(broker).send(places, wish.lacks)
        return False

    plugins = tmp_path / "plugins"
    plugins.mkdir(mode=0o700)

    def fetch() -> RunPlaces | None:
        shutil.rmtree(tmp_path / "w", ignore_errors=True)
        return Away(broker, queues, tmp_path / "w", tmp_path / "state" / "models", plugins).fetch("r1", daemon_answers)

    with pytest.raises(PluginRefused, match=r"p\.py is not on this machine"):
        fetch()
    (plugins / "p.py").write_text("x = 1\n")
    with pytest.raises(PluginRefused, match="not trusted yet"):
        fetch()
    write_pin(tmp_path / "state", Pin("p", hashlib.sha256(b"x = 1\n").hexdigest(), 1.0))
    with pytest.raises(PluginRefused, match="is not the daemon's"):
        fetch()
    (plugins / "p.py").write_text(DAEMONS)
    write_pin(tmp_path / "state", Pin("p", hashlib.sha256(DAEMONS.encode()).hexdigest(), 1.0))
    fetched = fetch()
    assert fetched is not None
    assert read_request(fetched).plugin.path == str(plugins / "p.py")


def test_a_folder_that_redis_names_runs_plugin_files_only_where_they_are_trusted(
    broker: Broker, queues: Queues, tmp_path: Path
) -> None:
    plugins, state = tmp_path / "plugins", tmp_path / "state"
    plugins.mkdir(mode=0o700)
    (plugins / "p.py").write_text(DAEMONS)
    evil = PluginSource("p", "file", str(tmp_path / "evil.py"), hashlib.sha256(b"evil").hexdigest())
    away = Away(broker, queues, state / "runs", state / "models", plugins)
    theirs = prepared(tmp_path / "anywhere", evil, tmp_path / "model")
    with pytest.raises(PluginRefused, match=r"evil\.py is not on this machine"):
        away.vouch(theirs)
    own = prepared(state / "runs", replace(evil, name="q"), tmp_path / "other")
    away.vouch(own)  # only the daemon writes there
    with pytest.raises(PluginRefused, match="is not on this machine"):
        away.vouch(RunPlaces(state / "runs" / ".." / ".." / "anywhere" / "r1"))
    trusted = replace(evil, path="/daemon/p.py", sha256=hashlib.sha256(DAEMONS.encode()).hexdigest())
    shared = prepared(tmp_path / "shared", trusted, tmp_path / "third")
    with pytest.raises(PluginRefused, match="not trusted yet"):
        away.vouch(shared)
    write_pin(state, Pin("p", trusted.sha256, 1.0))
    away.vouch(shared)
