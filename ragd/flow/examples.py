"""Every example that training and evaluation may use: from files and journal, met with the corpus, cleaned, divided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ragd.catalog.corpus import CorpusReader, DocumentRow, Holdings
from ragd.catalog.journal import JournalRows
from ragd.catalog.reader import CatalogReader
from ragd.catalog.tokens import match_expression
from ragd.domain.learning import Prompt
from ragd.domain.search import Filters
from ragd.domain.training import Preparation
from ragd.learn.clean import CleanReport, Tally, cleaned
from ragd.learn.journal import journal_asked
from ragd.learn.likeness import text_id
from ragd.learn.pairs import PairsFile, read_pairs
from ragd.learn.prompts import DividedPrompts, divide_prompts, read_prompts
from ragd.learn.resolve import FindPassage, Question, Resolver, grouped
from ragd.learn.splits import Divided, Side, Split, divide, newest_from, sides_of

MOST_QUESTIONS: Final = 20_000
"""Training questions of one run; of more, a sample fixed by hash is taken."""
_PASSAGE_WORDS = 24
_PASSAGE_CHARS = 400
_PASSAGE_CANDIDATES = 20


@dataclass(frozen=True, slots=True)
class Layout:
    """The corpus as examples see it: its documents, what they hold, and which side of the split each is on."""

    documents: Sequence[DocumentRow]
    holdings: Holdings
    sides: Mapping[int, Side]

    def chunks_of(self, *sides: Side) -> dict[int, list[int]]:
        """The chunks of each document on these sides; a chunk that also stands in a document elsewhere is left out."""
        here = {document for document, side in self.sides.items() if side in sides}
        elsewhere = {
            chunk
            for chunk, document in zip(self.holdings.chunks.tolist(), self.holdings.documents.tolist(), strict=True)
            if document not in here
        }
        whole = grouped(self.holdings.documents, self.holdings.chunks)
        return {d: [c for c in chunks if c not in elsewhere] for d, chunks in whole.items() if d in here}


@dataclass(frozen=True, slots=True)
class Examples:
    """The three sides of all questions, where the split runs, and what was dropped on the way."""

    layout: Layout
    divided: Divided
    split: Split
    report: CleanReport
    sources: Mapping[str, int]


def read_layout(corpus: CorpusReader, heldout_share: float) -> Layout:
    """The corpus of this moment."""
    documents = corpus.documents()
    return Layout(documents, corpus.holdings(), sides_of(documents, heldout_share))


def gather(
    preparation: Preparation,
    reader: CatalogReader,
    corpus: CorpusReader,
    layout: Layout,
    *,
    split: Split | None = None,
) -> Examples:
    """All questions of the preparation's files and, if it has one, the journal, divided.

    Preparing and evaluating both call it, so that they agree; the evaluation gives the `split` that the preparation
    used. Raises PairsInvalid.
    """
    files = [read_pairs(Path(path).expanduser()) for path in preparation.pairs]
    journal = JournalRows(lambda: reader.connection).judged() if preparation.has_journal else []
    files.append(PairsFile(tuple(journal_asked(journal))))
    resolver = Resolver(layout.documents, layout.holdings, _passages(reader, corpus))
    tally = Tally(sum(len(file.asked) for file in files))
    questions: list[Question] = []
    sources: dict[str, int] = {}
    for file in files:
        for asked in file.asked:
            question = resolver.question(asked, file.texts)
            sources[asked.source] = sources.get(asked.source, 0) + 1
            if question is None:
                tally.drop("not_in_corpus", asked.place)
            else:
                questions.append(question)
    kept = cleaned(questions, tally)
    border = split or Split(preparation.heldout_share, newest_from(kept, preparation.heldout_share))
    divided = divide(kept, layout.sides, border, tally)
    training = _sampled(divided.training, tally)
    count = len(training) + len(divided.validation) + len(divided.heldout)
    return Examples(layout, replace(divided, training=training), border, tally.report(kept=count), sources)


def gather_prompts(preparation: Preparation) -> DividedPrompts:
    """All prompts of the preparation's files, divided. Raises PairsInvalid."""
    given: list[tuple[str, Prompt]] = []
    for path in preparation.prompts:
        given += read_prompts(Path(path).expanduser())
    return divide_prompts(given, preparation.heldout_share)


def _sampled(questions: Sequence[Question], tally: Tally) -> tuple[Question, ...]:
    if len(questions) <= MOST_QUESTIONS:
        return tuple(questions)
    kept = sorted(questions, key=lambda question: text_id(question.query))[:MOST_QUESTIONS]
    tally.drop("too_many", "", len(questions) - len(kept))
    return tuple(kept)


def _passages(reader: CatalogReader, corpus: CorpusReader) -> FindPassage:
    """Chunks that share words with a passage, by full-text search: its beginning and its end are asked for."""

    def find(passage: str) -> Sequence[tuple[int, str]]:
        words = passage.split()
        parts = (
            {passage}
            if len(words) <= _PASSAGE_WORDS
            else {" ".join(words[:_PASSAGE_WORDS]), " ".join(words[-_PASSAGE_WORDS:])}
        )
        found: dict[int, None] = {}
        for part in sorted(parts):
            expression = match_expression(part[:_PASSAGE_CHARS].replace('"', " "))
            found |= dict.fromkeys(chunk for chunk, _ in reader.word_hits(expression, _PASSAGE_CANDIDATES, Filters()))
        chunks = list(found)
        return [(chunk, text) for chunk, (_, text) in zip(chunks, corpus.texts(chunks), strict=True)]

    return find
