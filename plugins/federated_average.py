"""Trains with other sites without showing them a text: signed changes of weights are exchanged and averaged."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ragd.hooks.api import (
    Artifact,
    Data,
    Needs,
    Role,
    Run,
    Trainer,
    TrainingFailed,
    hookimpl,
    read_options,
    save_transform,
)

from . import _federation as federation
from ._adapter_search import Search
from ._encoder_folder import open_model, save_model, transformer_of, weights_of
from ._federation import Card, Floats, Update
from ._pair_batches import PairBatches
from ._pair_losses import contrastive
from ._ranking_task import build
from ._torch_loop import Pace, fit, prepare, quiet
from .encoder_lora import LoraOptions, add_lora
from .query_adapter import AdapterOptions

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExchangeOptions:
    """What the options of both trainers may hold, besides those of `query_adapter` or `encoder_lora`.

    `exchange` is the folder with the updates of all sites, `trusted` one with their public keys (`SITE.pub`), `site`
    this site's name. `round` 0 takes the newest update of each site. `least_sites` counts this one. A site whose change
    is more than `outlier` times as large as the median is left out.
    """

    exchange: str = ""
    trusted: str = ""
    site: str = ""
    round: int = 0
    least_sites: int = 1
    outlier: float = 4.0

    def __post_init__(self) -> None:
        missing = [name for name in ("exchange", "trusted", "site") if not getattr(self, name)]
        if missing:
            raise ValueError(f"{missing[0]} is not set, and there is no default for it")
        if self.round < 0 or self.least_sites < 1 or self.outlier <= 1:
            raise ValueError("round is at least 0, least_sites at least 1, outlier above 1")


@dataclass(frozen=True, slots=True)
class Gathered:
    """The updates to average, this site's first, and why others were refused; `probe` is this site's own."""

    updates: tuple[Update, ...]
    refused: tuple[str, ...]
    probe: Floats

    def facts(self) -> dict[str, float | int | str]:
        """For the model's card."""
        return {
            "sites": len(self.updates),
            "site_names": ", ".join(update.card.site for update in self.updates),
            "refused": "; ".join(self.refused),
            "round": self.updates[0].card.round,
            "examples_in_all": sum(update.card.examples for update in self.updates),
        }

    def keep(self, artifact: Path) -> None:
        """Puts this site's own change beside the artefact, unsigned, for `ragd federate-publish`."""
        own = self.updates[0]
        tensors = {**own.tensors, "probe": self.probe}
        federation.keep_update(artifact / "federation", own.card.role, own.card.round, own.card.examples, tensors)


class FederatedQueryAdapter:
    """This site's query adapter, averaged with those of others in the same embedding space."""

    name = "federated_query_adapter"
    role = Role.QUERY_ADAPTER
    needs = Needs(Data.PAIRS, least=50)
    cost_s = 4.0

    def train(self, run: Run) -> Artifact:
        """Trains here, averages, and keeps this site's own change beside it. Raises TrainingFailed."""
        exchange, rest = _options(run.settings)
        options = read_options(rest, AdapterOptions)
        pool, task, validation = build(run, most_rows=options.pool)
        search = Search(run, pool, task, validation, options.settings, epochs=options.epochs, refit=options.refit)
        found = search.found()
        dimension = task.queries.shape[1]
        if "up" in found.weights:
            own = found.weights["up"] @ found.weights["down"]
        else:
            own = found.weights.get("weight", np.zeros((dimension, dimension), np.float32))
        change = {"weight": np.asarray(own * np.float32(found.share), np.float32)}
        gathered = _gather(run, exchange, self.role, len(task), change)
        mean = np.zeros_like(own)
        for share, update in zip(federation.shares(gathered.updates), gathered.updates, strict=True):
            mean += share * update.tensors["weight"]
        folder = run.folder / "artifact"
        save_transform(folder, "residual", weight=mean)
        gathered.keep(folder)
        return Artifact(folder, {**gathered.facts(), "trainable_weights": mean.size, "last_loss": found.loss})


class FederatedEncoder:
    """This site's low-rank change of the common encoder, averaged with those of others and merged in.

    The products of the low-rank parts are averaged, not the parts: so the mean is the mean of what they do, and sites
    may differ in rank.
    """

    name = "federated_encoder"
    role = Role.ENCODER
    needs = Needs(Data.PAIRS, least=200)
    cost_s = 400.0

    def train(self, run: Run) -> Artifact:
        """Trains here, averages, merges, and keeps this site's own change beside it. Raises TrainingFailed."""
        exchange, rest = _options(run.settings)
        options = read_options(rest, LoraOptions)
        if options.dora:
            raise TrainingFailed("option dora: its lengths cannot be averaged", hint="set dora to false")
        prepare(run)
        model = open_model(run)
        adapted = add_lora(model, options)
        batches = PairBatches(run.data, size=options.batch_size, negatives=options.negatives, seed=run.seed)
        loss = contrastive(model, batches, temperature=options.temperature, mini_batch=options.mini_batch)
        trainable = weights_of(model)[1]
        steps = options.steps or max(1, round(options.epochs * batches.an_epoch / options.accumulate))
        fitted = fit(run, model, loss, Pace(steps, options.learning_rate, options.accumulate))
        change = _low_rank(adapted)
        with quiet():
            adapted.unload()
        gathered = _gather(run, exchange, self.role, len(run.data.pairs), change)
        _merge(transformer_of(model), gathered.updates)
        folder = save_model(model, run.folder / "artifact", run.model)
        gathered.keep(folder)
        return Artifact(folder, {**gathered.facts(), "trainable_weights": trainable, "last_loss": fitted.last_loss})


def _options(settings: Mapping[str, Any]) -> tuple[ExchangeOptions, dict[str, Any]]:
    """The options of the exchange, and those of the training."""
    mine = {field.name for field in fields(ExchangeOptions)}
    exchange = read_options({name: value for name, value in settings.items() if name in mine}, ExchangeOptions)
    return exchange, {name: value for name, value in settings.items() if name not in mine}


def _gather(run: Run, options: ExchangeOptions, role: Role, examples: int, change: Mapping[str, Floats]) -> Gathered:
    """This site's change and those of others that fit it.

    Raises TrainingFailed, naming what was refused, when fewer than `least_sites` are left.
    """
    probe = run.encode_documents(list(federation.PROBES))
    others, refused = federation.collect(
        Path(options.exchange), Path(options.trusted), options.site, str(role), options.round, probe
    )
    fitting = [one for one in others if _fits(one.tensors, change)]
    refused += [f"{one.card.site}: it changes other weights than here" for one in others if one not in fitting]
    number = options.round or 1 + max((one.card.round for one in fitting), default=0)
    every = [Update(Card(options.site, str(role), number, examples, ""), change), *fitting]
    kept, outliers = federation.without_outliers(every, [_size(one.tensors) for one in every], options.outlier)
    refused += [told for told in outliers if not told.startswith(f"{options.site}:")]
    updates = tuple(every[place] for place in sorted({0, *kept}))
    for told in refused:
        log.warning("federation.refused %s", told)
    if len(updates) < options.least_sites:
        told = f"; refused: {'; '.join(refused)}" if refused else ""
        raise TrainingFailed(
            f"{len(updates)} sites can be averaged, {options.least_sites} are wanted{told}",
            hint="wait for the updates of other sites, or lower the option least_sites",
        )
    return Gathered(updates, tuple(refused), probe)


def _layers(change: Mapping[str, Floats]) -> list[str]:
    """The names of the layers with a low-rank change; none for a query adapter."""
    return sorted(name.removesuffix(".down") for name in change if name.endswith(".down"))


def _fits(theirs: Mapping[str, Floats], ours: Mapping[str, Floats]) -> bool:
    """Whether their change is one of the same weights, of whatever rank."""
    if theirs.keys() - {"probe"} != ours.keys():
        return False
    if "weight" in ours:
        return theirs["weight"].shape == ours["weight"].shape
    for layer in _layers(ours):
        down, up = theirs[f"{layer}.down"], theirs[f"{layer}.up"]
        if down.ndim != 2 or up.ndim != 2 or down.shape[0] != up.shape[1]:
            return False
        if down.shape[1] != ours[f"{layer}.down"].shape[1] or up.shape[0] != ours[f"{layer}.up"].shape[0]:
            return False
    return True


def _size(change: Mapping[str, Floats]) -> float:
    """The Frobenius norm of what a change adds to the weights."""
    if "weight" in change:
        return float(np.linalg.norm(change["weight"]))
    total = 0.0
    for layer in _layers(change):
        down, up = change[f"{layer}.down"], change[f"{layer}.up"]
        total += float(((down @ down.T) * (up.T @ up)).sum())
    return float(np.sqrt(max(total, 0.0))) if np.isfinite(total) else float("nan")


def _low_rank(adapted: Any) -> dict[str, Floats]:
    """The low-rank parts of every adapted layer by its name in the transformer, with peft's scale in `up`."""
    found: dict[str, Floats] = {}
    for name, module in adapted.base_model.model.named_modules():
        if hasattr(module, "lora_A") and "default" in module.lora_A:
            scale = float(module.scaling["default"])
            found[f"{name}.down"] = module.lora_A["default"].weight.detach().float().cpu().numpy().copy()
            found[f"{name}.up"] = scale * module.lora_B["default"].weight.detach().float().cpu().numpy()
    return found


def _merge(transformer: Any, updates: Sequence[Update]) -> None:
    """Adds the weighted mean of the products to the transformer's own weights."""
    import torch

    with torch.no_grad():
        for layer in _layers(updates[0].tensors):
            weight = transformer.get_submodule(layer).weight
            for share, update in zip(federation.shares(updates), updates, strict=True):
                product = update.tensors[f"{layer}.up"] @ update.tensors[f"{layer}.down"]
                weight += torch.from_numpy(np.asarray(share * product, np.float32)).to(weight.device)


def make_key(private: Path, public: Path) -> None:
    """Makes the keys by which this site's updates are signed (PRIVATE) and proven by others (PUBLIC: SITE.pub)."""
    federation.new_key(private, public)
    sys.stdout.write(f"keep {private} to yourself; give {public} to the other sites\n")


def publish(model: Path, exchange: Path, site: str, key: Path) -> None:
    """Signs the change that a federated run made (in MODEL), and puts it into EXCHANGE as this SITE's, by its KEY."""
    sys.stdout.write(f"{federation.publish(model / 'federation', exchange, site, key)}\n")


@hookimpl
def ragd_trainers() -> list[Trainer]:
    """The trainers that average with other sites."""
    return [FederatedQueryAdapter(), FederatedEncoder()]


@hookimpl
def ragd_commands() -> dict[str, Callable[..., Any]]:
    """The commands by which a site makes its keys and publishes its changes."""
    return {"federate-key": make_key, "federate-publish": publish}
