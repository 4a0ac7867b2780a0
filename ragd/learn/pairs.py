"""What a source says answers a query, before it is known which chunks that is; and the ways files say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ragd.domain.errors import PairsInvalid
from ragd.learn.beir import is_beir, read_beir
from ragd.learn.claims import Asked, Claim
from ragd.learn.lines import BrokenLine, json_object, number_field, read_lines, text_field

FORMS: Final = "a folder in BEIR's layout, or a JSONL file of questions with documents"


@dataclass(frozen=True, slots=True)
class PairsFile:
    """What one file or folder says, in its order. `texts` are the passages of a BEIR corpus that queries ask for."""

    asked: tuple[Asked, ...]
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)


def read_pairs(path: Path) -> PairsFile:
    """The queries of one file or folder, with what answers them.

    A folder has BEIR's layout: `queries.jsonl` (`_id`, `text`), `qrels.tsv` or `qrels/*.tsv` (query, document, grade;
    all of them count, ragd holds out by itself) and, if need be, `corpus.jsonl` (`_id`, `title`, `text`).
    A file holds one JSON object a line:

        {"question": "how do I undo a commit?", "document": "git/reset.md"}
        {"query": "...", "positive": "the very passage, as text", "negatives": ["git/log.md", "another passage"]}
        {"question": "...", "document": "a.md", "score": 0.4, "answer": "git reset", "id": "17", "at": 1700000000}

    `document` is the path below the watched folder, or the file's name without its suffix; a list names several.
    `positive` may be that too, or a passage, which is found in the chunks that hold it. `score` says how well it
    answers, from 0 (not at all) to 1; from a half up it counts as an answer. `at` is Unix seconds. Both may end in
    .gz. Raises PairsInvalid.
    """
    try:
        is_folder, is_there = path.is_dir(), path.exists()
        is_whole = is_folder and is_beir(path)
    except OSError as error:
        hint = "let ragd's user read it and its folders"
        raise PairsInvalid(f"{path} cannot be read: {error.strerror or error}", hint=hint) from error
    if is_whole:
        return PairsFile(*read_beir(path))
    if is_folder:
        raise PairsInvalid(f"{path} has no queries.jsonl with qrels.tsv or qrels/*.tsv", hint=f"give {FORMS}")
    if not is_there:
        raise PairsInvalid(f"{path} does not exist", hint=f"give {FORMS}")
    asked = read_lines(path, lambda line, number: _asked(json_object(line), f"{path.name}:{number}"))
    return PairsFile(tuple(asked))


def _asked(raw: dict[str, Any], place: str) -> Asked:
    query = text_field(raw, "question", "query")
    score = number_field(raw, "score", 0.0, 1.0)
    grade = 1.0 if score is None else score
    claims = [
        *(Claim(name, grade, is_document=True) for name in _texts(raw, "document")),
        *(Claim(name, grade) for name in _texts(raw, "positive")),
    ]
    answer = text_field(raw, "answer") if raw.get("answer") else ""
    if not claims and answer:
        claims = [Claim(answer, grade)]
    if not claims:
        raise BrokenLine("neither `document` nor `positive` nor `answer` says what answers the question")
    claims += [Claim(name, 0.0) for name in _texts(raw, "negatives")]
    return Asked(
        query=query,
        claims=tuple(claims),
        answer=answer,
        score=score,
        at=number_field(raw, "at", 0.0, 1e11) or 0.0,
        place=place,
    )


def _texts(raw: dict[str, Any], name: str) -> list[str]:
    value = raw.get(name)
    if value is None:
        return []
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) and item.strip() for item in values):
        raise BrokenLine(f"`{name}` is neither a text nor a list of texts")
    return [item.strip() for item in values]
