"""Reads tables (CSV, TSV) as Markdown tables, and JSON laid out over lines."""

from __future__ import annotations

import csv
import io
import json

from ragd.hooks.api import Reader, ReadFailed, ReadText, decode_text, hookimpl

_DELIMITERS = ",;\t|"
_LONGEST_LINE = 2_000


class TableReader:
    """Rows that can be read are kept; one that cannot is left out, and a short one is filled up."""

    name = "table"
    version = "1"
    suffixes = frozenset({".csv", ".tsv", ".tab"})

    def read(self, data: bytes, suffix: str) -> ReadText:
        """The rows as a Markdown table whose first row is the heading."""
        text = decode_text(data)
        rows = _rows(text, "," if suffix == ".csv" else "\t")
        if not rows:
            return ReadText(text="")
        columns = max(len(row) for row in rows)
        lines = [_line(row, columns) for row in rows]
        lines.insert(1, "|" + " --- |" * columns)
        return ReadText(text="\n".join(lines) + "\n")


def _rows(text: str, expected: str) -> list[list[str]]:
    """The rows that are not blank. Each line stands alone when the file's quotes do not balance."""
    delimiter = _delimiter(text, expected)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        rows = [row for line in text.splitlines() for row in _one(line, delimiter)]
    return [row for row in rows if any(cell.strip() for cell in row)]


def _one(line: str, delimiter: str) -> list[list[str]]:
    """The row on one line, or nothing."""
    try:
        return list(csv.reader([line], delimiter=delimiter))
    except csv.Error:
        return []


def _delimiter(text: str, expected: str) -> str:
    """The mark that parts the first lines most evenly; the expected one when nothing speaks against it."""
    lines = [line for line in text[:10_000].splitlines()[:20] if line.strip()]
    if not lines or expected in lines[0]:
        return expected
    return max(_DELIMITERS, key=lambda mark: min(line.count(mark) for line in lines))


def _line(row: list[str], columns: int) -> str:
    cells = [" ".join(cell.replace("|", "\\|").split()) for cell in row]
    return "| " + " | ".join(cells + [""] * (columns - len(row))) + " |"


class JsonReader:
    """JSON as it is when it has lines, else laid out, so that it can be cut; JSON Lines one record a line."""

    name = "json"
    version = "1"
    suffixes = frozenset({".json", ".jsonl", ".ndjson", ".geojson", ".webmanifest"})

    def read(self, data: bytes, suffix: str) -> ReadText:
        """The text, checked: a file named .json that is none fails."""
        text = decode_text(data)
        if suffix in (".jsonl", ".ndjson") or not text.strip():
            return ReadText(text=text, form="code:json")
        try:
            value = json.loads(text)
        except ValueError as error:
            if _has_comments(text):
                return ReadText(text=text, form="code:json")
            raise ReadFailed(f"broken: not JSON ({error})", hint="correct the file, or exclude it") from error
        if max(map(len, text.splitlines())) > _LONGEST_LINE:
            text = json.dumps(value, indent=1, ensure_ascii=False)
        return ReadText(text=text, form="code:json")


def _has_comments(text: str) -> bool:
    """Whether it is one of the settings files that carry comments and a trailing comma."""
    return any(line.lstrip().startswith(("//", "/*")) for line in text.splitlines())


@hookimpl
def ragd_readers() -> list[Reader]:
    """The readers of tables and of JSON."""
    return [TableReader(), JsonReader()]
