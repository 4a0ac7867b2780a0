"""`ragd spend` and `ragd feedback`, and what `ragd search` tells where a journal is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ragd.config.learning import Budget
from ragd.domain.deciding import Cost
from ragd.domain.errors import NotFound
from ragd.learn.accounts import Charged, Ledger, accounts
from ragd.learn.savings import Embedded, Promoted, Reference

NOW = 1_700_000_000.0
QUERY_ID = 1_700_000_000_000_000
CHARGED = (
    Charged(NOW - 7200, "train", Cost(4000.0, 8000.0), "query_adapter", "r1"),
    Charged(NOW - 7000, "evaluate", Cost(40.5), "query_adapter", "r1"),
    Charged(NOW - 3600, "backfill", Cost(500.0)),
)
LEDGER = Ledger(
    CHARGED,
    Cost(4040.5, 8000.0),
    Embedded(1_000_000, 50.0, 4_000_000, 900_000, 300, 20, 800_000, 1000),
    [Promoted("query_adapter", "query-adapter", 1000, 40.5)],
    {"query-adapter": Reference("encoder_finetune", 600.0, is_learned=True)},
)


class LearningSide:
    """The daemon's accounts: `account` is what it answers, `judged` what it was told."""

    def __init__(self) -> None:
        self.account: dict[str, Any] = accounts(LEDGER, Budget(), NOW)
        self.judged: list[tuple[int, int, bool]] = []

    def spend(self) -> dict[str, Any]:
        return self.account

    def feedback(self, query: int, chunk: int, *, good: bool) -> None:
        if query != QUERY_ID:
            raise NotFound(f"there is no query {query} in the journal", hint="set learn.journal")
        self.judged.append((query, chunk, good))


@pytest.fixture
def side(backend: Any) -> LearningSide:
    """The model side of the backend."""
    backend.learning = LearningSide()
    side: LearningSide = backend.learning
    return side


def test_spend_tells_each_kind_of_work_the_sums_and_what_was_saved(ragd: Any, side: LearningSide) -> None:
    result = ragd("spend")
    assert result.exit_code == 0, result.output
    lines = {line.split()[0]: line.split() for line in result.stdout.splitlines() if line.strip()}
    assert lines["train"][1:] == ["1", *["4,000", "s", "+", "2.2", "h", "GPU"] * 3, "query_adapter"]
    assert lines["evaluate"][1:] == ["1", *["40.5", "s"] * 3, "query_adapter"]
    assert lines["backfill"][1:] == [*["500", "s"] * 3, "-"]
    assert "4,040 s + 2.2 h GPU charged, 4,040 s + 2.2 h GPU by the runs' own figures" in result.stdout
    assert lines["train_cpu_s_day"][1:4] == ["4,040", "3,600", "0"]
    assert "saved: 155 s  embeddings not recomputed" in result.stdout
    assert "saved: 560 s  full fine-tunings not needed" in result.stdout
    assert "encoder_finetune at 600.0 s a thousand (learned from its runs)" in result.stdout
    assert "DAY (UTC)" not in result.stdout


def test_spend_shows_money_limits_and_days_where_asked(ragd: Any, side: LearningSide) -> None:
    settings = Budget(cpu_rate=3.6, gpu_rate=36.0, currency="EUR", money_day=100.0, train_cpu_s_day=5000.0)
    side.account = accounts(LEDGER, settings, NOW)
    shown = ragd("spend", "--days").stdout
    lines = {line.split()[0]: line.split() for line in shown.splitlines() if line.strip()}
    assert "= 84.00 EUR" in shown
    assert lines["train_cpu_s_day"][1:] == ["4,040", "5,000", "960", "in", "22", "h", "s", "of", "CPU"]
    assert lines["money_day"][1:5] == ["84.54", "100.00", "15.46", "in"]
    assert "saved: 560 s (0.56 EUR)" in shown
    assert lines["2023-11-14"][1:] == ["0.0", "s", "3.3", "h", "40.5", "s", "500", "s", "0.0", "s"]


def test_spend_on_nothing_says_so_and_json_is_the_whole_account(ragd: Any, side: LearningSide) -> None:
    assert json.loads(ragd("spend", "--json").stdout) == side.account
    unlimited = Budget(train_cpu_s_day=0, train_cpu_s_month=0)
    side.account = accounts(Ledger((), Cost(), Embedded()), unlimited, NOW)
    shown = ragd("spend", "--days").stdout
    assert "nothing was spent on training or filling yet" in shown
    assert "no limit is set" in shown
    assert "saved: unknown  embeddings not recomputed" in shown


def test_spend_tells_what_runs_cost_that_are_no_longer_kept(ragd: Any, side: LearningSide) -> None:
    charged = (*CHARGED, Charged(NOW - 9e6, "train", Cost(77.0), "", "gone"))
    side.account = accounts(Ledger(charged, Cost(4040.5, 8000.0), Embedded()), Budget(), NOW)
    assert "77.0 s more by runs that are no longer kept" in ragd("spend").stdout


def test_feedback_names_the_query_and_the_chunk(ragd: Any, side: LearningSide) -> None:
    assert ragd("feedback", str(QUERY_ID), "7", "good").stdout == "noted\n"
    assert json.loads(ragd("feedback", str(QUERY_ID), "#8", "bad", "--json").stdout) == {"noted": True}
    assert side.judged == [(QUERY_ID, 7, True), (QUERY_ID, 8, False)]


def test_feedback_on_what_is_not_there_ends_with_the_daemons_error(ragd: Any, side: LearningSide) -> None:
    refused = ragd("feedback", "5", "7", "good")
    assert refused.exit_code == 3
    assert refused.stderr.splitlines() == ["error: there is no query 5 in the journal", "  hint: set learn.journal"]
    assert side.judged == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("x", "7", "good"), "QUERY_ID x is not an id"),
        (("5", "-7", "good"), "-7"),
        (("5", "7.5", "good"), "CHUNK_ID 7.5 is not an id"),
        ((str(2**63), "7", "good"), f"QUERY_ID {2**63} is not an id"),
        (("5", "9" * 5000, "good"), "is not an id"),
        (("5", "7", "meh"), "meh"),
    ],
)
def test_feedback_that_cannot_be_understood_is_refused_before_it_is_sent(
    ragd: Any, side: LearningSide, arguments: tuple[str, ...], said: str
) -> None:
    result = ragd("feedback", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert side.judged == []


def test_search_tells_the_query_and_the_chunks_where_a_journal_is_kept(ragd: Any, backend: Any) -> None:
    backend.answers["search"] = {"query_id": QUERY_ID}
    result = ragd("search", "install")
    assert result.stdout.splitlines()[0].endswith("#1  0.910")
    assert result.stderr.splitlines()[-1].startswith(f"query {QUERY_ID}: `ragd feedback {QUERY_ID} CHUNK good`")
    assert json.loads(ragd("search", "install", "--json").stdout)["query_id"] == QUERY_ID


def test_search_without_a_journal_looks_as_ever(ragd: Any, backend: Any) -> None:
    result = ragd("search", "install")
    assert "#1" not in result.stdout
    assert "feedback" not in result.stderr
    assert json.loads(ragd("search", "install", "--json").stdout)["query_id"] is None
