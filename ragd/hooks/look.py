"""Looks at one plugin in a child process, and gives its facts when they are there; never waits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from ragd.domain.learning import Resources
from ragd.domain.plugins import PluginFacts
from ragd.domain.training import PluginSource
from ragd.hooks import facts
from ragd.hooks.contain import Watch, environment
from ragd.hooks.describe import LIMITS
from ragd.hooks.oversee import TREE_VARIABLE
from ragd.hooks.tree import ending

_MOST_BYTES = 1 << 20
_CHECK_HINT = "`ragd plugins check` says more; correct it, and trust it again"


class Look:
    """A child that imports one plugin. `poll` until it gives facts, or `end` it."""

    def __init__(self, source: PluginSource, limits: Resources = LIMITS) -> None:
        self.source = source
        self._limits = limits
        self._told = b""
        self._work = Path(tempfile.mkdtemp(prefix="ragd-look-"))
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        self._answers, answers = os.pipe()
        os.set_blocking(self._answers, False)
        variables = environment(self._work, limits)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ragd.hooks.describe", str(answers), str(os.getpid()), str(self._work)],
                stdin=subprocess.PIPE,
                stdout=self._words,
                stderr=self._words,
                pass_fds=(answers,),
                start_new_session=True,
                env=variables,
                cwd=self._work,
            )
        except BaseException:
            self._tidy()
            raise
        finally:
            os.close(answers)
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        with self._process.stdin as requests, suppress(BrokenPipeError):
            requests.write(json.dumps(asdict(source)).encode("utf-8"))
        token = variables[TREE_VARIABLE]
        self._watch = Watch(self._process, limits, self._work, adopts=False, token=token)

    def poll(self) -> PluginFacts | None:
        """The plugin's facts once it was imported, failed, or broke a limit; None before."""
        is_over = self._process.poll() is not None
        self._hear()
        if not is_over and b"\n" not in self._told:
            broken = self._watch.check()
            if broken is None:
                return None
            self.end()
            return self._blocked(f"{broken} to import" if "longer" in broken else f"{broken} while it was imported")
        self.end()
        return self._found()

    def end(self) -> None:
        """Ends the child with all it started, and takes its folder away; safe to call twice."""
        if self._words.closed:
            return
        self._watch.kill_all()
        self._process.wait()
        self._last_words = self._spoken()
        self._tidy()

    def _tidy(self) -> None:
        os.close(self._answers)
        self._words.close()
        shutil.rmtree(self._work, ignore_errors=True)

    def _hear(self) -> None:
        while len(self._told) <= _MOST_BYTES:
            try:
                block = os.read(self._answers, 1 << 16)
            except BlockingIOError:
                return
            if not block:
                return
            self._told += block

    def _found(self) -> PluginFacts:
        line = self._told.partition(b"\n")[0]
        try:
            told = facts.from_json(json.loads(line))
        except (ValueError, TypeError, KeyError, RecursionError):
            return self._blocked(self._death())
        ours = self.source
        return replace(told, name=ours.name, source=ours.source, path=ours.path, sha256=ours.sha256)

    def _death(self) -> str:
        status = self._process.returncode
        words = f": {self._last_words}" if self._last_words and status > 0 else ""
        return f"its process died while it was imported ({ending(status)}){words}"

    def _spoken(self) -> str:
        self._words.seek(max(0, self._words.seek(0, os.SEEK_END) - 4096))
        lines = self._words.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:500] if lines else ""

    def _blocked(self, problem: str) -> PluginFacts:
        ours = self.source
        return PluginFacts(ours.name, ours.source, ours.path, ours.sha256, problem=problem, hint=_CHECK_HINT)
