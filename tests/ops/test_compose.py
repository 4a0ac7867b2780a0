"""The compose file and the image it builds, read without a container engine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from ragd.config.keys import keys
from ragd.config.rules import with_password
from ragd.domain.errors import BrokerUnavailable
from ragd.jobs.broker import Broker
from ragd.jobs.embedded import find_server

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "Dockerfile"
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)([:?-][^}]*)?\}")


@pytest.fixture
def compose() -> dict[str, Any]:
    return cast("dict[str, Any]", yaml.safe_load(COMPOSE.read_text()))


def test_the_file_is_what_the_specification_allows() -> None:
    check = [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", "vendor.compose-spec"]
    said = subprocess.run([*check, str(COMPOSE)], check=False, text=True, capture_output=True)
    assert said.returncode == 0, said.stdout


def test_every_network_volume_and_service_that_is_named_is_declared(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert set(service.get("networks", ())) <= set(compose["networks"]), name
        assert set(service.get("depends_on", ())) <= set(compose["services"]), name
        assert set(service.get("secrets", ())) <= set(compose["secrets"]), name
        for volume in service.get("volumes", ()):
            source = re.sub(VARIABLE, "/given", volume).partition(":")[0]
            assert source.startswith("/") or source in compose["volumes"], volume


def test_every_volume_and_network_that_is_declared_is_used(compose: dict[str, Any]) -> None:
    named = str([service.get("volumes") for service in compose["services"].values()])
    assert all(f"'{volume}:" in named for volume in compose["volumes"])
    assert all(service["networks"] == ["jobs"] for service in compose["services"].values())


def test_every_variable_is_asked_for_before_anything_starts() -> None:
    text = "\n".join(line for line in COMPOSE.read_text().splitlines() if not line.startswith("#"))
    found = VARIABLE.findall(text)
    assert {name for name, _ in found} == {"RAGD_DOCUMENTS"}
    assert all(rule.startswith(":?") for _, rule in found)
    assert not re.search(r"(?<!\$)\$(?![\{$])", text)  # a single dollar would be taken for a variable


def test_the_daemon_knows_every_variable_it_is_given(compose: dict[str, Any]) -> None:
    known = {variable for key in keys() for variable in (key.variable, key.file_variable)}
    for name, service in compose["services"].items():
        assert set(service.get("environment", ())) <= known, name


def test_workers_wait_for_a_healthy_redis_that_asks_for_a_password(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert "requirepass" in str(services["redis"]["command"])
    for name in ("ragd", "embed"):
        assert services[name]["depends_on"]["redis"]["condition"] == "service_healthy"
        assert services[name]["environment"]["RAGD_REDIS__URL"] == "redis://redis:6379/0"


def test_the_password_is_a_secret_file_and_in_no_environment_or_command(compose: dict[str, Any]) -> None:
    (secret,) = compose["secrets"]
    assert set(compose["secrets"][secret]) == {"file"}
    place = f"/run/secrets/{secret}"
    for name, service in compose["services"].items():
        assert service["secrets"] == [secret], name
        assert service.get("environment", {}).get("RAGD_REDIS__PASSWORD_FILE", place) == place
        assert not {variable for variable in service.get("environment", ()) if variable.endswith("PASSWORD")}, name
    redis = compose["services"]["redis"]
    assert f"$$(cat {place})" in str(redis["command"])
    assert f"$$(cat {place})" in str(redis["healthcheck"]["test"])


def test_every_service_is_caged_and_looked_after(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        assert "ports" not in service, name  # nothing is reached from outside
        assert {"test", "interval", "timeout", "retries"} <= set(service["healthcheck"]), name
        assert service["restart"] == "unless-stopped", name


def test_redis_takes_what_it_is_told_and_hears_a_stop(compose: dict[str, Any], tmp_path: Path) -> None:
    """The command of the service, run with the real server here."""
    command = compose["services"]["redis"]["command"][2].replace("$$", "$")
    (tmp_path / "redis_password").write_text("hush\n")
    (tmp_path / "redis-server").symlink_to(find_server())
    command = command.replace("/run/secrets", str(tmp_path)).replace("/tmp/redis.conf", f"{tmp_path}/redis.conf")
    options = f" --port 0 --unixsocket {tmp_path}/s --dir {tmp_path}"
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(["sh", "-c", command + options], stdout=log, stderr=log, env=environment)
    broker = Broker(with_password(f"unix://{tmp_path}/s", "hush"))
    try:
        for _ in range(200):
            with suppress(BrokerUnavailable):
                broker.check()
                break
            time.sleep(0.02)
        assert broker.check().keys == 0
        with pytest.raises(BrokerUnavailable, match="password"):
            Broker(f"unix://{tmp_path}/s").check()
        assert (tmp_path / "redis.conf").stat().st_mode & 0o077 == 0
    finally:
        broker.close()
        server.terminate()
        status = server.wait(10)
    assert status == 0  # it ended in order
    assert not (tmp_path / "s").exists()


def test_embed_workers_can_be_multiplied_and_the_daemon_starts_none(compose: dict[str, Any]) -> None:
    embed = compose["services"]["embed"]
    assert embed["command"] == ["worker", "embed"]
    assert "container_name" not in embed
    assert "ports" not in embed
    assert compose["services"]["ragd"]["environment"]["RAGD_WORKERS__EMBED"] == "0"


def test_the_documents_are_mounted_to_be_read_only(compose: dict[str, Any]) -> None:
    daemon = compose["services"]["ragd"]
    (documents,) = (volume for volume in daemon["volumes"] if ":/documents" in volume)
    assert documents.endswith(":/documents:ro")
    assert daemon["command"][-1] == "/documents"


def test_a_backup_goes_and_comes_as_the_page_says_through_a_folder_that_is_mounted(compose: dict[str, Any]) -> None:
    page = " ".join((ROOT / "docs/howto/run-in-containers.md").read_text().split())
    way = r"`docker compose run --rm --no-deps --volume (\S+):(/\S+) ragd (backup|restore --force) (/\S+)`"
    found = re.findall(way, page)
    assert [action for _, _, action, _ in found] == ["backup", "restore --force"]
    inside = [volume.split(":")[1] for volume in compose["services"]["ragd"]["volumes"][1:]]
    for _, mount, _, file in found:
        assert Path(file).parent == Path(mount)
        assert mount not in inside
    assert page.count("ragd backup ") == 1


def test_every_program_that_is_started_exists(compose: dict[str, Any]) -> None:
    commands = (ROOT / "ragd" / "cli").glob("*.py")
    known = {path.stem for path in commands}
    assert compose["services"]["embed"]["healthcheck"]["test"][1:] == ["ragd", "worker", "embed", "--check"]
    assert compose["services"]["ragd"]["command"][0] in known
    assert compose["services"]["embed"]["command"][0] in known
    assert compose["services"]["ragd"]["healthcheck"]["test"][2] in known


def test_the_image_holds_what_it_needs_and_runs_without_privileges() -> None:
    text = DOCKERFILE.read_text()
    copied = [name for line in text.splitlines() if line.startswith("COPY ") for name in line.split()[1:-1]]
    sources = [name for name in copied if not name.startswith(("--from", "/"))]
    assert all((ROOT / name).exists() for name in sources)
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert all(f"!{name}" in allowed for name in sources)
    users = re.findall(r"^USER (\S+)", text, re.MULTILINE)
    assert users
    assert users[-1].partition(":")[0].isdigit()  # an engine that refuses root must see that it is not
    assert int(users[-1].partition(":")[0]) > 0
    (home,) = re.findall(r"--home-dir (\S+)", text)
    assert f"RAGD_STATE={home}" in text


def test_hadolint_has_nothing_to_say_about_the_image() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not installed")
    said = subprocess.run(
        [str(hadolint), "--failure-threshold", "info", str(DOCKERFILE)], check=False, text=True, capture_output=True
    )
    assert (said.returncode, said.stdout) == (0, ""), said.stdout + said.stderr
