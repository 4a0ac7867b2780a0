"""Models going live and coming back: pointer, generations and route change together, and searches never notice.

Everything here runs in the daemon's main thread. The catalog is changed first, in one transaction a pointer; what
serves in memory follows from it by the functions that a start uses, so that a kill at any point leaves one champion.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ragd.catalog.models import FILLING, REFUSED, Champion, Model
from ragd.config.events import get_log
from ragd.disk.faults import reach
from ragd.domain.clock import is_due
from ragd.domain.errors import BadRequest, Busy, GateRefused, NotFound, RagdError
from ragd.domain.index import EmbeddingSpace
from ragd.domain.learning import Role
from ragd.flow.eligible import check
from ragd.flow.generations import Generations, Live
from ragd.flow.ingest import Ingest
from ragd.flow.recover import IndexOf
from ragd.flow.refit import Refit
from ragd.flow.route import Routes
from ragd.flow.shelf import Shelf
from ragd.flow.standing import ModelTable, Said, champion_encoder, route_of, space_of, wanted_spaces
from ragd.flow.tables import Tables

_LOG = get_log("ragd.flow")
_NEARLY_S = 10.0
_PREPARED_S = 60.0  # what was opened for a promotion stays open so long


class Promotions:
    """Promotes, swaps and rolls back; `step` is called every few seconds and does what has become possible.

    `reuse` puts vectors made before into a new generation; `announce` tells others that the live generations changed;
    `said` is what is wrong, by where.
    """

    def __init__(
        self,
        tables: Tables,
        registry: ModelTable,
        generations: Generations,
        routes: Routes,
        shelf: Shelf,
        ingest: Ingest,
        refit: Refit,
        index_of: IndexOf,
        *,
        keep_previous_s: float,
        said: Said,
        reuse: Callable[[Model, int, EmbeddingSpace], object] = lambda _model, _generation, _space: None,
        announce: Callable[[], None] = lambda: None,
        forget: Callable[[int], None] = lambda _generation: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tables, self._registry = tables, registry
        self._generations, self._routes = generations, routes
        self._shelf, self._ingest, self._refit = shelf, ingest, refit
        self._index_of = index_of
        self._keep_previous_s = keep_previous_s
        self._reuse = reuse
        self._forget = forget
        self._clock = clock
        self._nearly_since: float | None = None
        self._prepared: dict[int, float] = {}
        self.announce = announce
        self.said = said

    def prepare(self, model_id: int) -> None:
        """Opens what `promote` will need; it may take seconds, changes nothing, and may be called from any thread.

        Raises as `promote`.
        """
        model = self._registry.model(model_id)
        self._prepared[model_id] = self._clock()
        try:
            check(model, self._routes.current, self._shelf, self._refit, is_proven=False)
        except RagdError:
            self._prepared.pop(model_id, None)
            raise
        self._prepared[model_id] = self._clock()  # opening may have taken longer than that

    def promote(self, model_id: int, *, forced: bool = False) -> Champion:
        """This model serves in its role from here on, an encoder by its map until its space is filled.

        Raises NotFound; GateRefused for a model that was refused, unless `forced`; BadRequest for one that serves or
        does not belong to what serves; Busy while another encoder is being filled; ArtifactInvalid, ModelUnavailable
        or ModelMismatch for files that cannot be used. Then nothing has changed.
        """
        model = self._tables.models.model(model_id)
        champion = self._champion(model.role)
        if champion is not None and champion.model_id == model_id:
            raise BadRequest(f"{model.label} is the champion already", hint="`ragd models list` shows who serves")
        if model.status == REFUSED and not forced:
            raise GateRefused(
                f"{model.label} was refused: it did not measurably beat what serves",
                hint=f"`ragd models show {model_id}` says why; `--force` promotes it all the same",
            )
        if model.role is Role.ENCODER and champion is not None and champion.stage == FILLING:
            raise Busy("another encoder's space is being filled", hint="wait for it, or roll back first")
        check(model, self._routes.current, self._shelf, self._refit, is_proven=model_id in self._prepared)
        reach("promote.before_pointer")
        for place in [place for place in self.said if place.startswith("model ") and model.role is Role.ENCODER]:
            del self.said[place]
        champion = self._begin(model, forced)
        if self._swap_filled(champion):  # its evaluation encoded everything there is
            champion = self._tables.models.champion(model.role) or champion
        _LOG.info("promoted", role=model.role, model=model.label, stage=champion.stage, forced=forced)
        return champion

    def roll_back(self, role: Role) -> Champion:
        """What served before in this role serves again. Raises NotFound when there is nothing to return to.

        An encoder whose generation was given up meanwhile is filled again first; until then the present one serves.
        """
        champion = self._champion(role)
        if champion is None or not champion.has_previous:
            raise NotFound(
                f"there is no earlier {role} to roll back to", hint="`ragd models list` shows what can be promoted"
            )
        if role is Role.ENCODER:
            champion = self._return(champion)
        elif role is Role.INDEX:
            champion = self._refit.roll_back()
        else:
            reach("rollback.before_pointer")
            champion = self._tables.models.roll_back(role)
            reach("rollback.after_pointer")
            self._reroute()
        _LOG.info("rolled_back", role=role, model=champion.model_id, stage=champion.stage)
        return champion

    def step(self) -> None:
        """Swaps a filled generation in, gives up those that are not wanted, and closes what nobody uses."""
        champion = self._champion(Role.ENCODER)
        if not self._swap_filled(champion) and (champion is None or champion.stage != FILLING):
            self._nearly_since = None
        self._retire()
        self._refit.step()
        owners = [self._tables.models.encoder_of(live.space.fingerprint) for live in self._generations.all]
        wanted = {model.id for model in owners if model is not None}
        if champion is not None and champion.model_id is not None:
            wanted.add(champion.model_id)
        for model_id, since in tuple(self._prepared.items()):
            if is_due(self._clock(), since, _PREPARED_S):
                self._prepared.pop(model_id, None)
        self._shelf.close_others(wanted | self._prepared.keys(), self._routes.is_used)

    def _swap_filled(self, champion: Champion | None) -> bool:
        """Swaps the champion's own space in where nothing is lacking in it any more."""
        if champion is None or champion.role is not Role.ENCODER or champion.stage != FILLING:
            return False
        target = self._generations.of_space(self._space(champion.model_id))
        if target is None or not self._is_filled(target):
            return False
        self._swap(target)
        return True

    def _begin(self, model: Model, forced: bool) -> Champion:
        models = self._tables.models
        if model.role is Role.ENCODER:
            # A champion that descends from another configured model does not serve: there is no way back to it.
            is_first = self._champion(Role.ENCODER) is None
            return self._fill(
                model,
                lambda: models.crown(model.role, model.id, stage=FILLING, forced=forced, over_configured=is_first),
            )
        if model.role is Role.INDEX:
            return self._refit.promote(model, forced)
        champion = models.crown(model.role, model.id, forced=forced)
        reach("promote.after_pointer")
        self._reroute()
        return champion

    def _fill(self, model: Model | None, point: Callable[[], Champion]) -> Champion:
        """The encoder's generation is live from here on, and filled; queries reach the old one through its map."""
        space, spec = self._shelf.encoder(model).space, self._shelf.spec(model)
        with self._ingest.committing:
            with self._tables.store.transaction():
                opened = self._tables.vectors.open(space, spec if model is not None else None)
                champion = point()
                live = self._generations.get(opened[0])
                index, origin = (
                    (live.index, live.origin) if live is not None else self._index_of(opened[0], space, opened[1])
                )
                reach("promote.in_transaction")
            reach("promote.after_pointer")
            if opened[0] != self._generations.serving.id:
                self._generations.add(Live(opened[0], space, spec, index, origin))
        if model is not None:
            self._reuse(model, opened[0], space)
        self.announce()
        self._reroute()
        reach("promote.after_route")
        return champion

    def _is_filled(self, target: Live) -> bool:
        """True when the generation lacks nothing that the serving one has, or for a while only edits of the moment."""
        serving = self._generations.serving
        if target.id == serving.id:
            return True
        is_behind, by_old = self._tables.vectors.behind(target.id, serving.id)
        if not is_behind:
            return True
        if by_old:
            self._nearly_since = None
            return False
        # Edits that never pause must not put the swap off for ever: they are embedded first thing after it.
        now = self._clock()
        self._nearly_since = self._nearly_since or now
        return is_due(now, self._nearly_since, _NEARLY_S)

    def _swap(self, target: Live) -> None:
        reach("swap.before_pointer")
        self._serve(target, lambda: self._tables.models.swapped(Role.ENCODER), "swap")
        self._nearly_since = None
        _LOG.info("swapped", generation=target.id, chunks=len(target.index))

    def _serve(self, target: Live, point: Callable[[], Champion], name: str) -> Champion:
        """Serving flag and champion move in one transaction, then the generation and the route."""
        tables = self._tables
        with self._ingest.committing:
            with tables.store.transaction():
                tables.receipts.begin()
                tables.receipts.searchable(tables.vectors.make_serving(target.id))
                champion = point()
                tables.receipts.stamp(self._clock())
                reach(f"{name}.in_transaction")
            reach(f"{name}.after_pointer")
            self._generations.serve(target.id)
        self._reroute()
        reach(f"{name}.after_route")
        self.announce()
        return champion

    def _return(self, champion: Champion) -> Champion:
        """The way back of an encoder: at once where its generation is live, else by filling it again."""
        models = self._tables.models
        target = self._generations.of_space(self._space(champion.previous_id))
        reach("rollback.before_pointer")
        if target is None or not target.is_embeddable:
            previous = models.model(champion.previous_id) if champion.previous_id is not None else None
            return self._fill(previous, lambda: models.roll_back(Role.ENCODER, stage=FILLING, can_return=True))
        if target.id != self._generations.serving.id:
            champion = self._serve(target, lambda: models.roll_back(Role.ENCODER), "rollback")
        else:
            champion = models.roll_back(Role.ENCODER)
            reach("rollback.after_pointer")
            self._reroute()
        self._nearly_since = None
        self._retire()
        return champion

    def _retire(self) -> None:
        wanted = wanted_spaces(
            self._tables.models,
            self._shelf.configured.fingerprint,
            self._generations.serving.space.fingerprint,
            now=self._clock(),
            keep_previous_s=self._keep_previous_s,
        )
        gone = [live for live in self._generations.others if live.space.fingerprint not in wanted]
        for live in gone:
            with self._ingest.committing:
                self._tables.vectors.retire(live.id)
                self._generations.remove(live.id)
            live.index.close(timeout_s=0.0)
            self._forget(live.id)
            _LOG.info("retired", generation=live.id, model=live.space.model)
        if gone:
            self.announce()

    def _reroute(self) -> None:
        for place in [place for place in self.said if place.partition(" ")[0] in ("map", "encoder", "adapter")]:
            del self.said[place]
        self._routes.replace(route_of(self._tables.models, self._generations, self._shelf, self.said))

    def _champion(self, role: Role) -> Champion | None:
        if role is Role.ENCODER:
            return champion_encoder(self._tables.models, self._shelf.configured.fingerprint)
        return self._tables.models.champion(role)

    def _space(self, model_id: int | None) -> str:
        return space_of(self._tables.models, model_id, self._shelf.configured.fingerprint)
