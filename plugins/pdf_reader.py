"""Reads PDF page by page: forms and tables as Markdown tables, prose as paragraphs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ragd.hooks.api import Reader, ReadFailed, ReadText, hookimpl

_BETWEEN_PAGES = "\n\n"
_COLUMN_GAP = 1.0  # heights of a letter, and at least this many points, from which on a gap parts columns
_COLUMN_GAP_PT = 6.0
_PARAGRAPH_GAP = 0.6  # heights of a line between lines from which on a new paragraph begins
_SOFT_HYPHENS = dict.fromkeys(map(ord, "\x02\ufffe"))


@dataclass(slots=True)
class Letter:
    """One character and its box in points, from the page's lower left corner."""

    character: str
    left: float
    bottom: float
    right: float
    top: float


Line = list[Letter]


class PdfReader:
    """PDFium gives letters and their places, from which markitdown's finder of forms and the paragraphs are served.

    markitdown's own converter parses a file twice in Python and gives no page boundaries; this takes
    a seventh of the time, and holds one page at a time.
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
    import pypdfium2

    try:
        with pypdfium2.PdfDocument(data) as document:
            title = document.get_metadata_dict().get("Title", "")
            pages = [_page(document, number) for number in range(len(document))]
    except pypdfium2.PdfiumError as error:
        told = " ".join(str(error).split())
        if "password" in told.lower() or "security" in told.lower():
            raise ReadFailed("encrypted: it needs a password", hint="save it without a password") from error
        raise ReadFailed(
            f"broken: the PDF cannot be parsed ({told})", hint="open it in a PDF program and save it again"
        ) from error
    if not pages:
        raise ReadFailed("broken: a PDF without pages", hint="copy or save the file again; this one may be cut off")
    return pages, " ".join(title.split())


def _page(document: Any, number: int) -> str:
    """One page's text; what was loaded for it is given back."""
    from markitdown.converters._pdf_converter import _extract_form_content_from_words

    page = document[number]
    try:
        lines = list(_lines(page))
        width, height = page.get_size()
    finally:
        page.close()
    form = _extract_form_content_from_words(PlacedWords(lines, width, height))
    return str(form).strip() if form is not None else prose(lines)


def _lines(page: Any) -> Iterator[Line]:
    """The page's lines in reading order."""
    from pypdfium2 import raw

    letters = page.get_textpage()
    line: Line = []
    for index in range(letters.count_chars()):
        character = chr(raw.FPDFText_GetUnicode(letters, index) or 0x20)
        if character in "\r\n":
            if line:
                yield line
            line = []
        else:
            line.append(Letter(character, *letters.get_charbox(index)))
    if line:
        yield line
    letters.close()


class PlacedWords:
    """What the finder of forms asks of a page: its width, and words with their places."""

    def __init__(self, lines: list[Line], width: float, height: float) -> None:
        self.width = width
        self._lines = lines
        self._height = height

    def extract_words(self, **options: object) -> list[dict[str, Any]]:
        """Runs of letters and blanks without a gap, `top` counted from the page's upper edge."""
        return [
            {
                "text": _text(run),
                "x0": run[0].left,
                "x1": max(letter.right for letter in run),
                "top": self._height - max(letter.top for letter in run),
            }
            for line in self._lines
            for run in _runs(line)
        ]


def _runs(line: Line) -> Iterator[Line]:
    """The parts of a line between gaps wider than a blank; blanks at their ends are left out."""
    run: Line = []
    blanks: Line = []
    for letter in line:
        if letter.character.isspace():
            blanks.append(letter)
            continue
        gap = letter.left - run[-1].right if run else 0.0
        if run and abs(gap) > max(_COLUMN_GAP_PT, _COLUMN_GAP * (letter.top - letter.bottom)):
            yield run
            run = []
        elif run:
            run += blanks
        run.append(letter)
        blanks = []
    if run:
        yield run


def _text(line: Line) -> str:
    """The line's characters; those outside the basic plane come in two halves."""
    halves = "".join(letter.character for letter in line)
    return " ".join(halves.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").split())


def prose(lines: list[Line]) -> str:
    """Lines as paragraphs: an empty line where the next one stands far below, or above in a new column."""
    parts: list[str] = []
    above: tuple[float, float] | None = None
    for line in lines:
        inked = [letter for letter in line if not letter.character.isspace()]
        text = _text(line)
        if not inked or not text:
            continue
        bottom, top = min(letter.bottom for letter in inked), max(letter.top for letter in inked)
        if above is not None:
            gap = above[0] - top
            is_apart = gap > _PARAGRAPH_GAP * max(top - bottom, above[1] - above[0]) or bottom > above[1]
            is_hyphenated = parts[-1].endswith(("\x02", "\ufffe"))
            parts.append("" if is_hyphenated else "\n\n" if is_apart else "\n")
        parts.append(text)
        above = (bottom, top)
    return "".join(parts).translate(_SOFT_HYPHENS)


@hookimpl
def ragd_readers() -> list[Reader]:
    """The reader of PDF."""
    return [PdfReader()]
