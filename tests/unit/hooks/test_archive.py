"""Archives are judged by what they declare, before anything is unpacked."""

from __future__ import annotations

import io
import zipfile

import pytest

from ragd.domain.errors import ReadFailed
from ragd.hooks import archive


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return buffer.getvalue()


def test_an_honest_archive_opens() -> None:
    with archive.open_archive(zipped({"a.xml": b"<a/>" * 1000})) as opened:
        assert opened.namelist() == ["a.xml"]


def test_a_small_archive_of_blanks_is_no_bomb() -> None:
    with archive.open_archive(zipped({"blank.xml": b" " * 5_000_000})) as opened:
        assert opened.namelist() == ["blank.xml"]


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_bomb_is_refused_however_it_is_wrapped(depth: int) -> None:
    data = zipped({"bomb.xml": b"\0" * 60_000_000})
    for _ in range(depth):
        data = zipped({"inner.zip": data})
    with pytest.raises(ReadFailed, match="zip bomb"):
        archive.open_archive(data)


def test_many_members_that_add_up_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 1000)
    with pytest.raises(ReadFailed, match="zip bomb"):
        archive.open_archive(zipped({f"{n}.xml": bytes(range(200)) for n in range(6)}))


def test_what_is_no_archive_is_broken() -> None:
    with pytest.raises(ReadFailed, match="broken") as refused:
        archive.open_archive(zipped({"a": b"words" * 100})[:-30])
    assert refused.value.hint


def test_an_encrypted_member_is_told() -> None:
    data = bytearray(zipped({"a": b"words"}))
    data[data.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(ReadFailed, match="password"):
        archive.open_archive(bytes(data))
