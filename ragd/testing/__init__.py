"""For authors of plugins: a strict stand-in for the daemon, contracts to check in one line, tiny local models."""

from ragd.testing.contracts import (
    check_encoder_kind,
    check_launcher,
    check_policy,
    check_reader,
    check_tracker,
    check_trainer,
)
from ragd.testing.plugin import load_plugin
from ragd.testing.runs import FakeRun, fake_run
from ragd.testing.served import reciprocal_rank
from ragd.testing.tiny import tiny_generator, tiny_model

__all__ = [
    "FakeRun",
    "check_encoder_kind",
    "check_launcher",
    "check_policy",
    "check_reader",
    "check_tracker",
    "check_trainer",
    "fake_run",
    "load_plugin",
    "reciprocal_rank",
    "tiny_generator",
    "tiny_model",
]
