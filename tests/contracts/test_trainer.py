"""Every bundled trainer is held to the contract: with the retrieval ones, the generators, or the federated ones."""

from __future__ import annotations

from ragd.hooks.manager import load
from ragd.hooks.sources import bundled
from tests.contracts import test_generator_trainers, test_retrieval_trainers

# They need an exchange with signed files of other sites: tests/unit/plugins/test_federated_average.py makes one.
FEDERATED = {"federated_encoder", "federated_query_adapter"}


def test_no_bundled_trainer_is_left_out() -> None:
    plugins = load(bundled())
    held = {case.partition(",")[0] for case in (*test_retrieval_trainers.CASES, *test_generator_trainers.CASES)}
    assert plugins.problems() == ()
    assert {trainer.name for trainer in plugins.trainers()} == held | FEDERATED
