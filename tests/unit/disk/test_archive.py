"""An archive reads back as it was written, and nothing else passes for one."""

from __future__ import annotations

import io
import random
import tarfile

import pytest

from ragd.disk.archive import Member, is_plain, pieces_of, read_members, write_end, write_member
from ragd.domain.errors import BackupInvalid

PARTS = {"a.json": b"{}", "models/lora/1/" + "n" * 120 + "/w.bin": b"x" * 5000, "empty": b"", "even": b"y" * 1024}


def archived(parts: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    for name, data in parts.items():
        write_member(file, name, len(data), [data[:7], data[7:]])
    write_end(file)
    return file.getvalue()


def members(data: bytes) -> list[Member]:
    return list(read_members(io.BytesIO(data), len(data)))


def test_what_was_written_is_read_and_tar_reads_it_too() -> None:
    data = archived(PARTS)
    assert {m.name: b"".join(pieces_of(io.BytesIO(data), m)) for m in members(data)} == PARTS
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        read = {info.name: tar.extractfile(info) for info in tar.getmembers()}
        assert {name: file.read() for name, file in read.items() if file is not None} == PARTS


def test_a_part_may_be_larger_than_eight_gibibytes() -> None:
    file = io.BytesIO()
    with pytest.raises(ValueError, match="instead of"):
        write_member(file, "large", 9 << 30, [])
    header = file.getvalue()[:512]
    found = tarfile.TarInfo.frombuf(header, "ascii", "strict")
    assert (found.name, found.size) == ("large", 9 << 30)


def test_a_cut_at_any_byte_and_a_flip_of_any_header_bit_are_refused() -> None:
    data = archived({"a": b"1" * 600, "b": b"2"})
    rng = random.Random(1)
    for at in range(0, len(data), 7):
        with pytest.raises(BackupInvalid):
            members(data[:at])
    headers = [*range(512), *range(1536, 2048), *range(2560, len(data))]
    for at in rng.sample(headers, 400):
        flipped = bytearray(data)
        flipped[at] ^= 1 << rng.randrange(8)
        with pytest.raises(BackupInvalid):
            members(bytes(flipped))
    with pytest.raises(BackupInvalid, match="its end"):
        members(data + bytes(512))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_folders_and_devices_of_another_tar_are_refused(kind: bytes) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo("catalog.db")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(BackupInvalid, match="not a backup"):
        members(file.getvalue())


def test_a_name_leads_nowhere_else_and_comes_once() -> None:
    for name in ("../a", "/a", "a/../b", "a//b", "a/./b", "", ".", "a\0b", "a\nb", "b/"):
        assert not is_plain(name)
        with pytest.raises(ValueError, match="cannot be the name"):
            write_member(io.BytesIO(), name, 0, [])
    with pytest.raises(BackupInvalid, match="twice"):
        members(archived({"a": b""})[:-1024] + archived({"a": b""}))
