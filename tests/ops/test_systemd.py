"""The unit files, read by systemd's own tools without a running systemd."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ragd.cli.units import SERVICE, SLICE, TRAIN, WORKER, Machine, files, fragments, shipped
from ragd.config.schema import Config
from ragd.domain.errors import ConfigInvalid, StateLocked, StateNewer

SHIPPED = Path(__file__).parents[2] / "systemd"
ANALYZE = shutil.which("systemd-analyze")
UNITS = (SERVICE, WORKER)
LANDLOCK = {"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"}
Install = Callable[..., Path]


class Unit(configparser.RawConfigParser):
    """A unit file as sections; a directive may come several times, and the last one counts here."""

    def __init__(self, name: str) -> None:
        super().__init__(strict=False, delimiters=("=",), comment_prefixes=("#",), interpolation=None)
        self.read(SHIPPED / name)

    def optionxform(self, optionstr: str) -> str:
        return optionstr


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Writes the units of a machine whose program is there; the folder of the units."""
    program = tmp_path / "a b%c$" / "ragd"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)

    def write(**about: object) -> Path:
        folder = tmp_path / "units"
        for name, text in files(Machine(program=program, **about)).items():  # type: ignore[arg-type]
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return folder

    return write


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    if ANALYZE is None:
        pytest.skip("systemd-analyze is not installed")
    command = [ANALYZE, *map(str, arguments)]
    given = {**os.environ, "XDG_RUNTIME_DIR": "/run"}  # a person's manager is asked for by it
    return subprocess.run(command, check=False, text=True, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def verified(folder: Path, *more: str) -> tuple[int, str]:
    """What systemd says of every unit, the worker as one that encodes and one that trains."""
    names = (SERVICE, SLICE, WORKER.replace("@", "@embed"), WORKER.replace("@", "@train"))
    said = analyze("verify", "--recursive-errors=no", *more, *(folder / name for name in names))
    return said.returncode, said.stdout


def test_the_shipped_files_are_what_install_writes_with_default_values() -> None:
    held = {str(path.relative_to(SHIPPED)): path.read_text() for path in SHIPPED.rglob("*") if path.is_file()}
    assert held == dict(shipped())  # `python -m ragd.cli.units` writes them


def test_systemd_has_nothing_to_say_about_the_units(install: Install) -> None:
    assert verified(install()) == (0, "")
    odd = (Path("/srv/a b"), Path("/tmp/docs:1"), Path("/home/per%son/$docs"), Path("/srv/qu\"ote's"))
    assert verified(install(folders=odd, config=Path("/srv/my conf/r.toml"), state=Path("/srv/st ate"))) == (0, "")


def test_systemd_has_nothing_to_say_about_a_persons_units(install: Install) -> None:
    assert verified(install(is_user=True, state=Path("/home/me/.local/state/ragd")), "--user") == (0, "")


def test_a_mistake_in_a_unit_would_be_said(install: Install) -> None:
    unit = install() / SERVICE
    unit.write_text(unit.read_text().replace("WatchdogSec=60", "WatchdogSek=60"))
    assert "WatchdogSek" in verified(unit.parent)[1]


@pytest.mark.parametrize("name", UNITS)
def test_what_runs_is_exposed_no_more_than_one_and_a_half_of_ten(install: Install, name: str) -> None:
    said = analyze("security", "--offline=yes", "--threshold=15", install() / name)
    assert said.returncode == 0, said.stdout
    said = analyze("security", "--offline=yes", "--threshold=14", install(folders=(Path("/srv/docs"),)) / name)
    assert said.returncode == 0, said.stdout  # no home is needed, so none is seen


@pytest.mark.parametrize("name", UNITS)
def test_ragd_can_do_what_it_must_in_its_cage(name: str) -> None:
    service = Unit(name)["Service"]
    assert service["ProtectHome"] == "read-only"  # folders of people are what is indexed
    assert service["StateDirectory"] == "ragd"
    assert "MemoryDenyWriteExecute" not in service  # the encoders compile code as they run
    assert {"AF_UNIX", "AF_INET"} <= set(service["RestrictAddressFamilies"].split())
    lines = [line for line in (SHIPPED / name).read_text().splitlines() if line.startswith("SystemCallFilter=")]
    assert set(lines[-1].removeprefix("SystemCallFilter=").split()) == LANDLOCK  # trainers bind themselves to a folder


def test_systemd_knows_the_system_calls_by_name() -> None:
    known = {line.strip(" #") for line in analyze("syscall-filter").stdout.splitlines()}
    assert known >= LANDLOCK


def test_watched_folders_are_read_only_and_seen_where_tmp_is_another_one() -> None:
    folders = (Path("/srv/docs"), Path("/tmp/docs"))
    lines = files(Machine(folders=folders))[SERVICE].splitlines()
    assert "ReadOnlyPaths=-/srv/docs" in lines
    assert "BindReadOnlyPaths=-/tmp/docs" in lines  # PrivateTmp hides it otherwise
    assert "ProtectHome=yes" in lines
    assert "ProtectHome=read-only" in files(Machine(folders=(Path("/home/me/docs"),)))[SERVICE].splitlines()
    assert "ProtectHome=read-only" in files(Machine(folders=folders, program=Path("/home/me/ragd")))[SERVICE]
    assert "ProtectHome=read-only" in files(Machine(folders=folders, interpreter=Path("/root/.local/python")))[SERVICE]


def test_a_state_folder_outside_the_usual_place_may_be_written() -> None:
    lines = files(Machine(state=Path("/srv/ragd")))[SERVICE].splitlines()
    assert "ReadWritePaths=/srv/ragd" in lines
    assert not any(line.startswith("StateDirectory") for line in lines)
    assert "StateDirectory=ragd/two" in files(Machine(state=Path("/var/lib/ragd/two")))[SERVICE].splitlines()


def test_a_persons_unit_asks_for_nothing_that_their_manager_may_not_do() -> None:
    text = files(Machine(is_user=True))[SERVICE]
    directives = {line.partition("=")[0] for line in text.splitlines() if line[:1].isalpha()}
    taken = {"User", "Group", "CapabilityBoundingSet", "PrivateTmp", "StateDirectory", "ReadOnlyPaths"}
    assert not any(name in taken or name.startswith("Protect") for name in directives)
    assert {"NoNewPrivileges", "SystemCallFilter", "RestrictAddressFamilies"} <= directives
    assert "WantedBy=default.target" in text
    assert "left out" in text  # and it says so


def test_what_no_retry_can_mend_is_not_retried() -> None:
    service, unit = Unit(SERVICE)["Service"], Unit(SERVICE)["Unit"]
    assert service["Type"] == "notify"
    assert service["Restart"] == "on-failure"
    given_up = {int(status) for status in service["RestartPreventExitStatus"].split()}
    assert given_up == {ConfigInvalid.exit_code, StateLocked.exit_code, StateNewer.exit_code}
    window_s, starts, pause_s = (
        int(unit["StartLimitIntervalSec"]),
        int(unit["StartLimitBurst"]),
        service["RestartSec"],
    )
    assert starts * int(pause_s) < window_s  # else a loop of failures would never come to its end
    assert Unit(WORKER)["Unit"]["StartLimitIntervalSec"] == "0"
    assert Unit(WORKER)["Service"]["RestartPreventExitStatus"] == str(ConfigInvalid.exit_code)


def test_the_state_folder_it_names_is_the_one_it_may_write() -> None:
    lines = (SHIPPED / SERVICE).read_text().splitlines()
    assert {"state"} <= set(Config.model_fields)
    assert f"Environment=RAGD_STATE=/var/lib/{Unit(SERVICE)['Service']['StateDirectory']}" in lines
    assert "Environment=RAGD_CONFIG=/etc/ragd/ragd.toml" in lines


def test_training_stands_back_by_its_slice() -> None:
    assert Unit(TRAIN)["Service"]["Slice"] == SLICE
    training = Unit(SLICE)["Slice"]
    assert int(training["CPUWeight"]) < 100
    assert int(training["IOWeight"]) < 100
    assert training["MemoryHigh"].endswith("%")


def test_the_user_and_its_folders_are_made_as_the_units_need_them(tmp_path: Path) -> None:
    if shutil.which("systemd-sysusers") is None or shutil.which("systemd-tmpfiles") is None:
        pytest.skip("systemd-sysusers and systemd-tmpfiles are not installed")
    root = tmp_path / "root"
    (root / "etc/ragd").mkdir(parents=True)
    (root / "etc/ragd/environment").write_text("RAGD_REDIS__URL=redis://:hush@host\n")
    parts = {Path(name).parts[0]: text for name, text in fragments(Machine(user="finder")).items()}
    for tool, name in (("systemd-sysusers", "sysusers.d"), ("systemd-tmpfiles", "tmpfiles.d")):
        (tmp_path / name).write_text(parts[name])
        options = ["--create"] if tool == "systemd-tmpfiles" else []
        done = subprocess.run(
            [tool, *options, f"--root={root}", str(tmp_path / name)], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert "finder:" in (root / "etc/passwd").read_text()
    assert (root / "etc/ragd/environment").stat().st_mode & 0o777 == 0o600
    assert (root / "etc/ragd").stat().st_mode & 0o777 == 0o750
    assert (root / "var/lib/ragd/.config/ragd/plugins").stat().st_mode & 0o777 == 0o700


def test_nobodys_folder_changes_hands_because_the_configuration_lies_in_it() -> None:
    text = fragments(Machine(config=Path("/home/me/ragd.toml")))["tmpfiles.d/ragd.conf"]
    assert "/home/me" not in text
    assert "/etc/ragd" not in text
