"""Secrets that stand in files of their own, and the address of a Redis that needs one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragd.config.load import Loaded, load
from ragd.config.rules import with_password
from ragd.domain.errors import ConfigInvalid


def loaded(tmp_path: Path, **env: str) -> Loaded:
    return load(None, {"HOME": str(tmp_path), **env}, {}, cwd=tmp_path)


def test_a_secret_may_stand_in_a_file_that_a_variable_names(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hu sh\n")
    found = loaded(tmp_path, RAGD_REDIS__PASSWORD_FILE=str(tmp_path / "secret"), RAGD_REDIS__URL="redis://redis/0")
    assert found.config.redis.password.get_secret_value() == "hu sh"
    assert found.config.redis.address == "redis://:hu%20sh@redis/0"
    assert str(found.origins["redis.password"]) == "RAGD_REDIS__PASSWORD_FILE"
    key = loaded(tmp_path, RAGD_EMBED__API_KEY_FILE=str(tmp_path / "secret")).config.embed.api_key
    assert key.get_secret_value() == "hu sh"


def test_a_variable_without_a_file_is_not_set(tmp_path: Path) -> None:
    assert loaded(tmp_path, RAGD_REDIS__PASSWORD_FILE="").config.redis.address == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\n", "holds no secret: it is empty"),
        (b"\xff\xfe", "cannot be read: it is not UTF-8"),
        (b"x" * 5000, "holds no secret: it is too long"),
    ],
)
def test_a_file_that_holds_no_secret_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigInvalid) as caught:
        loaded(tmp_path, RAGD_REDIS__PASSWORD_FILE=str(path))
    assert str(caught.value) == f"RAGD_REDIS__PASSWORD_FILE: {path} {said}"


def test_a_secret_is_not_given_twice(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("one")
    with pytest.raises(ConfigInvalid, match="RAGD_REDIS__PASSWORD is set as well") as caught:
        loaded(tmp_path, RAGD_REDIS__PASSWORD_FILE=str(tmp_path / "secret"), RAGD_REDIS__PASSWORD="two")
    assert "two" not in str(caught.value)


def test_only_secrets_have_a_variable_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="unknown variable"):
        loaded(tmp_path, RAGD_SEARCH__LIMIT_FILE="x")


@pytest.mark.parametrize(
    ("address", "joined"),
    [
        ("redis://h:6379/0", "redis://:p%40%2F@h:6379/0"),
        ("rediss://user@h/1", "rediss://user:p%40%2F@h/1"),
        ("redis://:own@h", "redis://:own@h"),
        ("unix:///run/redis.sock?db=1", "unix://:p%40%2F@/run/redis.sock?db=1"),
        ("redis://[::1]:6379/0", "redis://:p%40%2F@[::1]:6379/0"),
        ("", ""),
    ],
)
def test_an_address_takes_a_password_unless_it_has_one(address: str, joined: str) -> None:
    assert with_password(address, "p@/") == joined
    assert with_password(address, "") == address
