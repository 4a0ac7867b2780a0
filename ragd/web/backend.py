"""What the HTTP door needs from the daemon behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ragd.domain.search import Query
from ragd.web.sight import SightBackend

Json = Mapping[str, object]
"""Plain values in the shape of the answer's model in `web/schema`."""


class LearningBackend(Protocol):
    """The model side as routes see it. Every method may be called from any thread and raises RagdError leaves.

    A run is named by its id or the beginning of it, a model by its id or `NAME/VERSION`; NotFound for others.
    """

    def plugins(self) -> Json:
        """`PluginsAnswer`."""
        ...

    def triggers(self) -> Json:
        """`TriggersAnswer`."""
        ...

    def trigger(self, trainer: str) -> Json:
        """`TriggerAnswer`. Raises NotFound."""
        ...

    def train(self, trainer: str, *, on: str | None, cause: str) -> Json:
        """`RunStarted`. Raises NotFound, PairsInvalid, TooFewExamples, Busy."""
        ...

    def runs(self, *, limit: int, trainer: str | None) -> Json:
        """`RunsAnswer`."""
        ...

    def run(self, run: str) -> Json:
        """`RunAnswer`."""
        ...

    def log(self, run: str, offset: int) -> Json:
        """`LogAnswer`."""
        ...

    def stop(self, run: str) -> Json:
        """`RunAnswer`."""
        ...

    def resume(self, run: str) -> Json:
        """`RunAnswer`. Raises BadRequest for a run that cannot go on."""
        ...

    def models(self) -> Json:
        """`ModelsAnswer`."""
        ...

    def model(self, model: str) -> Json:
        """`ModelAnswer`."""
        ...

    def compare(self, a: str, b: str) -> Json:
        """`CompareAnswer`. Raises BadRequest for models of two roles."""
        ...

    def promote(self, model: str, *, force: bool) -> Json:
        """`PromotedAnswer`. Raises GateRefused, ArtifactInvalid, Busy."""
        ...

    def rollback(self, role: str) -> Json:
        """`PromotedAnswer`. Raises NotFound when there is nothing to go back to."""
        ...

    def prune(self, keep: int) -> Json:
        """`PruneAnswer`."""
        ...

    def spend(self) -> Json:
        """`SpendAnswer`."""
        ...

    def feedback(self, query: int, chunk: int, *, good: bool) -> None:
        """Notes a judgement. Raises NotFound."""
        ...


class Backend(Protocol):
    """The daemon as routes see it. Every method may be called from any thread and raises RagdError leaves."""

    @property
    def learning(self) -> LearningBackend:
        """The model side."""
        ...

    @property
    def sight(self) -> SightBackend:
        """How the daemon fares."""
        ...

    def search(self, query: Query) -> Json:
        """`SearchAnswer`. Raises BadRequest, and EncoderFailed when meaning alone was asked for."""
        ...

    def status(self) -> Json:
        """`StatusAnswer`."""
        ...

    def documents(
        self, *, state: str | None, collection: str | None, path: str | None, limit: int, cursor: str | None
    ) -> Json:
        """`DocumentsAnswer`: a page of documents and where the next one begins. Raises BadRequest for a bad cursor."""
        ...

    def receipts(self, *, path: str | None, limit: int, pending: bool | None) -> Json:
        """`ReceiptsAnswer`: receipts, newest first; `pending` True or False keeps those that wait, or do not."""
        ...

    def retry(self, paths: Sequence[str] | None) -> int:
        """Takes up failed documents again, all or those at `paths`; how many. Raises NotFound."""
        ...

    def reread(self, documents: Sequence[int]) -> int:
        """Reads these documents (ids) again, whatever their times say; how many there are."""
        ...

    def rescan(self, folder: str | None) -> None:
        """Starts a scan of one folder or all. Raises NotFound."""
        ...

    def confirm_delete(self, folder: str | None, most: int | None) -> Sequence[Json]:
        """Lets held deletions go, of one folder or all: `folder` and `missing` of each. Raises NotFound, BadRequest."""
        ...

    def verify(self, repair: bool, full: bool) -> Json:
        """`VerifyAnswer`: compares catalog and index, row by row with `full`, and makes them equal when asked."""
        ...

    def reload(self) -> Json:
        """`ReloadAnswer`: reads the configuration again. Raises ConfigInvalid when it is refused."""
        ...

    def latest_receipt(self) -> int | None:
        """The id of the newest receipt, None when nothing was seen yet."""
        ...

    def wait_for(self, receipt: int, timeout_s: float) -> None:
        """Returns once that change is searchable, failed or superseded. Raises TimedOut, NotFound."""
        ...
