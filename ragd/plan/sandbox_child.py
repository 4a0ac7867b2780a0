"""The process that reads files: started by `sandbox`, bounded in memory and time, expected to die now and then."""

from __future__ import annotations

import gc
import hashlib
import logging
import os
import resource
import signal
import socket
import sys
import warnings
from typing import BinaryIO

from ragd.domain.documents import Extraction, content_hash, kind_of, suffix_of
from ragd.domain.errors import RagdError, ReadFailed
from ragd.domain.work import ReadLimits
from ragd.hooks import linux
from ragd.hooks.manager import Plugins, load
from ragd.plan import wire
from ragd.plan.bounds import Bounds, bind, places_of
from ragd.plan.read import ReaderTable, read_bytes, read_text
from ragd.plan.split import SPLIT_VERSION, TokenSplitter

_MIB = 1 << 20
_STDERR_BYTES = 4 * _MIB


def main(expected_parent: int) -> None:
    """Reads settings, then one request after another from standard input until it ends."""
    _die_with(expected_parent)
    requests, answers = _channels()
    _quiet()
    message, _ = _receive(requests)
    if message is None:
        return
    bounds = bind(places_of(wire.plugins_of(message), wire.policy_of(message).tokenizer))
    try:
        child = Child(message, bounds)
    except RagdError as error:
        _send(answers, {"error": type(error).__name__, "reason": str(error), "hint": error.hint})
        return
    _send(answers, child.greeting())
    _limit_memory(child.limits)
    while True:
        request, descriptor = _receive(requests)
        if request is None or descriptor is None:
            return
        answer = child.answer(request, descriptor)
        os.close(descriptor)
        _send(answers, answer)
        if answer.get("spent"):
            return


class Child:
    """What the process keeps between files: readers, splitter, limits."""

    def __init__(self, message: wire.Message, bounds: Bounds) -> None:
        self._bounds = bounds
        self.limits = wire.limits_of(message)
        policy = wire.policy_of(message)
        self._plugins: Plugins = load(wire.plugins_of(message))
        self._readers = ReaderTable(self._plugins.readers())
        self._splitter = TokenSplitter(policy)
        parts = [SPLIT_VERSION, str(policy.min_tokens), str(policy.max_tokens), _digest_of_file(policy.tokenizer)]
        self._version = hashlib.blake2b("\n".join([*parts, *self._readers.versions()]).encode(), digest_size=16)

    def greeting(self) -> wire.Message:
        """The fingerprint of what it does, the plugins that are not used, and what holds the process."""
        problems = [[problem.plugin, problem.reason] for problem in self._plugins.problems()]
        bounds = wire.bounds_message(self._bounds)
        return {"version": self._version.hexdigest(), "problems": problems, "bounds": bounds}

    def answer(self, request: wire.Message, descriptor: int) -> wire.Message:
        """What became of one open file. Out of memory, the answer says so and that the process must go."""
        _limit_seconds(self.limits)
        os.ftruncate(2, 0)  # what was said of other files leaves this one the whole of the room
        os.lseek(2, 0, os.SEEK_SET)
        try:
            extraction, is_stable = self._extract(wire.path_bytes(request["path"]), descriptor)
            answer: wire.Message = {"extraction": wire.extraction_message(extraction), "unstable": not is_stable}
        except ReadFailed as error:
            answer = {"reason": str(error), "hint": error.hint}
        except MemoryError:
            answer = {"memory": True, "spent": True}
        answer["rss"] = _resident_bytes()
        return answer

    def _extract(self, path: bytes, descriptor: int) -> tuple[Extraction, bool]:
        """One file's extraction, and whether it held still while it was read."""
        file = read_bytes(descriptor, self.limits)
        text = read_text(file.data, suffix_of(path), self._readers, self.limits)
        return Extraction(
            content_hash=content_hash(file.data),
            kind=kind_of(path),
            title=text.title,
            stat=file.stat,
            size_chars=len(text.text),
            pieces=self._splitter.pieces(text),
        ), file.is_stable


def _digest_of_file(path: str) -> str:
    """The content of the tokenizer, not where it lies, decides how texts are cut."""
    if not path:
        return "characters"
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _die_with(expected_parent: int) -> None:
    """Ends with the parent, also when that is killed while a file is being read."""
    linux.end_with_parent(signal.SIGKILL)
    if os.getppid() != expected_parent:
        sys.exit(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _channels() -> tuple[socket.socket, BinaryIO]:
    """The message streams; whatever a library prints goes to standard error instead."""
    answers = os.fdopen(os.dup(1), "wb")
    requests = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=os.dup(0))
    os.dup2(2, 1)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return requests, answers


def _quiet() -> None:
    """No warnings and no logging of the format libraries, a bounded standard error."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_STDERR_BYTES, _STDERR_BYTES))


def _limit_memory(limits: ReadLimits) -> None:
    """Address space: what is mapped now, and `memory_mb` on top."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        mapped = int(statm.read().split()[0]) * resource.getpagesize()
    most = mapped + limits.memory_mb * _MIB
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    gc.freeze()  # what was loaded so far lives as long as the process


def _limit_seconds(limits: ReadLimits) -> None:
    """Processor seconds from now on: an endless loop ends even when nobody is left to watch."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + limits.timeout_s) + 5
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def _receive(stream: socket.socket) -> tuple[wire.Message | None, int | None]:
    """The next message and the open file that came with it; (None, None) at the end of the stream."""
    header, descriptors, _, _ = socket.recv_fds(stream, wire.HEADER.size, 1)
    body = b""
    if len(header) == wire.HEADER.size:
        size = wire.HEADER.unpack(header)[0]
        while len(body) < size and (block := stream.recv(size - len(body))):
            body += block
        if len(body) == size:
            return wire.unpacked(body), descriptors[0] if descriptors else None
    return None, None


def _send(stream: BinaryIO, message: wire.Message) -> None:
    stream.write(wire.packed(message))
    stream.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
