"""Children of the daemon: real processes that answer, fail, print rubbish or hang, and end with all they started."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ragd.daemon.chores import Chores
from ragd.domain.errors import DiskFull
from ragd.flow.training import ChoreEnd

CHILD = "tests.unit.daemon.child_of_chores"
ROOT = Path(__file__).parents[3]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Yard:
    """Chores over the child above; what waits does so for a process, not for time to pass."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "GIVEN": "yes", "OMP_NUM_THREADS": "8"}
        self.chores = Chores(environment, nice=3, clock=self.clock)

    def start(self, name: str, does: str, *arguments: str, threads: int = 1, timeout_s: float = 60.0) -> None:
        output = self.folder / f"{name}.txt"
        self.chores.start(name, CHILD, [does, *arguments], output, threads=threads, timeout_s=timeout_s)

    def ends(self, count: int = 1) -> list[ChoreEnd]:
        """The next so many ends."""
        found: list[ChoreEnd] = []

        def are_there() -> bool:
            found.extend(self.chores.step())
            return len(found) >= count

        until(are_there)
        return found

    def end(self, does: str, *arguments: str) -> ChoreEnd:
        self.start(does, does, *arguments)
        return self.ends()[0]


def until(claim: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def is_gone(pid: int) -> bool:
    """Whether a process is dead, or waits for its adoptive parent to notice that."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    made.chores.close()


def test_a_child_gets_what_it_needs_and_its_last_line_is_its_answer(yard: Yard) -> None:
    yard.start("prepare 7", "answer", "/runs/7", threads=2)
    assert yard.chores.is_running("prepare 7")
    (end,) = yard.ends()
    assert (end.name, end.status) == ("prepare 7", 0)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "2")
    assert end.said == {
        "arguments": ["/runs/7"],
        "environment": {**threads, "TOKENIZERS_PARALLELISM": "false", "GIVEN": "yes"},
        "nice": os.nice(0) + 3,
        "stdin": "",
    }
    assert (yard.folder / "prepare 7.txt").read_text().splitlines()[0] == "loading äöü"
    assert not yard.chores.is_running("prepare 7")
    assert yard.chores.step() == []


def test_a_refusal_is_told_with_its_status_reason_and_hint(yard: Yard) -> None:
    end = yard.end("refuse")
    assert end.status == 14
    assert end.said == {"error": "too_few_examples", "reason": "12 pairs, 50 are needed", "hint": "list more"}


def test_a_bug_is_told_by_the_last_line_of_its_traceback(yard: Yard) -> None:
    end = yard.end("break_")
    assert (end.status, end.said) == (1, {"reason": "ZeroDivisionError: by nought"})
    assert "Traceback" in (yard.folder / "break_.txt").read_text()


@pytest.mark.parametrize(
    ("does", "status", "said"),
    [("garbage", 3, {"reason": "\ufffd\ufffd not utf-8, not json"}), ("number", 0, {}), ("much", 0, {"examples": 5})],
)
def test_rubbish_is_no_answer_and_much_of_it_does_no_harm(
    yard: Yard, does: str, status: int, said: dict[str, object]
) -> None:
    end = yard.end(does)
    assert (end.status, end.said) == (status, said)


def test_what_a_child_computed_is_told_in_seconds(yard: Yard) -> None:
    assert 0.3 <= yard.end("compute").cpu_s < 5.0


def test_a_name_is_started_once_at_a_time_and_may_be_used_again(yard: Yard) -> None:
    yard.start("evaluate 7", "number")
    yard.start("evaluate 7", "refuse")
    yard.start("evaluate 8", "refuse")
    ends = {end.name: end.status for end in yard.ends(2)}
    assert ends == {"evaluate 7": 0, "evaluate 8": 14}
    yard.start("evaluate 7", "refuse")
    assert yard.ends()[0].status == 14


@pytest.mark.parametrize("way", ["late", "stopped", "closed"])
def test_a_child_that_hangs_is_ended_with_all_that_it_started(yard: Yard, way: str) -> None:
    pid = yard.folder / "pid"
    yard.start("hang", "hang", str(pid), timeout_s=30.0)
    until(lambda: pid.exists() and pid.read_text())
    grandchild = int(pid.read_text())
    assert yard.chores.step() == []
    assert not is_gone(grandchild)
    if way == "closed":
        yard.chores.close()
        assert not yard.chores.is_running("hang")
        assert yard.chores.step() == []
    else:
        if way == "late":
            yard.clock.now = 30.1
        else:
            yard.chores.stop("hang")
        (end,) = yard.ends()
        assert (end.name, end.status) == ("hang", -9)
        late = {"reason": "it took longer than 30 s", "hint": f"what it printed is in {yard.folder / 'hang.txt'}"}
        assert end.said == (late if way == "late" else {"reason": "half way"})
    until(lambda: is_gone(grandchild))


def test_no_zombie_is_left_of_what_ended(yard: Yard) -> None:
    yard.start("one", "number")
    process = yard.chores._running["one"].process
    yard.ends()
    assert not Path(f"/proc/{process.pid}").exists()
    assert process.poll() == 0


def test_stopping_what_does_not_run_does_nothing(yard: Yard) -> None:
    yard.chores.stop("nobody")
    assert yard.chores.step() == []


def test_a_full_disk_is_called_so(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    def has_no_room(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "open", has_no_room)
    with pytest.raises(DiskFull, match=r"no room to write .*full\.txt"):
        yard.start("full", "number")
    assert not yard.chores.is_running("full")


def test_an_output_that_was_removed_meanwhile_is_no_answer(yard: Yard) -> None:
    pid = yard.folder / "pid"
    yard.start("hang", "hang", str(pid))
    until(lambda: pid.exists() and pid.read_text())
    (yard.folder / "hang.txt").unlink()
    yard.chores.stop("hang")
    assert yard.ends()[0].said == {}
