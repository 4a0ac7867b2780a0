"""The unit file, read by systemd's own tools without a running systemd."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from ragd.config.schema import Config
from ragd.domain.errors import ConfigInvalid, StateLocked, StateNewer

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd" / "ragd.service"
ANALYZE = shutil.which("systemd-analyze")


class Unit(configparser.RawConfigParser):
    """A unit file as sections; a directive may come several times, and the last one counts here."""

    def __init__(self) -> None:
        super().__init__(strict=False, delimiters=("=",), comment_prefixes=("#",), interpolation=None)
        self.read(UNIT)

    def optionxform(self, optionstr: str) -> str:
        return optionstr


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit as it would be installed on a machine where the program is there."""
    if ANALYZE is None:
        pytest.skip("systemd-analyze is not installed")
    program = tmp_path / "ragd"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("ExecStart=/usr/bin/ragd", f"ExecStart={program}"))
    return unit


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ANALYZE or "", *arguments], check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def test_systemd_has_nothing_to_say_about_the_unit(installed: Path) -> None:
    said = analyze("verify", "--recursive-errors=no", str(installed))
    assert (said.returncode, said.stdout) == (0, "")


def test_a_mistake_in_the_unit_would_be_said(installed: Path) -> None:
    installed.write_text(installed.read_text().replace("WatchdogSec=60", "WatchdogSek=60"))
    assert "WatchdogSek" in analyze("verify", "--recursive-errors=no", str(installed)).stdout


def test_the_service_is_exposed_less_than_two_of_ten(installed: Path) -> None:
    said = analyze("security", "--offline=yes", "--threshold=20", str(installed))
    assert said.returncode == 0, said.stdout


def test_the_daemon_can_do_what_it_must_in_its_cage() -> None:
    service = Unit()["Service"]
    assert service["Type"] == "notify"
    assert service["ProtectHome"] == "read-only"  # folders of people are what is indexed
    assert service["StateDirectory"] == "ragd"
    assert "MemoryDenyWriteExecute" not in service  # the encoders compile code as they run
    assert {"AF_UNIX", "AF_INET"} <= set(service["RestrictAddressFamilies"].split())


def test_trainers_can_bind_themselves_to_their_folder_in_the_cage() -> None:
    lines = [line for line in UNIT.read_text().splitlines() if line.startswith("SystemCallFilter=")]
    assert lines[-1].removeprefix("SystemCallFilter=").split() == [
        "landlock_create_ruleset",
        "landlock_add_rule",
        "landlock_restrict_self",
    ]


def test_systemd_knows_the_system_calls_by_name() -> None:
    if ANALYZE is None:
        pytest.skip("systemd-analyze is not installed")
    known = {line.strip(" #") for line in analyze("syscall-filter").stdout.splitlines()}
    assert {"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"} <= known


def test_what_no_retry_can_mend_is_not_retried() -> None:
    service, unit = Unit()["Service"], Unit()["Unit"]
    assert service["Restart"] == "on-failure"
    given_up = {int(status) for status in service["RestartPreventExitStatus"].split()}
    assert given_up == {ConfigInvalid.exit_code, StateLocked.exit_code, StateNewer.exit_code}
    assert int(unit["StartLimitBurst"]) >= 1


def test_the_state_folder_it_names_is_the_one_it_may_write() -> None:
    service = Unit()["Service"]
    name, _, value = service["Environment"].partition("=")
    assert name == "RAGD_STATE"
    assert "state" in Config.model_fields
    assert value == f"/var/lib/{service['StateDirectory']}"


def test_its_user_is_the_one_that_is_created() -> None:
    kind, name, *_ = (ROOT / "systemd" / "ragd.sysusers").read_text().splitlines()[-1].split()
    assert (kind, name) == ("u", Unit()["Service"]["User"])
