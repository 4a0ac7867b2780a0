"""Files of questions: every accepted form is read, every broken line is named."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from ragd.domain.errors import PairsInvalid
from ragd.learn.claims import Claim
from ragd.learn.lines import MOST_LINE_BYTES
from ragd.learn.pairs import read_pairs


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), "utf-8")
    return path


def test_each_accepted_form_of_a_line_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "pairs.jsonl",
        {"question": " undo a commit? ", "document": "git/reset.md"},
        {"query": "what is a latch", "positive": "A latch keeps a door shut.", "negatives": ["doors.md"]},
        "",
        {"query": "three", "document": ["a.md", "b.md"], "score": 0.25, "answer": "no", "id": "17", "at": 12.5},
        {"question": "only an answer", "answer": "forty two"},
    )
    first, second, third, fourth = read_pairs(path).asked
    assert (first.query, first.claims) == ("undo a commit?", (Claim("git/reset.md", 1.0, is_document=True),))
    assert first.place == "pairs.jsonl:1"
    assert second.claims == (Claim("A latch keeps a door shut."), Claim("doors.md", 0.0))
    assert [claim.name for claim in third.claims] == ["a.md", "b.md"]
    assert (third.score, third.answer, third.at, third.place) == (0.25, "no", 12.5, "pairs.jsonl:4")
    assert {claim.grade for claim in third.claims} == {0.25}
    assert fourth.claims == (Claim("forty two"),)


def test_a_packed_file_reads_as_a_plain_one(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl.gz"
    path.write_bytes(gzip.compress(b'\xef\xbb\xbf{"query": "packed one", "document": "a.md"}\n'))
    assert [asked.query for asked in read_pairs(path).asked] == ["packed one"]


def test_broken_lines_refuse_the_whole_file_and_the_first_five_are_named(tmp_path: Path) -> None:
    path = write(
        tmp_path / "pairs.jsonl",
        {"query": "good one", "document": "a.md"},
        "{not json",
        "[1]",
        {"document": "a.md"},
        {"query": "no answer at all"},
        {"query": "a score", "document": "a.md", "score": 7},
        {"query": "a list", "document": ["a.md", 3]},
        {"query": 5, "document": "a.md"},
    )
    with pytest.raises(PairsInvalid) as caught:
        read_pairs(path)
    said = str(caught.value)
    assert said.startswith(str(path))
    for part in ("line 2: not JSON", "line 3: not a JSON object", "line 4: `question` is missing", "line 5: neither"):
        assert part in said
    assert "line 6: `score` is not a number from 0 to 1" in said
    assert "line 7" not in said
    assert said.endswith("and 2 more")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"query": "\xff"}\n', "line 1: not UTF-8"),
        (b'{"query": "' + b"x" * MOST_LINE_BYTES + b'"}\n', "line 1: longer than"),
        (b"[" * 100_000 + b"\n", "line 1"),
    ],
)
def test_bytes_that_are_no_lines_are_named(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(data)
    with pytest.raises(PairsInvalid, match=reason):
        read_pairs(path)


def test_a_cut_off_packed_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"query": "packed one", "document": "a.md"}\n' * 500)[:-20])
    with pytest.raises(PairsInvalid, match="cannot be read"):
        read_pairs(path)


def test_what_is_not_there_or_no_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PairsInvalid, match="does not exist"):
        read_pairs(tmp_path / "nothing.jsonl")
    with pytest.raises(PairsInvalid, match=r"no queries\.jsonl"):
        read_pairs(tmp_path)


def beir(folder: Path) -> Path:
    folder.mkdir()
    write(folder / "queries.jsonl", {"_id": "q1", "text": "first query", "answer": "yes"}, {"_id": 2, "text": "second"})
    write(
        folder / "corpus.jsonl", {"_id": "d1", "title": "t", "text": "words of d1"}, {"_id": "d9", "text": "unjudged"}
    )
    return folder


def test_a_beir_folder_gives_judged_queries_with_grades_and_texts(tmp_path: Path) -> None:
    folder = beir(tmp_path / "set")
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n", "utf-8")
    found = read_pairs(folder)
    assert [asked.query for asked in found.asked] == ["first query"]
    assert found.asked[0].claims == (Claim("d1", 2.0, is_document=True), Claim("d2", 0.0, is_document=True))
    assert (found.asked[0].answer, found.asked[0].place) == ("yes", "set:q1")
    assert found.texts == {"d1": "words of d1"}


def test_several_qrels_files_and_the_trec_form_are_read(tmp_path: Path) -> None:
    folder = beir(tmp_path / "set")
    (folder / "qrels").mkdir()
    (folder / "qrels" / "train.tsv").write_text("q1\td1\t1\n", "utf-8")
    (folder / "qrels" / "test.tsv").write_text("2 0 d7 1\n", "utf-8")
    assert {asked.query: asked.claims[0].name for asked in read_pairs(folder).asked} == {
        "first query": "d1",
        "second": "d7",
    }


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("q1\td1", "not query, document and grade"),
        ("q1\td1\tmany", "is not a number"),
        ("q8\td1\t1", "query q8 is not"),
    ],
)
def test_a_broken_judgement_is_named_with_its_line(tmp_path: Path, line: str, reason: str) -> None:
    folder = beir(tmp_path / "set")
    (folder / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{line}\n", "utf-8")
    with pytest.raises(PairsInvalid, match=rf"qrels\.tsv: line 2: .*{reason}"):
        read_pairs(folder)


def test_a_pipe_and_a_device_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    for path in (tmp_path / "pipe.jsonl", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(PairsInvalid, match="not a regular file"):
            read_pairs(path)
