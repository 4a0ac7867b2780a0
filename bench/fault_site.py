"""Where a fault is caused: a folder, a real daemon over it, and the dict {path: text} that it must equal at the end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil

from bench.daemon import Running, launch
from bench.fault import Outcome
from ragd.cli.client import Client
from ragd.domain.errors import RagdError
from ragd.domain.index import EncoderSpec
from ragd.embed.encoder import open_encoder
from ragd.testing.tiny import tiny_model

BUILD: Final = Path(__file__).parents[1] / ".build" / "faults"
_MARK: Final = re.compile(r"mark\d{5}x")
_TRACEBACK: Final = re.compile(r"^Traceback.*?^(\S.*?)$", re.DOTALL | re.MULTILINE)
_POLL_S: Final = 0.05
_MARKS: Final = {
    "extract": ("worker", "extract"),
    "embed": ("worker", "embed"),
    "redis": ("redis",),
    "sandbox": ("ragd.plan.sandbox_child",),
}
KINDS: Final = tuple(_MARKS)


class NotSo(Exception):
    """What ragd promises did not come to pass; the message says what, and how it stood."""


def prepared() -> tuple[Path, Path]:
    """A tiny model and a folder of models that holds its export, made once: a daemon then starts in about a second."""
    model, models = BUILD / "tiny", BUILD / "models"
    if not (model / "model.safetensors").exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        arriving = BUILD / f"tiny-{os.getpid()}"
        tiny_model(arriving, max_tokens=256)
        try:
            arriving.rename(model)
        except OSError:  # somebody else was faster
            shutil.rmtree(arriving)
    open_encoder(EncoderSpec(model=str(model), threads=1), models).close()
    return model, models


class Site:
    """One folder, its state folder and its daemon. `texts` is the model; `write` and `delete` change both.

    `environment` and `prefix` go to the daemon: settings, and what is put before its command line.
    """

    def __init__(
        self,
        scratch: Path,
        *,
        files: int = 12,
        environment: dict[str, str] | None = None,
        prefix: Sequence[str] = (),
        folder: Path | None = None,
    ) -> None:
        model, models = prepared()
        self.folder = folder or scratch / "kb"
        self.state, self.log = scratch / "s", scratch / "daemon.log"
        self.texts: dict[str, str] = {}
        self._count = 0
        self._prefix = prefix
        self.environment = {
            "RAGD_EMBED__MODEL": str(model),
            "RAGD_LEARN__ENABLED": "false",
            "RAGD_WATCH__SETTLE_S": "0.1",
            "RAGD_WATCH__UNCLOSED_S": "0.5",
            "RAGD_WATCH__RESCAN_S": "0",
            "OMP_NUM_THREADS": "1",
            **(environment or {}),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state.mkdir(mode=0o700)
        (self.state / "models").symlink_to(models)
        self._daemon: Running | None = None
        for _ in range(files):
            self.write()

    # The folder.

    def text(self, paragraphs: int = 1) -> str:
        """A new text, whose every paragraph has a word that no other ever had."""
        parts = []
        for _ in range(paragraphs):
            self._count += 1
            parts.append(f"The heron of mark{self._count:05}x waits by the river, and the otter dives near it.")
        return f"# Note {self._count}\n\n" + "\n\n".join(parts) + "\n"

    def write(self, name: str = "", *, paragraphs: int = 1) -> str:
        """Writes a new text to a document, by default a new one; returns its name."""
        text = self.text(paragraphs)
        name = name or f"{('notes', 'guide', 'plans')[self._count % 3]}/note-{self._count}.md"
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        self.texts[name] = text
        return name

    def delete(self, name: str) -> None:
        """Removes a document."""
        (self.folder / name).unlink()
        del self.texts[name]

    def edit(self) -> None:
        """A new document, a changed one, a removed one, a renamed one."""
        names = sorted(self.texts)
        self.write()
        self.write(names[0])
        self.delete(names[1])
        (self.folder / names[2]).rename(self.folder / "renamed.md")
        self.texts["renamed.md"] = self.texts.pop(names[2])

    # The daemon.

    @property
    def daemon(self) -> Running:
        """The running daemon."""
        if self._daemon is None:
            raise NotSo("the daemon was not started")
        return self._daemon

    def start(self, *options: str) -> None:
        """Starts the daemon and returns when everything is searchable. Raises NotSo."""
        self.launch(*options)
        self.until_whole()

    def launch(self, *options: str) -> None:
        """Starts the daemon and returns at once."""
        with self.log.open("ab") as log:
            self._daemon = launch(
                [self.folder], self.state, *options, environment=self.environment, errors=log, prefix=self._prefix
            )

    def adopt(self, process: subprocess.Popen[bytes]) -> None:
        """Takes a process that was started elsewhere for the daemon."""
        self._daemon = Running(process, Client(self.state / "ragd.sock"))

    def stop(self) -> int:
        """Ends the daemon in order; its exit status."""
        self.daemon.client.close()
        self.daemon.process.send_signal(signal.SIGTERM)
        return self.daemon.process.wait(60)

    def close(self) -> None:
        """Leaves no process behind."""
        if self._daemon is None:
            return
        process = self._daemon.process
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        for child in (process.pid, *(one.pid for one in children)):
            try:
                os.kill(child, signal.SIGCONT)
            except ProcessLookupError:
                continue
        self._daemon.client.close()
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def children(self, kind: str) -> list[int]:
        """Process ids of the daemon's children of one of KINDS."""
        found = []
        for child in psutil.Process(self.daemon.process.pid).children(recursive=True):
            try:
                command = child.cmdline()
            except psutil.Error:
                continue
            if all(any(mark in part for part in command) for mark in _MARKS[kind]):
                found.append(child.pid)
        return found

    def child(self, kind: str) -> int:
        """The one child of a kind, as soon as there is one."""
        self.until(lambda: self.children(kind), f"a {kind} process runs")
        return self.children(kind)[0]

    def status(self) -> dict[str, Any]:
        """What `/v1/status` says; no status while nobody answers."""
        try:
            return self.daemon.status()
        except RagdError as error:
            if self.daemon.process.poll() is not None:
                raise NotSo(f"the daemon ended: {self.last_lines()}") from error
            return {}

    def reasons(self) -> list[str]:
        """Why the daemon is degraded, in its own words."""
        return list(self.status().get("reasons", ()))

    def last_lines(self, count: int = 3) -> str:
        """The end of the daemon's log."""
        return " | ".join(self.log.read_text(errors="replace").splitlines()[-count:])

    # Claims.

    def until(self, claim: Callable[[], object], what: str, timeout_s: float = 60.0) -> float:
        """Waits until the claim holds; seconds. Raises NotSo, which says how the daemon stands."""
        begun = time.monotonic()
        while not claim():
            if time.monotonic() - begun > timeout_s:
                raise NotSo(f"not within {timeout_s:g} s: {what}; reasons: {self.reasons()}")
            time.sleep(_POLL_S)
        return time.monotonic() - begun

    def until_said(self, *words: str, timeout_s: float = 60.0) -> str:
        """Waits for a reason in the status that holds all these words, and returns it."""
        found: list[str] = []

        def is_said() -> bool:
            found[:] = [one for one in self.reasons() if all(word in one for word in words)]
            return bool(found)

        self.until(is_said, f"the status says {' .. '.join(words)}", timeout_s)
        return found[0]

    def until_whole(self, timeout_s: float = 90.0) -> float:
        """Waits until the daemon serves the model as it is and has no complaint; seconds."""
        try:
            return self.until(self._is_whole, "the daemon serves every text", timeout_s)
        except NotSo as error:
            raise NotSo(f"{error}; wrong: {dict(list(self.wrong().items())[:3])}") from None

    def searches(self) -> None:
        """Search is answered at this moment, by words and by meaning. Raises NotSo or RagdError."""
        for mode in ("words", "dense"):
            if not self.daemon.client.search(q="heron by the river", mode=mode)["hits"]:
                raise NotSo(f"a search by {mode} finds nothing")

    def wrong(self) -> dict[str, str]:
        """What is not served as the model has it, by path; the proof is under the empty path."""
        client = self.daemon.client
        found: dict[str, str] = {}
        try:
            listed = {one["path"]: one["state"] for one in client.documents(limit=1000)["documents"]}
            found |= dict.fromkeys(listed.keys() - self.texts.keys(), "listed, not in the model")
            for path, text in self.texts.items():
                said = listed.get(path, "unknown") if listed.get(path) != "searchable" else self._unfound(path, text)
                if said:
                    found[path] = said
            if not found and not client.verify()["clean"]:
                found[""] = "catalog and index differ"
        except RagdError as error:
            if self.daemon.process.poll() is not None:
                raise NotSo(f"the daemon ended: {self.last_lines()}") from error
            found[""] = f"no answer: {error}"
        return found

    def outcome(self, since: float, note: str) -> Outcome:
        """Waits until the model is served; the seconds count from `since` (time.monotonic())."""
        try:
            self.until_whole()
        except NotSo as error:
            lost = sum(path in self.texts for path in self.wrong())
            return Outcome(False, lost, time.monotonic() - since, str(error))
        taken_s = time.monotonic() - since
        broken = _TRACEBACK.search(self.log.read_text(errors="replace"))
        if broken is not None:
            return Outcome(False, 0, taken_s, f"{note}; but the log holds a traceback: {broken[1]}")
        return Outcome(True, 0, taken_s, note)

    def _is_whole(self) -> bool:
        return not self.wrong() and not self.reasons()

    def _unfound(self, path: str, text: str) -> str:
        words = _MARK.findall(text)
        for word in {words[0], words[-1]}:
            hits = self.daemon.client.search(q=word, mode="words", limit=5)["hits"]
            if not any(hit["path"] == path and text[hit["start"] : hit["end"]] == hit["text"] for hit in hits):
                return f"{word} is not found in it"
        return ""


@contextmanager
def site(scratch: Path, **given: Any) -> Iterator[Site]:
    """A site whose daemon serves everything; no process is left at the end."""
    made = Site(scratch, **given)
    try:
        made.start()
        yield made
    finally:
        made.close()
