"""Clauses of a contract: what must hold, whether it does, and the folder and fence in which that is tried."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ragd.domain.errors import RagdError
from ragd.hooks.fence import Fence


@dataclass(frozen=True, slots=True)
class Outcome:
    """One clause of a contract: what must hold, "" or what is wrong, and what to do about it."""

    clause: str
    problem: str = ""
    hint: str = ""


def must(holds: object, otherwise: str) -> None:
    """Raises AssertionError with what is wrong, unless it holds."""
    if not holds:
        raise AssertionError(otherwise)


def tried(clause: str, act: Callable[[], object]) -> Outcome:
    """The outcome of a clause whose check raises what is wrong."""
    try:
        act()
    except RagdError as error:
        return Outcome(clause, str(error), error.hint)
    except AssertionError as error:
        return Outcome(clause, str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may fail in any way, and the author is told how
        return Outcome(clause, f"{type(error).__name__}: {' '.join(str(error).split())}")
    return Outcome(clause)


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """The current folder and the one for temporary files, as a run has them."""
    temporary = folder / ".tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    before, tempfile.tempdir = (Path.cwd(), tempfile.tempdir), str(temporary)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before[0])
        tempfile.tempdir = before[1]


@contextmanager
def fenced(folder: Path) -> Iterator[Fence]:
    """Refuses writes outside a folder, but for copies of compiled modules, which runs do not write."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    fence = Fence([folder])
    sys.addaudithook(fence)
    try:
        yield fence
    finally:
        fence.is_open = True
        sys.dont_write_bytecode = before
