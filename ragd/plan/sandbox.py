"""Reads files in a child process, so that a bad one costs a reason and never the worker."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace

from ragd.domain.errors import ModelUnavailable
from ragd.domain.training import PluginSource
from ragd.domain.work import ExtractItem, ExtractResult, ReadLimits, SplitPolicy
from ragd.plan import wire

_FILES_A_CHILD = 5_000
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 2.0
_PIPE_BYTES = 1 << 20
_WORDS_BYTES = 4096
_MIB = 1 << 20
# One thread and one arena keep the address space, which is what the limit counts, near what is really used.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "TOKENIZERS_PARALLELISM": "false",
}
_SPLIT_HINT = "split the file, exclude it, or raise read."


class Sandbox:
    """A child process that reads, hashes and splits one file after another.

    Not for use by two threads at once. `extract` never raises for what is in a file; ModelUnavailable
    when the tokenizer of the policy cannot be read, RuntimeError when the child cannot be started. `plugins` are those
    whose readers are used; without them the bundled and the installed ones are.
    """

    def __init__(self, limits: ReadLimits, policy: SplitPolicy, plugins: Sequence[PluginSource] | None = None) -> None:
        self._limits = limits
        self._settings = wire.settings(limits, policy, plugins)
        self._child: _ChildProcess | None = None
        self._greeting: wire.Message | None = None
        self._files = 0
        self._start()

    def extract(self, root: bytes, item: ExtractItem) -> ExtractResult:
        """What the file at `item.path` beneath `root` holds, or the reason why it cannot be read.

        A file that takes too long, too much memory or the child's life is named as the cause; the
        child is started again for the next one.
        """
        request = {"root": wire.path_text(root), "path": wire.path_text(item.path)}
        try:
            answer = self._asked(request)
        except TimeoutError:
            self._restart()
            return _failed(item, f"took longer than {self._limits.timeout_s:g} s to read", _SPLIT_HINT + "timeout_s")
        except EOFError:
            reason, hint = self._cause(self._ready())
            self._restart()
            return _failed(item, reason, hint)
        if answer.get("spent") or self._files >= _FILES_A_CHILD or answer["rss"] > self._limits.memory_mb * _MIB // 2:
            self._restart()
        return self._result(item, answer)

    def _asked(self, request: wire.Message) -> wire.Message:
        """The child's answer. Raises TimeoutError, or EOFError when reading the file ended the child."""
        try:
            return self._answered(request)
        except EOFError:
            # Nothing in a file raises this signal: whoever sent it meant the process, so the file gets another.
            if self._ready().end() != -signal.SIGKILL:
                raise
            self._restart()
            return self._answered(request)

    def _answered(self, request: wire.Message) -> wire.Message:
        child = self._ready()
        child.tell(request)
        self._files += 1
        return child.hear(time.monotonic() + self._limits.timeout_s)

    def reader_version(self) -> str:
        """A fingerprint (hex) of the readers, their versions and the splitting: equal means equal chunks."""
        self._ready()
        return str(self._told()["version"])

    def problems(self) -> tuple[tuple[str, str], ...]:
        """Plugins that the child does not use: name and reason."""
        self._ready()
        return tuple((str(name), str(reason)) for name, reason in self._told()["problems"])

    def close(self) -> None:
        """Ends the child; safe to call twice. A later `extract` starts another."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def _result(self, item: ExtractItem, answer: wire.Message) -> ExtractResult:
        blank = ExtractResult(item.document_id, item.version, None)
        if answer.get("gone"):
            return replace(blank, is_gone=True)
        if answer.get("memory"):
            return _failed(item, *self._out_of_memory())
        if "extraction" not in answer:
            return _failed(item, str(answer["reason"]), str(answer["hint"]))
        extraction = wire.extraction_of(answer["extraction"])
        return replace(blank, extraction=extraction, is_unstable=bool(answer["unstable"]))

    def _out_of_memory(self) -> tuple[str, str]:
        return f"needed more than {self._limits.memory_mb} MB of memory to read", _SPLIT_HINT + "memory_mb"

    def _cause(self, child: _ChildProcess) -> tuple[str, str]:
        """Why the child is no more, from its exit status and its last words."""
        status = child.end()
        words = child.last_words
        if "memory allocation of" in words or "MemoryError" in words:
            return self._out_of_memory()
        if status == -signal.SIGXCPU:
            return f"took longer than {self._limits.timeout_s:g} s to read", _SPLIT_HINT + "timeout_s"
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return f"the reader died ({how})", "the file may be damaged: save it again in its own program, or exclude it"

    def _start(self) -> _ChildProcess:
        self._greeting = None
        self._files = 0
        self._child = child = _ChildProcess()
        child.tell(self._settings)
        return child

    def _restart(self) -> None:
        """Starts the next child at once: it is ready by the time that the next file comes."""
        self.close()
        self._start()

    def _ready(self) -> _ChildProcess:
        """The child, after its greeting."""
        child = self._child or self._start()
        if self._greeting is None:
            self._greeting = self._greeted(child)
        return child

    def _told(self) -> wire.Message:
        return self._greeting or {}

    def _greeted(self, child: _ChildProcess) -> wire.Message:
        try:
            greeting = child.hear(time.monotonic() + _START_TIMEOUT_S)
        except (EOFError, TimeoutError) as error:
            status = child.end()
            self._child = None
            raise RuntimeError(f"the reading process did not start (status {status}): {child.last_words}") from error
        if "error" in greeting:
            self.close()
            raise ModelUnavailable(str(greeting["reason"]), hint=str(greeting["hint"]))
        return greeting


class _ChildProcess:
    """One child: its pipes, and the file that catches its standard error."""

    def __init__(self) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        child_in, self._requests = os.pipe()
        self._answers, child_out = os.pipe()
        os.set_blocking(self._answers, False)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ragd.plan.sandbox_child", str(os.getpid())],
                stdin=child_in,
                stdout=child_out,
                stderr=self._stderr,
                process_group=0,  # to be killed as a whole; in its worker's session, which stands back for others
                env=os.environ | _ENVIRONMENT,
            )
        finally:
            os.close(child_in)
            os.close(child_out)
        self._poll = select.poll()
        self._poll.register(self._answers, select.POLLIN)
        self._status: int | None = None
        self._is_over = False
        self.last_words = ""

    def tell(self, message: wire.Message) -> None:
        """Sends a message; that the child is gone is noticed when its answer is awaited."""
        rest = memoryview(wire.packed(message))
        try:
            while rest:
                rest = rest[os.write(self._requests, rest) :]
        except BrokenPipeError:
            return

    def hear(self, deadline: float) -> wire.Message:
        """The next answer. Raises TimeoutError at the deadline (monotonic seconds), EOFError when the child is gone."""
        size = wire.HEADER.unpack(self._exactly(wire.HEADER.size, deadline))[0]
        return wire.unpacked(self._exactly(size, deadline))

    def _exactly(self, size: int, deadline: float) -> bytes:
        parts: list[bytes] = []
        missing = size
        while missing:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            if not self._poll.poll(left_s * 1000):
                continue
            block = os.read(self._answers, min(missing, _PIPE_BYTES))
            if not block:
                self._is_over = True
                raise EOFError
            parts.append(block)
            missing -= len(block)
        return b"".join(parts)

    def end(self) -> int:
        """Makes sure that the child is no more, and gives its exit status (negative: the signal).

        The child holds nothing that it could lose, so that the signal nobody can ignore is the quickest way;
        one that is ending by itself may do so, and tells why.
        """
        if self._status is not None:
            return self._status
        os.close(self._requests)
        try:
            self._status = self._process.wait(_STOP_TIMEOUT_S if self._is_over else 0)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._status = self._process.wait()
        os.close(self._answers)
        self.last_words = self._spoken()
        return self._status

    def _spoken(self) -> str:
        """The last line of the child's standard error."""
        with self._stderr as stderr:
            stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - _WORDS_BYTES))
            lines = stderr.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""


def _failed(item: ExtractItem, reason: str, hint: str) -> ExtractResult:
    return ExtractResult(item.document_id, item.version, None, reason=reason, hint=hint)
