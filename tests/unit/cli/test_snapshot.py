"""Without a daemon the state folder itself answers, read only, and that is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ragd.catalog.store import Store
from ragd.domain.changes import Observation, Presence
from ragd.domain.documents import Stat
from ragd.flow.tables import Tables


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


def test_absolute_paths_are_understood_by_the_folders_the_catalog_knows(ragd: Any, state: Path) -> None:
    store = Store(state)
    tables = Tables.of(store)
    root = tables.documents.set_roots([("default", b"/notes")])[0].id
    with store.transaction():
        seen = Observation(b"trips/oslo.md", Presence.PRESENT, Stat(1, 2, 3, 4))
        tables.documents.put(root, seen, "pending")
    store.close()
    listed = json.loads(ragd("documents", "/notes/trips/oslo.md", "--json").stdout)["documents"]
    assert [document["path"] for document in listed] == ["trips/oslo.md"]
    assert "/notes: not watched, 1 files" in ragd("status").stdout
