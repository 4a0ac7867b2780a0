"""What the HTTP door needs from the daemon behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ragd.domain.search import Query

Json = Mapping[str, object]
"""Plain values in the shape of the answer's model in `web/schema`."""


class Backend(Protocol):
    """The daemon as routes see it. Every method may be called from any thread and raises RagdError leaves."""

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

    def rescan(self, folder: str | None, delete_missing: bool) -> None:
        """Starts a scan of one folder or all; `delete_missing` confirms a held mass deletion. Raises NotFound."""
        ...

    def verify(self, repair: bool) -> Json:
        """`VerifyAnswer`: compares catalog and index, and makes them equal when asked."""
        ...

    def latest_receipt(self) -> int | None:
        """The id of the newest receipt, None when nothing was seen yet."""
        ...

    def wait_for(self, receipt: int, timeout_s: float) -> None:
        """Returns once that change is searchable, failed or superseded. Raises TimedOut, NotFound."""
        ...
