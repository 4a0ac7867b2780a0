"""An index fit going live and coming back: other lists around the same vectors, built beside searches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ragd.catalog.models import FILLING, Champion, Model
from ragd.config.events import get_log
from ragd.disk.faults import reach
from ragd.domain.errors import BadRequest, Busy, RagdError
from ragd.domain.index import Vectors
from ragd.domain.learning import Role
from ragd.flow.generations import Generations, Live
from ragd.flow.shelf import Shelf
from ragd.flow.standing import Said
from ragd.flow.tables import Tables
from ragd.index.centroids import digest, read_centroids, write_centroids

BEFORE_NAME = "fit-before.safetensors"
_LOG = get_log("ragd.flow")
_Aim = tuple[int, int | None]


class Refit:
    """Gives the serving index the fit of its champion, in the background; the stage is `filling` until it has it.

    `folder` gives a generation's folder: the index's own centroids are kept there when a model's replace them, so that
    a rollback to what is configured finds them. An index that later fits itself anew, since its rows drifted away,
    leaves the champion behind: what is configured serves again then.
    """

    def __init__(
        self, tables: Tables, generations: Generations, shelf: Shelf, folder: Callable[[int], Path], said: Said
    ) -> None:
        self._tables = tables
        self._generations = generations
        self._shelf = shelf
        self._folder = folder
        self._said = said
        self._aim: _Aim | None = None
        self._digest = ""
        self._had_it = False

    def check(self, model: Model) -> None:
        """Raises BadRequest or Busy when the index cannot take this fit now, ArtifactInvalid for its files."""
        live = self._generations.serving
        if model.space != live.space.fingerprint:
            raise BadRequest(
                f"{model.label} was fitted to another space than the one that serves", hint="train it again"
            )
        if live.index.centroids() is None:
            raise BadRequest(
                f"the index is exact: {len(live.index)} chunks need no lists",
                hint="it becomes an inverted file above index.ivf_above chunks",
            )
        if live.index.is_settling:
            raise Busy("the index is being built anew already", hint="try again in a moment")
        self._shelf.centroids(model, live.space.dimension)

    def promote(self, model: Model, forced: bool) -> Champion:
        """The index takes the model's fit, beside searches."""
        live = self._generations.serving
        centroids = live.index.centroids()
        if centroids is not None and not live.index.fit_digest:
            write_centroids(self._folder(live.id) / BEFORE_NAME, centroids)
        champion = self._tables.models.crown(Role.INDEX, model.id, stage=FILLING, forced=forced)
        reach("promote.after_pointer")
        self.step()
        return champion

    def roll_back(self) -> Champion:
        """The fit before is built again, beside searches: that of the model before, or the index's own."""
        reach("rollback.before_pointer")
        champion = self._tables.models.roll_back(Role.INDEX, stage=FILLING)
        reach("rollback.after_pointer")
        self.step()
        return champion

    def step(self) -> None:
        """Starts what is to be built, also what a kill interrupted, and notes what has ended."""
        champion = self._tables.models.champion(Role.INDEX)
        live = self._generations.serving
        if champion is None or not self._applies(champion, live) or live.index.is_settling:
            return
        try:
            wanted = self._wanted(champion, live)
            if live.index.fit_digest == self._digest:
                self._had_it = True
                self._said.pop("index fit", None)
                if champion.stage == FILLING:
                    self._tables.models.swapped(Role.INDEX)
                    _LOG.info("index_fitted", lists=live.index.facts().lists)
            elif champion.stage == FILLING or not self._had_it:
                live.index.adopt_fit(wanted() if self._digest else None)
            else:
                self._tables.models.crown(Role.INDEX, None)
                _LOG.info("index_fitted_itself", lists=live.index.facts().lists)
        except (RagdError, MemoryError, RuntimeError) as error:
            self._said["index fit"] = f"the index keeps its fit: {error}"

    def _applies(self, champion: Champion, live: Live) -> bool:
        """Whether there is a fit to be had: by a model of this space, or one to return to."""
        if live.index.centroids() is None:
            return False
        if champion.model_id is None:
            return champion.stage == FILLING
        return self._tables.models.model(champion.model_id).space == live.space.fingerprint

    def _wanted(self, champion: Champion, live: Live) -> Callable[[], Vectors]:
        """Reads the centroids that the champion stands for; their digest is kept, empty for those found anew."""
        model = self._tables.models.model(champion.model_id) if champion.model_id is not None else None

        def read() -> Vectors:
            if model is not None:
                return self._shelf.centroids(model, live.space.dimension)
            return read_centroids(self._folder(live.id) / BEFORE_NAME, live.space.dimension)

        aim = (live.id, champion.model_id)
        if aim != self._aim:
            try:
                self._digest = digest(read())
            except RagdError:
                if model is not None:
                    raise
                self._digest = ""
            self._aim, self._had_it = aim, False
        return read
