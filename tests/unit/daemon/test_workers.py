"""Workers are told by their environment what they need, and nothing that opens a door."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragd.config.schema import Config
from ragd.daemon.workers import worker_environment


def test_workers_are_given_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGD_TOKEN", "ragd_secret")
    told = worker_environment(Config(state=tmp_path), "unix:///s", "info")
    assert told["RAGD_REDIS__URL"] == "unix:///s"
    assert "ragd_secret" not in told.values()
