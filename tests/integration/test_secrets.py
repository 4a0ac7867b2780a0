"""A daemon that was started with secrets, looked at from everywhere: none of them is told, shown, logged or stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import psutil
import pytest

from ragd.jobs.broker import Broker
from tests.integration.conftest import PASSWORD, Place, redis_on_tcp

KEY = "key-geheim-4711"
TEACHER = "teacher-geheim-4712"
SECRETS = (PASSWORD, unquote(PASSWORD), KEY, TEACHER)

pytestmark = pytest.mark.slow


def told(text: str | bytes) -> list[str]:
    """The secrets that stand in a text."""
    raw = text if isinstance(text, bytes) else text.encode(errors="surrogateescape")
    return [secret for secret in SECRETS if secret.encode() in raw]


@pytest.fixture(scope="module")
def place(places: Callable[[], Place], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = places()
    (made.folder / "kb").mkdir()
    (made.folder / "kb" / "good.md").write_text("# Good\n\nThe heron stands in the water.")
    with redis_on_tcp(tmp_path_factory.mktemp("redis")) as url:
        made.environment |= {"RAGD_REDIS__URL": url, "RAGD_EMBED__API_KEY": KEY, "RAGD_TEACHER_KEY": TEACHER}
        made.start("kb", "--verbose")
        made.until_indexed(1)
        yield made
        made.close()
        assert told(made.log.read_bytes()) == []


def test_no_command_line_of_a_running_daemon_holds_a_secret(place: Place) -> None:
    assert place.process is not None
    daemon = psutil.Process(place.process.pid)
    family = [daemon, *daemon.children(recursive=True)]
    assert len(family) >= 4
    assert [told(" ".join(process.cmdline())) for process in family] == [[]] * len(family)


@pytest.mark.parametrize("command", ["config show", "config show --json", "status --json", "doctor"])
def test_no_command_shows_a_secret(place: Place, command: str) -> None:
    said = place.ragd(*command.split())  # the doctor too: all is well with this daemon
    assert said
    assert told(said) == []


def test_what_is_masked_is_still_there(place: Place) -> None:
    shown = json.loads(place.ragd("config", "show", "--json"))["values"]
    assert shown["embed.api_key"]["value"] == "********"
    assert "********" in shown["redis.url"]["value"]
    assert place.client.status()["redis"]["url"].startswith("redis://:***@127.0.0.1:")


@pytest.mark.parametrize(
    ("given", "instead"),
    [
        (f":{PASSWORD}@", f":{PASSWORD}x@"),  # a wrong one
        ("redis://", "http://"),  # not accepted
        ("redis://", "redis:"),  # hardly an address
    ],
)
def test_errors_do_not_hold_secrets(place: Place, given: str, instead: str) -> None:
    before = dict(place.environment)
    try:
        place.environment["RAGD_REDIS__URL"] = before["RAGD_REDIS__URL"].replace(given, instead, 1)
        said = place.ragd("worker", "extract", exit_code=None)
        assert "error: " in said
        assert told(said) == []
    finally:
        place.environment = before


def test_nothing_that_is_kept_holds_a_secret(place: Place) -> None:
    files = [path for path in place.state.rglob("*") if path.is_file() and "models" not in path.parts]
    assert len(files) > 3
    assert {str(path.relative_to(place.state)): found for path in files if (found := told(path.read_bytes()))} == {}
    assert told(place.log.read_bytes()) == []


def test_nothing_in_redis_holds_a_key_of_somebody_else(place: Place) -> None:
    broker = Broker(place.environment["RAGD_REDIS__URL"])
    try:
        client = broker.connection
        for key in client.scan_iter("*"):
            assert told(key) == []
            kind = client.type(key)
            value = client.get(key) if kind == b"string" else client.hgetall(key) if kind == b"hash" else b""
            assert told(repr(value)) == []
    finally:
        broker.close()


def test_a_secret_in_the_file_is_masked_and_its_rights_are_looked_at(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "ragd.toml"
    before = dict(place.environment)
    try:
        place.environment = {name: value for name, value in before.items() if not name.startswith("RAGD_EMBED__API")}
        file.write_text(f'[embed]\napi_key = "{KEY}"\n')
        file.chmod(0o644)
        said = place.ragd("--config", str(file), "doctor", exit_code=20)
        assert f"chmod 600 {file}" in said
        assert told(said) == []
    finally:
        place.environment = before
