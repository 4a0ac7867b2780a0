"""Reads web pages, office documents, books and notebooks as Markdown, by markitdown's local converters."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from html import unescape
from typing import Any

from ragd.hooks.api import Reader, ReadFailed, ReadText, decode_text, hookimpl, open_archive

_OLD_OFFICE = {".doc": ".docx", ".xls": ".xlsx", ".ppt": ".pptx"}
_DECLARED = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_:.-]{2,40})""")
_SLIDE = re.compile(r"<!-- Slide number: (\d+) -->\n?")
_SHEET = re.compile(r"^## ", re.MULTILINE)
_NO_VALUE = re.compile(r"(?<=\|) (?:NaN|NaT|Unnamed: \d+)(?= \|)")
_CORE_TITLE = re.compile(r"<(?:dc:)?title[^>]*>([^<]*)</(?:dc:)?title>")


class MarkitdownReader:
    """Each suffix goes straight to its converter: nothing is guessed, fetched or run.

    The library is imported when the first such file comes: it takes a second and 100 MB.
    """

    name = "markitdown"
    version = "1"

    def __init__(self) -> None:
        self._reads: dict[str, Callable[[bytes], ReadText]] = {
            ".html": read_html,
            ".htm": read_html,
            ".xhtml": read_html,
            ".docx": read_docx,
            ".docm": read_docx,
            ".pptx": read_pptx,
            ".xlsx": read_xlsx,
            ".xlsm": read_xlsx,
            ".epub": read_epub,
            ".ipynb": read_notebook,
        }

    @property
    def suffixes(self) -> frozenset[str]:
        return frozenset(self._reads) | frozenset(_OLD_OFFICE)

    def read(self, data: bytes, suffix: str) -> ReadText:
        """The file as Markdown, with slides and sheets as pages."""
        if suffix in _OLD_OFFICE:
            raise ReadFailed("an old binary Office format", hint=f"save it as {_OLD_OFFICE[suffix]}")
        return self._reads[suffix](data)


def read_html(data: bytes) -> ReadText:
    """A web page: its body; the title is the title element."""
    declared = _DECLARED.search(data[:4096])
    text = decode_text(data, declared=declared[1].decode("ascii") if declared else "")
    from markitdown.converters import HtmlConverter

    found = HtmlConverter().convert_string(text)
    return ReadText(text=found.markdown, title=_line(found.title))


def read_docx(data: bytes) -> ReadText:
    """A word processor's document; its heading styles become headings."""
    title = _core_title(data)
    from markitdown.converters import DocxConverter

    return ReadText(text=_converted(DocxConverter(), data, ".docx"), title=title)


def read_pptx(data: bytes) -> ReadText:
    """Slides in order, each a page under its title."""
    title = _core_title(data)
    from markitdown.converters import PptxConverter

    markdown = _converted(PptxConverter(), data, ".pptx")
    parts: list[str] = []
    pages: list[int] = []
    length = place = 0
    for slide in _SLIDE.finditer(markdown):
        if int(slide[1]) != len(pages) + 1:  # the same words, but written on a slide
            continue
        parts.append(markdown[place : slide.start()])
        length += len(parts[-1])
        pages.append(length)
        place = slide.end()
    return ReadText(text="".join([*parts, markdown[place:]]), title=title, pages=tuple(pages))


def read_xlsx(data: bytes) -> ReadText:
    """Sheets as tables, each a page under its name; empty cells stay empty."""
    title = _core_title(data)
    from markitdown.converters import XlsxConverter

    markdown = _NO_VALUE.sub("  ", _converted(XlsxConverter(), data, ".xlsx"))
    return ReadText(text=markdown, title=title, pages=tuple(sheet.start() for sheet in _SHEET.finditer(markdown)))


def read_epub(data: bytes) -> ReadText:
    """A book: its chapters in reading order."""
    open_archive(data).close()
    from markitdown.converters import EpubConverter

    found: Any = EpubConverter().convert(io.BytesIO(data), _stream_info(".epub"))
    return ReadText(text=found.markdown, title=_line(found.title))


def read_notebook(data: bytes) -> ReadText:
    """A notebook: its texts, and its code in fences; outputs are left out."""
    text = decode_text(data)
    try:
        notebook = json.loads(text)
    except ValueError as error:
        raise ReadFailed(f"broken: not a notebook ({error})", hint="save it again in its own program") from error
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise ReadFailed("broken: a notebook without cells", hint="save it again in its own program")
    from markitdown.converters import IpynbConverter

    found: Any = IpynbConverter().convert(io.BytesIO(text.encode("utf-8", "replace")), _stream_info(".ipynb"))
    return ReadText(text=found.markdown, title=_line(found.title))


def _converted(converter: Any, data: bytes, suffix: str) -> str:
    return str(converter.convert(io.BytesIO(data), _stream_info(suffix)).markdown)


def _stream_info(suffix: str) -> Any:
    from markitdown import StreamInfo

    return StreamInfo(extension=suffix, charset="utf-8")


def _core_title(data: bytes) -> str:
    """The title in an office document's properties, after the archive was checked."""
    with open_archive(data) as archive:
        try:
            properties = archive.read("docProps/core.xml")
        except KeyError:
            return ""
    found = _CORE_TITLE.search(properties.decode("utf-8", "replace"))
    return _line(unescape(found[1])) if found else ""


def _line(title: object) -> str:
    return " ".join(title.split()) if isinstance(title, str) else ""


@hookimpl
def ragd_readers() -> list[Reader]:
    """The reader of office documents, web pages, books and notebooks."""
    return [MarkitdownReader()]
