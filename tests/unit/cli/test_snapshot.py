"""Without a daemon the state folder itself answers, read only, and that is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ragd.catalog.store import Store


@pytest.fixture
def catalog(state: Path) -> None:
    """A catalog that a daemon left before it indexed anything."""
    Store(state).close()


@pytest.mark.usefixtures("catalog")
def test_reading_commands_answer_from_the_state_folder_and_say_so(ragd: Any, state: Path) -> None:
    for command in (["status"], ["documents"], ["receipts"], ["failed"], ["verify"], ["search", "word"]):
        result = ragd(*command)
        assert result.exit_code == 0, result.output
        told = f"no daemon is running: answering from the last snapshot of {state}"
        assert result.stderr.splitlines()[0] == told
        assert result.stderr.count("no daemon is running") == 1


@pytest.mark.usefixtures("catalog")
def test_json_has_the_shape_of_the_daemons_answer(ragd: Any) -> None:
    assert json.loads(ragd("status", "--json").stdout)["documents"]["searchable"] == 0
    assert json.loads(ragd("documents", "--json").stdout) == {"documents": [], "next": None}
    assert json.loads(ragd("receipts", "--json").stdout) == {"receipts": []}
    assert json.loads(ragd("verify", "--json").stdout)["clean"] is True
    assert json.loads(ragd("search", "word", "--json").stdout)["hits"] == []


@pytest.mark.usefixtures("catalog")
def test_what_needs_a_daemon_says_how_to_start_one(ragd: Any) -> None:
    for command in (["retry"], ["rescan"], ["verify", "--repair"], ["search", "q", "--after", "latest"]):
        result = ragd(*command)
        assert result.exit_code == 4
        assert "ragd run" in result.stderr


@pytest.mark.usefixtures("catalog")
def test_filters_are_checked_as_the_daemon_does(ragd: Any) -> None:
    assert ragd("search", "q", "--folder", "/absolute").exit_code == 2
