from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from safetensors.numpy import save_file

from ragd.domain.errors import ArtifactInvalid, BadRequest, ModelUnavailable
from ragd.domain.index import Ids, IndexPolicy, Vectors
from ragd.index.centroids import CENTROIDS_NAME, digest, read_centroids, write_centroids
from ragd.index.exact import ExactIndex
from ragd.index.generation import Generation
from ragd.index.ivf import IvfIndex
from ragd.index.policy import Upkeep

DIMENSION = 16
PATIENCE_S = 60.0
# Small thresholds; every list is looked at, so that answers can be compared with exact ones.
POLICY = IndexPolicy(ivf_above=200, exact_below=100, nprobe=1024)
NOTHING = np.empty(0, np.int64)


def unit(rows: int, seed: int) -> Vectors:
    vectors: Vectors = np.random.default_rng(seed).standard_normal((rows, DIMENSION), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def generation_of(rows: int) -> Generation:
    generation = Generation(ExactIndex(DIMENSION), POLICY)
    generation.apply(np.arange(rows), unit(rows, seed=0), NOTHING)
    return generation


def test_a_commit_adds_replaces_and_removes() -> None:
    generation = generation_of(10)
    new = unit(3, seed=1)
    generation.apply(np.array([8, 9, 10]), new, np.array([0, 1, 77]), sequence=5)
    assert generation.ids().tolist() == [2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert generation.search(new, 1)[1][:, 0].tolist() == [8, 9, 10]
    assert generation.sequence == 5
    generation.apply(NOTHING, unit(0, seed=0), NOTHING, sequence=3)
    assert generation.sequence == 5


def test_an_id_both_added_and_removed_is_gone() -> None:
    generation = generation_of(2)
    generation.apply(np.array([1, 5]), unit(2, seed=1), np.array([1, 5]))
    assert generation.ids().tolist() == [0]


def test_an_index_over_the_threshold_becomes_inverted_and_goes_back() -> None:
    generation = generation_of(199)
    assert generation.maintain() is Upkeep.NOTHING
    generation.apply(np.array([500]), unit(1, seed=2), NOTHING)
    before = generation.ids()
    assert generation.maintain() is Upkeep.TO_IVF
    generation.wait_settled(PATIENCE_S)
    assert generation.facts().kind == "ivf"
    assert generation.ids().tolist() == before.tolist()
    assert generation.search(unit(1, seed=2), 1)[1].tolist() == [[500]]
    assert generation.maintain() is Upkeep.NOTHING
    generation.apply(NOTHING, unit(0, seed=0), np.arange(101))
    assert generation.maintain() is Upkeep.TO_EXACT
    generation.wait_settled(PATIENCE_S)
    assert generation.facts().kind == "exact"
    assert generation.ids().tolist() == [*range(101, 199), 500]


def test_lists_that_outgrew_their_fit_are_fitted_again() -> None:
    generation = generation_of(300)
    generation.maintain()
    generation.wait_settled(PATIENCE_S)
    generation.apply(np.arange(1_000, 2_000), unit(1_000, seed=3), NOTHING)
    lists_before = generation.facts().lists
    assert generation.maintain() is Upkeep.REFIT
    generation.wait_settled(PATIENCE_S)
    assert generation.facts().lists > lists_before
    assert len(generation) == 1_300
    assert generation.ann_recall() == 1.0


def test_changes_during_a_switch_are_carried_over() -> None:
    generation = generation_of(3_000)
    late = unit(400, seed=4)
    assert generation.maintain() is Upkeep.TO_IVF
    assert generation.maintain() is Upkeep.NOTHING
    # Whether these land before, during or after the switch is up to the machine; the outcome is not.
    for start in range(0, 400, 20):
        ids = np.arange(2_900 + start, 2_920 + start)
        generation.apply(ids, late[start : start + 20], np.arange(start, start + 10))
    generation.wait_settled(PATIENCE_S)
    gone = {i for start in range(0, 400, 20) for i in range(start, start + 10)}
    assert generation.ids().tolist() == [i for i in range(3_300) if i not in gone]
    assert np.allclose(generation.vectors(np.arange(2_900, 3_300)), late, atol=1e-3)


def test_a_change_made_just_before_the_new_index_takes_over_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    generation = generation_of(500)
    take_over = Generation._take_over
    new = unit(2, seed=9)

    def change_then_take_over(self: Generation, *indexes: ExactIndex) -> None:
        self.apply(np.array([3, 9_000]), new, np.array([4, 5]), sequence=7)
        take_over(self, *indexes)

    monkeypatch.setattr(Generation, "_take_over", change_then_take_over)
    generation.maintain()
    generation.wait_settled(PATIENCE_S)
    assert generation.facts().kind == "ivf"
    assert generation.ids().tolist() == [0, 1, 2, 3, *range(6, 500), 9_000]
    assert generation.search(new, 1)[1][:, 0].tolist() == [3, 9_000]
    assert generation.sequence == 7


def test_a_build_that_fails_leaves_the_old_index_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    generation = generation_of(300)

    def fail(*_: object) -> None:
        raise MemoryError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(Generation, "_take_over", fail)
        generation.maintain()
        with pytest.raises(MemoryError, match="no room"):
            generation.wait_settled(PATIENCE_S)
    assert generation.facts().kind == "exact"
    assert len(generation) == 300
    assert generation.maintain() is Upkeep.TO_IVF
    generation.wait_settled(PATIENCE_S)
    assert generation.facts().kind == "ivf"


def test_a_closed_generation_builds_no_more_and_still_answers() -> None:
    generation = generation_of(300)
    generation.close()
    generation.close()
    assert generation.maintain() is Upkeep.NOTHING
    assert generation.search(unit(300, seed=0)[:1], 1)[1].tolist() == [[0]]


class AnyCommits(RuleBasedStateMachine):
    """Random commits, background switches and searches against a dict."""

    def __init__(self) -> None:
        super().__init__()
        policy = IndexPolicy(ivf_above=60, exact_below=30, nprobe=1024)
        self.generation = Generation(ExactIndex(DIMENSION), policy)
        self.model: dict[int, Vectors] = {}

    @rule(
        chosen=st.sets(st.integers(0, 120), max_size=60),
        gone=st.sets(st.integers(0, 120), max_size=60),
        seed=st.integers(0, 999),
    )
    def commit(self, chosen: set[int], gone: set[int], seed: int) -> None:
        vectors = unit(len(chosen), seed)
        self.generation.apply(_array(chosen), vectors, _array(gone))
        self.model.update(zip(sorted(chosen), vectors, strict=True))
        for key in gone:
            self.model.pop(key, None)

    @rule()
    def maintain(self) -> None:
        self.generation.maintain()

    @rule()
    def settle(self) -> None:
        self.generation.wait_settled(PATIENCE_S)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def search(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.model)))
        scores, found = self.generation.search(self.model[key][None], 3)
        assert scores[0, 0] >= 1 - 4e-3
        assert key in found[0]

    @invariant()
    def holds_what_the_dict_holds(self) -> None:
        ids = self.generation.ids()
        assert ids.tolist() == sorted(self.model)
        if self.model:
            held = np.array([self.model[key] for key in ids.tolist()])
            assert np.allclose(self.generation.vectors(ids), held, atol=1e-3)

    def teardown(self) -> None:
        self.generation.close(PATIENCE_S)


def _array(ids: set[int]) -> Ids:
    return np.array(sorted(ids), np.int64)


TestAnyCommits = AnyCommits.TestCase
TestAnyCommits.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


@pytest.mark.slow
def test_searches_beside_a_busy_writer_never_crash_and_never_meet_a_removed_row() -> None:
    # In a process of its own: a mistake here would be a segmentation fault.
    script = Path(__file__).with_name("beside.py")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    assert done.stdout.split()[0] == "ghosts=0"
    kinds = done.stdout.strip().partition("kinds=")[2].split(",")
    assert (kinds[0], kinds[-1]) == ("exact", "exact")
    assert "ivf" in kinds


def test_given_centroids_are_adopted_beside_changes_and_can_be_given_back(tmp_path: Path) -> None:
    generation = generation_of(3_000)
    with pytest.raises(BadRequest, match="the index is exact: 3000 chunks"):
        generation.adopt_fit(unit(8, seed=1))
    generation.maintain()
    generation.wait_settled(PATIENCE_S)
    before = generation.centroids()
    assert before is not None
    assert generation.fit_digest == ""
    given = unit(48, seed=9)
    generation.adopt_fit(given)
    late = unit(50, seed=5)
    generation.apply(np.arange(5_000, 5_050), late, np.arange(10))
    generation.wait_settled(PATIENCE_S)
    assert generation.fit_digest == digest(given)
    assert generation.facts().lists == 48
    assert generation.ids().tolist() == [*range(10, 3_000), *range(5_000, 5_050)]
    assert generation.search(late, 1)[1][:, 0].tolist() == list(range(5_000, 5_050))
    generation.adopt_fit(before)
    generation.wait_settled(PATIENCE_S)
    after = generation.centroids()
    assert after is not None
    np.testing.assert_allclose(after, before, atol=1e-6)
    generation.adopt_fit(None)
    generation.wait_settled(PATIENCE_S)
    assert generation.fit_digest == ""
    assert len(generation) == 3_040


def test_an_adopted_fit_survives_being_written_and_read(tmp_path: Path) -> None:
    index = IvfIndex(DIMENSION)
    index.adopt(unit(4, seed=1), POLICY)
    index.upsert(np.arange(100), unit(100, seed=2))
    index.write(tmp_path / "index")
    again = IvfIndex.read(tmp_path / "index")
    assert again.fit_digest == digest(unit(4, seed=1))
    np.testing.assert_allclose(again.centroids(), unit(4, seed=1))
    with pytest.raises(ValueError, match="must have the shape"):
        index.adopt(np.ones((4, DIMENSION + 1), np.float32), POLICY)


def test_centroids_on_disk_are_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "fit" / CENTROIDS_NAME
    write_centroids(path, unit(4, seed=1))
    np.testing.assert_array_equal(read_centroids(path, DIMENSION), unit(4, seed=1))
    with pytest.raises(ArtifactInvalid, match=r"not float32 \(lists, 5\)"):
        read_centroids(path, 5)
    write_centroids(path, np.full((2, DIMENSION), np.inf, np.float32))
    with pytest.raises(ArtifactInvalid, match="no numbers"):
        read_centroids(path, DIMENSION)
    save_file({"means": unit(4, seed=1)}, path)
    with pytest.raises(ArtifactInvalid, match="holds means instead of centroids"):
        read_centroids(path, DIMENSION)
    path.write_bytes(b"{}")
    with pytest.raises(ArtifactInvalid, match="not a safetensors file"):
        read_centroids(path, DIMENSION)
    with pytest.raises(ModelUnavailable, match="cannot be read"):
        read_centroids(tmp_path / "nothing", DIMENSION)
