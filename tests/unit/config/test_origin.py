"""Values as people see them."""

from __future__ import annotations

import pytest
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
        ("plain text", "plain text"),
    ],
)
def test_the_password_of_an_address_is_masked(address: str, expected: str) -> None:
    assert without_password(address) == expected


def test_secrets_show_only_that_they_are_set() -> None:
    assert plain(SecretStr("hush")) == MASK
    assert plain(SecretStr("")) == ""
    assert shown("hush", is_secret=True) == f'"{MASK}"'
