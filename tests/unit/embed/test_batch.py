"""Slicing is pure; the pre-emptible loop keeps what is done and says what is left."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ragd.domain.errors import BrokerUnavailable
from ragd.domain.index import EmbeddingSpace, Vectors
from ragd.embed.batch import encode_slices, slices
from ragd.embed.halt import Halt, Halted


class Lengths:
    """An encoder whose vectors tell which text they are of, and that remembers its calls."""

    slice_tokens = 40

    def __init__(self) -> None:
        self.space = EmbeddingSpace("f", 2, "lengths", 64)
        self.calls: list[list[str]] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(list(texts))
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32).reshape(-1, 2)

    def encode_query(self, text: str) -> Vectors:
        return np.asarray(self.encode([text])[0])

    def close(self) -> None:
        return None


@given(st.lists(st.integers(0, 300), max_size=60), st.integers(1, 600))
def test_every_position_is_in_exactly_one_slice_and_none_costs_more_than_the_budget(
    lengths: list[int], budget: int
) -> None:
    groups = slices(lengths, budget)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    assert all(len(group) == 1 or len(group) * max(lengths[i] for i in group) <= budget for group in groups)


def test_equal_lengths_go_together_longest_first() -> None:
    assert slices([10, 200, 11, 190, 12], 400) == [[1, 3], [4, 2, 0]]


def test_a_text_above_the_budget_stands_alone() -> None:
    assert slices([1000, 5], 256) == [[0], [1]]


def test_everything_is_encoded_when_nothing_else_waits() -> None:
    texts = ["a" * n for n in (5, 80, 3, 120, 40)]
    encoded = encode_slices(Lengths(), texts)
    assert encoded.left == ()
    assert sorted(encoded.done) == [0, 1, 2, 3, 4]
    assert [int(row[0]) for row in encoded.vectors] == [len(texts[i]) for i in encoded.done]
    assert encoded.encoded_chars == 248


def test_a_call_to_yield_ends_the_loop_after_the_slice_in_hand() -> None:
    encoder = Lengths()
    answers = iter([False, True])
    encoded = encode_slices(encoder, ["a" * 120] * 4, should_yield=lambda: next(answers))
    assert len(encoder.calls) == 2
    assert len(encoded.done) == len(encoded.vectors) == 2
    assert sorted(encoded.done + encoded.left) == [0, 1, 2, 3]


def test_at_least_one_slice_is_done_so_that_yielding_for_ever_still_ends() -> None:
    left = ["a" * 120, "b" * 120]
    rounds = 0
    while left:
        encoded = encode_slices(Lengths(), left, should_yield=lambda: True)
        left = [left[i] for i in encoded.left]
        rounds += 1
    assert rounds == 2


def test_no_texts_give_an_empty_result_without_a_call() -> None:
    encoder = Lengths()
    encoded = encode_slices(encoder, [])
    assert encoded.vectors.shape == (0, 2)
    assert encoder.calls == []


def test_the_budget_may_be_set_for_one_call() -> None:
    encoder = Lengths()
    encode_slices(encoder, ["a" * 40] * 6, budget_tokens=1000)
    assert [len(call) for call in encoder.calls] == [6]


class Patient(Lengths):
    """An encoder that leaves a slice when it is told to, and waits for that in the slice `waits_at`."""

    def __init__(self, waits_at: int) -> None:
        super().__init__()
        self.waits_at = waits_at
        self.waiting = threading.Event()

    def encode_until(self, texts: Sequence[str], halt: Halt) -> Vectors:
        if len(self.calls) == self.waits_at:
            told = threading.Event()
            halt.listen(told.set)
            self.waiting.set()
            assert told.wait(10)
            raise Halted
        return self.encode(texts)


def test_a_slice_in_hand_is_left_when_somebody_waits_and_all_of_it_is_still_to_do() -> None:
    encoder = Patient(waits_at=2)
    encoded = encode_slices(encoder, ["a" * 120] * 4, should_halt=encoder.waiting.is_set)
    assert len(encoded.done) == len(encoded.vectors) == 2
    assert len(encoded.left) == 2
    assert encoded.encoded_chars == 240


def test_a_single_slice_can_be_left_too_with_nothing_done() -> None:
    encoder = Patient(waits_at=0)
    encoded = encode_slices(encoder, ["a" * 120], should_halt=encoder.waiting.is_set)
    assert (encoded.done, encoded.left, encoded.vectors.shape) == ((), (0,), (0, 2))


def test_asking_that_fails_lets_the_work_go_on() -> None:
    def away() -> bool:
        raise BrokerUnavailable("away")

    encoded = encode_slices(Patient(waits_at=-1), ["a" * 120] * 4, should_halt=away)
    assert encoded.left == ()


def test_whoever_listens_late_hears_at_once() -> None:
    halt, heard = Halt(), threading.Event()
    halt.set()
    halt.listen(heard.set)
    assert halt.is_set
    assert heard.is_set()
