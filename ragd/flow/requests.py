"""What a run is told: the models that serve, limits and options, as they are when it begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

from ragd.catalog.registry import Registry
from ragd.config.live import LiveConfig
from ragd.config.schema import TrainerSettings
from ragd.domain.errors import RagdError
from ragd.domain.learning import Data, Needs, Resources, Role
from ragd.domain.plugins import TrainerFacts
from ragd.domain.training import PluginSource, Preparation, RunRequest
from ragd.flow.generations import Generations
from ragd.flow.route import Routes
from ragd.flow.shelf import Shelf

TAUGHT: Final = "generator_distill"  # the trainer that `learn.teacher` is for


class Sources(Protocol):
    """Where the code of plugins is."""

    def source(self, plugin: str) -> PluginSource:
        """Raises PluginRefused for one that is not used."""
        ...


class Requests:
    """Builds the request and the preparation of a run. `model_folder` finds the folder of an encoder by its name."""

    def __init__(
        self,
        config: LiveConfig,
        plugins: Sources,
        generations: Generations,
        routes: Routes,
        registry: Registry,
        shelf: Shelf,
        *,
        models: Path,
        model_folder: Callable[[str], Path],
    ) -> None:
        self._config, self._plugins = config, plugins
        self._generations, self._routes = generations, routes
        self._registry, self._shelf = registry, shelf
        self._models, self._model_folder = models, model_folder

    def request(self, run_id: str, facts: TrainerFacts, settings: TrainerSettings, seed: int) -> RunRequest:
        """What the run's own process is told. Raises PluginRefused."""
        learn = self._config.now.learn
        spec = replace(self._generations.serving.spec, threads=learn.threads)
        adapter = self._routes.current.adapter_id
        return RunRequest(
            id=run_id,
            trainer=facts.name,
            role=facts.role,
            plugin=self._plugins.source(facts.plugin),
            seed=seed,
            resources=self.resources(settings),
            encoder=spec,
            models=str(self._models),
            model_folder=self._folder(facts.role),
            adapter=str(self._shelf.folder(self._registry.model(adapter))) if adapter is not None else "",
            settings=self._options(facts, settings),
        )

    def resources(self, settings: TrainerSettings) -> Resources:
        """What a run of this trainer may use."""
        learn = self._config.now.learn
        return Resources(
            threads=learn.threads,
            memory_mb=settings.memory_mb or learn.memory_mb,
            disk_mb=learn.disk_mb,
            processes=learn.processes,
            timeout_s=settings.timeout_s or learn.timeout_s,
            device=learn.device,
        )

    def _options(self, facts: TrainerFacts, settings: TrainerSettings) -> dict[str, Any]:
        """The trainer's options; the teacher of the configuration is the default of the trainer that wants one."""
        teacher = {"teacher": self._config.now.learn.teacher} if self._config.now.learn.teacher else {}
        return {**(teacher if facts.name == TAUGHT else {}), **settings.options}

    def preparation(self, facts: TrainerFacts, on: str | None) -> Preparation:
        """What ragd's own processes of the run are told; `on` stands for the configured files of examples."""
        given = replace(self.examples(), needs=facts.needs)
        if on is None:
            return given
        pairs, prompts = ((), (on,)) if facts.needs.data is Data.PROMPTS else ((on,), ())
        return replace(given, pairs=pairs, prompts=prompts, has_journal=False)

    def examples(self) -> Preparation:
        """Everything that is configured to learn from, whoever needs it."""
        config = self._config.now
        learn, gate = config.learn, config.gate
        return Preparation(
            state=str(self._config.now.state.absolute()),
            needs=Needs(Data.PAIRS),
            pairs=tuple(map(str, learn.pairs)),
            prompts=tuple(map(str, learn.prompts)),
            has_journal=learn.journal,
            heldout_share=gate.heldout_share,
            metric=gate.metric,
            nprobe=self._config.now.index.nprobe,
        )

    def _folder(self, role: Role) -> str:
        """The folder of the model that serves in a role; "" where it has none, or none on this machine."""
        if role is Role.GENERATOR:
            champion = self._registry.champion(role)
            if champion is not None and champion.model_id is not None:
                return str(self._shelf.folder(self._registry.model(champion.model_id)))
            configured = self._config.now.learn.generator
            return str(Path(configured).expanduser().absolute()) if configured else ""
        spec = self._generations.serving.spec
        if spec.kind == "openai":
            return ""
        try:
            return str(self._model_folder(spec.model))
        except RagdError:
            return ""
