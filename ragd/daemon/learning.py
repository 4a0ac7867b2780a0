"""The model side behind its HTTP door: reads from any thread, changes through the main thread."""

from __future__ import annotations

import codecs
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ragd.catalog.learning import Learning
from ragd.catalog.registry import Registry
from ragd.daemon.errands import Errands
from ragd.domain.deciding import RunState, Verdict
from ragd.domain.errors import BadRequest, GateRefused, NotFound
from ragd.domain.learning import Role
from ragd.domain.plugins import PluginFacts, TrainerFacts
from ragd.domain.training import RunPlaces
from ragd.hooks import facts as plugin_facts

_LOG_BYTES = 256 * 1024
_LOOK_S, _POLL_S = 20.0, 0.05
_ENDED = frozenset({RunState.DONE, RunState.FAILED, RunState.STOPPED})
Json = Mapping[str, object]


class Improving(Protocol):
    """The way of a model as a person steers it; every call is made in the main thread."""

    def standings(self) -> list[dict[str, Any]]:
        """Every trainer with its decision."""
        ...

    def explained(self, trainer: str) -> dict[str, Any]:
        """One trainer's decision, and the ladder. Raises NotFound."""
        ...

    def request(self, trainer: str, *, on: str | None, cause: str) -> str:
        """Begins a run by hand; returns its id."""
        ...

    def stop(self, run_id: str) -> None: ...

    def resume(self, run_id: str) -> None: ...

    def prepare(self, model_id: int) -> None:
        """Opens what a promotion needs; from any thread."""
        ...

    def promote(self, model_id: int, *, forced: bool) -> None: ...

    def rollback(self, role: Role) -> None: ...

    @property
    def prune(self) -> Callable[[int], tuple[list[str], int]]:
        """Removes the files of models but the newest so many of each trainer; their names, and bytes."""
        ...


@dataclass(frozen=True, slots=True)
class DaemonLearning:
    """A web.backend.LearningBackend over one daemon.

    `plugin_list` gives all plugins as they stand, `look` looks for changed ones (in the main thread; True while they
    are being looked at), `account` puts the spending together, `judge` notes feedback.
    """

    improving: Improving
    errands: Errands
    rows: Learning
    registry: Registry
    runs_folder: Path
    plugin_list: Callable[[], tuple[PluginFacts, ...]]
    look: Callable[[], bool]
    account: Callable[[tuple[TrainerFacts, ...]], dict[str, Any]]
    judge: Callable[[int, int, bool], None]

    def plugins(self) -> Json:
        """Every plugin, what it offers, and how it stands."""
        return {
            "plugins": [
                {**plugin_facts.to_json(one), "state": plugin_facts.state_of(one)} for one in self.plugin_list()
            ]
        }

    def triggers(self) -> Json:
        """Every trainer with its decision."""
        return {"triggers": self.errands.ask(self.improving.standings)}

    def trigger(self, trainer: str) -> Json:
        """One trainer's decision, the ladder, and what was decided before."""
        told = self.errands.ask(lambda: self.improving.explained(trainer))
        history = self.rows.decisions.history(trainer, limit=20)
        return {**told, "history": [{**each, "observed": None} for each in history]}

    def train(self, trainer: str, *, on: str | None, cause: str) -> Json:
        """Begins a run."""
        if on is not None and not os.path.isabs(on):
            raise BadRequest(f"{on} is not an absolute path", hint="give the whole path of the file")
        self._look()
        return {"run": self.errands.ask(lambda: self.improving.request(trainer, on=on, cause=cause))}

    def runs(self, *, limit: int, trainer: str | None) -> Json:
        """Runs, newest first."""
        return {"runs": self.rows.runs.newest(limit=limit, trainer=trainer)}

    def run(self, run: str) -> Json:
        """One run with where its files are and, once it was measured, its model's name."""
        found = self.rows.runs.named(run)
        places = RunPlaces(self.runs_folder / found["id"])
        report = places.report.read_text("utf-8") if places.report.is_file() else ""
        return {**found, "folder": str(places.folder), "report": report, "model": self._label(found["model_id"])}

    def log(self, run: str, offset: int) -> Json:
        """What a run printed, a part at a time; a character that is not all there yet comes with the next part."""
        found = self.rows.runs.named(run)
        path = RunPlaces(self.runs_folder / found["id"]).log
        data = b""
        if path.is_file():
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read(_LOG_BYTES)
        ended = found["state"] in _ENDED and len(data) < _LOG_BYTES
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(data, final=ended)
        return {"text": text, "next": offset + len(data) - len(decoder.getstate()[0]), "ended": ended}

    def stop(self, run: str) -> Json:
        """Asks a run to stop."""
        found = self.rows.runs.named(run)
        if found["state"] in _ENDED:
            raise BadRequest(f"the run {found['id']} has ended already: {found['state']}", hint="see `ragd runs show`")
        self.errands.ask(lambda: self.improving.stop(found["id"]))
        return self.run(found["id"])

    def resume(self, run: str) -> Json:
        """Takes a stopped or failed run up again."""
        found = self.rows.runs.named(run)
        self.errands.ask(lambda: self.improving.resume(found["id"]))
        return self.run(found["id"])

    def models(self) -> Json:
        """Models, newest first, and what serves."""
        return {"models": self.registry.models(), "champions": self.registry.champions()}

    def model(self, model: str) -> Json:
        """One model."""
        return self.registry.show(self.registry.find(model))

    def compare(self, a: str, b: str) -> Json:
        """Two models of one role."""
        left, right = self.registry.find(a), self.registry.find(b)
        roles = {self.registry.model(left).role, self.registry.model(right).role}
        if len(roles) > 1:
            raise BadRequest(f"{a} and {b} do not have the same role", hint="compare models of one role")
        return self.registry.compare(left, right)

    def promote(self, model: str, *, force: bool) -> Json:
        """Puts a model live. Raises GateRefused unless the gate passed it, or `force`."""
        found = self.registry.show(self.registry.find(model))
        verdict = found["scores"].get("gate", {}).get("verdict")
        if verdict != Verdict.PASSED and not force:
            raise GateRefused(
                f"{found['name']}/{found['version']} did not pass the gate: "
                + str(found["scores"].get("gate", {}).get("sentence", "it was never measured")),
                hint="see `ragd models show`; promote it all the same with --force",
            )
        self.improving.prepare(int(found["id"]))
        self.errands.ask(lambda: self.improving.promote(int(found["id"]), forced=verdict != Verdict.PASSED))
        return self._champion(str(found["role"]))

    def rollback(self, role: str) -> Json:
        """Puts back what served before."""
        try:
            wanted = Role(role)
        except ValueError:
            raise BadRequest(f"{role} is not a role", hint=f"one of {', '.join(Role)}") from None
        self.errands.ask(lambda: self.improving.rollback(wanted))
        return self._champion(role)

    def prune(self, keep: int) -> Json:
        """Removes the files of models that are not needed."""
        pruned, freed_bytes = self.errands.ask(lambda: self.improving.prune(keep), timeout_s=300.0)
        return {"pruned": pruned, "freed_bytes": freed_bytes}

    def spend(self) -> Json:
        """What was spent and saved."""
        return self.account(tuple(trainer for one in self.plugin_list() if not one.problem for trainer in one.trainers))

    def feedback(self, query: int, chunk: int, *, good: bool) -> None:
        """Notes a judgement."""
        self.errands.ask(lambda: self.judge(query, chunk, good))

    def _look(self) -> None:
        """Whoever trusts a file and asks for a run of it means the file as it is now."""
        deadline = time.monotonic() + _LOOK_S
        while self.errands.ask(self.look) and time.monotonic() < deadline:
            time.sleep(_POLL_S)

    def _champion(self, role: str) -> Json:
        for each in self.registry.champions():
            if each["role"] == role:
                label = f"{each['name']}/{each['version']}" if each["model"] is not None else "configured"
                return {"role": role, "model": label, "stage": each["stage"]}
        raise NotFound(f"nothing was ever promoted as {role}", hint="`ragd models list` shows what can be")

    def _label(self, model_id: int | None) -> str:
        return self.registry.model(model_id).label if model_id is not None else ""
