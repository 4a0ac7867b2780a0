"""One valid file of every kind that a reader takes, made here by the libraries that people make them with."""

from __future__ import annotations

import email.message
import gzip
import io
import json
import zipfile
from collections.abc import Mapping

import openpyxl
import pptx
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen import canvas

SENTENCE = "The quick brown fox watches the folder and jumps over every lazy change. "
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_KIND = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"


def seeds() -> dict[str, bytes]:
    """Suffix -> a valid file."""
    return {
        ".md": (
            "---\ntitle: A guide\n---\n# Guide\n\n" + SENTENCE * 5 + "\n\n```py\nx = 1\n```\n\n| a | b |\n"
        ).encode(),
        ".txt": (SENTENCE * 10).encode("utf-16"),
        ".html": f"<html><title>T</title><body><h1>H</h1><table><tr><td>{SENTENCE}</table></body>".encode(),
        ".pdf": _pdf(),
        ".docx": _docx(),
        ".pptx": _pptx(),
        ".xlsx": _xlsx(),
        ".epub": _epub(),
        ".ipynb": _notebook(),
        ".csv": b'name,what\nfox,jumps\ndog,"lies, lazy"\n' * 20,
        ".json": json.dumps({"fox": [1, 2.5, None, {"jumps": SENTENCE}]}).encode(),
        ".jsonl": b'{"a": 1}\n{"b": "two"}\n' * 10,
        ".xml": f"<?xml version='1.0'?><r><a b='c'>{SENTENCE}</a></r>".encode(),
        ".eml": _mail(),
        ".py": b"def jump(over: str) -> str:\n    return over\n\n\nclass Fox:\n    '''Quick.'''\n" * 5,
        ".rs": b'fn main() {\n    println!("jump");\n}\n' * 5,
        ".zip": zipped({"a.md": b"# A\n", "inner.zip": zipped({"b.txt": b"words " * 1000})}),
        ".gz": gzip.compress(SENTENCE.encode() * 100),
    }


def bombs() -> dict[str, bytes]:
    """Suffix -> an archive that would unpack to far more than it is, plain or nested."""
    flat = zipped({f"word/{n}.xml": b"\0" * 40_000_000 for n in range(2)})
    nested = flat
    for depth in range(3):
        nested = zipped({f"level-{depth}.zip": nested, f"copy-{depth}.docx": nested})
    xml = b"<!DOCTYPE r [<!ENTITY a 'aaaaaaaaaa'>" + b"".join(
        f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>".encode() for n in range(9)
    )
    return {
        ".docx": flat,
        ".xlsx": nested,
        ".xml": xml + b"]><r>&j;</r>",
        ".json": b"[" * 200_000,
        ".html": b"<div>" * 30_000,
        ".md": b"> " * 50_000 + b"deep",
        ".ipynb": b'{"cells": ' * 5_000,
    }


def zipped(members: Mapping[str, bytes]) -> bytes:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _pdf() -> bytes:
    buffer = io.BytesIO()
    page = canvas.Canvas(buffer, pagesize=A4, pageCompression=1)
    page.setTitle("A fox")
    for number in range(3):
        page.drawString(72, 700, f"{number}: {SENTENCE}")
        page.showPage()
    page.save()
    return buffer.getvalue()


def _docx() -> bytes:
    types = f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" ContentType='
    types += '"application/vnd.openxmlformats-package.relationships+xml"/>'
    types += f'<Override PartName="/word/document.xml" ContentType="{_KIND}"/></Types>'
    relation = f'<Relationship Id="r1" Type="{_OFFICE}/officeDocument" Target="word/document.xml"/>'
    body = f"<w:p><w:r><w:t>{SENTENCE}</w:t></w:r></w:p>" * 5
    return zipped(
        {
            "[Content_Types].xml": types.encode(),
            "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">{relation}</Relationships>'.encode(),
            "word/document.xml": f'<w:document xmlns:w="{_WORD}"><w:body>{body}</w:body></w:document>'.encode(),
        }
    )


def _pptx() -> bytes:
    deck, buffer = pptx.Presentation(), io.BytesIO()
    slide = deck.slides.add_slide(deck.slide_layouts[1])
    slide.shapes.title.text = "The fox"
    slide.placeholders[1].text = SENTENCE
    deck.save(buffer)
    return buffer.getvalue()


def _xlsx() -> bytes:
    book, buffer = openpyxl.Workbook(), io.BytesIO()
    for row in range(10):
        book.active.append([row, SENTENCE, f"=A{row + 1}+1"])
    book.save(buffer)
    return buffer.getvalue()


def _epub() -> bytes:
    container = b'<container><rootfiles><rootfile full-path="c.opf"/></rootfiles></container>'
    opf = b'<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>Fox</dc:title></metadata>'
    opf += b'<manifest><item id="a" href="a.xhtml" media-type="application/xhtml+xml"/></manifest>'
    opf += b'<spine><itemref idref="a"/></spine></package>'
    chapter = f"<html><body><h1>One</h1><p>{SENTENCE}</p></body></html>".encode()
    return zipped(
        {"mimetype": b"application/epub+zip", "META-INF/container.xml": container, "c.opf": opf, "a.xhtml": chapter}
    )


def _notebook() -> bytes:
    cells = [
        {"cell_type": "markdown", "source": ["# Fox\n", SENTENCE], "metadata": {}},
        {"cell_type": "code", "source": "jump()", "outputs": [{"output_type": "stream", "text": ["over"]}]},
    ]
    return json.dumps({"cells": cells, "nbformat": 4, "metadata": {"kernelspec": {"language": "python"}}}).encode()


def _mail() -> bytes:
    mail = email.message.EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "The fox", "a@example.org", "b@example.org"
    mail.set_content(SENTENCE)
    mail.add_alternative(f"<p>{SENTENCE}</p>", subtype="html")
    mail.add_attachment(b"%PDF-1.7", maintype="application", subtype="pdf", filename="fox.pdf")
    return mail.as_bytes()
