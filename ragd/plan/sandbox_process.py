"""The child of a sandbox as its parent sees it: started bare of secrets, asked, heard in bounds, and ended."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

from ragd.plan import bounds, wire

_STOP_TIMEOUT_S = 2.0
_PIPE_BYTES = 1 << 20
_WORDS_BYTES = 4096
# One thread and one arena keep the address space, which is what the limit counts, near what is really used.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONDONTWRITEBYTECODE": "1",
}


class ChildProcess:
    """One child: its channels, and the file that catches its standard error. No answer is longer than `most_bytes`."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        self._requests, child_in = socket.socketpair()  # not a pipe: it carries open files
        self._answers, child_out = os.pipe()
        os.set_blocking(self._answers, False)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ragd.plan.sandbox_child", str(os.getpid())],
                stdin=child_in.fileno(),
                stdout=child_out,
                stderr=self._stderr,
                process_group=0,  # to be killed as a whole; in its worker's session, which stands back for others
                env=bounds.environment(os.environ) | _ENVIRONMENT,
            )
        except OSError:  # no more processes, for one; whoever tries again must not run out of descriptors as well
            os.close(self._answers)
            self._requests.close()
            self._stderr.close()
            raise
        finally:
            child_in.close()
            os.close(child_out)
        self._poll = select.poll()
        self._poll.register(self._answers, select.POLLIN)
        self._status: int | None = None
        self._is_over = False
        self.last_words = ""

    def tell(self, message: wire.Message, descriptor: int | None = None) -> None:
        """Sends a message, and an open file with it; that the child is gone is noticed when its answer is awaited."""
        packed = wire.packed(message)
        try:
            sent = socket.send_fds(self._requests, [packed], [] if descriptor is None else [descriptor])
            self._requests.sendall(packed[sent:])
        except (BrokenPipeError, ConnectionResetError):
            return

    def hear(self, deadline: float) -> wire.Message:
        """The next answer.

        Raises TimeoutError at the deadline (monotonic seconds), EOFError when the child is gone, wire.Nonsense.
        """
        size = wire.HEADER.unpack(self._exactly(wire.HEADER.size, deadline))[0]
        if size > self._most_bytes:
            raise wire.Nonsense(f"{size:,} bytes, at most {self._most_bytes:,} are taken")
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
        self._requests.close()
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
