"""Tells plugins of events and asks their policies, in children that stay; the daemon never waits long for one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ragd.config.events import get_log
from ragd.domain.deciding import Observed, Reason
from ragd.domain.learning import Resources
from ragd.domain.plugins import Event, PluginFacts
from ragd.domain.training import PluginSource
from ragd.hooks.host_child import LIMITS
from ragd.hooks.line_child import LineChild
from ragd.hooks.manager import PluginProblem

_LOG = get_log("ragd.hooks")

START_S, POLICY_S, EVENT_S = 20.0, 1.0, 5.0
MOST_FAILURES = 3
MOST_EVENTS = 1000
_LOOK_S = 2.0
_WAKE = "wake"


class Hosts:
    """A child for each plugin in use that hears events or offers policies; `follow` keeps them as the roster says.

    `tell` returns at once. `ask_policy` takes at most a second. What is late, dies or grows beyond its limits is ended
    and named by `problems`; a plugin that failed three times, or was late for an event, is left alone until its file
    changes or the daemon starts again. In `folder` each has a folder of its own. Safe to use from several threads.
    """

    def __init__(self, folder: Path, limits: Resources = LIMITS) -> None:
        self._folder = folder
        self._limits = limits
        self._hosts: dict[PluginSource, _Host] = {}
        self._lock = threading.Lock()

    def follow(self, facts: Iterable[PluginFacts]) -> None:
        """Starts children for plugins that need one, and ends those of plugins that changed or are not used."""
        wanted = {
            PluginSource(one.name, one.source, one.path, one.sha256): one
            for one in facts
            if not one.problem and ("ragd_event" in one.hooks or one.policies)
        }
        with self._lock:
            gone = [self._hosts.pop(source) for source in list(self._hosts) if source not in wanted]
            for source, one in wanted.items():
                if source not in self._hosts:
                    self._hosts[source] = _Host(source, one, self._folder / source.name, self._limits)
        for host in gone:
            host.close()

    def tell(self, event: Event) -> None:
        """Passes an event on to every plugin that listens, in order, later."""
        for host in self._all():
            host.queue(event)

    def ask_policy(self, name: str, observed: Observed) -> Reason:
        """What a policy says, or why it says nothing: then it does not fire. Never raises for what a plugin does."""
        for host in self._all():
            if name in host.policies:
                return host.ask(name, observed)
        return Reason(name, False, f"no plugin in use offers the policy {name}")

    def problems(self) -> tuple[PluginProblem, ...]:
        """Plugins that misbehaved, with what they did last."""
        return tuple(PluginProblem(h.source.name, h.problem, h.hint) for h in self._all() if h.problem)

    def close(self) -> None:
        """Ends every child; events that wait are dropped."""
        with self._lock:
            hosts, self._hosts = list(self._hosts.values()), {}
        for host in hosts:
            host.close()

    def _all(self) -> list[_Host]:
        with self._lock:
            return list(self._hosts.values())


class _Host:
    """One plugin's child, with the events that wait for it."""

    def __init__(self, source: PluginSource, facts: PluginFacts, work: Path, limits: Resources) -> None:
        self.source = source
        self.policies = facts.policies
        self.problem = ""
        self._listens = "ragd_event" in facts.hooks
        self._work = work
        self._limits = limits
        self._turn = threading.Lock()  # one call at a time: the child answers in order
        self._child: LineChild | None = None
        self._starting: LineChild | None = None
        self._failures = 0
        self._is_over = False
        self._events: queue.Queue[Event | str | None] = queue.Queue()
        self._thread = threading.Thread(target=self._serve, name=f"events of {source.name}", daemon=True)
        self._thread.start()

    @property
    def hint(self) -> str:
        """What to do about its problem."""
        return f"correct the plugin; what it printed is in {self._work / 'output.txt'}"

    def queue(self, event: Event) -> None:
        """Lets an event wait for its turn; beyond a thousand, new ones are dropped."""
        if self._listens and not self._is_over and self._events.qsize() < MOST_EVENTS:
            self._events.put(event)

    def ask(self, policy: str, observed: Observed) -> Reason:
        """A policy's reason, within a second."""
        if self._is_over:
            return Reason(policy, False, f"not asked any more: the plugin {self.source.name} {self.problem}")
        if self._child is None or not self._turn.acquire(timeout=POLICY_S):
            return Reason(policy, False, f"not asked this time: the plugin {self.source.name} is starting or busy")
        try:
            answer = self._called({"policy": policy, "observed": asdict(observed)}, POLICY_S, "to decide")
        finally:
            self._turn.release()
        if answer is None or "error" in answer:
            return Reason(policy, False, f"the plugin {self.source.name} {self.problem}")
        try:
            condition, holds, text = answer["reason"]
            return Reason(str(condition), holds is True, str(text))
        except (KeyError, TypeError, ValueError):
            return Reason(policy, False, f"the plugin {self.source.name} gave no reason")

    def close(self) -> None:
        """Ends the child and the thread."""
        self._is_over = True
        self._events.put(None)
        for child in (self._child, self._starting):
            if child is not None:
                child.kill()  # whoever waits for its answer learns at once
        self._thread.join()
        with self._turn:
            if self._child is not None:
                self._child.end()

    def _serve(self) -> None:
        """The thread: starts the child, then tells it one event after another, and starts it again when it ended."""
        while not self._is_over:
            with self._turn:
                if self._child is None and not self._start():
                    continue
            try:
                event = self._events.get(timeout=_LOOK_S)
            except queue.Empty:
                self._look_after()
                continue
            if event is None:
                return
            if isinstance(event, str):
                continue
            with self._turn:
                if self._child is not None:
                    facts = {"kind": event.kind.value, "at": event.at, "facts": dict(event.facts)}
                    self._called({"event": facts}, EVENT_S, f"to hear of {event.kind.value}", is_last=True)

    def _start(self) -> bool:
        """Starts the child and hears its greeting; whether it is ready."""
        try:
            self._starting = child = LineChild("ragd.hooks.host_child", self.source, self._work, self._limits)
        except OSError as error:
            self._failed(f"cannot be started: {error}")
            return False
        try:
            if self._is_over:
                return False
            greeting = child.hear(START_S)
            if "error" not in greeting:
                self._child = child
                return True
            self._failed(f"cannot be loaded: {greeting['error']}", is_last=True)
        except TimeoutError:
            self._failed(f"took longer than {START_S:g} s to import", is_last=True)
        except EOFError:
            self._failed(f"died while it was imported ({child.end() or 'it closed its pipe'})")
        finally:
            self._starting = None
            if self._child is not child:
                child.end()
        return False

    def _look_after(self) -> None:
        """Ends a child that crossed a limit while nobody called it."""
        with self._turn:
            broken = self._child.broken() if self._child is not None else None
            if broken:
                self._drop(broken)

    def _called(
        self, request: dict[str, Any], timeout_s: float, what: str, *, is_last: bool = False
    ) -> dict[str, Any] | None:
        """The child's answer; None when there is none, with the problem said. `is_last`: being late once is enough."""
        child = self._child
        if child is None:
            return None
        try:
            broken = child.broken()
            if broken:
                self._drop(broken)
                return None
            child.tell(request)
            answer = child.hear(timeout_s)
        except TimeoutError:
            self._drop(f"took longer than {timeout_s:g} s {what}", is_last=is_last)
            return None
        except (EOFError, OSError):
            self._drop(f"died when it was asked {what}")
            return None
        if "error" in answer:
            self._failed(f"failed {what}: {answer['error']}")
            if self._is_over:
                child.end()
        return answer

    def _drop(self, problem: str, *, is_last: bool = False) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None
        self._failed(problem, is_last=is_last)
        self._events.put(_WAKE)  # the thread starts another

    def _failed(self, problem: str, *, is_last: bool = False) -> None:
        if self._is_over:
            return
        self.problem = problem
        self._failures += 1
        self._is_over = is_last or self._failures >= MOST_FAILURES
        outlook = "it is left alone from now on" if self._is_over else "it is tried again"
        _LOG.warning("plugin_failed", plugin=self.source.name, problem=problem, outlook=outlook)
