"""Reads PDF page by page: forms and tables as Markdown tables, prose as paragraphs."""

from __future__ import annotations

import io
from typing import Any

from ragd.hooks.api import Reader, ReadFailed, ReadText, hookimpl

_BETWEEN_PAGES = "\n\n"


class PdfReader:
    """markitdown's finder of forms, and pdfminer's layout for prose, from one reading of each page.

    markitdown's own converter reads a file twice and gives no page boundaries; memory stays flat
    because each page is given back before the next.
    """

    name = "pdf"
    version = "1"
    suffixes = frozenset({".pdf"})

    def read(self, data: bytes, suffix: str) -> ReadText:
        """The text with the place at which each page begins; the title is that of the document's properties."""
        if b"%PDF-" not in data[:1024]:
            raise ReadFailed("broken: not a PDF, its first line is missing", hint="copy or save the file again")
        pages, title = _pages(data)
        offsets: list[int] = []
        length = 0
        for page in pages:
            offsets.append(length)
            length += len(page) + len(_BETWEEN_PAGES)
        text = _BETWEEN_PAGES.join(pages)
        if not text.strip():
            raise ReadFailed(
                f"binary without text: {len(pages)} pages of pictures only", hint="run character recognition on it"
            )
        return ReadText(text=text, title=title, pages=tuple(offsets))


def _pages(data: bytes) -> tuple[list[str], str]:
    """The text of every page, and the title. Raises ReadFailed for an encrypted or broken file."""
    import pdfplumber
    from pdfminer.pdfdocument import PDFPasswordIncorrect
    from pdfminer.pdfexceptions import PDFException
    from pdfminer.psexceptions import PSException
    from pdfplumber.utils.exceptions import PdfminerException

    try:
        with pdfplumber.open(io.BytesIO(data), laparams={}) as pdf:
            pages = [_page(page) for page in pdf.pages]
            title = pdf.metadata.get("Title")
    except (PdfminerException, PDFException, PSException, AssertionError) as error:
        chain = (error, *error.args, error.__cause__, error.__context__)
        if any(isinstance(link, PDFPasswordIncorrect) for link in chain):
            raise ReadFailed("encrypted: it needs a password", hint="save it without a password") from error
        raise ReadFailed(
            "broken: the PDF cannot be parsed" + _told(error), hint="open it in a PDF program and save it again"
        ) from error
    if not pages:
        raise ReadFailed("broken: a PDF without pages", hint="copy or save the file again; this one may be cut off")
    return pages, " ".join(title.split()) if isinstance(title, str) else ""


def _page(page: Any) -> str:
    """One page's text; what was parsed for it is given back."""
    from markitdown.converters._pdf_converter import _extract_form_content_from_words
    from pdfminer.layout import LTTextContainer

    try:
        form = _extract_form_content_from_words(page)
        if form is not None:
            return str(form).strip()
        return "".join(_paragraph(box.get_text()) for box in page.layout if isinstance(box, LTTextContainer)).strip()
    finally:
        page.close()


def _paragraph(box: str) -> str:
    """A box of lines, with the space around it that makes it a paragraph."""
    lines = (line.strip() for line in box.splitlines())
    return "\n".join(line for line in lines if line) + "\n\n"


def _told(error: BaseException) -> str:
    words = " ".join(str(error).split())[:120]
    return f" ({words})" if words else ""


@hookimpl
def ragd_readers() -> list[Reader]:
    """The reader of PDF."""
    return [PdfReader()]
