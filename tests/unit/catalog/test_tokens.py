"""Words in any script, the same for texts and queries."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragd.catalog.tokens import TOKENIZER, index_text, match_expression, query_words


class Words:
    def __init__(self) -> None:
        self.db = sqlite3.connect(":memory:")
        self.db.execute(f"CREATE VIRTUAL TABLE words USING fts5 (body, tokenize = '{TOKENIZER}')")

    def add(self, text: str) -> None:
        self.db.execute("INSERT INTO words VALUES (?)", (index_text(text),))

    def finds(self, query: str) -> list[int]:
        expression = match_expression(query)
        if not expression:
            return []
        rows = self.db.execute("SELECT rowid FROM words WHERE words MATCH ? ORDER BY bm25(words)", (expression,))
        return [row[0] for row in rows]


@pytest.fixture
def words() -> Iterator[Words]:
    made = Words()
    yield made
    made.db.close()


def test_english_words_meet_whatever_their_ending_case_or_accent(words: Words) -> None:
    words.add("The Cafés were INDEXING documents")
    assert words.finds("indexed document") == [1]
    assert words.finds("cafe") == [1]


@pytest.mark.parametrize("query", ["北京", "大学", "京大", "北", "学", "北京大学", "我在北京大学读书吗"])
def test_chinese_is_found_by_any_part_of_a_run(words: Words, query: str) -> None:
    words.add("他在北京大学")
    words.add("上海")
    assert words.finds(query)[:1] == [1]


def test_japanese_and_korean_are_found_too(words: Words) -> None:
    words.add("東京タワー")
    words.add("서울대학교")
    assert words.finds("タワー") == [1]
    assert words.finds("대학") == [2]


def test_full_width_letters_are_the_same_letters(words: Words) -> None:
    words.add("ＰＤＦ文件")
    assert words.finds("pdf") == [1]


def test_a_quoted_phrase_must_occur_and_other_words_only_rank(words: Words) -> None:
    words.add("swap the last row over the hole")
    words.add("the last swap of a row")
    assert words.finds('"last row" swap') == [1]
    assert words.finds('"北京大学" row') == []


def test_a_quoted_chinese_phrase_is_found(words: Words) -> None:
    words.add("我住在北京大学附近")
    words.add("大学在北京")
    assert words.finds('"北京大学"') == [1]


@pytest.mark.parametrize("query", ['"北"', '"大"', '"学"', '"abc 北"', '"abc北"', '"北" abc'])
def test_one_quoted_character_is_found_wherever_it_stands_in_its_run(words: Words, query: str) -> None:
    words.add("abc 北京大学")
    words.add("上海")
    assert words.finds(query) == [1]


def test_common_words_count_only_when_there_is_nothing_else() -> None:
    assert match_expression("how is the index") == '"index"'
    assert match_expression("to be or") == '"to" OR "be" OR "or"'


def test_a_query_without_a_word_asks_for_nothing() -> None:
    assert match_expression(" ?! -- ") == ""


def test_query_words_leave_out_common_words_and_doubles() -> None:
    assert query_words("The index and the Index") == ("index",)


@given(st.text(max_size=60))
def test_no_text_whatever_breaks_the_query_language(text: str) -> None:
    words = Words()
    try:
        words.add(text.encode("utf-8", "replace").decode())
        words.finds(text.encode("utf-8", "replace").decode())
        assert words.db.execute("SELECT count(*) FROM words").fetchone() == (1,)
    finally:
        words.db.close()
