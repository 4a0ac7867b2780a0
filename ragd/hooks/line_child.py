"""A child process that answers one JSON line with another, each by a deadline; it dies with whoever holds it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ragd.domain.learning import Resources
from ragd.domain.training import PluginSource
from ragd.hooks.contain import Watch, environment
from ragd.hooks.oversee import TREE_VARIABLE
from ragd.hooks.tree import ending

_MOST_BYTES = 1 << 20
_OUTPUT_BYTES = 1 << 20
_LEAVE_S = 1.0


class LineChild:
    """`python -m MODULE` for one plugin, writing in `work`; what it prints goes to `output.txt` there.

    Not for use by two threads at once.
    """

    def __init__(self, module: str, source: PluginSource, work: Path, limits: Resources) -> None:
        work.mkdir(parents=True, exist_ok=True)
        output = work / "output.txt"
        mode = "ab" if output.exists() and output.stat().st_size < _OUTPUT_BYTES else "wb"
        variables = environment(work, limits)
        self._answers, answers = os.pipe()
        self._rest = b""
        os.set_blocking(self._answers, False)
        try:
            with output.open(mode) as words:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", module, str(answers), str(os.getpid()), str(work)],
                    stdin=subprocess.PIPE,
                    stdout=words,
                    stderr=words,
                    pass_fds=(answers,),
                    start_new_session=True,
                    env=variables,
                    cwd=work,
                )
        except BaseException:
            os.close(self._answers)
            raise
        finally:
            os.close(answers)
        self._watch = Watch(self._process, limits, work, adopts=False, token=variables[TREE_VARIABLE])
        self._is_ended = False
        self.tell(asdict(source))

    def tell(self, message: Mapping[str, Any]) -> None:
        """Sends a line; that the child is gone is noticed when its answer is awaited. Raises TimeoutError after 1 s."""
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        pipe = self._process.stdin.fileno()
        os.set_blocking(pipe, False)
        rest = memoryview(json.dumps(message).encode("utf-8") + b"\n")
        deadline = time.monotonic() + 1.0
        while rest:
            try:
                rest = rest[os.write(pipe, rest) :]
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError from None
                select.select([], [pipe], [], 0.1)
            except BrokenPipeError:
                return

    def hear(self, timeout_s: float) -> dict[str, Any]:
        """The next answer. Raises TimeoutError when it is late, EOFError when the child is gone or talks nonsense."""
        deadline = time.monotonic() + timeout_s
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        while b"\n" not in self._rest:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            if poll.poll(left_s * 1000):
                block = os.read(self._answers, 1 << 16)
                if not block:
                    with suppress(subprocess.TimeoutExpired):
                        self._process.wait(_LEAVE_S)  # its pipe closes a moment before it has ended
                if not block or len(self._rest) > _MOST_BYTES:
                    raise EOFError
                self._rest += block
        line, _, self._rest = self._rest.partition(b"\n")
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise EOFError from error
        if not isinstance(answer, dict):
            raise EOFError
        return answer

    def broken(self) -> str | None:
        """The limit that it crossed, None while it keeps to all."""
        return self._watch.check()

    def kill(self) -> None:
        """Sends it the signal that nobody can ignore, from any thread; `end` is still to be called."""
        if not self._is_ended:
            self._process.kill()

    def end(self) -> str:
        """Ends it with all it started, and says how it had ended by itself, "" when it had not; safe to call twice."""
        if self._is_ended:
            return ""
        self._is_ended = True
        status = self._process.poll()
        self._watch.kill_all()
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        self._process.wait()
        os.close(self._answers)
        return "" if status is None else ending(status)
