"""What a plugin raises becomes one line that names it, and what to do."""

from __future__ import annotations

import errno

import pytest

from ragd.domain.errors import TooFewExamples
from ragd.domain.index import EncoderSpec
from ragd.domain.learning import Resources, Role
from ragd.domain.training import PluginSource, RunRequest
from ragd.flow.trainee import failure

REQUEST = RunRequest(
    "run-1",
    "mine",
    Role.ENCODER,
    PluginSource("my_plugin", "file"),
    7,
    Resources(memory_mb=512, disk_mb=64),
    EncoderSpec(),
    "/models",
)


@pytest.mark.parametrize(
    ("error", "reason", "hint"),
    [
        (TooFewExamples("3 of 50", hint="more"), "3 of 50", "more"),
        (MemoryError(), "out of memory: needed more than 512 MiB", "raise trainers.mine.memory_mb or learn.memory_mb"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory", "raise trainers.mine.memory_mb"),
        (OSError(errno.ENOSPC, "No space", "/run/x"), "no room to write /run/x", "raise learn.disk_mb (now 64 MiB)"),
        (PermissionError(errno.EACCES, "no", "/etc/x"), "was refused /etc/x", "write below run.folder"),
        (
            ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"),
            "the package torch is not installed here",
            "install it into the environment of the train workers, then `ragd runs resume run-1`",
        ),
        (SystemExit(4), "it ended its process (SystemExit 4)", "`ragd runs log run-1`"),
        (ValueError("two\n lines"), "ValueError: two lines", "`ragd runs log run-1`"),
    ],
)
def test_an_error_is_told_with_the_plugins_name_and_a_remedy(error: BaseException, reason: str, hint: str) -> None:
    outcome = failure(error, REQUEST)
    assert outcome.state == "failed"
    assert outcome.reason.startswith("plugin my_plugin: ")
    assert reason in outcome.reason
    assert "\n" not in outcome.reason
    assert hint in outcome.hint
