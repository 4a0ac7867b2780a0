"""The trainers on the pages for authors are short, keep the contract, and learn, where their library is installed."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ragd.domain.learning import Trainer
from ragd.testing.contracts import check_trainer
from ragd.testing.plugin import load_plugin
from ragd.testing.runs import fake_run
from ragd.testing.served import reciprocal_rank

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
LONGEST = 60
EXAMPLES = {"train-with-pytorch.md": "torch", "train-with-lightning.md": "lightning", "train-with-keras.md": "keras"}
# What these libraries say of others, or of torch, at versions that we do not choose.
LIBRARIES_WARN = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"
)


def needed(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skips where the library is missing; it is not imported: the example must tell Keras its backend before."""
    for name in ("KERAS_BACKEND", "KERAS_HOME"):  # what the example sets is taken back after the test
        monkeypatch.setenv(name, os.environ.get(name, ""))
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")


def offered(page: str, folder: Path) -> Trainer:
    """The trainer of the page's first block of Python, from a file of the name that the block begins with."""
    code = re.findall(r"^```python\n(.*?)^```$", (HOWTO / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)[0]
    name = re.match(r"# (\w+\.py)\n", code)
    assert name is not None, "the first line names the file"
    assert len([line for line in code.splitlines() if line.strip()]) <= LONGEST
    assert max(len(line) for line in code.splitlines()) <= 125
    file = folder / name[1]
    file.write_text(code, "utf-8")
    (trainer,) = load_plugin(file).trainers()
    return trainer


@pytest.mark.slow
@LIBRARIES_WARN
@pytest.mark.parametrize(("page", "library"), EXAMPLES.items(), ids=EXAMPLES.values())
def test_the_example_keeps_the_contract_of_trainers(
    page: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed(library, monkeypatch)
    check_trainer(offered(page, tmp_path), tmp_path / "runs")


@pytest.mark.slow
@LIBRARIES_WARN
@pytest.mark.parametrize(("page", "library"), EXAMPLES.items(), ids=EXAMPLES.values())
def test_the_example_brings_answers_nearer_that_it_was_not_trained_on(
    page: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed(library, monkeypatch)
    trainer = offered(page, tmp_path)
    run = fake_run(tmp_path / "run", role=trainer.role, needs=trainer.needs)
    artifact = trainer.train(run)
    assert run.reports[-1].metrics["loss"] < 0.75 * run.reports[0].metrics["loss"]
    assert reciprocal_rank(run, artifact.folder) > reciprocal_rank(run) + 0.1


@pytest.mark.slow
def test_the_guides_trainer_passes_the_guides_test(tmp_path: Path) -> None:
    trainer, test = re.findall(
        r"^```python\n(.*?)^```$", (HOWTO / "write-a-trainer.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    (tmp_path / "pull.py").write_text(trainer, "utf-8")
    (tmp_path / "test_pull.py").write_text(test, "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "test_pull.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
