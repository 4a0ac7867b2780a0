"""Reads files in a child process, so that a bad one costs a reason and never the worker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import replace

from ragd.domain.errors import ModelUnavailable, PathInvalid, ReadFailed
from ragd.domain.training import PluginSource
from ragd.domain.work import ExtractItem, ExtractResult, ReadLimits, SplitPolicy
from ragd.plan import wire
from ragd.plan.read import open_document
from ragd.plan.sandbox_process import ChildProcess

_FILES_A_CHILD = 5_000
START_TIMEOUT_S = 60.0
_MIB = 1 << 20
# A character takes up to twelve bytes in an answer; the rest is for headings, which each piece carries.
_BYTES_A_CHAR = 12
_NONSENSE_HINT = "the file may be made to harm: look where it comes from, and exclude it"
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
        self._child: ChildProcess | None = None
        self._greeting: wire.Message | None = None
        self._files = 0
        self._start()

    def extract(self, root: bytes, item: ExtractItem) -> ExtractResult:
        """What the file at `item.path` beneath `root` holds, or the reason why it cannot be read.

        A file that takes too long, too much memory or the child's life is named as the cause; the
        child is started again for the next one.
        """
        try:
            descriptor = open_document(root, item.path)
        except (FileNotFoundError, NotADirectoryError):
            return replace(_blank(item), is_gone=True)
        except (ReadFailed, PathInvalid) as error:
            return _failed(item, str(error), error.hint)
        try:
            return self._extract(item, descriptor)
        finally:
            os.close(descriptor)

    def _extract(self, item: ExtractItem, descriptor: int) -> ExtractResult:
        try:
            answer = self._asked({"path": wire.path_text(item.path)}, descriptor)
            result, resident_bytes = self._result(item, answer), wire.resident_of(answer)
        except TimeoutError:
            self._restart()
            return _failed(item, f"took longer than {self._limits.timeout_s:g} s to read", _SPLIT_HINT + "timeout_s")
        except EOFError:
            reason, hint = self._cause(self._ready())
            self._restart()
            return _failed(item, reason, hint)
        except wire.Nonsense as error:
            self._restart()
            return _failed(item, f"the reader answered nonsense ({error})", _NONSENSE_HINT)
        if answer.get("spent") or self._files >= _FILES_A_CHILD or resident_bytes > self._limits.memory_mb * _MIB // 2:
            self._restart()
        return result

    def _asked(self, request: wire.Message, descriptor: int) -> wire.Message:
        """The child's answer. Raises TimeoutError, wire.Nonsense, or EOFError when reading the file ended the child."""
        try:
            return self._answered(request, descriptor)
        except EOFError:
            # Nothing in a file raises this signal: whoever sent it meant the process, so the file gets another.
            if self._ready().end() != -signal.SIGKILL:
                raise
            self._restart()
            return self._answered(request, descriptor)

    def _answered(self, request: wire.Message, descriptor: int) -> wire.Message:
        child = self._ready()
        child.tell(request, descriptor)
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

    def lacks(self) -> tuple[str, ...]:
        """What this system cannot do to hold a hostile document back, in words; nothing where all is there."""
        self._ready()
        return wire.bounds_of(self._told()).missing

    def close(self) -> None:
        """Ends the child; safe to call twice. A later `extract` starts another."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def _result(self, item: ExtractItem, answer: wire.Message) -> ExtractResult:
        """What an answer says. Raises wire.Nonsense when the child cannot have meant it."""
        if answer.get("memory"):
            return _failed(item, *self._out_of_memory())
        if "extraction" not in answer:
            return _failed(item, *wire.refusal_of(answer))
        extraction = wire.extraction_of(answer["extraction"], self._limits.max_chars)
        return replace(_blank(item), extraction=extraction, is_unstable=bool(answer.get("unstable")))

    def _out_of_memory(self) -> tuple[str, str]:
        return f"needed more than {self._limits.memory_mb} MB of memory to read", _SPLIT_HINT + "memory_mb"

    def _cause(self, child: ChildProcess) -> tuple[str, str]:
        """Why the child is no more, from its exit status and its last words."""
        status = child.end()
        words = child.last_words
        if "memory allocation of" in words or "MemoryError" in words:
            return self._out_of_memory()
        if status == -signal.SIGXCPU:
            return f"took longer than {self._limits.timeout_s:g} s to read", _SPLIT_HINT + "timeout_s"
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return f"the reader died ({how})", "the file may be damaged: save it again in its own program, or exclude it"

    def _start(self) -> ChildProcess:
        self._greeting = None
        self._files = 0
        self._child = child = ChildProcess(64 * _MIB + _BYTES_A_CHAR * self._limits.max_chars)
        child.tell(self._settings)
        return child

    def _restart(self) -> None:
        """Starts the next child at once: it is ready by the time that the next file comes."""
        self.close()
        self._start()

    def _ready(self) -> ChildProcess:
        """The child, after its greeting."""
        child = self._child or self._start()
        if self._greeting is None:
            self._greeting = self._greeted(child)
        return child

    def _told(self) -> wire.Message:
        return self._greeting or {}

    def _greeted(self, child: ChildProcess) -> wire.Message:
        try:
            greeting = child.hear(time.monotonic() + START_TIMEOUT_S)
        except (EOFError, TimeoutError, wire.Nonsense) as error:
            status = child.end()
            self._child = None
            raise RuntimeError(f"the reading process did not start (status {status}): {child.last_words}") from error
        if "error" in greeting:
            self.close()
            raise ModelUnavailable(str(greeting["reason"]), hint=str(greeting["hint"]))
        return greeting


def _failed(item: ExtractItem, reason: str, hint: str) -> ExtractResult:
    return ExtractResult(item.document_id, item.version, None, reason=reason, hint=hint)


def _blank(item: ExtractItem) -> ExtractResult:
    return ExtractResult(item.document_id, item.version, None)
