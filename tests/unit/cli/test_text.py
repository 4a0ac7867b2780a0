"""What people read: safe, aligned, in the unit that reads best, with the words that were asked for."""

from __future__ import annotations

import io

import pytest

from ragd.cli.snippet import emphasised, excerpt, terms, wrapped
from ragd.cli.terminal import Terminal, clip, columns, one_line, safe, size, table
from ragd.cli.when import ago, duration, moment
from ragd.domain.errors import BadRequest

NOW = 1_800_000_000.0


def test_control_characters_and_direction_marks_do_not_reach_the_terminal() -> None:
    assert safe("a\x1b[31m\x07\u202eb") == "a\ufffd[31m\ufffd\ufffdb"
    assert one_line(" a\n\n b\tc ") == "a b c"


def test_wide_characters_take_two_columns() -> None:
    assert columns("ab中文") == 6
    assert clip("中文中文", 5) == "中文…"
    assert clip("abc", 3) == "abc"
    assert clip("abcd", 3) == "ab…"


def test_a_table_is_aligned_and_cuts_only_its_last_column() -> None:
    lines = table(("N", "PATH"), [("1", "中文.md"), ("1,000", "x" * 50)], Terminal(width=30), right="r")
    assert lines[:2] == ["    N  PATH", "    1  中文.md"]
    assert lines[2] == "1,000  " + "x" * 22 + "…"


def test_colour_needs_a_terminal_and_no_objection() -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert Terminal.of(Screen(), {}).is_colour
    assert not Terminal.of(Screen(), {"NO_COLOR": "1"}).is_colour
    assert not Terminal.of(Screen(), {"TERM": "dumb"}).is_colour
    assert not Terminal.of(io.StringIO(), {}).is_colour
    assert Terminal(is_colour=False).red("x") == "x"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW - 90),
        ("45m", NOW - 2700),
        ("1.5h", NOW - 5400),
        ("2d", NOW - 172800),
        ("1w", NOW - 604800),
        ("2026-11-03T10:00:00+00:00", 1793700000.0),
        ("2026-11-03T10:00:00Z", 1793700000.0),
    ],
)
def test_a_moment_is_an_age_or_an_iso_time(text: str, expected: float) -> None:
    assert moment(text, NOW, "--since") == expected


@pytest.mark.parametrize("text", ["", "yesterday", "3 moons", "2026-13-01", "-2d"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="--until"):
        moment(text, NOW, "--until")


def test_spans_and_sizes_are_told_in_one_unit() -> None:
    assert [duration(s) for s in (0.02, 5.9, 61, 7300, 200_000)] == ["20 ms", "5 s", "1 min", "2 h", "2 d"]
    assert [ago(NOW - s, NOW) for s in (-5, 0.5, 90)] == ["just now", "just now", "1 min ago"]
    assert [size(n) for n in (0, 1023, 2048, 15_000_000)] == ["0 B", "1023 B", "2.0 KiB", "14 MiB"]


def test_terms_are_words_and_pairs_of_characters() -> None:
    assert terms("the index, 索引结构 x") == ["the", "index", "索引", "引结", "结构"]


def test_an_excerpt_begins_where_most_terms_stand() -> None:
    text = "filler " * 60 + "the borrow checker rejects dangling references " + "filler " * 60
    shown = excerpt(text, "dangling references", 100)
    assert "dangling references" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert columns(shown) <= 100


def test_a_short_text_is_its_own_excerpt_and_a_text_without_spaces_is_cut() -> None:
    assert excerpt("short  text", "x", 80) == "short text"
    shown = excerpt("填充" * 200 + "向量索引" + "填充" * 200, "向量索引", 60)
    assert "向量索引" in shown
    assert columns(shown) <= 60


def test_lines_are_wrapped_at_spaces_or_anywhere() -> None:
    assert wrapped("aaa bbb ccc", 7) == ["aaa bbb", "ccc"]
    assert wrapped("x" * 10, 4) == ["xxxx", "xxxx", "xx"]
    assert wrapped("", 4) == []


@pytest.mark.parametrize("width", [0, -3])
def test_a_terminal_without_room_ends_a_text_all_the_same(width: int) -> None:
    assert wrapped("ab c", width) == ["a", "b", "c"]


def test_terms_are_emphasised_at_the_beginnings_of_words() -> None:
    terminal = Terminal(is_colour=True)
    assert emphasised("Indexing an index reindex", "index", terminal).count("\x1b[1m") == 2
    assert emphasised("a.*b", ".*", terminal) == "a.*b"
    assert emphasised("index", "index", Terminal()) == "index"
