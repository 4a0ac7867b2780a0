"""`ragd service`: units written for a machine, left alone where somebody changed them, and taken away again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ragd.cli.installed import Standing, standing


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "ragd"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_install_writes_the_units_of_this_machine(ragd: Any, tmp_path: Path, program: Path) -> None:
    (tmp_path / "ragd.toml").write_text('[[collections]]\nname = "a"\nfolders = ["docs", "/srv/notes"]\n')
    root = tmp_path / "root"
    result = ragd("service", "install", "--prefix", str(root), "--program", str(program), "--run-as", "finder")
    assert result.exit_code == 0, result.output
    wrote = {line.split()[1] for line in result.stdout.splitlines() if line.startswith("wrote ")}
    assert wrote == {str(path) for path in root.rglob("*") if path.is_file()}
    unit = (root / "etc/systemd/system/ragd.service").read_text().splitlines()
    assert f"ExecStart={program} run" in unit
    assert f"Environment=RAGD_CONFIG={tmp_path}/ragd.toml" in unit
    assert "User=finder" in unit
    assert {"ReadOnlyPaths=-/srv/notes"} < set(unit)
    assert any(line.endswith(f"=-{tmp_path}/docs") for line in unit)
    again = ragd("service", "install", "--prefix", str(root), "--program", str(program), "--run-as", "finder")
    assert {line.split()[0] for line in again.stdout.splitlines()} == {"unchanged"}


def test_a_dry_run_prints_the_files_and_writes_nothing(ragd: Any, tmp_path: Path, program: Path) -> None:
    result = ragd("service", "install", "--prefix", str(tmp_path / "root"), "--program", str(program), "--dry-run")
    assert f"# {tmp_path}/root/etc/systemd/system/ragd.service" in result.stdout.splitlines()
    assert f"ExecStart={program} run" in result.stdout.splitlines()
    assert not (tmp_path / "root").exists()


def test_install_for_a_person_names_the_commands_that_come_next(
    ragd: Any, tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    result = ragd("service", "install", "--user", "--program", str(program))
    assert result.exit_code == 0, result.output
    steps = [line.strip() for line in result.stdout.splitlines() if line.startswith("  ")]
    assert steps[0] == f"ragd config init {tmp_path}/config/ragd/ragd.toml"
    assert steps[-3:-1] == ["systemctl --user daemon-reload", "systemctl --user enable --now ragd"]
    unit = (tmp_path / "config/systemd/user/ragd.service").read_text()
    assert "WantedBy=default.target" in unit
    assert not list((tmp_path / "config").rglob("sysusers.d"))


def test_a_file_that_somebody_changed_is_left_alone_and_the_difference_is_shown(
    ragd: Any, tmp_path: Path, program: Path
) -> None:
    options = ("--prefix", str(tmp_path / "root"), "--program", str(program))
    assert ragd("service", "install", *options).exit_code == 0
    unit = tmp_path / "root/etc/systemd/system/ragd.service"
    edited = unit.read_text().replace("WatchdogSec=60", "WatchdogSec=90")
    unit.write_text(edited)
    foreign = tmp_path / "root/etc/systemd/system/ragd-train.slice"
    foreign.write_text("[Slice]\n")
    refused = ragd("service", "install", *options)
    assert refused.exit_code == 2
    assert "-WatchdogSec=90" in refused.stdout.splitlines()
    assert "+WatchdogSec=60" in refused.stdout.splitlines()
    assert "2 of 6 files were left" in refused.stderr
    assert unit.read_text() == edited
    files = json.loads(ragd("service", "status", "--prefix", str(tmp_path / "root"), "--json").stdout)["files"]
    assert (files[str(unit)], files[str(foreign)]) == ("changed", "foreign")
    assert ragd("service", "install", *options, "--force").exit_code == 0
    assert standing(unit) is Standing.WRITTEN


def test_what_ragd_wrote_for_another_configuration_is_replaced_unasked(
    ragd: Any, tmp_path: Path, program: Path
) -> None:
    options = ("--prefix", str(tmp_path / "root"), "--program", str(program))
    ragd("service", "install", *options)
    (tmp_path / "ragd.toml").write_text('[[collections]]\nname = "a"\nfolders = ["/srv/notes"]\n')
    assert ragd("service", "install", *options).exit_code == 0
    assert "ReadOnlyPaths=-/srv/notes" in (tmp_path / "root/etc/systemd/system/ragd.service").read_text()


def test_uninstall_takes_away_what_was_written_and_nothing_else(ragd: Any, tmp_path: Path, program: Path) -> None:
    root = tmp_path / "root"
    ragd("service", "install", "--prefix", str(root), "--program", str(program))
    units = root / "etc/systemd/system"
    (units / "multi-user.target.wants").mkdir()
    link = units / "multi-user.target.wants/ragd.service"
    link.symlink_to(units / "ragd.service")
    early = ragd("service", "uninstall", "--prefix", str(root))
    assert early.exit_code == 2
    assert "systemctl disable --now ragd.service" in early.stderr
    link.unlink()
    mine = units / "ragd-train.slice"
    mine.write_text("[Slice]\n")
    result = ragd("service", "uninstall", "--prefix", str(root))
    assert result.exit_code == 2
    assert str(mine) in result.stderr
    assert [path for path in root.rglob("*") if path.is_file()] == [mine]
    assert ragd("service", "uninstall", "--prefix", str(root), "--force").exit_code == 0
    assert not mine.exists()


def test_only_root_may_write_for_the_system(ragd: Any, monkeypatch: pytest.MonkeyPatch, program: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = ragd("service", "install", "--program", str(program))
    assert result.exit_code == 2
    assert "sudo ragd service install" in result.stderr
