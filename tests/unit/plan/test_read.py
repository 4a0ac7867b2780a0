"""Files are read whole and at one moment; kinds are told by names, and limits by both numbers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ragd.domain.documents import ReadText, kind_of, suffix_of
from ragd.domain.errors import ReadFailed
from ragd.domain.work import ReadLimits
from ragd.plan.read import FileBytes, ReaderTable, open_document, read_bytes, read_text


def whole(folder: Path, path: bytes, limits: ReadLimits) -> FileBytes:
    """A file's bytes, opened and closed."""
    descriptor = open_document(bytes(folder), path)
    try:
        return read_bytes(descriptor, limits)
    finally:
        os.close(descriptor)


class Fixed:
    """A reader that answers with what it was made with."""

    version = "1"

    def __init__(self, name: str, suffixes: set[str], answer: ReadText | Exception) -> None:
        self.name = name
        self.suffixes = frozenset(suffixes)
        self._answer = answer

    def read(self, data: bytes, suffix: str) -> ReadText:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    ("name", "suffix", "kind"),
    [
        (b"a/b.MD", ".md", "md"),
        (b"archive.tar.gz", ".gz", "gz"),
        (b"Makefile", "", "txt"),
        (b".bashrc", "", "txt"),
        (b"folder.d/README", "", "txt"),
        (b"v1.2 final draft", "", "txt"),
        (b"caf\xe9.\xe9", "", "txt"),
        (b"x.", "", "txt"),
    ],
)
def test_the_kind_is_told_by_the_name(name: bytes, suffix: str, kind: str) -> None:
    assert (suffix_of(name), kind_of(name)) == (suffix, kind)


def test_bytes_come_with_what_the_file_system_says(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"words")
    seen = (tmp_path / "a").stat()
    file = whole(tmp_path, b"a", ReadLimits())
    assert (file.data, file.is_stable) == (b"words", True)
    assert (file.stat.size_bytes, file.stat.mtime_ns, file.stat.inode) == (5, seen.st_mtime_ns, seen.st_ino)


def test_a_file_at_the_limit_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    assert len(whole(tmp_path, b"a", ReadLimits(max_file_bytes=100)).data) == 100
    with pytest.raises(ReadFailed, match="100 bytes, at most 99 "):
        whole(tmp_path, b"a", ReadLimits(max_file_bytes=99))


def test_a_file_that_never_rests_is_read_three_times_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"line\n")
    reads = []
    pread = os.pread

    def busy(descriptor: int, size: int, offset: int) -> bytes:
        if offset == 0:
            reads.append(offset)
            with path.open("ab") as log:
                log.write(b"line\n")
        return pread(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", busy)
    file = whole(tmp_path, b"log", ReadLimits())
    assert len(reads) == 3
    assert not file.is_stable
    assert file.data == b"line\n" * 4


def test_the_first_reader_of_a_suffix_reads_it_and_the_unnamed_reads_the_rest() -> None:
    first, second = Fixed("first", {".md"}, ReadText(text="")), Fixed("second", {".md", ""}, ReadText(text=""))
    table = ReaderTable([first, second])
    assert table.reader(".md") is first
    assert table.reader(".unknown") is second
    assert table.versions() == [".md=first@1", "=second@1"]
    with pytest.raises(ReadFailed, match=r"no plugin reads \.odd"):
        ReaderTable([first]).reader(".odd")


def read_with(answer: ReadText | Exception, limits: ReadLimits | None = None) -> ReadText:
    return read_text(b"", ".x", ReaderTable([Fixed("fixed", {".x"}, answer)]), limits or ReadLimits())


def test_an_unforeseen_error_names_the_reader_and_the_cause() -> None:
    with pytest.raises(ReadFailed, match=r"fixed reader .*KeyError: 'word/document\.xml'") as refused:
        read_with(KeyError("word/document.xml"))
    assert refused.value.hint


def test_out_of_memory_is_not_the_readers_fault() -> None:
    with pytest.raises(MemoryError):
        read_with(MemoryError())


def test_too_much_text_is_refused_with_both_numbers() -> None:
    with pytest.raises(ReadFailed, match="1,001 characters, at most 1,000"):
        read_with(ReadText(text="x" * 1001), ReadLimits(max_chars=1000))


def test_text_that_cannot_be_stored_is_mended_in_place() -> None:
    text = read_with(ReadText(text="a\0b\ud800c", title=" two\nlines \udfff", pages=(0, 2)))
    assert (text.text, text.title, text.pages) == ("a b\ufffdc", "two lines \ufffd", (0, 2))
