"""Values as people see them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from ragd.config.origin import MASK, plain, shown, without_password


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://:pw@h/0", f"redis://:{MASK}@h/0"),
        ("redis://ada:p%40w@h:1/0?x=1", f"redis://ada:{MASK}@h:1/0?x=1"),
        ("redis://ada@h", "redis://ada@h"),
        ("redis://[bad:pw@h", MASK),
        ("redis:/:pw@h:6379/0", f"redis://{MASK}@h:6379/0"),
        ("redis::pw@h:6379/0", f"redis://{MASK}@h:6379/0"),
        ("redis://:p/w@h:6379/0", f"redis://{MASK}@h:6379/0"),
        ("redis://:p@w@h/0", f"redis://{MASK}@h/0"),
        ("redis://h/0?password=pw&db=1", f"redis://h/0?password={MASK}&db=1"),
        ("http://:pw@h", f"http://:{MASK}@h"),
        ("Write to a@b.org: soon", "Write to a@b.org: soon"),
        ("plain text", "plain text"),
    ],
)
def test_the_password_of_an_address_is_masked(address: str, expected: str) -> None:
    assert without_password(address) == expected


def test_secrets_show_only_that_they_are_set() -> None:
    assert plain(SecretStr("hush")) == MASK
    assert plain(SecretStr("")) == ""
    assert shown("hush", is_secret=True) == f'"{MASK}"'


@given(st.text(st.characters(codec="utf-8", exclude_characters="@"), min_size=4, max_size=20), st.integers(0, 5))
def test_no_password_survives_in_any_shape_of_an_address(password: str, shape: int) -> None:
    secret = f"~{password}~"
    address = (
        *(f"redis://:{secret}@h:6379/0", f"redis:/:{secret}@h/0", f"redis::{secret}@h", f"rediss://u:{secret}@h"),
        *(f"unix:{secret}@/run/x.sock", f"http://h/?password={secret.replace('&', '').replace('#', '')}"),
    )[shape]
    assert secret not in without_password(address)
