"""Reads a folder in BEIR's layout: queries, judgements, and the texts of judged documents where a corpus is there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ragd.learn.claims import Asked, Claim
from ragd.learn.lines import BrokenLine, existing, json_object, read_lines, text_field

_TEXT_CHARS = 2_000  # of a corpus text, enough to find it among chunks


def is_beir(folder: Path) -> bool:
    """Whether the folder holds queries and judgements."""
    return existing(folder / "queries.jsonl") is not None and bool(_qrels_files(folder))


def read_beir(folder: Path) -> tuple[tuple[Asked, ...], Mapping[str, str]]:
    """The judged queries, each with its documents by corpus id, and the beginnings of those documents' texts.

    Queries without a judgement are left out. Raises PairsInvalid naming file, line and reason; also for a judgement
    of a query that is not there.
    """
    source = existing(folder / "queries.jsonl") or folder / "queries.jsonl"
    queries: dict[str, tuple[str, str]] = {}
    for name, text, answer in read_lines(source, lambda line, _: _query(line)):
        queries[name] = (text, answer)
    judged: dict[str, dict[str, float]] = {}
    for path in _qrels_files(folder):
        for query, document, grade in read_lines(path, lambda line, number: _judgement(line, number, queries)):
            judged.setdefault(query, {})[document] = grade
    asked = tuple(
        Asked(
            query=queries[name][0],
            claims=tuple(Claim(document, grade, is_document=True) for document, grade in grades.items()),
            answer=queries[name][1],
            place=f"{folder.name}:{name}",
        )
        for name, grades in judged.items()
    )
    return asked, _texts(folder, {document for grades in judged.values() for document in grades})


def _qrels_files(folder: Path) -> list[Path]:
    single = existing(folder / "qrels.tsv")
    several = [path for pattern in ("*.tsv", "*.tsv.gz") for path in sorted((folder / "qrels").glob(pattern))]
    return [single] if single is not None else several


def _query(line: str) -> tuple[str, str, str]:
    raw = json_object(line)
    name = raw.get("_id")
    if not isinstance(name, str | int) or isinstance(name, bool):
        raise BrokenLine("`_id` is missing")
    answer = raw.get("answer")
    return str(name), text_field(raw, "text"), answer.strip() if isinstance(answer, str) else ""


def _judgement(line: str, number: int, queries: Mapping[str, object]) -> tuple[str, str, float] | None:
    parts = line.split("\t") if "\t" in line else line.split()
    if len(parts) == 4:  # TREC's own form: query, iteration, document, grade
        parts = [parts[0], parts[2], parts[3]]
    if len(parts) != 3:
        raise BrokenLine("not query, document and grade, separated by tabs")
    query, document, written = (part.strip() for part in parts)
    try:
        grade = float(written)
    except ValueError:
        if number == 1:  # the header
            return None
        raise BrokenLine(f"the grade {written!r} is not a number") from None
    if not 0 <= max(grade, 0.0) < 1e6:
        raise BrokenLine(f"the grade {written!r} is out of range")
    if query not in queries:
        raise BrokenLine(f"query {query} is not in queries.jsonl")
    return query, document, max(grade, 0.0)


def _texts(folder: Path, wanted: set[str]) -> Mapping[str, str]:
    path = existing(folder / "corpus.jsonl")
    if path is None:
        return {}

    def read(line: str, _: int) -> tuple[str, str] | None:
        raw = json_object(line)
        name = str(raw.get("_id", ""))
        text = raw.get("text")
        if not name or not isinstance(text, str):
            raise BrokenLine("`_id` or `text` is missing")
        return (name, text[:_TEXT_CHARS]) if name in wanted else None

    return dict(read_lines(path, read))
